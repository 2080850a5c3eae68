/**
 * Map definitions: `.maps` (BTF), and the two old structs of a `maps` section.
 * Source: libbpf.c `parse_btf_map_def`; libbpf 0.x `struct bpf_map_def`; iproute2 include/bpf_elf.h `bpf_elf_map`.
 */
import { type Btf, type BtfMember, resolve, sizeOf, skipModifiers, typeText } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import { BPF_F_NUMA_NODE, type MapEntry, type MapSpec, MapType } from "../object/index.ts";
import type { ElfSymbol } from "./container.ts";

/** A map and where its variable stands in its section. `valuesAt` is the byte offset of its `values` slots. */
export interface FoundMap {
  readonly spec: MapSpec;
  readonly offset: number;
  readonly size: number;
  readonly valuesAt: number | undefined;
}

/** The maps of `.maps`, in the section's order. @throws ElfError naming map and field. */
export function parseBtfMaps(btf: Btf, dataSize: number): FoundMap[] {
  const id = btf.find(".maps", "datasec");
  const datasec = id === undefined ? undefined : btf.type(id);
  if (datasec?.kind !== "datasec")
    throw new ElfError("expected a DATASEC of its variables in .BTF", { section: ".maps" });
  return datasec.vars.map(({ type, offset, size }) => {
    const v = btf.type(type);
    if (v.kind !== "var" || !v.name)
      throw new ElfError(`expected a variable, got ${v.kind}`, { section: ".maps", offset });
    if (offset + size > dataSize)
      throw new ElfError(`map ${v.name} ends at ${offset + size} of ${dataSize} bytes`, { section: ".maps" });
    const { spec, valuesAt } = parseDefinition(btf, v.name, resolve(btf, v.type), false);
    return { spec, offset, size, valuesAt: valuesAt === undefined ? undefined : offset + valuesAt };
  });
}

interface Definition {
  readonly spec: MapSpec;
  readonly valuesAt: number | undefined;
}

function parseDefinition(btf: Btf, name: string, typeId: number, inner: boolean): Definition {
  const def = btf.type(typeId);
  const fail = (why: string): never => {
    throw new ElfError(`map ${name}: ${why}`, { section: ".maps" });
  };
  if (def.kind !== "struct") return fail(`expected a struct, got ${def.kind}`);
  const map: { -readonly [K in keyof MapSpec]: MapSpec[K] } = {
    name,
    type: 0,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
  };
  let valuesAt: number | undefined;
  const size = (field: "keySize" | "valueSize", value: number, m: BtfMember) => {
    if (map[field] && map[field] !== value) fail(`${m.name}: ${value} bytes, but ${map[field]} before`);
    map[field] = value;
  };
  for (const m of def.members) {
    switch (m.name) {
      case "type":
        map.type = uintField(btf, name, m);
        break;
      case "max_entries":
        map.maxEntries = uintField(btf, name, m);
        break;
      case "map_flags":
        map.flags = uintField(btf, name, m);
        break;
      case "numa_node":
        map.numaNode = uintField(btf, name, m);
        break;
      case "key_size":
        size("keySize", uintField(btf, name, m), m);
        break;
      case "value_size":
        size("valueSize", uintField(btf, name, m), m);
        break;
      case "key":
        map.keyTypeId = typeField(btf, name, m);
        size("keySize", sizeOf(btf, map.keyTypeId), m);
        break;
      case "value":
        map.valueTypeId = typeField(btf, name, m);
        size("valueSize", sizeOf(btf, map.valueTypeId), m);
        break;
      case "pinning": {
        const pinning = uintField(btf, name, m);
        if (inner && pinning) fail("an inner map cannot be pinned");
        // Cilium's loader has numbers of its own.
        map.pinning = pinning > 1 ? pinning : pinning ? "by-name" : "none";
        break;
      }
      case "map_extra":
        map.mapExtra = BigInt(uintField(btf, name, m));
        break;
      case "values": {
        if (inner) fail("maps nest one level only");
        const array = btf.type(resolve(btf, m.type));
        if (array.kind !== "array" || array.length !== 0) return fail("values: expected an array without length");
        const pointer = btf.type(resolve(btf, array.type));
        if (pointer.kind !== "ptr") return fail("values: expected an array of pointers");
        const target = resolve(btf, pointer.type);
        const kind = btf.type(target).kind;
        if (kind === "struct") {
          map.inner = parseDefinition(btf, `${name}.inner`, target, true).spec;
        } else if (kind !== "funcProto") fail(`values: expected maps or functions, got ${typeText(btf, target)}`);
        // The slots hold fds.
        map.valueSize ||= 4;
        map.keySize ||= map.type === MapType.BPF_MAP_TYPE_HASH_OF_MAPS ? 0 : 4;
        valuesAt = m.bitOffset / 8;
        break;
      }
      default:
        fail(`unknown field ${JSON.stringify(m.name)}`);
    }
  }
  if (!map.type) fail("has no type");
  return { spec: map, valuesAt };
}

