/**
 * The intermediate form: a control-flow graph of blocks in SSA. A value is a whole 64-bit register.
 *
 * Invariants that every stage keeps:
 * - A value whose source type has 32 bits or fewer is zero-extended to 64 bits (i8 and i16 are sign-extended to 32
 *   first); operations of width 32 read the low halves and zero the high half of their result, as the machine's do.
 * - A boolean is 0 or 1.
 * - Constants belong to no block: they are made where they are used.
 * - No edge is critical where a phi needs a copy: `splitCriticalEdges` runs before the machine stage.
 */

import type { Insn as MachineInsn } from "@ebplane/core/isa";
import type { MemType } from "../check/index.ts";

export type Width = 32 | 64;
export type Cmp = "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "sgt" | "sge" | "slt" | "sle" | "set";
export type BinOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "mod"
  | "sdiv"
  | "smod"
  | "and"
  | "or"
  | "xor"
  | "shl"
  | "shr"
  | "sar";

/** What memory an access touches: accesses of different regions never overlap. */
export type Region =
  /** `pointer`: the field holds a pointer that is never null; `widest`: no access has more bytes. */
  | {
      readonly kind: "ctx";
      readonly pointer?: true | undefined;
      readonly widest?: 1 | 2 | 4 | 8;
      readonly readOnly?: boolean;
    }
  /** The kernel's own structs, read by at most four bytes (a 64-bit field whole). */
  | { readonly kind: "kernel" }
  /** Kernel memory that the verifier knows by its BTF. */
  | { readonly kind: "btf" }
  /** Kernel memory that only a helper reads (`bpf_probe_read_kernel`). */
  | { readonly kind: "probe" }
  | { readonly kind: "packet" }
  | { readonly kind: "stack"; readonly slot: Slot }
  | { readonly kind: "map"; readonly name: string }
  /** Anything: what a helper returned. `aligned`: it may be the stack, which wants aligned accesses. */
  | { readonly kind: "any"; readonly aligned?: boolean; readonly readOnly?: boolean };

/** One value of an enum of the kernel's. */
export interface EnumeratorType {
  readonly kind: "enum";
  readonly name: string;
  readonly member: string;
}

/** A number of the kernel's that is put in when the program is loaded (CO-RE). */
export interface CoreSite {
  /** The struct whose type the access is told of, or an enumerator. */
  readonly type: MemType | EnumeratorType;
  /** The path to the field as libbpf writes it: `0:1:2`. */
  readonly access: string;
  /** libbpf's `enum bpf_core_relo_kind`. */
  readonly kind: number;
  /** What stands there before: the number of the struct as it is written here. */
  readonly local: number;
}

/** Two sites that give the same number. */
export function sameSite(a: CoreSite | undefined, b: CoreSite | undefined): boolean {
  if (!a || !b) return a === b;
  return a.type === b.type && a.access === b.access && a.kind === b.kind;
}

/** An object on the stack. */
export interface Slot {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly at: number;
  /** The verifier knows it by its place (a dynptr, an iterator): no other object may share it. */
  readonly alone?: boolean;
}

/** The maps of global data: constant, with values to begin with, and zero to begin with. */
export const RODATA = ".rodata";
export const DATA = ".data";
export const BSS = ".bss";
export type Section = typeof RODATA | typeof DATA | typeof BSS;

/** An object in global data. `name` is given when it is bound to one. */
export interface DataObject {
  readonly id: number;
  name: string;
  readonly section: Section;
  readonly type: MemType;
  readonly bytes: Uint8Array;
  readonly align: number;
  /** It may be given another value before the object is loaded: what is read from it is not known. */
  readonly settable?: true;
}

/** A function of its own in a program's code. */
export interface Callee {
  readonly id: number;
  readonly name: string;
}

/** One instruction of an assembly block, with the place of its text. */
export interface AsmInsn extends MachineInsn {
  readonly at: number;
}

/** Assembly text that stands in the program as it is: operands in r1, r2 …, what it gives in r0. */
export interface AsmBlock {
  readonly insns: readonly AsmInsn[];
  /** Registers that it writes. */
  readonly clobbers: readonly number[];
  /** r0 is its result. */
  readonly gives: boolean;
}

