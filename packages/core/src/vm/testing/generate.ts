/**
 * Random XDP and tc programs that a verifier accepts, for comparing engines with each other and with the kernel.
 *
 * A program is a tree of operations, each of which keeps an invariant: r0-r5 hold scalars, r6 the ctx, r7 the packet
 * (`PACKET_ROOM` bytes of it checked), r9 the value of the map `vals`; the lowest `STACK_ROOM` bytes below r10 are
 * initialised. So any operation may be left out and the rest is still a program: that is how failures are shrunk.
 * At the end r0-r5 are stored into `vals`, where the comparison finds them. For tests and scripts alone.
 */
import { type SeededRandom, seededRandom } from "../../bytes/index.ts";
import { type InsnInit, lddwImms, OP_CALL, OP_EXIT, OP_GOTOL, OP_JA, OP_LDDW } from "../../isa/index.ts";
import { type CollectionSpec, type ProgramSpec, ProgType } from "../../object/index.ts";
import {
  Builder,
  type Hook,
  type Maker,
  type Operation,
  PACKET_ROOM,
  type Place,
  plain,
  RESULTS_AT,
  restore,
  SLOT_AT,
  STACK_ROOM,
  VALS_ROOM,
} from "./build.ts";
import { MAPS, mapOperation, queueOperation } from "./generate-maps.ts";

export interface Generated {
  readonly hook: Hook;
  readonly main: readonly Operation[];
  readonly subprograms: readonly (readonly Operation[])[];
}

export function generate(seed: number): Generated {
  const r = seededRandom(seed);
  const hook: Hook = r.chance(0.5) ? "xdp" : "tc";
  const count = r.chance(0.4) ? 1 + r.below(3) : 0;
  const ids = Array.from({ length: count }, (_, i) => i);
  // Three frames at most: four need more stack than the kernel gives, which it says only after it has verified all.
  const subprograms = ids.map((i) =>
    operations(r, 3 + r.below(15), {
      hook,
      inMain: false,
      inLoop: false,
      depth: 0,
      callable: i < count - 1 ? [count - 1] : [],
    }),
  );
  const main = operations(r, 5 + r.below(50), { hook, inMain: true, inLoop: false, depth: 0, callable: ids });
  return { hook, main, subprograms };
}

/** The program of operations. */
export function build({ hook, main, subprograms }: Generated): ProgramSpec {
  const b = new Builder(hook);
  for (let i = 0; i < subprograms.length; i++) b.functions.push(b.newMark());
  const called = calledFrom(main, subprograms);
  b.put({ opcode: 0xbf, dst: 6, src: 1 });
  b.lddwMap(9, "vals", 2);
  loadPacket(b);
  initStack(b);
  for (let r = 0; r < 6; r++) b.put({ opcode: 0xb7, dst: r, imm: 0x11 * (r + 1) });
  for (const op of main) op.emit(b);
  for (let r = 0; r < 6; r++) b.put({ opcode: 0x7b, dst: 9, src: r, off: RESULTS_AT + 8 * r });
  b.put({ opcode: OP_EXIT });
  subprograms.forEach((ops, i) => {
    // A function that nobody calls is unreachable code to the kernel.
    if (!called.has(i)) return;
    b.here(b.functions[i]!);
    initStack(b);
    b.put({ opcode: 0xbf, dst: 0, src: 1 });
    for (const op of ops) op.emit(b);
    b.put({ opcode: OP_EXIT });
  });
  return {
    name: "generated",
    section: hook,
    type: hook === "xdp" ? ProgType.BPF_PROG_TYPE_XDP : ProgType.BPF_PROG_TYPE_SCHED_CLS,
    attachType: 0,
    flags: 0,
    code: b.code(),
    relocs: b.relocs,
    funcInfo: [],
    lineInfo: [],
  };
}

/** Subprograms that a list of operations reaches. */
function calledFrom(
  ops: readonly Operation[],
  subprograms: Generated["subprograms"],
  found = new Set<number>(),
): Set<number> {
  for (const op of ops) {
    if (op.calls !== undefined && !found.has(op.calls)) {
      found.add(op.calls);
      calledFrom(subprograms[op.calls]!, subprograms, found);
    }
    for (const group of op.groups ?? []) calledFrom(group, subprograms, found);
  }
  return found;
}

