/**
 * Packet bytes, ctx fields and map entries that make a list of comparisons come out as wanted: starts from an empty-looking packet and
 * mends the first comparison that fails, by setting what one of its sides is made of. Not every list is solved; what is
 * found is checked by running.
 */
import { aluResult, BPF_ADD, BPF_AND, BPF_LSH, BPF_OR, BPF_RSH, BPF_SUB, BPF_XOR, jumpTaken } from "../../isa/index.ts";
import { MapType } from "../../object/index.ts";
import type { Constraint, Expr, Path } from "./symbolic.ts";

export interface Input {
  readonly packet: Uint8Array;
  readonly length: number;
  /** Values of ctx fields by offset; the start's fill for others. */
  readonly ctx: ReadonlyMap<number, number>;
  /** Value of the entry that each lookup of the path finds; undefined where it finds none. */
  readonly values: readonly (Uint8Array | undefined)[];
}

/** What the search begins with: so many bytes, all of them `fill`, as are ctx fields. */
export interface Start {
  readonly length: number;
  readonly fill: number;
}

const MOST = 4096;
/** Where the packet lies while it is only thought of. */
const BASE = 0x1_0000n;
const ROUNDS = 400;
/** Where the value of the n-th lookup lies while it is only thought of, and the largest value that is. */
const VALUES = 0x4000_0000_0000n;
const VALUE_STRIDE = 1n << 20n;

interface Entry {
  present: boolean;
  /** Arrays have an entry at every index. */
  readonly always: boolean;
  readonly value: Uint8Array;
}

class Draft {
  readonly bytes: Uint8Array;
  readonly ctx = new Map<number, number>();
  readonly entries: readonly Entry[];
  readonly #fill: number;
  readonly #data: bigint;
  length: number;

  constructor({ length, fill }: Start, { lookups }: Path, pulled: number) {
    this.length = length;
    this.#fill = fill;
    this.#data = BASE + BigInt(pulled);
    this.entries = lookups.map(({ map: { type, valueSize } }) => {
      const always = type === MapType.BPF_MAP_TYPE_ARRAY || type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY;
      return { present: always || fill !== 0, always, value: new Uint8Array(valueSize).fill(fill) };
    });
    this.bytes = new Uint8Array(MOST).fill(fill);
  }

  value(e: Expr): bigint | undefined {
    switch (e.kind) {
      case "const":
        return e.value;
      case "data":
        return this.#data;
      case "lookup":
        return this.entries[e.n]!.present ? VALUES + BigInt(e.n) * VALUE_STRIDE : 0n;
      case "end":
        return BASE + BigInt(this.length);
      case "ctx":
        return BigInt(this.ctx.get(e.offset) ?? this.#fill);
      case "load": {
        const found = this.place(e.at, e.size);
        if (!found) return undefined;
        let n = 0n;
        for (let i = e.size - 1; i >= 0; i--) n = (n << 8n) | BigInt(found.bytes[found.at + i]!);
        return n;
      }
      case "swap": {
        const a = this.value(e.a);
        return a === undefined ? undefined : swap(a, e.bits);
      }
      case "op": {
        const a = this.value(e.a);
        const b = this.value(e.b);
        return a === undefined || b === undefined ? undefined : aluResult(e.op, a, b, e.is32 ? 32 : 64);
      }
      default:
        return undefined;
    }
  }

  /** The bytes that an address lies in, of the packet or of an entry's value, and where. */
  place(at: Expr, size: number): { readonly bytes: Uint8Array; readonly at: number } | undefined {
    const address = this.value(at);
    if (address === undefined) return undefined;
    const n = address < VALUES ? -1 : Number((address - VALUES) / VALUE_STRIDE);
    const bytes = n < 0 ? this.bytes : this.entries[n]?.value;
    const start = n < 0 ? BASE : VALUES + BigInt(n) * VALUE_STRIDE;
    if (!bytes || address < start || address + BigInt(size) > start + BigInt(bytes.length)) return undefined;
    return { bytes, at: Number(address - start) };
  }

  /** Makes the expression that value, by one of the inputs it is made of; false where that is not possible. */
  set(e: Expr, target: bigint): boolean {
    switch (e.kind) {
      case "end": {
        const length = target - BASE;
        if (length < 14n || length > BigInt(MOST)) return false;
        this.length = Number(length);
        return true;
      }
      case "ctx":
        if (target < 0n || target > 0xffff_ffffn) return false;
        this.ctx.set(e.offset, Number(target));
        return true;
      case "load": {
        const found = this.place(e.at, e.size);
        if (!found || target < 0n || target >> BigInt(8 * e.size) !== 0n) return false;
        for (let i = 0; i < e.size; i++) found.bytes[found.at + i] = Number((target >> BigInt(8 * i)) & 0xffn);
        return true;
      }
      case "lookup": {
        const entry = this.entries[e.n]!;
        if (entry.always && target === 0n) return false;
        entry.present = target !== 0n;
        return true;
      }
      case "swap":
        return target >> BigInt(e.bits) === 0n && this.set(e.a, swap(target, e.bits));
      case "op":
        return this.#setOp(e, target);
      default:
        return false;
    }
  }

  /** `hi << n | lo`: how compilers put bytes together. */
  #setHalves(e: Extract<Expr, { kind: "op" }>, target: bigint): boolean {
    for (const [high, low] of [
      [e.a, e.b],
      [e.b, e.a],
    ] as const) {
      if (high.kind !== "op" || high.op !== BPF_LSH || high.b.kind !== "const") continue;
      const part = target & ((1n << high.b.value) - 1n);
      if (this.set(low, part) && this.set(high, target ^ part)) return true;
    }
    return false;
  }

