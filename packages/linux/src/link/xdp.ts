/**
 * XDP attachments by bpf_link. Native mode runs in the driver, generic mode on any device after an skb was made.
 * Source: net/core/dev.c `bpf_xdp_link_attach`, `dev_xdp_attach`; include/uapi/linux/if_link.h `XDP_FLAGS_*`.
 */
import { Errno, errnoName } from "@ebplane/core/errors";
import { AttachType, type Hook, type Link, type Program } from "@ebplane/core/object";
import { Cmd, cmdName, type LinuxProgram, linkInfo, tryLinkCreate, tryLinkUpdate } from "../bpf/index.ts";
import { check, close, sysError } from "../sys/index.ts";
import { ifindex } from "./ifindex.ts";

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
    if (hook.mode === "native" || !isAboutNativeMode(-fd)) throw attachError(hook, -fd);
    reason = nativeProblem(-fd);
  }
  const fd = create(XDP_FLAGS_SKB_MODE);
  if (fd < 0) throw attachError(hook, -fd);
  return new XdpLink(fd, hook, "generic", reason, program);
}

/** Whether generic mode may go where native mode failed with this errno. */
function isAboutNativeMode(errno: number): boolean {
  return errno !== Errno.EBUSY && errno !== Errno.EPERM && errno !== Errno.ENODEV && errno !== Errno.EBADF;
}

function nativeProblem(errno: number): string {
  if (errno === Errno.EOPNOTSUPP) return "the driver has no native XDP";
  if (errno === Errno.ERANGE) return "the MTU is too large for native XDP without frags";
  if (errno === Errno.ENOSPC) return "the peer has more transmit queues than this device has receive queues";
  return `native mode: ${errnoName(errno)}`;
}

function attachError(hook: Hook, errno: number): Error {
  const what = `xdp:${hook.iface}:${hook.mode}`;
  const detail: Record<number, string> = {
    [Errno.EBUSY]: "another XDP program is attached to this interface",
    [Errno.EEXIST]: "a program in the other XDP mode is attached to this interface",
    [Errno.EPERM]: "needs CAP_NET_ADMIN",
  };
  return sysError(cmdName(Cmd.LINK_CREATE), errno, `${what}: ${detail[errno] ?? nativeProblem(errno)}`);
}
