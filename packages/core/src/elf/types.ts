/**
 * TypeScript bindings of an object, for `ebplane types`: the types of map keys and values, variables, programs and
 * named structs. `typedMaps` (typed-map.ts) gives them life at run time.
 */
import { type Btf, dumpTypeScript, pascalCase, propertyName, TS_PRELUDE, typeText } from "../btf/index.ts";
import { type CollectionSpec, isPerCpu, type MapSpec, mapTypeName, progTypeName } from "../object/index.ts";
import { isDataSectionName } from "./data.ts";
import { KCONFIG_MAP } from "./externs.ts";

export interface GenerateTypesOptions {
  /** The object's name, for the head comment and the name of the main interface; `Object` when absent. */
  readonly name?: string;
  /** Where the generated file imports `TypedMap` from. */
  readonly from?: string;
}

/** The text of a `.types.ts` file. Types without BTF are `Uint8Array`. */
export function generateTypes(spec: CollectionSpec, options: GenerateTypesOptions = {}): string {
  const name = pascalCase(options.name ?? "object");
  const maps = [...spec.maps.values()].filter((m) => !isDataSectionName(m.name) && m.name !== KCONFIG_MAP);
  const variables = [...(spec.variables ?? [])];
  const { btf } = spec;
  const roots = btf
    ? [
        ...maps.flatMap((m) => [m.keyTypeId, m.valueTypeId]),
        ...maps.flatMap((m) => [m.inner?.keyTypeId, m.inner?.valueTypeId]),
        ...variables.map(([, v]) => v.typeId),
      ].filter((id): id is number => Boolean(id))
    : [];
  const structs = btf ? eventTypes(btf, spec) : [];
  const all = [...roots, ...structs];
  const { declarations, expressions } = btf ? dumpTypeScript(btf, all) : { declarations: [], expressions: [] };
  const of = (id: number | undefined) => (id ? expressions[all.indexOf(id)]! : "Uint8Array");
  const mapType = (m: MapSpec): string =>
    `TypedMap<${m.keySize ? of(m.keyTypeId) : "undefined"}, ${isPerCpu(m.type) ? `(${of(m.valueTypeId)})[]` : of(m.valueTypeId)}>`;
  const mapLine = (m: MapSpec) =>
    `  /** ${mapTypeName(m.type)}, ${m.maxEntries} entries. */\n  readonly ${propertyName(m.name)}: ${mapType(m)};`;
  const variableLine = ([key, v]: (typeof variables)[number]) =>
    `  /** ${v.map} + ${v.offset}, ${v.size} bytes${btf && v.typeId ? `, \`${typeText(btf, v.typeId)}\`` : ""}. */\n  readonly ${propertyName(key)}: ${of(v.typeId)};`;
  const programLine = (p: { name: string; type: number; section: string }) =>
    `  /** ${p.section}, ${progTypeName(p.type)}. */\n  readonly ${propertyName(p.name)}: Program;`;
  const block = (kind: string, lines: readonly string[]) =>
    lines.length ? `export interface ${name}${kind} {\n${lines.join("\n")}\n}` : `export type ${name}${kind} = object;`;
  const from = options.from ?? "@ebplane/core/elf";
  return `${[
    `/** Types of ${options.name ?? "an object"}, written by \`ebplane types\`: do not edit. */`,
    `import type { TypedMap } from ${JSON.stringify(from)};`,
    `import type { Program } from "@ebplane/core/object";`,
    "",
    TS_PRELUDE,
    ...declarations.map((d) => `\n${d}`),
    "",
    block("Maps", maps.map(mapLine)),
    "",
    block("Variables", variables.map(variableLine)),
    "",
    block("Programs", [...spec.programs.values()].map(programLine)),
    "",
    block(
      "Structs",
      structs.map((id) => `  readonly ${propertyName(btf!.type(id).name)}: ${of(id)};`),
    ),
  ].join("\n")}\n`;
}

/** Named structs that nothing above refers to, yet the object has: what it may send as an event. */
function eventTypes(btf: Btf, spec: CollectionSpec): number[] {
  const rings = [...spec.maps.values()].some((m) => /ringbuf|perf_event_array/.test(mapTypeName(m.type)));
  if (!rings) return [];
  const out: number[] = [];
  for (let id = 1; id < btf.length; id++) {
    const type = btf.type(id);
    // The kernel's own context types are of no use to a reader of events.
    if (type.kind === "struct" && type.name && !/^(xdp_md|__sk_buff|bpf_)/.test(type.name)) out.push(id);
  }
  return out;
}
