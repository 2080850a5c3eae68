/** Statements on maps of other kinds, on references, copies and bundles, and tail calls. */
import {
  type Env,
  type Expr,
  FIELDS,
  kindOf,
  type Num,
  Return,
  readField,
  type Stmt,
  VALUE_SIZE,
  wrap,
  writeField,
} from "./model.ts";
import { Packets } from "./packets.ts";

const WIDE: readonly (readonly [string, Num, number])[] = [
  ["a", "u32", 0],
  ["b", "u64", 8],
];
/** Where the inner struct lies. */
const INNER = { at: 40, size: 8 };
const NUMS: readonly Num[] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];

export abstract class Further extends Packets {
  /** What a tail call goes on with. */
  protected second: ((e: Env) => number) | undefined;

  protected further(depth: number): Stmt | undefined {
    const inMain = this.inFunction === undefined;
    switch (this.int(20)) {
      case 0:
        return inMain ? this.pair() : undefined;
      case 1:
        return inMain ? this.innerMap() : undefined;
      case 2:
        return inMain && depth > 0 && !this.holding ? this.forEachValue(depth) : undefined;
      case 3:
        return this.header && this.second && this.loops.length < 2 ? this.tailCall() : undefined;
      case 4:
        return this.header ? this.bytesOfPacket() : undefined;
      case 5:
        return this.atomic();
      case 6:
        return this.structs.length > 1 ? this.copies() : undefined;
      case 7:
        return this.structs.length > 1 && depth > 0 ? this.reference(depth) : undefined;
      case 8:
        return depth > 0 ? this.forOf(depth) : undefined;
      case 9:
        return this.bundle();
      case 10:
        return this.flag();
      case 11:
        return depth > 0 ? this.doWhile(depth) : undefined;
      case 12:
        return this.picked();
      case 13:
      case 14:
        return this.compound();
      default:
        return this.packets(depth);
    }
  }

  /** The map whose keys are tuples. */
  private pair(): Stmt {
    const [a, b, c] = [this.below(this.expr("u32", 1), 1), this.narrow("u16", 1), this.narrow("u8", 1)];
    const text = `[${a.text}, u16(${b.text} & 1), u8(${c.text} & 1)]`;
    const key = (e: Env) => `${a.run(e)} ${b.run(e) & 1n} ${c.run(e) & 1n}`;
    const r = this.int(4);
    if (r === 0) return { lines: [`pairs.delete(${text});`], run: (e) => void e.state.pairs.delete(key(e)) };
    if (r === 1) {
      const name = this.name("v");
      this.vars.push({ name, type: "u64", mutable: true });
      return {
        lines: [`let ${name}: u64 = pairs.lookup(${text})?.value ?? 9n;`],
        run: (e) => void e.vars.set(name, e.state.pairs.get(key(e)) ?? 9n),
      };
    }
    const x = this.expr("u64", 2);
    if (r === 2) {
      const name = this.name("c");
      return {
        lines: [`const ${name} = pairs.lookup(${text});`, `if (${name}) ${name}.value ^= ${x.text};`],
        run: (e) => {
          const at = key(e);
          const old = e.state.pairs.get(at);
          if (old !== undefined) e.state.pairs.set(at, old ^ x.run(e));
        },
      };
    }
    return { lines: [`pairs.update(${text}, ${x.text});`], run: (e) => void e.state.pairs.set(key(e), x.run(e)) };
  }

  /** A number in a map in a map: two of four maps are there, each with four numbers. */
  private innerMap(): Stmt {
    const [m, c] = [this.name("m"), this.name("c")];
    const i = this.below(this.expr("u32", 1), 3);
    const k = this.below(this.expr("u32", 1), 7);
    const x = this.expr("u64", 2);
    const op = this.pick(["+", "^", "-", "|"]);
    return {
      lines: [
        `const ${m} = outer.lookup(${i.text});`,
        `if (${m}) {`,
        `const ${c} = ${m}.lookup(${k.text});`,
        `if (${c}) ${c}.value ${op}= ${x.text};`,
        "}",
      ],
      run: (e) => {
        const inner = e.state.inner[Number(i.run(e))];
        const at = inner ? Number(k.run(e)) : 4;
        if (!inner || at > 3) return;
        const old = inner[at]!;
        const y = x.run(e);
        inner[at] = wrap("u64", op === "+" ? old + y : op === "-" ? old - y : op === "^" ? old ^ y : old | y);
      },
    };
  }

