/**
 * Parsers made from headers: `packet.parse({ eth: ethernet, ip: ipv4, tcp })`. The headers say what announces them and
 * what follows them; the graph is that of the named ones alone, and of it the optimiser keeps what the program asks for.
 *
 * A later name is looked for behind an earlier one only: the graph has no cycles, and a header that may be there twice has
 * two names, or is repeated.
 */
import { BOOL, type HeaderLinks, type NumberSpace, type StructType, sizeOf, typeName } from "../check/index.ts";
import { type Block, constant, type Insn } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe, toScalar } from "./convert.ts";
import { bounds, headerLength, unlessFar } from "./packet.ts";
import type { Scope } from "./scope.ts";
import type { CursorVal, RefVal, Val } from "./values.ts";

/** The name that tells of a packet that ends too early. */
export const TRUNCATED = "truncated";

/** The links of a header, from the values of its options `next` and `is`. */
export function headerLinks(cx: Context, next: Val | undefined, is: Val | undefined, at: number): HeaderLinks {
  const space = (v: Val | undefined): NumberSpace =>
    v?.k === "space"
      ? v.space
      : refuse(
          cx,
          at,
          `expected a space of numbers (etherType, ipProtocol, protocols(u8) …), got ${v ? describe(v) : "nothing"}`,
        );
  const pair = (v: Val, what: string): readonly [Val | undefined, Val | undefined] => {
    if (v.k !== "record" || !v.tuple || v.fields.size !== 2) {
      return refuse(cx, at, `${what}, got ${describe(v)}`);
    }
    return [v.fields.get("0"), v.fields.get("1")];
  };
  let follows: HeaderLinks["next"];
  if (next) {
    const [of, fn] = pair(next, "next: expected [etherType, (h) => h.proto]");
    if (fn?.k !== "fn") return refuse(cx, at, "next: expected a function of the header after the space of numbers");
    follows = { space: space(of), fn: fn.fn, scope: fn.scope };
  }
  if (is && (is.k !== "record" || !is.tuple)) refuse(cx, at, "is: expected a list [[etherType, 0x0800], …]");
  const announced = is?.k === "record" ? [...is.fields.values()] : [];
  return {
    next: follows,
    is: announced.map((v) => {
      const [of, number] = pair(v, "is: expected pairs like [etherType, 0x0800]");
      const value =
        number?.k === "lit"
          ? number.value
          : number?.k === "int" && number.v.op === "const"
            ? number.v.value
            : undefined;
      if (value === undefined) return refuse(cx, at, "is: the number must be known at compile time");
      return { space: space(of), value };
    }),
  };
}

/** One place in the graph. Copies of a repeated header share `name` and `found`. */
interface Node {
  readonly name: string;
  readonly type: StructType;
  /** The variable that holds where it was found, 0 where it was not. */
  readonly found: number;
  readonly enter: Block;
}

/** `cursor.parse(headers, start?)`. The cursor moves behind the last header that was found. */
export function parsePacket(cx: Context, cursor: CursorVal, args: readonly Val[], at: number): Val {
  const { b } = cx;
  if (args.length > 2) refuse(cx, at, "parse has 2 parameters (the headers, and where to start)");
  const [headers, start] = args;
  const types = headerTypes(cx, headers, at);
  const nodes = graph(cx, types);
  const done = b.newBlock();
  const truncated = b.newVar();
  b.write(truncated, constant(0n));
  for (const n of nodes) b.write(n.found, constant(0n));
  enter(cx, nodes, start, done, at);
  for (const [k, node] of nodes.entries()) {
    b.seal(node.enter);
    b.block = node.enter;
    take(cx, node, nodes.slice(k + 1), cursor, truncated, done, at);
  }
  b.seal(done);
  b.block = done;
  const fields = new Map<string, Val>();
  for (const { name, type, found } of nodes) fields.set(name, refTo(type, b.read(found)));
  fields.set(TRUNCATED, { k: "int", type: BOOL, v: b.read(truncated) });
  return { k: "record", fields, tuple: false };
}

export function refTo(type: StructType, address: Insn): RefVal {
  return { k: "ref", type, address, off: 0, region: { kind: "packet" }, nullable: true };
}

