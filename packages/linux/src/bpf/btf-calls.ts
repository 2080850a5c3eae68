/** BTF_LOAD: type information that maps and programs refer to. Source: include/uapi/linux/bpf.h `union bpf_attr`. */
import { scratch, setPointer } from "../mem/index.ts";
import { attr, bpf, Cmd } from "./command.ts";

/** Loads encoded BTF. @returns the fd or `-errno`, and the kernel's log of a refused one. */
export function btfLoad(btf: Uint8Array): { fd: number; log: string } {
  return scratch((memory) => {
    const data = memory.put(btf);
    const logSize = 1 << 16;
    const log = memory.take(logSize);
    const load = (level: number): number => {
      const a = attr(32);
      setPointer(a, 0, data);
      a.setUint32(16, btf.length, true);
      if (level) {
        setPointer(a, 8, log.address);
        a.setUint32(20, logSize, true);
        a.setUint32(24, level, true);
      }
      return bpf(Cmd.BTF_LOAD, 28);
    };
    let fd = load(0);
    if (fd < 0) fd = load(1);
    const end = log.bytes.indexOf(0);
    return { fd, log: fd < 0 ? new TextDecoder().decode(log.bytes.slice(0, end < 0 ? logSize : end)) : "" };
  });
}
