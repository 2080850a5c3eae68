/**
 * Loads, stores and atomics. Memory is little-endian on both sides, and wasm allows any alignment for plain accesses.
 *
 * Atomics are plain load, operation, store while nobody else runs (2 ns less each); over a shared memory they are
 * wasm's own, sequentially consistent as the kernel's fetching ones are. Those trap on an unaligned address.
 * Source: RFC 9669 section 5; Documentation/bpf/standardization for load-acquire and store-release.
 */
import {
  BPF_ADD,
  BPF_AND,
  BPF_ATOMIC,
  BPF_CMPXCHG,
  BPF_FETCH,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEMSX,
  BPF_OR,
  BPF_ST,
  BPF_STORE_REL,
  BPF_XCHG,
  BPF_XOR,
  CLASS_MASK,
  type Insn,
  MODE_MASK,
} from "../../isa/index.ts";
import { sizeBytes } from "../code.ts";
import {
  access,
  address,
  atomicAccess,
  close,
  type Emitter,
  get,
  getReg,
  getReg32,
  i64,
  loadOp,
  op,
  open,
  scratch32,
  scratch64,
  set,
  setReg,
  slotLocal,
  storeOp,
  tee,
} from "./emit.ts";
import { maxOf } from "./values.ts";
import { Atomic, Op, VOID } from "./wasm.ts";

export function emitMemory(e: Emitter, insn: Insn, shared: boolean): void {
  const cls = insn.opcode & CLASS_MASK;
  const mode = insn.opcode & MODE_MASK;
  const size = sizeBytes(insn.opcode);
  if (cls === BPF_LDX) emitLoad(e, insn, size, mode === BPF_MEMSX);
  else if (mode !== BPF_ATOMIC) emitStore(e, insn, size);
  else if (shared) emitAtomic(e, insn, size);
  else emitPlainAtomic(e, insn, size);
}

function emitLoad(e: Emitter, insn: Insn, size: number, signed: boolean): void {
  const slot = slotLocal(e, insn.src, insn.off);
  if (slot !== undefined) get(e, slot);
  else access(e, loadOp(size, signed), address(e, insn.src, insn.off));
  setReg(e, insn.dst);
}

function emitStore(e: Emitter, insn: Insn, size: number): void {
  const fromImm = (insn.opcode & CLASS_MASK) === BPF_ST;
  const slot = slotLocal(e, insn.dst, insn.off);
  if (slot === undefined) {
    const at = address(e, insn.dst, insn.off);
    pushStored(e, insn, fromImm);
    access(e, storeOp(size), at);
    return;
  }
  const limit = 2 ** (8 * size) - 1;
  if (size === 8) pushStored(e, insn, fromImm);
  else if (fromImm) i64(e, size === 4 ? insn.imm >>> 0 : insn.imm & limit);
  else {
    getReg(e, insn.src);
    if (maxOf(e.state, insn.src) > limit) {
      i64(e, limit);
      op(e, Op.i64_and);
    }
  }
  set(e, slot);
}

function pushStored(e: Emitter, insn: Insn, fromImm: boolean): void {
  if (fromImm) i64(e, insn.imm);
  else getReg(e, insn.src);
}

const PLAIN: Record<number, number> = {
  [BPF_ADD]: Op.i64_add,
  [BPF_OR]: Op.i64_or,
  [BPF_AND]: Op.i64_and,
  [BPF_XOR]: Op.i64_xor,
};

/** Pushes the base of an access and keeps it in scratch 0; answers the offset. */
function keptAddress(e: Emitter, r: number, off: number): number {
  const base = scratch32(e, 0);
  const offset = address(e, r, off);
  tee(e, base);
  return offset;
}

