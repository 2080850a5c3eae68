/** LINK_CREATE for the hooks that differ only in a few fields of the attr, and its refusals in words. */
import { Errno, type SysError } from "@ebplane/core/errors";
import { type Hook, hookText, type Order } from "@ebplane/core/object";
import { Cmd, cmdName, tryLinkCreate } from "../bpf/index.ts";
import { sysError } from "../sys/index.ts";
import { lackingLink } from "./lacking.ts";

export interface LinkCreate {
  readonly progFd: number;
  /** An ifindex, or an fd of a cgroup, namespace, map or perf event. */
  readonly target: number;
  readonly attachType: number;
  readonly flags?: number;
  readonly fill?: (attr: DataView) => void;
}

const COMMON: Readonly<Record<number, string>> = {
  [Errno.EPERM]: "not permitted: needs CAP_NET_ADMIN, or a hook that this kernel allows",
  [Errno.EBUSY]: "the hook is taken and has room for one program",
  [Errno.EEXIST]: "this program is attached here already",
  [Errno.ESTALE]: "the hook's programs changed: it is not at the expected revision",
  [Errno.E2BIG]: "the hook is full",
};

/**
 * @returns the link's fd. `words` say what an errno means at this hook.
 * @throws UnsupportedError where this kernel has no such links; SysError with the hook's text.
 */
export function createLink(hook: Hook, link: LinkCreate, words: Readonly<Record<number, string>> = {}): number {
  const fd = tryLinkCreate(link.progFd, link.target, link.attachType, link.flags, link.fill);
  if (fd >= 0) return fd;
  throw (fd === -Errno.EINVAL && lackingLink(hook, link)) || linkRefused(hook, -fd, words);
}

/** The refusal of a link in words. */
function linkRefused(hook: Hook, errno: number, words: Readonly<Record<number, string>> = {}): SysError {
  const detail = words[errno] ?? COMMON[errno];
  const where = hookText(hook);
  return sysError(cmdName(Cmd.LINK_CREATE), errno, detail === undefined ? where : `${where}: ${detail}`);
}

const BPF_F_BEFORE = 1 << 3;
const BPF_F_AFTER = 1 << 4;
const BPF_F_ID = 1 << 5;
const BPF_F_LINK = 1 << 13;

/** Flags and fields of an order: tcx, netkit and (Linux 6.16) cgroups have the same ones at the same place. */
export function orderFields(order: Order | undefined): Pick<LinkCreate, "flags" | "fill"> {
  if (!order) return {};
  const { before, after, expectedRevision } = order;
  if (before !== undefined && after !== undefined) throw new TypeError("order: expected before or after, not both");
  const anchor = before ?? after;
  let flags = before !== undefined ? BPF_F_BEFORE : after !== undefined ? BPF_F_AFTER : 0;
  let id = 0;
  if (anchor !== undefined && anchor !== "all") {
    const isLink = "link" in anchor;
    flags |= BPF_F_ID | (isLink ? BPF_F_LINK : 0);
    id = isLink ? anchor.link : anchor.program;
  }
  return {
    flags,
    fill: (a) => {
      a.setUint32(16, id, true);
      a.setBigUint64(24, expectedRevision ?? 0n, true);
    },
  };
}
