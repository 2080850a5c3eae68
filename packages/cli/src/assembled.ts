/** An assembled text as a collection of one program: what `ebplane asm -o x.o` writes. */
import type { Assembled } from "@ebplane/core/asm";
import { BtfBuilder } from "@ebplane/core/btf";
import { sectionKind } from "@ebplane/core/elf";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, decode, OP_CALL, OP_LDDW } from "@ebplane/core/isa";
import { type CollectionSpec, type MapSpec, mapTypeByName } from "@ebplane/core/object";
import { UsageError } from "./failure.ts";
import { wholeNumber } from "./options.ts";

export interface ObjectOptions {
  readonly section: string;
  readonly name: string;
  readonly license: string;
  readonly map: readonly string[];
}

/** The program at slot 0 in its section, what it calls as static functions, with types and source lines. */
export function assembledCollection(assembled: Assembled, options: ObjectOptions): CollectionSpec {
  const { code, relocs, lineInfo, labels } = assembled;
  const { section, name, license } = options;
  const kind = sectionKind(section);
  if (kind.type === 0) throw new UsageError(`--section: libbpf knows no program type for ${section}`);
  const b = new BtfBuilder();
  const int = b.int("int", 4, { encoding: "signed" });
  const main = b.func(name, b.funcProto(int, [{ name: "ctx", type: b.ptr(0) }]));
  const names = new Map([...labels].map(([label, pc]) => [pc, label]));
  const sub = b.funcProto(int, []);
  const starts = new Set(
    decode(code).flatMap((i) => {
      const link =
        (i.opcode === OP_CALL && i.src === BPF_PSEUDO_CALL) || (i.opcode === OP_LDDW && i.src === BPF_PSEUDO_FUNC);
      return link && i.pc + 1 + i.imm > 0 ? [i.pc + 1 + i.imm] : [];
    }),
  );
  const functions = [...starts].sort((x, y) => x - y).map((pc) => ({ pc, name: names.get(pc) ?? `${name}_${pc}` }));
  const program = {
    name,
    section,
    type: kind.type,
    attachType: kind.attachType,
    flags: kind.flags,
    ...(kind.attachTo === undefined ? {} : { attachTo: kind.attachTo }),
    code,
    relocs,
    funcInfo: [
      { pc: 0, name, typeId: main },
      ...functions.map((f) => ({ ...f, typeId: b.func(f.name, sub, "static") })),
    ],
    lineInfo,
  };
  const maps = options.map.map(parseMap);
  return {
    programs: new Map([[name, program]]),
    maps: new Map(maps.map((m) => [m.name, m])),
    license,
    btf: b.build(),
    byteOrder: "little",
  };
}

/** `flows=hash:4:8:1024`: name, type, bytes of key and value, entries. */
function parseMap(text: string): MapSpec {
  const [, name, type, key, value, max] = /^(\w+)=(\w+):(\d+):(\d+):(\d+)$/.exec(text) ?? [];
  if (name === undefined) throw new UsageError(`--map: expected NAME=TYPE:KEY:VALUE:ENTRIES, got ${text}`);
  const number = mapTypeByName(type!);
  if (number === undefined) throw new UsageError(`--map: no map type named ${type}`);
  const bytes = (size: string) => wholeNumber(size, "--map");
  return { name, type: number, keySize: bytes(key!), valueSize: bytes(value!), maxEntries: bytes(max!), flags: 0 };
}
