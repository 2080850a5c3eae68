/**
 * Random well-typed programs with what they must do: each piece is made as text and as a function that evaluates it on
 * bigints by the language's rules, so that the compiler is compared with an evaluation that shares no code with it.
 */

import { Further } from "./random/further.ts";
import {
  ARRAY_AT,
  BITS_AT,
  type Env,
  FIELDS,
  MAP_ENTRIES,
  type Num,
  Return,
  type State,
  seeded,
  TABLE_SIZE,
  VALUE_SIZE,
  type World,
  wrap,
  writeField,
} from "./random/model.ts";
import { HEADER_LINES } from "./random/packets.ts";

export interface RandomProgram {
  readonly source: string;
  /** What its first run finds. */
  readonly freshState: () => State;
  /** Types of the global numbers, by name. */
  readonly globals: ReadonlyMap<string, Num>;
  /** Runs it on the world, in place; returns the verdict. */
  readonly run: (w: World) => number;
}

export function randomProgram(seed: number): RandomProgram {
  return new Generator(seeded(seed)).program();
}

/** Bytes of the header that every program begins with. */
const HEAD_SIZE = 20;

class Generator extends Further {
  private makeFunction(): string[] {
    const name = this.name("f");
    const types: Num[] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    const form = this.pick(["inline", "subprog", "subprog.global"] as const);
    const struct = this.chance(0.4) ? this.name("q") : undefined;
    const params = Array.from({ length: 1 + this.int(struct ? 4 : 5) }, () => this.pick(types));
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
        const e: Env = { packet: w.packet, map: w.map, state: w.state, vars, structs, maybes: new Map() };
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
    const second = this.chance(0.3) ? this.packetProgram(2 + this.int(2)) : undefined;
    this.second = second?.run;
    const main = this.packetProgram(3 + this.int(6));
    const plain = FIELDS.filter(([n]) => !n.includes("."));
    const source = [
      'import { array, arrayOf, arrayOfMaps, atomicAdd, atomicAnd, atomicOr, be16, be32, be64, bits, bpfLoop, bytes, copy, equal, hash, header, htonl, i8, i16, i32, i64, ntohl, ntohll, ntohs, progArray, protocols, range, repeat, struct, subprog, table, tuple, u8, u16, u32, u64, union, xdp, xdpLoadBytes, xdpStoreBytes, type Infer, type ProgArray } from "ebplane/bpf";',
      "const Inner = struct({ x: u8, y: i32 });",
      "const Word = union({ whole: u64, half: arrayOf(u32, 2), quarter: arrayOf(u16, 4), b: bytes(8) });",
      `const Value = struct({ ${plain.map(([n, t]) => `${n}: ${t}`).join(", ")}, inner: Inner, h: arrayOf(u16, 4), k: bits(5), l: bits(17), w: Word });`,
      "type Value = Infer<typeof Value>;",
      `export const values = array(Value, { maxEntries: ${MAP_ENTRIES} });`,
      "export const entries = hash(u32, Value, { maxEntries: 16 });",
      "export const pairs = hash(tuple(u32, u16, u8), u64, { maxEntries: 16 });",
      "export const one = array(u64, { maxEntries: 4 });",
      "export const two = array(u64, { maxEntries: 4 });",
      "export const outer = arrayOfMaps(one, { maxEntries: 4, maps: [one, two] });",
      "function pick<T>(which: boolean, a: T, b: T): T { return which ? a : b; }",
      `const TABLE = table(u32, [${this.table.join(", ")}]);`,
      ...HEADER_LINES,
      "const Head = header({ y: u8, n3: bits(3), n5: bits(5), h: be16, w: be32, q: be64, n7: bits(7), n13: bits(13), n12: bits(12) });",
      ...globals,
      ...functions.flat(),
      ...(second
        ? [
            "export const second = xdp((ctx) => {",
            ...second.lines,
            "});",
            "export const next: ProgArray = progArray({ maxEntries: 4, programs: [second] });",
          ]
        : []),
      "export const main = xdp((ctx) => {",
      ...main.lines,
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
        pairs: new Map(),
        inner: [0, 1].map(() => [0n, 0n, 0n, 0n]),
      }),
      run: main.run,
    };
  }

  /** The body of a program that begins with a header, and what it gives. */
  private packetProgram(statements: number): { readonly lines: readonly string[]; readonly run: (w: World) => number } {
    this.vars = [];
    this.structs = this.globalStructs.map((g) => g.name);
    this.maybes = [];
    this.header = true;
    const first = [this.declaration(1), this.declaration(1)];
    const body = this.body(statements, 3);
    const result = this.narrow("u32", 3);
    this.header = false;
    return {
      lines: [
        "const head = ctx.header(Head);",
        "if (!head) return 0;",
        ...first.flatMap((s) => s.lines),
        ...body.lines,
        `return ${result.text};`,
      ],
      run: (w) => {
        if (w.packet.length < HEAD_SIZE) return 0;
        const e: Env = { ...w, vars: new Map(), structs: new Map(w.state.structs), maybes: new Map() };
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
