/**
 * CO-RE: what a relocation of the compiler is worth against another BTF. It compares types as libbpf does and gives
 * numbers; changing instructions is elf/core.ts's work.
 *
 * Read `resolveCoreRelo` first. A "spec" is an access path: the local one is what the compiler wrote down, the
 * target's one is found by walking the same names.
 * Source: tools/lib/bpf/relo_core.c (libbpf 1.5), function names given at each rule.
 */
import { BtfError } from "../errors/index.ts";
import { resolve, sizeOf, typeText, wholeBytes } from "./query.ts";
import type { Btf, BtfEnum, BtfMember, BtfStruct, BtfType } from "./types.ts";

/** Numbers of `enum bpf_core_relo_kind`. */
export const CORE_RELO = {
  fieldByteOffset: 0,
  fieldByteSize: 1,
  fieldExists: 2,
  fieldSigned: 3,
  fieldLshiftU64: 4,
  fieldRshiftU64: 5,
  typeIdLocal: 6,
  typeIdTarget: 7,
  typeExists: 8,
  typeSize: 9,
  enumvalExists: 10,
  enumvalValue: 11,
  typeMatches: 12,
} as const;

const KIND_WORDS = [
  "offset of field",
  "size of field",
  "existence of field",
  "signedness of field",
  "left shift of field",
  "right shift of field",
  "local id of type",
  "id of type",
  "existence of type",
  "size of type",
  "existence of enumerator",
  "value of enumerator",
  "match of type",
];

/** libbpf's limit of nested types and of a path's length. */
const MAX_DEPTH = 32;
const MAX_PATH = 64;

export interface CoreReloInput {
  readonly typeId: number;
  readonly access: string;
  readonly kind: number;
}

/** What a relocation comes to. Numbers are unsigned 64 bits, or a negative enumerator's two's complement. */
export interface CoreResolution {
  /** What the instruction holds now, by the local types; undefined where it is not to be checked. */
  readonly expected: bigint | undefined;
  readonly value: bigint;
  /** Set when the target has no answer: the instruction must not run. Says what is missing. */
  readonly poison: string | undefined;
  /** Bytes of the accessed field before and after, for loads and stores whose width must follow. */
  readonly sizes: { readonly local: number; readonly target: number; readonly adjustable: boolean } | undefined;
}

interface Step {
  /** The type that the step is taken in. */
  readonly typeId: number;
  readonly index: number;
  /** Member's or enumerator's name; undefined for an array's element and for the root. */
  readonly name: string | undefined;
}

interface Path {
  readonly btf: Btf;
  readonly rootId: number;
  readonly steps: readonly Step[];
  readonly bitOffset: number;
}

/** `offset of field struct task_struct.pid (0:2)`, for messages. */
export function describeCoreRelo(btf: Btf, relo: CoreReloInput): string {
  const what = KIND_WORDS[relo.kind] ?? `relocation kind ${relo.kind} of`;
  let name = typeText(btf, relo.typeId);
  try {
    const { steps } = parsePath(btf, relo);
    for (const s of steps.slice(1)) name += s.name === undefined ? `[${s.index}]` : `.${s.name}`;
    if (isEnumKind(relo.kind)) name += `.${steps[0]!.name}`;
  } catch {
    // A path that does not parse is reported where it is resolved; the type alone says enough here.
  }
  return `${what} ${name} (${relo.access})`;
}

/**
 * Resolves one relocation of `local` types against `target`.
 * @throws BtfError for a path that the local types do not have, an unknown kind, or candidates that disagree.
 */