  private forEachValue(depth: number): Stmt {
    const own = this.structs.filter((s) => /^s\d/.test(s));
    if (!own.length) return this.structDeclaration();
    const struct = this.pick(own);
    const [k, value, state] = [this.name("k"), this.name("ev"), this.name("st")];
    const { body, stop } = this.callback([], [value, state], depth);
    return {
      lines: [
        `values.forEach((${k}, ${value}, ${state}) => {`,
        `${state}.a += ${k}.value;`,
        ...body.lines,
        ...(stop ? [`return ${stop.text};`] : []),
        `}, ${struct});`,
      ],
      run: (e) => {
        const s = e.structs.get(struct)!;
        e.structs.set(state, s);
        for (const [n, bytes] of e.map.entries()) {
          e.structs.set(value, new DataView(bytes.buffer, bytes.byteOffset));
          writeField(s, "u32", 0, readField(s, "u32", 0) + BigInt(n));
          body.run(e);
          if (stop?.run(e)) break;
        }
      },
    };
  }

  /** To the second program, or to a slot without one. */
  private tailCall(): Stmt {
    const c = this.condition(1);
    const i = this.below(this.expr("u32", 1), 3);
    const to = this.second!;
    return {
      lines: [`if (${c.text}) next.tailCall(ctx, ${i.text});`],
      run: (e) => {
        if (c.run(e) && i.run(e) === 0n) throw new Return(BigInt(to(e)));
      },
    };
  }

  /** Eight bytes out of the packet by a helper, or into it. */
  private bytesOfPacket(): Stmt {
    const at = this.chance(0.5) ? this.constantOf(90) : this.below(this.expr("u32", 1), 127);
    const [word, status, value] = [this.name("b"), this.name("v"), this.name("v")];
    const put = this.chance(0.4);
    const x = this.expr("u64", 2);
    this.vars.push({ name: status, type: "i32", mutable: false }, { name: value, type: "u64", mutable: false });
    return {
      lines: [
        `const ${word} = Word({ whole: ${x.text} });`,
        `const ${status}: i32 = ${put ? "xdpStoreBytes" : "xdpLoadBytes"}(ctx, ${at.text}, ${word});`,
        `const ${value}: u64 = ${word}.whole;`,
      ],
      run: (e) => {
        let n = x.run(e);
        const from = Number(at.run(e));
        const fits = from + 8 <= e.packet.length;
        e.vars.set(status, fits ? 0n : -22n);
        if (fits) {
          const view = new DataView(e.packet.buffer, e.packet.byteOffset + from, 8);
          if (put) view.setBigUint64(0, n, true);
          else n = view.getBigUint64(0, true);
        }
        e.vars.set(value, n);
      },
    };
  }

  private atomic(): Stmt | undefined {
    if (!this.structs.length) return undefined;
    const struct = this.pick(this.structs);
    const [name, type, off] = this.pick(WIDE);
    const x = this.narrow(type, 2);
    const op = this.pick(["Add", "Or", "And"]);
    return {
      lines: [`atomic${op}(${struct}.${name}, ${x.text});`],
      run: (e) => {
        const y = x.run(e);
        const v = e.structs.get(struct)!;
        const old = readField(v, type, off);
        writeField(v, type, off, op === "Add" ? old + y : op === "Or" ? old | y : old & y);
      },
    };
  }

