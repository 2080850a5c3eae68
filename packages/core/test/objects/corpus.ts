/** The C programs of `c/`, built on demand. The first line of each says what it is for. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { clang } from "./tools.ts";

export const CORPUS_DIR = join(dirname(fileURLToPath(import.meta.url)), "c");

export const CORPUS: readonly string[] = readdirSync(CORPUS_DIR)
  .filter((f) => f.endsWith(".c"))
  .map((f) => f.slice(0, -2))
  .sort();

/** Needs instructions of v3. */
const V3_ONLY = new Set(["atomics"]);
/** Uses types that only `-g` records: BTF maps, externs, CO-RE. */
const NEEDS_BTF = /SEC\("\.maps"\)|__ksym|__kconfig|preserve_access_index|SEC\("\.struct_ops"\)/;

export function source(name: string): string {
  return readFileSync(join(CORPUS_DIR, `${name}.c`), "utf8");
}

export function needsBtf(name: string): boolean {
  return NEEDS_BTF.test(source(name));
}

export interface Build {
  readonly mcpu: "v1" | "v2" | "v3";
  readonly debug: boolean;
}

/** The builds that the program supports; clang itself refuses CO-RE without `-g`. */
export function builds(name: string): Build[] {
  if (name.startsWith("core_")) return (["v1", "v2", "v3"] as const).map((mcpu) => ({ mcpu, debug: true }));
  const cpus = V3_ONLY.has(name) ? (["v3"] as const) : (["v1", "v2", "v3"] as const);
  return cpus.flatMap((mcpu) => [
    { mcpu, debug: true },
    { mcpu, debug: false },
  ]);
}

export function build(name: string, { mcpu, debug }: Build = { mcpu: "v3", debug: true }): Uint8Array {
  return clang(source(name), `-mcpu=${mcpu}`, ...(debug ? ["-g"] : []));
}
