/**
 * Programs at tracepoints, and at what BTF named when they were loaded: functions, LSM hooks, iterators.
 * Source: kernel/bpf/syscall.c `bpf_raw_tp_link_attach`, `bpf_tracing_prog_attach`; kernel/bpf/bpf_iter.c
 * `bpf_iter_link_attach`; `union bpf_iter_link_info` in include/uapi/linux/bpf.h.
 */
import { closeSync, openSync } from "node:fs";
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, hookText, type IterOver, type RawTracepointHook, type TraceHook } from "@ebplane/core/object";
import { attr, bpf, Cmd, cmdName, fdById, type LinuxProgram, tryLinkCreate } from "../bpf/index.ts";
import { type Scratch, scratch, setPointer } from "../mem/index.ts";
import { check, close, sysError } from "../sys/index.ts";
import { createLink } from "./create.ts";
import { BpfLink, type Unwrap } from "./link.ts";

export function attachRawTracepoint(
  program: LinuxProgram,
  hook: RawTracepointHook,
  unwrap: Unwrap,
): BpfLink<RawTracepointHook> {
  const fd = rawTracepointOpen(program.fd, hook.name, hook.cookie);
  if (fd === -Errno.ENOENT) throw new RangeError(`${hookText(hook)}: this kernel has no such tracepoint`);
  if (hook.cookie !== undefined && (fd === -Errno.E2BIG || fd === -Errno.EINVAL))
    throw noCookie(hookText(hook), "6.10");
  return new BpfLink(check(cmdName(Cmd.RAW_TRACEPOINT_OPEN), fd, hookText(hook)), hook, unwrap);
}

/** fentry, fexit, fmod_ret, tp_btf, lsm and iterators: their place is in the program. */
export function attachTrace(program: LinuxProgram, hook: TraceHook, unwrap: Unwrap): BpfLink<TraceHook> {
  const { name, attachTo, attachType } = program.spec;
  if (hook.target !== undefined && hook.target !== attachTo) {
    throw new TypeError(`program ${name}: is loaded for ${attachTo ?? "no target"}, not for ${hook.target}`);
  }
  if (attachType === AttachType.BPF_TRACE_ITER) return attachIterator(program, hook, unwrap);
  if (hook.over !== undefined) throw new TypeError(`program ${name}: only iterators walk over something`);
  return new BpfLink(traceOpen(program, hook.cookie), hook, unwrap);
}

function traceOpen(program: LinuxProgram, cookie: bigint | undefined): number {
  const { name, attachTo, attachType } = program.spec;
  const where = `program ${name} on ${attachTo ?? "its target"}`;
  let fd: number;
  let call: string = cmdName(Cmd.RAW_TRACEPOINT_OPEN);
  if (cookie === undefined) fd = rawTracepointOpen(program.fd, undefined);
  else {
    call = cmdName(Cmd.LINK_CREATE);
    fd = tryLinkCreate(program.fd, 0, attachType, 0, (a) => a.setBigUint64(24, cookie, true));
    if (fd === -Errno.EINVAL || fd === -Errno.E2BIG) throw noCookie(where, "5.18");
  }
  if (fd === -Errno.EPERM || fd === -Errno.ENOTSUPP) {
    throw new UnsupportedError("trampoline", `program ${name}: this kernel refuses to patch functions`);
  }
  const why = fd === -Errno.EBUSY ? ": others have patched this function in a way that excludes it, or too often" : "";
  return check(call, fd, `${where}${why}`);
}

function noCookie(where: string, since: string): UnsupportedError {
  return new UnsupportedError("bpf_cookie", `${where}: such links have no cookies on this kernel`, since);
}

const ITER_WORDS: Readonly<Record<number, string>> = {
  [Errno.EBADF]: "this iterator has to be told what it walks over (`over`: a map)",
  [Errno.EINVAL]: "this iterator cannot walk over that",
  [Errno.ESRCH]: "there is no such process",
  [Errno.ENOENT]: "this kernel has no such iterator",
};

function attachIterator(program: LinuxProgram, hook: TraceHook, unwrap: Unwrap): BpfLink<TraceHook> {
  const named: TraceHook = { ...hook, target: program.spec.attachTo };
  return scratch((memory) => {
    const { info, done } = iteratorInfo(memory, hook.over);
    const fill = (a: DataView): void => {
      setPointer(a, 16, info);
      a.setUint32(24, info === 0 ? 0 : ITER_INFO, true);
    };
    try {
      if (hook.over !== undefined && "tid" in hook.over) checkNarrowable(memory, program);
      const create = { progFd: program.fd, target: 0, attachType: AttachType.BPF_TRACE_ITER, fill };
      return new BpfLink(createLink(named, create, ITER_WORDS), hook, unwrap);
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== Errno.E2BIG) throw error;
      throw new UnsupportedError("iterator", `${hookText(named)}: cannot be narrowed down to that here`, "6.1");
    } finally {
      done();
    }
  });
}

/**
 * Before 6.1 the struct held a map's fd only: what does not fit is E2BIG, but a thread's number would be taken for one and
 * not be looked at. Of both a thread and a process newer kernels say EINVAL.
 */
function checkNarrowable(memory: Scratch, program: LinuxProgram): void {
  const { address, view } = memory.take(ITER_INFO);
  view.setBigUint64(0, 0x1_0000_0001n, true);
  const answer = tryLinkCreate(program.fd, 0, AttachType.BPF_TRACE_ITER, 0, (a) => {
    setPointer(a, 16, address);
    a.setUint32(24, ITER_INFO, true);
  });
  if (answer >= 0) close(answer);
  if (answer === -Errno.E2BIG) throw sysError(cmdName(Cmd.LINK_CREATE), Errno.E2BIG);
}

/** `union bpf_iter_link_info` */
const ITER_INFO = 16;
const BPF_CGROUP_ITER_SELF_ONLY = 1;
const BPF_CGROUP_ITER_DESCENDANTS_PRE = 2;

function iteratorInfo(memory: Scratch, over: IterOver | undefined): { info: number; done: () => void } {
  if (over === undefined) return { info: 0, done: () => {} };
  const { address, view } = memory.take(ITER_INFO);
  if ("cgroup" in over) {
    const fd = openSync(over.cgroup, "r");
    view.setUint32(0, over.only ? BPF_CGROUP_ITER_SELF_ONLY : BPF_CGROUP_ITER_DESCENDANTS_PRE, true);
    view.setUint32(4, fd, true);
    return { info: address, done: () => closeSync(fd) };
  }
  if ("map" in over) {
    const fd = fdById("map", over.map.id);
    if (fd === undefined) throw new RangeError(`map ${over.map.spec.name}: is closed`);
    view.setUint32(0, fd, true);
    return { info: address, done: () => close(fd) };
  }
  if ("tid" in over) view.setUint32(0, over.tid, true);
  else view.setUint32(4, over.pid, true);
  return { info: address, done: () => {} };
}

function rawTracepointOpen(progFd: number, name: string | undefined, cookie?: bigint): number {
  return scratch((memory) => {
    const address = name === undefined ? 0 : memory.cstring(name);
    const a = attr(24);
    setPointer(a, 0, address);
    a.setUint32(8, progFd, true);
    a.setBigUint64(16, cookie ?? 0n, true);
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, 24);
  });
}
