/** Statements: variables, control, and memory of the struct that all share. */
import { Expressions } from "./expressions.ts";
import {
  ARRAY_AT,
  BIT_FIELDS,
  BITS_AT,
  Break,
  Continue,
  type Env,
  type Expr,
  FIELDS,
  kindOf,
  type Num,
  Return,
  readField,
  type Stmt,
  VALUE_SIZE,
  type Var,
  wrap,
  writeField,
} from "./model.ts";

export abstract class Statements extends Expressions {
  protected body(count: number, depth: number): Stmt {
    const vars = this.vars;
    const structs = this.structs;
    this.vars = [...vars];
    this.structs = [...structs];
    const { maybes, holding } = this;
    this.maybes = [...maybes];
    const list: Stmt[] = [];
    for (let k = 0; k < count; k++) list.push(this.statement(depth));
    this.vars = vars;
    this.structs = structs;
    Object.assign(this, { maybes, holding });
    return {
      lines: list.flatMap((s) => s.lines),
      run: (e) => {
        for (const s of list) s.run(e);
      },
    };
  }

  protected statement(depth: number): Stmt {
    if (this.chance(0.3)) {
      const s = this.further(depth);
      if (s) return s;
    }
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

  /** A statement that is not of this file; undefined where it cannot stand here. */
  protected abstract further(depth: number): Stmt | undefined;

  protected declaration(depth: number): Stmt {
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
  protected callbackLoop(depth: number): Stmt {
    // The kernel takes nothing but the stack for the state.
    const own = this.structs.filter((s) => /^s\d/.test(s));
    if (!own.length) return this.structDeclaration();
    const struct = this.pick(own);
    const n = 1 + this.int(6);
    const i = this.name("ix");
    const state = this.name("st");
    const { body, stop } = this.callback([{ name: i, type: "u32", mutable: false }], [state], depth);
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

  /** The body of a function that a helper calls, and when it stops: it sees what it is handed and what is global. */
  protected callback(vars: Var[], structs: string[], depth: number): { body: Stmt; stop: Expr | undefined } {
    const outer = {
      vars: this.vars,
      structs: this.structs,
      maybes: this.maybes,
      header: this.header,
      loops: this.loops,
      silent: this.silent,
    };
    this.vars = vars;
    this.structs = [...structs, ...this.globalStructs.map((g) => g.name)];
    this.maybes = [];
    this.header = false;
    this.loops = [];
    this.silent = true;
    const body = this.body(1 + this.int(3), depth - 1);
    const stop = this.chance(0.4) ? this.condition(1) : undefined;
    Object.assign(this, outer);
    return { body, stop };
  }

  protected globalAssignment(): Stmt {
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

  protected partAssignment(struct: string): Stmt {
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
  protected takeApart(struct: string): Stmt {
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

  protected hashAccess(depth: number): Stmt {
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

  protected assignment(): Stmt {
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

  protected structDeclaration(): Stmt {
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

  protected fieldAssignment(struct: string): Stmt {
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

  protected ifElse(depth: number): Stmt {
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

  protected loop(depth: number): Stmt {
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

  protected leave(): Stmt {
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

  protected mapAccess(depth: number): Stmt {
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

  protected choice(depth: number): Stmt {
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

  protected packetWrite(): Stmt {
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
}
