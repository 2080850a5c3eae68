/**
 * Boundary programs of more kinds: the other types that see packets, ctx fields at their edges, atomics, spills in parts,
 * numbers linked in 32 bits, sockets that must be released; and mutants in which whole insns are moved, doubled, left out.
 */
import { ProgType } from "@ebplane/core/object";
import {
  type Boundary,
  type Hook,
  keepSmall,
  mutate,
  type Rng,
  SIZES,
  statement,
  touch,
  Writer,
  writeProgram,
  XDP_HOOK,
} from "./boundary.ts";

const SKB: Omit<Hook, "type"> = { data: 76, dataEnd: 80, loadBytes: 26, moveData: 39 };
const HOOKS: readonly Hook[] = [
  XDP_HOOK,
  { ...SKB, type: ProgType.BPF_PROG_TYPE_SCHED_CLS },
  { ...SKB, type: ProgType.BPF_PROG_TYPE_SCHED_CLS },
  { ...SKB, type: ProgType.BPF_PROG_TYPE_CGROUP_SKB },
  { ...SKB, type: ProgType.BPF_PROG_TYPE_LWT_XMIT },
  { ...SKB, type: ProgType.BPF_PROG_TYPE_SK_SKB },
];

export interface WideProgram {
  readonly type: number;
  readonly boundary: Boundary;
}

/** One random program of a random type, perhaps mutated. */
export function wideProgram(rng: Rng): WideProgram {
  const hook = rng.pick(HOOKS);
  let boundary = writeProgram(new Writer(rng, hook), wideStatement);
  for (let n = rng.below(3); n > 0; n--) boundary = rng.chance(60) ? mutate(rng, boundary) : shuffle(rng, boundary);
  return { type: hook.type, boundary };
}

function wideStatement(w: Writer, depth: number): void {
  const pick = w.rng.below(100);
  if (pick < 8) ctxAccess(w);
  else if (pick < 16) atomic(w);
  else if (pick < 26) partialSpill(w);
  else if (pick < 38) link32(w);
  else if (pick < 43) socket(w);
  else if (pick < 48) mapHelper(w);
  else if (pick < 56) divide(w);
  else if (pick < 60) pointerSpill(w);
  else statement(w, depth);
}

/** A load or store of a ctx field, or beside it. */
function ctxAccess(w: Writer): void {
  const { rng } = w;
  const off = 4 * rng.below(48) + (rng.chance(25) ? rng.below(4) : 0);
  const size = rng.chance(70) ? SIZES[2]! : rng.pick(SIZES);
  if (rng.chance(75)) {
    const dst = rng.below(6);
    w.emit({ opcode: 0x61 | size.code, dst, src: 6, off });
    w.kinds[dst] = off === w.hook.data ? "pkt" : off === w.hook.dataEnd ? "end" : "scalar";
  } else if (rng.chance(50)) w.emit({ opcode: 0x63 | size.code, dst: 6, src: w.scalar(), off });
  else w.emit({ opcode: 0x62 | size.code, dst: 6, off, imm: w.edge() });
}

const ATOMICS = [0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1];

/** On the stack, behind something that was written there. */
function atomic(w: Writer): void {
  const { rng } = w;
  const off = -8 * (1 + rng.below(3));
  const wide = rng.chance(60);
  const src = w.scalar();
  if (rng.chance(80)) w.emit({ opcode: 0x7b, dst: 10, src: w.scalar(), off });
  const imm = rng.pick(ATOMICS);
  w.emit({ opcode: wide ? 0xdb : 0xc3, dst: 10, src, off: off + (rng.chance(10) ? 4 : 0), imm });
  if (imm === 0xf1) w.kinds[0] = "scalar";
  if (rng.chance(60)) {
    const dst = rng.below(6);
    w.emit({ opcode: rng.chance(70) ? 0x79 : 0x61, dst, src: 10, off });
    w.kinds[dst] = "scalar";
  }
}

/** Parts of a slot written one by one, read across. */
function partialSpill(w: Writer): void {
  const { rng } = w;
  const slot = -8 * (1 + rng.below(3));
  for (let n = 1 + rng.below(3); n > 0; n--) {
    const size = rng.pick(SIZES);
    const off = slot + size.bytes * rng.below(8 / size.bytes);
    if (rng.chance(30)) w.emit({ opcode: 0x62 | size.code, dst: 10, off, imm: rng.chance(50) ? 0 : w.edge() });
    else w.emit({ opcode: 0x63 | size.code, dst: 10, src: w.scalar(), off });
  }
  const size = rng.pick(SIZES);
  const dst = rng.below(6);
  const signed = size.bytes < 8 && rng.chance(20) ? 0x80 : 0x60;
  w.emit({ opcode: 0x01 | signed | size.code, dst, src: 10, off: slot + size.bytes * rng.below(8 / size.bytes) });
  w.kinds[dst] = "scalar";
}

