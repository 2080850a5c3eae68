/**
 * Programs in the place of another program's functions (type ext), and what tracing needs to know of such functions: their
 * ids in the other program's types.
 * Source: kernel/bpf/syscall.c `bpf_tracing_prog_attach`; kernel/bpf/verifier.c `bpf_check_attach_target`.
 */
import { parseBtf } from "@ebplane/core/btf";
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { type FreplaceHook, hookText } from "@ebplane/core/object";
import { btfBytes, Cmd, cmdName, fdById, type LinuxProgram, objGet, progInfo, tryLinkCreate } from "../bpf/index.ts";
import { close, sysError } from "../sys/index.ts";
import { BpfLink, type Unwrap } from "./link.ts";

/** The id of a function in the types that a program was loaded with. @throws RangeError where there is none. */
export function programFunction(progFd: number, name: string): number {
  const info = progInfo(progFd);
  const bytes = info.btfId === 0 ? undefined : btfBytes(info.btfId);
  if (!bytes)
    throw new RangeError(`program ${info.id} (${info.name}): was loaded without types: its functions have no names`);
  const btf = parseBtf(bytes);
  const id = btf.find(name, "func");
  if (id !== undefined) return id;
  const names = [...btf.names().values()].flat().flatMap((type) => {
    const func = btf.type(type);
    return func.kind === "func" && func.linkage === "global" ? [func.name] : [];
  });
  throw new RangeError(`program ${info.id} (${info.name}): no function ${name}; it has ${names.join(", ")}`);
}

export function attachFreplace(program: LinuxProgram, hook: FreplaceHook, unwrap: Unwrap): BpfLink<FreplaceHook> {
  const target = typeof hook.program === "number" ? fdById("prog", hook.program) : objGet(hook.program);
  if (target === undefined) throw new RangeError(`${hookText(hook)}: there is no such program`);
  try {
    const type = programFunction(target, hook.function);
    const fd = tryLinkCreate(program.fd, target, 0, 0, (a) => a.setUint32(16, type, true));
    if (fd >= 0) return new BpfLink(fd, hook, unwrap);
    if (fd === -Errno.EPERM || fd === -Errno.ENOTSUPP) {
      throw new UnsupportedError("trampoline", `${hookText(hook)}: this kernel refuses to patch programs`);
    }
    const detail = WORDS[-fd];
    throw sysError(cmdName(Cmd.LINK_CREATE), -fd, `${hookText(hook)}${detail ? `: ${detail}` : ""}`);
  } finally {
    close(target);
  }
}

const WORDS: Readonly<Record<number, string>> = {
  [Errno.EBUSY]: "another program replaces this function already, or traces it",
  [Errno.EINVAL]:
    "the program has another prototype than this function, or the program that it was loaded for is another kind",
};
