/**
 * The architecture, enforced: inside core a folder imports only lower floors (never sideways), a package imports only
 * the packages below it, and core imports nothing from outside.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Floors of core, as in CONTRIBUTING.md. A folder that is not here fails the test. */
const FLOORS: Record<string, number> = {
  bytes: 0,
  errors: 0,
  isa: 1,
  wire: 1,
  mem: 1,
  netlink: 2,
  btf: 2,
  object: 3,
  asm: 4,
  elf: 4,
  maps: 4,
  verifier: 4,
  vm: 5,
  sim: 6,
};

/** What each package may import besides node: built-ins (core and its neighbours in the browser: not even those). */
const PACKAGES: Record<string, readonly string[]> = {
  core: [],
  compiler: ["@ebplane/core", "typescript"],
  linux: ["@ebplane/core", "koffi", "node:"],
  functions: ["@ebplane/core", "@ebplane/compiler", "yaml", "zod"],
  cli: [
    "@ebplane/core",
    "@ebplane/compiler",
    "@ebplane/functions",
    "@ebplane/linux",
    "commander",
    "cli-table3",
    "log-update",
    "picocolors",
    "node:",
  ],
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function* sources(dir: string): Generator<string> {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== "testdata" && entry.name !== "node_modules") yield* sources(path);
    } else if (/\.ts$/.test(entry.name) && !/\.(test|bpf|as|d)\.ts$/.test(entry.name)) yield path;
  }
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^;"'`]*?from\s*["']([^"']+)["']|(?:^|\n)\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;
  return [...text.matchAll(pattern)].map((m) => ({ file, specifier: (m[1] ?? m[2] ?? m[3])! }));
}

test("core's folders import only lower floors", () => {
  const src = join(ROOT, "packages/core/src");
  const wrong: string[] = [];
  let seen = 0;
  for (const file of sources(src)) {
    const from = relative(src, file).split(sep)[0]!;
    expect(FLOORS, `core/src/${from} has no floor`).toHaveProperty(from);
    for (const { specifier } of importsOf(file)) {
      seen++;
      if (!specifier.startsWith(".")) {
        wrong.push(`${relative(ROOT, file)} imports ${specifier}: core has no dependency`);
        continue;
      }
      const to = relative(src, resolve(dirname(file), specifier)).split(sep)[0]!;
      if (to !== from && !(FLOORS[to]! < FLOORS[from]!)) {
        wrong.push(`${relative(ROOT, file)} (floor ${FLOORS[from]}) imports ${to} (floor ${FLOORS[to]})`);
      }
      if (to !== from && !specifier.endsWith("/index.ts")) {
        wrong.push(`${relative(ROOT, file)} reaches into ${specifier}: import the folder's index.ts`);
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(5);
});

test.each(Object.keys(PACKAGES))("%s imports only what stands below it", (name) => {
  const src = join(ROOT, "packages", name, "src");
  const allowed = PACKAGES[name]!;
  const wrong: string[] = [];
  for (const file of sources(src)) {
    for (const { specifier } of importsOf(file)) {
      if (specifier.startsWith(".")) {
        if (relative(src, resolve(dirname(file), specifier)).startsWith("..")) {
          wrong.push(`${relative(ROOT, file)} leaves its package by ${specifier}`);
        }
        continue;
      }
      const ok = allowed.some((a) =>
        a === "node:" ? specifier.startsWith(a) : specifier === a || specifier.startsWith(`${a}/`),
      );
      if (!ok) wrong.push(`${relative(ROOT, file)} imports ${specifier}`);
    }
  }
  expect(wrong).toEqual([]);
});
