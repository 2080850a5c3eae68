/**
 * Random programs that a verifier would let through: scalars stay scalars, memory accesses stay inside of the stack,
 * a 64-byte packet and checked map values, everything ends. Same seed, same program. For tests alone.
 *
 * The shapes are those in which an optimising engine can go wrong: stack bytes accessed in different sizes and through
 * copies of r10, constants, shifts that look like rotations, loops with known and unknown trip counts, jumps that make
 * no structured loop, calls, atomics.
 */
import { seededRandom } from "../../bytes/index.ts";
import { encode, type InsnInit, OP_CALL, OP_GOTOL, slotsOf } from "../../isa/index.ts";

/** A program's bytes, and where lddw of the maps stand: slot and index of the map. */
export interface RandomProgram {
  readonly code: Uint8Array;
  readonly maps: readonly { readonly pc: number; readonly map: number }[];
}

/** What the maps must be: a hash and an array with u32 keys, a hash with u64 keys; values of 8 bytes. */
export const RANDOM_MAPS = [
  { name: "hash4", type: 1, keySize: 4, valueSize: 8, maxEntries: 8, flags: 0 },
  { name: "array", type: 2, keySize: 4, valueSize: 8, maxEntries: 8, flags: 0 },
  { name: "hash8", type: 1, keySize: 8, valueSize: 16, maxEntries: 8, flags: 0 },
] as const;
export const PACKET_BYTES = 64;

/** Registers that hold scalars; r6 is the packet, r10 the stack, r8 counts loops where one is open. */
const SCALARS = [0, 1, 2, 3, 4, 5, 7, 9] as const;
const STACK = 64;

type Item = InsnInit & { label?: number; target?: number; map?: number };

