/** `ebplane down`: the end of a plane that `up --pin` left in the kernel. */
import type { Command } from "commander";
import { isPlaneFile, loadPlane } from "../input.ts";
import { inNamespace, requireKernel } from "../kernel.ts";
import { note } from "../output.ts";

export function registerDown(program: Command): void {
  program
    .command("down <plane>")
    .description("take a plane out of the kernel that up --pin left there: its name, or its file")
    .option("--netns <name>", "the network namespace: a name of ip netns, or a file")
    .action(async (where: string, { netns }: { netns?: string }) => {
      await requireKernel("down");
      const { removePinned } = await import("../up/pinned.ts");
      const name = isPlaneFile(where) ? (await loadPlane(where)).plane.name : where;
      await inNamespace(netns, (inode) => removePinned(name, inode));
      note(`plane ${name} is down: everything is detached`);
    });
}
