/** The thread of one CPU: does what the owner (`Cpus`) asks for, one request after the other. */
import type { Host } from "../env.ts";
import { type AttachedMachine, attachMachine } from "./describe.ts";
import type { CpuPort, Reply, Request } from "./port.ts";

export interface ServeOptions {
  /** This CPU's clock, randomness and output; each CPU has its own. */
  readonly host?: (cpu: number) => Host;
}

/** To be called once on a new thread; returns at once, the work is done as messages come. */
export function serveCpu(port: CpuPort, options: ServeOptions = {}): void {
  let attached: AttachedMachine | undefined;
  const notified = new Set<number>();

  const perform = (request: Request): void => {
    if (request.kind === "attach") {
      const { machine, cpu } = request;
      const host = options.host?.(cpu);
      attached = attachMachine(machine, cpu, { notify: (map) => notified.add(map), ...(host && { host }) });
      return;
    }
    if (!attached) throw new TypeError(`${request.kind}: this thread is attached to no machine`);
    if (request.kind === "detach") {
      attached.close();
      attached = undefined;
      return;
    }
    if (request.kind === "load") {
      attached.attachProgram(request.program);
      return;
    }
    const program = attached.machine.programs.get(request.id);
    if (!program) throw new RangeError(`${request.kind}: no program with the id ${request.id}`);
    if (request.kind === "unload") {
      program.close();
      return;
    }
    const { ctx, stride, count, verdicts, repeat = 1 } = request.batch;
    for (let i = 0; i < repeat; i++) program.runner.batch(ctx, stride, count, verdicts);
  };

  port.listen(
    (message) => {
      let error: string | undefined;
      try {
        perform(message as Request);
      } catch (e) {
        error = e instanceof Error ? e.message : String(e);
      }
      const reply: Reply = { notified: [...notified], ...(error !== undefined && { error }) };
      notified.clear();
      port.post(reply);
    },
    () => attached?.close(),
  );
}
