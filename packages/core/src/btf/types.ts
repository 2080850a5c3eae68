/**
 * The model of BTF: one interface a kind. Type references are ids; id 0 is void.
 * Source: Documentation/bpf/btf.rst; include/uapi/linux/btf.h.
 */

/** Numbers of the kinds, by the model's name of each. */
export const BTF_KIND = {
  void: 0,
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  fwd: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  var: 14,
  datasec: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;
export type BtfKind = keyof typeof BTF_KIND;

export interface BtfVoid {
  readonly kind: "void";
  readonly name: "";
}

/** `size` in bytes. `bits` may be less (a bitfield of the old encoding), starting at `bitOffset` of the storage. */
export interface BtfInt {
  readonly kind: "int";
  readonly name: string;
  readonly size: number;
  readonly bits: number;
  readonly bitOffset: number;
  readonly encoding: "unsigned" | "signed" | "char" | "bool";
}

/** Pointers, typedefs and qualifiers: one type stands for another. Only typedefs and type tags have a name. */
export interface BtfRefType {
  readonly kind: "ptr" | "typedef" | "volatile" | "const" | "restrict";
  readonly name: string;
  readonly type: number;
}

/** `attribute`: the tag is a general attribute (kind_flag, Linux 6.15), not a btf_type_tag. */
export interface BtfTypeTag {
  readonly kind: "typeTag";
  readonly name: string;
  readonly type: number;
  readonly attribute: boolean;
}

export interface BtfArray {
  readonly kind: "array";
  readonly name: "";
  readonly type: number;
  readonly indexType: number;
  readonly length: number;
}

/** `bitOffset` counts from the struct's start; `bitSize` is 0 where the member is no bitfield. */
export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  readonly bitSize: number;
}

export interface BtfStruct {
  readonly kind: "struct" | "union";
  readonly name: string;
  readonly size: number;
  readonly members: readonly BtfMember[];
}

export interface BtfEnum {
  readonly kind: "enum" | "enum64";
  readonly name: string;
  readonly size: number;
  readonly signed: boolean;
  readonly values: readonly { readonly name: string; readonly value: bigint }[];
}

export interface BtfFwd {
  readonly kind: "fwd";
  readonly name: string;
  readonly union: boolean;
}

export interface BtfFunc {
  readonly kind: "func";
  readonly name: string;
  /** Its FUNC_PROTO. */
  readonly type: number;
  readonly linkage: "static" | "global" | "extern";
}

/** A last parameter with no name and type 0 is `...`. */
export interface BtfFuncProto {
  readonly kind: "funcProto";
  readonly name: "";
  readonly ret: number;
  readonly params: readonly { readonly name: string; readonly type: number }[];
}

export interface BtfVar {
  readonly kind: "var";
  readonly name: string;
  readonly type: number;
  readonly linkage: "static" | "global" | "extern";
}

/** A section of variables. clang leaves `size` and the offsets 0; the ELF reader fills them. */
export interface BtfDatasec {
  readonly kind: "datasec";
  readonly name: string;
  readonly size: number;
  readonly vars: readonly { readonly type: number; readonly offset: number; readonly size: number }[];
}

export interface BtfFloat {
  readonly kind: "float";
  readonly name: string;
  readonly size: number;
}

/** `component` is the member or parameter, -1 for the whole. */
export interface BtfDeclTag {
  readonly kind: "declTag";
  readonly name: string;
  readonly type: number;
  readonly component: number;
  readonly attribute: boolean;
}

export type BtfType =
  | BtfVoid
  | BtfInt
  | BtfRefType
  | BtfTypeTag
  | BtfArray
  | BtfStruct
  | BtfEnum
  | BtfFwd
  | BtfFunc
  | BtfFuncProto
  | BtfVar
  | BtfDatasec
  | BtfFloat
  | BtfDeclTag;

/** Parsed types. Types are decoded when asked for, and each only once. */
export interface Btf {
  /** The types that this one (a module's) goes on from; ids below `firstId` are its. */
  readonly base: Btf | undefined;
  /** The first id of its own: 1 without a base. */
  readonly firstId: number;
  /** One more than the last id. */
  readonly length: number;
  readonly byteOrder: "little" | "big";
  /** The `.BTF` section, a view. Little-endian unless `byteOrder` says otherwise. */
  readonly bytes: Uint8Array;
  /** Bytes of all strings, with those of the base: where a split BTF's own string offsets start. */
  readonly stringsEnd: number;
  /** @throws BtfError for an id that is not there. */
  type(id: number): BtfType;
  /** Byte offset in `bytes` of one of its own types. */
  typeOffset(id: number): number;
  /** Ids of the types of this name, its own after the base's. */
  findAll(name: string): readonly number[];
  /** Its own names (not the base's), each with its ids. */
  names(): ReadonlyMap<string, readonly number[]>;
  /** The first type of this name and, where given, kind. */
  find(name: string, kind?: BtfKind): number | undefined;
  /** @throws BtfError for an offset outside the strings. */
  string(offset: number): string;
}