export function resolveCoreRelo(local: Btf, target: Btf, relo: CoreReloInput): CoreResolution {
  if (relo.kind < 0 || relo.kind > CORE_RELO.typeMatches) throw new BtfError(`unknown relocation kind ${relo.kind}`);
  const path = parsePath(local, relo);
  if (relo.kind === CORE_RELO.typeIdLocal) {
    return { expected: undefined, value: BigInt(relo.typeId), poison: undefined, sizes: undefined };
  }
  const root = local.type(relo.typeId);
  if (!root.name) throw new BtfError("a type without a name cannot be looked up", { typeId: relo.typeId });
  let found: { path: Path; result: CoreResolution } | undefined;
  for (const id of candidates(target, root)) {
    const match = matchPath(path, target, id, relo.kind);
    if (!match) continue;
    const result = evaluate(local, path, target, match, relo);
    if (!found) found = { path: match, result };
    else if (
      found.path.bitOffset !== match.bitOffset ||
      found.result.value !== result.value ||
      found.result.poison !== result.poison
    ) {
      const what = describeCoreRelo(local, relo);
      throw new BtfError(`${what}: target types ${found.path.rootId} and ${id} disagree`, { typeId: relo.typeId });
    }
  }
  if (found) return found.result;
  const missing = evaluate(local, path, target, undefined, relo);
  const other = missing.poison === undefined ? undefined : otherType(path, target, candidates(target, root));
  return other === undefined ? missing : { ...missing, poison: `${describeCoreRelo(local, relo)}: ${other}` };
}

/** What the target has instead of a first field: one of the name that cannot be read as the local one. */
function otherType({ btf, rootId, steps }: Path, target: Btf, ids: readonly number[]): string | undefined {
  const owner = btf.type(rootId);
  const field = steps[1] && isStruct(owner) ? owner.members[steps[1].index] : undefined;
  if (!field) return undefined;
  for (const id of ids) {
    const type = target.type(id);
    const there = isStruct(type) ? type.members.find((m) => m.name === field.name) : undefined;
    if (!there || fieldsCompatible(btf, field.type, target, there.type, MAX_DEPTH)) continue;
    const kind = (b: Btf, t: number): string => b.type(resolve(b, t)).kind;
    return `the target's field is ${kindWord(kind(target, there.type))}, this one ${kindWord(kind(btf, field.type))}`;
  }
  return undefined;
}

function kindWord(kind: string): string {
  const words: Record<string, string> = { ptr: "a pointer", int: "a number", enum64: "an enum", fwd: "a struct" };
  return words[kind] ?? `${/^[aeu]/.test(kind) ? "an" : "a"} ${kind}`;
}

// Names.

/** The name without its flavour: `task_struct___old` is `task_struct`. Source: `bpf_core_essential_name_len`. */
export function essentialName(name: string): string {
  for (let i = name.length - 5; i >= 0; i--) {
    if (name.startsWith("___", i + 1) && name[i] !== "_" && name[i + 4] !== "_") return name.slice(0, i + 1);
  }
  return name;
}

/** Target types whose names have a flavour, by essential name: few, found once a BTF. */
const flavoured = new WeakMap<Btf, Map<string, number[]>>();

/** Whether the target has types that the local one could be: where not, other types (a module's) may be asked. */
export function hasCandidates(local: Btf, target: Btf, typeId: number): boolean {
  return candidates(target, local.type(typeId)).length > 0;
}

function candidates(target: Btf, root: BtfType): number[] {
  const wanted = essentialName(root.name);
  const ids = [...target.findAll(wanted)];
  for (let btf: Btf | undefined = target; btf; btf = btf.base) {
    let index = flavoured.get(btf);
    if (!index) {
      index = new Map();
      for (const [name, of] of btf.names()) {
        if (!name.includes("___")) continue;
        const essential = essentialName(name);
        if (essential !== name) index.set(essential, [...(index.get(essential) ?? []), ...of]);
      }
      flavoured.set(btf, index);
    }
    ids.push(...(index.get(wanted) ?? []));
  }
  return ids.filter((id) => sameKind(root, target.type(id)));
}

function isEnum(type: BtfType): type is BtfEnum {
  return type.kind === "enum" || type.kind === "enum64";
}

function isStruct(type: BtfType): type is BtfStruct {
  return type.kind === "struct" || type.kind === "union";
}

/** Source: `btf_kind_core_compat`. */
function sameKind(a: BtfType, b: BtfType): boolean {
  return a.kind === b.kind || (isEnum(a) && isEnum(b));
}

function isFieldKind(kind: number): boolean {
  return kind <= CORE_RELO.fieldRshiftU64;
}

function isEnumKind(kind: number): boolean {
  return kind === CORE_RELO.enumvalExists || kind === CORE_RELO.enumvalValue;
}

