/** bpf(2): commands, maps, programs, links, info. */
export * from "./affinity.ts";
export * from "./bpffs.ts";
export * from "./btf-calls.ts";
export * from "./command.ts";
export * from "./cpus.ts";
export * from "./info.ts";
export * from "./iterator.ts";
export * from "./link-calls.ts";
export * from "./map.ts";
export * from "./map-batch.ts";
export * from "./map-calls.ts";
export * from "./pin.ts";
export * from "./prog-calls.ts";
export * from "./program.ts";
export * from "./test-run-calls.ts";
export * from "./token.ts";
export * from "./verifier-log.ts";
