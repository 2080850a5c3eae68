/** Machine form to bytes: the frame, the order of blocks, jump distances, relocs and the line of each instruction. */
import { BPF_ADD, BPF_ALU64, encode, type InsnInit, OP_LDDW, slotsOf } from "@ebplane/core/isa";
import type { Reloc } from "@ebplane/core/object";
import type { Callee, CoreSite, DataObject } from "../ir/index.ts";
import { allocate, LEA, type Machine, type MBlock, type MInsn, MOV64_REG, minsn } from "../regalloc/index.ts";
import { type FrameLayout, layoutFrame } from "./frame.ts";
import { layoutBlocks } from "./layout.ts";

export interface Emitted {
  readonly code: Uint8Array;
  readonly relocs: readonly Reloc[];
  /** Calls, and addresses, of the program's other functions: their imm is to be filled in. */
  readonly links: readonly { readonly pc: number; readonly callee: Callee }[];
  /** Numbers that the kernel has. */
  readonly cores: readonly { readonly pc: number; readonly site: CoreSite }[];
  /** Source place of each instruction that has one, by pc. */
  readonly places: readonly { readonly pc: number; readonly at: number }[];
  readonly frame: FrameLayout;
}

/** `place` gives where an object of global data lies. */
export function emit(m: Machine, place: (object: DataObject) => number): Emitted {
  allocate(m);
  const order = layoutBlocks(m.blocks[0]!);
  const frame = layoutFrame(order, m.pinned);
  for (const b of order) b.insns = b.insns.flatMap((i) => expand(i, frame));
  const start = new Map<MBlock, number>();
  let pc = 0;
  for (const b of order) {
    start.set(b, pc);
    for (const i of b.insns) pc += slotsOf(i);
  }
  const out: InsnInit[] = [];
  const relocs: Reloc[] = [];
  const links: { pc: number; callee: Callee }[] = [];
  const cores: { pc: number; site: CoreSite }[] = [];
  const places: { pc: number; at: number }[] = [];
  pc = 0;
  for (const b of order) {
    for (const i of b.insns) {
      const { opcode, dst, src, imm } = i;
      let { off } = i;
      if (i.target) off = start.get(i.target)! - pc - 1;
      if (i.map !== undefined) relocs.push({ pc, kind: "map", name: i.map });
      if (i.data) relocs.push({ pc, kind: "mapValue", name: i.data.section, offset: place(i.data) });
      if (i.external) relocs.push({ pc, kind: "kfunc", name: i.external, weak: false });
      if (i.callee) links.push({ pc, callee: i.callee });
      if (i.core) cores.push({ pc, site: i.core });
      if (i.at) places.push({ pc, at: i.at });
      out.push(opcode === OP_LDDW ? { opcode, dst, src, imm, imm2: i.imm2 } : { opcode, dst, src, off, imm });
      pc += slotsOf(i);
    }
  }
  return { code: encode(out), relocs, links, cores, places, frame };
}

/** Stack objects get their offsets; assembly comes out as it was written, its jumps being relative. */
function expand(i: MInsn, frame: FrameLayout): MInsn[] {
  if (i.asm) return i.asm.insns.map(({ opcode, at, ...fields }) => minsn(opcode, at, fields));
  if (!i.slot) return [i];
  const off = frame.offsets.get(i.slot)! + i.off;
  if (i.opcode !== LEA) return [{ ...i, off, slot: undefined }];
  return [
    { ...i, opcode: MOV64_REG, src: 10, off: 0, imm: 0, slot: undefined },
    { ...i, opcode: BPF_ALU64 | BPF_ADD, imm: off, off: 0, slot: undefined },
  ];
}
