/**
 * A parse result handed on: `saveParsed` writes where the headers are into the packet's metadata, which goes with it to
 * the next XDP program and to tc; `restoreParsed` reads it there instead of parsing again.
 *
 * In memory: a 32-bit mark made of the headers' names and types, a 16-bit offset from the packet's start for each
 * (NOT_FOUND where it was not), and 16 bits of flags. What is read back is not trusted: each offset gets its bounds check.
 */
import { ctxLayout, ProgType } from "@ebplane/core/object";
import { BOOL, I32, type StructType, typeName } from "../check/index.ts";
import { type Block, constant, type Insn } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe } from "./convert.ts";
import { headerTypes, refTo, TRUNCATED } from "./headers.ts";
import { bounds, headerAt, reloadPacket } from "./packet.ts";
import type { RefVal, Val } from "./values.ts";

const ADJUST_META = 54;
const NOT_FOUND = 0xffff;
/** Offsets are below: with the header's size they must stay within what the verifier takes for a packet offset (65535). */
const MOST = 0x7fff;
/** Kernels before 6.3 take no more. Source: net/core/filter.c, bpf_xdp_adjust_meta; include/linux/skbuff.h, xdp_metalen_invalid. */
const MAX_META = 32;
const REGION = { kind: "packet" } as const;

interface Layout {
  readonly mark: bigint;
  readonly offsets: readonly { readonly name: string; readonly type: StructType; readonly at: number }[];
  readonly flags: number;
  /** Bytes: a multiple of 4. */
  readonly size: number;
}

function layoutOf(cx: Context, headers: readonly { name: string; type: StructType }[], at: number): Layout {
  const offsets = headers.map((h, k) => ({ name: h.name, type: h.type, at: 4 + 2 * k }));
  const flags = 4 + 2 * headers.length;
  const size = (flags + 2 + 3) & ~3;
  if (size > MAX_META) {
    refuse(cx, at, `${headers.length} headers need ${size} bytes of metadata, there are ${MAX_META}: hand on fewer`);
  }
  return { mark: markOf(headers), offsets, flags, size };
}

/** FNV-1a over names and types: another program's metadata has another mark. */
function markOf(headers: readonly { name: string; type: StructType }[]): bigint {
  let hash = 0x811c9dc5;
  for (const { name, type } of headers) {
    for (const c of `${name}:${typeName(type)}:${type.size};`) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193);
  }
  return BigInt(hash >>> 0);
}

/** data_meta, anew; `@throws` a complaint where the program type has none. */
function metadata(cx: Context, at: number): Insn {
  const { program } = cx;
  const field =
    program && ctxLayout(program.type, program.attachType)?.fields.find((f) => f.value === "packetMeta" && f.read);
  if (!field || !cx.ctx) return refuse(cx, at, "programs of this type have no packet metadata");
  return cx.b.load(4, cx.ctx, field.offset, { kind: "ctx", pointer: true });
}

/** `saveParsed(ctx, parsed)`: 0, or -errno where the driver has no room for metadata. */
export function saveParsed(cx: Context, ctx: Val, parsed: Val, at: number): Val {
  const { b } = cx;
  if (ctx.k !== "ctx" || cx.program?.type !== ProgType.BPF_PROG_TYPE_XDP) {
    return refuse(cx, at, "saveParsed: expected the context of an XDP program, and what parse gave");
  }
  if (parsed.k !== "record" || parsed.tuple) return refuse(cx, at, `expected what parse gave, got ${describe(parsed)}`);
  const refs = [...parsed.fields].flatMap(([name, v]) =>
    name === TRUNCATED ? [] : [{ name, ref: packetRef(cx, v, name, at) }],
  );
  const layout = layoutOf(
    cx,
    refs.map(({ name, ref }) => ({ name, type: ref.type as StructType })),
    at,
  );
  const { data } = bounds(cx, at);
  // Offsets first: the references are gone when the metadata is there.
  const values = refs.map(({ ref }) => offsetOf(cx, ref, data));
  const truncated = parsed.fields.get(TRUNCATED);
  const result = b.newVar();
  const status = b.zext(
    32,
    b.call(ADJUST_META, [cx.ctx!, constant(BigInt.asUintN(64, BigInt(-layout.size)))], { packet: true }),
  );
  b.write(result, status);
  reloadPacket(cx);
  const room = b.newBlock();
  const fits = b.newBlock();
  const done = b.newBlock();
  b.branch("eq", 32, status, constant(0n), room, done);
  b.seal(room);
  b.block = room;
  const meta = metadata(cx, at);
  b.branch("gt", 64, b.bin("add", 64, meta, constant(BigInt(layout.size))), bounds(cx, at).data, done, fits);
  b.seal(fits);
  b.block = fits;
  b.store(4, meta, constant(layout.mark), 0, REGION);
  for (const [k, { at: off }] of layout.offsets.entries()) b.store(2, meta, values[k]!, off, REGION);
  b.store(2, meta, truncated?.k === "int" ? truncated.v : constant(0n), layout.flags, REGION);
  b.jump(done);
  b.seal(done);
  b.block = done;
  return { k: "int", type: I32, v: b.read(result) };
}