/** A collection of one program and the maps above. */
export function collection(program: ProgramSpec): CollectionSpec {
  return {
    programs: new Map([[program.name, program]]),
    maps: new Map(MAPS.map((m) => [m.name, m])),
    license: "GPL",
    byteOrder: "little",
  } as CollectionSpec;
}

/** r7 = packet with PACKET_ROOM bytes checked, or the program ends. Uses r4 and r5. */
function loadPacket(b: Builder): void {
  const ok = b.newMark();
  const data = b.hook === "xdp" ? 0 : 76;
  b.put({ opcode: 0x61, dst: 7, src: 6, off: data });
  b.put({ opcode: 0x61, dst: 5, src: 6, off: data + 4 });
  b.put({ opcode: 0xbf, dst: 4, src: 7 });
  b.put({ opcode: 0x07, dst: 4, imm: PACKET_ROOM });
  b.jump({ opcode: 0xbd, dst: 4, src: 5 }, ok);
  b.put({ opcode: 0xb7, dst: 0, imm: 77 });
  b.put({ opcode: OP_EXIT });
  b.here(ok);
  b.put({ opcode: 0xb7, dst: 4, imm: 4 });
  b.put({ opcode: 0xb7, dst: 5, imm: 5 });
}

function initStack(b: Builder): void {
  for (let at = 8; at <= STACK_ROOM; at += 8) b.put({ opcode: 0x7a, dst: 10, off: -at, imm: (at * 0x01030507) | 0 });
}

function operations(r: SeededRandom, n: number, place: Place): Operation[] {
  return Array.from({ length: n }, () => operation(r, place));
}

const MAKERS: readonly [weight: number, make: Maker][] = [
  [30, alu],
  [4, unary],
  [3, constant],
  [10, stackAccess],
  [8, packetAccess],
  [8, mapAccess],
  [8, atomicAccess],
  [10, branch],
  [3, loop],
  [3, callSubprogram],
  [9, mapOperation],
  [2, queueOperation],
  [5, pointerAccess],
  [4, packetPointer],
  [2, checksum],
  [2, packetBytes],
  [2, adjust],
  [2, mayGoto],
  [8, ctxAccess],
  [10, skbHelper],
  [1, tailCall],
];
const TOTAL = MAKERS.reduce((sum, [w]) => sum + w, 0);

function operation(r: SeededRandom, place: Place): Operation {
  for (;;) {
    let at = r.below(TOTAL);
    for (const [weight, make] of MAKERS) {
      at -= weight;
      if (at < 0) {
        const op = make(r, place);
        if (op) return op;
        break;
      }
    }
  }
}

const INTERESTING = [0, 1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff];

function imm32(r: SeededRandom): number {
  if (r.chance(0.5)) return (r.chance(0.3) ? -1 : 1) * r.pick(INTERESTING);
  return r.chance(0.2) ? -0x80000000 : r.u32() | 0;
}

const ALU_CODES = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0];

function alu(r: SeededRandom): Operation {
  const code = r.pick(ALU_CODES);
  const wide = r.chance(0.5);
  const cls = wide ? 7 : 4;
  const dst = r.below(6);
  const off = (code === 0x30 || code === 0x90) && r.chance(0.5) ? 1 : 0;
  if (r.chance(0.6)) {
    const sx = code === 0xb0 && r.chance(0.4) ? r.pick(wide ? [8, 16, 32] : [8, 16]) : 0;
    return plain("alu", { opcode: cls | code | 8, dst, src: r.below(6), off: off || sx });
  }
  let imm = imm32(r);
  if (code === 0x60 || code === 0x70 || code === 0xc0) imm = r.below(wide ? 64 : 32);
  if ((code === 0x30 || code === 0x90) && imm === 0) imm = -3;
  return plain("alu", { opcode: cls | code, dst, off, imm });
}

