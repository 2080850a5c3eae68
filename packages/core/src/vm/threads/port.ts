/**
 * How the owner of a machine and its CPUs talk: messages that postMessage can clone, over whatever carries them. Spawning
 * threads is the host's: Node's worker_threads and a page's Web Workers differ, and core knows neither.
 */
import type { MachineDescription, ProgramDescription } from "./describe.ts";

/**
 * One end of a connection to another thread. In Node a worker or `parentPort` with post as `postMessage` and listen as
 * `on("message")`; in a page `postMessage` and the `data` of `message` events.
 */
export interface CpuPort {
  post(message: unknown): void;
  /** `lost` is told once when the other end has died. */
  listen(received: (message: unknown) => void, lost: (error: unknown) => void): void;
  /** Ends the connection, and the thread where this end started it. */
  close(): void;
}

/** A ring of ctx in the machine's memory, as `Runner.batch` takes it. */
export interface CtxBatch {
  /** Address of the first ctx, and bytes from one to the next. */
  readonly ctx: number;
  readonly stride: number;
  readonly count: number;
  /** Address of `count` 32-bit words that get each r0's low half. */
  readonly verdicts: number;
  /** Runs the whole ring so many times: for measuring. Default 1. */
  readonly repeat?: number;
}

export type Request =
  | { readonly kind: "attach"; readonly machine: MachineDescription; readonly cpu: number }
  | { readonly kind: "load"; readonly program: ProgramDescription }
  | { readonly kind: "unload"; readonly id: number }
  | { readonly kind: "batch"; readonly id: number; readonly batch: CtxBatch }
  | { readonly kind: "detach" };

/** Answers come in the order of the requests. */
export interface Reply {
  /** Why the request failed; it was done without it. */
  readonly error?: string;
  /** Addresses of the ring buffers whose consumers are to be woken. */
  readonly notified: readonly number[];
}
