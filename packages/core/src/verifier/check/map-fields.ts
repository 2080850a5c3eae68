/**
 * Special fields of map values and of the program's own objects, found by BTF: locks, timers, lists, trees, counts and
 * kernel pointers, which only their own functions may touch, at their exact offset.
 *
 * Source: kernel/bpf/btf.c `btf_parse_fields`, `btf_find_kptr`, `btf_find_graph_root`; kernel/bpf/verifier.c
 * `check_map_access`.
 */
import { type Btf, resolve, sizeOf } from "../../btf/index.ts";
import type { MapSpec } from "../../object/index.ts";

export type FieldKind =
  | "lock"
  | "resLock"
  | "timer"
  | "workqueue"
  | "taskWork"
  | "listHead"
  | "listNode"
  | "rbRoot"
  | "rbNode"
  | "refcount"
  | "kptr";

export interface MapField {
  readonly kind: FieldKind;
  readonly struct: string;
  readonly offset: number;
  readonly size: number;
  /** Of a kptr: how it is held, and the struct it points to, in the program's BTF. */
  readonly kptr?: { readonly mode: "unref" | "ref" | "percpu" | "user"; readonly typeId: number };
  /** Of a list or tree: the struct whose nodes it holds (in the program's BTF), and the node's offset in it. */
  readonly holds?: { readonly typeId: number; readonly offset: number };
}

const FIELDS: ReadonlyMap<string, { kind: FieldKind; size: number }> = new Map([
  ["bpf_spin_lock", { kind: "lock", size: 4 }],
  ["bpf_res_spin_lock", { kind: "resLock", size: 4 }],
  ["bpf_timer", { kind: "timer", size: 16 }],
  ["bpf_wq", { kind: "workqueue", size: 16 }],
  ["bpf_task_work", { kind: "taskWork", size: 8 }],
  ["bpf_list_head", { kind: "listHead", size: 16 }],
  ["bpf_list_node", { kind: "listNode", size: 24 }],
  ["bpf_rb_root", { kind: "rbRoot", size: 16 }],
  ["bpf_rb_node", { kind: "rbNode", size: 32 }],
  ["bpf_refcount", { kind: "refcount", size: 4 }],
]);

/** Structs in structs are looked into this deep, as the kernel does. */
const MAX_DEPTH = 8;
/** Elements of an array of fields that are looked at. Source: `BTF_FIELDS_MAX`. */
const MAX_FIELDS = 11;

/** The special fields of a map's value, or of the variables of a data section; none without BTF. */
export function specialFields(spec: MapSpec, btf: Btf | undefined): readonly MapField[] {
  if (!btf || !spec.valueTypeId) return [];
  const fields: MapField[] = [];
  const type = btf.type(resolve(btf, spec.valueTypeId));
  if (type.kind === "datasec") {
    for (const { type: id, offset } of type.vars) {
      const variable = btf.type(id);
      if (variable.kind === "var") collect(btf, variable.type, offset, 0, contains(btf, id, -1), fields);
    }
  } else collect(btf, spec.valueTypeId, 0, 0, undefined, fields);
  return fields;
}

/** The special fields of a struct. */
export function structFields(btf: Btf, id: number): readonly MapField[] {
  const fields: MapField[] = [];
  collect(btf, id, 0, 0, undefined, fields);
  return fields;
}

function collect(btf: Btf, id: number, offset: number, depth: number, holds: MapField["holds"], out: MapField[]): void {
  const type = btf.type(resolve(btf, id));
  if (type.kind === "array") {
    const size = sizeOf(btf, type.type);
    if (size === 0) return;
    for (let i = 0; i < Math.min(type.length, MAX_FIELDS); i++) {
      const before = out.length;
      collect(btf, type.type, offset + i * size, depth, holds, out);
      if (out.length === before) return;
    }
    return;
  }
  if (type.kind === "ptr") {
    const kptr = kptrOf(btf, type.type);
    if (kptr) out.push({ kind: "kptr", struct: "kptr", offset, size: 8, kptr });
    return;
  }
  if (type.kind !== "struct") return;
  const known = FIELDS.get(type.name);
  if (known) out.push({ ...known, struct: type.name, offset, ...(holds && { holds }) });
  else if (depth < MAX_DEPTH) {
    const struct = resolve(btf, id);
    type.members.forEach((member, i) => {
      if (member.bitSize) return;
      const inner = btf.type(resolve(btf, member.type));
      // Most members are plain: tags are looked for only where one can matter.
      const root = inner.kind === "struct" || inner.kind === "array" ? contains(btf, struct, i) : undefined;
      collect(btf, member.type, offset + (member.bitOffset >> 3), depth + 1, root, out);
    });
  }
}

const KPTR_TAGS = { kptr_untrusted: "unref", kptr: "ref", percpu_kptr: "percpu", uptr: "user" } as const;

/** A pointer to a struct with the tag `kptr_untrusted`, `kptr`, `percpu_kptr` or `uptr`. */
function kptrOf(btf: Btf, id: number): MapField["kptr"] {
  const tag = btf.type(id);
  if (tag.kind !== "typeTag" || !Object.hasOwn(KPTR_TAGS, tag.name)) return undefined;
  const typeId = resolve(btf, tag.type);
  const type = btf.type(typeId);
  if (type.kind !== "struct" && type.kind !== "fwd") return undefined;
  return { mode: KPTR_TAGS[tag.name as keyof typeof KPTR_TAGS], typeId };
}

const tagsOf = new WeakMap<Btf, Map<string, string>>();

/** The tag `contains:STRUCT:MEMBER` of a member or a variable. */
function contains(btf: Btf, owner: number, component: number): MapField["holds"] {
  let tags = tagsOf.get(btf);
  if (!tags) {
    tags = new Map();
    for (let id = 1; id < btf.length; id++) {
      const tag = btf.type(id);
      if (tag.kind === "declTag" && tag.name.startsWith("contains:"))
        tags.set(`${tag.type} ${tag.component}`, tag.name);
    }
    tagsOf.set(btf, tags);
  }
  const [, struct = "", member = ""] = tags.get(`${owner} ${component}`)?.split(":") ?? [];
  const typeId = struct ? btf.find(struct, "struct") : undefined;
  const type = typeId === undefined ? undefined : btf.type(typeId);
  if (typeId === undefined || type?.kind !== "struct") return undefined;
  const found = type.members.find((m) => m.name === member);
  return found && { typeId, offset: found.bitOffset >> 3 };
}
