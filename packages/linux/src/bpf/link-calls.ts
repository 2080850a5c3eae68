/**
 * Link commands of bpf(2). A link fd is an attachment: when its last fd is closed (also by the process's death) and it
 * is not pinned, the program is detached.
 * Source: include/uapi/linux/bpf.h `union bpf_attr` (LINK_CREATE and on).
 */
import { check } from "../sys/index.ts";
import { attr, bpf, Cmd, cmdName } from "./command.ts";

/** @returns the link's fd or `-errno`. `fill` writes the type-specific fields (from byte 16). */
export function tryLinkCreate(
  progFd: number,
  target: number,
  attachType: number,
  flags = 0,
  fill?: (a: DataView) => void,
): number {
  const size = 64;
  const a = attr(size);
  a.setUint32(0, progFd, true);
  a.setUint32(4, target, true);
  a.setUint32(8, attachType, true);
  a.setUint32(12, flags, true);
  fill?.(a);
  return bpf(Cmd.LINK_CREATE, size);
}

const BPF_F_REPLACE = 1 << 2;

/**
 * Puts another program behind the link, atomically. With `oldProgFd` only if that one is in place now.
 * @returns 0 or `-errno` (EPERM when the old program is another one).
 */
export function tryLinkUpdate(linkFd: number, progFd: number, oldProgFd?: number): number {
  const a = attr(16);
  a.setUint32(0, linkFd, true);
  a.setUint32(4, progFd, true);
  if (oldProgFd !== undefined) {
    a.setUint32(8, BPF_F_REPLACE, true);
    a.setUint32(12, oldProgFd, true);
  }
  return bpf(Cmd.LINK_UPDATE, 16);
}

/** Detaches now, whoever else holds the link. */
export function linkDetach(linkFd: number): void {
  attr(4).setUint32(0, linkFd, true);
  check(cmdName(Cmd.LINK_DETACH), bpf(Cmd.LINK_DETACH, 4));
}

/** PROG_ATTACH, where a hook has no link. @returns 0 or `-errno`. */
export function tryProgAttach(target: number, progFd: number, attachType: number): number {
  return bpf(Cmd.PROG_ATTACH, fillAttach(target, progFd, attachType));
}

/** @returns 0 or `-errno`. */
export function tryProgDetach(target: number, progFd: number, attachType: number): number {
  return bpf(Cmd.PROG_DETACH, fillAttach(target, progFd, attachType));
}

/** Detaches what PROG_ATTACH attached, without a link. `target` is an ifindex, or an fd of a cgroup or namespace. */
export function progDetach(target: number, progFd: number, attachType: number): void {
  check(cmdName(Cmd.PROG_DETACH), tryProgDetach(target, progFd, attachType));
}

function fillAttach(target: number, progFd: number, attachType: number): number {
  const size = 32;
  const a = attr(size);
  a.setUint32(0, target, true);
  a.setUint32(4, progFd, true);
  a.setUint32(8, attachType, true);
  return size;
}
