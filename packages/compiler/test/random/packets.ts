/** Statements on packets: headers that may be there, at offsets, behind a cursor and by a parse graph, read and written. */
import type { Env, Expr, Header, HeaderField, Maybe, Stmt } from "./model.ts";
import { wrap } from "./model.ts";
import { Statements } from "./statements.ts";

function byte(name: string, at: number): HeaderField {
  return {
    name,
    kind: "u32",
    to: "",
    from: "",
    read: (v) => BigInt(v.getUint8(at)),
    write: (v, x) => v.setUint8(at, Number(x & 0xffn)),
  };
}
function big16(name: string, at: number): HeaderField {
  return {
    name,
    kind: "u32",
    to: "ntohs",
    from: "be16",
    read: (v) => BigInt(v.getUint16(at)),
    write: (v, x) => v.setUint16(at, Number(x & 0xffffn)),
  };
}
function big32(name: string, at: number): HeaderField {
  return {
    name,
    kind: "u32",
    to: "ntohl",
    from: "be32",
    read: (v) => BigInt(v.getUint32(at)),
    write: (v, x) => v.setUint32(at, Number(x & 0xffff_ffffn)),
  };
}
function big64(name: string, at: number): HeaderField {
  return {
    name,
    kind: "u64",
    to: "ntohll",
    from: "be64",
    read: (v) => v.getBigUint64(at),
    write: (v, x) => v.setBigUint64(at, x & 0xffff_ffff_ffff_ffffn),
  };
}
/** Bits of the byte at `at`, from `shift` up. */
function bits(name: string, at: number, shift: number, width: number): HeaderField {
  const mask = (1 << width) - 1;
  return {
    name,
    kind: "u32",
    to: "",
    from: "",
    read: (v) => BigInt((v.getUint8(at) >> shift) & mask),
    write: (v, x) => v.setUint8(at, (v.getUint8(at) & ~(mask << shift)) | ((Number(x & 0xffffn) & mask) << shift)),
  };
}

const nibble = (v: DataView): number => v.getUint8(0) & 15;

/** By what announces them: 1, 2, 3 in the programs' own space of numbers. */
const HEADERS: readonly Header[] = [
  {
    name: "Words",
    declared:
      "header({ top: bits(4), words: bits(4), kind: u8, id: be16 }, { length: (h) => 4 + h.words * 4, is: [[kinds, 1]], next: [kinds, (h) => h.kind & 3] })",
    size: 4,
    length: (v) => 4 + nibble(v) * 4,
    is: 1,
    next: (v) => v.getUint8(1) & 3,
    fields: [bits("top", 0, 4, 4), bits("words", 0, 0, 4), byte("kind", 1), big16("id", 2)],
  },
  {
    // Its length may be below its size: then it is not there.
    name: "Short",
    declared:
      "header({ top: bits(4), words: bits(4), pad: u8, x: be32 }, { length: (h) => h.words * 4, is: [[kinds, 2]], next: [kinds, (h) => h.pad & 3] })",
    size: 6,
    length: (v) => nibble(v) * 4,
    is: 2,
    next: (v) => v.getUint8(1) & 3,
    fields: [bits("top", 0, 4, 4), bits("words", 0, 0, 4), byte("pad", 1), big32("x", 2)],
  },
  {
    name: "Last",
    declared: "header({ t: u8, s: be16, r: be32, v: be64 }, { is: [[kinds, 3]] })",
    size: 15,
    length: () => 15,
    is: 3,
    fields: [byte("t", 0), big16("s", 1), big32("r", 3), big64("v", 7)],
  },
];
export const HEADER_LINES = ["const kinds = protocols(u8);", ...HEADERS.map((h) => `const ${h.name} = ${h.declared};`)];

function view(packet: Uint8Array, at: number, size: number): DataView | undefined {
  if (at + size > packet.length) return undefined;
  return new DataView(packet.buffer, packet.byteOffset + at, size);
}

/** The header at `at` as a cursor takes it: also what its length says. */
function taken(packet: Uint8Array, at: number, h: Header): { v: DataView; behind: number } | undefined {
  const v = view(packet, at, h.size);
  const length = v && h.length(v);
  return v === undefined || length! < h.size ? undefined : { v, behind: at + length! };
}

export abstract class Packets extends Statements {
  /** A statement on the packet or on what may be there. */
  protected packets(depth: number): Stmt | undefined {
    const r = this.int(8);
    if (r < 2) return this.header ? this.optionalHeader() : undefined;
    if (r === 2) return this.inFunction === undefined ? this.optionalValue() : undefined;
    if (r === 3) return this.header && depth > 0 ? this.cursor(depth) : undefined;
    if (r === 4) return this.header ? this.graph() : undefined;
    if (r === 5) return this.header ? this.headWrite() : undefined;
    if (!this.maybes.length || depth <= 0) return undefined;
    return this.ifThere(this.pick(this.maybes), depth);
  }