function unary(r: SeededRandom): Operation {
  const dst = r.below(6);
  if (r.chance(0.3)) return plain("neg", { opcode: r.pick([0x87, 0x84]), dst });
  return plain("end", { opcode: r.pick([0xd4, 0xdc, 0xd7]), dst, imm: r.pick([16, 32, 64]) });
}

function constant(r: SeededRandom): Operation {
  const value = (BigInt(r.u32()) << 32n) | BigInt(r.u32());
  return plain("lddw", { opcode: OP_LDDW, dst: r.below(6), ...lddwImms(r.chance(0.3) ? value >> 33n : value) });
}

const SIZES: readonly [bytes: number, bits: number][] = [
  [1, 0x10],
  [2, 0x08],
  [4, 0x00],
  [8, 0x18],
];

/** A load or store of any size within `room` bytes from `base`; aligned ones only where the kernel insists. */
function access(r: SeededRandom, kind: string, base: number, low: number, room: number, aligned: boolean): Operation {
  const [bytes, bits] = r.pick(SIZES);
  const at = r.below(room - bytes + 1);
  const off = low + (aligned ? at - (at % bytes) : at);
  switch (r.below(4)) {
    case 0:
      return plain(kind, { opcode: 0x62 | bits, dst: base, off, imm: imm32(r) });
    case 1:
      return plain(kind, { opcode: 0x63 | bits, dst: base, off, src: r.below(6) });
    default: {
      const signed = bytes < 8 && r.chance(0.3);
      return plain(kind, { opcode: (signed ? 0x81 : 0x61) | bits, dst: r.below(6), src: base, off });
    }
  }
}

function stackAccess(r: SeededRandom): Operation {
  return access(r, "stack", 10, -STACK_ROOM, STACK_ROOM, true);
}

function packetAccess(r: SeededRandom, place: Place): Operation | undefined {
  return place.inMain ? access(r, "packet", 7, 0, PACKET_ROOM, false) : undefined;
}

function mapAccess(r: SeededRandom, place: Place): Operation | undefined {
  return place.inMain ? access(r, "value", 9, 0, VALS_ROOM, false) : undefined;
}

function atomicAccess(r: SeededRandom, place: Place): Operation {
  const imm = r.pick([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110]);
  // Kernels up to 6.18 lose the precision of a known stack slot in an atomic that fetches it, prune a path that differs
  // and then take a branch away that runs: they, not we, miscompute (found by this generator).
  const fetches = (imm & 1) !== 0 || imm === 0x100;
  if (fetches && !place.inMain) return alu(r);
  const onMap = place.inMain && (fetches || r.chance(0.6));
  const wide = r.chance(0.5);
  const bytes = wide ? 8 : 4;
  const dst = onMap ? 9 : 10;
  const off = (onMap ? 0 : -STACK_ROOM) + bytes * r.below(STACK_ROOM / bytes);
  const opcode = wide ? 0xdb : 0xc3;
  if (imm === 0x100) return plain("load_acquire", { opcode, dst: r.below(6), src: dst, off, imm });
  const insn: InsnInit = { opcode, dst, src: r.below(6), off, imm };
  // A 32-bit cmpxchg that succeeds leaves the high half of r0 on x86; 6.18 forgets to clear it where the path behind it
  // was pruned. So clear it here.
  if (imm === 0xf1 && !wide) return plain("atomic", insn, { opcode: 0xbc, dst: 0, src: 0 });
  return plain("atomic", insn);
}

