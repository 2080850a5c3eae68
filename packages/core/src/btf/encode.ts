/** Types to `.BTF` bytes, little-endian. */
import { viewOf } from "../bytes/index.ts";
import { BTF_HEADER_SIZE, BTF_MAGIC } from "./parse.ts";
import { BTF_KIND, type Btf, type BtfType } from "./types.ts";

const INT_ENCODING = { unsigned: 0, signed: 1, char: 2, bool: 4 } as const;
const LINKAGE = { static: 0, global: 1, extern: 2 } as const;

export interface EncodedBtf {
  readonly bytes: Uint8Array;
  /** Offset of each string that the types or `extraStrings` use. */
  readonly strings: ReadonlyMap<string, number>;
}

/**
 * Encodes types; the first has id 1, or on `options.base` the id that follows its last: a split BTF, as a module's on
 * the kernel's. A split BTF's strings are found in the base where that has them.
 * @param options.extraStrings Strings that `.BTF.ext` refers to.
 * @throws RangeError for a member offset or a count that its field cannot hold.
 */
export function encodeBtf(
  types: readonly BtfType[],
  options: { readonly extraStrings?: Iterable<string>; readonly base?: Btf } = {},
): EncodedBtf {
  const { base } = options;
  const words: number[] = [];
  const strings = new Map<string, number>([["", 0]]);
  const chunks: Uint8Array[] = [];
  const encoder = new TextEncoder();
  let stringsLength = 0;
  const string = (s: string): number => {
    const known = strings.get(s) ?? (base && baseStrings(base).get(s));
    if (known !== undefined) return known;
    const bytes = encoder.encode(`${s}\0`);
    const at = (base?.stringsEnd ?? 0) + stringsLength;
    chunks.push(bytes);
    stringsLength += bytes.length;
    strings.set(s, at);
    return at;
  };
  if (!base) {
    chunks.push(new Uint8Array(1));
    stringsLength = 1;
  }
  for (const type of types) encodeType(type, words, string);
  for (const s of options.extraStrings ?? []) string(s);
  const bytes = new Uint8Array(BTF_HEADER_SIZE + words.length * 4 + stringsLength);
  const view = viewOf(bytes);
  view.setUint16(0, BTF_MAGIC, true);
  view.setUint8(2, 1);
  const header = [BTF_HEADER_SIZE, 0, words.length * 4, words.length * 4, stringsLength];
  header.forEach((word, i) => {
    view.setUint32(4 + i * 4, word, true);
  });
  words.forEach((word, i) => {
    view.setUint32(BTF_HEADER_SIZE + i * 4, word, true);
  });
  let at = BTF_HEADER_SIZE + words.length * 4;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { bytes, strings };
}

const stringsOf = new WeakMap<Btf, Map<string, number>>();

/** Offset of each string of a BTF, and of its base's. */
function baseStrings(btf: Btf): Map<string, number> {
  const known = stringsOf.get(btf);
  if (known) return known;
  const out = new Map(btf.base && baseStrings(btf.base));
  for (let at = btf.base?.stringsEnd ?? 0; at < btf.stringsEnd; ) {
    const text = btf.string(at);
    if (!out.has(text)) out.set(text, at);
    at += encodedLength(text) + 1;
  }
  stringsOf.set(btf, out);
  return out;
}

function encodedLength(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return new TextEncoder().encode(text).length;
  return text.length;
}

function encodeType(type: BtfType, words: number[], string: (s: string) => number): void {
  const head = (vlen: number, flag: boolean, third: number) => {
    if (vlen > 0xffff) throw new RangeError(`${type.kind} ${type.name}: expected at most 65535 items, got ${vlen}`);
    words.push(string(type.name), ((flag ? 0x80000000 : 0) | (BTF_KIND[type.kind] << 24) | vlen) >>> 0, third);
  };
  switch (type.kind) {
    case "void":
      throw new RangeError("void is id 0 and cannot be a type of its own");
    case "int":
      head(0, false, type.size);
      words.push((INT_ENCODING[type.encoding] << 24) | (type.bitOffset << 16) | type.bits);
      break;
    case "ptr":
    case "typedef":
    case "volatile":
    case "const":
    case "restrict":
      head(0, false, type.type);
      break;
    case "typeTag":
      head(0, type.attribute, type.type);
      break;
    case "array":
      head(0, false, 0);
      words.push(type.type, type.indexType, type.length);
      break;
    case "struct":
    case "union": {
      const bitfields = type.members.some((m) => m.bitSize !== 0);
      head(type.members.length, bitfields, type.size);
      for (const m of type.members) {
        if (m.bitOffset < 0 || m.bitOffset > (bitfields ? 0xffffff : 0xffffffff) || m.bitSize > 0xff) {
          throw new RangeError(`${type.kind} ${type.name}: member ${m.name} at bit ${m.bitOffset} does not fit`);
        }
        words.push(string(m.name), m.type, bitfields ? ((m.bitSize << 24) | m.bitOffset) >>> 0 : m.bitOffset);
      }
      break;
    }
    case "enum":
      head(type.values.length, type.signed, type.size);
      for (const v of type.values) words.push(string(v.name), Number(BigInt.asUintN(32, v.value)));
      break;
    case "enum64":
      head(type.values.length, type.signed, type.size);
      for (const v of type.values) {
        words.push(string(v.name), Number(BigInt.asUintN(32, v.value)), Number(BigInt.asUintN(32, v.value >> 32n)));
      }
      break;
    case "fwd":
      head(0, type.union, 0);
      break;
    case "func":
      head(LINKAGE[type.linkage], false, type.type);
      break;
    case "funcProto":
      head(type.params.length, false, type.ret);
      for (const p of type.params) words.push(string(p.name), p.type);
      break;
    case "var":
      head(0, false, type.type);
      words.push(LINKAGE[type.linkage]);
      break;
    case "datasec":
      head(type.vars.length, false, type.size);
      for (const v of type.vars) words.push(v.type, v.offset, v.size);
      break;
    case "float":
      head(0, false, type.size);
      break;
    case "declTag":
      head(0, type.attribute, type.type);
      words.push(type.component >>> 0);
      break;
  }
}
