/**
 * Joins new functions with the part of a prebuilt module that they call: the map runtime's functions end up in the same
 * wasm module as the program, so a map operation is a direct call (1.7 ns; a call into another instance is 2.2).
 * Only functions that are reached are copied: what is not there costs no compile time.
 *
 * It relies on the prebuilt module keeping all its state in memory: a reached function that uses a mutable global, a
 * table or a passive segment is refused. Data segments are left to the prebuilt module's own instance.
 * Read `wasm.ts` first.
 */
import { InternalError } from "../../errors/index.ts";
import {
  FUNCREF,
  type FuncType,
  funcType,
  name,
  newSink,
  Op,
  putUleb5,
  type Reader,
  raw,
  readName,
  readU8,
  readUleb,
  SECTION,
  type Sink,
  sameType,
  section,
  skipLeb,
  u8,
  uleb,
  uleb5,
  WASM_HEADER,
  written,
} from "./wasm.ts";

/** A prebuilt module, read once and used for many links. Function indices count imports first. */
export interface Prebuilt {
  readonly types: readonly FuncType[];
  readonly imports: readonly { readonly module: string; readonly name: string; readonly type: number }[];
  readonly functions: readonly PrebuiltFunction[];
  /** Imported globals come first in the index space and are imported again: their state is shared. */
  readonly importedGlobals: readonly { readonly module: string; readonly name: string; readonly bytes: Uint8Array }[];
  /** The bytes of each global of its own: value type, mutability, initialiser. */
  readonly globals: readonly { readonly bytes: Uint8Array; readonly mutable: boolean }[];
  /** Function exports: name to function index. */
  readonly exports: ReadonlyMap<string, number>;
}

interface PrebuiltFunction {
  readonly type: number;
  /** Locals and code, every call's index widened to five bytes. */
  readonly body: Uint8Array;
  /** Where those five bytes stand, and the function index there. */
  readonly calls: readonly { readonly at: number; readonly index: number }[];
  /** Why this function cannot be copied into another module, if so. */
  readonly refusal: string | undefined;
}

/** What a call in new code refers to; the code holds five bytes that `link` fills in. */
export type Callee =
  | { readonly kind: "import"; readonly name: string; readonly type: FuncType }
  | { readonly kind: "own"; readonly index: number }
  | { readonly kind: "prebuilt"; readonly name: string };

export interface OwnFunction {
  readonly type: FuncType;
  readonly locals: readonly { readonly count: number; readonly type: number }[];
  /** Instructions without the final `end`. */
  readonly code: Sink;
  readonly calls: readonly { readonly at: number; readonly callee: Callee }[];
  /** Type uses (`call_indirect`): five bytes at `at` for the index of `type`. */
  readonly typeUses: readonly { readonly at: number; readonly type: FuncType }[];
  readonly exportAs?: string;
}

export interface LinkOptions {
  readonly memory: { readonly initial: number; readonly maximum: number | undefined; readonly shared: boolean };
  /** Import `env.table`, a table of functions, of at least this size. */
  readonly table?: number;
}

/**
 * Reads a prebuilt module.
 * @throws InternalError when it is damaged or uses what the linker does not know.
 */
