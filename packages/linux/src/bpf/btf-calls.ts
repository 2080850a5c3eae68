/**
 * Type information that maps and programs refer to: into the kernel and out again.
 * Source: include/uapi/linux/bpf.h `union bpf_attr` (BTF_LOAD), `struct bpf_btf_info`.
 */
import { type Scratch, scratch, setPointer } from "../mem/index.ts";
import { check, close } from "../sys/index.ts";
import { attr, BPF_F_TOKEN_FD, bpf, Cmd, cmdName } from "./command.ts";
import { bytesTold, fdById } from "./info.ts";

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

/** A BTF object of the kernel's: its own types, a module's, or what came with programs and maps. */
export interface BtfInfo {
  readonly id: number;
  readonly size: number;
  /** `vmlinux` or a module's; "" for what was loaded. */
  readonly name: string;
  /** Of the kernel or a module. */
  readonly kernel: boolean;
}

/** struct bpf_btf_info */
const INFO = 32;
const NAME_MAX = 64;

/** What the kernel tells of a BTF object, or undefined when it is gone. */
export function btfInfo(id: number): BtfInfo | undefined {
  return withBtf(id, (memory, ask) => {
    const name = memory.take(NAME_MAX);
    const view = ask((info) => {
      setPointer(info, 16, name.address);
      info.setUint32(24, NAME_MAX, true);
    });
    const end = name.bytes.indexOf(0);
    return {
      id,
      size: view.getUint32(8, true),
      name: new TextDecoder().decode(name.bytes.slice(0, end < 0 ? NAME_MAX : end)),
      kernel: view.getUint32(28, true) !== 0,
    };
  });
}

/** The encoded BTF behind an id, or undefined when it is gone. */
export function btfBytes(id: number): Uint8Array | undefined {
  return withBtf(id, (memory, ask) => {
    const size = ask(() => {}).getUint32(8, true); // Without a buffer it tells the size.
    const data = memory.take(bytesTold(`btf ${id}`, size, 1));
    ask((info) => {
      setPointer(info, 0, data.address);
      info.setUint32(8, size, true);
    });
    return data.bytes.slice(0, size);
  });
}

function withBtf<T>(
  id: number,
  body: (memory: Scratch, ask: (fill: (info: DataView) => void) => DataView) => T,
): T | undefined {
  const fd = fdById("btf", id);
  if (fd === undefined) return undefined;
  try {
    return scratch((memory) =>
      body(memory, (fill) => {
        const info = memory.take(INFO);
        fill(info.view);
        const a = attr(16);
        a.setUint32(0, fd, true);
        a.setUint32(4, INFO, true);
        setPointer(a, 8, info.address);
        check(cmdName(Cmd.OBJ_GET_INFO_BY_FD), bpf(Cmd.OBJ_GET_INFO_BY_FD, 16), `btf ${id}`);
        return info.view;
      }),
    );
  } finally {
    close(fd);
  }
}