/** Copies moved in 32 and in 64 bits, and a comparison of one of them. */
function link32(w: Writer): void {
  const { rng } = w;
  const src = w.scalar();
  for (let n = 1 + rng.below(2); n > 0; n--) {
    const dst = rng.below(6);
    if (dst === src) continue;
    if (rng.chance(30)) w.emit({ opcode: 0xbc, dst, src });
    else w.copy(dst, src);
    w.kinds[dst] = "scalar";
    if (rng.chance(75)) w.emit({ opcode: rng.pick([0x04, 0x14, 0x07, 0x17]), dst, imm: w.edge() });
  }
  const tested = w.scalar();
  const cls = rng.chance(50) ? 6 : 5;
  w.require({
    opcode: rng.pick([0x20, 0x30, 0xa0, 0xb0, 0x60, 0x70, 0xc0, 0xd0, 0x10, 0x50]) | cls,
    dst: tested,
    imm: w.edge(),
  });
}

/** A socket looked up, tested, released: each perhaps not. */
function socket(w: Writer): void {
  const { rng } = w;
  w.emit({ opcode: 0x7a, dst: 10, off: -16, imm: 0 });
  w.emit({ opcode: 0x7a, dst: 10, off: -8, imm: 0 });
  w.copy(1, 6);
  w.copy(2, 10);
  w.emit({ opcode: 0x07, dst: 2, imm: -16 });
  w.mov(3, rng.pick([12, 12, 12, 36, 13]));
  w.emit({ opcode: 0xb7, dst: 4, imm: -1 });
  w.mov(5, 0);
  w.call(rng.pick([84, 85]));
  w.kinds[0] = "none";
  const kept = rng.chance(50) ? 9 : 0;
  if (kept) w.emit({ opcode: 0xbf, dst: 9, src: 0 });
  w.emit({ opcode: 0x15, dst: kept, off: 3, imm: 0 });
  const before = w.kinds.slice();
  w.emit({ opcode: 0x61, dst: 2, src: kept, off: rng.pick([0, 4, 12, 16, 24, 44, 72, 76]) });
  w.emit({ opcode: 0xbf, dst: 1, src: kept });
  w.call(rng.chance(90) ? 86 : 7);
  w.kinds = before.map((k, i) => (i <= 5 ? "none" : k));
}

/** map_update_elem or map_delete_elem with key and value on the stack, or in the packet's place. */
function mapHelper(w: Writer): void {
  const { rng } = w;
  const array = rng.chance(50);
  for (const off of [-8, -16, -24]) if (rng.chance(80)) w.emit({ opcode: 0x7a, dst: 10, off, imm: rng.below(5) });
  w.copy(2, 10);
  w.emit({ opcode: 0x07, dst: 2, imm: -rng.pick([4, 8, 8, 16]) });
  if (rng.chance(80)) w.copy(3, 10);
  else w.copy(3, 7);
  w.emit({ opcode: 0x07, dst: 3, imm: -rng.pick([16, 24, 48]) });
  w.mov(4, rng.below(3));
  w.map(1, array ? "array" : "hash");
  w.call(rng.pick([2, 3]));
}

function divide(w: Writer): void {
  const { rng } = w;
  const dst = w.scalar();
  const cls = rng.chance(40) ? 4 : 7;
  const off = rng.chance(40) ? 1 : 0;
  const op = rng.pick([0x30, 0x90]);
  if (rng.chance(50)) w.emit({ opcode: op | 8 | cls, dst, src: w.scalar(), off });
  else w.emit({ opcode: op | cls, dst, off, imm: w.edge() || 3 });
  if (rng.chance(40))
    w.emit({ opcode: rng.chance(50) ? 0xdc : rng.chance(50) ? 0xd4 : 0xd7, dst, imm: rng.pick([16, 32, 64]) });
}

/** A pointer to the stack and back, used from the copy. */
function pointerSpill(w: Writer): void {
  const { rng } = w;
  const off = -8 * (1 + rng.below(3));
  const src = rng.pick([7, 10, 6]);
  if (w.kinds[src] === "none") return;
  w.emit({ opcode: 0x7b, dst: 10, src, off });
  if (rng.chance(30)) w.emit({ opcode: 0x62 | rng.pick(SIZES).code, dst: 10, off, imm: 0 });
  const dst = 2 + rng.below(3);
  w.emit({ opcode: 0x79, dst, src: 10, off });
  if (src === 10) {
    const index = w.scalar();
    if (index !== dst && rng.chance(50)) {
      keepSmall(w, index, rng.pick([7, 8, 15]));
      w.emit({ opcode: 0x0f, dst, src: index });
    }
    touch(w, dst, -rng.pick([8, 16, 24]), rng.pick(SIZES));
  } else if (src === 6) w.emit({ opcode: 0x61, dst, src: dst, off: 4 * rng.below(20) });
  w.kinds[dst] = "none";
}

/** Insns exchanged, doubled or left out; jumps over the place stay as long as they were. */
function shuffle(rng: Rng, program: Boundary): Boundary {
  const insns = program.insns.slice();
  const isPlain = (i: number) => {
    const cls = insns[i]!.opcode & 7;
    return insns[i]!.opcode !== 0x18 && cls !== 5 && cls !== 6;
  };
  const i = rng.below(insns.length - 1);
  const k = rng.chance(70) ? i + 1 : rng.below(insns.length - 1);
  if (!isPlain(i) || !isPlain(k)) return program;
  const how = rng.below(4);
  if (how < 2) [insns[i], insns[k]] = [insns[k]!, insns[i]!];
  else if (how === 2) insns[i] = insns[k]!;
  // `goto +0`: the insn is gone and nothing moves.
  else insns[i] = { opcode: 0x05, off: 0 };
  return { insns, relocs: program.relocs };
}