// Paths.

/** The local path. Source: `bpf_core_parse_spec`. */
function parsePath(btf: Btf, { typeId, access, kind }: CoreReloInput): Path {
  const fail = (why: string): never => {
    throw new BtfError(`access ${JSON.stringify(access)}: ${why}`, { typeId });
  };
  if (!/^\d{1,9}(?::\d{1,9})*$/.test(access)) fail("expected numbers with colons");
  const indexes = access.split(":").map(Number);
  if (indexes.length > MAX_PATH) fail(`more than ${MAX_PATH} steps`);
  const first = indexes[0]!;
  if (!isFieldKind(kind) && indexes.length > 1) fail("expected one number");
  if (!isFieldKind(kind) && !isEnumKind(kind)) {
    if (first !== 0) fail("expected 0");
    return { btf, rootId: typeId, steps: [], bitOffset: 0 };
  }
  let at = resolve(btf, typeId);
  if (isEnumKind(kind)) {
    const type = btf.type(at);
    if (!isEnum(type)) return fail(`expected an enum, got ${typeText(btf, at)}`);
    const value = type.values[first];
    if (!value) return fail(`the enum has ${type.values.length} values`);
    return { btf, rootId: typeId, steps: [{ typeId: at, index: first, name: value.name }], bitOffset: 0 };
  }
  // The first number indexes the pointer that the access starts from.
  const steps: Step[] = [{ typeId: at, index: first, name: undefined }];
  let bitOffset = first * sizeOf(btf, at) * 8;
  for (const index of indexes.slice(1)) {
    const type = btf.type(at);
    if (isStruct(type)) {
      const member = type.members[index];
      if (!member) return fail(`${typeText(btf, at)} has ${type.members.length} members`);
      bitOffset += member.bitOffset;
      // A nameless member is a step of layout, not of the name path.
      if (member.name) steps.push({ typeId: at, index, name: member.name });
      at = resolve(btf, member.type);
    } else if (type.kind === "array") {
      const flexible = isFlexible(btf, steps.at(-1)!, type.length);
      if (index >= type.length && !flexible) fail(`the array has ${type.length} elements`);
      at = resolve(btf, type.type);
      steps.push({ typeId: at, index, name: undefined });
      bitOffset += index * sizeOf(btf, at) * 8;
    } else fail(`${typeText(btf, at)} has no members`);
  }
  return { btf, rootId: typeId, steps, bitOffset };
}

/** An array of no length that ends its struct may be indexed beyond it. Source: `is_flex_arr`. */
function isFlexible(btf: Btf, step: Step, length: number): boolean {
  if (step.name === undefined || length > 0) return false;
  const type = btf.type(step.typeId);
  return isStruct(type) && step.index === type.members.length - 1;
}

/** The same path in the target's type, or undefined when that has none. Source: `bpf_core_spec_match`. */
function matchPath(local: Path, target: Btf, targetId: number, kind: number): Path | undefined {
  const whole: Path = { btf: target, rootId: targetId, steps: [], bitOffset: 0 };
  if (kind === CORE_RELO.typeMatches) {
    return typesMatch(pairOf(local.btf, target), local.rootId, targetId, false, MAX_DEPTH) ? whole : undefined;
  }
  if (!isFieldKind(kind) && !isEnumKind(kind)) {
    return typesCompatible(pairOf(local.btf, target), local.rootId, targetId, MAX_DEPTH) ? whole : undefined;
  }
  let at = resolve(target, targetId);
  if (isEnumKind(kind)) {
    const type = target.type(at);
    if (!isEnum(type)) return undefined;
    const wanted = essentialName(local.steps[0]!.name!);
    const index = type.values.findIndex((v) => essentialName(v.name) === wanted);
    if (index < 0) return undefined;
    return { ...whole, steps: [{ typeId: at, index, name: type.values[index]!.name }] };
  }
  const steps: Step[] = [];
  let bitOffset = 0;
  for (const [i, step] of local.steps.entries()) {
    if (step.name !== undefined) {
      const match = matchMember(local.btf, step, target, at, MAX_DEPTH);
      if (!match) return undefined;
      steps.push({ typeId: match.structId, index: match.index, name: step.name });
      bitOffset += match.bitOffset;
      at = resolve(target, match.member.type);
      continue;
    }
    if (i > 0) {
      const array = target.type(at);
      if (array.kind !== "array") return undefined;
      if (step.index >= array.length && !isFlexible(target, steps.at(-1)!, array.length)) return undefined;
      at = resolve(target, array.type);
    }
    steps.push({ typeId: at, index: step.index, name: undefined });
    bitOffset += step.index * sizeOf(target, at) * 8;
  }
  return { btf: target, rootId: targetId, steps, bitOffset };
}