/** What a call may change besides r0: given by the helper table. */
export interface CallEffects {
  /** Moves the packet: data, data_end and all packet bytes. */
  readonly packet?: boolean;
  /** Changes the packet's bytes and the context's numbers, and moves nothing. */
  readonly context?: boolean;
  /** Changes values of this map, or any map (true). */
  readonly map?: string | boolean;
  /** Writes through these arguments (0-based). */
  readonly writes?: readonly number[];
  /** Nothing at all depends on when it runs, and its result may be dropped. */
  readonly pure?: boolean;
}

interface Base {
  readonly id: number;
  /** Source place. */
  at: number;
  /** undefined for constants and for what was removed. */
  block: Block | undefined;
  args: Insn[];
  /** It shares a register with all that have this home. */
  home?: Insn;
}

export type Insn = Base &
  (
    | { readonly op: "const"; readonly value: bigint }
    /** r1 at entry. */
    | { readonly op: "ctx" }
    /** A subprogram's argument, at its entry; never more than `most`. */
    | { readonly op: "param"; readonly index: number; readonly most: bigint }
    | { readonly op: "phi" }
    | { readonly op: BinOp; readonly w: Width }
    | { readonly op: "neg"; readonly w: Width }
    /** Swaps the low `bits` and zeroes the rest. */
    | { readonly op: "bswap"; readonly bits: 16 | 32 | 64 }
    /** Sign-extends the low `bits` to `w`. */
    | { readonly op: "sext"; readonly bits: 8 | 16 | 32; readonly w: Width }
    /** args: a constant, made here and not where it is used. */
    | { readonly op: "hold" }
    /** The low 32 bits. */
    | { readonly op: "zext32" }
    /** `address`: it asks whether an address is null, and a verifier lets nobody compute with that. */
    | { readonly op: "cmp"; readonly cmp: Cmp; readonly w: Width; readonly address?: true }
    /** args: address. Zero-extended. `core`: the offset is the kernel's. */
    | {
        readonly op: "load";
        readonly size: 1 | 2 | 4 | 8;
        off: number;
        readonly region: Region;
        readonly core?: CoreSite;
      }
    /** A number of the kernel's. */
    | { readonly op: "core"; readonly core: CoreSite }
    /** args: address, value. */
    | { readonly op: "store"; readonly size: 1 | 2 | 4 | 8; off: number; readonly region: Region }
    /** args: address, value. `code` is the atomic operation. */
    | { readonly op: "atomic"; readonly size: 4 | 8; off: number; readonly region: Region; readonly code: number }
    /** The address of a stack object. */
    | { readonly op: "frame"; readonly slot: Slot }
    | { readonly op: "map"; readonly name: string }
    /** The address of an object in global data. */
    | { readonly op: "data"; readonly object: DataObject }
    /** The address of a function that a helper calls back. */
    | { readonly op: "func"; readonly callee: Callee }
    /** args: r1 … r5. A helper by its number, or a function of the program, whose result is never more than `most`. */
    | {
        readonly op: "call";
        readonly helper: number;
        readonly effects: CallEffects;
        readonly callee?: Callee;
        /** A function that something outside defines: the kernel, or an object that is linked to this one. */
        readonly external?: string;
        /** Not a call but instructions in its place, with a call's registers. */
        readonly asm?: AsmBlock;
        readonly most?: bigint;
      }
  );

export type Op = Insn["op"];

export type Term =
  | { readonly kind: "jump"; to: Block }
  | {
      readonly kind: "br";
      readonly cmp: Cmp;
      readonly w: Width;
      a: Insn;
      b: Insn;
      yes: Block;
      no: Block;
      readonly at: number;
    }
  | { readonly kind: "ret"; value: Insn; readonly at: number };

export interface Block {
  readonly id: number;
  phis: Insn[];
  insns: Insn[];
  term: Term | undefined;
  preds: Block[];
}

export interface Fn {
  readonly name: string;
  entry: Block;
  nextId: number;
}

export function successors(b: Block): Block[] {
  const t = b.term;
  if (!t || t.kind === "ret") return [];
  return t.kind === "jump" ? [t.to] : t.yes === t.no ? [t.yes] : [t.yes, t.no];
}

/** Blocks that can be reached, in reverse postorder. */
export function reversePostorder(fn: Fn): Block[] {
  const seen = new Set<Block>([fn.entry]);
  const out: Block[] = [];
  // An explicit stack: long chains of blocks must not overflow ours.
  const stack: { block: Block; next: Block[] }[] = [{ block: fn.entry, next: successors(fn.entry) }];
  while (stack.length) {
    const top = stack.at(-1)!;
    const s = top.next.pop();
    if (!s) {
      out.push(top.block);
      stack.pop();
    } else if (!seen.has(s)) {
      seen.add(s);
      stack.push({ block: s, next: successors(s) });
    }
  }
  return out.reverse();
}

