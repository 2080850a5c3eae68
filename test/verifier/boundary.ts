/**
 * Programs near the boundary of what a verifier accepts: range puzzles that end in a packet, stack or map access, spills
 * and fills of odd widths, linked copies, loops, function calls; and mutants of such programs, one field changed. Most
 * are wrong by a byte or right by one. All are XDP programs over the maps of `MAPS`.
 */
import { encode, type InsnInit, lddwImms } from "@ebplane/core/isa";
import { type MapSpec, MapType, type ProgramSpec, ProgType, type Reloc } from "@ebplane/core/object";

export const MAPS: readonly MapSpec[] = [
  { name: "array", type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 48, maxEntries: 4, flags: 0 },
  { name: "hash", type: MapType.BPF_MAP_TYPE_HASH, keySize: 8, valueSize: 16, maxEntries: 8, flags: 0 },
];

/** A 32-bit generator that can be seeded: the same seed, the same programs. */
export class Rng {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }
  next(): number {
    // xorshift32 with a final mix, so that neighbouring seeds part at once.
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) >>> 0;
  }
  below(n: number): number {
    return this.next() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

export interface Boundary {
  readonly insns: readonly InsnInit[];
  readonly relocs: readonly Reloc[];
}

type Kind = "none" | "scalar" | "pkt" | "end" | "map" | "stack" | "ctx";

const ALU = { add: 0x00, sub: 0x10, mul: 0x20, or: 0x40, and: 0x50, lsh: 0x60, rsh: 0x70, xor: 0xa0, arsh: 0xc0 };
const OPS = Object.values(ALU);
const JUMPS = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
export const SIZES = [
  { code: 0x10, bytes: 1 },
  { code: 0x08, bytes: 2 },
  { code: 0x00, bytes: 4 },
  { code: 0x18, bytes: 8 },
];
const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 14, 15, 16, 31, 32, 40, 47, 48, 63, 64, 127, 255, 256, 511, 0xffff, 0x7fffffff, -1, -2, -8, -16,
  -2147483648,
];

/** Where a program is run: its type, its packet's place in the ctx, and the helpers that load from it and move it. */
export interface Hook {
  readonly type: number;
  readonly data: number;
  readonly dataEnd: number;
  readonly loadBytes: number;
  readonly moveData: number;
}

export const XDP_HOOK: Hook = {
  type: ProgType.BPF_PROG_TYPE_XDP,
  data: 0,
  dataEnd: 4,
  loadBytes: 189,
  moveData: 44,
};

/** Writes one program, statement by statement, knowing roughly what each register holds. */
export class Writer {
  readonly rng: Rng;
  readonly insns: InsnInit[] = [];
  readonly relocs: Reloc[] = [];
  kinds: Kind[] = new Array(11).fill("none");
  private slots = 0;
  readonly hook: Hook;

  constructor(rng: Rng, hook: Hook = XDP_HOOK) {
    this.rng = rng;
    this.hook = hook;
    this.kinds[10] = "stack";
  }

  emit(insn: InsnInit): number {
    this.insns.push(insn);
    this.slots += insn.opcode === 0x18 ? 2 : 1;
    return this.slots;
  }

  /** Slot of the next insn. */
  get here(): number {
    return this.slots;
  }

  regs(kind: Kind): number[] {
    return this.kinds.flatMap((k, i) => (k === kind && i < 10 ? [i] : []));
  }

  scalar(): number {
    const found = this.regs("scalar");
    if (found.length && this.rng.chance(90)) return this.rng.pick(found);
    const dst = this.rng.below(6);
    this.mov(dst, this.edge());
    return dst;
  }

  edge(): number {
    const n = this.rng.pick(EDGES);
    return this.rng.chance(20) ? (n + this.rng.below(5) - 2) | 0 : n;
  }

  mov(dst: number, imm: number): void {
    this.emit({ opcode: this.rng.chance(80) ? 0xb7 : 0xb4, dst, imm });
    this.kinds[dst] = "scalar";
  }

  copy(dst: number, src: number): void {
    this.emit({ opcode: 0xbf, dst, src });
    this.kinds[dst] = this.kinds[src]!;
  }

  map(dst: number, name: string): void {
    this.relocs.push({ pc: this.here, kind: "map", name });
    this.emit({ opcode: 0x18, dst, src: 1, ...lddwImms(0n) });
  }