/** Loads and stores through a pointer that is computed: into the stack, or the value, at a known or unknown place. */
function pointerAccess(r: SeededRandom, place: Place): Operation | undefined {
  if (place.inLoop) return undefined;
  const [base, low, room] = place.inMain && r.chance(0.5) ? [9, 0, VALS_ROOM] : [10, -STACK_ROOM, STACK_ROOM];
  const known = r.chance(0.4);
  // An unknown offset is a multiple of 8 below half of the room.
  const by = known ? 8 * r.below(room / 8) : 0;
  const inner = access(r, "pointer", 8, low, known ? room - by : room / 2, base === 10);
  const from = r.below(6);
  const insns: InsnInit[] = known
    ? [
        { opcode: 0xbf, dst: 8, src: base },
        { opcode: 0x07, dst: 8, imm: by },
      ]
    : place.inMain
      ? [
          { opcode: 0xbf, dst: 8, src: from },
          { opcode: 0x57, dst: 8, imm: (room / 2 - 1) & ~7 },
          { opcode: 0x0f, dst: 8, src: base },
        ]
      : // Not a scalar += r10: kernels up to 6.18 take the sum for a pointer into the first frame (found by this generator).
        [
          { opcode: 0x57, dst: from, imm: (room / 2 - 1) & ~7 },
          { opcode: 0xbf, dst: 8, src: base },
          { opcode: 0x0f, dst: 8, src: from },
        ];
  return {
    kind: "pointer",
    emit: (b) => {
      for (const insn of insns) b.put(insn);
      inner.emit(b);
      b.put({ opcode: 0xb7, dst: 8, imm: 0 });
    },
  };
}

/** An access to the packet at an unknown offset, checked against its end. */
function packetPointer(r: SeededRandom, place: Place): Operation | undefined {
  if (!place.inMain || place.inLoop) return undefined;
  const from = r.below(4);
  const mask = r.pick([0x1f, 0x3f, 0xff]);
  const inner = access(r, "packet pointer", 8, 0, 8, false);
  return {
    kind: "packet pointer",
    emit: (b) => {
      const beyond = b.newMark();
      b.put({ opcode: 0xbf, dst: 8, src: from });
      b.put({ opcode: 0x57, dst: 8, imm: mask });
      b.put({ opcode: 0x0f, dst: 8, src: 7 });
      b.put({ opcode: 0x61, dst: 5, src: 6, off: b.hook === "xdp" ? 4 : 80 });
      b.put({ opcode: 0xbf, dst: 4, src: 8 });
      b.put({ opcode: 0x07, dst: 4, imm: 8 });
      b.jump({ opcode: 0x2d, dst: 4, src: 5 }, beyond);
      b.put({ opcode: 0xb7, dst: 4, imm: 44 });
      b.put({ opcode: 0xb7, dst: 5, imm: 55 });
      inner.emit(b);
      b.here(beyond);
      b.put({ opcode: 0xb7, dst: 4, imm: 4 });
      b.put({ opcode: 0xb7, dst: 5, imm: 5 });
      b.put({ opcode: 0xb7, dst: 8, imm: 0 });
    },
  };
}

const JUMPS = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];

function branch(r: SeededRandom, place: Place): Operation | undefined {
  if (place.depth > 3) return undefined;
  const cls = r.chance(0.5) ? 5 : 6;
  const code = r.pick(JUMPS);
  const jump: InsnInit = r.chance(0.5)
    ? { opcode: cls | code | 8, dst: r.below(6), src: r.below(6) }
    : { opcode: cls | code, dst: r.below(6), imm: imm32(r) };
  const inner = { ...place, depth: place.depth + 1 };
  const yes = operations(r, 1 + r.below(6), inner);
  const no = r.chance(0.5) ? operations(r, 1 + r.below(6), inner) : [];
  return branchOf(jump, r.chance(0.2), [yes, no]);
}

function branchOf(jump: InsnInit, long: boolean, groups: readonly (readonly Operation[])[]): Operation {
  return {
    kind: "branch",
    groups,
    rebuild: (g) => branchOf(jump, long, g),
    emit: (b) => {
      const [fallThrough, taken] = groups as [readonly Operation[], readonly Operation[]];
      const other = b.newMark();
      const end = b.newMark();
      b.jump(jump, other);
      for (const op of fallThrough) op.emit(b);
      if (taken.length) b.jump({ opcode: long ? OP_GOTOL : OP_JA }, end, long ? "imm" : "off");
      b.here(other);
      for (const op of taken) op.emit(b);
      b.here(end);
    },
  };
}

function loop(r: SeededRandom, place: Place): Operation | undefined {
  if (place.inLoop || place.depth > 2) return undefined;
  const body = operations(r, 1 + r.below(5), { ...place, inLoop: true, depth: place.depth + 1 });
  return loopOf(1 + r.below(6), [body]);
}