interface MemberMatch {
  readonly structId: number;
  readonly index: number;
  readonly member: BtfMember;
  /** From the start of the type that the search began in. */
  readonly bitOffset: number;
}

/** A member of this name, also inside nameless ones. Source: `bpf_core_match_member`. */
function matchMember(
  local: Btf,
  step: Step,
  target: Btf,
  id: number,
  depth: number,
  searched = new Set<number>(),
): MemberMatch | undefined {
  const at = resolve(target, id);
  // Found nowhere in it before, and not now.
  if (searched.has(at)) return undefined;
  searched.add(at);
  const type = target.type(at);
  if (depth <= 0) throw new BtfError(`types nest deeper than ${MAX_DEPTH}`, { typeId: id });
  if (!isStruct(type)) return undefined;
  const owner = local.type(step.typeId) as BtfStruct;
  const wanted = owner.members[step.index]!;
  for (const [index, member] of type.members.entries()) {
    if (!member.name) {
      const inside = matchMember(local, step, target, member.type, depth - 1, searched);
      if (inside) return { ...inside, bitOffset: inside.bitOffset + member.bitOffset };
    } else if (member.name === wanted.name) {
      if (!fieldsCompatible(local, wanted.type, target, member.type, depth - 1)) return undefined;
      return { structId: at, index, member, bitOffset: member.bitOffset };
    }
  }
  return undefined;
}

// Comparing types.

/** May a field of one type be read as the other? Source: `bpf_core_fields_are_compat`. */
function fieldsCompatible(local: Btf, localId: number, target: Btf, targetId: number, depth: number): boolean {
  const a = local.type(resolve(local, localId));
  const b = target.type(resolve(target, targetId));
  if (depth <= 0) return false;
  if (isStruct(a) && isStruct(b)) return true;
  if (!sameKind(a, b)) return false;
  switch (a.kind) {
    case "ptr":
    case "float":
      return true;
    case "fwd":
    case "enum":
    case "enum64":
      return !a.name || !b.name || essentialName(a.name) === essentialName(b.name);
    case "int":
      // Integers of any size and sign go; only the old bitfield encoding does not.
      return a.bitOffset === 0 && b.kind === "int" && b.bitOffset === 0;
    case "array":
      return b.kind === "array" && fieldsCompatible(local, a.type, target, b.type, depth - 1);
  }
  return false;
}

/** Two BTFs that are compared, and what was found of pairs of types: those may be met at the ends of 2^32 paths. */
interface Pair {
  readonly local: Btf;
  readonly target: Btf;
  readonly known: Map<string, boolean>;
}

function pairOf(local: Btf, target: Btf): Pair {
  return { local, target, known: new Map() };
}

function once(known: Map<string, boolean>, key: string, answer: () => boolean): boolean {
  let found = known.get(key);
  if (found === undefined) known.set(key, (found = answer()));
  return found;
}

/** Are two types alike, names below the root aside? Source: `__bpf_core_types_are_compat`. */
function typesCompatible(pair: Pair, localId: number, targetId: number, depth: number): boolean {
  const { local, target } = pair;
  if (depth <= 0) throw new BtfError(`types nest deeper than ${MAX_DEPTH}`, { typeId: localId });
  const a = local.type(resolve(local, localId));
  const b = target.type(resolve(target, targetId));
  if (!sameKind(a, b)) return false;
  const inner = (x: number, y: number) => once(pair.known, `${x} ${y}`, () => typesCompatible(pair, x, y, depth - 1));
  switch (a.kind) {
    case "void":
    case "struct":
    case "union":
    case "enum":
    case "enum64":
    case "fwd":
      return true;
    case "int":
      return a.bitOffset === 0 && b.kind === "int" && b.bitOffset === 0;
    case "ptr":
      return b.kind === "ptr" && inner(a.type, b.type);
    case "array":
      return b.kind === "array" && inner(a.type, b.type);
    case "funcProto":
      return (
        b.kind === "funcProto" &&
        a.params.length === b.params.length &&
        a.params.every((p, i) => inner(p.type, b.params[i]!.type)) &&
        inner(a.ret, b.ret)
      );
  }
  return false;
}

