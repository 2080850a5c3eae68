/** A machine on several threads: a CPU a thread, over one shared memory. */
export { Cpus } from "./cpus.ts";
export {
  type AttachedMachine,
  type AttachOptions,
  attachMachine,
  describeMachine,
  describeProgram,
  type MachineDescription,
  type MapDescription,
  type ProgramDescription,
  sharedMemory,
} from "./describe.ts";
export type { CpuPort, CtxBatch } from "./port.ts";
export { type Place, XdpQueues } from "./queues.ts";
export {
  createRss,
  RSS_DEFAULT_KEY,
  RSS_KEY_SIZE,
  RSS_SYMMETRIC_KEY,
  type Rss,
  type RssOptions,
  toeplitz,
} from "./rss.ts";
export { type ServeOptions, serveCpu } from "./serve.ts";
