/** Expressions of each kind over what is in scope. */
import {
  ARRAY_AT,
  BIT_FIELDS,
  BITS_AT,
  type Env,
  type Expr,
  FIELDS,
  type Fn,
  type Kind,
  kindOf,
  type Maybe,
  type Num,
  readField,
  TABLE_SIZE,
  type Var,
  wrap,
} from "./model.ts";

export abstract class Expressions {
  private readonly rand: () => number;
  protected vars: Var[] = [];
  protected structs: string[] = [];
  /** What may be undefined. */
  protected maybes: Maybe[] = [];
  protected readonly fns: Fn[] = [];
  protected readonly globals: { name: string; type: Num; value: bigint }[] = [];
  protected readonly globalStructs: { name: string; make: () => DataView }[] = [];
  protected readonly table: bigint[] = [];
  protected names = 0;
  protected loops: string[] = [];
  /** In a body that holds a reference into the hash map: its entries stay. */
  protected holding = 0;
  protected header = false;
  protected inFunction: Num | undefined;
  /** In a function that gives nothing. */
  protected silent = false;

  constructor(rand: () => number) {
    this.rand = rand;
  }

  protected int(n: number): number {
    return Math.floor(this.rand() * n);
  }
  protected pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }
  protected chance(p: number): boolean {
    return this.rand() < p;
  }
  protected name(prefix: string): string {
    return `${prefix}${this.names++}`;
  }
  protected literal(kind: Kind): Expr {
    const wide = kind === "u64" || kind === "i64";
    const bits = wide ? 64 : 32;
    const special = [0n, 1n, 2n, 7n, 8n, 255n, 256n, 65535n, 65536n, (1n << BigInt(bits - 1)) - 1n];
    let v = this.chance(0.6) ? this.pick(special) : BigInt(this.int(2 ** 31));
    if (wide && this.chance(0.3)) v = (v << 31n) | BigInt(this.int(2 ** 31));
    if (kind === "u64" || kind === "i64") v = BigInt.asIntN(63, v) < 0n ? -BigInt.asIntN(63, v) : v;
    v = wide ? v & ((1n << 63n) - 1n) : v & 0x7fffffffn;
    if (kind[0] === "i" && this.chance(0.4)) v = -v;
    const t = wide ? `${v}n` : `${v}`;
    return { text: v < 0n ? `(${t})` : t, run: () => v };
  }

  protected leaf(kind: Kind): Expr {
    const shared = this.globals.filter((g) => kindOf(g.type) === kind);
    if (shared.length && this.chance(0.15)) {
      const g = this.pick(shared);
      return { text: g.name, run: (e) => e.state.numbers.get(g.name)! };
    }
    const optional = kind === "bool" || !this.maybes.length || this.chance(0.8) ? undefined : this.orElse(kind);
    if (optional) return optional;
    if (kind === "u32" && this.chance(0.06)) {
      const i = this.leaf("u32");
      const n = BigInt(TABLE_SIZE - 1);
      return { text: `TABLE[${i.text} & ${n}]`, run: (e) => this.table[Number(i.run(e) & n)]! };
    }
    const fits = this.vars.filter((v) => (v.type === "bool" ? kind === "bool" : kindOf(v.type) === kind));
    if (fits.length && this.chance(0.75)) {
      const v = this.pick(fits);
      return { text: v.name, run: (e) => e.vars.get(v.name)! };
    }
    if (kind === "bool") {
      const b = this.chance(0.5);
      return { text: String(b), run: () => (b ? 1n : 0n) };
    }
    if (this.structs.length && this.chance(0.6)) {
      const fields = FIELDS.filter(([, t]) => kindOf(t) === kind);
      if (kind === "u32" && this.chance(0.25)) return this.partOf(this.pick(this.structs));
      if (fields.length) return this.fieldOf(this.pick(this.structs), this.pick(fields));
    }
    if (this.header && this.chance(0.5)) return this.headerField(kind);
    // A cast literal: two bare literals would be folded without a width.
    const l = this.literal(kind);
    return { text: `${kind}(${l.text})`, run: (e) => wrap(kind, l.run(e)) };
  }

  protected fieldOf(struct: string, [name, type, off]: readonly [string, Num, number]): Expr {
    return { text: `${struct}.${name}`, run: (e) => readField(e.structs.get(struct)!, type, off) };
  }

  /** An element or a bit field. */
  protected partOf(struct: string): Expr {
    if (this.chance(0.5)) {
      const [name, shift, width] = this.pick(BIT_FIELDS);
      return {
        text: `${struct}.${name}`,
        run: (e) => BigInt((e.structs.get(struct)!.getUint32(BITS_AT, true) >>> shift) & (2 ** width - 1)),
      };
    }
    const i = this.leaf("u32");
    return {
      text: `${struct}.h[${i.text} & 3]`,
      run: (e) => BigInt(e.structs.get(struct)!.getUint16(ARRAY_AT + 2 * Number(i.run(e) & 3n), true)),
    };
  }

  protected headerField(kind: Kind): Expr {
    const view = (e: Env) => new DataView(e.packet.buffer, e.packet.byteOffset);
    switch (kind) {
      case "u64":
        return { text: "ntohll(head.q)", run: (e) => view(e).getBigUint64(8) };
      case "u32": {
        const which = this.int(5);
        if (which === 0) return { text: "ntohs(head.h)", run: (e) => BigInt(view(e).getUint16(2)) };
        if (which === 1) return { text: "head.y", run: (e) => BigInt(view(e).getUint8(0)) };
        if (which === 2) return { text: "head.n3", run: (e) => BigInt(view(e).getUint8(1) >> 5) };
        if (which === 3) return { text: "head.n13", run: (e) => BigInt(view(e).getUint32(16) & 0x1ffffff) >> 12n };
        return { text: "ntohl(head.w)", run: (e) => BigInt(view(e).getUint32(4)) };
      }
      default: {
        const u = this.headerField(kind === "i64" ? "u64" : "u32");
        return { text: `${kind}(${u.text})`, run: (e) => wrap(kind as Num, u.run(e)) };
      }
    }
  }

  protected expr(kind: Kind, depth: number): Expr {
    if (depth <= 0) return this.leaf(kind);
    if (kind === "bool") return this.condition(depth);
    const r = this.int(12);
    if (r < 6) return this.binary(kind, depth);
    if (r === 6) return this.cast(kind, depth);
    if (r === 7) {
      const c = this.condition(depth - 1);
      const a = this.expr(kind, depth - 1);
      const b = this.expr(kind, depth - 1);
      return { text: `(${c.text} ? ${a.text} : ${b.text})`, run: (e) => (c.run(e) ? a.run(e) : b.run(e)) };
    }
    if (r === 8) {
      const a = this.expr(kind, depth - 1);
      return { text: `(~${a.text})`, run: (e) => wrap(kind, ~a.run(e)) };
    }
    if (r === 9) {
      const a = this.expr(kind, depth - 1);
      return { text: `(-${a.text})`, run: (e) => wrap(kind, -a.run(e)) };
    }
    if (r === 10) {
      const fits = this.fns.filter((f) => kindOf(f.returns) === kind && (!f.struct || this.structs.length));
      if (fits.length && this.inFunction === undefined) return this.call(this.pick(fits), depth);
    }
    return this.leaf(kind);
  }

  protected call(f: Fn, depth: number): Expr {
    const args = f.params.map((p) => this.narrow(p, depth - 1));
    const struct = f.struct ? this.pick(this.structs) : undefined;
    const text = `${f.name}(${[...(struct ? [struct] : []), ...args.map((a) => a.text)].join(", ")})`;
    const run = (e: Env) =>
      f.run(
        args.map((a) => a.run(e)),
        struct === undefined ? undefined : e.structs.get(struct)!,
        e,
      );
    if (!f.maybe) return { text, run: (e) => run(e)! };
    const other = this.narrow(f.returns, 1);
    return { text: `(${text} ?? ${other.text})`, run: (e) => run(e) ?? other.run(e) };
  }

  /** An expression of exactly a declared type, by a cast. */
  protected narrow(t: Num, depth: number): Expr {
    const a = this.expr(kindOf(t), depth);
    return { text: `${t}(${a.text})`, run: (e) => wrap(t, a.run(e)) };
  }

  protected cast(kind: Kind, depth: number): Expr {
    const from = this.pick(["u32", "i32", "u64", "i64", "bool"] as const);
    const a = this.expr(from, depth - 1);
    const all: Num[] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    const to = this.pick(all.filter((t) => kindOf(t) === kind));
    return { text: `${to}(${a.text})`, run: (e) => wrap(to, a.run(e)) };
  }

  protected binary(kind: Exclude<Kind, "bool">, depth: number): Expr {
    const signed = kind[0] === "i";
    const ops = ["+", "-", "*", "&", "|", "^", "<<", ">>", ">>>", "/", "%"].filter((o) => o !== ">>>" || !signed);
    // Signed division is an instruction of newer kernels; it is tried less often.
    const op = this.pick(signed && this.chance(0.8) ? ops.filter((o) => o !== "/" && o !== "%") : ops);
    const a = this.expr(kind, depth - 1);
    const bits = kind === "u64" || kind === "i64" ? 64n : 32n;
    if (op === "<<" || op === ">>" || op === ">>>") {
      const b = this.chance(0.6)
        ? this.shiftLiteral(kind)
        : // TypeScript takes `x << (((y) > …` for type arguments: what stands right of << begins with a name.
          op === "<<"
          ? this.leaf(kind === "i64" ? "u64" : kind === "i32" ? "u32" : kind)
          : this.expr(kind === "i64" ? "u64" : kind === "i32" ? "u32" : kind, depth - 1);
      return {
        text: `(${a.text} ${op} ${b.text})`,
        run: (e) => {
          const x = a.run(e);
          const n = BigInt.asUintN(64, b.run(e)) & (bits - 1n);
          return wrap(kind, op === "<<" ? x << n : x >> n);
        },
      };
    }
    const b = this.chance(0.4) ? this.literal(kind) : this.expr(kind, depth - 1);
    if ((op === "/" || op === "%") && /^\(?-?0n?\)?$/.test(b.text)) return a;
    return {
      text: `(${a.text} ${op} ${b.text})`,
      run: (e) => {
        const x = a.run(e);
        const y = wrap(kind, b.run(e));
        switch (op) {
          case "+":
            return wrap(kind, x + y);
          case "-":
            return wrap(kind, x - y);
          case "*":
            return wrap(kind, x * y);
          case "&":
            return wrap(kind, x & y);
          case "|":
            return wrap(kind, x | y);
          case "^":
            return wrap(kind, x ^ y);
          case "/":
            return y === 0n ? 0n : wrap(kind, x / y);
          default:
            return y === 0n ? x : wrap(kind, x % y);
        }
      },
    };
  }

  // ---- what may be undefined ----

  /** A condition on what is there. */
  private presence(depth: number): Expr {
    const m = this.pick(this.maybes);
    const there = (e: Env): bigint => (e.maybes.get(m.name) ? 1n : 0n);
    const r = this.int(depth > 0 ? 6 : 3);
    if (r === 1) return { text: `(${m.name} === undefined)`, run: (e) => 1n - there(e) };
    if (r === 2) return { text: `!${m.name}`, run: (e) => 1n - there(e) };
    const is: Expr = { text: `(${m.name} !== undefined)`, run: there };
    if (r === 3) return this.sameTruth(is, this.condition(depth - 1));
    if (r === 4) return this.sameTruth(is, this.presence(0));
    if (r === 5) {
      const kind = this.pick(["u32", "u64"] as const);
      const a = this.memberOf(m, kind);
      if (a) {
        const b = this.expr(kind, depth - 1);
        return {
          text: `(${m.name} !== undefined && ${a.text} > ${b.text})`,
          run: (e) => (there(e) && a.run(e) > b.run(e) ? 1n : 0n),
        };
      }
    }
    return is;
  }

  protected sameTruth(a: Expr, b: Expr): Expr {
    const op = this.pick(["===", "!=="]);
    return {
      text: `((${a.text}) ${op} (${b.text}))`,
      run: (e) => ((a.run(e) === b.run(e)) === (op === "===") ? 1n : 0n),
    };
  }

  /** A number of what may be there, or another. */
  private orElse(kind: Exclude<Kind, "bool">): Expr | undefined {
    const m = this.pick(this.maybes);
    const other = BigInt(this.int(100));
    const wide = kind.endsWith("64");
    const literal = `${other}${wide ? "n" : ""}`;
    // Where nothing can be there the literal is all that is left: the cast gives it a width.
    if (this.chance(0.5)) {
      const a = this.memberOf(m, kind);
      return (
        a && {
          text: `${kind}(${m.name} ? ${a.text} : ${literal})`,
          run: (e) => (e.maybes.get(m.name) ? a.run(e) : other),
        }
      );
    }
    if (m.header) {
      const fields = m.header.fields.filter((f) => f.kind === kind);
      if (!fields.length) return undefined;
      const f = this.pick(fields);
      const otherwise = f.from ? `${f.from}(${literal})` : literal;
      return {
        text: `${kind}(${f.to}(${m.name}?.${f.name} ?? ${otherwise}))`,
        run: (e) => {
          const v = e.maybes.get(m.name);
          return v ? f.read(v) : other;
        },
      };
    }
    const fields = FIELDS.filter(([n, t]) => kindOf(t) === kind && !n.includes("["));
    const [name, type, off] = this.pick(fields);
    return {
      text: `${kind}(${m.name}?.${name} ?? ${literal})`,
      run: (e) => {
        const v = e.maybes.get(m.name);
        return v ? readField(v, type, off) : other;
      },
    };
  }

  /** A field of what is there. */
  private memberOf(m: Maybe, kind: Kind): Expr | undefined {
    if (!m.header) {
      const fields = FIELDS.filter(([, t]) => kindOf(t) === kind);
      if (!fields.length) return undefined;
      const [name, type, off] = this.pick(fields);
      return { text: `${m.name}.${name}`, run: (e) => readField(e.maybes.get(m.name)!, type, off) };
    }
    const fields = m.header.fields.filter((f) => f.kind === kind);
    if (!fields.length) return undefined;
    const f = this.pick(fields);
    return { text: `${f.to}(${m.name}.${f.name})`, run: (e) => f.read(e.maybes.get(m.name)!) };
  }

  protected shiftLiteral(kind: Kind): Expr {
    const wide = kind === "u64" || kind === "i64";
    const n = BigInt(this.int(wide ? 64 : 32));
    return { text: wide ? `${n}n` : `${n}`, run: () => n };
  }

  protected condition(depth: number): Expr {
    if (this.maybes.length && this.chance(0.25)) return this.presence(depth);
    const r = this.int(7);
    if (depth <= 0 || r === 0) return this.leaf("bool");
    if (r === 3 && this.chance(0.3)) return this.sameTruth(this.condition(depth - 1), this.condition(depth - 1));
    if (r === 1) {
      const a = this.condition(depth - 1);
      return {
        text: `!${a.text.startsWith("(") || /^\w+$/.test(a.text) ? a.text : `(${a.text})`}`,
        run: (e) => (a.run(e) ? 0n : 1n),
      };
    }
    if (r === 2) {
      const op = this.pick(["&&", "||"]);
      const a = this.condition(depth - 1);
      const b = this.condition(depth - 1);
      return {
        text: `(${a.text} ${op} ${b.text})`,
        run: (e) => (op === "&&" ? (a.run(e) ? b.run(e) : 0n) : a.run(e) ? 1n : b.run(e)),
      };
    }
    const kind = this.pick(["u32", "i32", "u64", "i64"] as const);
    const op = this.pick(["===", "!==", "<", "<=", ">", ">="]);
    const a = this.expr(kind, depth - 1);
    let b = this.chance(0.4) ? this.literal(kind) : this.expr(kind, depth - 1);
    // `x < 0` of an unsigned x is refused.
    if ((op === "<" || op === ">=") && /^0n?$/.test(b.text))
      b = { text: kind.endsWith("64") ? "1n" : "1", run: () => 1n };
    return {
      // TypeScript may take `(x) < ((y) > (` for type arguments.
      text: op === "<" && b.text.startsWith("(") ? `((${b.text}) > (${a.text}))` : `((${a.text}) ${op} ${b.text})`,
      run: (e) => {
        const x = a.run(e);
        const y = b.run(e);
        const order = x < y ? -1 : x > y ? 1 : 0;
        const truth = {
          "===": order === 0,
          "!==": order !== 0,
          "<": order < 0,
          "<=": order <= 0,
          ">": order > 0,
          ">=": order >= 0,
        };
        return truth[op as "==="] ? 1n : 0n;
      },
    };
  }
}
