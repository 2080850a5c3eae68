/**
 * Arithmetic and moves. Numbers go to `domain/arith.ts`; a pointer may have a number added or subtracted, which
 * moves its fixed offset when the number is known and its variable part otherwise. Sound because the pointer's new
 * offset range holds every sum, and a packet pointer with a new unknown part gets a new id, so that no bounds check of
 * the old base is believed for it.
 *
 * Source: kernel/bpf/verifier.c `check_alu_op`, `adjust_ptr_min_max_vals`, `adjust_scalar_min_max_vals`.
 */
import {
  BPF_ADD,
  BPF_ADDR_SPACE_CAST,
  BPF_ALU64,
  BPF_AND,
  BPF_END,
  BPF_MOV,
  BPF_NEG,
  BPF_OR,
  BPF_REG_FP,
  BPF_SUB,
  BPF_X,
  BPF_XOR,
  CLASS_MASK,
  type Insn,
  OP_MASK,
} from "../../isa/index.ts";
import { MapType } from "../../object/index.ts";
import { type Context, MAX_VAR_OFF } from "../context.ts";
import { arith, negate, offset, signExtend, signExtend32, swapBytes, truncate, truncate32 } from "../domain/arith.ts";
import {
  ADD_CONST,
  ADD_CONST32,
  ADD_CONST64,
  changed,
  isPacket,
  isPointer,
  Kind,
  kindName,
  linkedScalar,
  MAYBE_NULL,
  node,
  pointer,
  type Reg,
  scalarReg,
} from "../domain/reg.ts";
import {
  constScalar,
  immScalar,
  isContradiction,
  S32_MAX,
  S32_MIN,
  S64_MIN,
  type Scalar,
  settle,
  U64_MAX,
  UNKNOWN,
  withConst32,
} from "../domain/scalar.ts";
import { allows } from "../profile.ts";
import { readReg } from "./registers.ts";

export function alu(cx: Context, insn: Insn): void {
  const op = insn.opcode & OP_MASK;
  const is32 = (insn.opcode & CLASS_MASK) !== BPF_ALU64;
  const byReg = (insn.opcode & BPF_X) !== 0;
  if (op === BPF_MOV) {
    move(cx, insn, is32, byReg);
    return;
  }
  const dst = readReg(cx, insn.dst);
  const src = byReg && op !== BPF_END ? readReg(cx, insn.src) : undefined;
  if (insn.dst === BPF_REG_FP) frameReadOnly(cx);
  if (op === BPF_END || op === BPF_NEG) {
    unary(cx, insn, op, is32, dst);
    return;
  }
  if (dst.kind === Kind.ARENA || src?.kind === Kind.ARENA) {
    cx.setReg(insn.dst, dst.kind === Kind.ARENA ? dst : src!);
    return;
  }
  if (isPointer(dst)) {
    if (src && isPointer(src)) {
      pointerMinusPointer(cx, insn, op);
      return;
    }
    cx.markPrecise(src?.node);
    cx.setReg(insn.dst, pointerArith(cx, insn, op, is32, dst, src ?? scalarReg(immScalar(insn.imm)), true));
    return;
  }
  if (src && isPointer(src)) {
    cx.markPrecise(dst.node);
    cx.setReg(insn.dst, pointerArith(cx, insn, op, is32, src, dst, false));
    return;
  }
  scalarArith(cx, insn, op, is32, dst, src);
}

function frameReadOnly(cx: Context): never {
  cx.reject("frame-pointer", "r10, the frame pointer, is read-only", { register: 10 });
}

function scalarArith(cx: Context, insn: Insn, op: number, is32: boolean, dst: Reg, src: Reg | undefined): void {
  const b = src ? src.val : immScalar(insn.imm);
  let a = dst.val;
  // (-1 or 0) combined with a constant is how compilers select without a branch: walk both values apart.
  if ((op === BPF_AND || op === BPF_OR) && b.isConst && allows(cx.profile, "splitSelections")) {
    const fork = forkValue(a);
    if (fork !== undefined) {
      const other = cx.push(insn.pc, cx.state.clone());
      other.frame.regs[insn.dst] = scalarReg(fork.zero, dst.node);
      a = fork.ones;
    }
  }
  const val = settled(arith(op, a, b, is32));
  const n = node(dst.node, src?.node);
  if (dst.node?.precise) cx.markPrecise(src?.node);
  const distance = linkDistance(cx, op, is32, dst, b, src !== undefined && insn.src === insn.dst);
  if (distance === undefined) cx.setReg(insn.dst, linkedScalar(val, 0, 0, n));
  else cx.setReg(insn.dst, linkedScalar(val, dst.id | (is32 ? ADD_CONST32 : ADD_CONST64), distance, n));
}

