/**
 * `ebplane link`: two things by the field's one word. With objects and `-o` they are linked into one, as
 * `bpftool gen object` does; list, show, pin, detach and update are about the kernel's bpf_links.
 */
import { writeFileSync } from "node:fs";
import { linkObjects } from "@ebplane/core/elf";
import { hookText } from "@ebplane/core/object";
import type { LinkDescription } from "@ebplane/linux";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { readBytes } from "../input.ts";
import { requireKernel } from "../kernel.ts";
import { note, print, printJson, table } from "../output.ts";

const WHICH = "its id, or its file in bpffs";

export function registerLink(program: Command): void {
  const link = program
    .command("link [objects...]")
    .description("link several objects into one (-o), or list, show, pin, detach and update the kernel's links")
    .option("-o, --output <file>", "the object to write")
    .action((paths: string[], { output }: { output?: string }) => {
      if (paths.length === 0)
        throw new UsageError("link: name objects and -o FILE, or list, show, pin, detach, update");
      if (output === undefined) throw new UsageError("link: expected -o FILE, the object to write");
      const linked = linkObjects(paths.map((name) => ({ name, bytes: readBytes(name) })));
      writeFileSync(output, linked);
      note(`${output}: ${paths.length} objects, ${linked.length} bytes`);
    });

  link
    .command("list")
    .description("every link in the system; ebplane list shows what is attached without one, too")
    .option("--json", "one JSON document")
    .action(async ({ json }: { json?: boolean }) => {
      await requireKernel("link list");
      const { listLinkObjects } = await import("@ebplane/linux");
      const links = listLinkObjects();
      if (json) printJson({ links: links.map(linkJson) });
      else if (links.length === 0) print("no links");
      else {
        const rows = links.map((l) => [String(l.id), l.type, hookOf(l), String(l.progId || ""), l.detail]);
        print(table(["id", "type", "hook", "program", "detail"], rows, ["id", "program"]));
      }
    });

  link
    .command("show <link>")
    .description(`one link: ${WHICH}`)
    .option("--json", "one JSON document")
    .action(async (which: string, { json }: { json?: boolean }) => {
      await withLink(which, ({ id }, all) => {
        const found = all.find((l) => l.id === id);
        if (!found) throw new UsageError(`link ${which}: does not exist`);
        if (json) printJson(linkJson(found));
        else
          print(`link ${id}: ${found.type} ${hookOf(found)}, program ${found.progId || "none"} ${found.detail}`.trim());
      });
    });

  link
    .command("pin <link> <path>")
    .description("gives a link a name in bpffs, which keeps it attached")
    .action(async (which: string, path: string) => {
      await withLink(which, (live) => live.pin(path));
    });

  link
    .command("detach <link>")
    .description(`detaches at once, whoever holds it: ${WHICH}`)
    .action(async (which: string) => {
      await withLink(which, (live) => live.detach());
    });

  link
    .command("update <link> <prog>")
    .description("puts another loaded program (id or file in bpffs) in place, atomically")
    .action(async (which: string, program: string) => {
      const { openProgram } = await import("@ebplane/linux");
      await withLink(which, (live) => {
        using next = openProgram(where(program));
        live.update(next);
      });
    });
}

type LiveLink = ReturnType<typeof import("@ebplane/linux").openLink>;

async function withLink(which: string, body: (link: LiveLink, all: readonly LinkDescription[]) => void): Promise<void> {
  await requireKernel("link");
  const { listLinkObjects, openLink } = await import("@ebplane/linux");
  using link = openLink(where(which));
  body(link, listLinkObjects());
}

function where(which: string): { path: string } | { id: number } {
  if (which.includes("/")) return { path: which };
  if (/^\d{1,10}$/.test(which)) return { id: Number(which) };
  throw new UsageError(`${which}: expected an id, or a file in bpffs`);
}

function hookOf({ hook }: LinkDescription): string {
  return hook ? hookText(hook) : "";
}

function linkJson(link: LinkDescription) {
  return { ...link, hook: link.hook ? hookText(link.hook) : null };
}
