/** `ebplane features`: what the running kernel and its devices can do, each with its reason. */
import { ProgType, progTypeName } from "@ebplane/core/object";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { inNamespace, requireKernel } from "../kernel.ts";
import { collect } from "../options.ts";
import { print, printJson, table } from "../output.ts";

export function registerFeatures(program: Command): void {
  program
    .command("features")
    .description("what this kernel and its devices can do")
    .option("--netns <name>", "whose devices: a name of ip netns, or a file")
    .option("--helpers <type>", "the helpers of a program type (repeatable; `all` takes seconds)", collect, [])
    .option("--kfuncs", "the kernel functions that programs may call")
    .option("--json", "one JSON document")
    .action(async ({ netns, json, helpers: asked, kfuncs: withKfuncs }: FeaturesOptions) => {
      const types = asked.includes("all") ? PROG_TYPES : asked.map(progTypeByName);
      await requireKernel("features");
      const { deviceFeatures, kernelFeatures, kernelHelpers, kernelKfuncs } = await import("@ebplane/linux");
      const helpers = Object.fromEntries(types.map((type) => [progTypeName(type), kernelHelpers(type)]));
      const kfuncs = withKfuncs ? kernelKfuncs() : undefined;
      const kernel = kernelFeatures();
      const devices = await inNamespace(netns, () => deviceFeatures());
      if (json) {
        printJson({ ...kernel, devices, helpers, kfuncs });
        return;
      }
      const { system } = kernel;
      const state = Object.entries(system)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name} ${value}`);
      print(state.join(", "));
      for (const [title, answers] of [
        ["program types", kernel.progTypes],
        ["map types", kernel.mapTypes],
        ["attach types", kernel.attachTypes],
      ] as const) {
        const all = Object.entries(answers);
        print(`\n${title}`);
        print(wrap(all.filter(([, a]) => a.supported).map(([name]) => name)));
        for (const [name, a] of all) if (!a.supported) print(`  no ${name}: ${a.reason}`);
      }
      for (const [type, names] of Object.entries(helpers)) {
        print(`\nhelpers of ${type}`);
        print(names.length ? wrap(names) : "  none: no program of this type loads");
      }
      if (kfuncs) {
        print("\nkernel functions");
        print(wrap(kfuncs));
      }
      if (devices.length) {
        print("");
        const rows = devices.map((d) => [d.name, d.features.join(" ") || "none"]);
        print(table(["device", "XDP features"], rows));
      }
    });
}

interface FeaturesOptions {
  readonly netns?: string;
  readonly helpers: readonly string[];
  readonly kfuncs?: boolean;
  readonly json?: boolean;
}

const PROG_TYPES: readonly number[] = Object.values(ProgType).filter((type) => type !== 0);

function progTypeByName(name: string): number {
  const type = PROG_TYPES.find((t) => progTypeName(t) === name);
  if (type !== undefined) return type;
  throw new UsageError(`--helpers: expected all, ${PROG_TYPES.map(progTypeName).join(", ")}, got ${name}`);
}

/** Words in indented lines of some 100 characters. */
function wrap(words: readonly string[]): string {
  const lines: string[] = [];
  let line = " ";
  for (const word of words) {
    if (line.length + word.length > 100) {
      lines.push(line);
      line = " ";
    }
    line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}