/** What arithmetic left; where that contradicts itself, on a path that cannot be, the known bits alone. */
function settled(val: Scalar): Scalar {
  return isContradiction(val) ? settle(val.clone()) : val;
}

/**
 * r1 = r2; r1 += 4: r1 keeps r2's id and its distance, so that what is learnt of one holds for the other. In 32 bits
 * the sum must have begun as a number of 32 bits. Undefined where the kernel loses the link.
 *
 * Source: kernel/bpf/verifier.c `adjust_reg_min_max_vals`; 32 bits and distances below 0 as 6.18's stable releases
 * have them (upstream 7a433e519364, Linux 7.0).
 */
function linkDistance(cx: Context, op: number, is32: boolean, dst: Reg, b: Scalar, same: boolean): number | undefined {
  const newer = allows(cx.profile, "linksBackwards");
  if (!allows(cx.profile, "linksAtDistance")) return undefined;
  if (same || dst.id === 0 || (dst.id & ADD_CONST) !== 0) return undefined;
  if (is32 && (!newer || dst.val.umax > 0xffff_ffffn)) return undefined;
  if (!(is32 ? b.isConst32 : b.isConst) || (op !== BPF_ADD && !(newer && op === BPF_SUB))) return undefined;
  const by = is32 ? BigInt.asIntN(32, b.tnum.value) : BigInt.asIntN(64, b.tnum.value);
  const distance = op === BPF_ADD ? by : -by;
  const least = newer ? BigInt(S32_MIN) : 0n;
  return distance >= least && distance <= BigInt(S32_MAX) ? Number(distance) : undefined;
}

function forkValue(a: Scalar): { zero: Scalar; ones: Scalar } | undefined {
  if (a.smin === -1n && a.smax === 0n) return { zero: constScalar(0n), ones: constScalar(U64_MAX) };
  if (a.s32min === -1 && a.s32max === 0) return { zero: withConst32(a, 0), ones: withConst32(a, -1) };
  return undefined;
}

/** A cast between the arena's addresses and numbers: the machine keeps what it gives inside of the arena. */
function castArena(cx: Context, insn: Insn): void {
  readReg(cx, insn.src);
  if (insn.dst === BPF_REG_FP) frameReadOnly(cx);
  const arena = [...cx.relocAt.values()].some(
    (reloc) => reloc.kind !== "kfunc" && cx.maps.get(reloc.name)?.spec.type === MapType.BPF_MAP_TYPE_ARENA,
  );
  if (!arena) cx.reject("arena", "an address is cast to the arena's, and the program uses no arena map");
  cx.setReg(insn.dst, insn.imm === 1 ? pointer(Kind.ARENA) : scalarReg(UNKNOWN));
}

/** Negation and byte swaps; of a pointer they leave a number that says nothing. */
function unary(cx: Context, insn: Insn, op: number, is32: boolean, dst: Reg): void {
  if (isPointer(dst)) {
    cx.setReg(insn.dst, scalarReg(UNKNOWN));
    return;
  }
  const { version } = cx.profile;
  let val = UNKNOWN;
  if (op === BPF_NEG && version >= 617) val = negate(dst.val, is32);
  if (op === BPF_END && version >= 618) {
    // Byte order of the kernel is the program's: little-endian here. ALU64's END always swaps.
    const swaps = !is32 || (insn.opcode & BPF_X) !== 0;
    // All 64 bits as they are: the same number, and linked as it was.
    if (!swaps && insn.imm === 64) return;
    val = swaps ? swapBytes(dst.val, insn.imm) : truncate(dst.val, insn.imm / 8);
  }
  cx.setReg(insn.dst, scalarReg(settled(val), dst.node));
}

/** Subtracting pointers gives a number that says nothing; everything else between pointers is refused. */
function pointerMinusPointer(cx: Context, insn: Insn, op: number): void {
  if (op !== BPF_SUB) {
    cx.reject(
      "pointer-arithmetic",
      `two pointers (r${insn.dst} and r${insn.src}) cannot be combined; only their difference can`,
      {
        register: insn.dst,
      },
    );
  }
  cx.setReg(insn.dst, scalarReg(UNKNOWN));
}

