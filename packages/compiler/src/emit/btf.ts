/**
 * BTF of a build: the types of maps' keys and values by the names that the program gives them, and a FUNC for each
 * program with its context's struct, so that bpftool prints source lines and names.
 */
import { type Btf, BtfBuilder, type MemberInit } from "@ebplane/core/btf";
import { ctxLayout } from "@ebplane/core/object";
import { type MemType, type StructType, typeName } from "../check/index.ts";
import type { EnumeratorType } from "../ir/index.ts";
import type { External, Subprogram } from "../lower/index.ts";

export class TypeTable {
  private readonly btf = new BtfBuilder();
  private readonly known = new Map<MemType | EnumeratorType, number>();
  /** How often a kernel struct has been described: parts of one have names of their own, which libbpf takes for the same. */
  private readonly parts = new Map<string, number>();

  /** The id of a type's description. */
  id(t: MemType | EnumeratorType): number {
    let id = this.known.get(t);
    if (id === undefined) this.known.set(t, (id = this.describe(t)));
    return id;
  }

  private describe(t: MemType | EnumeratorType): number {
    switch (t.kind) {
      case "int": {
        if (t.kernelEnum !== undefined) return this.btf.enum(t.kernelEnum, [{ name: "_", value: 0 }]);
        const name = `${t.signed ? "i" : "u"}${t.bits}`;
        const int = this.btf.int(name, t.bits / 8, { encoding: t.signed ? "signed" : "unsigned" });
        return t.be ? this.btf.typedef(typeName(t), int) : int;
      }
      case "bool":
        return this.btf.int("bool", 1, { encoding: "bool" });
      case "bits":
        return this.btf.int("u32", 4);
      case "map":
        return 0;
      case "pointer":
        return this.btf.ptr(t.to ? this.id(t.to) : 0);
      case "enum":
        return this.btf.enum(t.name, [{ name: t.member, value: 0n }], { size: 4, signed: true });
      case "array":
        return this.btf.array(this.id(t.element), t.length);
      case "struct":
        return this.struct(t);
    }
  }

  private struct(t: StructType): number {
    const name = t.kernel === undefined ? t.name || "anonymous" : this.flavour(t.kernel);
    const members = this.members(t);
    return t.form === "union" ? this.btf.union(name, t.size, members) : this.btf.struct(name, t.size, members);
  }

  private flavour(kernel: string): string {
    const n = (this.parts.get(kernel) ?? 0) + 1;
    this.parts.set(kernel, n);
    return n === 1 ? kernel : `${kernel}___${n}`;
  }

  private members(t: StructType): MemberInit[] {
    const out: MemberInit[] = [];
    for (const f of t.fields.values()) {
      if (f.bit === undefined || f.type.kind !== "bits") {
        out.push({ name: f.name, type: this.id(f.type), offset: f.offset });
        continue;
      }
      const { width } = f.type;
      const inside = f.bit & 7;
      // BTF counts bits from the lowest; a wire field over several bytes has no such place: its bytes stand for it.
      if (t.form === "header" && inside + width > 8) continue;
      const bitOffset = t.form === "header" ? (f.bit & ~7) + 8 - inside - width : f.bit;
      const unit = t.form === "header" ? this.btf.int("u8", 1) : this.btf.int("u32", 4);
      out.push({ name: f.name, type: unit, bitOffset, bitSize: width });
    }
    return out.sort((a, b) => place(a) - place(b));
  }

  /** The FUNC of a program. */
  program(name: string, type: number, attachType: number): number {
    const int = this.btf.int("int", 4, { encoding: "signed" });
    const ctx = this.context(type, attachType);
    return this.btf.func(name, this.btf.funcProto(int, [{ name: "ctx", type: ctx }]), "global");
  }

  /**
   * The FUNC of a subprogram: of a global one the kernel takes its arguments from here. `tagged`: it is told which are never
   * null; otherwise the code tests them.
   */
  subprogram(
    name: string,
    sub: Pick<Subprogram, "params" | "returns" | "global">,
    type: number,
    attachType: number,
    tagged: boolean,
  ): number {
    const params = sub.params.map((p) => {
      if (p.kind === "ctx") return { name: p.name, type: this.context(type, attachType) };
      return { name: p.name, type: p.kind === "ref" ? this.btf.ptr(this.id(p.type)) : this.id(p.type) };
    });
    const returns = sub.returns ? this.id(sub.returns) : this.btf.int("int", 4, { encoding: "signed" });
    const func = this.btf.func(name, this.btf.funcProto(returns, params), sub.global ? "global" : "static");
    for (const [component, p] of sub.params.entries()) {
      if (!tagged || !sub.global || p.kind !== "ref" || p.nullable) continue;
      this.btf.add({ kind: "declTag", name: "arg:nonnull", type: func, component, attribute: false });
    }
    return func;
  }

  /** The FUNC of a function that something outside defines. */
  external(e: External, type: number, attachType: number): void {
    if ("proto" in e) {
      const params = e.proto.params.map((p) => ({ name: p.name, type: this.cType(p.type) }));
      this.btf.func(e.name, this.btf.funcProto(this.cType(e.proto.result), params), "extern");
      return;
    }
    const params = e.params.map((p) => {
      if (p.kind === "ctx") return { name: p.name, type: this.context(type, attachType) };
      return { name: p.name, type: p.kind === "ref" ? this.btf.ptr(this.id(p.type)) : this.id(p.type) };
    });
    const returns = e.returns ? this.id(e.returns) : 0;
    this.btf.func(e.name, this.btf.funcProto(returns, params), "extern");
  }

  /** A type of the kernel's as a prototype names it: of structs and enums the kind and the name are enough. */
  private cType(text: string): number {
    if (text.endsWith("*")) return this.btf.ptr(this.cType(text.slice(0, -1)));
    const [kind, name] = text.split("-");
    if (name) return kind === "enum" ? this.btf.enum(name, []) : this.btf.union(name, 0, []);
    if (text === "void") return 0;
    if (text === "func") return this.btf.funcProto(0, []);
    if (text === "bool") return this.btf.int("bool", 1, { encoding: "bool" });
    const [, sign, bits] = /^([iu])(8|16|32|64)$/.exec(text) ?? [];
    if (bits) return this.btf.int(text, Number(bits) / 8, { encoding: sign === "i" ? "signed" : "unsigned" });
    return this.btf.struct(text, 0, []);
  }

  /** A pointer to the context's struct. */
  private context(type: number, attachType: number): number {
    const layout = ctxLayout(type, attachType);
    const fields = (layout?.fields ?? []).filter((f) => f.size <= 8 && (f.size & (f.size - 1)) === 0);
    const members = fields.map((f) => ({
      name: f.name,
      type: this.btf.int(`u${f.size * 8}`, f.size),
      offset: f.offset,
    }));
    return layout ? this.btf.ptr(this.btf.struct(layout.struct, layout.size, members)) : this.btf.ptr(0);
  }

  build(): Btf {
    return this.btf.build();
  }
}

function place(m: MemberInit): number {
  return "bitOffset" in m ? m.bitOffset : m.offset * 8;
}
