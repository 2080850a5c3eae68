/**
 * Walks over structs by their BTF: what lies at an offset, and whether a pointer to one struct may stand for a pointer
 * to another that begins inside it. Only types are looked at, no values.
 *
 * Source: kernel/bpf/btf.c `btf_struct_walk`, `btf_struct_access`, `btf_struct_ids_match`.
 */
import { type Btf, type BtfStruct, type BtfType, resolve, sizeOf } from "../../btf/index.ts";
import { BtfError } from "../../errors/index.ts";
import type { TypeRef } from "../domain/type-ref.ts";

export type PointerTag = "" | "user" | "percpu" | "rcu";

export type Member =
  | { readonly kind: "scalar" }
  /** `untrusted`: reached through a union, so another member may have been written. */
  | {
      readonly kind: "pointer";
      readonly id: number;
      readonly field: string;
      readonly tag: PointerTag;
      readonly untrusted: boolean;
    }
  | { readonly kind: "struct"; readonly id: number }
  | { readonly kind: "none"; readonly why: string };

interface Walk {
  untrusted: boolean;
}

/** What `size` bytes at `off` of the struct are; of nested structs the innermost member. */
export function memberAt(btf: Btf, id: number, off: number, size: number, flexible = true): Member {
  const walk: Walk = { untrusted: false };
  let at = id;
  let offset = off;
  for (let depth = 0; depth < 64; depth++) {
    const found = walkStruct(btf, at, offset, size, flexible, walk);
    if (found.kind !== "struct") return found;
    at = found.id;
    offset = 0;
  }
  return { kind: "none", why: "structs nest too deep" };
}

/** Whether a pointer `off` bytes into the struct `have` points to a `need`, its own or one nested there. */
export function pointsTo(have: TypeRef, off: number, need: TypeRef, strict: boolean, flexible = true): boolean {
  if (off === 0 && have === need) return true;
  if (!have.btf) return off === 0 && have.name === need.name;
  if (strict || !need.btf || have.own !== need.own) return false;
  const walk: Walk = { untrusted: false };
  let at = have.id;
  let offset = off;
  for (let depth = 0; depth < 64; depth++) {
    const found = walkStruct(have.btf, at, offset, 1, flexible, walk);
    if (found.kind !== "struct") return false;
    if (resolve(have.btf, found.id) === need.id) return true;
    at = found.id;
    offset = 0;
  }
  return false;
}

function isStruct(type: BtfType): type is BtfStruct {
  return type.kind === "struct" || type.kind === "union";
}

const none = (why: string): Member => ({ kind: "none", why });

/** One step: a member that is no struct, or the nested struct that begins exactly at `off`. */
function walkStruct(btf: Btf, start: number, off: number, size: number, flexible: boolean, walk: Walk): Member {
  let type = btf.type(resolve(btf, start));
  let at = off;
  for (;;) {
    if (!isStruct(type)) return none(`type ${"name" in type ? type.name : ""} is no struct`);
    if (type.kind === "union" && type.members.length !== 1) walk.untrusted = true;
    if (at + size > type.size) {
      const tail = flexible ? flexibleTail(btf, type, at) : undefined;
      if (!tail)
        return none(`${at + size > type.size ? `${size} bytes at offset ${at}` : ""} are beyond struct ${type.name}`);
      if (tail.kind === "scalar") return tail;
      type = btf.type(tail.id);
      at = tail.off;
      continue;
    }
    const found = memberOf(btf, type, at, size, walk);
    if (!("inner" in found)) return found;
    type = found.inner;
    at = found.off;
  }
}

/** A struct that ends in an array without a length may be read on: by elements of that array. */
function flexibleTail(
  btf: Btf,
  type: BtfStruct,
  at: number,
): { kind: "scalar" } | { kind: "struct"; id: number; off: number } | undefined {
  const last = type.members[type.members.length - 1];
  if (!last) return undefined;
  const array = btf.type(resolve(btf, last.type));
  const start = last.bitOffset >> 3;
  if (array.kind !== "array" || array.length !== 0 || at < start) return undefined;
  const id = resolve(btf, array.type);
  const element = btf.type(id);
  if (element.kind === "int") return { kind: "scalar" };
  if (!isStruct(element) || element.size === 0) return undefined;
  return { kind: "struct", id, off: (at - start) % element.size };
}

function memberOf(
  btf: Btf,
  type: BtfStruct,
  off: number,
  size: number,
  walk: Walk,
): Member | { readonly inner: BtfType; readonly off: number } {
  for (const member of type.members) {
    let start = member.bitOffset >> 3;
    if (off + size <= start) break;
    if (member.bitSize) {
      const end = (member.bitOffset + member.bitSize + 7) >> 3;
      if (off <= start && end <= off + size) return { kind: "scalar" };
      continue;
    }
    if (off < start) break;
    let id = resolve(btf, member.type);
    let inner = btf.type(id);
    let bytes: number;
    try {
      bytes = sizeOf(btf, id);
    } catch (error) {
      if (!(error instanceof BtfError)) throw error;
      return none(`member ${member.name} of struct ${type.name} has no size`);
    }
    const end = start + bytes;
    if (off >= end) continue;
    if (inner.kind === "array") {
      let elements = 1;
      while (inner.kind === "array") {
        elements *= inner.length;
        id = resolve(btf, inner.type);
        inner = btf.type(id);
      }
      const each = bytes / elements;
      start += Math.floor((off - start) / each) * each;
      bytes = each;
    }
    if (isStruct(inner)) return off === start ? { kind: "struct", id } : { inner, off: off - start };
    if (inner.kind === "ptr") {
      if (bytes !== size || off !== start) {
        return none(`member ${member.name} of struct ${type.name} is a pointer: only all 8 bytes can be read`);
      }
      const target = btf.type(inner.type);
      const tag = target.kind === "typeTag" ? pointerTag(target.name) : "";
      const to = resolve(btf, inner.type);
      if (isStruct(btf.type(to))) {
        return { kind: "pointer", id: to, field: member.name, tag, untrusted: walk.untrusted };
      }
    }
    if (off + size > end && !walk.untrusted) {
      return none(`${size} bytes at offset ${off} are beyond member ${member.name} of struct ${type.name}`);
    }
    return { kind: "scalar" };
  }
  return none(`struct ${type.name} has no member at offset ${off}`);
}

export function pointerTag(name: string): PointerTag {
  return name === "user" || name === "percpu" || name === "rcu" ? name : "";
}
