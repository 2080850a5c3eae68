/**
 * Type information that maps and programs refer to: into the kernel and out again.
 * Source: include/uapi/linux/bpf.h `union bpf_attr` (BTF_LOAD), `struct bpf_btf_info`.
 */
import { scratch, setPointer } from "../mem/index.ts";
import { check, close } from "../sys/index.ts";
import { attr, BPF_F_TOKEN_FD, bpf, Cmd, cmdName } from "./command.ts";
import { fdById } from "./info.ts";

/** Loads encoded BTF. @returns the fd or `-errno`, and the kernel's log of a refused one. */
export function btfLoad(btf: Uint8Array, tokenFd?: number): { fd: number; log: string } {
  return scratch((memory) => {
    const data = memory.put(btf);
    const logSize = 1 << 16;
    const log = memory.take(logSize);
    const load = (level: number): number => {
      const a = attr(40);
      setPointer(a, 0, data);
      a.setUint32(16, btf.length, true);
      if (level) {
        setPointer(a, 8, log.address);
        a.setUint32(20, logSize, true);
        a.setUint32(24, level, true);
      }
      if (tokenFd === undefined) return bpf(Cmd.BTF_LOAD, 28);
      a.setUint32(32, BPF_F_TOKEN_FD, true);
      a.setUint32(36, tokenFd, true);
      return bpf(Cmd.BTF_LOAD, 40);
    };
    let fd = load(0);
    if (fd < 0) fd = load(1);
    const end = log.bytes.indexOf(0);
    return { fd, log: fd < 0 ? new TextDecoder().decode(log.bytes.slice(0, end < 0 ? logSize : end)) : "" };
  });
}

/** The encoded BTF behind an id, or undefined when it is gone. */
export function btfBytes(id: number): Uint8Array | undefined {
  const fd = fdById("btf", id);
  if (fd === undefined) return undefined;
  try {
    return scratch((memory) => {
      const info = memory.take(32);
      const ask = (): void => {
        const a = attr(16);
        a.setUint32(0, fd, true);
        a.setUint32(4, 32, true);
        setPointer(a, 8, info.address);
        check(cmdName(Cmd.OBJ_GET_INFO_BY_FD), bpf(Cmd.OBJ_GET_INFO_BY_FD, 16), `btf ${id}`);
      };
      ask(); // Without a buffer it tells the size.
      const size = info.view.getUint32(8, true);
      const data = memory.take(size);
      info.bytes.fill(0, 0, 32);
      setPointer(info.view, 0, data.address);
      info.view.setUint32(8, size, true);
      ask();
      return data.bytes.slice(0, size);
    });
  } finally {
    close(fd);
  }
}
