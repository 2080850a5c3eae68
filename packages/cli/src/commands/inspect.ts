/** `ebplane inspect`: what an object holds. */
import { type Btf, typeText } from "@ebplane/core/btf";
import { attachTypeName, type CollectionSpec, type MapSpec, mapTypeName, progTypeName } from "@ebplane/core/object";
import type { Command } from "commander";
import { loadObject } from "../input.ts";
import { print, printJson, table } from "../output.ts";

export function registerInspect(program: Command): void {
  program
    .command("inspect <prog>")
    .description("list programs, maps, variables and types of an object, a .bpf.ts or a plane")
    .option("--json", "one JSON document")
    .action(async (path: string, { json }: { json?: boolean }) => {
      const described = describe(await loadObject(path));
      if (json) printJson(described);
      else printText(described);
    });
}

function describe(spec: CollectionSpec) {
  const { btf } = spec;
  const typeOf = (id: number | undefined): string | null => (btf && id ? typeText(btf, id) : null);
  const mapOf = (m: MapSpec) => ({
    type: mapTypeName(m.type),
    key: m.keySize,
    value: m.valueSize,
    max: m.maxEntries,
    flags: m.flags,
    keyType: typeOf(m.keyTypeId),
    valueType: typeOf(m.valueTypeId),
    pinning: m.pinning ?? "none",
    frozen: m.frozen ?? false,
    entries: m.contents?.length ?? 0,
    ...(m.mapExtra !== undefined && { extra: m.mapExtra }),
    ...(m.numaNode !== undefined && { numaNode: m.numaNode }),
  });
  return {
    license: spec.license,
    byteOrder: spec.byteOrder,
    version: spec.version ?? null,
    programs: [...spec.programs.values()].map((p) => ({
      name: p.name,
      section: p.section,
      type: progTypeName(p.type),
      attachType: attachTypeName(p.type, p.attachType) ?? null,
      attachTo: p.attachTo ?? null,
      flags: p.flags,
      autoload: p.autoload !== false,
      insns: p.code.length / 8,
      functions: p.funcInfo.map((f) => f.name),
      maps: [...new Set(p.relocs.flatMap((r) => (r.kind === "map" || r.kind === "mapValue" ? [r.name] : [])))],
      coreRelocations: p.coreRelos?.length ?? 0,
    })),
    maps: [...spec.maps.values()].map((m) => ({
      name: m.name,
      ...mapOf(m),
      inner: m.inner ? { name: m.inner.name, ...mapOf(m.inner) } : null,
    })),
    variables: [...(spec.variables ?? [])].map(([name, v]) => ({
      name,
      map: v.map,
      offset: v.offset,
      size: v.size,
      type: typeOf(v.typeId),
      linkage: v.linkage,
    })),
    externs: (spec.externs ?? []).map(({ name, kind, weak, typeId }) => ({ name, kind, weak, type: typeOf(typeId) })),
    structOps: (spec.structOps ?? []).map(({ name, section, programs }) => ({
      name,
      section,
      programs: programs.map((p) => p.program),
    })),
    btfTypes: btf ? btf.length - btf.firstId : 0,
    btfKinds: btf ? kindCounts(btf) : {},
    unknown: (spec.unknown ?? []).map(({ section, why, data }) => ({ section, why, size: data.length })),
  };
}

type Described = ReturnType<typeof describe>;

/** How many types of each kind. */
function kindCounts(btf: Btf): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let id = btf.firstId; id < btf.length; id++) {
    const { kind } = btf.type(id);
    if (kind !== "void") counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

function printText(d: Described): void {
  const types = d.btfTypes ? `${d.btfTypes} BTF types` : "no BTF";
  print(`license ${d.license || "(none)"}, ${d.byteOrder}-endian, ${types}`);
  const kinds = Object.entries(d.btfKinds).sort((a, b) => b[1] - a[1]);
  if (kinds.length) print(`  ${kinds.map(([kind, n]) => `${n} ${kind}`).join(", ")}`);
  section(
    ["program", "section", "type", "attach", "insns"],
    d.programs.map((p) => [p.name, p.section, p.type, p.attachType ?? "", String(p.insns)]),
    ["insns"],
  );
  section(
    ["map", "type", "key", "value", "max", ""],
    d.maps.flatMap((m) => {
      const { inner } = m;
      const row = [m.name, m.type, String(m.key), String(m.value), String(m.max), mapNotes(m)];
      if (!inner) return [row];
      return [row, ["  inner", inner.type, String(inner.key), String(inner.value), String(inner.max), mapNotes(inner)]];
    }),
    ["key", "value", "max"],
  );
  section(
    ["variable", "map", "offset", "size", "type"],
    d.variables.map((v) => [v.name, v.map, String(v.offset), String(v.size), v.type ?? ""]),
    ["offset", "size"],
  );
  section(
    ["extern", "kind", "type"],
    d.externs.map((e) => [e.name, e.weak ? `${e.kind}, weak` : e.kind, e.type ?? ""]),
  );
  section(
    ["struct_ops", "section", "programs"],
    d.structOps.map((s) => [s.name, s.section, s.programs.join(", ")]),
  );
  section(
    ["unknown section", "bytes", "why"],
    d.unknown.map((u) => [u.section, String(u.size), u.why]),
    ["bytes"],
  );
}

function section(head: readonly string[], rows: readonly (readonly string[])[], right: readonly string[] = []): void {
  if (rows.length === 0) return;
  print("");
  print(table(head, rows, right));
}

function mapNotes(
  m: Pick<Described["maps"][number], "flags" | "pinning" | "frozen" | "keyType" | "valueType">,
): string {
  const notes = [];
  if (m.keyType || m.valueType) notes.push(`${m.keyType ?? "bytes"} → ${m.valueType ?? "bytes"}`);
  if (m.pinning === "by-name") notes.push("pinned by name");
  if (m.frozen) notes.push("frozen");
  if (m.flags) notes.push(`flags 0x${m.flags.toString(16)}`);
  return notes.join(", ");
}
