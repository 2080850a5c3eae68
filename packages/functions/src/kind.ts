/**
 * What a network function is to the plane: one `FunctionKind` a type, registered in `kinds.ts`.
 *
 * A kind brings a packet program (`*.bpf.ts`, a function `(pkt) => verdict` that the chain calls), the schema of its
 * part of the plane file, what of the configuration is folded into the code, and what lives in maps.
 */
import type { BpfMap, MapEntry } from "@ebplane/core/object";
import type { z } from "zod";

/** Where a configuration error is: a path of keys and indices below the function's node in the plane file. */
export interface ConfigIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What a kind may ask about the plane it is part of. */
export interface PlaneContext {
  /** Interface names in the plane's order; the index is the key of the plane's devmap. */
  readonly interfaces: readonly string[];
}

/** One map of a function: initial entries by key, in memory order. */
export type MapContents = ReadonlyMap<string, readonly MapEntry[]>;

/** One line of a function's own report, e.g. a rule with its hits. */
export interface Detail {
  readonly label: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface FunctionKind<Config = unknown> {
  /** The `type:` in the plane file. */
  readonly type: string;
  /** One sentence for the JSON Schema and the docs. */
  readonly description: string;
  /** The configuration without `type`. */
  readonly schema: z.ZodObject;
  /** The packet program, by its path below `src`; it exports `run(pkt): u32`. */
  readonly source: string;
  /** What the schema alone cannot say (references, combinations); empty when all is well. */
  check(config: Config, plane: PlaneContext): ConfigIssue[];
  /** Values folded into the code, by the name that the program gives to `config()`. Changing one recompiles. */
  constants(config: Config, plane: PlaneContext): Readonly<Record<string, number | boolean>>;
  /** Contents of the program's maps, by the name the map has in the program. */
  contents(config: Config, plane: PlaneContext): MapContents;
  /** Why this function drops, in the order of the program's reason codes. */
  readonly reasons: readonly string[];
  /** Interfaces of the plane that it may send packets out of, by name; none when absent. */
  redirectsTo?(config: Config): readonly string[];
  /** Own counters, read from the function's live maps (by their names in the program). */
  details(config: Config, maps: ReadonlyMap<string, BpfMap>): Detail[];
  /** Puts a changed configuration into the live maps; undefined where the kind has no live part. */
  update?(config: Config, maps: ReadonlyMap<string, BpfMap>): void;
}

/** Sums the values of a per-CPU `{packets: u64, bytes: u64}` as `BpfMap.lookup` returns it. */
export function sumCounter(value: Uint8Array | undefined): { packets: bigint; bytes: bigint } {
  const sum = { packets: 0n, bytes: 0n };
  if (!value) return sum;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  for (let at = 0; at + 16 <= value.length; at += 16) {
    sum.packets += view.getBigUint64(at, true);
    sum.bytes += view.getBigUint64(at + 8, true);
  }
  return sum;
}

/** A 4-byte array index as a map key, in memory order of a little-endian machine. */
export function indexKey(index: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, index, true);
  return key;
}
