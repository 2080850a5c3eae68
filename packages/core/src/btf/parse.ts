/**
 * `.BTF` bytes to types. Everything is checked once, here: sizes, string offsets and type references; what remains
 * for later questions is only what depends on several types (cycles, see query.ts).
 */
import { viewOf } from "../bytes/index.ts";
import { BtfError } from "../errors/index.ts";
import { BTF_KIND, type Btf, type BtfKind, type BtfType } from "./types.ts";

export const BTF_MAGIC = 0xeb9f;
export const BTF_HEADER_SIZE = 24;

const KIND_NAMES = Object.keys(BTF_KIND) as BtfKind[];
const INT_ENCODINGS = ["unsigned", "signed", "char", "signed", "bool"] as const;
const LINKAGES = ["static", "global", "extern"] as const;
const VOID: BtfType = { kind: "void", name: "" };

/** Bytes after the 12-byte head: fixed, and for each of the kind's `vlen` items. */
const EXTRA: Record<number, [fixed: number, each: number]> = {
  1: [4, 0],
  2: [0, 0],
  3: [12, 0],
  4: [0, 12],
  5: [0, 12],
  6: [0, 8],
  7: [0, 0],
  8: [0, 0],
  9: [0, 0],
  10: [0, 0],
  11: [0, 0],
  12: [0, 0],
  13: [0, 8],
  14: [4, 0],
  15: [0, 12],
  16: [0, 0],
  17: [4, 0],
  18: [0, 0],
  19: [0, 12],
};

/** Kinds whose third head word is a type id (0: void allowed); the others keep a size or nothing there. */
const HAS_TYPE = new Set([2, 8, 9, 10, 11, 12, 13, 14, 17, 18]);

/**
 * Parses a `.BTF` section of either byte order.
 * @param base The kernel's BTF, for a module's.
 * @throws BtfError with type id or byte offset.
 */
export function parseBtf(section: Uint8Array, base?: Btf): Btf {
  // A plain view: what callers copy with slice() must be a copy, and a Node Buffer's slice() is none.
  const bytes = new Uint8Array(section.buffer, section.byteOffset, section.byteLength);
  const view = viewOf(bytes);
  if (bytes.length < BTF_HEADER_SIZE) {
    throw new BtfError(`need ${BTF_HEADER_SIZE} bytes of header, have ${bytes.length}`, { offset: 0 });
  }
  const little = view.getUint16(0, true) === BTF_MAGIC;
  if (!little && view.getUint16(0, false) !== BTF_MAGIC) {
    throw new BtfError(`expected magic 0xeb9f, got 0x${view.getUint16(0, true).toString(16)}`, { offset: 0 });
  }
  const u32 = (at: number) => view.getUint32(at, little);
  if (bytes[2] !== 1) throw new BtfError(`expected version 1, got ${bytes[2]}`, { offset: 2 });
  const headerLength = u32(4);
  if (headerLength < BTF_HEADER_SIZE || headerLength > bytes.length) {
    throw new BtfError(`header length: expected 24 to ${bytes.length}, got ${headerLength}`, { offset: 4 });
  }
  const part = (at: number, what: string) => {
    const start = headerLength + u32(at);
    const end = start + u32(at + 4);
    if (end > bytes.length) throw new BtfError(`${what} end at ${end}, the section at ${bytes.length}`, { offset: at });
    return [start, end] as const;
  };
  const [typesStart, typesEnd] = part(8, "types");
  const [stringsStart, stringsEnd] = part(16, "strings");
  const strings = bytes.subarray(stringsStart, stringsEnd);
  if (strings.length === 0 ? !base : strings[strings.length - 1] !== 0 || (!base && strings[0] !== 0)) {
    throw new BtfError("strings must start (unless split) and end with a zero byte", { offset: stringsStart });
  }
  const stringBase = base?.stringsEnd ?? 0;
  const readString = stringReader(strings);
  const string = (offset: number): string => {
    if (offset < stringBase) return base!.string(offset);
    if (offset - stringBase >= strings.length) {
      throw new BtfError(`string ${offset} is outside the ${stringBase + strings.length} bytes of strings`, { offset });
    }
    return readString(offset - stringBase);
  };
  const firstId = base?.length ?? 1;
  const starts = index(view, little, typesStart, typesEnd, firstId, stringBase + strings.length);
  const length = firstId + starts.length;

  const cache: (BtfType | undefined)[] = new Array(starts.length);
  const type = (id: number): BtfType => {
    if (id === 0) return VOID;
    if (id < firstId && id > 0) return base!.type(id);
    const at = starts[id - firstId];
    if (at === undefined) throw new BtfError(`expected an id below ${length}`, { typeId: id });
    return (cache[id - firstId] ??= decodeType(view, little, at, string));
  };
  const typeOffset = (id: number): number => {
    const at = starts[id - firstId];
    if (at === undefined) throw new BtfError(`expected an id from ${firstId} to ${length - 1}`, { typeId: id });
    return at;
  };
  let nameMap: Map<string, number[]> | undefined;
  const names = () => (nameMap ??= nameIndex(starts, firstId, (at) => string(u32(at))));
  const findAll = (name: string): readonly number[] => {
    const own = names().get(name) ?? [];
    return base ? [...base.findAll(name), ...own] : own;
  };
  const find = (name: string, kind?: BtfKind) => findAll(name).find((id) => !kind || type(id).kind === kind);
  return {
    base,
    firstId,
    length,
    byteOrder: little ? "little" : "big",
    bytes,
    stringsEnd: stringBase + strings.length,
    type,
    typeOffset,
    find,
    findAll,
    names,
    string,
  };
}

