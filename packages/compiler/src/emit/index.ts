/** Machine form to eBPF. */
export * from "./emit.ts";
