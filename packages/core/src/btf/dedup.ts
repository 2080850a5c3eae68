/**
 * Dedup: types that mean the same become one. Two types are the same when their own fields are equal and what they
 * refer to is the same, cycles included: the coarsest such partition, found by refining classes until they are stable.
 *
 * A forward declaration becomes the struct of its name where all structs of that name look alike. Variables and
 * sections are kept as they are: two of one name may be two things.
 */
import { BtfError } from "../errors/index.ts";
import { encodeBtf } from "./encode.ts";
import { parseBtf } from "./parse.ts";
import type { Btf, BtfType } from "./types.ts";

/** Types looked at in all rounds. */
const MAX_WORK = 20_000_000;

export interface Deduplicated {
  readonly types: readonly BtfType[];
  /** New id of each old one; index 0 is void. */
  readonly ids: Uint32Array;
}

/** Dedups a list of types, whose first has id 1. The order of first occurrence stays. */
export function dedupTypes(types: readonly BtfType[]): Deduplicated {
  const resolved = resolveForwards(types);
  const classes = refine(types, resolved);
  // Class → new id, by first occurrence.
  const newIdOf = new Map<number, number>();
  const ids = new Uint32Array(types.length + 1);
  const kept: BtfType[] = [];
  for (let id = 1; id <= types.length; id++) {
    const target = resolved[id]!;
    const known = newIdOf.get(classes[target]!);
    if (known !== undefined) {
      ids[id] = known;
      continue;
    }
    // A forward's struct may come later: it takes its place where the forward stood.
    kept.push(types[target - 1]!);
    newIdOf.set(classes[target]!, kept.length);
    ids[id] = kept.length;
  }
  return { types: kept.map((t) => mapReferences(t, (id) => ids[id]!)), ids };
}

/**
 * Dedups types that stand on a base (their first id is `base.length`): what the base has too becomes the base's. The
 * base stays as it is. Source: libbpf `btf__dedup` of a split BTF, as pahole makes a kernel module's.
 */
export function dedupSplit(types: readonly BtfType[], base: Btf): Deduplicated {
  const all = [...Array.from({ length: base.length - 1 }, (_, i) => base.type(i + 1)), ...types];
  const resolved = resolveForwards(all);
  const classes = refine(all, resolved);
  const newIdOf = new Map<number, number>();
  const ids = new Uint32Array(all.length + 1);
  for (let id = 1; id < base.length; id++) {
    ids[id] = id;
    // A forward of the base does not stand for its struct.
    if (resolved[id] === id && !newIdOf.has(classes[id]!)) newIdOf.set(classes[id]!, id);
  }
  const kept: BtfType[] = [];
  for (let id = base.length; id <= all.length; id++) {
    const target = resolved[id]!;
    let known = newIdOf.get(classes[target]!);
    if (known === undefined) {
      kept.push(all[target - 1]!);
      known = base.length + kept.length - 1;
      newIdOf.set(classes[target]!, known);
    }
    ids[id] = known;
  }
  return { types: kept.map((t) => mapReferences(t, (id) => ids[id]!)), ids };
}

/** The types of a whole BTF as a split one on `base`, with only what the base lacks. */
export function splitBtf(btf: Btf, base: Btf): { readonly btf: Btf; readonly ids: Uint32Array } {
  if (btf.base) throw new TypeError("a split BTF cannot be split again");
  const shift = base.length - 1;
  const moved = Array.from({ length: btf.length - 1 }, (_, i) =>
    mapReferences(btf.type(i + 1), (id) => (id ? id + shift : 0)),
  );
  const { types, ids } = dedupSplit(moved, base);
  const own = Uint32Array.from({ length: btf.length }, (_, id) => (id ? ids[id + shift]! : 0));
  return { btf: parseBtf(encodeBtf(types, { base }).bytes, base), ids: own };
}