/** Names are ASCII nearly always: one decoded text and slices of it are much faster than a decoder call a name. */
function stringReader(strings: Uint8Array): (offset: number) => string {
  const all = new TextDecoder("latin1").decode(strings);
  return (offset) => {
    const end = all.indexOf("\0", offset);
    const name = all.slice(offset, end);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII is what is meant
    return /^[\x00-\x7f]*$/.test(name) ? name : new TextDecoder().decode(strings.subarray(offset, end));
  };
}

/** Start of each type. Checks that every type is whole and refers to types and strings that exist. */
function index(
  view: DataView,
  little: boolean,
  start: number,
  end: number,
  firstId: number,
  stringsEnd: number,
): number[] {
  const starts: number[] = [];
  let at = start;
  while (at < end) {
    const id = firstId + starts.length;
    if (at + 12 > end) throw new BtfError(`need 12 bytes at ${at - start}, have ${end - at}`, { typeId: id });
    const info = view.getUint32(at + 4, little);
    const extra = EXTRA[(info >>> 24) & 0x1f];
    if (!extra) throw new BtfError(`unknown kind ${(info >>> 24) & 0x1f}`, { typeId: id });
    const size = 12 + extra[0] + extra[1] * (info & 0xffff);
    if (at + size > end) throw new BtfError(`need ${size} bytes at ${at - start}, have ${end - at}`, { typeId: id });
    starts.push(at);
    at += size;
  }
  const length = firstId + starts.length;
  for (let i = 0; i < starts.length; i++) {
    checkReferences(view, little, starts[i]!, firstId + i, length, stringsEnd);
  }
  return starts;
}

function checkReferences(
  view: DataView,
  little: boolean,
  at: number,
  id: number,
  length: number,
  stringsEnd: number,
): void {
  const name = (where: number) => {
    const offset = view.getUint32(where, little);
    if (offset >= stringsEnd && offset) {
      throw new BtfError(`name at string ${offset}, the strings end at ${stringsEnd}`, { typeId: id });
    }
  };
  const ref = (where: number) => {
    const to = view.getUint32(where, little);
    if (to >= length) throw new BtfError(`refers to type ${to}, the last is ${length - 1}`, { typeId: id });
  };
  const info = view.getUint32(at + 4, little);
  const kind = (info >>> 24) & 0x1f;
  const vlen = info & 0xffff;
  name(at);
  if (HAS_TYPE.has(kind)) ref(at + 8);
  let item = at + 12;
  switch (kind) {
    case BTF_KIND.array:
      ref(item);
      ref(item + 4);
      break;
    case BTF_KIND.struct:
    case BTF_KIND.union:
      for (let i = 0; i < vlen; i++, item += 12) {
        name(item);
        ref(item + 4);
      }
      break;
    case BTF_KIND.enum:
      for (let i = 0; i < vlen; i++, item += 8) name(item);
      break;
    case BTF_KIND.enum64:
      for (let i = 0; i < vlen; i++, item += 12) name(item);
      break;
    case BTF_KIND.funcProto:
      for (let i = 0; i < vlen; i++, item += 8) {
        name(item);
        ref(item + 4);
      }
      break;
    case BTF_KIND.datasec:
      for (let i = 0; i < vlen; i++, item += 12) ref(item);
      break;
  }
}

