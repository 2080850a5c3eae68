/** Small programs for kernel tests, from assembly text. */
import { assemble } from "@ebplane/core/asm";
import { BtfBuilder } from "@ebplane/core/btf";
import {
  type CollectionSpec,
  type MapSpec,
  MapType,
  type ProgramSpec,
  ProgType,
  type StructOpsSpec,
} from "@ebplane/core/object";

/** A program of the kernel's assembly notation; maps are written `map[name]` and `map[name][0]+0`. */
export function asmProgram(name: string, type: number, text: string, more: Partial<ProgramSpec> = {}): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(text, { file: `${name}.s` });
  return { name, section: "test", type, attachType: 0, flags: 0, code, relocs, funcInfo: [], lineInfo, ...more };
}

export function collectionOf(programs: readonly ProgramSpec[], maps: readonly MapSpec[] = []): CollectionSpec {
  return {
    programs: new Map(programs.map((p) => [p.name, p])),
    maps: new Map(maps.map((m) => [m.name, m])),
    license: "GPL",
    byteOrder: "little",
  };
}

/** An array of `maxEntries` u64. */
export function arrayMap(name: string, maxEntries = 1, more: Partial<MapSpec> = {}): MapSpec {
  return { name, type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8, maxEntries, flags: 0, ...more };
}

/** Adds 1 to the first u64 of the map `hits`, by a lookup: for arrays of several values, and for objects. */
export const COUNT_HIT = `
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map[hits]
    call bpf_map_lookup_elem
    if r0 == 0 goto +2
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1`;

/** Adds 1 to the first u64 of the array `hits`, then returns `verdict`. */
export function countingProgram(name: string, type: number, verdict: number, more?: Partial<ProgramSpec>): ProgramSpec {
  const text = `
    r1 = map[hits][0]+0
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    r0 = ${verdict}
    exit`;
  return asmProgram(name, type, text, more);
}

/** `tcp_congestion_ops` as an object might know it: some of the members, in an order of its own. */
function localTypes(section: string, extra: readonly string[]) {
  const b = new BtfBuilder();
  const op = b.ptr(0);
  const u32 = b.int("unsigned int", 4);
  const char = b.int("char", 1, { encoding: "char" });
  const members = ["ssthresh", "cong_avoid", "undo_cwnd", ...extra].map((name, i) => ({
    name,
    type: op,
    offset: i * 8,
  }));
  const end = members.length * 8;
  const typeId = b.struct("tcp_congestion_ops___mine", end + 24, [
    ...members,
    { name: "flags", type: u32, offset: end },
    { name: "name", type: b.array(char, 16), offset: end + 4 },
  ]);
  const variable = b.add({ kind: "var", name: "cc", type: typeId, linkage: "global" });
  b.add({ kind: "datasec", name: section, size: end + 24, vars: [{ type: variable, offset: 0, size: end + 24 }] });
  return { btf: b.build(), typeId, end };
}

/**
 * A TCP congestion control of this name that counts in `hits` what it is asked. `extra` are members that the kernel may
 * not have, `programs` how many of the three that it needs are there.
 */
export function congestionControl(
  control: string,
  section = ".struct_ops.link",
  more: { readonly extra?: readonly string[]; readonly programs?: number } = {},
): CollectionSpec {
  const { btf, typeId, end } = localTypes(section, more.extra ?? []);
  const data = new Uint8Array(end + 24);
  data.set(new TextEncoder().encode(control), end + 4);
  const op = (name: string, body: string) =>
    asmProgram(name, ProgType.BPF_PROG_TYPE_STRUCT_OPS, body, { section: `struct_ops/${name}`, attachTo: name });
  const programs = [
    op("cc_ssthresh", `${COUNT_HIT}\nr0 = 10\nexit`),
    op("cc_avoid", `${COUNT_HIT}\nr0 = 0\nexit`),
    op("cc_undo", `r0 = 10\nexit`),
  ];
  const structOps: StructOpsSpec = {
    name: "cc",
    section,
    typeId,
    data,
    programs: programs.slice(0, more.programs ?? 3).map((p, i) => ({ offset: i * 8, program: p.name })),
  };
  return { ...collectionOf(programs, [arrayMap("hits")]), btf, structOps: [structOps] };
}

/**
 * A struct of the kernel's operations, in the variable `ops`: programs by member, and bytes of other members. Its own
 * reading of the struct has no more members than these.
 */
export function structOpsOf(
  struct: string,
  programs: Readonly<Record<string, string>>,
  values: Readonly<Record<string, Uint8Array>>,
): CollectionSpec {
  const b = new BtfBuilder();
  const op = b.ptr(0);
  const char = b.int("char", 1, { encoding: "char" });
  let end = 0;
  const member = (name: string, type: number, size: number) => {
    const at = end;
    end += size;
    return { name, type, offset: at };
  };
  const members = [
    ...Object.keys(programs).map((name) => member(name, op, 8)),
    ...Object.entries(values).map(([name, { length }]) => member(name, b.array(char, length), length)),
  ];
  const typeId = b.struct(`${struct}___mine`, end, members);
  const variable = b.add({ kind: "var", name: "ops", type: typeId, linkage: "global" });
  const section = ".struct_ops.link";
  b.add({ kind: "datasec", name: section, size: end, vars: [{ type: variable, offset: 0, size: end }] });
  const data = new Uint8Array(end);
  for (const { name, offset } of members) data.set(values[name] ?? [], offset);
  const specs = Object.entries(programs).map(([name, body]) =>
    asmProgram(`op_${name}`, ProgType.BPF_PROG_TYPE_STRUCT_OPS, body, {
      section: `struct_ops/${name}`,
      attachTo: name,
    }),
  );
  const structOps: StructOpsSpec = {
    name: "ops",
    section,
    typeId,
    data,
    programs: specs.map((p, i) => ({ offset: i * 8, program: p.name })),
  };
  return { ...collectionOf(specs, [arrayMap("hits")]), btf: b.build(), structOps: [structOps] };
}
