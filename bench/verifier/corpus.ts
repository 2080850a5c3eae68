/** What the verifier is measured on: files named on the command line, or what the checkout itself can build. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { parseBtf } from "@ebplane/core/btf";
import { readElf, relocateCore } from "@ebplane/core/elf";
import { type CollectionSpec, progTypeByName } from "@ebplane/core/object";
import { buildPlane, parsePlane } from "@ebplane/functions";
import { build, CORPUS } from "../../packages/core/test/objects/corpus.ts";

export interface Source {
  readonly name: string;
  readonly spec: CollectionSpec;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const VMLINUX = "/sys/kernel/btf/vmlinux";

/** The running kernel's types, read once. */
export const kernelBtf = existsSync(VMLINUX) ? parseBtf(readFileSync(VMLINUX)) : undefined;

export function* corpus(paths: readonly string[]): Iterable<Source> {
  if (paths.length === 0) {
    yield* own();
    return;
  }
  for (const argument of paths) {
    const [path = "", type] = argument.split("=");
    for (const file of filesOf(path)) {
      const spec = read(file);
      if (!spec) continue;
      const name = file === path ? basename(file) : relative(path, file);
      yield { name, spec: relocated(type === undefined ? spec : typed(spec, type)) };
    }
  }
}

/** Programs of sections that name no type (`2/7`) take the one that the loader would have said. */
function typed(spec: CollectionSpec, name: string): CollectionSpec {
  const type = progTypeByName(name);
  if (type === undefined) throw new Error(`no program type is named ${name}`);
  const programs = new Map([...spec.programs].map(([key, p]) => [key, p.type === 0 ? { ...p, type } : p]));
  return { ...spec, programs };
}

function* own(): Iterable<Source> {
  for (const name of CORPUS) yield { name: `${name}.c`, spec: relocated(readElf(build(name))) };
  for (const dir of ["examples/programs", "bench/compiler/programs"]) {
    for (const file of filesOf(join(ROOT, dir))) {
      if (!file.endsWith(".bpf.ts")) continue;
      yield { name: basename(file), spec: read(file)! };
    }
  }
  yield { name: "edge plane", spec: read(join(ROOT, "examples/edge/plane.yaml"))! };
}

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return (readdirSync(path, { recursive: true }) as string[])
    .filter((f) => /\.(o|elf|bpf\.ts)$/.test(f))
    .sort()
    .map((f) => join(path, f))
    .filter((f) => existsSync(f) && statSync(f).isFile());
}

/** Undefined for a file of a directory that is no eBPF object. */
function read(file: string): CollectionSpec | undefined {
  const bytes = readFileSync(file);
  if (file.endsWith(".ts")) {
    const files = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : undefined);
    return compile({ entry: file, files }).spec;
  }
  if (file.endsWith(".yaml")) return buildPlane(parsePlane(bytes.toString(), file)).spec;
  try {
    const spec = readElf(bytes);
    return spec.byteOrder === "little" ? spec : undefined;
  } catch (error) {
    console.log(`not read: ${file}: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** CO-RE is resolved before either verifier sees the program. */
function relocated(spec: CollectionSpec): CollectionSpec {
  if (!kernelBtf || ![...spec.programs.values()].some((p) => p.coreRelos?.length)) return spec;
  return relocateCore(spec, kernelBtf);
}