  #setOp(e: Extract<Expr, { kind: "op" }>, target: bigint): boolean {
    const a = this.value(e.a);
    const b = this.value(e.b);
    if (a === undefined || b === undefined) return false;
    const width = e.is32 ? 32 : 64;
    const fit = (n: bigint) => BigInt.asUintN(width, n);
    switch (e.op) {
      case BPF_ADD:
        return this.set(e.a, fit(target - b)) || this.set(e.b, fit(target - a));
      case BPF_SUB:
        return this.set(e.a, fit(target + b)) || this.set(e.b, fit(a - target));
      case BPF_XOR:
        return this.set(e.a, fit(target ^ b)) || this.set(e.b, fit(target ^ a));
      case BPF_AND:
        return (target & ~b) === 0n && this.set(e.a, fit((a & ~b) | target));
      case BPF_OR:
        return this.#setHalves(e, target) || ((b & ~target) === 0n && this.set(e.a, target & ~b));
      case BPF_LSH:
        return fit((target >> b) << b) === target && this.set(e.a, target >> b);
      case BPF_RSH:
        return this.set(e.a, fit(target << b) | (a & ((1n << b) - 1n)));
      default:
        return false;
    }
  }
}

function swap(n: bigint, bits: number): bigint {
  let out = 0n;
  for (let at = 0; at < bits; at += 8) out = (out << 8n) | ((n >> BigInt(at)) & 0xffn);
  return out;
}

/** An input that meets all comparisons whose sides are known; undefined where the search gives up. */
export function solve(path: Path, start: Start, pulled: number): Input | undefined {
  const { constraints } = path;
  const draft = new Draft(start, path, pulled);
  let salt = 1;
  for (let round = 0; round < ROUNDS; round++) {
    const failing = constraints.find((c) => meets(draft, c) === false);
    if (!failing) {
      const values = draft.entries.map(({ present, value }) => (present ? value : undefined));
      return { packet: draft.bytes.slice(0, draft.length), length: draft.length, ctx: draft.ctx, values };
    }
    salt = (Math.imul(salt, 1103515245) + 12345) >>> 0;
    if (!mend(draft, failing, BigInt(salt >>> 28))) return undefined;
  }
  return undefined;
}

function meets(draft: Draft, { op, is32, holds, a, b }: Constraint): boolean | undefined {
  const x = draft.value(a);
  const y = draft.value(b);
  return x === undefined || y === undefined ? undefined : jumpTaken(op, x, y, is32 ? 32 : 64) === holds;
}

/** Values beside `y` that a comparison turns at: one of them has it come out as wanted, if any single value does. */
function mend(draft: Draft, c: Constraint, jitter: bigint): boolean {
  const x = draft.value(c.a)!;
  const y = draft.value(c.b)!;
  const width = c.is32 ? 32 : 64;
  const near = (n: bigint) =>
    [n, n + 1n, n - 1n, n ^ 1n, n + jitter, 0n, x | n, x & ~n].map((v) => BigInt.asUintN(width, v));
  for (const value of near(y)) {
    if (jumpTaken(c.op, value, y, c.is32 ? 32 : 64) === c.holds && draft.set(c.a, value)) return true;
  }
  for (const value of near(x)) {
    if (jumpTaken(c.op, x, value, c.is32 ? 32 : 64) === c.holds && draft.set(c.b, value)) return true;
  }
  return false;
}
