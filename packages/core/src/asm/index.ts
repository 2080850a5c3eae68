/** Text ↔ instructions: the kernel verifier's and LLVM's notation, and the mnemonic one of uBPF and bpf_conformance. */
export { type Assembled, type AssembleOptions, assemble } from "./assemble.ts";
export { type DisasmLine, type DisasmOptions, disassemble } from "./disassemble.ts";
export { formatInsn, type Notation } from "./format.ts";
