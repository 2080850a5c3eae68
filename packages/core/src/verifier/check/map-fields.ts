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

/** Structs in structs are looked into this deep, as the kernel does. */
const MAX_DEPTH = 4;

/** The special fields of a map's value, or of the variables of a data section; none without BTF. */
export function specialFields(spec: MapSpec, btf: Btf | undefined): readonly MapField[] {
  if (!btf || !spec.valueTypeId) return [];
  const fields: MapField[] = [];
  const type = btf.type(resolve(btf, spec.valueTypeId));
  if (type.kind === "datasec") {
    for (const { type: id, offset } of type.vars) {
      const variable = btf.type(id);
      if (variable.kind === "var") collect(btf, variable.type, offset, 0, fields);
    }
  } else collect(btf, spec.valueTypeId, 0, 0, fields);
  return fields;
}

function collect(btf: Btf, id: number, offset: number, depth: number, out: MapField[]): void {
  const type = btf.type(resolve(btf, id));
  if (type.kind === "ptr") {
    if (isKptr(btf, type.type)) out.push({ kind: "other", struct: "kptr", offset, size: 8 });
    return;
  }
  if (type.kind !== "struct") return;
  const known = FIELDS.get(type.name);
  if (known) out.push({ ...known, struct: type.name, offset });
  else if (depth < MAX_DEPTH) {
    for (const member of type.members) collect(btf, member.type, offset + (member.bitOffset >> 3), depth + 1, out);
  }
}

/** A pointer to a type with the tag `kptr`, `kptr_untrusted` or `percpu_kptr`. */
function isKptr(btf: Btf, id: number): boolean {
  const type = btf.type(id);
  return type.kind === "typeTag" && /^(percpu_)?kptr/.test(type.name);
}
