/**
 * Probes of many places by one link: kernel functions through fprobe, places of a file through uprobes.
 * Source: kernel/trace/bpf_trace.c `bpf_kprobe_multi_link_attach`, `bpf_uprobe_multi_link_attach`; the fields of
 * LINK_CREATE in include/uapi/linux/bpf.h.
 */
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, hookText, type KprobeMultiHook, type UprobeMultiHook } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { scratch, setPointer } from "../mem/index.ts";
import { createLink } from "./create.ts";
import { BpfLink, type Unwrap } from "./link.ts";

/** BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN. */
const RETURN = 1;

export function attachKprobeMulti(
  program: LinuxProgram,
  hook: KprobeMultiHook,
  unwrap: Unwrap,
): BpfLink<KprobeMultiHook> {
  const attachType = AttachType.BPF_TRACE_KPROBE_MULTI;
  expectLoadedFor(program, hook, attachType, "kprobe.multi");
  if (hook.functions.length === 0) throw new RangeError(`${hook.kind}: expected at least one function`);
  return refusalOf(hook, "fprobe (CONFIG_FPROBE)", () =>
    scratch((memory) => {
      const symbols = hook.functions.map((name) => BigInt(memory.cstring(name)));
      const list = memory.put(new Uint8Array(BigUint64Array.from(symbols).buffer));
      const fill = (a: DataView): void => {
        a.setUint32(16, hook.kind === "kretprobe_multi" ? RETURN : 0, true);
        a.setUint32(20, hook.functions.length, true);
        setPointer(a, 24, list);
      };
      const words = { [Errno.ESRCH]: "a function that this kernel does not have, or lets nobody trace" };
      return new BpfLink(createLink(hook, { progFd: program.fd, target: 0, attachType, fill }, words), hook, unwrap);
    }),
  );
}

export function attachUprobeMulti(
  program: LinuxProgram,
  hook: UprobeMultiHook,
  unwrap: Unwrap,
): BpfLink<UprobeMultiHook> {
  const attachType = AttachType.BPF_TRACE_UPROBE_MULTI;
  expectLoadedFor(program, hook, attachType, "uprobe.multi");
  if (hook.offsets.length === 0) throw new RangeError(`${hook.kind}: expected at least one offset`);
  return refusalOf(hook, "uprobes (CONFIG_UPROBES)", () =>
    scratch((memory) => {
      const path = memory.cstring(hook.path);
      const list = memory.put(new Uint8Array(BigUint64Array.from(hook.offsets, BigInt).buffer));
      const fill = (a: DataView): void => {
        setPointer(a, 16, path);
        setPointer(a, 24, list);
        a.setUint32(48, hook.offsets.length, true);
        a.setUint32(52, hook.kind === "uretprobe_multi" ? RETURN : 0, true);
        a.setUint32(56, hook.pid ?? 0, true);
      };
      const words = {
        [Errno.ENOENT]: "there is no such file",
        [Errno.EBADF]: "it is no regular file",
        [Errno.ESRCH]: `there is no process ${hook.pid}`,
      };
      return new BpfLink(createLink(hook, { progFd: program.fd, target: 0, attachType, fill }, words), hook, unwrap);
    }),
  );
}

/** The kernel says EINVAL to a program that was loaded for single probes. */
function expectLoadedFor(
  program: LinuxProgram,
  hook: KprobeMultiHook | UprobeMultiHook,
  type: number,
  section: string,
) {
  if (program.spec.attachType === type) return;
  const { name } = program.spec;
  throw new TypeError(`program ${name}: ${hook.kind} needs a program that is loaded for it (section ${section}/…)`);
}

function refusalOf<T>(hook: KprobeMultiHook | UprobeMultiHook, option: string, attach: () => T): T {
  try {
    return attach();
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== Errno.EOPNOTSUPP) throw error;
    throw new UnsupportedError(hook.kind, `${hookText(hook)}: this kernel was built without ${option}`);
  }
}
