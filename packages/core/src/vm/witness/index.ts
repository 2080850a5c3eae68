/**
 * An input that takes the path of a refused program: a packet, ctx fields and entries of maps, found by solving the
 * path's comparisons and believed only after a guarded run of the program on it has gone the whole path.
 */
import { BpfError } from "../../errors/index.ts";
import { decode } from "../../isa/index.ts";
import { type MapSpec, MapType, type ProgramSpec } from "../../object/index.ts";
import { GuardedRun } from "../guard.ts";
import { Machine } from "../machine.ts";
import { type CtxModel, ctxModel } from "./ctx.ts";
import { type Input, type Start, solve } from "./solve.ts";
import { followed, type Path } from "./symbolic.ts";

/** An entry that a map has to have. */
export interface WitnessEntry {
  readonly map: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface Witness {
  /** The frame, from its link header on. */
  readonly packet: Uint8Array;
  /** Fields of the ctx that are not zero, by name. */
  readonly ctx: Readonly<Record<string, number>>;
  readonly entries: readonly WitnessEntry[];
  /** What the guarded run says of the refused insn; undefined where nothing is wrong with it on this input. */
  readonly fault: string | undefined;
}

/** Maps are made for each try: not those of a program for millions of flows. */
const MOST_MAP_BYTES = 64 << 20;

/** Longer paths are not followed: they are rounds of a loop, and what one asks for no packet has. */
const LONGEST = 20_000;

/** Just an Ethernet header or something to read; of zeros, or of what makes indexes and lengths large. */
const STARTS: readonly Start[] = [14, 64, 200].flatMap((length) => [
  { length, fill: 0 },
  { length, fill: 0xff },
]);

interface Refused {
  readonly program: ProgramSpec;
  readonly maps: ReadonlyMap<string, MapSpec>;
  readonly license: string;
  readonly trace: readonly number[];
  readonly model: CtxModel;
  readonly path: Path;
}

/**
 * @param trace `VerifierReport.trace`: the pcs of the path, the refused insn last.
 * Prefers an input on which the guarded run finds the fault. Undefined where none was found: the path may depend on what
 * helpers answer, be one that no input takes, or the program be of a type without a packet.
 */
export function findPacket(
  program: ProgramSpec,
  maps: ReadonlyMap<string, MapSpec>,
  license: string,
  trace: readonly number[],
): Witness | undefined {
  const model = ctxModel(program.type);
  if (!model || trace.length === 0 || trace.length > LONGEST) return undefined;
  const used = new Map([...maps].filter(([name]) => program.relocs.some((reloc) => reloc.name === name)));
  let bytes = 0;
  for (const { maxEntries, keySize, valueSize } of used.values()) bytes += maxEntries * (keySize + valueSize);
  if (bytes > MOST_MAP_BYTES) return undefined;
  try {
    const named = new Map(program.relocs.filter((r) => r.kind === "map").map((r) => [r.pc, used.get(r.name)]));
    const insns = new Map(decode(program.code).map((insn) => [insn.pc, insn]));
    const path = followed(insns, trace, model, (pc) => named.get(pc));
    const refused: Refused = { program, maps: used, license, trace, model, path };
    let harmless: Witness | undefined;
    for (const start of STARTS) {
      const input = solve(path, start, model.pulled);
      const entries = input && run(refused, input, start.fill, undefined)?.entries;
      // The entries came while it ran; believed is a run that finds them there.
      const found = entries && run(refused, input, start.fill, entries);
      if (found?.fault) return found;
      harmless ??= found;
    }
    return harmless;
  } catch (error) {
    if (error instanceof BpfError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Follows the path; without `entries`, each lookup's entry is put into its map just before it. Undefined off the path. */
function run(refused: Refused, input: Input, fill: number, entries: readonly WitnessEntry[] | undefined) {
  const { program, maps, license, trace, model, path } = refused;
  const machine = new Machine();
  const live = new Map([...maps].map(([name, spec]) => [name, machine.createMap(spec)]));
  for (const [name, { contents }] of maps) {
    for (const { key, value } of contents ?? []) if (value instanceof Uint8Array) live.get(name)!.update(key, value);
  }
  for (const { map, key, value } of entries ?? []) live.get(map)!.update(key, value);
  using loaded = machine.load(program, { maps: live, license, engine: "interp" });
  const at = model.write(machine, input.packet, input.ctx, fill);
  const guarded = new GuardedRun(machine, loaded, [at], { budget: trace.length + 1 });
  const made: WitnessEntry[] = [];
  const lookups = new Map(path.lookups.map((lookup, n) => [lookup.at, n]));
  for (let i = 0; i < trace.length; i++) {
    if (guarded.result || guarded.pc !== trace[i]) return undefined;
    const n = entries ? undefined : lookups.get(i);
    if (n !== undefined) {
      const { map } = path.lookups[n]!;
      const name = [...maps].find(([, spec]) => spec === map)![0];
      const entry = entryOf(name, map, input.values[n], keyBytes(n));
      if (entry) {
        live.get(entry.map)!.update(entry.key, entry.value);
        made.push(entry);
      }
    }
    if (i < trace.length - 1) guarded.step();
  }
  guarded.step();
  const chosen = [...model.chosen].map(([offset, name]): [string, number] => [name, input.ctx.get(offset) ?? fill]);
  const ctx = Object.fromEntries(chosen.filter(([, value]) => value !== 0));
  return { packet: input.packet, ctx, entries: entries ?? made, fault: guarded.result?.fault?.message };

  function keyBytes(n: number): Uint8Array {
    const address = Number(guarded.registers()[2]! & 0xffff_ffffn);
    return machine.memory.u8.slice(address, address + path.lookups[n]!.map.keySize);
  }
}

/** Undefined where the map is to have no such entry, or has one that is good as it is. */
function entryOf(name: string, map: MapSpec, value: Uint8Array | undefined, key: Uint8Array): WitnessEntry | undefined {
  if (!value || map.type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY) return undefined;
  const array = map.type === MapType.BPF_MAP_TYPE_ARRAY;
  if (array && (new DataView(key.buffer).getUint32(0, true) >= map.maxEntries || value.every((b) => b === 0))) {
    return undefined;
  }
  return { map: name, key, value };
}
