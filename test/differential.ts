/**
 * Runs generated programs on the interpreter, the JIT and the kernel and compares what each leaves behind: r0, the
 * registers that the program stored, packet bytes and length, map contents. Not a test file: differential.test.ts and
 * scripts/differential.mjs use it.
 */
import { disassemble } from "@ebplane/core/asm";
import { concatBytes, seededRandom, toHex } from "@ebplane/core/bytes";
import { SysError, VerifierError } from "@ebplane/core/errors";
import { type BpfMap, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { type EngineName, Machine, SkbBuffer, type VmMap, XdpRing } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import type { LinuxProgram } from "@ebplane/linux/bpf";
import { PACKET_ROOM } from "../packages/core/src/vm/testing/build.ts";
import { build, collection, type Generated, generate, shrink } from "../packages/core/src/vm/testing/generate.ts";
import { contents, MAPS, resetMap } from "../packages/core/src/vm/testing/generate-maps.ts";

/** What one run left behind, as text to compare and to print. */
export interface Outcome {
  readonly verdict: number;
  /** Of a tc program: the fields that a test run gives back. */
  readonly ctx: string;
  readonly packet: string;
  readonly vals: string;
  /** The contents of every other map that the program uses. */
  readonly maps: string;
}

export interface Runner {
  readonly name: string;
  /** The outcome, or why the program was refused. */
  run(program: ProgramSpec, packet: Uint8Array): Outcome | { readonly refused: string };
  close(): void;
}

type Maps = ReadonlyMap<string, BpfMap>;

const ZERO_KEY = new Uint8Array(4);
const ZEROS = new Uint8Array(MAPS[0]!.valueSize);

/** The maps that a program uses, `vals` and `jump` apart. */
function usedMaps(program: ProgramSpec, maps: Maps): BpfMap[] {
  const names = new Set(program.relocs.map((r) => r.name));
  return MAPS.filter(({ name }) => names.has(name) && name !== "vals" && name !== "jump").map((m) => maps.get(m.name)!);
}

function resetMaps(program: ProgramSpec, maps: Maps): void {
  maps.get("vals")!.update(ZERO_KEY, ZEROS);
  for (const map of usedMaps(program, maps)) resetMap(map);
}

/** mark, priority, cb and tstamp of a struct __sk_buff. */
function skbFields(ctx: Uint8Array): string {
  return [ctx.subarray(8, 12), ctx.subarray(32, 36), ctx.subarray(48, 68), ctx.subarray(152, 160)]
    .map((f) => toHex(f))
    .join(" ");
}

const usesJump = (program: ProgramSpec): boolean => program.relocs.some((r) => r.name === "jump");

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function outcome(program: ProgramSpec, verdict: number, packet: Uint8Array, ctx: string, maps: Maps): Outcome {
  const used = usedMaps(program, maps).map((map) => {
    const entries = contents(map).map(([k, v]) => `${toHex(k)}=${toHex(v)}`);
    return `${map.spec.name}: ${entries.join(" ")}`;
  });
  const vals = toHex(maps.get("vals")!.lookup(ZERO_KEY)!);
  return { verdict, ctx, packet: toHex(packet), vals, maps: used.join("; ") };
}

/** An engine of ours. */
export function engineRunner(engine: EngineName): Runner {
  let machine: Machine;
  let maps: Map<string, VmMap>;
  let ring: XdpRing;
  let skb: SkbBuffer;
  let runs = 0;
  return {
    name: engine,
    run(program, packet) {
      // A machine forgets nothing of what it compiled: a new one now and then keeps the memory flat.
      if (runs++ % 500 === 0) {
        machine = new Machine();
        maps = new Map(MAPS.map((spec) => [spec.name, machine.createMap(spec)]));
        ring = new XdpRing(machine.memory);
        skb = new SkbBuffer(machine.memory);
      }
      resetMaps(program, maps);
      const loaded = machine.load(program, { maps, license: "GPL", engine, verified: true });
      const jump = maps.get("jump")!;
      if (usesJump(program)) jump.update(u32(0), u32(loaded.id));
      let result: Outcome;
      if (program.type === ProgType.BPF_PROG_TYPE_XDP) {
        const verdict = loaded.run(ring.write(0, packet));
        // The kernel's test run gives back what lies between data_meta and data_end.
        const after = concatBytes([ring.metadata(), ring.packet()]);
        result = outcome(program, verdict, after, "", maps);
      } else {
        const ctx = skb.write(packet, { ifindex: 1, wireLen: packet.length });
        const verdict = loaded.run(ctx);
        const after = machine.memory.u8.slice(ctx, ctx + 192);
        result = outcome(program, verdict, skb.packet(), skbFields(after), maps);
      }
      if (usesJump(program)) jump.delete(u32(0));
      loaded.close();
      return result;
    },
    close() {},
  };
}

/** The kernel, by PROG_TEST_RUN. */
export function kernelRunner(): Runner {
  const target = linuxTarget();
  // Prog arrays belong to one program type: one for each hook.
  const load = () =>
    target.load({ ...collection(build({ hook: "xdp", main: [], subprograms: [] })), programs: new Map() });
  const kept = load();
  const other = load();
  const xdpMaps = kept.maps;
  const tcMaps = new Map([...kept.maps, ["jump", other.maps.get("jump")!]]);
  return {
    name: "kernel",
    run(program, packet) {
      const isXdp = program.type === ProgType.BPF_PROG_TYPE_XDP;
      const maps = isXdp ? xdpMaps : tcMaps;
      const jump = maps.get("jump")!;
      resetMaps(program, maps);
      try {
        using loaded = target.load(collection(program), { reuse: maps, programs: [program.name] });
        const live = loaded.programs.get(program.name)!;
        if (usesJump(program)) jump.update(u32(0), u32((live as LinuxProgram).fd));
        const run = live.testRun(isXdp ? { packet } : { packet, ctx: new Uint8Array(192) });
        if (usesJump(program)) jump.delete(u32(0));
        return outcome(program, run.verdict, run.packet, run.ctx ? skbFields(run.ctx) : "", maps);
      } catch (error) {
        if (error instanceof VerifierError) return { refused: error.log.split("\n").slice(-6).join("\n") };
        if (error instanceof SysError) return { refused: error.message };
        throw error;
      }
    },
    close() {
      other.close();
      kept.close();
    },
  };
}

export interface Difference {
  readonly seed: number;
  readonly between: string;
  readonly program: Generated;
  readonly packet: Uint8Array;
  readonly outcomes: Record<string, Outcome | { readonly refused: string }>;
}

export interface Report {
  readonly accepted: number;
  readonly refused: number;
  /** Why programs were refused: reason and count. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly insns: number;
  readonly differences: readonly Difference[];
}

/** A frame to the loopback device (whose address is zero), IPv4 or IPv6 more often than not, with random contents. */
function packetOf(seed: number): Uint8Array {
  const random = seededRandom(seed ^ 0x5eed);
  const packet = random.bytes(PACKET_ROOM + random.below(140));
  packet.fill(0, 0, 6);
  const kind = random.below(4);
  if (kind === 0) return packet;
  packet.set(kind === 3 ? [0x86, 0xdd, 0x60] : [0x08, 0x00, 0x45], 12);
  return packet;
}

function compare(
  runners: readonly Runner[],
  generated: Generated,
  packet: Uint8Array,
): { outcomes: Difference["outcomes"]; between: string | undefined; refused: string | undefined; insns: number } {
  const program = build(generated);
  const outcomes: Difference["outcomes"] = {};
  let first: string | undefined;
  let between: string | undefined;
  let refused: string | undefined;
  for (const runner of runners) {
    const result = runner.run(program, packet);
    outcomes[runner.name] = result;
    if ("refused" in result) {
      refused = result.refused;
      // The kernel refuses what it likes; an engine of ours must not.
      if (runner.name !== "kernel") between = `${runner.name} refuses`;
      break;
    }
    const text = JSON.stringify(result);
    if (first === undefined) first = text;
    else if (text !== first) between = `${runners[0]!.name} and ${runner.name}`;
  }
  return { outcomes, between, refused, insns: program.code.length / 8 };
}

/** Compares the programs of seeds `from` up to `from + count`; the kernel, where it is a runner, must come first. */
export function differential(runners: readonly Runner[], from: number, count: number, stopAfter = 3): Report {
  let accepted = 0;
  let refused = 0;
  let insns = 0;
  const reasons = new Map<string, number>();
  const differences: Difference[] = [];
  for (let seed = from; seed < from + count && differences.length < stopAfter; seed++) {
    const generated = generate(seed);
    const packet = packetOf(seed);
    const result = compare(runners, generated, packet);
    if (result.refused !== undefined && !result.between) {
      refused++;
      const reason =
        result.refused.split("\n").find((l) => /^[A-Za-z]/.test(l) && !/^processed|^verification/.test(l)) ??
        result.refused;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      continue;
    }
    accepted++;
    insns += result.insns;
    if (!result.between) continue;
    const program = shrink(generated, (p) => compare(runners, p, packet).between !== undefined);
    const { outcomes, between } = compare(runners, program, packet);
    differences.push({ seed, between: between!, program, packet, outcomes });
  }
  return { accepted, refused, reasons, insns, differences };
}

/** A difference in words: the shrunk program and what every engine left behind. */
export function explain({ seed, between, program, outcomes }: Difference): string {
  const text = disassemble(build(program).code)
    .map((line) => `${line.pc}: ${line.text}`)
    .join("\n");
  const results = Object.entries(outcomes).map(([name, o]) => `${name}: ${JSON.stringify(o)}`);
  return [`seed ${seed}: ${between}`, text, ...results].join("\n");
}