export function randomProgram(seed: number, size = 40): RandomProgram {
  const source = seededRandom(seed);
  const random = (): number => source.u32();
  const below = (n: number): number => source.below(n);
  const pick = <T>(list: readonly T[]): T => source.pick(list);
  const chance = (percent: number): boolean => below(100) < percent;
  const items: Item[] = [];
  let labels = 0;
  let loops = 0;
  const calls: number[] = [];
  const put = (item: Item): void => {
    items.push(item);
  };
  const place = (label: number): void => put({ opcode: -1, label });
  const scalar = (): number => pick(SCALARS);
  const imm = (): number =>
    pick([0, 1, -1, 2, 7, 8, 31, 32, 63, 255, 65535, -128, 0x7fffffff, -0x80000000, random() | 0]);

  const setScalar = (r: number): void => {
    if (chance(30)) put({ opcode: 0x18, dst: r, imm: random() | 0, imm2: random() | 0 });
    else put({ opcode: chance(50) ? 0xb7 : 0xb4, dst: r, imm: imm() });
  };

  const alu = (): void => {
    const cls = chance(50) ? 0x07 : 0x04;
    const op = pick([0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0, 0x80, 0xd0]);
    const dst = scalar();
    if (op === 0x80) put({ opcode: cls | op, dst });
    else if (op === 0xd0) put({ opcode: cls === 7 ? 0xd7 : pick([0xd4, 0xdc]), dst, imm: pick([16, 32, 64]) });
    else if (op === 0xb0 && chance(50)) {
      put({ opcode: cls | op | 8, dst, src: scalar(), off: pick(cls === 7 ? [0, 8, 16, 32] : [0, 8, 16]) });
    } else {
      const off = (op === 0x30 || op === 0x90) && chance(50) ? 1 : 0;
      if (chance(60)) put({ opcode: cls | op | 8, dst, src: scalar(), off });
      else {
        const shift = op === 0x60 || op === 0x70 || op === 0xc0;
        const divide = op === 0x30 || op === 0x90;
        put({ opcode: cls | op, dst, off, imm: shift ? below(cls === 7 ? 64 : 32) : divide ? imm() || 3 : imm() });
      }
    }
  };

  const rotation = (): void => {
    const wide = chance(50);
    const cls = wide ? 0x07 : 0x04;
    const width = wide ? 64 : 32;
    const amount = 1 + below(width - 1);
    const [a, b] = [scalar(), scalar()];
    const sum = chance(85) ? width - amount : 1 + below(width - 1);
    put({ opcode: cls | 0xb8, dst: b, src: a });
    put({ opcode: cls | 0x60, dst: chance(50) ? a : b, imm: amount });
    if (chance(20)) alu();
    put({ opcode: cls | 0x70, dst: chance(50) ? b : a, imm: sum });
    put({ opcode: cls | pick([0x48, 0x08, 0xa8]), dst: a, src: b });
  };

  const SIZES = [
    [0x00, 4],
    [0x08, 2],
    [0x10, 1],
    [0x18, 8],
  ] as const;
  /** A load or store of any size at base + [low, high). */
  const access = (base: number, low: number, high: number): void => {
    const [code, size] = pick(SIZES);
    const places = Math.floor((high - low) / size);
    const off = low + size * below(places);
    const kind = below(5);
    if (kind < 2) put({ opcode: 0x61 | code, dst: scalar(), src: base, off });
    else if (kind === 2 && size !== 8) put({ opcode: 0x81 | code, dst: scalar(), src: base, off });
    else if (kind === 3) put({ opcode: 0x62 | code, dst: base, off, imm: imm() });
    else put({ opcode: 0x63 | code, dst: base, src: scalar(), off });
  };
  const atomic = (base: number, low: number, high: number): void => {
    const wide = chance(50);
    const size = wide ? 8 : 4;
    const off = low + size * below(Math.floor((high - low) / size));
    const op = pick([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110]);
    if (op === 0x100) put({ opcode: wide ? 0xdb : 0xc3, dst: scalar(), src: base, off, imm: op });
    else put({ opcode: wide ? 0xdb : 0xc3, dst: base, src: scalar(), off, imm: op });
  };

  /** Through a copy of r10, at a constant distance. */
  const throughCopy = (): void => {
    const r = pick([7, 9]);
    const at = -8 * (1 + below(STACK / 8));
    put({ opcode: 0xbf, dst: r, src: 10 });
    put({ opcode: 0x07, dst: r, imm: at });
    if (chance(70)) {
      // scalar() may be r itself: the last store or load of it ends its life as a pointer.
      const [code, size] = pick(SIZES);
      const off = chance(50) ? 0 : 8 - size;
      const other = pick([0, 1, 2, 3, 4, 5]);
      put(
        chance(50)
          ? { opcode: 0x61 | code, dst: other, src: r, off }
          : { opcode: 0x63 | code, dst: r, src: other, off },
      );
    } else put({ opcode: 0x7a, dst: r, off: 0, imm: imm() });
    setScalar(r);
  };

  const forget = (): void => {
    for (let r = 0; r <= 5; r++) setScalar(r);
  };

  const mapCall = (): void => {
    const map = below(RANDOM_MAPS.length);
    const { keySize, valueSize } = RANDOM_MAPS[map]!;
    const key = -keySize;
    const value = -8 - valueSize;
    const k = below(10);
    if (chance(50)) put({ opcode: keySize === 4 ? 0x62 : 0x7a, dst: 10, off: key, imm: k });
    else {
      put({ opcode: 0xb7, dst: 1, imm: k });
      put({ opcode: keySize === 4 ? 0x63 : 0x7b, dst: 10, src: 1, off: key });
    }
    const update = chance(50);
    if (update)
      for (let at = 0; at < valueSize; at += 8) put({ opcode: 0x7b, dst: 10, src: scalar(), off: value + at });
    put({ opcode: 0xbf, dst: 2, src: 10 });
    put({ opcode: 0x07, dst: 2, imm: key });
    if (update) {
      put({ opcode: 0xbf, dst: 3, src: 10 });
      put({ opcode: 0x07, dst: 3, imm: value });
      put({ opcode: 0xb7, dst: 4, imm: pick([0, 0, 0, 1, 2]) });
    }
    put({ opcode: 0x18, dst: 1, src: 1, map });
    put({ opcode: 0x85, imm: update ? 2 : pick([1, 1, 1, map === 1 ? 1 : 3]) });
    const call = items[items.length - 1]!.imm;
    const save = pick([7, 9]);
    if (call === 1) {
      const miss = labels++;
      put({ opcode: 0x15, dst: 0, imm: 0, target: miss });
      for (let n = 1 + below(2); n > 0; n--) chance(50) ? accessValue(valueSize) : atomic0(valueSize);
      place(miss);
      setScalar(save);
    } else put({ opcode: 0xbf, dst: save, src: 0 });
    forget();
  };
  /** Like `access` and `atomic`, on the value at r0, which must stay a pointer meanwhile. */
  const accessValue = (size: number): void => {
    const [code, width] = pick(SIZES);
    const off = width * below(size / width);
    const other = pick([1, 2, 3, 4, 5]);
    // r1-r5 hold nothing after a call: set before use.
    put({ opcode: 0xb7, dst: other, imm: imm() });
    put(chance(50) ? { opcode: 0x61 | code, dst: 7, src: 0, off } : { opcode: 0x63 | code, dst: 0, src: other, off });
  };
  const atomic0 = (size: number): void => {
    put({ opcode: 0xb7, dst: 1, imm: imm() });
    put({ opcode: 0xdb, dst: 0, src: 1, off: 8 * below(size / 8), imm: pick([0x00, 0x01, 0xe1, 0xa1]) });
  };

  const condition = (target: number): void => {
    const cls = chance(50) ? 0x05 : 0x06;
    const op = pick([0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0]);
    if (chance(50)) put({ opcode: cls | op | 8, dst: scalar(), src: scalar(), target });
    else put({ opcode: cls | op, dst: scalar(), imm: imm(), target });
  };

  const loop = (depth: number): void => {
    if (loops > 0) return;
    loops++;
    const head = labels++;
    const step = pick([1, 1, 2, 3]);
    const down = chance(50);
    put({ opcode: 0xb7, dst: 8, imm: down ? step * (1 + below(12)) : 0 });
    const times = 1 + below(12);
    place(head);
    statements(1 + below(4), depth + 1);
    if (chance(30)) {
      // Another way out of the loop.
      const out = labels++;
      condition(out);
      alu();
      put({ opcode: chance(50) ? 0x07 : 0x04, dst: 8, imm: down ? -step : step });
      put({ opcode: pick([0x55, 0x56]), dst: 8, imm: down ? 0 : step * times, target: head });
      place(out);
    } else {
      put({ opcode: chance(50) ? 0x07 : 0x04, dst: 8, imm: down ? -step : step });
      put({ opcode: pick([0x55, 0x56]), dst: 8, imm: down ? 0 : step * times, target: head });
    }
    loops--;
  };

  /** Blocks that jump anywhere among themselves, a counter of steps ends it: often no structured loop. */
  const spaghetti = (): void => {
    if (loops > 0) return;
    loops++;
    const count = 3 + below(4);
    const first = labels;
    labels += count;
    const out = labels++;
    put({ opcode: 0xb7, dst: 8, imm: 10 + below(30) });
    condition(first + below(count));
    for (let b = 0; b < count; b++) {
      place(first + b);
      put({ opcode: 0x07, dst: 8, imm: -1 });
      put({ opcode: 0xc5, dst: 8, imm: 1, target: out });
      for (let n = below(3); n > 0; n--) chance(50) ? alu() : access(10, -STACK, 0);
      condition(first + below(count));
      if (chance(40)) put({ opcode: chance(50) ? 0x05 : 0x06, target: first + below(count) });
    }
    place(out);
    loops--;
  };

  const callSubprogram = (): void => {
    const label = labels++;
    calls.push(label);
    put({ opcode: 0x85, src: 1, target: label });
    const save = pick([7, 9]);
    put({ opcode: 0xbf, dst: save, src: 0 });
    forget();
  };

  const statement = (depth: number): void => {
    const kind = below(100);
    if (kind < 35) alu();
    else if (kind < 42) rotation();
    else if (kind < 58) access(10, -STACK, 0);
    else if (kind < 66) access(6, 0, PACKET_BYTES);
    else if (kind < 70) chance(50) ? atomic(10, -STACK, 0) : atomic(6, 0, PACKET_BYTES);
    else if (kind < 75) throughCopy();
    else if (kind < 81) mapCall();
    else if (kind < 84) callSubprogram();
    else if (kind < 93 || depth > 2) {
      const end = labels++;
      condition(end);
      statements(1 + below(4), depth + 1);
      place(end);
    } else if (kind < 97) loop(depth);
    else spaghetti();
  };
  const statements = (n: number, depth: number): void => {
    for (let i = 0; i < n; i++) statement(depth);
  };

  const finish = (): void => {
    for (const r of [1, 2, 3, 4, 5, 7, 9]) {
      put({ opcode: 0x27, dst: 0, imm: 31 });
      put({ opcode: 0xaf, dst: 0, src: r });
    }
    for (let at = -STACK; at < 0; at += 8) {
      put({ opcode: 0x79, dst: 1, src: 10, off: at });
      put({ opcode: 0x0f, dst: 0, src: 1 });
    }
    put({ opcode: 0x95 });
  };

  put({ opcode: 0x61, dst: 6, src: 1, off: 0 });
  for (const r of SCALARS) setScalar(r);
  for (let at = -STACK; at < 0; at += 8) put({ opcode: 0x7a, dst: 10, off: at, imm: imm() });
  statements(size, 0);
  finish();
  for (const label of calls) {
    place(label);
    put({ opcode: 0xbf, dst: 0, src: 1 });
    for (const r of [6, 7, 8, 9]) setScalar(r);
    for (let at = -STACK; at < 0; at += 8) put({ opcode: 0x7b, dst: 10, src: 2, off: at });
    for (let n = below(6); n > 0; n--) chance(60) ? alu() : access(10, -STACK, 0);
    put({ opcode: 0x0f, dst: 0, src: pick([1, 2, 3, 4, 5]) });
    put({ opcode: 0x95 });
  }
  return assemble(items);
}

/** Labels become distances. A gotol may go further than 16 bits, all others stay near enough by construction. */
function assemble(items: readonly Item[]): RandomProgram {
  const at = new Map<number, number>();
  let pc = 0;
  for (const item of items) {
    if (item.label !== undefined) at.set(item.label, pc);
    else pc += slotsOf(item);
  }
  const maps: { pc: number; map: number }[] = [];
  const insns: InsnInit[] = [];
  pc = 0;
  for (const { label, target, map, ...insn } of items) {
    if (label !== undefined) continue;
    if (map !== undefined) maps.push({ pc, map });
    if (target === undefined) insns.push(insn);
    else {
      const distance = at.get(target)! - pc - 1;
      const inImm = insn.opcode === OP_GOTOL || insn.opcode === OP_CALL;
      insns.push(inImm ? { ...insn, imm: distance } : { ...insn, off: distance });
    }
    pc += slotsOf(insn);
  }
  return { code: encode(insns), maps };
}
