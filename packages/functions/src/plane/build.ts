/**
 * PlaneSpec → loadable programs and maps. Structure and folded configuration go into the code, everything else into
 * the initial contents of maps; `layout` says where the counters are.
 */
import { type Compiled, type CompileInput, compile } from "@ebplane/compiler";
import { InternalError } from "@ebplane/core/errors";
import type { CollectionSpec, MapEntry, MapSpec } from "@ebplane/core/object";
import { BPF_SOURCES } from "../bpf-sources.generated.ts";
import { type FunctionLayout, type InterfaceLayout, identifier, mapPrefix, type PlaneLayout } from "./layout.ts";
import { PARSER_REASONS } from "./parser.ts";
import type { FunctionConfig, PlaneSpec } from "./schema.ts";
import { ENTRY, moduleOf, planeSource } from "./source.ts";

/** A plane as code: what a target loads, and where things are in it. */
export interface BuiltPlane {
  readonly spec: CollectionSpec;
  readonly layout: PlaneLayout;
  /** The generated program text, for people. */
  readonly source: string;
  /** What a verifier's rejection of a program means in its source. */
  readonly explain: Compiled["explain"];
}

/** The map of redirect targets, by the name it has in `packet/devices.bpf.ts`. */
const DEVICES = "devices";

/**
 * Compiles a plane; `kernel` is the oldest one that it is to run on.
 * @throws CompileError only through a defect of a function's program: a plane file that parsed always compiles.
 */
export function buildPlane(plane: PlaneSpec, kernel?: CompileInput["kernel"]): BuiltPlane {
  const used = new Set([...plane.interfaces.values()].flatMap((i) => plane.chains.get(i.xdp ?? "") ?? []));
  const functions = new Map([...plane.functions].filter(([name]) => used.has(name)));
  const modules = new Map([...functions].map(([name, { kind }]) => [name, moduleOf(name, kind.source)]));
  const interfaces = [...plane.interfaces.keys()];

  const layout: PlaneLayout = {
    name: plane.name,
    interfaces: [...plane.interfaces].map(([name, iface]) =>
      iface.xdp === undefined ? { name } : interfaceLayout(name, iface.xdp, plane.chains.get(iface.xdp)!, functions),
    ),
    devices: [...functions.values()].some((f) => f.kind.redirectsTo?.(f.config).length) ? DEVICES : undefined,
  };
  const source = planeSource(layout, modules);

  const files = new Map([...BPF_SOURCES].filter(([path]) => path.startsWith("packet/")));
  const settings = new Map<string, { prefix: string; constants: Readonly<Record<string, number | boolean>> }>();
  for (const [name, { kind, config }] of functions) {
    files.set(modules.get(name)!, BPF_SOURCES.get(kind.source)!);
    settings.set(modules.get(name)!, { prefix: mapPrefix(name), constants: kind.constants(config, { interfaces }) });
  }
  files.set(ENTRY, source);
  const { spec, explain } = compile({
    entry: ENTRY,
    files,
    constants: layout.devices === undefined ? {} : { INTERFACES: interfaces.length },
    modules: settings,
    kernel,
  });
  return { spec: { ...spec, maps: withContents(spec.maps, functions, interfaces) }, layout, source, explain };
}

function interfaceLayout(
  name: string,
  chain: string,
  members: readonly string[],
  functions: ReadonlyMap<string, FunctionConfig>,
): InterfaceLayout {
  const rows: FunctionLayout[] = [{ name: "parser", type: "parser", reasons: PARSER_REASONS, reasonBase: 0 }];
  let reasonBase = PARSER_REASONS.length;
  for (const member of members) {
    const { kind } = functions.get(member)!;
    rows.push({ name: member, type: kind.type, reasons: kind.reasons, reasonBase });
    reasonBase += kind.reasons.length;
  }
  const id = identifier(name);
  const redirectsTo = new Set(
    members.flatMap((member) => {
      const { kind, config } = functions.get(member)!;
      return kind.redirectsTo?.(config) ?? [];
    }),
  );
  const maps = { stats: `stats_${id}`, reasons: `reasons_${id}` };
  return { name, program: { name: id, chain, ...maps, redirectsTo: [...redirectsTo], functions: rows } };
}

function withContents(
  maps: ReadonlyMap<string, MapSpec>,
  functions: ReadonlyMap<string, FunctionConfig>,
  interfaces: readonly string[],
): Map<string, MapSpec> {
  const out = new Map(maps);
  for (const [name, { kind, config }] of functions) {
    for (const [own, contents] of kind.contents(config, { interfaces })) {
      const map = out.get(mapPrefix(name) + own);
      if (!map) throw new InternalError(`function ${name} has no map ${own}`);
      out.set(map.name, { ...map, contents: contents as readonly MapEntry[] });
    }
  }
  return out;
}