export function readPrebuilt(bytes: Uint8Array): Prebuilt {
  const types: FuncType[] = [];
  const imports: { module: string; name: string; type: number }[] = [];
  const functionTypes: number[] = [];
  const functions: PrebuiltFunction[] = [];
  const importedGlobals: { module: string; name: string; bytes: Uint8Array }[] = [];
  const globals: { bytes: Uint8Array; mutable: boolean }[] = [];
  const exports = new Map<string, number>();
  const reader: Reader = { bytes, at: WASM_HEADER.length };
  while (reader.at < bytes.length) {
    const id = readU8(reader);
    const length = readUleb(reader);
    const end = reader.at + length;
    if (id === SECTION.type) {
      for (let n = readUleb(reader); n > 0; n--) {
        if (readU8(reader) !== 0x60) throw new InternalError("prebuilt module: a type that is no function");
        const params = readTypes(reader);
        types.push({ params, results: readTypes(reader) });
      }
    } else if (id === SECTION.import) {
      for (let n = readUleb(reader); n > 0; n--) {
        const module = readName(reader);
        const field = readName(reader);
        const kind = readU8(reader);
        if (kind === 0) imports.push({ module, name: field, type: readUleb(reader) });
        else if (kind === 1) {
          readU8(reader);
          skipLimits(reader);
        } else if (kind === 2) skipLimits(reader);
        else if (kind === 3) {
          const type = readU8(reader);
          importedGlobals.push({ module, name: field, bytes: Uint8Array.of(type, readU8(reader)) });
        } else throw new InternalError(`prebuilt module imports ${module}.${field} of kind ${kind}`);
      }
    } else if (id === SECTION.function) {
      for (let n = readUleb(reader); n > 0; n--) functionTypes.push(readUleb(reader));
    } else if (id === SECTION.global) {
      for (let n = readUleb(reader); n > 0; n--) {
        const start = reader.at;
        readU8(reader);
        const mutable = readU8(reader) === 1;
        while (readU8(reader) !== Op.end) skipLeb(reader);
        globals.push({ bytes: bytes.slice(start, reader.at), mutable });
      }
    } else if (id === SECTION.export) {
      for (let n = readUleb(reader); n > 0; n--) {
        const field = readName(reader);
        const kind = readU8(reader);
        const index = readUleb(reader);
        if (kind === 0) exports.set(field, index);
      }
    } else if (id === SECTION.code) {
      const count = readUleb(reader);
      for (let i = 0; i < count; i++) {
        const size = readUleb(reader);
        functions.push(
          readBody(bytes.subarray(reader.at, reader.at + size), functionTypes[i]!, importedGlobals.length, globals),
        );
        reader.at += size;
      }
    }
    reader.at = end;
  }
  return { types, imports, functions, importedGlobals, globals, exports };
}

function readTypes(reader: Reader): number[] {
  return Array.from({ length: readUleb(reader) }, () => readU8(reader));
}

function skipLimits(reader: Reader): void {
  const flags = readU8(reader);
  readUleb(reader);
  if (flags & 1) readUleb(reader);
}

function readBody(
  body: Uint8Array,
  type: number,
  imported: number,
  globals: readonly { readonly mutable: boolean }[],
): PrebuiltFunction {
  const reader: Reader = { bytes: body, at: 0 };
  const out = newSink(body.length + 64);
  const calls: { at: number; index: number }[] = [];
  let refusal: string | undefined;
  for (let n = readUleb(reader); n > 0; n--) {
    readUleb(reader);
    readU8(reader);
  }
  let copied = 0;
  const refuse = (what: string) => {
    refusal ??= what;
  };
  while (reader.at < body.length) {
    const op = readU8(reader);
    if (op === Op.call || op === Op.return_call) {
      raw(out, body.subarray(copied, reader.at));
      const index = readUleb(reader);
      calls.push({ at: out.length, index });
      uleb5(out, index);
      copied = reader.at;
    } else if (op === Op.global_get || op === Op.global_set) {
      const global = readUleb(reader);
      if (global >= imported && globals[global - imported]?.mutable !== false)
        refuse(`it uses mutable global ${global}`);
    } else skipImmediates(reader, op, refuse);
  }
  raw(out, body.subarray(copied));
  return { type, body: written(out).slice(), calls, refusal };
}

