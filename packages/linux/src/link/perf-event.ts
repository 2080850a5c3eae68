/**
 * Programs on perf events: tracepoints, probes of single places, software counters. By a link where the kernel has them
 * for events (Linux 5.15), before that by the event's own ioctl, which ends with the process too.
 * Source: kernel/bpf/syscall.c `bpf_perf_link_attach`; kernel/events/core.c `perf_event_set_bpf_prog`,
 * `perf_kprobe_event_init`, `perf_uprobe_event_init`; include/uapi/linux/perf_event.h.
 */
import { readFileSync } from "node:fs";
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import {
  AttachType,
  type Hook,
  hookText,
  type KprobeHook,
  type KsyscallHook,
  type Link,
  PERF_EVENTS,
  type PerfEventHook,
  type TracepointHook,
  type UprobeHook,
} from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { type Block, onDetachedMount, scratch, setPointer } from "../mem/index.ts";
import { check, close, NR, syscall, sysError } from "../sys/index.ts";
import { createLink } from "./create.ts";
import { executablePath, functionOffset } from "./executable.ts";
import { knowsLink } from "./lacking.ts";
import { BpfLink, PlainLink, type Unwrap } from "./link.ts";

const PERF_TYPE_SOFTWARE = 1;
const PERF_TYPE_TRACEPOINT = 2;
const PERF_ATTR_SIZE = 128;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_EVENT_IOC_SET_BPF = 0x40042408;

type EventHook = TracepointHook | KprobeHook | KsyscallHook | UprobeHook | PerfEventHook;

export function attachTracepoint(program: LinuxProgram, hook: TracepointHook, unwrap: Unwrap): Link<TracepointHook> {
  const id = tracepointId(hook);
  const event = perfEvent(hookText(hook), -1, (pe) => {
    pe.view.setUint32(0, PERF_TYPE_TRACEPOINT, true);
    pe.view.setBigUint64(8, BigInt(id), true);
  });
  return perfLink(program, hook, event, unwrap, hook.cookie);
}

const NO_SUCH_FUNCTION = "this kernel has no such function (a module's is named MODULE:FUNCTION, once that is loaded)";

const KPROBE_WORDS: Readonly<Record<number, string>> = {
  [Errno.ENOENT]: NO_SUCH_FUNCTION,
  [Errno.EINVAL]: "the kernel lets nobody probe this place",
  [Errno.EILSEQ]: "no instruction begins at this offset",
  [Errno.EADDRNOTAVAIL]: "several functions have this name",
};

export function attachKprobe(program: LinuxProgram, hook: KprobeHook, unwrap: Unwrap): Link<KprobeHook> {
  const { function: name, offset = 0 } = hook;
  const event = probeEvent(hook, "kprobe", hook.kind === "kretprobe", name, offset, -1, KPROBE_WORDS);
  return perfLink(program, hook, event, unwrap, hook.cookie);
}

/** What a call's function is named behind the kernel's wrapper. Source: libbpf.c `arch_specific_syscall_pfx`. */
const SYSCALL_PREFIX: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: "__x64_",
  arm64: "__arm64_",
  s390x: "__s390x_",
};

export function attachKsyscall(program: LinuxProgram, hook: KsyscallHook, unwrap: Unwrap): Link<KsyscallHook> {
  const name = `${SYSCALL_PREFIX[process.arch] ?? ""}sys_${hook.syscall}`;
  const words = { ...KPROBE_WORDS, [Errno.ENOENT]: `this kernel has no such system call (${name})` };
  const event = probeEvent(hook, "kprobe", hook.kind === "kretsyscall", name, 0, -1, words);
  return perfLink(program, hook, event, unwrap, hook.cookie);
}

export function attachUprobe(program: LinuxProgram, hook: UprobeHook, unwrap: Unwrap): Link<UprobeHook> {
  const path = executablePath(hook.path);
  const offset = hook.offset + (hook.function === undefined ? 0 : functionOffset(path, hook.function));
  const event = probeEvent(hook, "uprobe", hook.kind === "uretprobe", path, offset, hook.pid ?? -1, {});
  return perfLink(program, hook, event, unwrap, hook.cookie);
}

export function attachPerfEvent(program: LinuxProgram, hook: PerfEventHook, unwrap: Unwrap): Link<PerfEventHook> {
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
  return perfLink(program, hook, event, unwrap, undefined);
}

/** Takes over the event's fd. */
function perfLink<H extends EventHook>(
  program: LinuxProgram,
  hook: H,
  event: number,
  unwrap: Unwrap,
  cookie: bigint | undefined,
): Link<H> {
  const link = {
    progFd: program.fd,
    target: event,
    attachType: AttachType.BPF_PERF_EVENT,
    fill: (a: DataView) => a.setBigUint64(16, cookie ?? 0n, true),
  };
  try {
    if (hasEventLinks(program.fd))
      return new BpfLink(createLink(hook, link), hook, unwrap, { mode: "native" }, [event]);
    if (cookie !== undefined) {
      throw new UnsupportedError("bpf_cookie", `${hookText(hook)}: events have no cookies on this kernel`, "5.15");
    }
    check("ioctl(PERF_EVENT_IOC_SET_BPF)", ioctl(event, PERF_EVENT_IOC_SET_BPF, program.fd), hookText(hook));
    check("ioctl(PERF_EVENT_IOC_ENABLE)", ioctl(event, PERF_EVENT_IOC_ENABLE, 0), hookText(hook));
    return new PlainLink(hook, unwrap, () => close(event));
  } catch (error) {
    close(event);
    throw error;
  }
}

function ioctl(fd: number, request: number, argument: number): number {
  return syscall(NR.ioctl, fd, request, argument);
}

let eventLinks: boolean | undefined;

function hasEventLinks(progFd: number): boolean {
  return (eventLinks ??= knowsLink(progFd, AttachType.BPF_PERF_EVENT));
}

function probeEvent(
  hook: Hook,
  pmu: "kprobe" | "uprobe",
  isReturn: boolean,
  where: string,
  offset: number,
  pid: number,
  words: Readonly<Record<number, string>>,
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
    return perfEvent(
      hookText(hook),
      pid,
      (pe) => {
        pe.view.setUint32(0, type, true);
        pe.view.setBigUint64(8, isReturn ? 1n << BigInt(returnBit) : 0n, true);
        setPointer(pe.view, 56, name); // config1: kprobe_func or uprobe_path
        setPointer(pe.view, 64, offset); // config2: probe_offset
      },
      undefined,
      words,
    );
  });
}

/** perf_event_open for one event on CPU 0 (probes and tracepoints fire on all) or in one process. */
function perfEvent(
  where: string,
  pid: number,
  fill: (attr: Block) => void,
  cpu: number = pid < 0 ? 0 : -1,
  words: Readonly<Record<number, string>> = {},
): number {
  return scratch((memory) => {
    const pe = memory.take(PERF_ATTR_SIZE);
    pe.view.setUint32(4, PERF_ATTR_SIZE, true);
    fill(pe);
    const fd = syscall(NR.perf_event_open, pe.address, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0) return fd;
    const why = words[-fd];
    throw sysError("perf_event_open", -fd, why === undefined ? where : `${where}: ${why}`);
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
