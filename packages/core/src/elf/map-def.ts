/**
 * Map definitions: `.maps` (BTF), and the two old structs of a `maps` section.
 * Source: libbpf.c `parse_btf_map_def`; libbpf 0.x `struct bpf_map_def`; iproute2 include/bpf_elf.h `bpf_elf_map`.
 */
import { type Btf, type BtfMember, resolve, sizeOf, skipModifiers, typeText } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
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
        if (pinning > 1) fail(`pinning ${pinning}: expected 0 (none) or 1 (by name)`);
        if (inner && pinning) fail("an inner map cannot be pinned");
        map.pinning = pinning ? "by-name" : "none";
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

/** Of `struct bpf_map_def` all have 20 bytes in common; iproute2's struct has 36. */
const LEGACY_SIZE = 20;
const IPROUTE2_SIZE = 36;

/** The maps of a `maps` section of before BTF: one symbol a map, reaching to the next one's. */
export function parseLegacyMaps(data: Uint8Array, symbols: readonly ElfSymbol[], little: boolean): FoundMap[] {
  const section = "maps";
  const sorted = [...symbols].sort((a, b) => a.value - b.value);
  if (!sorted.length) throw new ElfError("has no symbols, so its maps have no names", { section });
  const view = viewOf(data);
  const ids = new Map<number, string>();
  const raw = sorted.map((symbol, i) => {
    const offset = symbol.value;
    const size = symbol.size || (sorted[i + 1]?.value ?? data.length) - offset;
    if (size < LEGACY_SIZE || offset + size > data.length) {
      throw new ElfError(`map ${symbol.name}: expected ${LEGACY_SIZE} bytes or more, got ${size}`, { section, offset });
    }
    const word = (w: number) => view.getUint32(offset + w * 4, little);
    const iproute2 = size >= IPROUTE2_SIZE;
    if (iproute2 && word(5)) ids.set(word(5), symbol.name);
    return { name: symbol.name, offset, size, word, iproute2 };
  });
  const plain = (m: (typeof raw)[number]): MapSpec => ({
    name: m.name,
    type: m.word(0),
    keySize: m.word(1),
    valueSize: m.word(2),
    maxEntries: m.word(3),
    flags: m.word(4),
  });
  return raw.map((m) => {
    let spec = plain(m);
    if (m.iproute2) {
      // PIN_OBJECT_NS and PIN_GLOBAL_NS differ in the directory only, which is the loader's choice.
      if (m.word(6)) spec = { ...spec, pinning: "by-name" };
      const innerName = m.word(7) ? ids.get(m.word(7)) : undefined;
      const inner = raw.find((r) => r.name === innerName);
      if (m.word(7) && !inner)
        throw new ElfError(`map ${m.name}: no map has inner id ${m.word(7)}`, { section, offset: m.offset });
      if (inner) spec = { ...spec, inner: plain(inner) };
    }
    return { spec, offset: m.offset, size: m.size, valuesAt: undefined };
  });
}
