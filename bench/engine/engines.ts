/** The engines of the bench: each prepares a program once and then times runs of it on one hot packet. */
import type { CollectionSpec } from "@ebplane/core/object";
import { type EngineName, type JitRunner, Machine, type Runner, XDP, XdpRing } from "@ebplane/core/vm";
import { kernelAvailable, linuxTarget } from "@ebplane/linux";
import type { BenchProgram } from "./programs.ts";

export interface Timed {
  /** Nanoseconds that `count` runs took. */
  time(count: number): number;
  /** The last run's verdict. */
  verdict(): number;
}

const RING = 256;

interface Loaded {
  readonly machine: Machine;
  readonly runner: Runner;
  readonly ring: XdpRing;
}

/** The program on a machine of its own, its maps filled, its packet in every frame of a ring. */
function load(program: BenchProgram, spec: CollectionSpec, engine: EngineName, inlined = true): Loaded {
  const machine = new Machine({ memory: { initial: 16 << 20 } });
  const maps = new Map([...spec.maps].map(([name, map]) => [name, machine.createMap(map)]));
  for (const [name, entries] of Object.entries(program.contents)) {
    for (const { key, value } of entries) {
      if (!(value instanceof Uint8Array)) throw new TypeError(`map ${name}: the bench's maps hold bytes`);
      maps.get(name)!.update(key, value);
    }
  }
  const [bpf] = spec.programs.values();
  const { runner } = machine.load(bpf!, { maps, engine, verified: true, inlineBatch: inlined });
  const ring = new XdpRing(machine.memory, RING, 1536);
  for (let i = 0; i < RING; i++) ring.write(i, program.packet);
  return { machine, runner, ring };
}

function elapsed(body: () => void): number {
  const start = process.hrtime.bigint();
  body();
  return Number(process.hrtime.bigint() - start);
}

/** One call for many ctx: all of them the same, so that the packet is as hot as in the other engines. */
export function batch(program: BenchProgram, spec: CollectionSpec, engine: EngineName, inlined: boolean): Timed {
  const { machine, runner, ring } = load(program, spec, engine, inlined);
  return {
    time: (count) =>
      elapsed(() => {
        for (let left = count; left > 0; left -= RING) runner.batch(ring.ctx, 0, Math.min(left, RING), ring.verdicts);
      }),
    verdict: () => machine.memory.view.getUint32(ring.verdicts, true),
  };
}

/**
 * One call from JavaScript a packet; with `copy`, 64 bytes of packet are copied in before each. The loop is made anew
 * for each program: V8 inlines the way into wasm only at a call that has seen one function, as an application's has.
 */
export function perCall(program: BenchProgram, spec: CollectionSpec, copy: boolean): Timed {
  const { machine, runner, ring } = load(program, spec, "jit");
  const { ctx } = ring;
  const data = machine.memory.view.getUint32(ctx + XDP.DATA, true);
  const head = program.packet.slice(0, 64);
  const body = `let verdict = 0; for (let i = 0; i < count; i++) { ${copy ? "u8.set(head, data);" : ""} verdict = run(ctx); } return verdict;`;
  const loop = new Function("run", "ctx", "count", "u8", "head", "data", body);
  let verdict = 0;
  return {
    time: (count) =>
      elapsed(() => {
        verdict = loop((runner as JitRunner).entry, ctx, count, machine.memory.u8, head, data);
      }),
    verdict: () => verdict,
  };
}

/** PROG_TEST_RUN of the same bytes; the kernel measures. */
export function kernel(program: BenchProgram, spec: CollectionSpec): Timed {
  const contents = new Map([...spec.maps].map(([name, map]) => [name, { ...map, contents: program.contents[name] }]));
  const collection = linuxTarget().load({ ...spec, maps: contents });
  const [loaded] = collection.programs.values();
  let verdict = 0;
  return {
    time(count) {
      const result = loaded!.testRun({ packet: program.packet, repeat: count });
      verdict = result.verdict;
      return result.durationNs * count;
    },
    verdict: () => verdict,
  };
}

export { kernelAvailable };