function nameIndex(starts: readonly number[], firstId: number, nameAt: (at: number) => string): Map<string, number[]> {
  const names = new Map<string, number[]>();
  for (let i = 0; i < starts.length; i++) {
    const name = nameAt(starts[i]!);
    if (!name) continue;
    const ids = names.get(name);
    if (ids) ids.push(firstId + i);
    else names.set(name, [firstId + i]);
  }
  return names;
}

function decodeType(view: DataView, little: boolean, at: number, string: (offset: number) => string): BtfType {
  const u32 = (where: number) => view.getUint32(where, little);
  const info = u32(at + 4);
  const kind = KIND_NAMES[(info >>> 24) & 0x1f]!;
  const vlen = info & 0xffff;
  const flag = info >>> 31 !== 0;
  const name = string(u32(at));
  const third = u32(at + 8);
  const items = <T>(size: number, read: (at: number) => T): T[] => {
    const out: T[] = new Array(vlen);
    for (let i = 0; i < vlen; i++) out[i] = read(at + 12 + i * size);
    return out;
  };
  switch (kind) {
    case "void":
      return VOID;
    case "int": {
      const data = u32(at + 12);
      const encoding = INT_ENCODINGS[(data >>> 24) & 15] ?? "unsigned";
      return { kind, name, size: third, bits: data & 0xff, bitOffset: (data >>> 16) & 0xff, encoding };
    }
    case "ptr":
    case "typedef":
    case "volatile":
    case "const":
    case "restrict":
      return { kind, name, type: third };
    case "typeTag":
      return { kind, name, type: third, attribute: flag };
    case "array":
      return { kind, name: "", type: u32(at + 12), indexType: u32(at + 16), length: u32(at + 20) };
    case "struct":
    case "union": {
      const members = items(12, (m) => {
        const offset = u32(m + 8);
        return {
          name: string(u32(m)),
          type: u32(m + 4),
          bitOffset: flag ? offset & 0xffffff : offset,
          bitSize: flag ? offset >>> 24 : 0,
        };
      });
      return { kind, name, size: third, members };
    }
    case "enum": {
      const values = items(8, (e) => ({
        name: string(u32(e)),
        value: BigInt(flag ? view.getInt32(e + 4, little) : u32(e + 4)),
      }));
      return { kind, name, size: third, signed: flag, values };
    }
    case "enum64": {
      const values = items(12, (e) => {
        const value = (BigInt(u32(e + 8)) << 32n) | BigInt(u32(e + 4));
        return { name: string(u32(e)), value: flag ? BigInt.asIntN(64, value) : value };
      });
      return { kind, name, size: third, signed: flag, values };
    }
    case "fwd":
      return { kind, name, union: flag };
    case "func":
      return { kind, name, type: third, linkage: LINKAGES[vlen] ?? "static" };
    case "funcProto":
      return { kind, name: "", ret: third, params: items(8, (p) => ({ name: string(u32(p)), type: u32(p + 4) })) };
    case "var":
      return { kind, name, type: third, linkage: LINKAGES[u32(at + 12)] ?? "static" };
    case "datasec":
      return {
        kind,
        name,
        size: third,
        vars: items(12, (v) => ({ type: u32(v), offset: u32(v + 4), size: u32(v + 8) })),
      };
    case "float":
      return { kind, name, size: third };
    case "declTag":
      return { kind, name, type: third, component: view.getInt32(at + 12, little), attribute: flag };
  }
}
