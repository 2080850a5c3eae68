/**
 * The state of one function's translation, and the small emissions that everything else is made of: constants, reading
 * and writing eBPF registers, addresses, stack slots, calls.
 *
 * eBPF registers r0-r9 are i64 locals. r10 is no local: the frame is found through `frame`, an i32 local or a constant
 * that holds the frame's lowest address (wasm's offsets are unsigned), so r10 is `frame + 512`.
 */
import { BPF_REG_FP, STACK_SIZE } from "../../isa/index.ts";
import type { Callee, OwnFunction } from "./link.ts";
import type { Slots } from "./slots.ts";
import { CONST, constOf, FRAME, isZext, REGISTERS, type State, U32_MAX } from "./values.ts";
import {
  type FuncType,
  I32,
  I64,
  newSink,
  Op,
  type Sink,
  sleb32,
  sleb64,
  TABLE_SIZE,
  u8,
  uleb,
  uleb5,
} from "./wasm.ts";

export interface Emitter {
  readonly out: Sink;
  readonly type: FuncType;
  /** Locals after the parameters. */
  readonly locals: number[];
  readonly calls: { at: number; callee: Callee }[];
  readonly typeUses: { at: number; type: FuncType }[];
  /** Local of each register; r10 has none. */
  readonly regs: number[];
  readonly frame: { readonly local: number } | { readonly address: number };
  /** What is known before the insn that is being translated. */
  readonly state: State;
  readonly slots: Slots;
  /** Local of each promoted slot, by its offset from r10. */
  readonly slotLocals: Map<number, number>;
  /** Scratch locals by type, free to use within one insn. */
  readonly scratch: { i32: number[]; i64: number[] };
  /** Labels (block, loop, if) that are open now. */
  depth: number;
  /**
   * Where the program's exit leads when its code stands inside a larger function: r0 goes to `local`, then out of the
   * label that was opened at depth `label`. Otherwise exit returns r0.
   */
  readonly exit: { readonly local: number; readonly label: number } | undefined;
}

/** How a function gets its registers and its frame. */
export interface Shape {
  readonly type: FuncType;
  /** Parameter that holds an eBPF register as i64: [register, parameter]. */
  readonly params: readonly (readonly [number, number])[];
  readonly frame: Emitter["frame"];
  /** Depth of the label that exit leaves, when the code is inlined. */
  readonly exitLabel?: number;
}

export function newEmitter(shape: Shape, slots: Slots, state: State): Emitter {
  const e: Emitter = {
    out: newSink(1024),
    type: shape.type,
    locals: [],
    calls: [],
    typeUses: [],
    regs: [],
    frame: shape.frame,
    state,
    slots,
    slotLocals: new Map(),
    scratch: { i32: [], i64: [] },
    depth: 0,
    exit: shape.exitLabel === undefined ? undefined : { local: shape.type.params.length, label: shape.exitLabel },
  };
  if (e.exit) newLocal(e, I64);
  for (let r = 0; r < REGISTERS; r++) {
    if (r === BPF_REG_FP) {
      // r10 is the frame; the hole keeps the list indexed by register.
      e.regs.push(-1);
      continue;
    }
    const param = shape.params.find(([register]) => register === r);
    e.regs.push(param ? param[1] : newLocal(e, I64));
  }
  for (const off of slots.keys()) e.slotLocals.set(off, newLocal(e, I64));
  return e;
}

export function newLocal(e: Emitter, type: number): number {
  return e.type.params.length + e.locals.push(type) - 1;
}

/** The `n`th scratch local of a type. */
export function scratch32(e: Emitter, n: number): number {
  return (e.scratch.i32[n] ??= newLocal(e, I32));
}
export function scratch64(e: Emitter, n: number): number {
  return (e.scratch.i64[n] ??= newLocal(e, I64));
}

export function finish(e: Emitter, exportAs?: string): OwnFunction {
  const locals: { count: number; type: number }[] = [];
  for (const type of e.locals) {
    const last = locals[locals.length - 1];
    if (last?.type === type) last.count++;
    else locals.push({ count: 1, type });
  }
  return { type: e.type, locals, code: e.out, calls: e.calls, typeUses: e.typeUses, exportAs };
}

// ---- plain wasm ----

export function op(e: Emitter, opcode: number): void {
  u8(e.out, opcode);
}
export function get(e: Emitter, local: number): void {
  u8(e.out, Op.local_get);
  uleb(e.out, local);
}
export function set(e: Emitter, local: number): void {
  u8(e.out, Op.local_set);
  uleb(e.out, local);
}
export function tee(e: Emitter, local: number): void {
  u8(e.out, Op.local_tee);
  uleb(e.out, local);
}
export function i32(e: Emitter, value: number): void {
  u8(e.out, Op.i32_const);
  sleb32(e.out, value);
}
/** A 64-bit constant from a safe integer. */
export function i64(e: Emitter, value: number): void {
  u8(e.out, Op.i64_const);
  sleb64(e.out, value | 0, Math.floor(value / 2 ** 32));
}
export function i64Halves(e: Emitter, low: number, high: number): void {
  u8(e.out, Op.i64_const);
  sleb64(e.out, low, high);
}
/** A load or store; the address is on the stack. */
export function access(e: Emitter, opcode: number, offset: number): void {
  u8(e.out, opcode);
  u8(e.out, 0);
  uleb(e.out, offset);
}
/** An atomic access: these carry their natural alignment (log2). */
export function atomicAccess(e: Emitter, opcode: number, alignLog2: number, offset: number): void {
  u8(e.out, Op.atomic);
  u8(e.out, opcode);
  u8(e.out, alignLog2);
  uleb(e.out, offset);
}
/** Opens a block, loop or if; `type` is a value type or VOID. Each needs a `close`. */
export function open(e: Emitter, opcode: number, type: number): void {
  u8(e.out, opcode);
  u8(e.out, type);
  e.depth++;
}
export function close(e: Emitter): void {
  u8(e.out, Op.end);
  e.depth--;
}
/** Leaves the program with what r0 holds. */
export function emitExit(e: Emitter): void {
  getReg(e, 0);
  leaveWith(e);
}
/** Leaves the program with the i64 on the stack. */
export function leaveWith(e: Emitter): void {
  if (!e.exit) op(e, Op.return_);
  else {
    set(e, e.exit.local);
    branch(e, Op.br, e.depth - 1 - e.exit.label);
  }
}
export function branch(e: Emitter, opcode: number, depth: number): void {
  u8(e.out, opcode);
  uleb(e.out, depth);
}
export function call(e: Emitter, callee: Callee): void {
  u8(e.out, Op.call);
  e.calls.push({ at: e.out.length, callee });
  uleb5(e.out, 0);
}
/** `call_indirect` or `return_call_indirect` through table 0; the table index is on the stack. */
export function callIndirect(e: Emitter, opcode: number, type: FuncType): void {
  u8(e.out, opcode);
  e.typeUses.push({ at: e.out.length, type });
  uleb5(e.out, 0);
  u8(e.out, 0);
}

