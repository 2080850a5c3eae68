/** What the command reads: files with clear errors, and PROG in its forms (TypeScript, ELF object, plane file). */
import { existsSync, readFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve } from "node:path";
import { compile } from "@ebplane/compiler";
import { readElf } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { type BuiltPlane, buildPlane, type PlaneSpec, parsePlane } from "@ebplane/functions";
import { UsageError } from "./failure.ts";

export interface LoadedPlane {
  readonly plane: PlaneSpec;
  readonly built: BuiltPlane;
}

export function isPlaneFile(path: string): boolean {
  return [".yaml", ".yml"].includes(extname(path));
}

/** Reads, checks and compiles a plane file. */
export function loadPlane(path: string): LoadedPlane {
  const plane = parsePlane(new TextDecoder().decode(readBytes(path)), path);
  return { plane, built: buildPlane(plane) };
}

/** PROG: a `.bpf.ts` source, a plane file, or an ELF object. */
export function loadObject(path: string): CollectionSpec {
  if (path.endsWith(".ts")) return compileFile(path);
  if (isPlaneFile(path)) return loadPlane(path).built.spec;
  return inFile(path, () => readElf(readBytes(path)));
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
export function compileFile(path: string): CollectionSpec {
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
  return compile({ entry: path, files }).spec;
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
