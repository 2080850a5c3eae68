/**
 * How long it takes from bytecode to the first packet's verdict (translate, compile, instantiate, run), and the memory of
 * a program that stays loaded.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { encode, type InsnInit } from "@ebplane/core/isa";
import { ProgType } from "@ebplane/core/object";
import { Machine, rawProgram, XdpRing } from "@ebplane/core/vm";

export interface Latency {
  readonly insns: number;
  /** The very first load of this size in the process. */
  readonly coldMs: number;
  /** Median of the later ones. */
  readonly warmMs: number;
  readonly targetMs: number;
}

const SIZES = [
  { insns: 50, targetMs: 0.5 },
  { insns: 4000, targetMs: 6 },
];

/** A filter-like program: loads from the packet, arithmetic, stack traffic and a branch in every eight insns. */
export function program(insns: number, variant: number): Uint8Array {
  const code: InsnInit[] = [
    { opcode: 0x61, dst: 2, src: 1, off: 0 },
    { opcode: 0x61, dst: 3, src: 1, off: 4 },
    { opcode: 0xbf, dst: 4, src: 2 },
    { opcode: 0x07, dst: 4, imm: 64 },
    { opcode: 0xb7, dst: 0, imm: 1 },
    { opcode: 0x2d, dst: 4, src: 3, off: insns - 7 },
  ];
  for (let i = 0; code.length < insns - 1; i++) {
    const rest = insns - 1 - code.length;
    const body: InsnInit[] = [
      { opcode: 0x71, dst: 5, src: 2, off: i % 64 },
      { opcode: 0x0f, dst: 0, src: 5 },
      { opcode: 0x67, dst: 0, imm: (i % 7) + 1 },
      { opcode: 0x7b, dst: 10, src: 0, off: -8 * ((i % 32) + 1) },
      { opcode: 0x15, dst: 5, imm: (variant + i) & 0xff, off: 2 },
      { opcode: 0xa7, dst: 0, imm: i * 77 },
      { opcode: 0x79, dst: 5, src: 10, off: -8 * ((i % 32) + 1) },
      { opcode: 0x1f, dst: 0, src: 5 },
    ];
    code.push(...(rest >= 8 ? body : Array.from({ length: rest }, () => ({ opcode: 0x07, dst: 0, imm: 1 }))));
  }
  code.push({ opcode: 0x95 });
  return encode(code);
}

export function latency(): Latency[] {
  const machine = new Machine();
  const ring = new XdpRing(machine.memory, 1);
  const ctx = ring.write(0, new Uint8Array(128).fill(7));
  const load = (insns: number, variant: number): number => {
    const bytes = program(insns, variant);
    const start = performance.now();
    const loaded = machine.load(rawProgram(bytes, ProgType.BPF_PROG_TYPE_XDP), { engine: "jit", verified: true });
    loaded.run(ctx);
    const ms = performance.now() - start;
    loaded.close();
    return ms;
  };
  return SIZES.map(({ insns, targetMs }) => {
    const coldMs = load(insns, 0);
    const later = Array.from({ length: 140 }, (_, i) => load(insns, i + 1)).slice(100);
    later.sort((a, b) => a - b);
    return { insns, coldMs, warmMs: later[later.length >> 1]!, targetMs };
  });
}

export interface Footprint {
  readonly insns: number;
  /** Resident bytes of the process for each loaded program, maps apart; hot, so compiled in both tiers. */
  readonly residentMb: number;
  /** Of them on V8's heap. */
  readonly heapMb: number;
  readonly targetMb: number;
}

/** Loads many programs of 4,000 insns, runs each hot, and divides what the process grew by. */
export async function footprint(): Promise<Footprint> {
  const insns = 4000;
  const count = 40;
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const machine = new Machine();
  const ring = new XdpRing(machine.memory, 1);
  const ctx = ring.write(0, new Uint8Array(128).fill(7));
  const load = (variant: number) => {
    const spec = rawProgram(program(insns, variant), ProgType.BPF_PROG_TYPE_XDP);
    const loaded = machine.load(spec, { engine: "jit", verified: true });
    loaded.run(ctx);
    return loaded;
  };
  for (let i = 0; i < 10; i++) load(i).close();
  const settled = async (): Promise<NodeJS.MemoryUsage> => {
    await sleep(1000);
    collect();
    collect();
    await sleep(200);
    return process.memoryUsage();
  };
  const before = await settled();
  const kept = Array.from({ length: count }, (_, i) => load(100 + i));
  for (const loaded of kept) for (let i = 0; i < 2000; i++) loaded.run(ctx);
  const after = await settled();
  for (const loaded of kept) loaded.close();
  const each = (bytes: number): number => bytes / count / 1e6;
  return {
    insns,
    residentMb: each(after.rss - before.rss),
    heapMb: each(after.heapUsed - before.heapUsed),
    targetMb: 2,
  };
}