function loopOf(rounds: number, groups: readonly (readonly Operation[])[]): Operation {
  return {
    kind: "loop",
    groups,
    rebuild: (g) => loopOf(rounds, g),
    emit: (b) => {
      const again = b.newMark();
      b.put({ opcode: 0xb7, dst: 8, imm: rounds });
      b.here(again);
      for (const op of groups[0]!) op.emit(b);
      b.put({ opcode: 0x07, dst: 8, imm: -1 });
      b.jump({ opcode: 0x55, dst: 8, imm: 0 }, again);
    },
  };
}

function callSubprogram(r: SeededRandom, place: Place): Operation | undefined {
  if (!place.callable.length) return undefined;
  const id = r.pick(place.callable);
  return {
    kind: "call",
    calls: id,
    emit: (b) => {
      b.jump({ opcode: OP_CALL, src: 1 }, b.functions[id]!, "imm");
      restore(b, 1);
    },
  };
}

/** csum_diff over parts of the stack. */
function checksum(r: SeededRandom): Operation {
  const fromSize = r.pick([0, 4, 8, 16, 32, 6]);
  const toSize = r.pick([0, 4, 8, 16, 32, 64]);
  const seed = r.below(6);
  return plain(
    "csum_diff",
    { opcode: 0xbc, dst: 5, src: seed },
    { opcode: 0xbf, dst: 1, src: 10 },
    { opcode: 0x07, dst: 1, imm: -STACK_ROOM },
    { opcode: 0xb7, dst: 2, imm: fromSize },
    { opcode: 0xbf, dst: 3, src: 10 },
    { opcode: 0x07, dst: 3, imm: -STACK_ROOM + 32 },
    { opcode: 0xb7, dst: 4, imm: toSize },
    { opcode: OP_CALL, imm: 28 },
    ...[1, 2, 3, 4, 5].map((reg) => ({ opcode: 0x79, dst: reg, src: 10, off: -8 * (reg + 1) })),
  );
}

/** xdp_load_bytes and xdp_store_bytes between the packet and the stack, also beyond the packet's end. */
function packetBytes(r: SeededRandom, place: Place): Operation | undefined {
  if (!place.inMain || place.hook !== "xdp") return undefined;
  const size = 1 + r.below(32);
  const offset = r.chance(0.9) ? r.below(80) : r.u32() | 0;
  return plain(
    "xdp bytes",
    { opcode: 0xbf, dst: 1, src: 6 },
    { opcode: 0xb7, dst: 2, imm: offset },
    { opcode: 0xbf, dst: 3, src: 10 },
    { opcode: 0x07, dst: 3, imm: -STACK_ROOM },
    { opcode: 0xb7, dst: 4, imm: size },
    { opcode: OP_CALL, imm: r.pick([189, 190]) },
    ...[1, 2, 3, 4, 5].map((reg) => ({ opcode: 0x79, dst: reg, src: 10, off: -8 * (reg + 1) })),
  );
}

/** Moves an edge of the packet, then checks the packet anew. */
function adjust(r: SeededRandom, place: Place): Operation | undefined {
  if (!place.inMain || place.hook !== "xdp") return undefined;
  const helper = r.pick([44, 54, 65, 188]);
  const by = r.chance(0.8) ? 4 * (r.below(20) - 12) : r.below(9000) - 5000;
  return {
    kind: "adjust",
    emit: (b) => {
      b.put({ opcode: 0xbf, dst: 1, src: 6 });
      b.put({ opcode: 0xb7, dst: 2, imm: by });
      b.put({ opcode: OP_CALL, imm: helper });
      restore(b, 1);
      if (helper !== 188) loadPacket(b);
    },
  };
}

/** A may_goto never runs out in such small programs: it falls through. */
function mayGoto(r: SeededRandom): Operation {
  const skipped = alu(r);
  return {
    kind: "may_goto",
    emit: (b) => {
      const end = b.newMark();
      b.jump({ opcode: 0xe5 }, end);
      skipped.emit(b);
      b.here(end);
    },
  };
}

