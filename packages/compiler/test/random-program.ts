/**
 * Random well-typed programs with what they must do: each piece is made as text and as a function that evaluates it on
 * bigints by the language's rules, so that the compiler is compared with an evaluation that shares no code with it.
 */

export type Num = "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64";
type Kind = "u32" | "i32" | "u64" | "i64" | "bool";

/** The state that a run works on. */
export interface World {
  readonly packet: Uint8Array;
  /** The array map's values, as bytes. */
  readonly map: Uint8Array[];
  /** What outlives a run; `freshState` makes it. */
  readonly state: State;
}
/** Global variables and structs by name, and the hash map's entries. */
export interface State {
  readonly numbers: Map<string, bigint>;
  readonly structs: Map<string, DataView>;
  readonly hash: Map<number, Uint8Array>;
}
interface Env extends World {
  readonly vars: Map<string, bigint>;
  readonly structs: Map<string, DataView>;
}
interface Expr {
  readonly text: string;
  readonly run: (e: Env) => bigint;
}
interface Stmt {
  readonly lines: readonly string[];
  readonly run: (e: Env) => void;
}
/** Leaves the innermost loop, or the one of the label. */
class Break extends Error {
  readonly label: string | undefined;
  constructor(label?: string) {
    super();
    this.label = label;
  }
}
class Continue extends Break {}
class Return extends Error {
  readonly value: bigint;
  constructor(value: bigint) {
    super();
    this.value = value;
  }
}

export interface RandomProgram {
  readonly source: string;
  /** What its first run finds. */
  readonly freshState: () => State;
  /** Types of the global numbers, by name. */
  readonly globals: ReadonlyMap<string, Num>;
  /** Runs it on the world, in place; returns the verdict. */
  readonly run: (w: World) => number;
}

const FIELDS: readonly (readonly [string, Num, number])[] = [
  ["a", "u32", 0],
  ["b", "u64", 8],
  ["c", "u16", 16],
  ["d", "i32", 20],
  ["e", "u8", 24],
  ["f", "i16", 26],
  ["g", "i64", 32],
  ["inner.x", "u8", 40],
  ["inner.y", "i32", 44],
];
/** An array of u16 and two bit fields behind them. */
const ARRAY_AT = 48;
const BITS_AT = 56;
const BIT_FIELDS: readonly (readonly [name: string, shift: number, width: number])[] = [
  ["k", 0, 5],
  ["l", 5, 17],
];
export const VALUE_SIZE = 64;
const TABLE_SIZE = 8;
export const MAP_ENTRIES = 4;
export const PACKET_SIZE = 64;

export function wrap(t: Num, v: bigint): bigint {
  const bits = Number(t.slice(1));
  return t[0] === "u" ? BigInt.asUintN(bits, v) : BigInt.asIntN(bits, v);
}

function kindOf(t: Num): Kind {
  if (t === "u64" || t === "i64") return t;
  return t[0] === "u" ? "u32" : "i32";
}

/** A generator of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = s;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Var {
  readonly name: string;
  readonly type: Num | "bool";
  readonly mutable: boolean;
}
interface Fn {
  readonly name: string;
  /** It takes a struct first. */
  readonly struct: boolean;
  readonly params: readonly Num[];
  readonly returns: Num;
  /** undefined only where `maybe`. */
  readonly maybe: boolean;
  readonly run: (args: readonly bigint[], struct: DataView | undefined, w: World) => bigint | undefined;
}

export function randomProgram(seed: number): RandomProgram {
  return new Generator(seeded(seed)).program();
}

class Generator {
  private readonly rand: () => number;
  private vars: Var[] = [];
  private structs: string[] = [];
  private readonly fns: Fn[] = [];
  private readonly globals: { name: string; type: Num; value: bigint }[] = [];
  private readonly globalStructs: { name: string; make: () => DataView }[] = [];
  private readonly table: bigint[] = [];
  private names = 0;
  private loops: string[] = [];
  /** In a body that holds a reference into the hash map: its entries stay. */
  private holding = 0;
  private header = false;
  private inFunction: Num | undefined;
  /** In a function that gives nothing. */
  private silent = false;

  constructor(rand: () => number) {
    this.rand = rand;
  }