function packetRef(cx: Context, v: Val, name: string, at: number): RefVal {
  if (v.k === "ref" && v.region.kind === "packet" && v.type.kind === "struct") return v;
  return refuse(cx, at, `${name}: expected a header in the packet, got ${describe(v)}`);
}

function offsetOf(cx: Context, ref: RefVal, data: Insn): Insn {
  const { b } = cx;
  const offset = () => b.bin("sub", 64, b.bin("add", 64, ref.address, constant(BigInt(ref.off))), data);
  if (!ref.nullable) return offset();
  const result = b.newVar();
  b.write(result, constant(BigInt(NOT_FOUND)));
  const there = b.newBlock();
  const done = b.newBlock();
  b.branch("ne", 64, ref.address, constant(0n), there, done);
  b.seal(there);
  b.block = there;
  b.write(result, offset());
  b.jump(done);
  b.seal(done);
  b.block = done;
  return b.read(result);
}

/** `restoreParsed(ctx, headers)`: what the program before found, or undefined where none handed on these headers. */
export function restoreParsed(cx: Context, ctx: Val, headers: Val, at: number): Val {
  const { b } = cx;
  if (ctx.k !== "ctx") return refuse(cx, at, `restoreParsed: expected the context, got ${describe(ctx)}`);
  const types = headerTypes(cx, headers, at);
  const layout = layoutOf(cx, types, at);
  const found = b.newVar();
  const truncated = b.newVar();
  const places = layout.offsets.map((o) => ({ ...o, place: b.newVar() }));
  for (const v of [found, truncated, ...places.map((p) => p.place)]) b.write(v, constant(0n));
  const done = b.newBlock();
  const unless = (run: (no: Block, yes: Block) => void): void => {
    const yes = b.newBlock();
    run(done, yes);
    b.seal(yes);
    b.block = yes;
  };
  const { data } = bounds(cx, at);
  // The kernel takes a VLAN tag out of the packet before tc: what lies behind it has moved.
  const tag = ctxLayout(cx.program!.type, cx.program!.attachType)?.fields.find((f) => f.name === "vlan_present");
  if (tag && cx.ctx) {
    const present = b.load(4, cx.ctx, tag.offset, { kind: "ctx" });
    unless((no, yes) => b.branch("ne", 32, present, constant(0n), no, yes));
  }
  const meta = metadata(cx, at);
  unless((no, yes) => b.branch("gt", 64, b.bin("add", 64, meta, constant(BigInt(layout.size))), data, no, yes));
  unless((no, yes) => b.branch("ne", 32, b.load(4, meta, 0, REGION), constant(layout.mark), no, yes));
  b.write(found, constant(1n));
  b.write(truncated, b.load(2, meta, layout.flags, REGION));
  for (const { place, type, at: off } of places) {
    const offset = b.load(2, meta, off, REGION);
    const there = b.newBlock();
    const next = b.newBlock();
    b.branch("le", 32, offset, constant(BigInt(MOST)), there, next);
    b.seal(there);
    b.block = there;
    const ref = headerAt(cx, b.bin("add", 64, data, offset), type, at) as RefVal;
    b.write(place, ref.address);
    b.jump(next);
    b.seal(next);
    b.block = next;
  }
  b.jump(done);
  b.seal(done);
  b.block = done;
  const fields = new Map<string, Val>();
  for (const { name, type, place } of places) fields.set(name, refTo(type, b.read(place)));
  fields.set(TRUNCATED, { k: "int", type: BOOL, v: b.cmp("ne", 32, b.read(truncated), constant(0n)) });
  return { k: "opt", flag: b.read(found), inner: { k: "record", fields, tuple: false } };
}
