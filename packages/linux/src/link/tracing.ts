/**
 * Programs on the kernel's and on processes' functions: tracepoints, probes, and what BTF names at load.
 * Source: kernel/bpf/syscall.c `bpf_raw_tp_link_attach`, `bpf_perf_link_attach`; include/uapi/linux/perf_event.h.
 */
import { readFileSync } from "node:fs";
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import {
  AttachType,
  type Hook,
  hookText,
  type KprobeHook,
  PERF_EVENTS,
  type PerfEventHook,
  type RawTracepointHook,
  type TraceHook,
  type TracepointHook,
  type UprobeHook,
} from "@ebplane/core/object";
import { attr, bpf, Cmd, cmdName, type LinuxProgram, tryLinkCreate } from "../bpf/index.ts";
import { type Block, onDetachedMount, scratch, setPointer } from "../mem/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";
import { createLink, linkRefused } from "./create.ts";
import { BpfLink, PlainLink, type Unwrap } from "./link.ts";

export function attachRawTracepoint(
  program: LinuxProgram,
  hook: RawTracepointHook,
  unwrap: Unwrap,
): BpfLink<RawTracepointHook> {
  const fd = rawTracepointOpen(program.fd, hook.name);
  if (fd === -Errno.ENOENT) throw new RangeError(`${hookText(hook)}: this kernel has no such tracepoint`);
  return new BpfLink(check(cmdName(Cmd.RAW_TRACEPOINT_OPEN), fd, hookText(hook)), hook, unwrap);
}

/** fentry, fexit, fmod_ret, tp_btf, lsm and iterators: their place is in the program. */
export function attachTrace(program: LinuxProgram, hook: TraceHook, unwrap: Unwrap): BpfLink<TraceHook> {
  if (program.spec.attachType === AttachType.BPF_TRACE_ITER) {
    const fd = createLink(hook, { progFd: program.fd, target: 0, attachType: AttachType.BPF_TRACE_ITER });
    return new BpfLink(fd, hook, unwrap);
  }
  const fd = rawTracepointOpen(program.fd, undefined);
  if (fd === -Errno.EPERM || fd === -Errno.ENOTSUPP) {
    throw new UnsupportedError("trampoline", `program ${program.spec.name}: this kernel refuses to patch functions`);
  }
  return new BpfLink(check(cmdName(Cmd.RAW_TRACEPOINT_OPEN), fd, program.spec.name), hook, unwrap);
}

function rawTracepointOpen(progFd: number, name: string | undefined): number {
  return scratch((memory) => {
    const address = name === undefined ? 0 : memory.cstring(name);
    const a = attr(24);
    setPointer(a, 0, address);
    a.setUint32(8, progFd, true);
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, 24);
  });
}

const PERF_TYPE_TRACEPOINT = 2;
const PERF_ATTR_SIZE = 128;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_SET_BPF = 0x40042408;

/** A link since Linux 5.15; before, the perf event itself holds the program. */
type PerfLink<H extends Hook> = BpfLink<H> | PlainLink<H>;

export function attachTracepoint(
  program: LinuxProgram,
  hook: TracepointHook,
  unwrap: Unwrap,
): PerfLink<TracepointHook> {
  const id = tracepointId(hook);
  const event = perfEvent(hookText(hook), -1, (pe) => {
    pe.view.setUint32(0, PERF_TYPE_TRACEPOINT, true);
    pe.view.setBigUint64(8, BigInt(id), true);
  });
  return perfLink(program, hook, event, unwrap);
}

export function attachKprobe(program: LinuxProgram, hook: KprobeHook, unwrap: Unwrap): PerfLink<KprobeHook> {
  const event = probeEvent(hook, "kprobe", hook.kind === "kretprobe", hook.function, 0, -1);
  return perfLink(program, hook, event, unwrap);
}