  call(id: number): void {
    this.emit({ opcode: 0x85, imm: id });
    for (let i = 1; i <= 5; i++) this.kinds[i] = "none";
    this.kinds[0] = "scalar";
  }

  /** A forward jump over what `body` writes. */
  over(jump: Omit<InsnInit, "off">, body: () => void): void {
    const at = this.insns.length;
    this.emit({ ...jump, off: 0 });
    const from = this.here;
    const before = this.kinds.slice();
    body();
    this.insns[at] = { ...jump, off: this.here - from };
    this.kinds = this.kinds.map((k, i) => (k === before[i] ? k : "none"));
  }

  leave(): void {
    this.emit({ opcode: 0xb7, dst: 0, imm: 1 });
    this.emit({ opcode: 0x95 });
  }

  /** `if cond goto next; r0 = 1; exit`: what follows knows the condition. */
  require(jump: Omit<InsnInit, "off">): void {
    this.emit({ ...jump, off: 2 });
    const kinds = this.kinds.slice();
    this.leave();
    this.kinds = kinds;
  }
}

/** One random program. */
export function boundaryProgram(rng: Rng): Boundary {
  return writeProgram(new Writer(rng), statement);
}

/** A prologue that loads the packet's ends, some statements, perhaps a call, an end. */
export function writeProgram(w: Writer, next: (w: Writer, depth: number) => void): Boundary {
  const { rng, hook } = w;
  w.copy(6, 1);
  w.kinds[6] = "ctx";
  w.kinds[1] = "ctx";
  w.emit({ opcode: 0x61, dst: 7, src: 1, off: hook.data });
  w.kinds[7] = "pkt";
  w.emit({ opcode: 0x61, dst: 8, src: 1, off: hook.dataEnd });
  w.kinds[8] = "end";
  const calls = rng.chance(15);
  const count = 3 + rng.below(14);
  for (let i = 0; i < count; i++) next(w, 0);
  if (calls) callFunction(w);
  const result = w.regs("scalar");
  if (result.length && rng.chance(50)) w.copy(0, rng.pick(result));
  else w.mov(0, 2);
  w.emit({ opcode: 0x95 });
  if (calls) writeFunction(w);
  return { insns: w.insns, relocs: w.relocs };
}

export function statement(w: Writer, depth: number): void {
  const { rng } = w;
  const pick = rng.below(100);
  if (pick < 14) source(w);
  else if (pick < 34) arithmetic(w);
  else if (pick < 50) bound(w);
  else if (pick < 56) link(w);
  else if (pick < 66) packetAccess(w);
  else if (pick < 76) stackAccess(w);
  else if (pick < 84) mapAccess(w);
  else if (pick < 90) spill(w);
  else if (pick < 93) helper(w);
  else if (pick < 96 && depth === 0) loop(w);
  else if (depth < 2) branch(w, depth);
  else arithmetic(w);
}

/** A number from somewhere. */
function source(w: Writer): void {
  const { rng } = w;
  const dst = rng.below(6);
  const pick = rng.below(4);
  if (pick === 0) w.mov(dst, w.edge());
  else if (pick === 1) {
    w.emit({ opcode: 0x61, dst, src: 6, off: 12 + 4 * rng.below(2) });
    w.kinds[dst] = "scalar";
  } else if (pick === 2) w.call(7);
  else {
    w.emit({ opcode: 0x18, dst, ...lddwImms(BigInt(w.edge()) << BigInt(rng.below(33))) });
    w.kinds[dst] = "scalar";
  }
}

function arithmetic(w: Writer): void {
  const { rng } = w;
  const dst = w.scalar();
  const op = rng.pick(OPS);
  const is32 = rng.chance(35);
  const cls = is32 ? 4 : 7;
  if (rng.chance(8)) {
    const widths = is32 ? [8, 16] : [8, 16, 32];
    w.emit({ opcode: 0xb8 | cls, dst, src: w.scalar(), off: rng.chance(70) ? rng.pick(widths) : 0 });
    return;
  }
  if (rng.chance(4)) {
    w.emit({ opcode: 0x80 | cls, dst });
    return;
  }
  const shift = op === ALU.lsh || op === ALU.rsh || op === ALU.arsh;
  if (rng.chance(35)) w.emit({ opcode: op | 8 | cls, dst, src: w.scalar() });
  else w.emit({ opcode: op | cls, dst, imm: shift ? rng.below(is32 ? 32 : 64) : w.edge() });
}

