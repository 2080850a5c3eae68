/**
 * A plane's program text: one XDP program an interface that has a chain, made of the functions in that chain.
 *
 * What it generates is TypeScript like any other (`ebplane build PLANE --source` prints it): it imports each function
 * from its own module, calls them in order, counts every outcome, and leaves as soon as one decides. Only functions
 * that a chain uses are imported, so only their code and maps are in the object.
 */
import { type InterfaceLayout, identifier, OUTCOME_CONTINUE, OUTCOMES, type PlaneLayout } from "./layout.ts";

/** The virtual file that holds the generated programs. */
export const ENTRY = "plane.bpf.ts";

/** The virtual file of a function: its own folder beside `packet/`, so that relative imports keep working. */
export function moduleOf(name: string, source: string): string {
  return `${identifier(name)}/${source.slice(source.lastIndexOf("/") + 1)}`;
}

/** `modules` gives each function's virtual file. */
export function planeSource(layout: PlaneLayout, modules: ReadonlyMap<string, string>): string {
  const used = new Set(
    layout.interfaces.flatMap((i) => (i.program ? i.program.functions.slice(1).map((f) => f.name) : [])),
  );
  const lines = [
    'import { license, percpuArray, u32, u64, xdp, XDP_DROP, XDP_PASS } from "ebplane/bpf";',
    'import { Packet, parse } from "./packet/packet.bpf.ts";',
    'import { count, Counter } from "./packet/count.bpf.ts";',
    ...[...used].map((name) => `import { run as ${identifier(name)} } from "./${modules.get(name)}";`),
    "",
    'license("Dual MIT/GPL");',
    ...layout.interfaces.flatMap(programSource),
  ];
  return `${lines.join("\n")}\n`;
}

function programSource(iface: InterfaceLayout): string[] {
  const { program } = iface;
  if (!program) return [];
  const reasons = program.functions.reduce((n, f) => n + f.reasons.length, 0);
  return [
    "",
    `/** Interface ${iface.name}, chain ${program.chain}. */`,
    `export const ${program.stats} = percpuArray(Counter, { maxEntries: ${program.functions.length * OUTCOMES} });`,
    `export const ${program.reasons} = percpuArray(Counter, { maxEntries: ${reasons} });`,
    `export const ${program.name} = xdp((ctx) => {`,
    "  const packet = Packet();",
    "  const length = u64(ctx.length);",
    "  const malformed = parse(ctx, packet);",
    "  if (malformed !== 0) {",
    `    count(${program.stats}.lookup(XDP_DROP), length);`,
    `    count(${program.reasons}.lookup(malformed - 1), length);`,
    "    return XDP_DROP;",
    "  }",
    `  count(${program.stats}.lookup(${OUTCOME_CONTINUE}), length);`,
    ...program.functions.flatMap((fn, slot) =>
      slot === 0
        ? []
        : [
            `  // ${fn.name}`,
            `  const result${slot} = ${identifier(fn.name)}(packet);`,
            `  const verdict${slot} = result${slot} & 7;`,
            `  count(${program.stats}.lookup(${slot * OUTCOMES} + verdict${slot}), length);`,
            `  if (verdict${slot} !== ${OUTCOME_CONTINUE}) {`,
            ...(fn.reasons.length
              ? [
                  `    if (verdict${slot} === XDP_DROP) {`,
                  `      count(${program.reasons}.lookup(${fn.reasonBase} + (result${slot} >>> 8)), length);`,
                  "    }",
                ]
              : []),
            `    return verdict${slot};`,
            "  }",
          ],
    ),
    "  return XDP_PASS;",
    "});",
  ];
}
