/** Runs a case of testdata/*.case as its sections say, on an engine. For tests alone. */
import { assemble } from "../../asm/index.ts";
import { fromHex } from "../../bytes/index.ts";
import type { VmMap } from "../../maps/index.ts";
import { type MapSpec, MapType, type ProgramSpec, progTypeByName } from "../../object/index.ts";
import { SkbBuffer } from "../ctx/skb.ts";
import { XdpRing } from "../ctx/xdp.ts";
import type { EngineName } from "../engines.ts";
import { rawProgram } from "../exec.ts";
import { Machine } from "../machine.ts";
import type { EngineCase } from "./cases.ts";

export interface CaseResult {
  readonly r0: bigint;
  /** The memory or packet afterwards. */
  readonly after: Uint8Array;
  /** The values of the maps that have entries, by name, key by key. */
  readonly maps: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** The program of a case; type 0 where it runs on plain memory. */
export function caseProgram({ sections }: EngineCase): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(sections.get("asm")!);
  const type = sections.has("type") ? progTypeByName(sections.get("type")!) : 0;
  if (type === undefined) throw new SyntaxError(`no program type ${sections.get("type")}`);
  return { ...rawProgram(code, type, "case"), relocs, lineInfo };
}

/** Maps from lines of `name type key value max`, with `rodata HEX` for a frozen first value. */
export function caseMaps({ sections }: EngineCase): MapSpec[] {
  const text = sections.get("maps");
  if (!text) return [];
  return text.split("\n").map((line) => {
    const [name, type, key, value, max, rodata, hex] = line.split(" ") as [string, string, ...string[]];
    const number = (MapType as Record<string, number>)[`BPF_MAP_TYPE_${type.toUpperCase()}`];
    if (number === undefined) throw new SyntaxError(`no map type ${type}`);
    const spec: MapSpec = {
      name,
      type: number,
      keySize: Number(key),
      valueSize: Number(value),
      maxEntries: Number(max),
      flags: rodata ? 1 << 7 : 0,
    };
    if (!rodata) return spec;
    const bytes = new Uint8Array(spec.valueSize);
    bytes.set(fromHex(hex!));
    return { ...spec, frozen: true, contents: [{ key: new Uint8Array(4), value: bytes }] };
  });
}

export function casePacket({ sections }: EngineCase): Uint8Array {
  return fromHex(sections.get("mem") ?? (sections.has("type") ? "00".repeat(64) : ""));
}

export function runCase(c: EngineCase, engine: EngineName): CaseResult {
  const machine = new Machine();
  const maps = new Map<string, VmMap>();
  for (const spec of caseMaps(c)) {
    const map = machine.createMap(spec);
    for (const { key, value } of spec.contents ?? []) map.update(key, value as Uint8Array);
    maps.set(spec.name, map);
  }
  const spec = caseProgram(c);
  const program = machine.load(spec, { engine, maps });
  const bytes = casePacket(c);
  const result = (low: number, after: Uint8Array): CaseResult => ({
    r0: machine.r0(low),
    after,
    maps: new Map([...maps].map(([name, map]) => [name, [...map.entries()].map(([, v]) => v)])),
  });
  if (c.sections.get("type") === "xdp") {
    const ring = new XdpRing(machine.memory);
    const low = program.run(ring.write(0, bytes));
    return result(low, ring.packet().slice());
  }
  if (spec.type) {
    const skb = new SkbBuffer(machine.memory);
    const low = program.run(skb.write(bytes, { ifindex: 1 }));
    return result(low, skb.packet());
  }
  const at = machine.memory.alloc(bytes.length || 1);
  machine.memory.u8.set(bytes, at);
  const low = program.runner.call(0, [at, bytes.length]);
  return result(low, machine.memory.u8.slice(at, at + bytes.length));
}
