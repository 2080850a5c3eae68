/**
 * Kernel pointers in map values: a load gives a pointer that is alive while the RCU read lock is held, where the object
 * is one that RCU protects, else one that can only be read through. A store is for pointers without a reference; those
 * with one go through bpf_kptr_xchg, so that a reference is never lost or copied.
 *
 * Source: kernel/bpf/verifier.c `check_map_kptr_access`, `btf_ld_kptr_type`, `map_kptr_match_type`.
 */
import { sizeOf } from "../../btf/index.ts";
import { pointsTo } from "../check/kernel-types.ts";
import type { MapField } from "../check/map-fields.ts";
import { RCU_PROTECTED } from "../check/trusted-fields.ts";
import type { Context, MapRef } from "../context.ts";
import {
  ALLOC,
  isNull,
  Kind,
  kindName,
  MAYBE_NULL,
  NON_OWNING,
  PERCPU,
  pointer,
  RCU,
  type Reg,
  TRUSTED,
  UNTRUSTED,
} from "../domain/reg.ts";
import type { TypeRef } from "../domain/type-ref.ts";
import { inRcu } from "./kernel.ts";

/** The kptr that an access of a map value falls on; it must be met whole. */
export function kptrAt(cx: Context, register: number, base: Reg, off: number, size: number): MapField | undefined {
  const { fields, name } = base.obj as MapRef;
  if (!base.val.isConst || fields.length === 0) return undefined;
  const at = base.off + off + Number(base.val.smin);
  const field = fields.find((f) => f.kind === "kptr" && at < f.offset + f.size && f.offset < at + size);
  if (field && (field.offset !== at || size !== 8)) {
    cx.reject("special-field", `the kptr at offset ${field.offset} of map ${name}'s value is accessed whole, 8 bytes`, {
      register,
    });
  }
  return field;
}

/** What a load of the kptr brings. */
export function loadKptr(cx: Context, field: MapField): Reg {
  const { mode, typeId } = field.kptr!;
  const id = cx.newId();
  if (mode === "user") {
    return pointer(Kind.MEM, { flags: MAYBE_NULL, id, num: sizeOf(cx.types.program!, typeId) });
  }
  const obj = cx.kptrType(field);
  const safe = mode === "percpu" || (mode === "ref" && (obj.own || RCU_PROTECTED.has(obj.name)));
  if (!safe || !inRcu(cx)) return pointer(Kind.BTF_ID, { flags: MAYBE_NULL | UNTRUSTED, id, obj });
  const kind = mode === "percpu" ? PERCPU : obj.own ? ALLOC : 0;
  const inGraph = cx.fieldsOf(obj).some((f) => f.kind === "listNode" || f.kind === "rbNode");
  return pointer(Kind.BTF_ID, { flags: MAYBE_NULL | RCU | kind | (inGraph ? NON_OWNING : 0), id, obj });
}

/** Checks a store of `value` to the kptr. */
export function storeKptr(cx: Context, field: MapField, register: number, value: Reg): void {
  if (field.kptr!.mode !== "unref") {
    cx.reject("special-field", "a kptr that holds a reference is changed only by bpf_kptr_xchg", { register });
  }
  if (isNull(value)) {
    cx.markPrecise(value.node);
    return;
  }
  const need = cx.kptrType(field);
  const other = value.flags & ~(MAYBE_NULL | TRUSTED | RCU | UNTRUSTED);
  const constant = value.val.isConst && value.val.tnum.value === 0n;
  if (value.kind !== Kind.BTF_ID || other || !constant || !pointsTo(value.obj as TypeRef, value.off, need, false)) {
    cx.reject("special-field", `the kptr takes a pointer to struct ${need.name} or NULL, not a ${kindName(value)}`, {
      register,
    });
  }
}
