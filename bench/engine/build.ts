/** Compiles the programs: eBPF objects with clang, the native library with gcc. Everything goes to a temporary folder. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readElf } from "@ebplane/core/elf";
import type { CollectionSpec } from "@ebplane/core/object";

const here = dirname(fileURLToPath(import.meta.url));

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "ebplane-bench-"));
}

/** The object of one program. @throws Error with clang's own words. */
export function buildBpf(folder: string, name: string): CollectionSpec {
  const out = join(folder, `${name}.o`);
  const source = join(here, "programs", `${name}.c`);
  execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c", source, "-o", out]);
  return readElf(readFileSync(out));
}

/** One shared library with every program in both native builds. Answers its path. */
export function buildNative(folder: string, names: readonly string[]): string {
  const objects: string[] = [];
  const compile = (source: string, out: string, ...defines: string[]): void => {
    const path = join(folder, out);
    execFileSync("gcc", ["-O2", "-fPIC", "-w", ...defines, "-c", join(here, source), "-o", path]);
    objects.push(path);
  };
  compile("native/maps.c", "maps.o");
  compile("native/run.c", "run.o");
  for (const name of names) {
    compile(`programs/${name}.c`, `${name}_out.o`, `-DPROG=${name}_out`);
    compile(`programs/${name}.c`, `${name}_in.o`, `-DPROG=${name}_in`, "-DINLINED_MAPS");
  }
  const library = join(folder, "native.so");
  execFileSync("gcc", ["-shared", "-o", library, ...objects]);
  return library;
}