/** Fields of __sk_buff that test runs set and give back: offset, size, whether programs may write it. */
const SKB_FIELDS: readonly [offset: number, size: number, writable: boolean][] = [
  [0, 4, false],
  [4, 4, false],
  [8, 4, true],
  [16, 4, false],
  [20, 4, false],
  [24, 4, false],
  [28, 4, false],
  [32, 4, true],
  [36, 4, false],
  [40, 4, false],
  // The kernel keeps 16 bits of what is written to tc_index (44) and tc_classid (72); ours keep all.
  [44, 4, false],
  [48, 4, true],
  [52, 4, true],
  [64, 4, true],
  [152, 8, true],
];

function ctxAccess(r: SeededRandom, place: Place): Operation | undefined {
  if (!place.inMain || place.hook !== "tc") return undefined;
  const [off, size, writable] = r.pick(SKB_FIELDS);
  const bits = size === 8 ? 0x18 : 0;
  if (writable && r.chance(0.5)) return plain("ctx", { opcode: 0x63 | bits, dst: 6, src: r.below(6), off });
  // Narrow loads of wide fields are allowed.
  const narrow = size === 4 && r.chance(0.3) ? r.pick([0x10, 0x08]) : bits;
  return plain("ctx", { opcode: 0x61 | narrow, dst: r.below(6), src: 6, off });
}

/** Helpers on `__sk_buff` with arguments that are right often enough, then the packet is checked anew. */
function skbHelper(r: SeededRandom, place: Place): Operation | undefined {
  // The kernel doubles an skb's head whenever it runs out of room and fails at 4 MiB, after a dozen pushes or so; ours
  // does not. So no pushes in loops.
  if (!place.inMain || place.inLoop || place.hook !== "tc") return undefined;
  const stack = (dst: number): InsnInit[] => [
    { opcode: 0xbf, dst, src: 10 },
    { opcode: 0x07, dst, imm: -STACK_ROOM },
  ];
  const num = (dst: number, imm: number): InsnInit => ({ opcode: 0xb7, dst, imm });
  const reg = (dst: number, from: number): InsnInit => ({ opcode: 0xbf, dst, src: from });
  const size = 1 + r.below(32);
  const at = r.chance(0.9) ? r.below(90) : r.u32() | 0;
  const even = r.chance(0.9) ? 2 * r.below(40) : at;
  const scalar = r.below(6);
  const other = r.below(6);
  const diff = r.chance(0.9) ? 4 * (r.below(30) - 15) : r.pick([-5000, -4096, -1000, -300, 4096, 5000]);
  const call = (id: number, ...args: readonly InsnInit[]): Operation => ({
    kind: `helper ${id}`,
    emit: (b) => {
      for (const insn of args) b.put(insn);
      b.put({ opcode: 0xbf, dst: 1, src: 6 });
      b.put({ opcode: OP_CALL, imm: id });
      restore(b, 1);
      loadPacket(b);
    },
  });
  switch (r.below(20)) {
    case 0:
    case 1:
      return call(9, num(2, at), ...stack(3), num(4, size), num(5, r.pick([0, 0, 1, 2, 3, 4])));
    case 2:
    case 3:
      return call(26, num(2, at), ...stack(3), num(4, size));
    case 4:
      return call(68, num(2, at), ...stack(3), num(4, size), num(5, r.pick([0, 1, 1, 2])));
    case 5:
    case 6:
      return call(
        10,
        reg(3, scalar === 4 ? 5 : scalar),
        reg(4, other),
        num(2, even),
        num(5, r.pick([0, 2, 4, 4, 3, 16])),
        ...(r.chance(0.3) ? [num(3, 0)] : []),
      );
    case 7:
    case 8:
      return call(
        11,
        reg(3, scalar === 4 ? 5 : scalar),
        reg(4, other),
        num(2, even),
        num(5, r.pick([0, 2, 4, 18, 20, 16, 34, 36, 100, 132])),
        ...(r.chance(0.3) ? [num(3, 0)] : []),
      );
    case 9:
    case 10:
      return call(18, num(2, r.pick([0x0081, 0xa888, 0x0008, 0])), num(3, r.below(0x10000)));
    case 11:
    case 12:
      return call(19);
    case 13:
      return call(31, num(2, r.pick([0x0008, 0xdd86, 0x0608])), num(3, r.chance(0.9) ? 0 : 1));
    case 14:
      return call(32, num(2, r.below(5)));
    case 15:
      // Not below 300: after a push that had to make room, the kernel's lower limit comes from an unset transport header.
      return call(38, num(2, r.chance(0.9) ? 300 + r.below(300) : 300 + r.below(20000)), num(3, r.chance(0.9) ? 0 : 1));
    case 16:
      return call(39, num(2, r.chance(0.9) ? r.below(200) : r.below(20000)));
    case 17:
      return call(43, num(2, r.chance(0.9) ? r.below(100) : r.u32() | 0), num(3, r.chance(0.9) ? 0 : 1));
    case 18: {
      const flags = r.pick([0, 0, 1, 2, 4, 6, 10, 18, 12, 26, 32, 66, 128, 256, 384, 512]);
      return call(50, num(2, diff), num(3, r.pick([0, 0, 1, 1, 2])), num(4, flags));
    }
    default:
      return r.chance(0.5)
        ? call(97)
        : r.chance(0.3)
          ? call(40, reg(2, scalar))
          : r.chance(0.5)
            ? call(192, num(2, r.below(3)), num(3, r.below(4)))
            : call(48, reg(2, scalar));
  }
}