  private copies(): Stmt {
    const [to, from] = [this.pick(this.structs), this.pick(this.structs)];
    const move = (e: Env, at: number, size: number) => {
      const [a, b] = [e.structs.get(to)!, e.structs.get(from)!];
      const bytes = new Uint8Array(b.buffer, b.byteOffset + at, size).slice();
      new Uint8Array(a.buffer, a.byteOffset + at, size).set(bytes);
    };
    const r = this.int(4);
    if (r === 0) return { lines: [`copy(${to}, ${from});`], run: (e) => move(e, 0, VALUE_SIZE) };
    if (r === 1) return { lines: [`${to}.inner = ${from}.inner;`], run: (e) => move(e, INNER.at, INNER.size) };
    const [what, at, size] = r === 2 ? ["", 0, VALUE_SIZE] : [".inner", INNER.at, INNER.size];
    const name = this.name("f");
    this.vars.push({ name, type: "bool", mutable: false });
    return {
      lines: [`const ${name} = equal(${to}${what}, ${from}${what});`],
      run: (e) => {
        const [a, b] = [e.structs.get(to)!, e.structs.get(from)!];
        let same = 1n;
        for (let k = at; k < at + size; k++) if (a.getUint8(k) !== b.getUint8(k)) same = 0n;
        e.vars.set(name, same);
      },
    };
  }

  /** One of two structs by another name, written through. */
  private reference(depth: number): Stmt {
    const [a, b] = [this.pick(this.structs), this.pick(this.structs)];
    const c = this.condition(2);
    const name = this.name("r");
    const { structs } = this;
    this.structs = [...structs, name];
    const body = this.body(1 + this.int(2), depth - 1);
    this.structs = structs;
    const text = this.chance(0.5) ? `${c.text} ? ${a} : ${b}` : `pick(${c.text}, ${a}, ${b})`;
    return {
      lines: ["{", `const ${name} = ${text};`, ...body.lines, "}"],
      run: (e) => {
        e.structs.set(name, e.structs.get(c.run(e) ? a : b)!);
        body.run(e);
      },
    };
  }

  /** A generic function with numbers of one type. */
  private picked(): Stmt {
    const t = this.pick(NUMS);
    const [a, b, c] = [this.narrow(t, 2), this.narrow(t, 2), this.condition(2)];
    const name = this.name("v");
    this.vars.push({ name, type: t, mutable: true });
    return {
      lines: [`let ${name}: ${t} = pick(${c.text}, ${a.text}, ${b.text});`],
      run: (e) => {
        const [which, x, y] = [c.run(e), a.run(e), b.run(e)];
        e.vars.set(name, which ? x : y);
      },
    };
  }

  /** Over values that are there before the first round. */
  private forOf(depth: number): Stmt {
    const t = this.pick(NUMS);
    const items = Array.from({ length: 1 + this.int(4) }, () => this.narrow(t, 1));
    const name = this.name("x");
    const { vars, loops } = this;
    this.vars = [...vars, { name, type: t, mutable: false }];
    this.loops = [];
    const body = this.body(1 + this.int(2), depth - 1);
    Object.assign(this, { vars, loops });
    return {
      lines: [`for (const ${name} of [${items.map((i) => i.text).join(", ")}]) {`, ...body.lines, "}"],
      run: (e) => {
        for (const v of items.map((i) => i.run(e))) {
          e.vars.set(name, v);
          body.run(e);
        }
      },
    };
  }

  private bundle(): Stmt {
    const parts = Array.from({ length: 2 + this.int(2) }, () => {
      const type = this.pick(NUMS);
      return { type, x: this.narrow(type, 2) };
    });
    const named = parts.map((p) => ({ ...p, name: this.name("d") }));
    for (const { name, type } of named) this.vars.push({ name, type, mutable: false });
    const asObject = this.chance(0.5);
    const names = named.map((n, k) => (asObject ? `p${k}: ${n.name}` : n.name)).join(", ");
    const values = named.map((n, k) => (asObject ? `p${k}: ${n.x.text}` : n.x.text)).join(", ");
    const [open, close] = asObject ? ["{", "}"] : ["[", "]"];
    return {
      lines: [`const ${open} ${names} ${close} = ${open} ${values} ${close};`],
      run: (e) => {
        for (const [k, v] of named.map((n) => n.x.run(e)).entries()) e.vars.set(named[k]!.name, v);
      },
    };
  }