function emitPlainAtomic(e: Emitter, insn: Insn, size: number): void {
  const { dst, src, off, imm } = insn;
  const load = loadOp(size, false);
  const store = storeOp(size);
  if (imm === BPF_LOAD_ACQ) {
    access(e, load, address(e, src, off));
    setReg(e, dst);
    return;
  }
  if (imm === BPF_STORE_REL) {
    const at = address(e, dst, off);
    getReg(e, src);
    access(e, store, at);
    return;
  }
  const at = keptAddress(e, dst, off);
  const base = scratch32(e, 0);
  const old = scratch64(e, 0);
  if (imm === BPF_CMPXCHG) {
    access(e, load, at);
    tee(e, old);
    getReg(e, 0);
    if (size === 4) {
      i64(e, 0xffffffff);
      op(e, Op.i64_and);
    }
    op(e, Op.i64_eq);
    open(e, Op.if_, VOID);
    get(e, base);
    getReg(e, src);
    access(e, store, at);
    close(e);
    get(e, old);
    setReg(e, 0);
    return;
  }
  if (imm === BPF_XCHG) {
    access(e, load, at);
    set(e, old);
    get(e, base);
    getReg(e, src);
  } else {
    get(e, base);
    access(e, load, at);
    if (imm & BPF_FETCH) tee(e, old);
    getReg(e, src);
    op(e, PLAIN[imm & ~BPF_FETCH]!);
  }
  access(e, store, at);
  if (imm & BPF_FETCH) {
    get(e, old);
    setReg(e, src);
  }
}

const RMW64: Record<number, number> = {
  [BPF_ADD]: Atomic.i64_rmw_add,
  [BPF_OR]: Atomic.i64_rmw_or,
  [BPF_AND]: Atomic.i64_rmw_and,
  [BPF_XOR]: Atomic.i64_rmw_xor,
};
const RMW32: Record<number, number> = {
  [BPF_ADD]: Atomic.i64_rmw32_add,
  [BPF_OR]: Atomic.i64_rmw32_or,
  [BPF_AND]: Atomic.i64_rmw32_and,
  [BPF_XOR]: Atomic.i64_rmw32_xor,
};

const ATOMIC_LOAD = new Map<number, number>([
  [1, Atomic.i64_load8_u],
  [2, Atomic.i64_load16_u],
  [4, Atomic.i64_load32_u],
  [8, Atomic.i64_load],
]);
const ATOMIC_STORE = new Map<number, number>([
  [1, Atomic.i64_store8],
  [2, Atomic.i64_store16],
  [4, Atomic.i64_store32],
  [8, Atomic.i64_store],
]);

function emitAtomic(e: Emitter, insn: Insn, size: number): void {
  const { dst, src, off, imm } = insn;
  const align = Math.log2(size);
  const wide = size === 8;
  if (imm === BPF_LOAD_ACQ) {
    const at = address(e, src, off);
    atomicAccess(e, ATOMIC_LOAD.get(size)!, align, at);
    setReg(e, dst);
    return;
  }
  const at = address(e, dst, off);
  if (imm === BPF_STORE_REL) {
    getReg(e, src);
    atomicAccess(e, ATOMIC_STORE.get(size)!, align, at);
    return;
  }
  if (imm === BPF_CMPXCHG) {
    // The expected value of the 32-bit form is zero-extended by wasm's comparison: give it clean.
    if (wide) getReg(e, 0);
    else {
      getReg32(e, 0);
      op(e, Op.i64_extend_i32_u);
    }
    getReg(e, src);
    atomicAccess(e, wide ? Atomic.i64_rmw_cmpxchg : Atomic.i64_rmw32_cmpxchg, align, at);
    setReg(e, 0);
    return;
  }
  getReg(e, src);
  if (imm === BPF_XCHG) atomicAccess(e, wide ? Atomic.i64_rmw_xchg : Atomic.i64_rmw32_xchg, align, at);
  else atomicAccess(e, (wide ? RMW64 : RMW32)[imm & ~BPF_FETCH]!, align, at);
  if (imm & BPF_FETCH) setReg(e, src);
  else op(e, Op.drop);
}