function skipImmediates(reader: Reader, op: number, refuse: (what: string) => void): void {
  if (op === Op.block || op === Op.loop || op === Op.if_ || op === Op.br || op === Op.br_if) skipLeb(reader);
  else if (op >= Op.local_get && op <= Op.local_tee) skipLeb(reader);
  else if (op >= Op.i32_load && op <= Op.i64_store32) skipMemarg(reader);
  else if (op === 0x3f || op === 0x40) readU8(reader);
  else if (op === Op.i32_const || op === Op.i64_const) skipLeb(reader);
  else if (op === 0x43) reader.at += 4;
  else if (op === 0x44) reader.at += 8;
  else if (op === Op.br_table) {
    for (let n = readUleb(reader); n >= 0; n--) readUleb(reader);
  } else if (op === Op.call_indirect || op === Op.return_call_indirect) {
    refuse("it calls through a table");
    skipLeb(reader);
    skipLeb(reader);
  } else if (op === 0x1c) {
    for (let n = readUleb(reader); n > 0; n--) readU8(reader);
  } else if (op === Op.bulk) {
    const sub = readUleb(reader);
    if (sub === 10) reader.at += 2;
    else if (sub === 11) reader.at += 1;
    else if (sub > 7) refuse(`it uses bulk operation ${sub}`);
  } else if (op === Op.atomic) {
    const sub = readUleb(reader);
    if (sub === 3) readU8(reader);
    else skipMemarg(reader);
  } else if (op === 0x25 || op === 0x26 || (op >= 0xd0 && op <= 0xd2) || op === 0xfd) {
    throw new InternalError(`prebuilt module: opcode 0x${op.toString(16)} at ${reader.at - 1}`);
  }
}

function skipMemarg(reader: Reader): void {
  skipLeb(reader);
  skipLeb(reader);
}

/**
 * One module: `env.memory` (and `env.table`) imported, every `import` callee imported from `env`, the own functions,
 * and the prebuilt functions that they reach.
 */
export function link(prebuilt: Prebuilt | undefined, functions: readonly OwnFunction[], options: LinkOptions) {
  const types: FuncType[] = [...(prebuilt?.types ?? [])];
  const typeIndex = (type: FuncType): number => {
    const found = types.findIndex((t) => sameType(t, type));
    return found >= 0 ? found : types.push(type) - 1;
  };
  const imports = new Map<string, { type: number; index: number }>();
  const importIndex = (field: string, type: number): number => {
    let entry = imports.get(field);
    if (!entry) imports.set(field, (entry = { type, index: imports.size }));
    return entry.index;
  };
  const reached = reach(prebuilt, functions);
  for (const f of functions) {
    for (const { callee } of f.calls) if (callee.kind === "import") importIndex(callee.name, typeIndex(callee.type));
  }
  const prebuiltImports = prebuilt?.imports.length ?? 0;
  for (const index of reached) {
    if (index >= prebuiltImports) continue;
    const entry = prebuilt!.imports[index]!;
    importIndex(entry.name, entry.type);
  }
  const first = imports.size;
  const newIndex = new Map<number, number>();
  let next = first + functions.length;
  for (const index of reached) {
    if (index < prebuiltImports) newIndex.set(index, imports.get(prebuilt!.imports[index]!.name)!.index);
    else newIndex.set(index, next++);
  }
  const resolve = (callee: Callee): number =>
    callee.kind === "import"
      ? imports.get(callee.name)!.index
      : callee.kind === "own"
        ? first + callee.index
        : newIndex.get(prebuilt!.exports.get(callee.name)!)!;

  const functionTypes = functions.map((f) => typeIndex(f.type));
  for (const f of functions) for (const use of f.typeUses) putUleb5(f.code.bytes, use.at, typeIndex(use.type));

  const out = newSink(1024);
  raw(out, WASM_HEADER);
  const copied = reached.filter((index) => index >= prebuiltImports);
  section(
    out,
    SECTION.type,
    list(types, (s, t) => funcType(s, t)),
  );
  // Without copied functions nothing names a global.
  const importedGlobals = copied.length ? prebuilt!.importedGlobals : [];
  section(out, SECTION.import, importSection(imports, importedGlobals, options));
  section(
    out,
    SECTION.function,
    list([...functionTypes, ...copied.map((i) => prebuilt!.functions[i - prebuiltImports]!.type)], uleb),
  );
  if (prebuilt && copied.length && prebuilt.globals.length) {
    section(
      out,
      SECTION.global,
      list(prebuilt.globals, (s, g) => raw(s, g.bytes)),
    );
  }
  const exported = functions.flatMap((f, i) =>
    f.exportAs === undefined ? [] : [{ name: f.exportAs, index: first + i }],
  );
  section(
    out,
    SECTION.export,
    list(exported, (s, e) => {
      name(s, e.name);
      u8(s, 0);
      uleb(s, e.index);
    }),
  );
  const code = newSink(1024);
  uleb(code, functions.length + copied.length);
  for (const f of functions) {
    for (const { at, callee } of f.calls) putUleb5(f.code.bytes, at, resolve(callee));
    const head = newSink(32);
    const locals = f.locals.filter((l) => l.count > 0);
    uleb(head, locals.length);
    for (const l of locals) {
      uleb(head, l.count);
      u8(head, l.type);
    }
    uleb(code, head.length + f.code.length + 1);
    raw(code, written(head));
    raw(code, written(f.code));
    u8(code, Op.end);
  }
  for (const index of copied) {
    const f = prebuilt!.functions[index - prebuiltImports]!;
    uleb(code, f.body.length);
    const at = code.length;
    raw(code, f.body);
    for (const call of f.calls) putUleb5(code.bytes, at + call.at, newIndex.get(call.index)!);
  }
  section(out, SECTION.code, code);
  return { bytes: written(out).slice(), imports: [...imports.keys()] };
}