  /** A boolean that changes. */
  private flag(): Stmt {
    const c = this.condition(3);
    const flags = this.vars.filter((v) => v.type === "bool" && v.mutable);
    if (flags.length && this.chance(0.6)) {
      const f = this.pick(flags);
      return { lines: [`${f.name} = ${c.text};`], run: (e) => void e.vars.set(f.name, c.run(e)) };
    }
    const name = this.name("f");
    this.vars.push({ name, type: "bool", mutable: true });
    return { lines: [`let ${name}: boolean = ${c.text};`], run: (e) => void e.vars.set(name, c.run(e)) };
  }

  private doWhile(depth: number): Stmt {
    const n = 1 + this.int(4);
    const i = this.name("n");
    const { vars, loops } = this;
    this.vars = [...vars, { name: i, type: "u32", mutable: false }];
    this.loops = [];
    const body = this.body(1 + this.int(2), depth - 1);
    Object.assign(this, { vars, loops });
    return {
      lines: ["{", `let ${i}: u32 = 0;`, "do {", ...body.lines, `${i}++;`, `} while (${i} < ${n});`, "}"],
      run: (e) => {
        for (let k = 0; k < n; k++) {
          e.vars.set(i, BigInt(k));
          body.run(e);
        }
      },
    };
  }

  /** Every operator on every width, on variables and in memory. */
  private compound(): Stmt | undefined {
    const target = this.target();
    if (!target) return undefined;
    const { type } = target;
    const kind = kindOf(type) as Exclude<ReturnType<typeof kindOf>, "bool">;
    const op = this.pick(["+", "-", "*", "&", "|", "^", "<<", ">>", "/", "%"]);
    const shift = op === "<<" || op === ">>";
    const bits = kind.endsWith("64") ? 64n : 32n;
    const unsigned = kind === "i64" ? "u64" : kind === "i32" ? "u32" : kind;
    const x: Expr = shift
      ? this.chance(0.6)
        ? this.shiftLiteral(kind)
        : this.leaf(unsigned)
      : this.chance(0.3) && op !== "/" && op !== "%"
        ? this.literal(kind)
        : this.expr(kind, 2);
    if ((op === "/" || op === "%") && /^\(?-?0n?\)?$/.test(x.text)) return undefined;
    return {
      lines: [`${target.text} ${op}= ${x.text};`],
      run: (e) => {
        const old = target.get(e);
        const y = shift ? BigInt.asUintN(64, x.run(e)) & (bits - 1n) : wrap(kind, x.run(e));
        const results: Record<string, () => bigint> = {
          "+": () => old + y,
          "-": () => old - y,
          "*": () => old * y,
          "&": () => old & y,
          "|": () => old | y,
          "^": () => old ^ y,
          "<<": () => wrap(kind, old << y),
          ">>": () => old >> y,
          "/": () => (y === 0n ? 0n : wrap(kind, old / y)),
          "%": () => (y === 0n ? old : wrap(kind, old % y)),
        };
        target.set(e, wrap(type, results[op]!()));
      },
    };
  }

  private target(): { text: string; type: Num; get: (e: Env) => bigint; set: (e: Env, v: bigint) => void } | undefined {
    const r = this.int(3);
    if (r === 0 && this.globals.length) {
      const { name, type } = this.pick(this.globals);
      return {
        text: name,
        type,
        get: (e) => e.state.numbers.get(name)!,
        set: (e, v) => void e.state.numbers.set(name, v),
      };
    }
    const vars = this.vars.filter((v) => v.mutable && v.type !== "bool");
    if (r === 1 && vars.length) {
      const { name, type } = this.pick(vars);
      return {
        text: name,
        type: type as Num,
        get: (e) => e.vars.get(name)!,
        set: (e, v) => void e.vars.set(name, v),
      };
    }
    if (!this.structs.length) return undefined;
    const struct = this.pick(this.structs);
    const [name, type, off] = this.pick(FIELDS);
    return {
      text: `${struct}.${name}`,
      type,
      get: (e) => readField(e.structs.get(struct)!, type, off),
      set: (e, v) => writeField(e.structs.get(struct)!, type, off, v),
    };
  }
}
