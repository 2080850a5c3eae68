/**
 * XDP attachments by bpf_link. Native mode runs in the driver, generic mode on any device after an skb was made.
 * Source: net/core/dev.c `bpf_xdp_link_attach`, `dev_xdp_attach`; include/uapi/linux/if_link.h `XDP_FLAGS_*`.
 */
import { Errno, errnoName } from "@ebplane/core/errors";
import { AttachType, hookText, type XdpHook } from "@ebplane/core/object";
import { Cmd, cmdName, type LinuxProgram, tryLinkCreate } from "../bpf/index.ts";
import { NETLINK_ROUTE, NetlinkSocket, setLinkXdp } from "../netlink/index.ts";
import { sysError } from "../sys/index.ts";
import { ifindex } from "./ifindex.ts";
import { BpfLink, type Unwrap } from "./link.ts";

const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;
const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;

/** Attaches in the calling thread's network namespace. */
export function attachXdp(loaded: LinuxProgram, hook: XdpHook, unwrap: Unwrap): BpfLink<XdpHook> {
  const index = ifindex(hook.iface);
  const create = (flags: number) => tryLinkCreate(loaded.fd, index, AttachType.BPF_XDP, flags);
  let reason: string | undefined;
  if (hook.mode !== "generic") {
    const fd = create(XDP_FLAGS_DRV_MODE);
    if (fd >= 0) return new BpfLink(fd, hook, unwrap);
    const errno = -fd;
    if (hook.mode === "native" || OTHER_CAUSES.has(errno)) throw attachError(hook, index, loaded.fd, errno);
    reason = refusal(index, loaded.fd, XDP_FLAGS_DRV_MODE) ?? NATIVE_PROBLEMS[errno] ?? errnoName(errno);
  }
  const fd = create(XDP_FLAGS_SKB_MODE);
  if (fd < 0) throw attachError(hook, index, loaded.fd, -fd);
  return new BpfLink(fd, hook, unwrap, { mode: "generic", fallbackReason: reason });
}

/** Failures of native mode that generic mode would share. */
const OTHER_CAUSES = new Set<number>([Errno.EBUSY, Errno.EEXIST, Errno.EPERM, Errno.ENODEV, Errno.EBADF]);

/** What drivers mean by an errno, where they say nothing. */
const NATIVE_PROBLEMS: Readonly<Record<number, string>> = {
  [Errno.EOPNOTSUPP]: "the driver has no native XDP",
  [Errno.ERANGE]: "the MTU is too large for native XDP without frags",
  [Errno.ENOSPC]: "the peer has more transmit queues than this device has receive queues",
};

function attachError(hook: XdpHook, index: number, progFd: number, errno: number): Error {
  const known: Readonly<Record<number, string>> = {
    [Errno.EBUSY]: "another XDP program is attached to this interface",
    [Errno.EEXIST]: "a program in the other XDP mode is attached to this interface",
    [Errno.EPERM]: "needs CAP_NET_ADMIN",
  };
  const flags = hook.mode === "generic" ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  const detail = known[errno] ?? refusal(index, progFd, flags) ?? NATIVE_PROBLEMS[errno] ?? "";
  const where = hookText(hook);
  return sysError(cmdName(Cmd.LINK_CREATE), errno, detail ? `${where}: ${detail}` : where);
}

/**
 * The driver's own words for a refusal. bpf(2) has no room for them, so the same is asked over rtnetlink, which does.
 * Should that attach, it is taken back at once.
 */
function refusal(index: number, progFd: number, mode: number): string | undefined {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    setLinkXdp(socket, index, progFd, mode | XDP_FLAGS_UPDATE_IF_NOEXIST);
    setLinkXdp(socket, index, -1, mode);
    return undefined;
  } catch (error) {
    const detail = /: E[A-Z0-9]+: (.+)$/.exec((error as Error).message)?.[1];
    return detail && detail.charAt(0).toLowerCase() + detail.slice(1);
  } finally {
    socket.close();
  }
}
