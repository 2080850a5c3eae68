/**
 * `.BTF.ext`: per program section, which function starts where (func_info), which source line each instruction comes
 * from (line_info) and which instructions await CO-RE (core_relo).
 * Source: Documentation/bpf/btf.rst, section ".BTF.ext section".
 */
import { viewOf } from "../bytes/index.ts";
import { BtfError } from "../errors/index.ts";
import { BTF_MAGIC } from "./parse.ts";
import type { Btf } from "./types.ts";

/** `offset` is in bytes from the section's start. `typeId` is a FUNC. */
export interface ExtFunc {
  readonly offset: number;
  readonly typeId: number;
}

export interface ExtLine {
  readonly offset: number;
  readonly file: string;
  readonly text: string;
  /** From 1; 0 where the compiler had none. */
  readonly line: number;
  readonly col: number;
}

/** `access` is the spec as written (`0:1:2`); `kind` is libbpf's `enum bpf_core_relo_kind`. */
export interface CoreRelo {
  readonly offset: number;
  readonly typeId: number;
  readonly access: string;
  readonly kind: number;
}

export interface ExtSection<T> {
  readonly section: string;
  readonly records: readonly T[];
}

export interface BtfExt {
  readonly funcs: readonly ExtSection<ExtFunc>[];
  readonly lines: readonly ExtSection<ExtLine>[];
  readonly coreRelos: readonly ExtSection<CoreRelo>[];
}

/**
 * Parses `.BTF.ext`; its strings are in `btf`.
 * @throws BtfError with the byte offset.
 */
export function parseBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const view = viewOf(bytes);
  if (bytes.length < 24) throw new BtfError(`.BTF.ext: need 24 bytes of header, have ${bytes.length}`, { offset: 0 });
  const little = view.getUint16(0, true) === BTF_MAGIC;
  if (!little && view.getUint16(0, false) !== BTF_MAGIC) {
    throw new BtfError(".BTF.ext: expected magic 0xeb9f", { offset: 0 });
  }
  const u32 = (at: number) => view.getUint32(at, little);
  const header = u32(4);
  if (header < 24 || header > bytes.length) {
    throw new BtfError(`.BTF.ext: header length ${header} is out of range`, { offset: 4 });
  }
  const part = <T>(field: number, minimum: number, read: (at: number) => T): ExtSection<T>[] => {
    const length = u32(field + 4);
    if (length === 0) return [];
    const start = header + u32(field);
    const end = start + length;
    if (length < 4 || end > bytes.length) {
      throw new BtfError(`.BTF.ext: records end at ${end}, the section at ${bytes.length}`, { offset: field });
    }
    const size = u32(start);
    if (size < minimum || size % 4) {
      throw new BtfError(`.BTF.ext: expected records of ${minimum} bytes or more, got ${size}`, { offset: start });
    }
    const out: ExtSection<T>[] = [];
    let at = start + 4;
    while (at < end) {
      if (at + 8 > end) throw new BtfError(`.BTF.ext: need 8 bytes, have ${end - at}`, { offset: at });
      const count = u32(at + 4);
      if (at + 8 + count * size > end) {
        throw new BtfError(`.BTF.ext: ${count} records of ${size} bytes do not fit`, { offset: at + 4 });
      }
      const records: T[] = [];
      for (let i = 0; i < count; i++) records.push(read(at + 8 + i * size));
      out.push({ section: btf.string(u32(at)), records });
      at += 8 + count * size;
    }
    return out;
  };
  return {
    funcs: part(8, 8, (at) => ({ offset: u32(at), typeId: u32(at + 4) })),
    lines: part(16, 16, (at) => ({
      offset: u32(at),
      file: btf.string(u32(at + 4)),
      text: btf.string(u32(at + 8)),
      line: u32(at + 12) >>> 10,
      col: u32(at + 12) & 0x3ff,
    })),
    coreRelos:
      header >= 32
        ? part(24, 16, (at) => ({
            offset: u32(at),
            typeId: u32(at + 4),
            access: btf.string(u32(at + 8)),
            kind: u32(at + 12),
          }))
        : [],
  };
}

/** Every string that `encodeBtfExt` needs, to be put into the BTF. */
export function extStrings(ext: BtfExt): string[] {
  const out = new Set<string>();
  for (const part of [ext.funcs, ext.lines, ext.coreRelos]) for (const s of part) out.add(s.section);
  for (const s of ext.lines) {
    for (const r of s.records) {
      out.add(r.file);
      out.add(r.text);
    }
  }
  for (const s of ext.coreRelos) for (const r of s.records) out.add(r.access);
  return [...out];
}

/**
 * `.BTF.ext` bytes, little-endian. `strings` are those of the encoded BTF.
 * @throws RangeError for a string that is not there.
 */
export function encodeBtfExt(ext: BtfExt, strings: ReadonlyMap<string, number>): Uint8Array {
  const string = (s: string): number => {
    const at = strings.get(s);
    if (at === undefined) throw new RangeError(`string ${JSON.stringify(s)} is not in the BTF`);
    return at;
  };
  const part = <T>(sections: readonly ExtSection<T>[], size: number, write: (record: T) => number[]): number[] => {
    const used = sections.filter((s) => s.records.length);
    if (!used.length) return [];
    const words = [size];
    for (const s of used) {
      words.push(string(s.section), s.records.length);
      for (const r of s.records) words.push(...write(r));
    }
    return words;
  };
  const funcs = part(ext.funcs, 8, (r) => [r.offset, r.typeId]);
  const lines = part(ext.lines, 16, (r) => [
    r.offset,
    string(r.file),
    string(r.text),
    ((r.line << 10) | Math.min(r.col, 0x3ff)) >>> 0,
  ]);
  const relos = part(ext.coreRelos, 16, (r) => [r.offset, r.typeId, string(r.access), r.kind]);
  const header = [32, 0, funcs.length * 4, funcs.length * 4, lines.length * 4];
  header.push((funcs.length + lines.length) * 4, relos.length * 4);
  const words = [...header, ...funcs, ...lines, ...relos];
  const bytes = new Uint8Array(4 + words.length * 4);
  const view = viewOf(bytes);
  view.setUint16(0, BTF_MAGIC, true);
  view.setUint8(2, 1);
  words.forEach((word, i) => {
    view.setUint32(4 + i * 4, word, true);
  });
  return bytes;
}
