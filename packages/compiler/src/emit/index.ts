/** Machine form to eBPF. */

export { TypeTable } from "./btf.ts";
export * from "./data.ts";
export * from "./emit.ts";
