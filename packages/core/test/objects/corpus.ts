/** The C programs of `c/`, built on demand. The first line of each says what it is for. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileWith, NEWEST_CLANG } from "./tools.ts";

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
  readonly mcpu: "v1" | "v2" | "v3" | "v4";
  readonly debug: boolean;
  /** The default `clang` when absent. */
  readonly compiler?: string;
}

const DEFAULT: Build = { mcpu: "v3", debug: true };
/** What the newest clang makes: the instructions of v4, and what else changed since. */
export const NEWEST: Build | undefined = NEWEST_CLANG ? { mcpu: "v4", debug: true, compiler: NEWEST_CLANG } : undefined;

/**
 * The builds that the program supports; clang itself refuses CO-RE without `-g`. Of the newest clang only v4 with and
 * v2 without types, unless EBPLANE_ALL_BUILDS=1 asks for every combination.
 */
export function builds(name: string): Build[] {
  const every = (cpus: readonly Build["mcpu"][], compiler?: string): Build[] =>
    cpus
      .filter((mcpu) => !V3_ONLY.has(name) || mcpu > "v2")
      .flatMap((mcpu) => [true, false].map((debug) => ({ mcpu, debug, ...(compiler && { compiler }) })));
  const newest = process.env.EBPLANE_ALL_BUILDS
    ? every(["v1", "v2", "v3", "v4"], NEWEST_CLANG)
    : every(["v2", "v4"], NEWEST_CLANG).filter((b) => b.debug === (b.mcpu === "v4"));
  const all = [...every(["v1", "v2", "v3"]), ...(NEWEST_CLANG ? newest : [])];
  return name.startsWith("core_") ? all.filter((b) => b.debug) : all;
}

export function build(name: string, { mcpu, debug, compiler = "clang" }: Build = DEFAULT): Uint8Array {
  return compileWith(compiler, source(name), `-mcpu=${mcpu}`, ...(debug ? ["-g"] : []));
}
