/** What the command reads: files with clear errors, and PROG in its forms (TypeScript, ELF object, plane file). */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { dirname, extname, join, relative, resolve } from "node:path";
import type { Compiled, Constants, Receipt } from "@ebplane/compiler";
import { readElf } from "@ebplane/core/elf";
import { BpfError, VerifierError } from "@ebplane/core/errors";
import { type CollectionSpec, compareVersions, type ProgramSpec } from "@ebplane/core/object";
import type { KernelVersion } from "@ebplane/core/verifier";
import type { BuiltPlane, PlaneSpec } from "@ebplane/functions";
import { UsageError } from "./failure.ts";

export interface LoadedPlane {
  readonly plane: PlaneSpec;
  readonly built: BuiltPlane;
}

export function isPlaneFile(path: string): boolean {
  return [".yaml", ".yml"].includes(extname(path));
}

/** Reads, checks and compiles a plane file. */
export async function loadPlane(path: string, kernel?: KernelVersion): Promise<LoadedPlane> {
  const text = new TextDecoder().decode(readBytes(path));
  const { buildPlane, parsePlane } = await import("@ebplane/functions");
  const plane = parsePlane(text, path);
  const built = buildPlane(plane, kernel);
  explainers.set(built.spec, built.explain);
  return { plane, built };
}

/** PROG: a `.bpf.ts` source, a plane file, or an ELF object; `kernel` is the oldest one that sources are compiled for. */
export async function loadObject(path: string, kernel?: KernelVersion): Promise<CollectionSpec> {
  if (path.endsWith(".ts")) return (await compileFile(path, { kernel })).spec;
  if (isPlaneFile(path)) return (await loadPlane(path, kernel)).built.spec;
  return inFile(path, () => readElf(readBytes(path)));
}

/** How a rejection reads in the source, for what was compiled here. */
const explainers = new WeakMap<CollectionSpec, Compiled["explain"]>();

/** What a rejection of a program at `pc` means in its source; undefined for what was not compiled here. */
export function explanation(spec: CollectionSpec, program: string, pc: number, reason: string): string | undefined {
  const d = explainers.get(spec)?.(program, pc, reason);
  return d && `${d.file}:${d.line}:${d.col}: ${d.message}`;
}

/** What is younger than Linux 5.4 in what was compiled here. */
const youngOnes = new WeakMap<CollectionSpec, Receipt["needs"]>();

/** What of an object compiled here a kernel lacks by the tables, and where; undefined where it lacks nothing. */
export function lackedBy(spec: CollectionSpec, kernelRelease: string): string | undefined {
  const lacked = youngOnes.get(spec)?.filter(({ since }) => compareVersions(since, kernelRelease) > 0) ?? [];
  const [first] = lacked;
  if (!first) return undefined;
  const more = lacked.length > 1 ? `, and ${lacked.length - 1} more (ebplane build --kernel names all)` : "";
  const version = kernelRelease.split(".").slice(0, 2).join(".");
  return `${first.file}:${first.line}: ${first.what} needs Linux ${first.since}, this kernel is ${version}${more}`;
}

/**
 * Runs what loads the programs; a verifier's rejection is thrown on with the place in the source in front, or with what
 * the running kernel is too old for.
 */
export function inSource<T>(spec: CollectionSpec, load: () => T): T {
  try {
    return load();
  } catch (e) {
    if (!(e instanceof BpfError)) throw e;
    const lacked = lackedBy(spec, release());
    const rejected = e instanceof VerifierError ? e : undefined;
    const known = rejected?.program !== undefined && rejected.pc !== undefined;
    const why = lacked ?? (known ? explanation(spec, rejected.program!, rejected.pc!, e.message) : undefined);
    if (why === undefined || e.message.includes(why)) throw e;
    // Where the compiler knows no better it has given the verifier's words back.
    const message = why.endsWith(e.message) ? why : `${why}\n  ${e.message}`;
    if (!rejected) throw new BpfError(e.code, message, { cause: e });
    throw new VerifierError(message, { program: rejected.program, pc: rejected.pc, log: rejected.log, cause: e });
  }
}

/** A file's bytes. Node names the file in most errors, not in that of a directory: there it is added. */
export function readBytes(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    const system = error as NodeJS.ErrnoException;
    system.path ??= path;
    throw error;
  }
}

/** A reader's message with the file in front. */
export function inFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof BpfError) throw new BpfError(error.code, `${path}: ${error.message}`);
    throw error;
  }
}

/** Compiles a `.bpf.ts` file with all that it imports by relative path. File names in messages are as given. */
export async function compileFile(
  path: string,
  settings: {
    readonly constants?: Constants;
    readonly fold?: boolean;
    readonly kernel?: KernelVersion | undefined;
  } = {},
): Promise<Compiled> {
  const files = new Map<string, string>();
  const add = (file: string, from?: string): void => {
    if (files.has(file)) return;
    if (from !== undefined && !existsSync(file)) return; // the compiler says where the import stands
    const text = new TextDecoder().decode(readBytes(file));
    files.set(file, text);
    for (const [, specifier] of text.matchAll(/from\s*["'](\.{1,2}\/[^"']+)["']/g)) {
      const absolute = resolve(dirname(file), specifier!);
      add(relative(process.cwd(), absolute).startsWith("..") ? absolute : join(dirname(file), specifier!), file);
    }
  };
  add(path);
  const { compile } = await import("@ebplane/compiler");
  const compiled = compile({ entry: path, files, ...settings });
  explainers.set(compiled.spec, compiled.explain);
  youngOnes.set(compiled.spec, compiled.receipt.needs);
  return compiled;
}

/**
 * The program to use: by name, or the only one.
 * @throws UsageError that lists what there is.
 */
export function pickProgram(spec: CollectionSpec, name: string | undefined, path: string): ProgramSpec {
  const names = [...spec.programs.keys()];
  if (name !== undefined) {
    const program = spec.programs.get(name);
    if (!program) throw new UsageError(`${path}: no program named ${name}; it has ${names.join(", ") || "none"}`);
    return program;
  }
  if (names.length === 0) throw new UsageError(`${path}: no program in it`);
  if (names.length > 1) throw new UsageError(`${path}: several programs, name one with --prog: ${names.join(", ")}`);
  return spec.programs.get(names[0]!)!;
}
