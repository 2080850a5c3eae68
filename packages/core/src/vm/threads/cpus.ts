/**
 * The CPUs of a machine as its owner sees them: a thread each, started by the host, that runs the machine's programs on
 * batches in the shared memory. The owner's own thread runs nothing meanwhile but may read and write maps.
 */
import { BpfError } from "../../errors/index.ts";
import type { Machine, VmProgram } from "../machine.ts";
import { describeMachine, describeProgram } from "./describe.ts";
import type { CpuPort, CtxBatch, Reply, Request } from "./port.ts";

interface Waiting {
  resolve(): void;
  reject(error: unknown): void;
}

/** One thread: requests are answered in order. */
class CpuThread {
  readonly #port: CpuPort;
  readonly #waiting: Waiting[] = [];
  #lost: Error | undefined;

  constructor(port: CpuPort, cpu: number, notified: (map: number) => void) {
    this.#port = port;
    port.listen(
      (message) => {
        const reply = message as Reply;
        for (const map of reply.notified) notified(map);
        const waiting = this.#waiting.shift();
        if (reply.error === undefined) waiting?.resolve();
        else waiting?.reject(new BpfError("ECPU", `cpu ${cpu}: ${reply.error}`));
      },
      (cause) => {
        this.#lost ??= new BpfError("ECPU", `cpu ${cpu}: its thread has ended`, { cause });
        for (const { reject } of this.#waiting.splice(0)) reject(this.#lost);
      },
    );
  }

  ask(request: Request): Promise<void> {
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#port.post(request);
    });
  }

  close(): void {
    this.#lost ??= new TypeError("cpus: used after close");
    this.#port.close();
  }
}

/** Threads for all CPUs of a machine. Owns the ports. */
export class Cpus {
  readonly machine: Machine;
  readonly #threads: readonly CpuThread[];

  private constructor(machine: Machine, ports: readonly CpuPort[]) {
    this.machine = machine;
    this.#threads = ports.map((port, cpu) => new CpuThread(port, cpu, (map) => machine.mapAt(map)?.notified()));
  }

  /**
   * Attaches a thread a CPU, in the order of `ports`; each must run `serveCpu`. The machine's programs are there when
   * this resolves. On failure all ports are closed.
   * @throws RangeError when ports and CPUs differ in number, and as `describeMachine`; BpfError ECPU with what a thread
   * could not do.
   */
  static async start(machine: Machine, ports: readonly CpuPort[]): Promise<Cpus> {
    if (ports.length !== machine.cpus) {
      throw new RangeError(`machine on threads: expected ${machine.cpus} ports, got ${ports.length}`);
    }
    const description = describeMachine(machine);
    const cpus = new Cpus(machine, ports);
    try {
      await cpus.#all((thread, cpu) => thread.ask({ kind: "attach", machine: description, cpu }));
    } catch (error) {
      for (const thread of cpus.#threads) thread.close();
      throw error;
    }
    return cpus;
  }

  get count(): number {
    return this.#threads.length;
  }

  /** Brings a program of the machine to all CPUs; put it into a prog array only then. @throws BpfError ECPU */
  async load(program: VmProgram): Promise<void> {
    const description = describeProgram(this.machine, program);
    await this.#all((thread) => thread.ask({ kind: "load", program: description }));
  }

  /** Takes a program from all CPUs; the owner's stays. @throws BpfError ECPU */
  async unload(program: VmProgram): Promise<void> {
    await this.#all((thread) => thread.ask({ kind: "unload", id: program.id }));
  }

  /** Runs a program on one CPU. The ring is the thread's until this resolves. @throws BpfError ECPU */
  async run(cpu: number, program: VmProgram, batch: CtxBatch): Promise<void> {
    const thread = this.#threads[cpu];
    if (!thread) throw new RangeError(`cpu: expected 0 to ${this.count - 1}, got ${cpu}`);
    await thread.ask({ kind: "batch", id: program.id, batch });
  }

  /** Lets running batches end (their promises resolve), gives back the CPUs' memory and ends the threads. */
  async close(): Promise<void> {
    try {
      await this.#all((thread) => thread.ask({ kind: "detach" }));
    } finally {
      for (const thread of this.#threads) thread.close();
    }
  }

  /** Waits for all threads, also when one fails: nothing is left running. */
  async #all(ask: (thread: CpuThread, cpu: number) => Promise<void>): Promise<void> {
    const done = await Promise.allSettled(this.#threads.map(ask));
    const failed = done.find((d) => d.status === "rejected");
    if (failed) throw failed.reason;
  }
}