/** Learns something about a number: leaves the program, or jumps over something. */
function bound(w: Writer): void {
  const { rng } = w;
  const dst = w.scalar();
  const cls = rng.chance(30) ? 6 : 5;
  const op = rng.pick(JUMPS);
  const byReg = rng.chance(25);
  const jump = byReg ? { opcode: op | 8 | cls, dst, src: w.scalar() } : { opcode: op | cls, dst, imm: w.edge() };
  if (rng.chance(70)) w.require(jump);
  else w.over(jump, () => arithmetic(w));
}

/** A copy, perhaps moved by a constant: what is learnt of one holds for the other. */
function link(w: Writer): void {
  const { rng } = w;
  const src = w.scalar();
  const dst = rng.below(6);
  if (rng.chance(25)) w.emit({ opcode: 0xbc, dst, src });
  else w.copy(dst, src);
  w.kinds[dst] = "scalar";
  if (rng.chance(40)) w.emit({ opcode: 0x07, dst, imm: w.edge() });
}

export function keepSmall(w: Writer, reg: number, limit: number): void {
  const { rng } = w;
  const pick = rng.below(5);
  if (pick === 0) w.emit({ opcode: 0x57, dst: reg, imm: limit });
  else if (pick === 1) w.require({ opcode: 0xb5, dst: reg, imm: limit });
  else if (pick === 2) w.require({ opcode: 0xa5, dst: reg, imm: limit + rng.below(2) });
  else if (pick === 3) {
    w.require({ opcode: 0xd5, dst: reg, imm: limit });
    w.require({ opcode: 0x75, dst: reg, imm: 0 });
  }
}

function packetAccess(w: Writer): void {
  const { rng } = w;
  const length = 1 + rng.below(24);
  const size = rng.pick(SIZES);
  const base = 2 + rng.below(2);
  if (w.kinds[7] !== "pkt" || w.kinds[8] !== "end") return;
  w.copy(base, 7);
  if (rng.chance(50)) {
    const index = rng.chance(50) ? w.scalar() : 5;
    if (w.kinds[index] !== "scalar") w.mov(index, rng.below(32));
    if (index === base) return;
    keepSmall(w, index, rng.pick([15, 31, 63, 255, 0xffff]));
    w.emit({ opcode: 0x0f, dst: base, src: index });
  }
  w.copy(4, base);
  w.emit({ opcode: 0x07, dst: 4, imm: length });
  const flip = rng.chance(30);
  const op = rng.pick([0x20, 0x30, 0xa0, 0xb0]);
  const jump = flip ? { opcode: op | 0x0d, dst: 8, src: 4 } : { opcode: op | 0x0d, dst: 4, src: 8 };
  if (rng.chance(70)) w.require(jump);
  else w.over(jump, () => w.leave());
  const off = length - size.bytes + (rng.chance(30) ? rng.below(3) - 1 : 0);
  const addr = rng.chance(75) ? base : 4;
  touch(w, addr, addr === 4 ? off - length : off, size);
  w.kinds[4] = "none";
  w.kinds[base] = "none";
}

/** A load or a store at reg + off. */
export function touch(
  w: Writer,
  reg: number,
  off: number,
  size: { readonly code: number; readonly bytes: number },
): void {
  const { rng } = w;
  const kind = rng.below(4);
  if (kind < 2) {
    const dst = rng.below(6);
    const signed = size.bytes < 8 && rng.chance(15) ? 0x80 : 0x60;
    w.emit({ opcode: 0x01 | signed | size.code, dst, src: reg, off });
    w.kinds[dst] = "scalar";
  } else if (kind === 2) w.emit({ opcode: 0x62 | size.code, dst: reg, off, imm: w.edge() });
  else w.emit({ opcode: 0x63 | size.code, dst: reg, src: w.scalar(), off });
}

function stackAccess(w: Writer): void {
  const { rng } = w;
  const size = rng.pick(SIZES);
  if (rng.chance(60)) {
    const slot = rng.pick([8, 16, 24, 32, 512]);
    touch(w, 10, -slot + (rng.chance(40) ? rng.below(8) : 0), size);
    return;
  }
  const index = w.scalar();
  const base = 2 + rng.below(3);
  if (base === index) return;
  keepSmall(w, index, rng.pick([7, 8, 15, 16, 24]));
  w.copy(base, 10);
  w.emit({ opcode: 0x07, dst: base, imm: -rng.pick([8, 16, 24, 32]) });
  w.emit({ opcode: 0x0f, dst: base, src: index });
  touch(w, base, rng.pick([0, 0, -8, 1]), size);
  w.kinds[base] = "none";
}

