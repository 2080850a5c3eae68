/**
 * A map's definition as the BTF type of a variable in `.maps`, the way libbpf's macros make it: `__uint(x, n)` is a
 * member `int (*x)[n]`, `__type(x, t)` a member `t *x`, `__array(values, t)` a member `t *values[]`.
 * Source: tools/lib/bpf/bpf_helpers.h and libbpf.c `parse_btf_map_def`.
 */
import type { BtfBuilder } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";

const LIBBPF_PIN_BY_NAME = 1;
const POINTER = 8;
/** A slot is 8 bytes of the file, and so is every one before it. */
const MAX_SLOT = 1 << 20;

/** A pointer in the definition's `values` that a relocation fills. */
export interface ValueSlot {
  /** Bytes from the variable's start. */
  readonly offset: number;
  readonly program?: string;
  readonly map: string;
}

export interface MapDefinition {
  readonly typeId: number;
  /** Of the variable, with its `values` slots. */
  readonly size: number;
  readonly slots: readonly ValueSlot[];
}

/** Adds the definition's types to `btf`. @throws ElfError for what the format cannot say. */
export function defineMap(map: MapSpec, btf: BtfBuilder): MapDefinition {
  const int = btf.int("int", 4, { encoding: "signed" });
  const members: { name: string; type: number; offset: number }[] = [];
  const add = (name: string, type: number) => {
    members.push({ name, type, offset: members.length * POINTER });
  };
  const uint = (name: string, value: number) => add(name, btf.ptr(btf.array(int, value)));
  uint("type", map.type);
  if (map.keyTypeId) add("key", btf.ptr(map.keyTypeId));
  else if (map.keySize) uint("key_size", map.keySize);
  if (map.valueTypeId) add("value", btf.ptr(map.valueTypeId));
  else if (map.valueSize) uint("value_size", map.valueSize);
  if (map.maxEntries) uint("max_entries", map.maxEntries);
  if (map.flags) uint("map_flags", map.flags);
  if (map.numaNode !== undefined) uint("numa_node", map.numaNode);
  if (map.mapExtra) {
    // An array's length has 32 bits; more goes the way of libbpf's __ulong.
    if (map.mapExtra <= 0xffffffffn) uint("map_extra", Number(map.mapExtra));
    else add("map_extra", btf.enum("", [{ name: `__map_extra_${map.name}`, value: map.mapExtra }], { size: 8 }));
  }
  if (map.pinning === "by-name") uint("pinning", LIBBPF_PIN_BY_NAME);
  const slots = valueSlots(map, members.length * POINTER);
  if (map.inner) {
    if (map.inner.inner) throw new ElfError(`map ${map.name}: maps nest one level only`);
    add("values", btf.array(btf.ptr(defineMap({ ...map.inner, contents: [] }, btf).typeId), 0));
  } else if (slots.length) {
    if (map.type !== MapType.BPF_MAP_TYPE_PROG_ARRAY)
      throw new ElfError(`map ${map.name}: expected an inner map's template`);
    const proto = btf.funcProto(0, []);
    add("values", btf.array(btf.ptr(proto), 0));
  }
  const fixed = members.length * POINTER - (map.inner || slots.length ? POINTER : 0);
  const size = Math.max(fixed, ...slots.map((s) => s.offset + POINTER));
  return { typeId: btf.struct("", fixed, members), size, slots };
}

function valueSlots(map: MapSpec, start: number): ValueSlot[] {
  const slots: ValueSlot[] = [];
  for (const { key, value } of map.contents ?? []) {
    if (value instanceof Uint8Array) continue;
    if (key.length !== 4) throw new ElfError(`map ${map.name}: a slot's key must be 4 bytes, got ${key.length}`);
    const slot = viewOf(key).getUint32(0, true);
    if (slot > MAX_SLOT)
      throw new ElfError(`map ${map.name}: slot ${slot}: an object has room for ${MAX_SLOT} at most`);
    const offset = start + slot * POINTER;
    slots.push("program" in value ? { offset, program: value.program, map: "" } : { offset, map: value.map });
  }
  return slots;
}
