/**
 * XDP attachments by bpf_link. Native mode runs in the driver, generic mode on any device after an skb was made.
 * Source: net/core/dev.c `bpf_xdp_link_attach`, `dev_xdp_attach`; include/uapi/linux/if_link.h `XDP_FLAGS_*`.
 */
import { Errno, errnoName, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, hookText, type XdpHook } from "@ebplane/core/object";
import { Cmd, cmdName, fdById, type LinuxProgram, progInfo, tryLinkCreate } from "../bpf/index.ts";
import {
  deviceXdpFeatures,
  getLink,
  type LinkInfo,
  NETLINK_ROUTE,
  NetlinkSocket,
  setLinkXdp,
} from "../netlink/index.ts";
import { close, sysError } from "../sys/index.ts";
import { ifindex } from "./ifindex.ts";
import { BpfLink, type Unwrap } from "./link.ts";

const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;
const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;

/** Attaches in the calling thread's network namespace. */
export function attachXdp(loaded: LinuxProgram, hook: XdpHook, unwrap: Unwrap): BpfLink<XdpHook> {
  const index = ifindex(hook.iface);
  if (hook.mode === "offload") throw noOffload(hook, index);
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

/** A NIC that runs programs itself takes them translated by its driver; none was ever at hand to try it on. */
function noOffload(hook: XdpHook, index: number): UnsupportedError {
  const capable = offloads(index);
  const why = capable
    ? "ebplane does not load programs into NICs: native mode runs them in the driver"
    : `the driver of ${hook.iface} cannot run programs on the NIC (no hw-offload among its XDP features)`;
  return new UnsupportedError("XDP offload", `${hookText(hook)}: ${why}`);
}

/** Drivers tell since Linux 6.3. */
function offloads(index: number): boolean {
  try {
    return deviceXdpFeatures().some((d) => d.ifindex === index && d.features.includes("hw-offload"));
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  }
}

/** The name that libxdp's dispatcher is loaded by. Source: xdp-tools lib/libxdp/xdp-dispatcher.c.in. */
export const LIBXDP_DISPATCHER = "xdp_dispatcher";

/** Who has the interface, as far as the kernel tells it. */
function holder(index: number, otherMode: boolean): string {
  const there = xdpOf(index);
  const name = there && programName(there.progId);
  if (!there || name === undefined) {
    return otherMode
      ? "a program in the other XDP mode is attached to this interface, or one to a device above it"
      : "another XDP program is attached to this interface";
  }
  const who = `program ${there.progId} (${name || "without a name"}) is attached to this interface in ${there.mode} mode`;
  if (name !== LIBXDP_DISPATCHER) return who;
  return `${who}: libxdp's dispatcher: join it (joinLibxdp, ebplane attach --join), or take it away first (xdp-loader unload --all)`;
}

function xdpOf(index: number): LinkInfo["xdp"] {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  return getLink(socket, index).xdp;
}

function programName(id: number): string | undefined {
  const fd = fdById("prog", id);
  if (fd === undefined) return undefined;
  try {
    return progInfo(fd).name;
  } finally {
    close(fd);
  }
}

function attachError(hook: XdpHook, index: number, progFd: number, errno: number): Error {
  const taken = errno === Errno.EBUSY || errno === Errno.EEXIST;
  const known = taken
    ? holder(index, errno === Errno.EEXIST)
    : errno === Errno.EPERM
      ? "needs CAP_NET_ADMIN"
      : undefined;
  const flags = hook.mode === "generic" ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  const detail = known ?? refusal(index, progFd, flags) ?? NATIVE_PROBLEMS[errno] ?? "";
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
