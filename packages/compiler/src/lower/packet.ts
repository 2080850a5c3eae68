/**
 * Packets: the cursor, headers at a place, and the bounds check that makes them readable.
 *
 * A check has the shape that the kernel's verifier understands: `place + size > data_end` on a packet pointer whose
 * variable part, if any, was added once.
 */
import { type MemType, type StructType, sizeOf, U32 } from "../check/index.ts";
import { type Block, constant, type Insn, upperBound, verifiedBound } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer, toScalar } from "./convert.ts";
import { packetFields } from "./programs.ts";
import type { Scope } from "./scope.ts";
import type { CursorVal, FnVal, RefVal, Val } from "./values.ts";

/** data and data_end as they are now. */
export function bounds(cx: Context, at: number): { data: Insn; end: Insn } {
  if (!cx.packet) return refuse(cx, at, "programs of this type cannot read the packet directly");
  return { data: cx.b.read(cx.packet.data), end: cx.b.read(cx.packet.end) };
}

/** data and data_end from the context, anew. */
export function reloadPacket(cx: Context): void {
  const fields = cx.program && packetFields(cx.program);
  if (!cx.packet || !cx.ctx || !fields) return;
  const { data, end } = fields;
  cx.b.write(cx.packet.data, cx.b.load(data.size, cx.ctx, data.offset, { kind: "ctx", pointer: true }));
  cx.b.write(cx.packet.end, cx.b.load(end.size, cx.ctx, end.offset, { kind: "ctx", pointer: true }));
}

export function newCursor(cx: Context, at: number): Val {
  const [position, beyond] = [cx.b.newVar(), cx.b.newVar()];
  cx.b.write(position, bounds(cx, at).data);
  cx.b.write(beyond, constant(0n));
  return { k: "cursor", position, beyond };
}

/** The verifier reads no packet byte beyond this. Source: include/linux/bpf_verifier.h, `MAX_PACKET_OFF`. */
const MAX_OFFSET = 0xffff;
/** A skip of more bytes leaves no header behind it: what is before it and what is read there must fit MAX_OFFSET too. */
const MAX_SKIP = 0xfc00n;

/** A number of bytes, and the most it may be. */
export interface Far {
  readonly bytes: Insn;
  readonly most: bigint;
}

/** Goes to `otherwise` where there are more bytes. */
export function unlessFar(cx: Context, { bytes, most }: Far, otherwise: Block): void {
  const { b } = cx;
  const near = b.newBlock();
  b.branch("gt", 64, bytes, constant(most), otherwise, near);
  b.seal(near);
  b.block = near;
}

/**
 * The header at `start`, or undefined; `advance` is told the place behind it on the path where it is there. `far` is the
 * offset that `start` adds, where it may be larger than the verifier lets it be: then there is no header either.
 */
export function headerAt(
  cx: Context,
  place: Insn | (() => Insn),
  type: MemType,
  at: number,
  advance?: (next: Insn) => void,
  far?: Far,
): Val {
  const { b } = cx;
  const size = sizeOf(type);
  const there = b.newBlock();
  const short = b.newBlock();
  const done = b.newBlock();
  if (far) unlessFar(cx, far, short);
  const start = typeof place === "function" ? place() : place;
  const behind = b.bin("add", 64, start, constant(BigInt(size)));
  b.branch("gt", 64, behind, bounds(cx, at).end, short, there);
  b.seal(there);
  b.block = there;
  const ref: RefVal = { k: "ref", type, address: start, off: 0, region: { kind: "packet" }, nullable: false };
  const length = type.kind === "struct" ? type.length : undefined;
  if (length && advance) {
    const bytes = headerLength(cx, type as StructType, length, ref, at);
    if (bytes.op !== "const") {
      const long = b.newBlock();
      b.branch("lt", 32, bytes, constant(BigInt(size)), short, long);
      b.seal(long);
      b.block = long;
    }
    advance(b.bin("add", 64, start, bytes));
  } else advance?.(behind);
  const thereEnd: Block = b.block;
  const isThere = b.live();
  b.jump(done);
  b.seal(short);
  b.block = short;
  const isShort = b.live();
  b.jump(done);
  b.seal(done);
  b.block = done;
  if (!isShort && thereEnd) return ref;
  const values = done.preds.map((p) => (p === short ? constant(0n) : start));
  if (!isThere && !isShort) return { ...ref, nullable: true };
  return { ...ref, address: b.join(done, values), nullable: true };
}

/** Bytes of a variable-length header. */
export function headerLength(
  cx: Context,
  type: StructType,
  length: NonNullable<StructType["length"]>,
  ref: RefVal,
  at: number,
): Insn {
  const fn: FnVal = { k: "fn", fn: length.fn, scope: length.scope as Scope };
  const v = cx.invoke(fn, [ref], at);
  const bytes = toScalar(cx, v, U32, at);
  if (upperBound(bytes) > 0xffffn) refuse(cx, at, `the length of ${type.name} must stay below 65536: mask it`);
  return bytes;
}

