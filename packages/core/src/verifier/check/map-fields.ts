/**
 * Special fields of map values, found by BTF: spin locks and timers, which only their own helpers may touch, at their
 * exact offset. Source: kernel/bpf/btf.c `btf_parse_fields`, kernel/bpf/verifier.c `check_map_access`.
 */
import { type Btf, resolve } from "../../btf/index.ts";
import type { MapSpec } from "../../object/index.ts";

export interface MapField {
  readonly kind: "lock" | "timer" | "other";
  readonly struct: string;
  readonly offset: number;
  readonly size: number;
}

const FIELDS: ReadonlyMap<string, { kind: MapField["kind"]; size: number }> = new Map([
  ["bpf_spin_lock", { kind: "lock", size: 4 }],
  ["bpf_timer", { kind: "timer", size: 16 }],
  ["bpf_wq", { kind: "other", size: 16 }],
  ["bpf_list_head", { kind: "other", size: 16 }],
  ["bpf_list_node", { kind: "other", size: 24 }],
  ["bpf_rb_root", { kind: "other", size: 16 }],
  ["bpf_rb_node", { kind: "other", size: 32 }],
  ["bpf_refcount", { kind: "other", size: 4 }],
  ["bpf_res_spin_lock", { kind: "other", size: 4 }],
]);

/** The special fields of a map's value; none without BTF. */
export function specialFields(spec: MapSpec, btf: Btf | undefined): readonly MapField[] {
  if (!btf || !spec.valueTypeId) return [];
  const type = btf.type(resolve(btf, spec.valueTypeId));
  if (type.kind !== "struct") return [];
  const fields: MapField[] = [];
  for (const member of type.members) {
    const inner = btf.type(resolve(btf, member.type));
    if (inner.kind === "struct") {
      const known = FIELDS.get(inner.name);
      if (known) fields.push({ ...known, struct: inner.name, offset: member.bitOffset >> 3 });
    } else if (inner.kind === "ptr" && isKptr(btf, inner.type)) {
      fields.push({ kind: "other", struct: "kptr", offset: member.bitOffset >> 3, size: 8 });
    }
  }
  return fields;
}

/** A pointer to a type with the tag `kptr`, `kptr_untrusted` or `percpu_kptr`. */
function isKptr(btf: Btf, id: number): boolean {
  const type = btf.type(id);
  return type.kind === "typeTag" && /^(percpu_)?kptr/.test(type.name);
}