function mapAccess(w: Writer): void {
  const { rng } = w;
  const array = rng.chance(60);
  w.emit({ opcode: 0x7a, dst: 10, off: -8, imm: rng.below(5) });
  w.emit({ opcode: 0xbf, dst: 2, src: 10 });
  w.emit({ opcode: 0x07, dst: 2, imm: -8 });
  w.map(1, array ? "array" : "hash");
  w.call(1);
  w.kinds[0] = "none";
  const valueSize = array ? 48 : 16;
  if (rng.chance(93)) w.require({ opcode: 0x55, dst: 0, imm: 0 });
  const kept = rng.chance(40) ? 9 : 0;
  if (kept) w.emit({ opcode: 0xbf, dst: 9, src: 0 });
  const size = rng.pick(SIZES);
  if (rng.chance(60)) {
    const found = w.regs("scalar").filter((r) => r !== kept);
    if (found.length) {
      const index = rng.pick(found);
      keepSmall(w, index, rng.pick([valueSize - size.bytes, valueSize - size.bytes + 1, 7, 8, 15]));
      w.emit({ opcode: rng.chance(90) ? 0x0f : 0x1f, dst: kept, src: index });
    }
  }
  touch(w, kept, rng.pick([0, 0, valueSize - size.bytes, valueSize - size.bytes + 1, -1]), size);
  w.kinds[kept] = "none";
}

/** A register to the stack and back, the widths not always matching. */
function spill(w: Writer): void {
  const { rng } = w;
  const off = -8 * (1 + rng.below(4));
  const src = rng.chance(70) ? w.scalar() : rng.pick([6, 7, 10]);
  if (w.kinds[src] === "none") return;
  const store = w.kinds[src] === "scalar" ? rng.pick(SIZES) : SIZES[3]!;
  w.emit({ opcode: 0x63 | store.code, dst: 10, src, off });
  if (rng.chance(30)) bound(w);
  const load = rng.chance(70) ? store : rng.pick(SIZES);
  const dst = rng.below(6);
  w.emit({ opcode: 0x61 | load.code, dst, src: 10, off: off + (rng.chance(15) ? rng.below(8) : 0) });
  w.kinds[dst] = w.kinds[src] === "scalar" ? "scalar" : "none";
}

function helper(w: Writer): void {
  const { rng } = w;
  const pick = rng.below(3);
  if (pick === 0) {
    // csum_diff over a stack buffer with a bounded size.
    const size = w.regs("scalar").find((r) => r !== 1) ?? 2;
    if (w.kinds[size] !== "scalar") w.mov(size, 8);
    keepSmall(w, size, rng.pick([8, 16, 32, 64]));
    if (size !== 2) w.copy(2, size);
    w.copy(1, 10);
    w.emit({ opcode: 0x07, dst: 1, imm: -rng.pick([8, 16, 32, 64]) });
    w.mov(3, 0);
    w.mov(4, 0);
    w.mov(5, 0);
    w.call(28);
  } else if (pick === 1) {
    // xdp_load_bytes into the stack.
    const size = w.regs("scalar").find((r) => r >= 2) ?? 4;
    if (w.kinds[size] !== "scalar") w.mov(size, 8);
    keepSmall(w, size, rng.pick([8, 16, 32]));
    if (size !== 4) w.copy(4, size);
    w.copy(1, 6);
    w.mov(2, 0);
    w.copy(3, 10);
    w.emit({ opcode: 0x07, dst: 3, imm: -rng.pick([8, 16, 32]) });
    w.call(w.hook.loadBytes);
  } else {
    // xdp_adjust_head: packet pointers are gone.
    w.copy(1, 6);
    w.mov(2, rng.pick([0, 4, -4]));
    w.call(w.hook.moveData);
    if (rng.chance(80)) {
      w.emit({ opcode: 0x61, dst: 7, src: 6, off: w.hook.data });
      w.emit({ opcode: 0x61, dst: 8, src: 6, off: w.hook.dataEnd });
    }
  }
}