/** Prebuilt function indices that the own functions call, directly or not, in the order found. */
function reach(prebuilt: Prebuilt | undefined, functions: readonly OwnFunction[]): number[] {
  const seen = new Set<number>();
  for (const f of functions) {
    for (const { callee } of f.calls) {
      if (callee.kind !== "prebuilt") continue;
      const index = prebuilt?.exports.get(callee.name);
      if (index === undefined) throw new InternalError(`prebuilt module has no function ${callee.name}`);
      seen.add(index);
    }
  }
  // A Set iterates over what is added during the iteration too.
  for (const index of seen) {
    const f = prebuilt!.functions[index - prebuilt!.imports.length];
    if (!f) continue;
    if (f.refusal) throw new InternalError(`prebuilt function ${index} cannot be copied: ${f.refusal}`);
    for (const call of f.calls) seen.add(call.index);
  }
  return [...seen];
}

function list<T>(items: readonly T[], write: (sink: Sink, item: T) => void): Sink {
  const sink = newSink();
  uleb(sink, items.length);
  for (const item of items) write(sink, item);
  return sink;
}

function importSection(
  imports: ReadonlyMap<string, { type: number }>,
  globals: Prebuilt["importedGlobals"],
  options: LinkOptions,
): Sink {
  const sink = newSink();
  uleb(sink, imports.size + 1 + (options.table === undefined ? 0 : 1) + globals.length);
  for (const [field, { type }] of imports) {
    name(sink, "env");
    name(sink, field);
    u8(sink, 0);
    uleb(sink, type);
  }
  const { initial, maximum, shared } = options.memory;
  name(sink, "env");
  name(sink, "memory");
  u8(sink, 2);
  u8(sink, (maximum === undefined ? 0 : 1) | (shared ? 2 : 0));
  uleb(sink, initial);
  if (maximum !== undefined) uleb(sink, maximum);
  if (options.table !== undefined) {
    name(sink, "env");
    name(sink, "table");
    u8(sink, 1);
    u8(sink, FUNCREF);
    u8(sink, 0);
    uleb(sink, options.table);
  }
  for (const global of globals) {
    name(sink, global.module);
    name(sink, global.name);
    u8(sink, 3);
    raw(sink, global.bytes);
  }
  return sink;
}
