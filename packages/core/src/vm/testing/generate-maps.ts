/**
 * The maps of generated programs and the operations on them: every type whose contents a test run can be compared by.
 * For tests and scripts alone.
 */
import type { SeededRandom } from "../../bytes/index.ts";
import { OP_CALL } from "../../isa/index.ts";
import { type BpfMap, isPerCpu, type MapSpec, MapType } from "../../object/index.ts";
import { type Builder, KEY_AT, type Operation, type Place, restore, VALUE_AT } from "./build.ts";

const map = (
  name: string,
  type: keyof typeof MapType,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  flags = 0,
) => ({ name, type: MapType[type], keySize, valueSize, maxEntries, flags }) satisfies MapSpec;

/** `vals` holds what a program stores and its registers at the end, `jump` the program itself. */
export const MAPS: readonly MapSpec[] = [
  map("vals", "BPF_MAP_TYPE_ARRAY", 4, 192, 1),
  map("jump", "BPF_MAP_TYPE_PROG_ARRAY", 4, 4, 3),
  map("hash", "BPF_MAP_TYPE_HASH", 4, 24, 8),
  map("array", "BPF_MAP_TYPE_ARRAY", 4, 24, 6),
  map("percpu", "BPF_MAP_TYPE_PERCPU_ARRAY", 4, 24, 6),
  map("hash_percpu", "BPF_MAP_TYPE_PERCPU_HASH", 4, 24, 16),
  // Never full: which entry goes is the kernel's guess, not a rule.
  map("lru", "BPF_MAP_TYPE_LRU_HASH", 4, 24, 128),
  map("trie", "BPF_MAP_TYPE_LPM_TRIE", 8, 24, 6, 1),
  map("queue", "BPF_MAP_TYPE_QUEUE", 0, 24, 4),
  map("stack", "BPF_MAP_TYPE_STACK", 0, 24, 4),
];

const KEYED = ["hash", "hash", "hash", "array", "percpu", "hash_percpu", "lru", "trie", "trie"] as const;
const LISTS = ["queue", "stack"] as const;

/** r1 = map, r2 = key made of a scalar's low bits. */
function keyOf(b: Builder, name: string, from: number, prefix: number | undefined): void {
  b.put({ opcode: 0x54, dst: from, imm: name === "trie" ? 0x8181 : 15 });
  if (name === "trie") {
    b.put({ opcode: 0x62, dst: 10, off: KEY_AT, imm: prefix ?? 32 });
    b.put({ opcode: 0x63, dst: 10, src: from, off: KEY_AT + 4 });
  } else b.put({ opcode: 0x63, dst: 10, src: from, off: KEY_AT });
  b.lddwMap(1, name, 1);
  b.put({ opcode: 0xbf, dst: 2, src: 10 });
  b.put({ opcode: 0x07, dst: 2, imm: KEY_AT });
}

/** A value of 24 bytes on the stack, made of three registers. */
function putValue(b: Builder, first: number): void {
  for (let i = 0; i < 3; i++) b.put({ opcode: 0x7b, dst: 10, src: (first + i) % 6, off: VALUE_AT + 8 * i });
}

/** Lookup (with an atomic add in what it finds), update or delete. */
export function mapOperation(r: SeededRandom, place: Place): Operation | undefined {
  const name = r.pick(KEYED);
  const from = r.below(6);
  const value = r.below(6);
  const flags = r.pick([0, 0, 0, 1, 2]);
  const field = 8 * r.below(3);
  const prefix = r.pick([0, 1, 7, 8, 9, 15, 16, 31, 32, 32, 33]);
  const what = r.below(4);
  if (!place.inMain && r.chance(0.5)) return undefined;
  if (what === 0) {
    return {
      kind: `lookup ${name}`,
      emit: (b) => {
        const miss = b.newMark();
        keyOf(b, name, from, undefined);
        b.put({ opcode: OP_CALL, imm: 1 });
        restore(b, 1);
        b.jump({ opcode: 0x15, dst: 0, imm: 0 }, miss);
        b.put({ opcode: 0xdb, dst: 0, src: value || 1, off: field, imm: 0 });
        b.put({ opcode: 0x79, dst: 0, src: 0, off: field });
        b.here(miss);
      },
    };
  }
  if (what === 3) {
    return {
      kind: `delete ${name}`,
      emit: (b) => {
        keyOf(b, name, from, prefix);
        b.put({ opcode: OP_CALL, imm: 3 });
        restore(b, 1);
      },
    };
  }
  return {
    kind: `update ${name}`,
    emit: (b) => {
      putValue(b, value);
      keyOf(b, name, from, prefix);
      b.put({ opcode: 0xbf, dst: 3, src: 10 });
      b.put({ opcode: 0x07, dst: 3, imm: VALUE_AT });
      b.put({ opcode: 0xb7, dst: 4, imm: flags });
      b.put({ opcode: OP_CALL, imm: 2 });
      restore(b, 1);
    },
  };
}

/** map_push_elem, map_pop_elem, map_peek_elem. */
export function queueOperation(r: SeededRandom): Operation {
  const name = r.pick(LISTS);
  const value = r.below(6);
  const call = r.pick([87, 87, 88, 89]);
  const flags = r.pick([0, 0, 2]);
  return {
    kind: `${call} ${name}`,
    emit: (b) => {
      putValue(b, value);
      b.lddwMap(1, name, 1);
      b.put({ opcode: 0xbf, dst: 2, src: 10 });
      b.put({ opcode: 0x07, dst: 2, imm: VALUE_AT });
      if (call === 87) b.put({ opcode: 0xb7, dst: 3, imm: flags });
      b.put({ opcode: OP_CALL, imm: call });
      restore(b, 1);
      b.put({ opcode: 0x79, dst: 1, src: 10, off: VALUE_AT + 8 });
    },
  };
}

/** Empties the maps that a program uses, `vals` apart. */
export function resetMap(m: BpfMap): void {
  switch (m.spec.type) {
    case MapType.BPF_MAP_TYPE_QUEUE:
    case MapType.BPF_MAP_TYPE_STACK:
      while (take(m));
      return;
    case MapType.BPF_MAP_TYPE_ARRAY:
    case MapType.BPF_MAP_TYPE_PERCPU_ARRAY:
      for (const [key, value] of m.entries()) if (value.some((x) => x !== 0)) m.update(key, value.fill(0));
      return;
    default:
      for (const [key] of [...m.entries()]) m.delete(key);
  }
}

const take = (m: BpfMap): Uint8Array | undefined =>
  (m as BpfMap & { lookupAndDelete(key: Uint8Array): Uint8Array | undefined }).lookupAndDelete(new Uint8Array(0));

/** The contents to compare: entries in a fixed order, the values of all CPUs as one (a test run is on one of them). */
export function contents(m: BpfMap): [key: Uint8Array, value: Uint8Array][] {
  if (m.spec.keySize === 0) {
    const found: [Uint8Array, Uint8Array][] = [];
    for (let value = take(m); value; value = take(m)) found.push([new Uint8Array(0), value]);
    return found;
  }
  const merged = [...m.entries()].map(([key, value]): [Uint8Array, Uint8Array] => {
    if (!isPerCpu(m.spec.type)) return [key, value];
    const one = new Uint8Array(m.spec.valueSize);
    for (let i = 0; i < value.length; i++) one[i % one.length]! |= value[i]!;
    return [key, one];
  });
  return merged.sort(([a], [b]) => compareBytes(a, b));
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
