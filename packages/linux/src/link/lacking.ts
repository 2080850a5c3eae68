/**
 * Hooks that this kernel is too old for. LINK_CREATE says EINVAL both to what it does not know and to what is wrong;
 * here the kernel is asked again in a way that tells the two apart, and the refusal says what else there is.
 */
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, attachTypeSince, type Hook, hookText } from "@ebplane/core/object";
import { tryLinkCreate } from "../bpf/index.ts";
import { scratch, setPointer } from "../mem/index.ts";
import { close } from "../sys/index.ts";

/**
 * The kinds that are asked about, with the hook that does the same on older kernels. At the other kinds a program of
 * another attach type gets EINVAL, too, and what is unknown was refused when the program was loaded.
 */
const INSTEAD: Partial<Record<Hook["kind"], (hook: never) => string>> = {
  tcx: (hook: { iface: string; direction: string }) => `tc:${hook.iface}:${hook.direction} (clsact)`,
  kprobe_multi: () => "kprobe:FUNCTION, a link for each",
  kretprobe_multi: () => "kretprobe:FUNCTION, a link for each",
  kprobe_session: () => "kprobe_multi and kretprobe_multi",
  uprobe_session: () => "uprobe_multi and uretprobe_multi",
  uprobe_multi: () => "uprobe:PATH:OFFSET, a link for each",
  uretprobe_multi: () => "uretprobe:PATH:OFFSET, a link for each",
};

/** Why the hook has no links here, or undefined where it has them: then the link itself is wrong. */
export function lackingLink(
  hook: Hook,
  { progFd, attachType }: { readonly progFd: number; readonly attachType: number },
): UnsupportedError | undefined {
  const instead = INSTEAD[hook.kind] as ((hook: Hook) => string) | undefined;
  if (!instead || knowsLink(progFd, attachType)) return undefined;
  const why = `${hookText(hook)}: this kernel has no ${hook.kind} links, use ${instead(hook)}`;
  return new UnsupportedError(hook.kind, why, attachTypeSince(attachType));
}

const NOBODY = 0x7fffffff;

/**
 * Whether LINK_CREATE knows the attach type for this program, by a link to nothing: a kernel that does says that there
 * is no such device, fd, file or function.
 */
export function knowsLink(progFd: number, attachType: number): boolean {
  return linkToNothing(progFd, attachType) !== -Errno.EINVAL;
}

/** The errno (negative) that such a link is refused with: EOPNOTSUPP of kernels that were built without. */
export function linkToNothing(progFd: number, attachType: number): number {
  const fd = scratch((memory) => {
    switch (attachType) {
      case AttachType.BPF_TRACE_KPROBE_MULTI:
      case AttachType.BPF_TRACE_KPROBE_SESSION: {
        const symbols = memory.put(
          new Uint8Array(BigUint64Array.of(BigInt(memory.cstring("no_such_function"))).buffer),
        );
        return tryLinkCreate(progFd, 0, attachType, 0, (a) => {
          a.setUint32(20, 1, true);
          setPointer(a, 24, symbols);
        });
      }
      case AttachType.BPF_TRACE_UPROBE_MULTI:
      case AttachType.BPF_TRACE_UPROBE_SESSION: {
        // A directory is no file to probe: EBADF.
        const path = memory.cstring("/");
        const offsets = memory.put(new Uint8Array(8).fill(1));
        return tryLinkCreate(progFd, 0, attachType, 0, (a) => {
          setPointer(a, 16, path);
          setPointer(a, 24, offsets);
          a.setUint32(48, 1, true);
        });
      }
      default:
        return tryLinkCreate(progFd, NOBODY, attachType);
    }
  });
  if (fd >= 0) close(fd); // Never was.
  return fd;
}
