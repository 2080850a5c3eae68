/**
 * @ebplane/linux: the `Target` on the real kernel. Importing is harmless anywhere; the first use says in one line what
 * is missing (Linux, koffi, privileges).
 */
export { type KernelAvailable, kernelAvailable } from "./available.ts";
export {
  enableStats,
  fdById,
  LinuxMap,
  LinuxProgram,
  type MapInfo,
  mapInfo,
  type ObjectKind,
  objectIds,
  type ProgInfo,
  pinToCpu,
  progInfo,
  summarizeLog,
  type VerifierVerdict,
} from "./bpf/index.ts";
export type { LinuxLoadOptions } from "./target/load.ts";
export { type LinuxTarget, type LinuxTargetOptions, linuxTarget } from "./target/target.ts";
