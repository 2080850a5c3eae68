/** Machine form to eBPF. */
export * from "./emit.ts";
export { TypeTable } from "./btf.ts";