function move(cx: Context, insn: Insn, is32: boolean, byReg: boolean): void {
  if (!byReg) {
    if (insn.dst === BPF_REG_FP) frameReadOnly(cx);
    cx.setReg(insn.dst, scalarReg(immScalar(is32 ? insn.imm >>> 0 : insn.imm)));
    return;
  }
  const src = readReg(cx, insn.src);
  if (insn.dst === BPF_REG_FP) frameReadOnly(cx);
  if (!is32 && insn.off === BPF_ADDR_SPACE_CAST) {
    castArena(cx, insn);
    return;
  }
  const bytes = insn.off >> 3;
  if (!is32 && bytes === 0) {
    cx.setReg(insn.dst, src.kind === Kind.SCALAR ? sharedId(cx, insn.src, src) : src);
    return;
  }
  if (isPointer(src)) {
    // Part of a pointer is a number that says nothing; privileged programs may have it.
    cx.setReg(insn.dst, scalarReg(is32 ? truncate(UNKNOWN, 4) : UNKNOWN));
    return;
  }
  if (bytes === 0) {
    const fits = src.val.umax <= 0xffff_ffffn && allows(cx.profile, "linkedMoves32");
    const shared = fits ? sharedId(cx, insn.src, src) : src;
    const val = fits ? src.val : truncate32(src.val);
    cx.setReg(insn.dst, fits ? shared : linkedScalar(val, 0, 0, node(src.node)));
    return;
  }
  const keeps = src.val.umax < 1n << BigInt(insn.off - 1);
  const val = is32 ? signExtend32(src.val, bytes) : signExtend(src.val, bytes);
  if (keeps) {
    const shared = sharedId(cx, insn.src, src);
    cx.setReg(insn.dst, linkedScalar(val, shared.id, shared.off, shared.node));
  } else cx.setReg(insn.dst, scalarReg(val, src.node));
}

/**
 * A copy of a number that is not known exactly shares an id with the original: a later check on one holds for both. One
 * that is linked at a distance begins a link of its own.
 */
export function sharedId(cx: Context, regNo: number, src: Reg): Reg {
  const distant = (src.id & ADD_CONST) !== 0;
  if (!distant && (src.id || src.val.isConst)) return src;
  const named = linkedScalar(src.val, src.val.isConst ? 0 : cx.newId(), 0, src.node);
  cx.setReg(regNo, named);
  return named;
}

/** `ptr op number`, or `number + ptr` when `pointerFirst` is false. */
function pointerArith(
  cx: Context,
  insn: Insn,
  op: number,
  is32: boolean,
  ptr: Reg,
  number: Reg,
  pointerFirst: boolean,
): Reg {
  const by = number.val;
  // Bits and range at odds: no run comes here with such a number.
  if (by.smin > by.smax || by.umin > by.umax || (by.isConst && (by.smin !== by.smax || by.umin !== by.umax))) {
    return scalarReg(UNKNOWN);
  }
  const register = pointerFirst ? insn.dst : insn.src;
  const name = () => `r${register} (${kindName(ptr)})`;
  if (is32) {
    // The kernel lets privileged programs subtract in 32 bits: the result is just a number.
    if (op === BPF_SUB) return scalarReg(UNKNOWN);
    cx.reject("pointer-arithmetic", `32-bit arithmetic on the pointer ${name()} would cut it off`, {
      register,
      fix: `keep r${register} in a variable of pointer type (void *), not in one of 32 bits, and add to that`,
    });
  }
  if (ptr.flags & MAYBE_NULL) {
    cx.reject("null", `arithmetic on ${name()}, which may be NULL`, {
      register,
      fix: `compare r${register} with 0 first`,
    });
  }
  const known = by.isConst;
  if (!mayMove(ptr.kind, known, by, op)) {
    cx.reject("pointer-arithmetic", `arithmetic on ${name()} is not allowed`, { register });
  }
  checkNumberSane(cx, number, ptr, register);
  checkSane(cx, ptr.val, ptr, register, "the variable offset of");
  if (op !== BPF_ADD && op !== BPF_SUB) {
    const what = op === BPF_AND || op === BPF_OR || op === BPF_XOR ? "bitwise" : "this";
    cx.reject(
      "pointer-arithmetic",
      `${what} arithmetic on the pointer ${name()}: only adding and subtracting is allowed`,
      {
        register,
        // Compilers or an index into the address of an aligned array: the sum is the same, to them.
        fix:
          op === BPF_OR
            ? "keep the compiler from joining index and address by an or: pass the index through barrier_var(), or align the array less"
            : undefined,
      },
    );
  }
  if (op === BPF_SUB) {
    if (!pointerFirst) cx.reject("pointer-arithmetic", `${name()} cannot be subtracted from a number`, { register });
    if (ptr.kind === Kind.STACK) {
      cx.reject("pointer-arithmetic", `nothing can be subtracted from ${name()}`, {
        register,
        fix: "add a negative constant instead",
      });
    }
  }
  const moved = known ? knownOffset(ptr, op, by) : undefined;
  const result = moved ?? variableOffset(cx, ptr, op, by);
  checkSane(cx, result.val, result, register, "the variable offset of");
  return result;
}