/** Pushes how many functions table 0 has room for. */
export function tableSize(e: Emitter): void {
  u8(e.out, Op.bulk);
  uleb(e.out, TABLE_SIZE);
  u8(e.out, 0);
}
/** Pushes the function reference at the index on the stack. */
export function tableGet(e: Emitter): void {
  u8(e.out, Op.table_get);
  u8(e.out, 0);
}

// ---- eBPF registers ----

/** Pushes the frame's lowest address as i32. */
export function frameBase(e: Emitter): void {
  if ("local" in e.frame) get(e, e.frame.local);
  else i32(e, e.frame.address);
}

/** Pushes r10 + `off` as i32. */
export function frameAddress(e: Emitter, off: number): void {
  if ("address" in e.frame) i32(e, e.frame.address + STACK_SIZE + off);
  else {
    get(e, e.frame.local);
    i32(e, STACK_SIZE + off);
    u8(e.out, Op.i32_add);
  }
}

/** Pushes a register as i64. */
export function getReg(e: Emitter, r: number): void {
  const known = constOf(e.state, r);
  if (r === BPF_REG_FP) {
    frameAddress(e, 0);
    u8(e.out, Op.i64_extend_i32_u);
  } else if (known !== undefined) i64(e, known);
  else get(e, e.regs[r]!);
}

/** Pushes a register's low half as i32. */
export function getReg32(e: Emitter, r: number): void {
  const known = constOf(e.state, r);
  if (r === BPF_REG_FP) frameAddress(e, 0);
  else if (known !== undefined) i32(e, known);
  else {
    get(e, e.regs[r]!);
    u8(e.out, Op.i32_wrap_i64);
  }
}

export function setReg(e: Emitter, r: number): void {
  set(e, e.regs[r]!);
}

/** Sets a register from the i32 on the stack, zero-extended. */
export function setReg32(e: Emitter, r: number): void {
  u8(e.out, Op.i64_extend_i32_u);
  set(e, e.regs[r]!);
}

export function isZextReg(e: Emitter, r: number): boolean {
  return isZext(e.state, r);
}

// ---- addresses ----

/** Pushes an i32 base for an access at `r + off`; answers the wasm offset that belongs to it. */
export function address(e: Emitter, r: number, off: number): number {
  const kind = e.state.kind[r]!;
  const num = e.state.num[r]!;
  if (kind === FRAME) {
    const at = STACK_SIZE + num + off;
    if (at >= 0 && at < STACK_SIZE) return frameOffset(e, at);
  } else if (kind === CONST && num + off >= 0 && num + off <= U32_MAX) {
    i32(e, 0);
    return num + off;
  }
  getReg32(e, r);
  if (off >= 0) return off;
  i32(e, off);
  u8(e.out, Op.i32_add);
  return 0;
}

/** The same for a place in the frame, counted from its lowest address. */
function frameOffset(e: Emitter, at: number): number {
  if ("address" in e.frame) {
    i32(e, 0);
    return e.frame.address + at;
  }
  get(e, e.frame.local);
  return at;
}

/** The promoted slot that an access at `r + off` means, as a local. */
export function slotLocal(e: Emitter, r: number, off: number): number | undefined {
  return e.state.kind[r] === FRAME ? e.slotLocals.get(e.state.num[r]! + off) : undefined;
}

/** Writes the promoted slots that overlap [from, to) (offsets from r10) to their homes in memory. */
export function spillSlots(e: Emitter, from: number, to: number): void {
  for (const [off, local] of e.slotLocals) {
    const size = e.slots.get(off)!;
    if (off >= to || from >= off + size) continue;
    const at = frameOffset(e, STACK_SIZE + off);
    get(e, local);
    access(e, storeOp(size), at);
  }
}

/** A store that takes its value as i64. */
export function storeOp(size: number): number {
  return size === 8 ? Op.i64_store : size === 4 ? Op.i64_store32 : size === 2 ? Op.i64_store16 : Op.i64_store8;
}

/** A zero- or sign-extending load to i64. */
export function loadOp(size: number, signed: boolean): number {
  if (size === 8) return Op.i64_load;
  if (size === 4) return signed ? Op.i64_load32_s : Op.i64_load32_u;
  if (size === 2) return signed ? Op.i64_load16_s : Op.i64_load16_u;
  return signed ? Op.i64_load8_s : Op.i64_load8_u;
}