/** `__uint(x, n)`: pointer to an array of n. `__ulong(x, n)`: an enum with one value. */
function uintField(btf: Btf, map: string, m: BtfMember): number {
  const type = btf.type(resolve(btf, m.type));
  if (type.kind === "ptr") {
    const array = btf.type(resolve(btf, type.type));
    if (array.kind === "array") return array.length;
  } else if ((type.kind === "enum" || type.kind === "enum64") && type.values.length === 1) {
    return Number(BigInt.asUintN(53, type.values[0]!.value));
  }
  throw new ElfError(`map ${map}: ${m.name}: expected a number as __uint writes it`, { section: ".maps" });
}

function typeField(btf: Btf, map: string, m: BtfMember): number {
  const type = btf.type(skipModifiers(btf, m.type));
  if (type.kind !== "ptr")
    throw new ElfError(`map ${map}: ${m.name}: expected a pointer to the type`, { section: ".maps" });
  return type.type;
}

/** Of `struct bpf_map_def` all have 20 bytes in common; the kernel's samples have 28, iproute2's struct 36, gobpf's 280. */
const LEGACY_SIZE = 20;
const SAMPLES_SIZE = 28;
const IPROUTE2_SIZE = 36;
const GOBPF_SIZE = 280;

/** A section of definitions of before BTF; gobpf gives each map one of its own (`maps/NAME`). */
export function isLegacyMapSection(name: string): boolean {
  return name === "maps" || name.startsWith("maps/");
}

export interface LegacySection {
  readonly index: number;
  readonly name: string;
  readonly data: Uint8Array;
  readonly symbols: readonly ElfSymbol[];
}

interface Definitions {
  readonly name: string;
  readonly section: LegacySection;
  readonly offset: number;
  readonly size: number;
  readonly word: (w: number) => number;
}

/** What iproute2's numbers say about a map beyond its own definition. */
interface IpRoute2 {
  /** 0: none. Programs in sections `ID/KEY` go into the array of this id. */
  readonly id: number;
  readonly innerId: number;
  /** Slot of every map whose `innerId` is this map's `id`; -1: none. */
  readonly innerIndex: number;
}

export interface LegacyMaps {
  /** By section index. */
  readonly found: ReadonlyMap<number, readonly FoundMap[]>;
  /** Names by iproute2's ids. */
  readonly ids: ReadonlyMap<number, string>;
}