export function attachUprobe(program: LinuxProgram, hook: UprobeHook, unwrap: Unwrap): PerfLink<UprobeHook> {
  const event = probeEvent(hook, "uprobe", hook.kind === "uretprobe", hook.path, hook.offset, hook.pid ?? -1);
  return perfLink(program, hook, event, unwrap);
}

const PERF_TYPE_SOFTWARE = 1;

export function attachPerfEvent(program: LinuxProgram, hook: PerfEventHook, unwrap: Unwrap): PerfLink<PerfEventHook> {
  const event = perfEvent(
    hookText(hook),
    hook.pid ?? -1,
    (pe) => {
      pe.view.setUint32(0, PERF_TYPE_SOFTWARE, true);
      pe.view.setBigUint64(8, BigInt(PERF_EVENTS.indexOf(hook.event)), true);
      pe.view.setBigUint64(16, BigInt(hook.period), true); // sample_period
    },
    hook.cpu,
  );
  return perfLink(program, hook, event, unwrap);
}

function perfLink<H extends TracepointHook | KprobeHook | UprobeHook | PerfEventHook>(
  program: LinuxProgram,
  hook: H,
  event: number,
  unwrap: Unwrap,
): PerfLink<H> {
  try {
    const fd = tryLinkCreate(program.fd, event, AttachType.BPF_PERF_EVENT);
    if (fd >= 0) return new BpfLink(fd, hook, unwrap, { mode: "native" }, [event]);
    // A kernel without perf links says so to every program; to a link that is wrong the ioctl has the same answer.
    const setBpf = fd === -Errno.EINVAL ? syscall(NR.ioctl, event, PERF_EVENT_IOC_SET_BPF, program.fd) : fd;
    if (setBpf < 0) throw linkRefused(hook, -setBpf, { [Errno.EINVAL]: "not accepted for this event" });
    // Like a link it ends with its last fd: this process's death detaches.
    return new PlainLink(hook, unwrap, () => check("close", close(event)));
  } catch (error) {
    close(event);
    throw error;
  }
}

function probeEvent(
  hook: KprobeHook | UprobeHook,
  pmu: "kprobe" | "uprobe",
  isReturn: boolean,
  where: string,
  offset: number,
  pid: number,
): number {
  const base = `/sys/bus/event_source/devices/${pmu}`;
  let type: number;
  let returnBit = 0;
  try {
    type = Number(readFileSync(`${base}/type`, "latin1"));
    if (isReturn) returnBit = Number(/config:(\d+)/.exec(readFileSync(`${base}/format/retprobe`, "latin1"))?.[1] ?? 0);
  } catch {
    throw new UnsupportedError(pmu, `${hookText(hook)}: this kernel was built without ${pmu}s`);
  }
  return scratch((memory) => {
    const name = memory.cstring(where);
    return perfEvent(hookText(hook), pid, (pe) => {
      pe.view.setUint32(0, type, true);
      pe.view.setBigUint64(8, isReturn ? 1n << BigInt(returnBit) : 0n, true);
      setPointer(pe.view, 56, name); // config1: kprobe_func or uprobe_path
      setPointer(pe.view, 64, offset); // config2: probe_offset
    });
  });
}

/** perf_event_open for one event on CPU 0 (probes and tracepoints fire on all) or in one process. */
function perfEvent(where: string, pid: number, fill: (attr: Block) => void, cpu: number = pid < 0 ? 0 : -1): number {
  return scratch((memory) => {
    const pe = memory.take(PERF_ATTR_SIZE);
    pe.view.setUint32(4, PERF_ATTR_SIZE, true);
    fill(pe);
    return check("perf_event_open", syscall(NR.perf_event_open, pe.address, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC), where);
  });
}

/** The event's number, from a tracefs that nobody else sees. */
function tracepointId(hook: TracepointHook): number {
  const text = onDetachedMount("tracefs", (root) => {
    try {
      return readFileSync(`${root}/events/${hook.group}/${hook.name}/id`, "latin1");
    } catch {
      throw new RangeError(`${hookText(hook)}: this kernel has no such tracepoint`);
    }
  });
  return Number(text);
}
