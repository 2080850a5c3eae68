/**
 * The file system of pins. As ip and bpftool do, it is mounted when nobody has yet; unlike them not where the mount,
 * and with it every pin, would vanish with the caller. Source: mount(2), kernel/bpf/inode.c.
 */
import { closeSync, openSync, readlinkSync, statfsSync } from "node:fs";
import { BpfError, Errno } from "@ebplane/core/errors";
import { scratch } from "../mem/index.ts";
import { check, NR, syscall, sysError } from "../sys/index.ts";

export const BPFFS = "/sys/fs/bpf";
const BPF_FS_MAGIC = 0xcafe4a11;
const LOCK_EX = 2;
const LOCK_NB = 4;

function isBpffs(): boolean {
  try {
    return statfsSync(BPFFS).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}

/** The number of the mount namespace that the kernel starts with. Source: include/uapi/linux/nsfs.h MNT_NS_INIT_INO (6.18). */
const MNT_NS_INIT_INO = 0xeffffff8;

/** Whether mounts made here outlive the caller (not so in `ip netns exec`, `unshare -m`). When that cannot be told: no. */
function inLastingMountNamespace(): boolean {
  try {
    const own = readlinkSync("/proc/self/ns/mnt");
    return own === `mnt:[${MNT_NS_INIT_INO}]` || own === readlinkSync("/proc/1/ns/mnt");
  } catch {
    return false;
  }
}

/**
 * Takes a directory for this process, until the returned fd is closed or the process is gone, kill -9 included.
 * Undefined when another process has it.
 */
export function lockDirectory(path: string): number | undefined {
  const fd = openSync(path, "r");
  const result = syscall(NR.flock, fd, LOCK_EX | LOCK_NB);
  if (result >= 0) return fd;
  closeSync(fd);
  if (result === -Errno.EAGAIN) return undefined;
  throw sysError("flock", -result, path);
}

/**
 * Makes sure that a bpffs is at /sys/fs/bpf, mounting it (mode 700) if need be.
 * @throws BpfError ENOBPFFS in one line with the remedy where that cannot be or would not last.
 */
export function ensureBpffs(): void {
  if (isBpffs()) return;
  const refuse = (why: string): never => {
    throw new BpfError("ENOBPFFS", `${BPFFS}: expected a bpffs, which keeps attachments alive; ${why}`);
  };
  if (!inLastingMountNamespace()) {
    refuse(
      `a mount in this mount namespace would end with it: mount -t bpf bpf ${BPFFS} outside (in ip netns exec use --netns instead)`,
    );
  }
  let directory = -1;
  try {
    directory = openSync(BPFFS, "r");
  } catch {
    refuse("there is no such directory: this kernel lacks CONFIG_BPF_SYSCALL, or sysfs is not mounted");
  }
  try {
    // Of two commands at once only one may mount: the second mount would hide what the first has pinned.
    check("flock", syscall(NR.flock, directory, LOCK_EX), BPFFS);
    if (isBpffs()) return;
    const result = scratch((memory) =>
      syscall(
        NR.mount,
        memory.cstring("bpf"),
        memory.cstring(BPFFS),
        memory.cstring("bpf"),
        0,
        memory.cstring("mode=0700"),
      ),
    );
    if (result < 0) refuse(`mounting it failed (errno ${-result}): mount -t bpf bpf ${BPFFS}`);
  } finally {
    closeSync(directory);
  }
}