/** Does the target have all of the local type, member by member? Source: `__bpf_core_types_match`. */
function typesMatch(pair: Pair, localId: number, targetId: number, behindPointer: boolean, depth: number): boolean {
  const { local, target } = pair;
  if (depth <= 0) throw new BtfError(`types nest deeper than ${MAX_DEPTH}`, { typeId: localId });
  const a = local.type(resolve(local, localId));
  const b = target.type(resolve(target, targetId));
  if (essentialName(a.name) !== essentialName(b.name)) return false;
  const inner = (x: number, y: number, pointer = behindPointer) =>
    once(pair.known, `${x} ${y} ${pointer}`, () => typesMatch(pair, x, y, pointer, depth - 1));
  switch (a.kind) {
    case "void":
      return b.kind === "void";
    case "fwd":
      if (b.kind === "fwd") return a.union === b.union;
      return behindPointer && b.kind === (a.union ? "union" : "struct");
    case "enum":
    case "enum64":
      return isEnum(b) && a.size === b.size && hasAll(a.values, b.values);
    case "struct":
    case "union":
      if (behindPointer) return b.kind === a.kind || (b.kind === "fwd" && b.union === (a.kind === "union"));
      if (b.kind !== a.kind) return false;
      return membersMatch(a.members, b.members, inner);
    case "int":
      return b.kind === "int" && a.size === b.size && isSigned(a) === isSigned(b);
    case "ptr":
      return b.kind === "ptr" && inner(a.type, b.type, true);
    case "array":
      return b.kind === "array" && a.length === b.length && inner(a.type, b.type);
    case "funcProto":
      return (
        b.kind === "funcProto" &&
        a.params.length === b.params.length &&
        a.params.every((p, i) => inner(p.type, b.params[i]!.type)) &&
        inner(a.ret, b.ret)
      );
  }
  return false;
}

interface Named {
  readonly name: string;
}

function byEssentialName<T extends Named>(list: readonly T[]): Map<string, T[]> {
  const out = new Map<string, T[]>();
  for (const item of list) {
    const name = essentialName(item.name);
    const same = out.get(name);
    if (same) same.push(item);
    else out.set(name, [item]);
  }
  return out;
}

function hasAll(wanted: readonly Named[], there: readonly Named[]): boolean {
  const names = byEssentialName(there);
  return wanted.every((v) => names.has(essentialName(v.name)));
}

function membersMatch(
  wanted: readonly BtfMember[],
  there: readonly BtfMember[],
  match: (local: number, target: number) => boolean,
): boolean {
  const names = byEssentialName(there);
  return wanted.every((m) => names.get(essentialName(m.name))?.some((n) => match(m.type, n.type)));
}

function isSigned(type: BtfType): boolean {
  if (type.kind === "int") return type.encoding === "signed";
  return isEnum(type) && type.signed;
}

// Numbers.

interface FieldValue {
  readonly value: number;
  /** False where the instruction's present number says nothing (a bitfield's offset). */
  readonly check: boolean;
  /** Type of the field where its width matters: a plain offset. */
  readonly typeId?: number;
}

