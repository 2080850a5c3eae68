/**
 * What `ebplane bench` times. On jit and interp: a batch over a ring of packets in the machine's memory, nothing copied in
 * or out. On the kernel: BPF_PROG_TEST_RUN with as many repeats, by the kernel's own clock, over one packet at a time.
 */
import { UnsupportedError } from "@ebplane/core/errors";
import { type Program, ProgType, progTypeName, type Target } from "@ebplane/core/object";
import { SimTarget, SKB_TEST_TYPES, TestSkb } from "@ebplane/core/sim";
import { SKB, XDP, XdpRing } from "@ebplane/core/vm";

/** Packets of a batch: more than one cache line's worth, small enough to stay in the cache. */
export const RING = 64;

/** Times `batches` batches; answers milliseconds and the number of runs. */
export type Timer = (batches: number) => { readonly ms: number; readonly runs: number };

/** @throws UnsupportedError for a program type without packets. */
export function timerOf(target: Target, program: Program, packets: readonly Uint8Array[]): Timer {
  const { type } = program.spec;
  if (type !== ProgType.BPF_PROG_TYPE_XDP && !SKB_TEST_TYPES.has(type)) {
    throw new UnsupportedError("bench", `${progTypeName(type)} programs are run by no packet`);
  }
  // Refuses what a run would refuse (a frame that is too short, say), on every engine with the same words.
  for (const packet of packets) program.testRun({ packet });
  if (!(target instanceof SimTarget)) return kernelTimer(program, packets);
  const ring = type === ProgType.BPF_PROG_TYPE_XDP ? xdpRing(target, packets) : skbRing(target, type, packets);
  return batchTimer(target, program, ring);
}

interface Ring {
  /** Ctx by ctx, `stride` bytes apart. */
  readonly ctx: number;
  readonly stride: number;
  readonly verdicts: number;
  /** Makes all packets anew. */
  write(): void;
  /** Where every packet begins and how long it is, as text. */
  ends(): string;
}

function xdpRing(sim: SimTarget, packets: readonly Uint8Array[]): Ring {
  const capacity = Math.max(3520, ...packets.map((p) => p.length));
  const ring = new XdpRing(sim.machine.memory, RING, capacity);
  const at = Array.from({ length: RING }, (_, i) => i);
  return {
    ctx: ring.ctx,
    stride: XDP.STRIDE,
    verdicts: ring.verdicts,
    write: () => at.forEach((i) => void ring.write(i, packets[i % packets.length]!, { ingressIfindex: 1 })),
    ends: () => at.map((i) => `${ring.packet(i).byteOffset}+${ring.packet(i).length}`).join(),
  };
}

function skbRing(sim: SimTarget, type: number, packets: readonly Uint8Array[]): Ring {
  const { memory } = sim.machine;
  const made: TestSkb[] = [];
  const evenly = (row: readonly TestSkb[]): boolean =>
    row.every(({ skb }, i) => i < 2 || skb.ctx - row[i - 1]!.skb.ctx === row[1]!.skb.ctx - row[0]!.skb.ctx);
  // The first may fall into gaps that the memory has; behind them one stands beside the other.
  do made.push(new TestSkb(memory, type));
  while (made.length < RING || (made.length < 8 * RING && !evenly(made.slice(-RING))));
  const all = made.splice(-RING);
  for (const test of made) test.close();
  if (!evenly(all)) throw new UnsupportedError("bench", "a memory without order");
  const write = (): void => all.forEach((test, i) => void test.write(packets[i % packets.length]!));
  const ctx = all[0]!.skb.ctx;
  const stride = all[1]!.skb.ctx - ctx;
  return {
    ctx,
    stride,
    verdicts: memory.alloc(4 * RING),
    write,
    ends: () => all.map(({ skb }) => [SKB.DATA, SKB.LEN, SKB.DATA_END].map((f) => skb.field(f))).join(),
  };
}

/**
 * The clock is read once a `stretch` of batches. Packets are written anew before each; where the program moves the
 * packet's ends (its changes would add up until the room is used), a stretch is a single batch.
 */
function batchTimer(sim: SimTarget, program: Program, ring: Ring): Timer {
  const vm = sim.vmProgram(program);
  const run = (): void => vm.runner.batch(ring.ctx, ring.stride, RING, ring.verdicts);
  ring.write();
  const before = ring.ends();
  run();
  const stretch = ring.ends() === before ? 64 : 1;
  return (batches) => {
    let ms = 0;
    for (let done = 0; done < batches; done += stretch) {
      ring.write();
      const start = performance.now();
      for (let b = 0; b < stretch; b++) run();
      ms += performance.now() - start;
    }
    return { ms, runs: Math.ceil(batches / stretch) * stretch * RING };
  };
}

function kernelTimer(program: Program, packets: readonly Uint8Array[]): Timer {
  return (batches) => {
    const repeat = Math.max(1, Math.ceil((batches * RING) / packets.length));
    let ms = 0;
    for (const packet of packets) ms += (program.testRun({ packet, repeat }).durationNs * repeat) / 1e6;
    return { ms, runs: repeat * packets.length };
  };
}
