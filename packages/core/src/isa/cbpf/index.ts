/** Classic BPF, the BSD Packet Filter: assembler, checker, interpreter, translation to eBPF. */
export * from "./asm.ts";
export * from "./check.ts";
export * from "./insn.ts";
export * from "./interp.ts";
export * from "./translate.ts";