function evaluate(local: Btf, path: Path, target: Btf, match: Path | undefined, relo: CoreReloInput): CoreResolution {
  const plain = (value: bigint, expected?: bigint): CoreResolution => ({
    expected,
    value,
    poison: undefined,
    sizes: undefined,
  });
  const missing = (expected: bigint | undefined): CoreResolution => ({
    ...plain(0n, expected),
    poison: `${describeCoreRelo(local, relo)}: not in the target's types`,
  });
  switch (relo.kind) {
    case CORE_RELO.fieldExists:
    case CORE_RELO.typeExists:
    case CORE_RELO.typeMatches:
    case CORE_RELO.enumvalExists:
      // The compiler writes 1: locally all exists.
      return plain(match ? 1n : 0n, 1n);
    case CORE_RELO.typeIdTarget:
      return plain(BigInt(match?.rootId ?? 0));
    case CORE_RELO.typeSize:
      return plain(match ? BigInt(sizeOf(target, match.rootId)) : 0n, BigInt(sizeOf(local, path.rootId)));
    case CORE_RELO.enumvalValue: {
      const expected = enumerator(path);
      return match ? plain(enumerator(match), expected) : missing(expected);
    }
  }
  const mine = fieldValue(path, relo);
  const expected = mine.check ? BigInt(mine.value) : undefined;
  if (!match) return missing(expected);
  const theirs = fieldValue(match, relo);
  let sizes: CoreResolution["sizes"];
  if (mine.typeId !== undefined && theirs.typeId !== undefined) {
    const sizeLocal = sizeOf(local, mine.typeId);
    const sizeTarget = sizeOf(target, theirs.typeId);
    if (sizeLocal !== sizeTarget) {
      // Only pointers and unsigned integers may be read with another width. Source: `bpf_core_calc_relo`.
      const a = local.type(resolve(local, mine.typeId));
      const b = target.type(resolve(target, theirs.typeId));
      const adjustable =
        (a.kind === "ptr" && b.kind === "ptr") ||
        (a.kind === "int" && b.kind === "int" && !isSigned(a) && !isSigned(b));
      sizes = { local: sizeLocal, target: sizeTarget, adjustable };
    }
  }
  return { expected, value: BigInt(theirs.value), poison: undefined, sizes };
}

function enumerator(path: Path): bigint {
  const type = path.btf.type(path.steps[0]!.typeId) as BtfEnum;
  return BigInt.asUintN(64, type.values[path.steps[0]!.index]!.value);
}

/** Source: `bpf_core_calc_field_relo`. */
function fieldValue({ btf, steps, bitOffset }: Path, relo: CoreReloInput): FieldValue {
  const last = steps.at(-1)!;
  if (last.name === undefined) {
    if (relo.kind === CORE_RELO.fieldByteOffset)
      return { value: wholeBytes(bitOffset, `element ${last.index}`), check: true, typeId: last.typeId };
    if (relo.kind === CORE_RELO.fieldByteSize) return { value: sizeOf(btf, last.typeId), check: true };
    throw new BtfError(`${describeCoreRelo(btf, relo)}: an array element has offset and size only`);
  }
  const member = (btf.type(last.typeId) as BtfStruct).members[last.index]!;
  const type = btf.type(resolve(btf, member.type));
  const bitfield = member.bitSize > 0;
  let bits = member.bitSize;
  let size = sizeOf(btf, member.type);
  let byte = Math.floor(bitOffset / 8);
  if (bitfield) {
    // The smallest aligned integer that holds all bits.
    byte = Math.floor(bitOffset / 8 / size) * size;
    while (bitOffset + bits - byte * 8 > size * 8) {
      if (size >= 8) throw new BtfError(`${describeCoreRelo(btf, relo)}: no integer holds the bitfield`);
      size *= 2;
      byte = Math.floor(bitOffset / 8 / size) * size;
    }
  } else bits = size * 8;
  switch (relo.kind) {
    case CORE_RELO.fieldByteOffset:
      return { value: byte, check: !bitfield, ...(bitfield ? {} : { typeId: member.type }) };
    case CORE_RELO.fieldByteSize:
      return { value: size, check: !bitfield };
    case CORE_RELO.fieldSigned:
      return { value: isSigned(type) ? 1 : 0, check: true };
    case CORE_RELO.fieldLshiftU64:
      return {
        value: btf.byteOrder === "big" ? (8 - size) * 8 + (bitOffset - byte * 8) : 64 - (bitOffset + bits - byte * 8),
        check: false,
      };
    default:
      return { value: 64 - bits, check: true };
  }
}