/** Immediate dominators of the blocks in `rpo` (Cooper, Harvey, Kennedy). The entry is its own. */
export function dominators(rpo: readonly Block[]): Map<Block, Block> {
  const index = new Map(rpo.map((b, i) => [b, i]));
  const idom = new Map<Block, Block>([[rpo[0]!, rpo[0]!]]);
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of rpo.slice(1)) {
      let dom: Block | undefined;
      for (const p of b.preds) {
        if (!idom.has(p)) continue;
        if (!dom) dom = p;
        else {
          let x: Block = p;
          let y: Block = dom;
          while (x !== y) {
            while (index.get(x)! > index.get(y)!) x = idom.get(x)!;
            while (index.get(y)! > index.get(x)!) y = idom.get(y)!;
          }
          dom = x;
        }
      }
      if (idom.get(b) !== dom) {
        idom.set(b, dom!);
        changed = true;
      }
    }
  }
  return idom;
}

/** Calls `visit` with each operand, in all places that hold one; what it returns takes the operand's place. */
export function mapOperands(blocks: readonly Block[], visit: (v: Insn) => Insn): void {
  for (const b of blocks) {
    for (const list of [b.phis, b.insns]) {
      for (const i of list) for (let k = 0; k < i.args.length; k++) i.args[k] = visit(i.args[k]!);
    }
    const t = b.term;
    if (t?.kind === "br") {
      t.a = visit(t.a);
      t.b = visit(t.b);
    } else if (t?.kind === "ret") t.value = visit(t.value);
  }
}

/** How often each value is used. */
export function countUses(blocks: readonly Block[]): Map<Insn, number> {
  const uses = new Map<Insn, number>();
  mapOperands(blocks, (v) => {
    uses.set(v, (uses.get(v) ?? 0) + 1);
    return v;
  });
  return uses;
}

/** True when dropping the instruction, if nobody uses its value, changes nothing. */
export function isPure(i: Insn): boolean {
  switch (i.op) {
    case "store":
    case "atomic":
      return false;
    case "call":
      return i.effects.pure === true;
    default:
      return true;
  }
}

/** The largest value of 64 bits. */
const MOST = (1n << 64n) - 1n;

/** How many phis `isPointer` follows. */
const MAX_PHIS = 16;

/** The value is the address of something that exists: never null. What a loop moves on is one if what enters it is. */
export function isPointer(v: Insn, phis = new Set<Insn>()): boolean {
  let from = v;
  while (from.op === "add" && from.w === 64) from = from.args[0]!;
  if (from.op === "frame" || from.op === "data") return true;
  if (from.op === "load") return from.region.kind === "ctx" && from.region.pointer === true;
  if (from.op !== "phi" || phis.size > MAX_PHIS) return false;
  if (phis.has(from)) return true;
  phis.add(from);
  return from.args.length > 0 && from.args.every((a) => isPointer(a, phis));
}

/**
 * The value may be an address on the stack. Such an address comes first in a sum: of `number + address` in a function
 * that was called, the verifier of Linux 6.18 takes the frame for the outermost caller's.
 */
export function mayPointToStack(v: Insn, phis = new Set<Insn>()): boolean {
  switch (v.op) {
    case "frame":
      return true;
    case "add":
    case "sub":
      return v.w === 64 && v.args.some((a) => mayPointToStack(a, phis));
    case "load":
      return v.size === 8 && v.region.kind !== "packet" && v.region.kind !== "ctx";
    case "call":
      return v.callee !== undefined || v.asm !== undefined;
    case "param":
      return v.most === MOST;
    case "phi":
      if (phis.has(v)) return false;
      phis.add(v);
      return v.args.some((a) => mayPointToStack(a, phis));
    default:
      return false;
  }
}

/** Removes `pred` from a block's predecessors, with the operands of its phis. */
export function removePred(b: Block, pred: Block): void {
  const k = b.preds.indexOf(pred);
  if (k < 0) return;
  b.preds.splice(k, 1);
  for (const p of b.phis) p.args.splice(k, 1);
}
