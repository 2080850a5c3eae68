/** The virtual machine: memory, engines, helpers. */
export type { VmMap } from "../maps/index.ts";
export { ConnectionTable } from "./conntrack.ts";
export { Coverage } from "./coverage.ts";
export type { FieldValue } from "./ctx/fields.ts";
export { HookCtx, type HookInput, type SysctlText } from "./ctx/hook.ts";
export { SkbBuffer, type SkbMeta } from "./ctx/skb.ts";
export { SocketBuffer, type SocketInfo } from "./ctx/socket.ts";
export { type XdpHints, type XdpMeta, XdpRing } from "./ctx/xdp.ts";
export { type Breakpoint, coverageOf, Debugger, type DebugOptions, programOf } from "./debug.ts";
export type { BoundKfunc, Engine, ProgramMap, Resolved, Runner } from "./engine.ts";
export type { EngineName } from "./engines.ts";
export type {
  Connection,
  ConnectionKey,
  Conntrack,
  Env,
  HelperImpl,
  Host,
  LoopHelper,
  SocketOption,
  SocketQuery,
} from "./env.ts";
export { type ExecOptions, exec, execPlugin, rawProgram } from "./exec.ts";
export {
  type Fault,
  type FaultKind,
  type GuardedResult,
  GuardedRun,
  type GuardOptions,
  runGuarded,
  type Step,
  type Write,
} from "./guard.ts";
export { VirtualHost, type VirtualHostOptions } from "./host.ts";
export { RunError } from "./interp-engine.ts";
export type { JitRunner } from "./jit/index.ts";
export * from "./layout.ts";
export { Machine, type MachineOptions, type ProgramLoad, type VmProgram } from "./machine.ts";
export * from "./threads/index.ts";
export { findPacket, type Witness } from "./witness/index.ts";