function mayMove(kind: Kind, known: boolean, by: Scalar, op: number): boolean {
  switch (kind) {
    case Kind.CTX:
    case Kind.MAP_VALUE:
    case Kind.MAP_KEY:
    case Kind.STACK:
    case Kind.PACKET:
    case Kind.PACKET_META:
    case Kind.BTF_ID:
    case Kind.MEM:
    case Kind.FUNC:
    case Kind.DYNPTR:
      return true;
    case Kind.FLOW_KEYS:
      return known;
    case Kind.MAP_PTR:
      return known && by.smin === 0n && op === BPF_ADD;
    default:
      return false;
  }
}

/** A known number moves the fixed offset, unless that would leave 32 bits. */
function knownOffset(ptr: Reg, op: number, by: Scalar): Reg | undefined {
  const off = op === BPF_ADD ? BigInt(ptr.off) + by.smin : BigInt(ptr.off) - by.smin;
  if (off < BigInt(S32_MIN) || off > BigInt(S32_MAX)) return undefined;
  return changed(ptr, { off: Number(off) });
}

function variableOffset(cx: Context, ptr: Reg, op: number, by: Scalar): Reg {
  const val = offset(op, ptr.val, by);
  if (!isPacket(ptr)) return changed(ptr, { val });
  // What was checked of the old base says nothing of the new one; going back only shrinks what is left, so it stays.
  const keepRange = op === BPF_SUB && by.smin >= 0n;
  return changed(ptr, { val, id: cx.newId(), num: keepRange ? ptr.num : 0 });
}

/**
 * What is added to a pointer is bounded as the pointer is. That holds, as in the kernel, for a number's distance from the
 * one that it is linked to, too: `r2 = r1; r2 += -2147483648` is not to be added, however small it was found to be.
 */
function checkNumberSane(cx: Context, number: Reg, ptr: Reg, register: number): void {
  if (isNear(number.off) && isNear(number.val.smin)) return;
  const what = `the number added to r${register} (${kindName(ptr)})`;
  checkKnown(cx, number.val, register, what);
  if (!isNear(number.off)) {
    const distance = number.off < 0 ? `minus ${-number.off}` : `plus ${number.off}`;
    cx.reject("pointer-range", `${what} is another number ${distance}: ${AT_MOST}`, {
      register,
      fix: "compute it anew before adding it, or move the constant to the pointer",
    });
  }
  checkBounded(cx, number.val, register, what);
}

/** A pointer stays within half a gigabyte of its base, so that no sum of offsets can wrap. */
function checkSane(cx: Context, val: Scalar, ptr: Reg, register: number, what: string): void {
  if (isNear(ptr.off) && isNear(val.smin)) return;
  const name = `r${register} (${kindName(ptr)})`;
  checkKnown(cx, val, register, `${what} ${name}`);
  if (!isNear(ptr.off)) cx.reject("pointer-range", `the offset of ${name} is ${ptr.off}: ${AT_MOST}`, { register });
  checkBounded(cx, val, register, `${what} ${name}`);
}

const AT_MOST = `at most ${MAX_VAR_OFF - 1} either way`;

function isNear(n: number | bigint): boolean {
  return n < MAX_VAR_OFF && n > -MAX_VAR_OFF;
}

function checkKnown(cx: Context, val: Scalar, register: number, what: string): void {
  if (val.isConst && !isNear(val.smin)) cx.reject("pointer-range", `${what} is ${val.smin}: ${AT_MOST}`, { register });
}

function checkBounded(cx: Context, val: Scalar, register: number, what: string): void {
  if (val.smin === S64_MIN) {
    cx.reject("unbounded", `${what} has no lower bound`, {
      register,
      fix: "check its sign, or mask it with an and, before adding it to a pointer",
    });
  }
  if (!isNear(val.smin)) {
    cx.reject("unbounded", `${what} may be ${val.smin}: ${AT_MOST}`, {
      register,
      fix: "check its range before adding it to a pointer",
    });
  }
}