/** A tail call: slot 0 holds the program itself, slot 1 nothing; slot 3 is out of range. */
function tailCall(r: SeededRandom, place: Place): Operation | undefined {
  if (!place.inMain || place.inLoop) return undefined;
  // Not again and again where a round may push headers: see skbHelper.
  const slot = place.hook === "xdp" ? r.pick([0, 0, 1, 2, 3]) : r.pick([1, 2, 3]);
  return {
    kind: "tail_call",
    emit: (b) => {
      b.put({ opcode: 0xbf, dst: 1, src: 6 });
      b.lddwMap(2, "jump", 1);
      // Through memory: of an index that it knows, the kernel makes a direct jump, and then patches code at each change of
      // the prog array, which takes longer than all the rest.
      b.put({ opcode: 0x62, dst: 9, off: SLOT_AT, imm: slot });
      b.put({ opcode: 0x61, dst: 3, src: 9, off: SLOT_AT });
      b.put({ opcode: OP_CALL, imm: 12 });
      restore(b, 0);
    },
  };
}

/**
 * The smallest program that still fails: drops operations, subprograms' too, as long as `fails` says so.
 */
export function shrink(program: Generated, fails: (p: Generated) => boolean): Generated {
  let best = program;
  for (let improved = true; improved; ) {
    improved = false;
    for (const smaller of reductions(best)) {
      if (fails(smaller)) {
        best = smaller;
        improved = true;
        break;
      }
    }
  }
  return best;
}

function* reductions({ hook, main, subprograms }: Generated): Generator<Generated> {
  for (const ops of reduceList(main)) yield { hook, main: ops, subprograms };
  for (let i = 0; i < subprograms.length; i++) {
    for (const ops of reduceList(subprograms[i]!)) {
      yield { hook, main, subprograms: subprograms.map((s, j) => (i === j ? ops : s)) };
    }
  }
}

function* reduceList(ops: readonly Operation[]): Generator<readonly Operation[]> {
  for (let size = ops.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at + size <= ops.length; at += size) yield [...ops.slice(0, at), ...ops.slice(at + size)];
  }
  for (let i = 0; i < ops.length; i++) {
    const { groups, rebuild } = ops[i]!;
    if (!groups || !rebuild) continue;
    for (let g = 0; g < groups.length; g++) {
      // The group in place of the whole.
      yield [...ops.slice(0, i), ...groups[g]!, ...ops.slice(i + 1)];
      for (const inner of reduceList(groups[g]!)) {
        const smaller = rebuild(groups.map((old, j) => (j === g ? inner : old)));
        yield [...ops.slice(0, i), smaller, ...ops.slice(i + 1)];
      }
    }
  }
}
