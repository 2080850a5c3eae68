/** The eBPF instruction set: numbers, the instruction model, bytes. */

export * from "./alu.ts";
export * as cbpf from "./cbpf/index.ts";
export * from "./compare.ts";
export * from "./extensions.ts";
export * from "./insn.ts";
export * from "./opcodes.ts";