  private optionalHeader(): Stmt {
    const h = this.pick(HEADERS);
    const name = this.name("o");
    const at: Expr = this.chance(0.5) ? this.constantOf(90) : this.below(this.expr("u32", 1), 127);
    this.maybes.push({ name, header: h });
    return {
      lines: [`const ${name} = ctx.header(${h.name}, ${at.text});`],
      run: (e) => void e.maybes.set(name, view(e.packet, Number(at.run(e)), h.size)),
    };
  }

  protected constantOf(most: number): Expr {
    const n = this.int(most);
    return { text: String(n), run: () => BigInt(n) };
  }
  protected below(x: Expr, mask: number): Expr {
    return { text: `${x.text} & ${mask}`, run: (e) => x.run(e) & BigInt(mask) };
  }

  private optionalValue(): Stmt {
    const name = this.name("w");
    const hash = this.chance(0.5);
    const key = this.below(this.expr("u32", 1), 7);
    this.maybes.push({ name });
    // As long as it is at hand its entry stays.
    if (hash) this.holding++;
    return {
      lines: [`const ${name} = ${hash ? "entries" : "values"}.lookup(${key.text});`],
      run: (e) => {
        const k = Number(key.run(e));
        const bytes = hash ? e.state.hash.get(k) : e.map[k];
        e.maybes.set(name, bytes && new DataView(bytes.buffer, bytes.byteOffset));
      },
    };
  }

  private ifThere(m: Maybe, depth: number): Stmt {
    const negative = this.chance(0.3);
    const { structs } = this;
    const value = !m.header && /^\w+$/.test(m.name);
    if (value) this.structs = [...structs, m.name];
    const body = this.body(1 + this.int(2), depth - 1);
    this.structs = structs;
    const writes = m.header ? [this.write(m, m.header)] : [];
    const no = negative || this.chance(0.4) ? this.body(1, depth - 1) : undefined;
    const test = this.pick(negative ? [`!${m.name}`, `${m.name} === undefined`] : [m.name, `${m.name} !== undefined`]);
    const yesLines = [...writes.flatMap((s) => s.lines), ...body.lines];
    const [first, second] = negative ? [no?.lines ?? [], yesLines] : [yesLines, no?.lines];
    return {
      lines: [`if (${test}) {`, ...first, ...(second ? ["} else {", ...second] : []), "}"],
      run: (e) => {
        const v = e.maybes.get(m.name);
        if (!v) return no?.run(e);
        if (value) e.structs.set(m.name, v);
        for (const s of writes) s.run(e);
        return body.run(e);
      },
    };
  }

  private write(m: Maybe, h: Header): Stmt {
    const f = this.pick(h.fields);
    const x = this.expr(f.kind, 2);
    const narrow = f.from ? `${f.from}(${f.from === "be16" ? `u16(${x.text})` : x.text})` : undefined;
    const op = narrow ? this.pick(["", "&", "|", "^"]) : this.pick(["", "+", "^", "-", "*", "|"]);
    // A field in host order is as wide as it is declared.
    const width = /bits|top|words/.test(f.name) ? 15 : 255;
    const text = narrow ?? (op ? x.text : `${x.text} & ${width}`);
    return {
      lines: [`${m.name}.${f.name} ${op}= ${text};`],
      run: (e) => {
        const v = e.maybes.get(m.name)!;
        const y = x.run(e);
        const old = f.read(v);
        const cut = f.from === "be16" ? y & 0xffffn : y;
        const results: Record<string, bigint> = {
          "": cut,
          "+": old + y,
          "-": old - y,
          "*": old * y,
          "^": old ^ cut,
          "|": old | cut,
          "&": old & cut,
        };
        f.write(v, wrap("u64", results[op]!));
      },
    };
  }

  /** Another write to the header that is always there. */
  private headWrite(): Stmt {
    const [field, type, at] = this.pick([
      ["h", "be16", 2],
      ["w", "be32", 4],
      ["q", "be64", 8],
    ] as const);
    const kind = type === "be64" ? "u64" : "u32";
    const x = type === "be16" ? this.narrow("u16", 2) : this.expr(kind, 2);
    const op = this.pick(["", "&", "|", "^"]);
    const size = Number(type.slice(2)) / 8;
    const get = (e: Env): bigint => {
      let n = 0n;
      for (let k = 0; k < size; k++) n = (n << 8n) | BigInt(e.packet[at + k]!);
      return n;
    };
    return {
      lines: [`head.${field} ${op}= ${type}(${x.text});`],
      run: (e) => {
        const y = x.run(e);
        const old = get(e);
        const n = op === "&" ? old & y : op === "|" ? old | y : op === "^" ? old ^ y : y;
        for (let k = 0; k < size; k++) e.packet[at + k] = Number((n >> BigInt(8 * (size - 1 - k))) & 0xffn);
      },
    };
  }

