/**
 * @ebplane/linux: the `Target` on the real kernel. Importing is harmless anywhere; the first use says in one line what
 * is missing (Linux, koffi, privileges).
 */
export { type KernelAvailable, kernelAvailable } from "./available.ts";
export {
  BPFFS,
  BpfToken,
  cpuNumbersEnd,
  type Delegation,
  delegateBpffs,
  deleteBatch,
  enableStats,
  ensureBpffs,
  fdById,
  LinuxMap,
  LinuxProgram,
  type MapInfo,
  mapInfo,
  type ObjectKind,
  objectIds,
  type ProgInfo,
  parseVerifierLog,
  pinToCpu,
  progInfo,
  readIterator,
  summarizeLog,
  updateBatch,
  type VerifierLog,
  type VerifierVerdict,
} from "./bpf/index.ts";
export {
  type Answer,
  type DeviceFeatures,
  deviceFeatures,
  type KernelFeatures,
  kernelConfig,
  kernelFeatures,
  kernelHelpers,
  kernelKfuncs,
  type SystemState,
  systemState,
} from "./features/index.ts";
export {
  BpfLink,
  type LinkDescription,
  listLinkObjects,
  queryPrograms,
} from "./link/index.ts";
export { type NetworkEvent, watchNetwork } from "./netlink/index.ts";
export { NetNs } from "./netns/index.ts";
export {
  openPort,
  PacketSocketPort,
  type Pump,
  type PumpDevice,
  pumpPorts,
  TapPort,
  type Wire,
  XskPort,
} from "./ports/index.ts";
export {
  type Attachment,
  type Checked,
  type Finding,
  findingText,
  preflight,
  requirementsOf,
} from "./preflight/index.ts";
export { MappedArena, MappedArray, PerfReader, RingBufReader, UserRingBufWriter } from "./rings/index.ts";
export {
  checkedMember,
  readMember,
  restoreMember,
  type StoredMember,
  storeMember,
  withMembers,
} from "./target/chain-store.ts";
export {
  type ChainMember,
  type ChainOptions,
  chainPrograms,
  DEFAULT_PRIORITY,
  MAX_CHAIN,
  ordered,
  XdpDispatcher,
} from "./target/dispatcher.ts";
export { traceTarget } from "./target/kernel-btf.ts";
export {
  joinLibxdp,
  type LibxdpDispatcher,
  type LibxdpMember,
  type LibxdpOptions,
  leaveLibxdp,
  libxdpOn,
} from "./target/libxdp.ts";
export { LinuxCollection, type LinuxLoadOptions, linuxProgram } from "./target/load.ts";
export { openLink, openMap, openProgram, type Where } from "./target/open.ts";
export { kernelConfig as runningConfig } from "./target/settle.ts";
export { StructOps } from "./target/struct-ops.ts";
export { type LinuxTarget, type LinuxTargetOptions, linuxTarget } from "./target/target.ts";