function loop(w: Writer): void {
  const { rng } = w;
  w.mov(9, 0);
  w.kinds[9] = "none";
  const start = w.here;
  const before = w.kinds.slice();
  for (let i = 1 + rng.below(3); i > 0; i--) statement(w, 1);
  w.emit({ opcode: 0x07, dst: 9, imm: 1 });
  w.emit({ opcode: 0xa5, dst: 9, imm: 2 + rng.below(6), off: start - w.here - 1 });
  w.kinds = w.kinds.map((k, i) => (k === before[i] ? k : "none"));
}

function branch(w: Writer, depth: number): void {
  const dst = w.scalar();
  w.over({ opcode: w.rng.pick(JUMPS) | 5, dst, imm: w.edge() }, () => {
    for (let i = 1 + w.rng.below(3); i > 0; i--) statement(w, depth + 1);
  });
}

let callAt = 0;

function callFunction(w: Writer): void {
  const { rng } = w;
  const arg = w.scalar();
  if (arg !== 2) w.copy(2, arg);
  if (rng.chance(70)) {
    w.copy(1, 10);
    w.emit({ opcode: 0x07, dst: 1, imm: -rng.pick([8, 16, 32]) });
  } else w.copy(1, 7);
  callAt = w.insns.length;
  w.emit({ opcode: 0x85, src: 1, imm: 0 });
  for (let i = 1; i <= 5; i++) w.kinds[i] = "none";
  w.kinds[0] = "scalar";
}

/** A function of (pointer, number): touches the pointer, returns a number. */
function writeFunction(w: Writer): void {
  const { rng } = w;
  let at = 0;
  for (const insn of w.insns.slice(0, callAt)) at += insn.opcode === 0x18 ? 2 : 1;
  w.insns[callAt] = { opcode: 0x85, src: 1, imm: w.here - at - 1 };
  w.kinds = new Array(11).fill("none");
  w.kinds[2] = "scalar";
  w.kinds[10] = "stack";
  if (rng.chance(50)) {
    keepSmall(w, 2, rng.pick([0, 7, 8, 15]));
    w.emit({ opcode: 0x0f, dst: 1, src: 2 });
  }
  touch(w, 1, rng.pick([0, 0, 8, -8]), rng.pick(SIZES));
  for (let i = rng.below(3); i > 0; i--) arithmetic(w);
  w.mov(0, w.edge());
  w.emit({ opcode: 0x95 });
}

/** A copy with one field of one insn changed. */
export function mutate(rng: Rng, program: Boundary): Boundary {
  const insns = program.insns.slice();
  const i = rng.below(insns.length);
  const { opcode, dst = 0, src = 0, off = 0, imm = 0, imm2 = 0 } = insns[i]!;
  if (opcode === 0x18) return program;
  const insn = { opcode, dst, src, off, imm, imm2 };
  const clamp = (n: number, min: number, max: number) => Math.min(max, Math.max(min, n));
  switch (rng.below(6)) {
    case 0:
      insns[i] = { ...insn, off: clamp(off + rng.pick([1, -1, 2, 8, -8]), -32768, 32767) };
      break;
    case 1:
      insns[i] = { ...insn, imm: clamp(imm + rng.pick([1, -1, 8, -8]), -2147483648, 2147483647) };
      break;
    case 2:
      insns[i] = { ...insn, dst: rng.below(11) };
      break;
    case 3:
      if (opcode & 8) insns[i] = { ...insn, src: rng.below(11) };
      break;
    case 4: {
      const cls = opcode & 7;
      if (cls === 4 || cls === 7) insns[i] = { ...insn, opcode: rng.pick(OPS) | (opcode & 0x0f) };
      else if (cls === 5 || cls === 6) insns[i] = { ...insn, opcode: rng.pick(JUMPS) | (opcode & 0x0f) };
      else insns[i] = { ...insn, opcode: (opcode & 0xe7) | rng.pick(SIZES).code };
      break;
    }
    default: {
      const cls = opcode & 7;
      const other = cls === 4 ? 7 : cls === 7 ? 4 : cls === 5 ? 6 : cls === 6 ? 5 : cls;
      if (opcode !== 0x95 && opcode !== 0x85 && opcode !== 0x05) insns[i] = { ...insn, opcode: (opcode & ~7) | other };
    }
  }
  return { insns, relocs: program.relocs };
}

export function toSpec(program: Boundary, type: number = ProgType.BPF_PROG_TYPE_XDP): ProgramSpec {
  return {
    name: "boundary",
    section: "xdp",
    type,
    attachType: 0,
    flags: 0,
    code: encode(program.insns),
    relocs: program.relocs,
    funcInfo: [],
    lineInfo: [],
  };
}