/** The named headers of `{ eth: ethernet, … }`, in order, each with how often it may come. */
export function headerTypes(
  cx: Context,
  headers: Val | undefined,
  at: number,
): readonly { readonly name: string; readonly type: StructType; readonly most: number }[] {
  if (headers?.k !== "record" || headers.tuple || !headers.fields.size) {
    return refuse(
      cx,
      at,
      `expected the headers by name: { eth: ethernet, ip: ipv4 }, got ${headers ? describe(headers) : "nothing"}`,
    );
  }
  return [...headers.fields].map(([name, v]) => {
    if (name === TRUNCATED) refuse(cx, at, `${TRUNCATED} says whether the packet ends too early: take another name`);
    if (v.k === "repeat") return { name, type: v.type, most: v.most };
    if (v.k === "type" && v.type.kind === "struct" && v.type.form === "header") return { name, type: v.type, most: 1 };
    return refuse(cx, at, `${name}: expected a header, got ${describe(v)}`);
  });
}

function graph(cx: Context, types: ReturnType<typeof headerTypes>): Node[] {
  return types.flatMap(({ name, type, most }) => {
    const found = cx.b.newVar();
    return Array.from({ length: most }, (_, k) => ({
      name: k ? `${name} (${k + 1})` : name,
      type,
      found,
      enter: cx.b.newBlock(),
    }));
  });
}

/** Goes to the first header: the first named one, or what the number of `[space, number]` announces. */
function enter(cx: Context, nodes: readonly Node[], start: Val | undefined, done: Block, at: number): void {
  if (!start) {
    cx.b.jump(nodes[0]!.enter);
    return;
  }
  const space = start.k === "record" && start.tuple ? start.fields.get("0") : undefined;
  const number = start.k === "record" ? start.fields.get("1") : undefined;
  if (space?.k !== "space" || !number) {
    refuse(cx, at, `where to start: expected [etherType, ctx.protocol], got ${describe(start)}`);
    return;
  }
  dispatch(cx, space.space, toScalar(cx, number, space.space.type, at), nodes, done, at);
}

/** One header: its bounds check, its length, and on to what it announces. */
function take(
  cx: Context,
  node: Node,
  later: readonly Node[],
  cursor: CursorVal,
  truncated: number,
  done: Block,
  at: number,
): void {
  const { b } = cx;
  const { type } = node;
  const size = constant(BigInt(sizeOf(type)));
  const there = b.newBlock();
  const short = b.newBlock();
  unlessFar(cx, { bytes: b.read(cursor.beyond), most: 0n }, short);
  const start = b.read(cursor.position);
  const behind = b.bin("add", 64, start, size);
  b.branch("gt", 64, behind, bounds(cx, at).end, short, there);
  b.seal(there);
  b.block = there;
  const ref: RefVal = { ...refTo(type, start), nullable: false };
  let next = behind;
  if (type.length) {
    const length = headerLength(cx, type, type.length, ref, at);
    const whole = b.newBlock();
    b.branch("lt", 32, length, size, short, whole);
    b.seal(whole);
    b.block = whole;
    next = b.bin("add", 64, start, length);
  }
  b.write(node.found, start);
  b.write(cursor.position, next);
  const links = type.links?.next;
  if (!links) b.jump(done);
  else if (later.some((n) => announces(n.type, links.space))) {
    const v = cx.invoke(
      { k: "fn", fn: links.fn, scope: links.scope as Scope },
      nextArgs(links.fn.params.length, ref, cursor),
      at,
    );
    b.at = at;
    dispatch(cx, links.space, toScalar(cx, v, links.space.type, at), later, done, at);
  } else b.jump(done);
  b.seal(short);
  b.block = short;
  b.write(truncated, constant(1n));
  b.jump(done);
}

function nextArgs(params: number, ref: RefVal, cursor: CursorVal): Val[] {
  const all: Val[] = [ref, cursor];
  return all.slice(0, Math.min(params, all.length));
}

function announces(type: StructType, space: NumberSpace): boolean {
  return type.links?.is.some((i) => i.space === space) ?? false;
}

/** Compares the number with those of the later headers; of several of one kind the first is meant. */
function dispatch(
  cx: Context,
  space: NumberSpace,
  number: Insn,
  later: readonly Node[],
  done: Block,
  at: number,
): void {
  const { b } = cx;
  const seen = new Set<StructType>();
  for (const node of later) {
    if (seen.has(node.type)) continue;
    seen.add(node.type);
    for (const { space: of, value } of node.type.links?.is ?? []) {
      if (of !== space) continue;
      const most = (1n << BigInt(space.type.bits)) - 1n;
      if (value > most) refuse(cx, at, `${typeName(node.type)}: ${value} does not fit ${typeName(space.type)}`);
      const wanted = space.type.be ? b.bswap(space.type.bits as 16 | 32 | 64, constant(value)) : constant(value);
      const other = b.newBlock();
      b.branch("eq", space.type.bits === 64 ? 64 : 32, number, wanted, node.enter, other);
      b.seal(other);
      b.block = other;
    }
  }
  b.jump(done);
}