/** A packet offset as a register that the verifier can bound. */
function offsetOf(cx: Context, v: Val, at: number): Insn {
  if (v.k === "int" && v.type.kind === "int" && v.type.bits < 32 && !v.type.be && !v.type.signed) return v.v;
  if (v.k === "lit" && (v.value < 0n || v.value > 0xffffn)) refuse(cx, at, `${v.value}: expected 0 to 65535 bytes`);
  const bytes = toScalar(cx, v, U32, at);
  if (upperBound(bytes) > 0xffffn) refuse(cx, at, "the offset must be bounded by 65535: write u16(x), or mask it");
  return bytes;
}

export function contextHeader(cx: Context, type: Val, offset: Val | undefined, at: number): Val {
  const t = headerType(cx, type, at);
  if (!offset) return headerAt(cx, bounds(cx, at).data, t, at);
  const bytes = offsetOf(cx, offset, at);
  // One bound for all sizes: what is found at one place in several sizes keeps one address, and a verifier takes the
  // bound that the address was made under for all of them.
  const own = BigInt(MAX_OFFSET - sizeOf(t));
  const most = own < MAX_SKIP ? own : MAX_SKIP;
  const far = verifiedBound(bytes) > most ? { bytes, most } : undefined;
  return headerAt(cx, () => cx.b.bin("add", 64, bounds(cx, at).data, bytes), t, at, undefined, far);
}

/** `ctx.offset(header)`: bytes from the packet's start. */
export function contextOffset(cx: Context, v: Val, at: number): Val {
  if (v.k !== "ref" || v.region.kind !== "packet" || v.nullable) {
    const how = v.k === "ref" && v.nullable ? ": test it first" : "";
    return refuse(cx, at, `offset: expected a header in the packet, got ${describe(v)}${how}`);
  }
  const { data } = bounds(cx, at);
  return { k: "int", type: U32, v: cx.b.zext(32, cx.b.bin("sub", 64, pointer(cx, v), data)) };
}

function headerType(cx: Context, v: Val | undefined, at: number): MemType {
  if (v?.k === "type" && v.type.kind !== "bits") return v.type;
  return refuse(cx, at, `expected a header or another type, got ${v ? describe(v) : "nothing"}`);
}

export function packetLength(cx: Context, at: number): Val {
  const { data, end } = bounds(cx, at);
  return { k: "int", type: U32, v: cx.b.zext(32, cx.b.bin("sub", 64, end, data)) };
}

export function cursorMember(cx: Context, { position, beyond }: CursorVal, name: string, at: number): Val {
  const { b } = cx;
  const { data, end } = bounds(cx, at);
  const here = b.read(position);
  const more = b.read(beyond);
  const bytes = (from: Insn, to: Insn, op: "add" | "sub"): Val => {
    const n = b.bin(op, 32, b.zext(32, b.bin("sub", 64, to, from)), more);
    return { k: "int", type: U32, v: n };
  };
  if (name === "offset") return bytes(data, here, "add");
  if (name === "left") return bytes(here, end, "sub");
  return refuse(cx, at, `a cursor has no ${name}: it has parse, take, peek, skip, offset, left`);
}

export function cursorCall(
  cx: Context,
  { position, beyond }: CursorVal,
  name: string,
  args: readonly Val[],
  at: number,
): Val {
  const { b } = cx;
  if (name === "take" || name === "peek") {
    const type = headerType(cx, args[0], at);
    const far = { bytes: b.read(beyond), most: 0n };
    const advance = name === "take" ? (next: Insn) => b.write(position, next) : undefined;
    return headerAt(cx, b.read(position), type, at, advance, far);
  }
  if (name === "skip") {
    if (!args[0]) refuse(cx, at, "skip needs the number of bytes");
    skip(cx, position, beyond, offsetOf(cx, args[0]!, at));
    return { k: "void" };
  }
  return refuse(cx, at, `a cursor has no ${name}: it has parse, take, peek, skip, offset, left`);
}

/** Moves the pointer, or where that is too far for the verifier, only says so. */
function skip(cx: Context, position: number, beyond: number, bytes: Insn): void {
  const { b } = cx;
  const move = (variable: number, w: 32 | 64) => b.write(variable, b.bin("add", w, b.read(variable), bytes));
  if (verifiedBound(bytes) <= MAX_SKIP) {
    move(position, 64);
    return;
  }
  const [far, done] = [b.newBlock(), b.newBlock()];
  unlessFar(cx, { bytes, most: MAX_SKIP }, far);
  move(position, 64);
  b.jump(done);
  b.seal(far);
  b.block = far;
  move(beyond, 32);
  b.jump(done);
  b.seal(done);
  b.block = done;
}