/** The maps of all sections of before BTF: one symbol a map, reaching to the next one's. */
export function parseLegacyMaps(sections: readonly LegacySection[], little: boolean): LegacyMaps {
  const raw = sections.flatMap((s) => definitions(s, little));
  const iproute2 = new Map<Definitions, IpRoute2>();
  for (const d of raw) {
    if (d.section.name !== "maps" || d.size < IPROUTE2_SIZE) continue;
    iproute2.set(d, { id: d.word(5), innerId: d.word(7), innerIndex: d.word(8) | 0 });
  }
  const byId = new Map([...iproute2].flatMap(([d, { id }]) => (id ? [[id, d] as const] : [])));
  // What stands in the slots of the maps that ask for an id.
  const held = new Map<number, MapEntry[]>();
  for (const [d, { id, innerId, innerIndex }] of iproute2) {
    if (!id || innerId || innerIndex === -1) continue;
    const entry: MapEntry = { key: slotKey(innerIndex), value: { map: d.name } };
    const others = held.get(id);
    if (others) others.push(entry);
    else held.set(id, [entry]);
  }
  const found = new Map<number, FoundMap[]>(sections.map((s) => [s.index, []]));
  for (const d of raw) {
    let spec = plain(d);
    const own = iproute2.get(d);
    const inner = own ? innerById(d, own, byId) : innerByIndex(d, raw);
    if (inner) spec = { ...spec, inner: plain(inner) };
    // PIN_OBJECT_NS and PIN_GLOBAL_NS differ in the directory only, which is the loader's choice.
    if (own ? d.word(6) : d.size >= GOBPF_SIZE && d.word(5)) spec = { ...spec, pinning: "by-name" };
    const contents = own?.innerId ? held.get(own.innerId) : undefined;
    if (contents) spec = { ...spec, contents };
    found.get(d.section.index)!.push({ spec, offset: d.offset, size: d.size, valuesAt: undefined });
  }
  return { found, ids: new Map([...byId].map(([id, d]) => [id, d.name])) };
}

/** The key of an array's slot. */
export function slotKey(slot: number): Uint8Array {
  const key = new Uint8Array(4);
  viewOf(key).setUint32(0, slot, true);
  return key;
}

function definitions(section: LegacySection, little: boolean): Definitions[] {
  const { name: at, data } = section;
  const sorted = [...section.symbols].sort((a, b) => a.value - b.value);
  if (!sorted.length) throw new ElfError("has no symbols, so its maps have no names", { section: at });
  const view = viewOf(data);
  return sorted.map(({ name, value: offset, size: told }, i) => {
    const size = told || (sorted[i + 1]?.value ?? data.length) - offset;
    if (size < LEGACY_SIZE || offset + size > data.length) {
      throw new ElfError(`map ${name}: expected ${LEGACY_SIZE} bytes or more, got ${size}`, { section: at, offset });
    }
    return { name, section, offset, size, word: (w) => view.getUint32(offset + w * 4, little) };
  });
}

function holdsMaps(d: Definitions): boolean {
  return d.word(0) === MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS || d.word(0) === MapType.BPF_MAP_TYPE_HASH_OF_MAPS;
}

function plain(d: Definitions): MapSpec {
  const flags = d.word(4);
  const numa = d.size === SAMPLES_SIZE && flags & BPF_F_NUMA_NODE;
  return {
    name: d.name,
    type: d.word(0),
    keySize: d.word(1),
    // The samples' loader did not ask for the size of an fd.
    valueSize: d.word(2) || (holdsMaps(d) ? 4 : 0),
    maxEntries: d.word(3),
    flags,
    ...(numa ? { numaNode: d.word(6) } : {}),
  };
}

function innerById(d: Definitions, { innerId }: IpRoute2, byId: ReadonlyMap<number, Definitions>) {
  if (!innerId) return undefined;
  const inner = byId.get(innerId);
  if (!inner) {
    throw new ElfError(`map ${d.name}: no map has inner id ${innerId}`, { section: d.section.name, offset: d.offset });
  }
  return inner;
}

/** The samples' `inner_map_idx` counts the object's maps. */
function innerByIndex(d: Definitions, all: readonly Definitions[]): Definitions | undefined {
  if (!holdsMaps(d) || d.size !== SAMPLES_SIZE) return undefined;
  const inner = all[d.word(5)];
  if (!inner || inner === d) {
    const what = `map ${d.name}: expected an inner map's number below ${all.length}, got ${d.word(5)}`;
    throw new ElfError(what, { section: d.section.name, offset: d.offset });
  }
  return inner;
}
