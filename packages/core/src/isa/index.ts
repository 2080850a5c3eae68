/** The eBPF instruction set: numbers, the instruction model, bytes. */
export * from "./insn.ts";
export * from "./opcodes.ts";
