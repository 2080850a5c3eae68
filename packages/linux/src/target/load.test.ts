import { readdirSync } from "node:fs";
import { VerifierError } from "@ebplane/core/errors";
import { decode, encode, type InsnInit, OP_CALL, OP_EXIT, OP_LDDW } from "@ebplane/core/isa";
import { type CollectionSpec, type MapSpec, MapType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { kernelSkipReason } from "../testing.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();

const exit: InsnInit = { opcode: OP_EXIT };
const r0 = (imm: number): InsnInit => ({ opcode: 0xb7, imm });

function xdp(name: string, insns: readonly InsnInit[], more: Partial<ProgramSpec> = {}): ProgramSpec {
  return {
    name,
    section: "xdp",
    type: ProgType.BPF_PROG_TYPE_XDP,
    attachType: 0,
    flags: 0,
    code: encode(insns),
    relocs: [],
    funcInfo: [],
    lineInfo: [],
    ...more,
  };
}

function collection(programs: readonly ProgramSpec[], maps: readonly MapSpec[] = []): CollectionSpec {
  return {
    programs: new Map(programs.map((p) => [p.name, p])),
    maps: new Map(maps.map((m) => [m.name, m])),
    license: "GPL",
    byteOrder: "little",
  };
}

const array = (name: string, more: Partial<MapSpec> = {}): MapSpec => ({
  name,
  type: MapType.BPF_MAP_TYPE_ARRAY,
  keySize: 4,
  valueSize: 8,
  maxEntries: 1,
  flags: 0,
  ...more,
});

/** Adds 1 to the u64 at the start of map `hits`, returns XDP_PASS. */
const counter = xdp(
  "counter",
  [
    { opcode: OP_LDDW, dst: 1, src: 2 },
    { opcode: 0xb7, dst: 2, imm: 1 },
    { opcode: 0xdb, dst: 1, src: 2 },
    r0(2),
    exit,
  ],
  { relocs: [{ pc: 0, kind: "mapValue", name: "hits", offset: 0 }] },
);

const key0 = new Uint8Array(4);
const frame = new Uint8Array(64);

describe.skipIf(skip)(`loading into the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("a program runs on a packet and counts in its map", () => {
    using loaded = linuxTarget().load(collection([counter], [array("hits")]));
    const program = loaded.programs.get("counter")!;
    expect(program.id).toBeGreaterThan(0);
    const { verdict, packet } = program.testRun({ packet: frame, repeat: 3 });
    expect(verdict).toBe(2);
    expect(packet).toEqual(frame);
    expect(new DataView(loaded.maps.get("hits")!.lookup(key0)!.buffer).getBigUint64(0, true)).toBe(3n);
  });

  test("a refused program names its instruction and source line, and leaves nothing behind", () => {
    const bad = xdp("bad", [r0(0), { opcode: 0x61, dst: 0, src: 1, off: 100 }, exit], {
      lineInfo: [{ pc: 1, file: "bad.bpf.ts", line: 7, col: 3, text: "ctx.nothing" }],
    });
    const before = readdirSync("/proc/self/fd").length;
    let error: unknown;
    try {
      linuxTarget().load(collection([counter, bad], [array("hits")]));
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(VerifierError);
    const refused = error as VerifierError;
    expect(refused.message).toBe(
      "program bad: slot 1: bad.bpf.ts:7:3: invalid bpf_context access off=100 size=4; only the fields of this program type's ctx may be read, each at its own size",
    );
    expect(refused.pc).toBe(1);
    expect(refused.log).toMatch(/^1: \(61\) r0 = \*\(u32 \*\)\(r1 \+100\)/m);
    expect(refused.cause).toMatchObject({ code: "EACCES", syscall: "bpf(PROG_LOAD)" });
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });

  test("a long log is fetched whole", () => {
    const states: InsnInit[] = [r0(0)];
    for (let i = 0; i < 3500; i++) states.push({ opcode: 0x07, dst: 0, imm: i });
    const bad = xdp("long", [...states, { opcode: 0x79, dst: 0, src: 5 }, exit]);
    try {
      linuxTarget().load(collection([bad]));
      expect.unreachable();
    } catch (e) {
      const { log, message } = e as VerifierError;
      expect(log.length).toBeGreaterThan(1 << 16);
      expect(/^0: (?:R1=ctx\(|\(b7\))/.test(log)).toBe(true);
      expect(message).toContain("program long: slot 3501: R5 !read_ok; ");
    }
  });

  test("contents are written and a frozen map refuses updates", () => {
    const rodata = array("rodata", {
      flags: 1 << 7,
      frozen: true,
      contents: [{ key: key0, value: new Uint8Array(8).fill(7) }],
    });
    using loaded = linuxTarget().load(collection([], [rodata]));
    const map = loaded.maps.get("rodata")!;
    expect(map.lookup(key0)).toEqual(new Uint8Array(8).fill(7));
    expect(() => map.update(key0, new Uint8Array(8))).toThrow("bpf(MAP_UPDATE_ELEM): EPERM: map rodata (array)");
  });

  test("tail calls find their targets", () => {
    const jump = xdp(
      "jump",
      [
        { opcode: OP_LDDW, dst: 2, src: 1 },
        { opcode: 0xb7, dst: 3, imm: 1 },
        { opcode: OP_CALL, imm: 12 },
        r0(0),
        exit,
      ],
      { relocs: [{ pc: 0, kind: "map", name: "next" }] },
    );
    const next = array("next", {
      type: MapType.BPF_MAP_TYPE_PROG_ARRAY,
      valueSize: 4,
      maxEntries: 2,
      contents: [{ key: Uint8Array.of(1, 0, 0, 0), value: { program: "drop" } }],
    });
    using loaded = linuxTarget().load(collection([jump, xdp("drop", [r0(1), exit])], [next]));
    expect(loaded.programs.get("jump")!.testRun({ packet: frame }).verdict).toBe(1);
  });

  test("only the programs asked for are loaded, with the maps they use", () => {
    using loaded = linuxTarget().load(
      collection([counter, xdp("pass", [r0(2), exit])], [array("hits"), array("other")]),
      {
        programs: ["counter"],
      },
    );
    expect([...loaded.programs.keys()]).toEqual(["counter"]);
    expect([...loaded.maps.keys()]).toEqual(["hits"]);
  });

  test("a reused map is shared and survives the collection", () => {
    using first = linuxTarget().load(collection([counter], [array("hits")]));
    const hits = first.maps.get("hits")!;
    const second = linuxTarget().load(collection([counter], [array("hits")]), { reuse: new Map([["hits", hits]]) });
    second.programs.get("counter")!.testRun({ packet: frame });
    second.close();
    expect(hits.lookup(key0)![0]).toBe(1);
  });

  test("closed objects refuse use", () => {
    const loaded = linuxTarget().load(collection([counter], [array("hits")]));
    const map = loaded.maps.get("hits")!;
    const program = loaded.programs.get("counter")!;
    loaded.close();
    loaded.close();
    expect(() => map.lookup(key0)).toThrow(new TypeError("map hits: is closed"));
    expect(() => program.testRun({ packet: frame })).toThrow(new TypeError("program counter: is closed"));
  });
});

test("decode agrees with what the tests encode", () => {
  expect(decode(counter.code)).toHaveLength(5);
});
