/**
 * Builds BTF. Each method returns the type's id; a type identical to an earlier one (same fields, same ids) gets the
 * earlier id. A recursive type is reserved first and defined later.
 */
import { type EncodedBtf, encodeBtf } from "./encode.ts";
import { parseBtf } from "./parse.ts";
import type { Btf, BtfDatasec, BtfFunc, BtfInt, BtfType } from "./types.ts";

export interface IntOptions {
  readonly encoding?: BtfInt["encoding"];
}

export interface EnumOptions {
  /** Bytes; 4 when absent. More than 4 makes an ENUM64. */
  readonly size?: number;
  readonly signed?: boolean;
}

/** A member by byte offset, or by bit offset where it is a bitfield. */
export type MemberInit =
  | { readonly name: string; readonly type: number; readonly offset: number }
  | { readonly name: string; readonly type: number; readonly bitOffset: number; readonly bitSize?: number };

export class BtfBuilder {
  readonly #types: (BtfType | undefined)[] = [];
  readonly #ids = new Map<string, number>();
  readonly #base: Btf | undefined;
  readonly #firstId: number;

  /** @param base Makes a split BTF on it: types that refer to its ids, and that it need not have. */
  constructor(base?: Btf) {
    this.#base = base;
    this.#firstId = base?.length ?? 1;
  }

  /** Starts from the types of `btf`, with their ids and on its base. */
  static from(btf: Btf): BtfBuilder {
    const builder = new BtfBuilder(btf.base);
    for (let id = btf.firstId; id < btf.length; id++) {
      const type = btf.type(id);
      builder.#types.push(type);
      const key = keyOf(type);
      if (!builder.#ids.has(key)) builder.#ids.set(key, id);
    }
    return builder;
  }

  /** Adds any type, or finds it. */
  add(type: BtfType): number {
    const key = keyOf(type);
    let id = this.#ids.get(key) ?? this.#inBase(type, key);
    if (id === undefined) {
      id = this.#push(type);
      this.#ids.set(key, id);
    }
    return id;
  }

  /** A type of the base that is the same; without a name it is not looked for. */
  #inBase(type: BtfType, key: string): number | undefined {
    if (!this.#base || !type.name) return undefined;
    return this.#base.findAll(type.name).find((id) => keyOf(this.#base!.type(id)) === key);
  }

  #push(type: BtfType | undefined): number {
    return this.#firstId + this.#types.push(type) - 1;
  }

  /** An id to be defined later. */
  reserve(): number {
    return this.#push(undefined);
  }

  /** Gives a reserved id its type, or replaces a type. */
  define(id: number, type: BtfType): void {
    if (id < this.#firstId || id >= this.length) throw new RangeError(`type ${id}: expected an id of this builder`);
    this.#types[id - this.#firstId] = type;
    const key = keyOf(type);
    if (!this.#ids.has(key)) this.#ids.set(key, id);
  }

  /** The type of an id; undefined where it is reserved only. */
  get(id: number): BtfType | undefined {
    if (id === 0) return { kind: "void", name: "" };
    return id < this.#firstId ? this.#base!.type(id) : this.#types[id - this.#firstId];
  }

  /** One more than the last id. */
  get length(): number {
    return this.#firstId + this.#types.length;
  }

  int(name: string, size: number, options: IntOptions = {}): number {
    const encoding = options.encoding ?? "unsigned";
    return this.add({ kind: "int", name, size, bits: size * 8, bitOffset: 0, encoding });
  }

  float(name: string, size: number): number {
    return this.add({ kind: "float", name, size });
  }

  ptr(type: number): number {
    return this.add({ kind: "ptr", name: "", type });
  }

  typedef(name: string, type: number): number {
    return this.add({ kind: "typedef", name, type });
  }

  const(type: number): number {
    return this.add({ kind: "const", name: "", type });
  }

  volatile(type: number): number {
    return this.add({ kind: "volatile", name: "", type });
  }

  restrict(type: number): number {
    return this.add({ kind: "restrict", name: "", type });
  }

  /** The index type is `__ARRAY_SIZE_TYPE__`, as clang writes it. */
  array(type: number, length: number): number {
    const indexType = this.int("__ARRAY_SIZE_TYPE__", 4);
    return this.add({ kind: "array", name: "", type, indexType, length });
  }

  struct(name: string, size: number, members: readonly MemberInit[]): number {
    return this.add({ kind: "struct", name, size, members: members.map(member) });
  }

  union(name: string, size: number, members: readonly MemberInit[]): number {
    return this.add({ kind: "union", name, size, members: members.map(member) });
  }

  enum(
    name: string,
    values: readonly { readonly name: string; readonly value: bigint | number }[],
    options: EnumOptions = {},
  ): number {
    const { size = 4, signed = false } = options;
    return this.add({
      kind: size > 4 ? "enum64" : "enum",
      name,
      size,
      signed,
      values: values.map((v) => ({ name: v.name, value: BigInt(v.value) })),
    });
  }

  fwd(name: string, kind: "struct" | "union" = "struct"): number {
    return this.add({ kind: "fwd", name, union: kind === "union" });
  }

  funcProto(ret: number, params: readonly { readonly name: string; readonly type: number }[]): number {
    return this.add({ kind: "funcProto", name: "", ret, params });
  }

  func(name: string, proto: number, linkage: BtfFunc["linkage"] = "global"): number {
    return this.add({ kind: "func", name, type: proto, linkage });
  }

  var(name: string, type: number, linkage: BtfFunc["linkage"] = "global"): number {
    return this.add({ kind: "var", name, type, linkage });
  }

  datasec(name: string, size: number, vars: BtfDatasec["vars"]): number {
    return this.add({ kind: "datasec", name, size, vars });
  }

  declTag(name: string, type: number, component = -1): number {
    return this.add({ kind: "declTag", name, type, component, attribute: false });
  }

  typeTag(name: string, type: number): number {
    return this.add({ kind: "typeTag", name, type, attribute: false });
  }

  /**
   * The `.BTF` bytes, and where its strings are.
   * @throws TypeError while an id is reserved but not defined.
   */
  encode(extraStrings: Iterable<string> = []): EncodedBtf {
    return encodeBtf(
      this.#types.map((type, i) => {
        if (!type) throw new TypeError(`type ${this.#firstId + i} is reserved but not defined`);
        return type;
      }),
      { extraStrings, base: this.#base },
    );
  }

  /** @throws BtfError when a type refers to an id that is not there. */
  build(): Btf {
    return parseBtf(this.encode().bytes, this.#base);
  }
}

function member(m: MemberInit): { name: string; type: number; bitOffset: number; bitSize: number } {
  const bitOffset = "bitOffset" in m ? m.bitOffset : m.offset * 8;
  return { name: m.name, type: m.type, bitOffset, bitSize: "bitOffset" in m ? (m.bitSize ?? 0) : 0 };
}

function keyOf(type: BtfType): string {
  return JSON.stringify(type, (_, value) => (typeof value === "bigint" ? `${value}n` : value));
}
