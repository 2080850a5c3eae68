/** The programs that are written twice, compiled by clang and by us. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { readElf } from "@ebplane/core/elf";
import type { CollectionSpec } from "@ebplane/core/object";

const DIR = fileURLToPath(new URL("programs/", import.meta.url));
/** Some of the programs are the examples: their C stands in `programs/` under the same name. */
const EXAMPLES = fileURLToPath(new URL("../../examples/programs/", import.meta.url));

export const NAMES: readonly string[] = readdirSync(DIR)
  .filter((f) => f.endsWith(".c"))
  .map((f) => f.slice(0, -2));

/** The C twin, by `clang -O2 -mcpu=v3`, through a file in `folder`. */
export function clang(name: string, folder: string): CollectionSpec {
  const out = join(folder, `${name}.o`);
  const flags = [
    "-O2",
    "-mcpu=v3",
    "-target",
    "bpf",
    "-g",
    `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`,
  ];
  execFileSync("clang", [...flags, "-c", join(DIR, `${name}.c`), "-o", out], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return readElf(readFileSync(out));
}

/** The program in the language. */
export function ours(name: string): CollectionSpec {
  const own = join(DIR, `${name}.bpf.ts`);
  const entry = existsSync(own) ? own : join(EXAMPLES, `${name}.bpf.ts`);
  return compile({ entry, files: (path) => read(path) }).spec;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
