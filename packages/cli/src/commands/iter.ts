/** `ebplane iter`: programs that walk over the kernel's objects and write text, as `bpftool iter` pins them. */
import { AttachType, type CollectionSpec, type ProgramSpec, ProgType } from "@ebplane/core/object";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { inSource, loadObject } from "../input.ts";
import { requireKernel } from "../kernel.ts";

export function registerIter(program: Command): void {
  const iter = program.command("iter").description("iterator programs (section iter/…): read once, or as a file");

  iter
    .command("read <prog>")
    .description("what an iterator of an object (PROG or PROG#NAME) writes, or one that is pinned (its file)")
    .action(async (path: string) => {
      await requireKernel("iter read");
      const { openLink, readIterator } = await import("@ebplane/linux");
      if (path.startsWith("/sys/fs/bpf/")) {
        using link = openLink({ path });
        process.stdout.write(readIterator(link.fd));
        return;
      }
      await withIterator(path, (link) => process.stdout.write(readIterator(link.fd)));
    });

  iter
    .command("pin <prog> <path>")
    .description("a file in bpffs of which each reading runs the program; `rm` ends it")
    .action(async (path: string, file: string) => {
      await requireKernel("iter pin");
      const { ensureBpffs } = await import("@ebplane/linux");
      await withIterator(path, (link) => {
        ensureBpffs();
        link.pin(file);
      });
    });
}

async function withIterator(
  text: string,
  body: (link: { readonly fd: number; pin(path: string): void }) => void,
): Promise<void> {
  const at = text.lastIndexOf("#");
  const [path, name] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  const spec = await loadObject(path);
  const chosen = iteratorOf(spec, name, path);
  const { BpfLink, linuxTarget } = await import("@ebplane/linux");
  using loaded = inSource(spec, () => linuxTarget().load(spec, { programs: [chosen.name] }));
  using link = linuxTarget().attach(loaded.programs.get(chosen.name)!, { kind: "trace" });
  if (link instanceof BpfLink) body(link);
}

function iteratorOf(spec: CollectionSpec, name: string | undefined, path: string): ProgramSpec {
  const all = [...spec.programs.values()].filter(
    (p) => p.type === ProgType.BPF_PROG_TYPE_TRACING && p.attachType === AttachType.BPF_TRACE_ITER,
  );
  const found = name === undefined ? all : all.filter((p) => p.name === name);
  const [only] = found;
  const names = all.map((p) => p.name).join(", ") || "none";
  if (!only) throw new UsageError(`${path}: no iterator${name === undefined ? "" : ` named ${name}`}; it has ${names}`);
  if (found.length > 1) throw new UsageError(`${path}: several iterators, name one as ${path}#NAME: ${names}`);
  return only;
}
