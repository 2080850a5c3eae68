/** Reading a BPF iterator: each read of a fresh fd runs the program over all objects. Source: kernel/bpf/bpf_iter.c. */
import { closeSync, readSync } from "node:fs";
import { concatBytes } from "@ebplane/core/bytes";
import { check } from "../sys/index.ts";
import { attr, bpf, Cmd, cmdName } from "./command.ts";

/** Everything that the iterator's program wrote, from the fd of its link. @throws SysError with the program's errno. */
export function readIterator(linkFd: number): Uint8Array {
  attr(8).setUint32(0, linkFd, true);
  const fd = check(cmdName(Cmd.ITER_CREATE), bpf(Cmd.ITER_CREATE, 8));
  try {
    const parts: Uint8Array[] = [];
    for (;;) {
      const part = new Uint8Array(1 << 16);
      const count = readSync(fd, part, 0, part.length, null);
      if (count === 0) return concatBytes(parts);
      parts.push(part.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}
