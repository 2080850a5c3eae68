/** The WebAssembly JIT. */
export { enterTable, type JitOptions, type JitRunner, jitEngine } from "./engine.ts";
