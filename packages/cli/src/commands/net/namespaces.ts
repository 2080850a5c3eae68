/** `ebplane net ns`: network namespaces with a name, as `ip netns` keeps them. */
import { existsSync, readdirSync } from "node:fs";
import { BpfError } from "@ebplane/core/errors";
import type { Command } from "commander";
import { print, printJson, table } from "../../output.ts";

const NAMED = "/run/netns";

export function registerNamespaces(net: Command): void {
  const ns = net.command("ns").description("network namespaces with a name");
  ns.command("list", { isDefault: true })
    .description("all there are")
    .option("--json", "one JSON document")
    .action(async ({ json }: { json?: boolean }) => {
      const { NetNs } = await import("@ebplane/linux/netns");
      const namespaces = (existsSync(NAMED) ? readdirSync(NAMED) : []).map((name) => {
        using open = NetNs.openNamed(name);
        return { name, inode: open.inode };
      });
      if (json) printJson({ namespaces });
      else if (namespaces.length === 0) print("no namespaces");
      else
        print(
          table(
            ["name", "number"],
            namespaces.map(({ name, inode }) => [name, String(inode)]),
            ["number"],
          ),
        );
    });
  ns.command("add <name>")
    .description("a new namespace, its loopback down")
    .action(async (name: string) => {
      const { NetNs } = await import("@ebplane/linux/netns");
      NetNs.createNamed(name).close();
    });
  ns.command("del <name>")
    .description("takes the name away; the namespace ends with its last user")
    .action(async (name: string) => {
      const { NetNs } = await import("@ebplane/linux/netns");
      NetNs.removeNamed(name);
    });
  ns.command("exec <name> <command...>")
    .description("runs a command inside: write -- before it")
    .action(async (name: string, [command, ...args]: [string, ...string[]]) => {
      const { NetNs } = await import("@ebplane/linux/netns");
      using inside = name.includes("/") ? NetNs.open({ path: name }) : NetNs.openNamed(name);
      const child = inside.spawn(command, args, { stdio: "inherit" });
      process.exitCode = await new Promise<number>((resolve, reject) => {
        child.once("error", (error) => reject(new BpfError("EEXEC", `${command}: ${error.message}`)));
        child.once("exit", (code, signal) => resolve(signal ? 128 : (code ?? 0)));
      });
    });
}
