/**
 * XDP attachments by bpf_link. Native mode runs in the driver, generic mode on any device after an skb was made.
 * Source: net/core/dev.c `bpf_xdp_link_attach`, `dev_xdp_attach`; include/uapi/linux/if_link.h `XDP_FLAGS_*`.
 */
import { Errno, errnoName } from "@ebplane/core/errors";
import { AttachType, type Hook, type Link, type Program } from "@ebplane/core/object";
import { Cmd, cmdName, type LinuxProgram, linkInfo, tryLinkCreate, tryLinkUpdate } from "../bpf/index.ts";
import { NETLINK_ROUTE, NetlinkSocket, setLinkXdp } from "../netlink/index.ts";
import { check, close, sysError } from "../sys/index.ts";
import { ifindex } from "./ifindex.ts";

const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;
const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;

/** An XDP attachment. Closing it, or the end of the process, detaches the program. */
export class XdpLink implements Link {
  readonly hook: Hook;
  readonly id: number;
  readonly mode: "native" | "generic";
  readonly fallbackReason: string | undefined;
  readonly #program: (program: Program) => LinuxProgram;
  #fd: number;

  constructor(
    fd: number,
    hook: Hook,
    mode: "native" | "generic",
    fallbackReason: string | undefined,
    program: (program: Program) => LinuxProgram,
  ) {
    this.#fd = fd;
    this.hook = hook;
    this.mode = mode;
    this.fallbackReason = fallbackReason;
    this.#program = program;
    this.id = linkInfo(fd).id;
  }

  /** The link's file descriptor; it stays this object's. @throws TypeError after `close`. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError(`link on ${this.hook.iface}: is closed`);
    return this.#fd;
  }

  update(program: Program): void {
    check(cmdName(Cmd.LINK_UPDATE), tryLinkUpdate(this.fd, this.#program(program).fd), `xdp:${this.hook.iface}`);
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    check("close", close(fd));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Attaches in the calling thread's network namespace. `program` unwraps programs given to `update` later. */
export function attachXdp(loaded: LinuxProgram, hook: Hook, program: (program: Program) => LinuxProgram): XdpLink {
  const index = ifindex(hook.iface);
  const create = (flags: number) => tryLinkCreate(loaded.fd, index, AttachType.BPF_XDP, flags);
  let reason: string | undefined;
  if (hook.mode !== "generic") {
    const fd = create(XDP_FLAGS_DRV_MODE);
    if (fd >= 0) return new XdpLink(fd, hook, "native", undefined, program);
    const errno = -fd;
    if (hook.mode === "native" || OTHER_CAUSES.has(errno)) throw attachError(hook, index, loaded.fd, errno);
    reason = refusal(index, loaded.fd, XDP_FLAGS_DRV_MODE) ?? NATIVE_PROBLEMS[errno] ?? errnoName(errno);
  }
  const fd = create(XDP_FLAGS_SKB_MODE);
  if (fd < 0) throw attachError(hook, index, loaded.fd, -fd);
  return new XdpLink(fd, hook, "generic", reason, program);
}

/** Failures of native mode that generic mode would share. */
const OTHER_CAUSES = new Set<number>([Errno.EBUSY, Errno.EEXIST, Errno.EPERM, Errno.ENODEV, Errno.EBADF]);

/** What drivers mean by an errno, where they say nothing. */
const NATIVE_PROBLEMS: Readonly<Record<number, string>> = {
  [Errno.EOPNOTSUPP]: "the driver has no native XDP",
  [Errno.ERANGE]: "the MTU is too large for native XDP without frags",
  [Errno.ENOSPC]: "the peer has more transmit queues than this device has receive queues",
};

function attachError(hook: Hook, index: number, progFd: number, errno: number): Error {
  const known: Readonly<Record<number, string>> = {
    [Errno.EBUSY]: "another XDP program is attached to this interface",
    [Errno.EEXIST]: "a program in the other XDP mode is attached to this interface",
    [Errno.EPERM]: "needs CAP_NET_ADMIN",
  };
  const flags = hook.mode === "generic" ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  const detail = known[errno] ?? refusal(index, progFd, flags) ?? NATIVE_PROBLEMS[errno] ?? "";
  const hookText = `xdp:${hook.iface}${hook.mode === "auto" ? "" : `:${hook.mode}`}`;
  return sysError(cmdName(Cmd.LINK_CREATE), errno, detail ? `${hookText}: ${detail}` : hookText);
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
