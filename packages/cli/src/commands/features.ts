/** `ebplane features`: what the running kernel and its devices can do, each with its reason. */
import type { Command } from "commander";
import { inNamespace, requireKernel } from "../kernel.ts";
import { print, printJson, table } from "../output.ts";

export function registerFeatures(program: Command): void {
  program
    .command("features")
    .description("what this kernel and its devices can do")
    .option("--netns <name>", "whose devices: a name of ip netns, or a file")
    .option("--json", "one JSON document")
    .action(async ({ netns, json }: { netns?: string; json?: boolean }) => {
      await requireKernel("features");
      const { deviceFeatures, kernelFeatures } = await import("@ebplane/linux");
      const kernel = kernelFeatures();
      const devices = await inNamespace(netns, () => deviceFeatures());
      if (json) {
        printJson({ ...kernel, devices });
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
      if (devices.length) {
        print("");
        const rows = devices.map((d) => [d.name, d.features.join(" ") || "none"]);
        print(table(["device", "XDP features"], rows));
      }
    });
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