  private int(n: number): number {
    return Math.floor(this.rand() * n);
  }
  private pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }
  private chance(p: number): boolean {
    return this.rand() < p;
  }
  private name(prefix: string): string {
    return `${prefix}${this.names++}`;
  }

  // ---- expressions ----

  private literal(kind: Kind): Expr {
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

  private leaf(kind: Kind): Expr {
    const shared = this.globals.filter((g) => kindOf(g.type) === kind);
    if (shared.length && this.chance(0.15)) {
      const g = this.pick(shared);
      return { text: g.name, run: (e) => e.state.numbers.get(g.name)! };
    }
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

  private fieldOf(struct: string, [name, type, off]: readonly [string, Num, number]): Expr {
    return { text: `${struct}.${name}`, run: (e) => readField(e.structs.get(struct)!, type, off) };
  }

  /** An element or a bit field. */
  private partOf(struct: string): Expr {
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

  private headerField(kind: Kind): Expr {
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

  private expr(kind: Kind, depth: number): Expr {
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

  private call(f: Fn, depth: number): Expr {
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
  private narrow(t: Num, depth: number): Expr {
    const a = this.expr(kindOf(t), depth);
    return { text: `${t}(${a.text})`, run: (e) => wrap(t, a.run(e)) };
  }

  private cast(kind: Kind, depth: number): Expr {
    const from = this.pick(["u32", "i32", "u64", "i64", "bool"] as const);
    const a = this.expr(from, depth - 1);
    const all: Num[] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    const to = this.pick(all.filter((t) => kindOf(t) === kind));
    return { text: `${to}(${a.text})`, run: (e) => wrap(to, a.run(e)) };
  }

  private binary(kind: Exclude<Kind, "bool">, depth: number): Expr {
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

  private shiftLiteral(kind: Kind): Expr {
    const wide = kind === "u64" || kind === "i64";
    const n = BigInt(this.int(wide ? 64 : 32));
    return { text: wide ? `${n}n` : `${n}`, run: () => n };
  }

  private condition(depth: number): Expr {
    const r = this.int(7);
    if (depth <= 0 || r === 0) return this.leaf("bool");
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
      text: `((${a.text}) ${op} ${b.text})`,
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

  // ---- statements ----

  private body(count: number, depth: number): Stmt {
    const vars = this.vars;
    const structs = this.structs;
    this.vars = [...vars];
    this.structs = [...structs];
    const list: Stmt[] = [];
    for (let k = 0; k < count; k++) list.push(this.statement(depth));
    this.vars = vars;
    this.structs = structs;
    return {
      lines: list.flatMap((s) => s.lines),
      run: (e) => {
        for (const s of list) s.run(e);
      },
    };
  }

  private statement(depth: number): Stmt {
    const r = this.int(depth > 0 ? 17 : 6);
    switch (r) {
      case 0:
      case 1:
        return this.declaration(depth);
      case 2:
      case 3:
        return this.assignment();
      case 4:
        return this.structs.length ? this.fieldAssignment(this.pick(this.structs)) : this.declaration(depth);
      case 5:
        return this.structDeclaration();
      case 6:
      case 7:
        return this.ifElse(depth);
      case 8:
        return this.loop(depth);
      case 9:
        return this.mapAccess(depth);
      case 10:
        return this.choice(depth);
      case 11:
        return this.packetWrite();
      case 12:
        return this.structs.length ? this.partAssignment(this.pick(this.structs)) : this.declaration(depth);
      case 13:
        return this.hashAccess(depth);
      case 15:
        return this.callbackLoop(depth);
      case 14:
        return this.structs.length ? this.takeApart(this.pick(this.structs)) : this.assignment();
      default:
        if (this.chance(0.25)) return this.leave();
        return this.assignment();
    }
  }

  private declaration(depth: number): Stmt {
    const name = this.name("v");
    if (this.chance(0.15)) {
      const c = this.condition(2);
      this.vars.push({ name, type: "bool", mutable: false });
      return { lines: [`const ${name} = ${c.text};`], run: (e) => void e.vars.set(name, c.run(e)) };
    }
    const t = this.pick(["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"] as const);
    const v = this.narrow(t, 2 + depth);
    const mutable = this.chance(0.7);
    this.vars.push({ name, type: t, mutable });
    return {
      lines: [`${mutable ? "let" : "const"} ${name}: ${t} = ${v.text};`],
      run: (e) => void e.vars.set(name, v.run(e)),
    };
  }

  /** `bpfLoop`: its function sees the index, its state and what is global. */
  private callbackLoop(depth: number): Stmt {
    // The kernel takes nothing but the stack for the state.
    const own = this.structs.filter((s) => /^s\d/.test(s));
    if (!own.length) return this.structDeclaration();
    const struct = this.pick(own);
    const n = 1 + this.int(6);
    const i = this.name("ix");
    const state = this.name("st");
    const outer = {
      vars: this.vars,
      structs: this.structs,
      header: this.header,
      loops: this.loops,
      silent: this.silent,
    };
    this.vars = [{ name: i, type: "u32", mutable: false }];
    this.structs = [state, ...this.globalStructs.map((g) => g.name)];
    this.header = false;
    this.loops = [];
    this.silent = true;
    const body = this.body(1 + this.int(3), depth - 1);
    const stop = this.chance(0.4) ? this.condition(1) : undefined;
    Object.assign(this, outer);
    return {
      lines: [
        `bpfLoop(${n}, (${i}, ${state}) => {`,
        ...body.lines,
        ...(stop ? [`return ${stop.text};`] : []),
        `}, ${struct});`,
      ],
      run: (e) => {
        e.structs.set(state, e.structs.get(struct)!);
        for (let k = 0; k < n; k++) {
          e.vars.set(i, BigInt(k));
          body.run(e);
          if (stop?.run(e)) break;
        }
      },
    };
  }

  private globalAssignment(): Stmt {
    const g = this.pick(this.globals);
    const x = this.expr(kindOf(g.type), 2);
    const op = this.pick(["+", "-", "^", ""]);
    const text = op ? x.text : `${g.type}(${x.text})`;
    return {
      lines: [`${g.name} ${op}= ${text};`],
      run: (e) => {
        const old = e.state.numbers.get(g.name)!;
        const y = x.run(e);
        const v = op === "+" ? old + y : op === "-" ? old - y : op === "^" ? old ^ y : y;
        e.state.numbers.set(g.name, wrap(g.type, v));
      },
    };
  }

  private partAssignment(struct: string): Stmt {
    if (this.chance(0.5)) {
      const [name, shift, width] = this.pick(BIT_FIELDS);
      const mask = 2 ** width - 1;
      const v = this.expr("u32", 2);
      return {
        lines: [`${struct}.${name} = ${v.text} & ${mask};`],
        run: (e) => {
          const view = e.structs.get(struct)!;
          const bits = Number(v.run(e) & BigInt(mask));
          const rest = view.getUint32(BITS_AT, true) & ~(mask << shift);
          view.setUint32(BITS_AT, (rest | (bits << shift)) >>> 0, true);
        },
      };
    }
    const i = this.expr("u32", 1);
    const v = this.narrow("u16", 2);
    return {
      lines: [`${struct}.h[${i.text} & 3] = ${v.text};`],
      run: (e) => {
        const at = ARRAY_AT + 2 * Number(i.run(e) & 3n);
        e.structs.get(struct)!.setUint16(at, Number(v.run(e)), true);
      },
    };
  }

  /** `const { a: x, b: y } = s;` */
  private takeApart(struct: string): Stmt {
    const fields = FIELDS.filter(([n]) => !n.includes(".") && this.chance(0.3));
    const names = fields.map(() => this.name("d"));
    for (const [k, [, type]] of fields.entries()) this.vars.push({ name: names[k]!, type, mutable: false });
    if (!fields.length) return this.assignment();
    return {
      lines: [`const { ${fields.map(([n], k) => `${n}: ${names[k]}`).join(", ")} } = ${struct};`],
      run: (e) => {
        for (const [k, [, type, off]] of fields.entries()) {
          e.vars.set(names[k]!, readField(e.structs.get(struct)!, type, off));
        }
      },
    };
  }

  private hashAccess(depth: number): Stmt {
    if (this.inFunction !== undefined) return this.assignment();
    const key = this.expr("u32", 1);
    const of = (e: Env) => Number(key.run(e) & 3n);
    if (!this.holding && this.chance(0.3)) {
      return { lines: [`entries.delete(${key.text} & 3);`], run: (e) => void e.state.hash.delete(of(e)) };
    }
    if (!this.holding && this.structs.length && this.chance(0.6)) {
      const from = this.pick(this.structs);
      return {
        lines: [`entries.update(${key.text} & 3, ${from});`],
        run: (e) => {
          const v = e.structs.get(from)!;
          e.state.hash.set(of(e), new Uint8Array(v.buffer, v.byteOffset, VALUE_SIZE).slice());
        },
      };
    }
    const name = this.name("t");
    const structs = this.structs;
    this.structs = [...structs, name];
    this.holding++;
    const body = this.body(1 + this.int(3), depth - 1);
    this.holding--;
    this.structs = structs;
    const no = this.chance(0.5) ? this.body(1, depth - 1) : undefined;
    return {
      lines: [
        `const ${name} = entries.lookup(${key.text} & 3);`,
        `if (${name}) {`,
        ...body.lines,
        ...(no ? ["} else {", ...no.lines] : []),
        "}",
      ],
      run: (e) => {
        const bytes = e.state.hash.get(of(e));
        if (!bytes) return no?.run(e);
        e.structs.set(name, new DataView(bytes.buffer, bytes.byteOffset));
        return body.run(e);
      },
    };
  }

  private assignment(): Stmt {
    if (this.globals.length && this.chance(0.15)) return this.globalAssignment();
    const targets = this.vars.filter((v) => v.mutable && v.type !== "bool");
    if (!targets.length) return this.declaration(1);
    const v = this.pick(targets);
    const t = v.type as Num;
    const kind = kindOf(t);
    if (this.chance(0.3)) {
      const up = this.chance(0.5);
      return {
        lines: [`${v.name}${up ? "++" : "--"};`],
        run: (e) => void e.vars.set(v.name, wrap(t, e.vars.get(v.name)! + (up ? 1n : -1n))),
      };
    }
    if (this.chance(0.5)) {
      const op = this.pick(["+", "-", "*", "&", "|", "^"]);
      const x = this.expr(kind, 2);
      return {
        lines: [`${v.name} ${op}= ${x.text};`],
        run: (e) => {
          const old = e.vars.get(v.name)!;
          const y = x.run(e);
          const all: Record<string, bigint> = {
            "+": old + y,
            "-": old - y,
            "*": old * y,
            "&": old & y,
            "|": old | y,
            "^": old ^ y,
          };
          e.vars.set(v.name, wrap(t, all[op]!));
        },
      };
    }
    const x = this.narrow(t, 3);
    return { lines: [`${v.name} = ${x.text};`], run: (e) => void e.vars.set(v.name, x.run(e)) };
  }

  private structDeclaration(): Stmt {
    const name = this.name("s");
    const inits = FIELDS.filter(([n]) => !n.includes(".") && this.chance(0.5)).map((f) => ({
      f,
      v: this.narrow(f[1], 1),
    }));
    const copyFrom = this.structs.length && this.chance(0.2) ? this.pick(this.structs) : undefined;
    this.structs.push(name);
    if (copyFrom) {
      return {
        lines: [`const ${name} = Value(${copyFrom});`],
        run: (e) => {
          const from = e.structs.get(copyFrom)!;
          const bytes = new Uint8Array(from.buffer, from.byteOffset, VALUE_SIZE).slice();
          e.structs.set(name, new DataView(bytes.buffer));
        },
      };
    }
    return {
      lines: [`const ${name} = Value({ ${inits.map(({ f, v }) => `${f[0]}: ${v.text}`).join(", ")} });`],
      run: (e) => {
        const view = new DataView(new ArrayBuffer(VALUE_SIZE));
        for (const { f, v } of inits) writeField(view, f[1], f[2], v.run(e));
        e.structs.set(name, view);
      },
    };
  }

  private fieldAssignment(struct: string): Stmt {
    const [name, type, off] = this.pick(FIELDS);
    const v = this.narrow(type, 2);
    if (this.chance(0.4)) {
      const op = this.pick(["+", "^", "-"]);
      const x = this.expr(kindOf(type), 1);
      return {
        lines: [`${struct}.${name} ${op}= ${x.text};`],
        run: (e) => {
          const view = e.structs.get(struct)!;
          const old = readField(view, type, off);
          const y = x.run(e);
          writeField(view, type, off, op === "+" ? old + y : op === "-" ? old - y : old ^ y);
        },
      };
    }
    return {
      lines: [`${struct}.${name} = ${v.text};`],
      run: (e) => writeField(e.structs.get(struct)!, type, off, v.run(e)),
    };
  }

  private ifElse(depth: number): Stmt {
    const c = this.condition(2);
    const yes = this.body(1 + this.int(3), depth - 1);
    const no = this.chance(0.5) ? this.body(1 + this.int(2), depth - 1) : undefined;
    return {
      lines: [`if (${c.text}) {`, ...yes.lines, ...(no ? ["} else {", ...no.lines] : []), "}"],
      run: (e) => {
        if (c.run(e)) yes.run(e);
        else no?.run(e);
      },
    };
  }

  private loop(depth: number): Stmt {
    const n = 1 + this.int(5);
    const i = this.name("n");
    const label = this.name("loop");
    const outer = this.vars;
    this.vars = [...outer, { name: i, type: "u32", mutable: false }];
    this.loops.push(label);
    const body = this.body(1 + this.int(3), depth - 1);
    this.loops.pop();
    this.vars = outer;
    const form = this.int(4);
    const named = body.lines.some((l) => l.includes(` ${label};`)) ? `${label}: ` : "";
    const [lines, tail] =
      form === 0
        ? [[`${named}for (const ${i} of range(${n})) {`], "}"]
        : form === 1 && !body.lines.some((l) => l.includes("continue"))
          ? [[`let ${i}: u32 = 0;`, `${named}while (${i} < ${n}) {`], `${i}++; }`]
          : [[`${named}for (let ${i}: u32 = 0; ${i} < ${n}; ${i}++) {`], "}"];
    return {
      lines: form === 1 ? ["{", ...lines, ...body.lines, tail, "}"] : [...lines, ...body.lines, tail],
      run: (e) => {
        for (let k = 0; k < n; k++) {
          e.vars.set(i, BigInt(k));
          try {
            body.run(e);
          } catch (x) {
            if (!(x instanceof Break) || (x.label !== undefined && x.label !== label)) throw x;
            if (!(x instanceof Continue)) break;
          }
        }
      },
    };
  }

  private leave(): Stmt {
    if (this.loops.length && this.chance(0.7)) {
      const c = this.condition(1);
      const brk = this.chance(0.5);
      const label = this.chance(0.4) ? this.pick(this.loops) : undefined;
      return {
        lines: [`if (${c.text}) ${brk ? "break" : "continue"}${label ? ` ${label}` : ""};`],
        run: (e) => {
          if (c.run(e)) throw brk ? new Break(label) : new Continue(label);
        },
      };
    }
    if (this.silent) return this.assignment();
    const c = this.condition(2);
    const t = this.inFunction ?? "u32";
    const v = this.narrow(t, 1);
    return {
      lines: [`if (${c.text}) return ${v.text};`],
      run: (e) => {
        if (c.run(e)) throw new Return(v.run(e));
      },
    };
  }

  private mapAccess(depth: number): Stmt {
    if (this.inFunction !== undefined) return this.assignment();
    const key = this.expr("u32", 1);
    const name = this.name("m");
    const structs = this.structs;
    this.structs = [...structs, name];
    const body = this.body(1 + this.int(3), depth - 1);
    this.structs = structs;
    const write = this.structs.length && this.chance(0.3) ? this.pick(this.structs) : undefined;
    return {
      lines: [
        `const ${name} = values.lookup(${key.text} & 3);`,
        `if (${name}) {`,
        ...body.lines,
        "}",
        ...(write ? [`values.update(${key.text} & 3, ${write});`] : []),
      ],
      run: (e) => {
        const bytes = e.map[Number(key.run(e) & 3n)]!;
        e.structs.set(name, new DataView(bytes.buffer, bytes.byteOffset));
        body.run(e);
        if (write) {
          const from = e.structs.get(write)!;
          e.map[Number(key.run(e) & 3n)]!.set(new Uint8Array(from.buffer, from.byteOffset, VALUE_SIZE).slice());
        }
      },
    };
  }

  private choice(depth: number): Stmt {
    const v = this.expr("u32", 2);
    const values = [...new Set([0, 1, 2, this.int(300)])];
    const arms = values.map((n) => ({
      n: BigInt(n),
      body: this.body(1 + this.int(2), depth - 1),
      falls: this.chance(0.2),
    }));
    const fallback = this.chance(0.6) ? this.body(1, depth - 1) : undefined;
    // `break` inside an arm would leave the switch, not the loop: arms are made without one.
    return {
      lines: [
        `switch (${v.text} & 3) {`,
        ...arms.flatMap((a) => [`case ${a.n}: {`, ...a.body.lines, "}", ...(a.falls ? [] : ["break;"])]),
        ...(fallback ? ["default: {", ...fallback.lines, "}"] : []),
        "}",
      ],
      run: (e) => {
        const x = v.run(e) & 3n;
        let at = arms.findIndex((a) => a.n === x);
        try {
          if (at < 0) return fallback?.run(e);
          for (; at < arms.length; at++) {
            arms[at]!.body.run(e);
            if (!arms[at]!.falls) return;
          }
          fallback?.run(e);
        } catch (err) {
          if (!(err instanceof Break) || err instanceof Continue || err.label !== undefined) throw err;
        }
      },
    };
  }

  private packetWrite(): Stmt {
    if (!this.header) return this.assignment();
    const which = this.int(3);
    if (which === 0) {
      const v = this.expr("u32", 2);
      return {
        lines: [`head.w = htonl(${v.text});`],
        run: (e) => new DataView(e.packet.buffer).setUint32(4, Number(v.run(e))),
      };
    }
    if (which === 1) {
      const v = this.narrow("u8", 2);
      return { lines: [`head.y = ${v.text};`], run: (e) => void (e.packet[0] = Number(v.run(e))) };
    }
    const v = this.expr("u32", 1);
    return {
      lines: [`head.n3 = ${v.text} & 7;`],
      run: (e) => void (e.packet[1] = (e.packet[1]! & 0x1f) | (Number(v.run(e) & 7n) << 5)),
    };
  }

  // ---- the whole ----

  private makeFunction(): string[] {
    const name = this.name("f");
    const types: Num[] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    const form = this.pick(["inline", "subprog", "subprog.global"] as const);
    const struct = this.chance(0.4) ? this.name("q") : undefined;
    const params = Array.from({ length: 1 + this.int(3) }, () => this.pick(types));
    const returns = this.pick(types);
    // A subprogram has one register for its result: an optional number takes two.
    const maybe = form === "inline" && this.chance(0.3);
    const names = params.map(() => this.name("p"));
    this.vars = params.map((type, k) => ({ name: names[k]!, type, mutable: this.chance(0.5) }));
    this.structs = [...(struct ? [struct] : []), ...this.globalStructs.map((g) => g.name)];
    this.inFunction = returns;
    const body = this.body(1 + this.int(3), 2);
    const gone = maybe ? this.condition(2) : undefined;
    const result = this.narrow(returns, 2);
    this.inFunction = undefined;
    this.fns.push({
      name,
      struct: struct !== undefined,
      params,
      returns,
      maybe,
      run: (args, given, w) => {
        const vars = new Map(args.map((a, k) => [names[k]!, a]));
        const structs = new Map(w.state.structs);
        if (struct) structs.set(struct, given!);
        const e: Env = { packet: w.packet, map: w.map, state: w.state, vars, structs };
        try {
          body.run(e);
          if (gone?.run(e)) return undefined;
        } catch (x) {
          if (x instanceof Return) return x.value;
          throw x;
        }
        return result.run(e);
      },
    });
    const list = [...(struct ? [`${struct}: Value`] : []), ...params.map((t, k) => `${names[k]}: ${t}`)].join(", ");
    const ends = [...(gone ? [`if (${gone.text}) return undefined;`] : []), `return ${result.text};`];
    if (form === "inline") {
      return [`function ${name}(${list}): ${returns}${maybe ? " | undefined" : ""} {`, ...body.lines, ...ends, "}"];
    }
    return [`const ${name} = ${form}((${list}): ${returns} => {`, ...body.lines, ...ends, "});"];
  }

  private makeGlobals(): string[] {
    const lines: string[] = [];
    const types: Num[] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    for (let k = this.int(4); k > 0; k--) {
      const type = this.pick(types);
      const name = this.name("g");
      const value = this.chance(0.4) ? 0n : wrap(type, BigInt(this.int(100)) - (type[0] === "i" ? 50n : 0n));
      this.globals.push({ name, type, value });
      lines.push(`let ${name}: ${type} = ${value}${type.endsWith("64") ? "n" : ""};`);
    }
    if (this.chance(0.4)) {
      const name = this.name("gs");
      const inits = FIELDS.filter(([n]) => !n.includes(".") && this.chance(0.4)).map(([n, t, off]) => ({
        n,
        t,
        off,
        v: wrap(t, BigInt(this.int(120))),
      }));
      const elements = this.chance(0.5) ? [1n, 2n, 3n] : [];
      const bits = this.chance(0.5) ? 21n : 0n;
      const text = inits.map(({ n, t, v }) => `${n}: ${v}${t.endsWith("64") ? "n" : ""}`);
      if (elements.length) text.push(`h: [${elements.join(", ")}]`);
      if (bits) text.push(`k: ${bits}, l: ${bits}`);
      lines.push(`const ${name} = Value({ ${text.join(", ")} });`);
      const make = () => {
        const view = new DataView(new ArrayBuffer(VALUE_SIZE));
        for (const { t, off, v } of inits) writeField(view, t, off, v);
        for (const [k, v] of elements.entries()) view.setUint16(ARRAY_AT + 2 * k, Number(v), true);
        view.setUint32(BITS_AT, Number(bits | (bits << 5n)), true);
        return view;
      };
      this.globalStructs.push({ name, make });
    }
    return lines;
  }

  program(): RandomProgram {
    for (let k = 0; k < TABLE_SIZE; k++) this.table.push(BigInt(this.int(2 ** 31)));
    const globals = this.makeGlobals();
    const functions = Array.from({ length: this.int(4) }, () => this.makeFunction());
    this.vars = [];
    this.structs = this.globalStructs.map((g) => g.name);
    this.header = true;
    const first = [this.declaration(1), this.declaration(1)];
    const body = this.body(3 + this.int(6), 3);
    const result = this.narrow("u32", 3);
    const plain = FIELDS.filter(([n]) => !n.includes("."));
    const source = [
      'import { array, arrayOf, be16, be32, be64, bits, bpfLoop, hash, header, htonl, i8, i16, i32, i64, ntohl, ntohll, ntohs, range, struct, subprog, table, u8, u16, u32, u64, xdp, type Infer } from "ebplane/bpf";',
      "const Inner = struct({ x: u8, y: i32 });",
      `const Value = struct({ ${plain.map(([n, t]) => `${n}: ${t}`).join(", ")}, inner: Inner, h: arrayOf(u16, 4), k: bits(5), l: bits(17) });`,
      "type Value = Infer<typeof Value>;",
      `export const values = array(Value, { maxEntries: ${MAP_ENTRIES} });`,
      "export const entries = hash(u32, Value, { maxEntries: 16 });",
      `const TABLE = table(u32, [${this.table.join(", ")}]);`,
      "const Head = header({ y: u8, n3: bits(3), n5: bits(5), h: be16, w: be32, q: be64, n7: bits(7), n13: bits(13), n12: bits(12) });",
      ...globals,
      ...functions.flat(),
      "export const main = xdp((ctx) => {",
      "const head = ctx.header(Head);",
      "if (!head) return 0;",
      ...first.flatMap((s) => s.lines),
      ...body.lines,
      `return ${result.text};`,
      "});",
      "",
    ].join("\n");
    return {
      source,
      globals: new Map(this.globals.map((g) => [g.name, g.type])),
      freshState: () => ({
        numbers: new Map(this.globals.map((g) => [g.name, g.value])),
        structs: new Map(this.globalStructs.map((g) => [g.name, g.make()])),
        hash: new Map(),
      }),
      run: (w) => {
        const e: Env = { ...w, vars: new Map(), structs: new Map(w.state.structs) };
        try {
          for (const s of first) s.run(e);
          body.run(e);
          return Number(result.run(e));
        } catch (x) {
          if (x instanceof Return) return Number(x.value);
          throw x;
        }
      },
    };
  }
}

function readField(v: DataView, t: Num, off: number): bigint {
  switch (t) {
    case "u8":
      return BigInt(v.getUint8(off));
    case "u16":
      return BigInt(v.getUint16(off, true));
    case "u32":
      return BigInt(v.getUint32(off, true));
    case "u64":
      return v.getBigUint64(off, true);
    case "i8":
      return BigInt(v.getInt8(off));
    case "i16":
      return BigInt(v.getInt16(off, true));
    case "i32":
      return BigInt(v.getInt32(off, true));
    case "i64":
      return v.getBigInt64(off, true);
  }
}

function writeField(v: DataView, t: Num, off: number, x: bigint): void {
  const size = Number(t.slice(1)) / 8;
  const bits = BigInt.asUintN(64, x);
  for (let k = 0; k < size; k++) v.setUint8(off + k, Number((bits >> BigInt(k * 8)) & 0xffn));
}