  /** A cursor skips, looks and takes; what it finds is used inside. */
  private cursor(depth: number): Stmt {
    const cursor = this.name("p");
    const steps: { lines: readonly string[]; run: (e: Env, at: number) => number }[] = [];
    const { vars, maybes, holding } = this;
    this.vars = [...vars];
    this.maybes = [...maybes];
    for (let k = 1 + this.int(4); k > 0; k--) {
      const r = this.int(4);
      if (r === 0) {
        const n = this.chance(0.5) ? this.constantOf(40) : this.below(this.expr("u32", 1), 63);
        steps.push({ lines: [`${cursor}.skip(${n.text});`], run: (e, at) => at + Number(n.run(e)) });
      } else if (r === 1) {
        const v = this.name("v");
        const left = this.chance(0.5);
        this.vars.push({ name: v, type: "u32", mutable: true });
        steps.push({
          lines: [`let ${v}: u32 = ${cursor}.${left ? "left" : "offset"};`],
          run: (e, at) => {
            e.vars.set(v, wrap("u32", BigInt(left ? e.packet.length - at : at)));
            return at;
          },
        });
      } else {
        const h = this.pick(HEADERS);
        const name = this.name("o");
        const peek = this.chance(0.25);
        this.maybes.push({ name, header: h });
        steps.push({
          lines: [`const ${name} = ${cursor}.${peek ? "peek" : "take"}(${h.name});`],
          run: (e, at) => {
            // A look at a header does not ask for its length.
            const found = peek ? undefined : taken(e.packet, at, h);
            e.maybes.set(name, peek ? view(e.packet, at, h.size) : found?.v);
            return found?.behind ?? at;
          },
        });
      }
    }
    const body = this.body(2, depth - 1);
    Object.assign(this, { vars, maybes, holding });
    return {
      lines: ["{", `const ${cursor} = ctx.packet();`, ...steps.flatMap((s) => s.lines), ...body.lines, "}"],
      run: (e) => {
        let at = 0;
        for (const s of steps) at = s.run(e, at);
        body.run(e);
      },
    };
  }

  /** `parse` with the headers in some order, one of them repeated at times. */
  private graph(): Stmt {
    const name = this.name("h");
    const cursor = this.name("p");
    const skip = this.int(30);
    const picked = Array.from({ length: 1 + this.int(4) }, () => this.pick(HEADERS));
    const named = picked.map((h, k) => ({ h, name: `x${k}`, most: this.chance(0.25) ? 1 + this.int(3) : 1 }));
    const nodes = named.flatMap((n) => Array.from({ length: n.most }, () => n));
    for (const n of named) this.maybes.push({ name: `${name}.${n.name}`, header: n.h });
    const [truncated, offset] = [this.name("v"), this.name("v")];
    this.vars.push({ name: truncated, type: "bool", mutable: false }, { name: offset, type: "u32", mutable: false });
    const list = named.map((n) => `${n.name}: ${n.most > 1 ? `repeat(${n.h.name}, ${n.most})` : n.h.name}`);
    return {
      lines: [
        `const ${cursor} = ctx.packet();`,
        `${cursor}.skip(${skip});`,
        `const ${name} = ${cursor}.parse({ ${list.join(", ")} });`,
        `const ${truncated} = ${name}.truncated;`,
        `const ${offset}: u32 = ${cursor}.offset;`,
      ],
      run: (e) => {
        for (const n of named) e.maybes.set(`${name}.${n.name}`, undefined);
        let [at, k, short] = [skip, 0, 0n];
        while (k >= 0) {
          const { h, name: field } = nodes[k]!;
          const found = taken(e.packet, at, h);
          if (!found) {
            short = 1n;
            break;
          }
          e.maybes.set(`${name}.${field}`, found.v);
          at = found.behind;
          const wanted = h.next?.(found.v);
          const later = nodes.slice(k + 1).findIndex((n) => n.h.is === wanted);
          k = later < 0 ? -1 : k + 1 + later;
        }
        e.vars.set(truncated, short);
        e.vars.set(offset, BigInt(at));
      },
    };
  }
}
