/** The types of the kernel that runs here, for programs that speak of its structs. */
import { existsSync, readFileSync } from "node:fs";
import { type Btf, parseBtf } from "@ebplane/core/btf";

const VMLINUX = "/sys/kernel/btf/vmlinux";
let types: Btf | undefined;

/** undefined on a machine that has none. */
export function kernelBtf(): Btf | undefined {
  return (types ??= existsSync(VMLINUX) ? parseBtf(new Uint8Array(readFileSync(VMLINUX))) : undefined);
}
