/** The WebAssembly JIT. */
export { type JitRunner, jitEngine } from "./engine.ts";
