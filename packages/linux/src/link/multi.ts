/**
 * Probes of many places by one link: kernel functions through fprobe, places of a file through uprobes.
 * Source: kernel/trace/bpf_trace.c `bpf_kprobe_multi_link_attach`, `bpf_uprobe_multi_link_attach`; the fields of
 * LINK_CREATE in include/uapi/linux/bpf.h.
 */
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, hookText, type KprobeMultiHook, type UprobeMultiHook } from "@ebplane/core/object";
import type { LinuxProgram } from "../bpf/index.ts";
import { type Scratch, scratch, setPointer } from "../mem/index.ts";
import { createLink } from "./create.ts";
import { BpfLink, type Unwrap } from "./link.ts";

/** BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN. */
const RETURN = 1;

type MultiHook = KprobeMultiHook | UprobeMultiHook;

/** What the two kinds of link differ in. */
interface Kind {
  readonly attachType: number;
  readonly section: string;
  /** What the kernel must have been built with. */
  readonly option: string;
  readonly place: "function" | "offset";
  readonly count: number;
  /** Puts what LINK_CREATE points to into memory; gives what fills in the kind's own part of it. */
  readonly prepare: (memory: Scratch) => (attr: DataView) => void;
  readonly words: Readonly<Record<number, string>>;
}

export function attachKprobeMulti(
  program: LinuxProgram,
  hook: KprobeMultiHook,
  unwrap: Unwrap,
): BpfLink<KprobeMultiHook> {
  return attach(program, hook, unwrap, {
    attachType: AttachType.BPF_TRACE_KPROBE_MULTI,
    section: "kprobe.multi",
    option: "fprobe (CONFIG_FPROBE)",
    place: "function",
    count: hook.functions.length,
    prepare: (memory) => {
      const symbols = hook.functions.map((name) => BigInt(memory.cstring(name)));
      const list = memory.put(new Uint8Array(BigUint64Array.from(symbols).buffer));
      return (a) => {
        a.setUint32(16, hook.kind === "kretprobe_multi" ? RETURN : 0, true);
        a.setUint32(20, hook.functions.length, true);
        setPointer(a, 24, list);
      };
    },
    words: { [Errno.ESRCH]: "a function that this kernel does not have, or lets nobody trace" },
  });
}

export function attachUprobeMulti(
  program: LinuxProgram,
  hook: UprobeMultiHook,
  unwrap: Unwrap,
): BpfLink<UprobeMultiHook> {
  return attach(program, hook, unwrap, {
    attachType: AttachType.BPF_TRACE_UPROBE_MULTI,
    section: "uprobe.multi",
    option: "uprobes (CONFIG_UPROBES)",
    place: "offset",
    count: hook.offsets.length,
    prepare: (memory) => {
      const path = memory.cstring(hook.path);
      const list = memory.put(new Uint8Array(BigUint64Array.from(hook.offsets, BigInt).buffer));
      return (a) => {
        setPointer(a, 16, path);
        setPointer(a, 24, list);
        a.setUint32(48, hook.offsets.length, true);
        a.setUint32(52, hook.kind === "uretprobe_multi" ? RETURN : 0, true);
        a.setUint32(56, hook.pid ?? 0, true);
      };
    },
    words: {
      [Errno.ENOENT]: "there is no such file",
      [Errno.EBADF]: "it is no regular file",
      [Errno.ESRCH]: `there is no process ${hook.pid}`,
    },
  });
}

function attach<H extends MultiHook>(program: LinuxProgram, hook: H, unwrap: Unwrap, kind: Kind): BpfLink<H> {
  const { attachType, section, option, place, count, words } = kind;
  const { name } = program.spec;
  // The kernel says EINVAL to a program that was loaded for single probes.
  if (program.spec.attachType !== attachType) {
    throw new TypeError(`program ${name}: ${hook.kind} needs a program that is loaded for it (section ${section}/…)`);
  }
  if (count === 0) throw new RangeError(`${hook.kind}: expected at least one ${place}`);
  try {
    return scratch((memory) => {
      const fill = kind.prepare(memory);
      return new BpfLink(createLink(hook, { progFd: program.fd, target: 0, attachType, fill }, words), hook, unwrap);
    });
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== Errno.EOPNOTSUPP) throw error;
    throw new UnsupportedError(hook.kind, `${hookText(hook)}: this kernel was built without ${option}`);
  }
}
