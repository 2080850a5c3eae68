/**
 * Executables and libraries that probes are put into: where their file is, and where in it a function begins.
 * Source: libbpf.c `resolve_full_path`; elf.c `elf_find_func_offset`. System V ABI, "Program Header", "Symbol Table".
 */
import { existsSync, readFileSync } from "node:fs";
import { viewOf } from "@ebplane/core/bytes";

/** Where libraries are on the distributions that keep them apart by architecture. */
const MULTIARCH: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

/** A path as it is; a bare name is looked for in PATH, one with `.so` where libraries are. */
export function executablePath(name: string): string {
  if (name.includes("/")) return name;
  const libraries = [
    `/usr/lib/${MULTIARCH[process.arch]}`,
    `/lib/${MULTIARCH[process.arch]}`,
    "/usr/lib64",
    "/usr/lib",
  ];
  const programs = [...(process.env.PATH ?? "").split(":").filter(Boolean), "/usr/bin", "/usr/sbin"];
  const places = name.endsWith(".so") || name.includes(".so.") ? libraries : programs;
  const found = places.map((place) => `${place}/${name}`).find((path) => existsSync(path));
  if (found === undefined) throw new RangeError(`${name}: is in none of ${places.join(", ")}`);
  return found;
}

interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

const PT_LOAD = 1;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const SYMBOL = 24;

export interface Executable {
  /** Where it begins to run, in bytes into the file; undefined for a library without. */
  readonly entry: number | undefined;
  /** Functions by name, in bytes into the file. */
  readonly functions: ReadonlyMap<string, number>;
}

/** @throws RangeError for what is no 64-bit little-endian ELF executable or library. */
export function readExecutable(path: string): Executable {
  const bytes = readFileSync(path);
  const view = viewOf(bytes);
  if (bytes.length < 64 || view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new RangeError(`${path}: expected a 64-bit little-endian ELF file`);
  }
  try {
    const segments = readSegments(view);
    return { entry: fileOffset(segments, u64(view, 24)), functions: readFunctions(bytes, view, segments) };
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`${path}: its ELF tables end outside the file`);
    throw error;
  }
}

/** @throws RangeError when the file has no such function. */
export function functionOffset(path: string, name: string): number {
  const { functions } = readExecutable(path);
  const offset = functions.get(name);
  if (offset !== undefined) return offset;
  const why = functions.size === 0 ? "it has no symbols (stripped): name an offset" : "it is not among its symbols";
  throw new RangeError(`${path}: no function ${name}: ${why}`);
}

function u64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

function readSegments(view: DataView): Segment[] {
  const table = u64(view, 32);
  const size = view.getUint16(54, true);
  const segments: Segment[] = [];
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = table + i * size;
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    segments.push({ offset: u64(view, at + 8), address: u64(view, at + 16), size: u64(view, at + 32) });
  }
  return segments;
}

function fileOffset(segments: readonly Segment[], address: number): number | undefined {
  const segment = segments.find((s) => address >= s.address && address < s.address + s.size);
  return segment && address - segment.address + segment.offset;
}

function readFunctions(bytes: Uint8Array, view: DataView, segments: readonly Segment[]): Map<string, number> {
  const functions = new Map<string, number>();
  const table = u64(view, 40);
  const header = (i: number): number => table + i * view.getUint16(58, true);
  for (let i = 0; i < view.getUint16(60, true); i++) {
    const type = view.getUint32(header(i) + 4, true);
    if (type !== SHT_SYMTAB && type !== SHT_DYNSYM) continue;
    const strings = u64(view, header(view.getUint32(header(i) + 40, true)) + 24);
    const start = u64(view, header(i) + 24);
    const end = start + u64(view, header(i) + 32);
    for (let at = start; at + SYMBOL <= end; at += SYMBOL) {
      const kind = view.getUint8(at + 4) & 15;
      const undefinedHere = view.getUint16(at + 6, true) === 0;
      if (undefinedHere || (kind !== STT_FUNC && kind !== STT_GNU_IFUNC)) continue;
      const offset = fileOffset(segments, u64(view, at + 8));
      const nameAt = strings + view.getUint32(at, true);
      const name = new TextDecoder().decode(bytes.subarray(nameAt, bytes.indexOf(0, nameAt)));
      if (offset !== undefined) functions.set(name, offset);
    }
  }
  return functions;
}