/** Dedups a BTF that is not split. */
export function dedupBtf(btf: Btf): { readonly btf: Btf; readonly ids: Uint32Array } {
  if (btf.base) throw new TypeError("a split BTF cannot be deduplicated alone");
  const { types, ids } = dedupTypes(Array.from({ length: btf.length - 1 }, (_, i) => btf.type(i + 1)));
  return { btf: parseBtf(encodeBtf(types).bytes), ids };
}

/** The type with every reference changed. */
export function mapReferences(type: BtfType, map: (id: number) => number): BtfType {
  switch (type.kind) {
    case "ptr":
    case "typedef":
    case "const":
    case "volatile":
    case "restrict":
    case "typeTag":
    case "func":
    case "var":
    case "declTag":
      return { ...type, type: map(type.type) };
    case "array":
      return { ...type, type: map(type.type), indexType: map(type.indexType) };
    case "struct":
    case "union":
      return { ...type, members: type.members.map((m) => ({ ...m, type: map(m.type) })) };
    case "funcProto":
      return { ...type, ret: map(type.ret), params: type.params.map((p) => ({ ...p, type: map(p.type) })) };
    case "datasec":
      return { ...type, vars: type.vars.map((v) => ({ ...v, type: map(v.type) })) };
  }
  return type;
}

function references(type: BtfType): number[] {
  const out: number[] = [];
  mapReferences(type, (id) => {
    out.push(id);
    return id;
  });
  return out;
}

/** Everything of a type but its references. */
function ownFields(type: BtfType): string {
  return JSON.stringify(
    mapReferences(type, () => 0),
    (_, value) => (typeof value === "bigint" ? `${value}n` : value),
  );
}

/** For each id the id that it stands for: a forward's struct, where there is one only by looks; else itself. */
function resolveForwards(types: readonly BtfType[]): Uint32Array {
  const resolved = Uint32Array.from({ length: types.length + 1 }, (_, i) => i);
  const byName = new Map<string, { id: number; looks: string } | null>();
  const key = (union: boolean, name: string) => `${union ? "union" : "struct"} ${name}`;
  const forwards = types.some((t) => t.kind === "fwd");
  if (!forwards) return resolved;
  types.forEach((t, i) => {
    if ((t.kind !== "struct" && t.kind !== "union") || !t.name) return;
    const k = key(t.kind === "union", t.name);
    const looks = ownFields(t);
    const known = byName.get(k);
    if (known === undefined) byName.set(k, { id: i + 1, looks });
    else if (known !== null && known.looks !== looks) byName.set(k, null);
  });
  types.forEach((t, i) => {
    const struct = t.kind === "fwd" ? byName.get(key(t.union, t.name)) : undefined;
    if (struct) resolved[i + 1] = struct.id;
  });
  return resolved;
}

/** Class of each id. Starts with equal fields, then splits classes whose members refer to different classes. */
function refine(types: readonly BtfType[], resolved: Uint32Array): Uint32Array {
  let classes = new Uint32Array(types.length + 1);
  const refs: number[][] = [[]];
  const first = new Map<string, number>();
  types.forEach((t, i) => {
    refs.push(references(t).map((id) => resolved[id]!));
    // Variables and sections are never the same as others.
    const own = t.kind === "var" || t.kind === "datasec" ? `#${i}` : ownFields(t);
    let c = first.get(own);
    if (c === undefined) first.set(own, (c = first.size + 1));
    classes[i + 1] = c;
  });
  for (let count = first.size, work = 0; ; ) {
    // A round for each level of the deepest chain: kernels have some 20.
    work += types.length;
    if (work > MAX_WORK) throw new BtfError("chains of types are too long to be deduplicated");
    const next = new Uint32Array(types.length + 1);
    const seen = new Map<string, number>();
    for (let id = 1; id <= types.length; id++) {
      let signature = String(classes[id]);
      for (const ref of refs[id]!) signature += `,${classes[ref]}`;
      let c = seen.get(signature);
      if (c === undefined) seen.set(signature, (c = seen.size + 1));
      next[id] = c;
    }
    classes = next;
    if (seen.size === count) return classes;
    count = seen.size;
  }
}
