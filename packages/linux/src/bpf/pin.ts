/** Names for programs, maps and links in bpffs. Source: include/uapi/linux/bpf.h BPF_OBJ_PIN, BPF_OBJ_GET. */
import { readlinkSync } from "node:fs";
import { Errno } from "@ebplane/core/errors";
import { scratch, setPointer } from "../mem/index.ts";
import { check, sysError } from "../sys/index.ts";
import { attr, bpf, Cmd, cmdName } from "./command.ts";

/** Pins the object behind an fd. @throws SysError EEXIST for a name that is taken, EPERM outside bpffs. */
export function objPin(fd: number, path: string): void {
  scratch((memory) => {
    const name = memory.cstring(path);
    const a = attr(24);
    setPointer(a, 0, name);
    a.setUint32(8, fd, true);
    const result = bpf(Cmd.OBJ_PIN, 16);
    if (result === -Errno.EPERM) {
      // Names with a dot are kept for the kernel's own (kernel/bpf/inode.c bpf_lookup).
      const why = /\.[^/]*$/.test(path) ? `${path}: a bpffs takes no names with a dot` : `${path} is not in a bpffs`;
      throw sysError(cmdName(Cmd.OBJ_PIN), Errno.EPERM, why);
    }
    check(cmdName(Cmd.OBJ_PIN), result, path);
  });
}

/** A new fd of a pinned object, or undefined when there is no such file. */
export function objGet(path: string): number | undefined {
  return scratch((memory) => {
    const name = memory.cstring(path);
    const a = attr(24);
    setPointer(a, 0, name);
    const result = bpf(Cmd.OBJ_GET, 16);
    return result === -Errno.ENOENT ? undefined : check(cmdName(Cmd.OBJ_GET), result, path);
  });
}

const INODES: Readonly<Record<string, "prog" | "map" | "link" | "btf">> = {
  "anon_inode:bpf-prog": "prog",
  "anon_inode:bpf-map": "map",
  "anon_inode:bpf_link": "link",
  "anon_inode:bpf-link": "link",
  "anon_inode:btf": "btf",
};

/** What kind of BPF object an fd holds, by the name that /proc gives it. */
export function kindOfFd(fd: number): "prog" | "map" | "link" | "btf" | undefined {
  return INODES[readlinkSync(`/proc/self/fd/${fd}`)];
}
