/** Runs the entries of test_bpf.c on our engines as the kernel's test module runs them on its own. */
import { viewOf } from "@ebplane/core/bytes";
import { cbpf } from "@ebplane/core/isa";
import { type MapSpec, MapType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { type EngineName, Machine, SkbBuffer } from "@ebplane/core/vm";
import { rawProgram } from "../../packages/core/src/vm/exec.ts";
import { SKB } from "../../packages/core/src/vm/layout.ts";
import type { TableTest, TailCallTest } from "./reader.ts";

/** The packet's metadata in every test. */
const META = {
  protocol: 0x0800,
  pktType: 3,
  mark: 0x1234aaaa,
  hash: 0x1234aaab,
  queueMapping: 123,
  vlan: { tci: 0xffff, proto: 0x0800 },
  ifindex: 577,
} as const;
const DEVICE_TYPE = 588;
const ETH_HLEN = 14;

/** Every wrong result of an entry, in words; none when it passes. */
export function wrong(test: TableTest, engine: EngineName | "classic"): string[] {
  if (test.mustFail) return refuses(test) ? [] : ["accepted, must be refused"];
  const run = engine === "classic" ? classicRunner(test) : engineRunner(test, engine);
  const out: string[] = [];
  test.runs.forEach(({ size, result }, i) => {
    const got = run(size);
    if (got !== result) out.push(`run ${i} of ${size} bytes: expected ${result}, got ${got}`);
  });
  return out;
}

function refuses(test: TableTest): boolean {
  try {
    cbpf.checkClassic(cbpf.decodeClassic(test.code));
    return false;
  } catch {
    return true;
  }
}

function packetOf(test: TableTest, size: number): Uint8Array {
  const bytes = new Uint8Array(size + (test.fragment ? test.frag.length : 0));
  bytes.set(test.data.subarray(0, size));
  if (test.fragment) bytes.set(test.frag, size);
  return bytes;
}

function classicRunner(test: TableTest): (size: number) => number {
  const insns = cbpf.decodeClassic(test.code);
  cbpf.checkClassic(insns);
  return (size) =>
    cbpf.runClassic(insns, {
      bytes: packetOf(test, size),
      network: Math.min(size, ETH_HLEN),
      link: 0,
      protocol: META.protocol,
      pktType: META.pktType,
      mark: META.mark,
      rxhash: META.hash,
      queue: META.queueMapping,
      vlanTci: META.vlan.tci,
      vlanPresent: true,
      vlanTpid: META.vlan.proto,
      ifindex: META.ifindex,
      hatype: DEVICE_TYPE,
      cpu: 0,
    });
}

function engineRunner(test: TableTest, engine: EngineName): (size: number) => number {
  const machine = new Machine();
  const { memory } = machine;
  const code = test.classic ? cbpf.translateClassic(cbpf.decodeClassic(test.code)) : ended(test.code);
  const type = test.largeMemory ? ProgType.BPF_PROG_TYPE_UNSPEC : ProgType.BPF_PROG_TYPE_SOCKET_FILTER;
  const program = machine.load(rawProgram(code, type), { engine });
  // Without a packet a classic program still has a ctx: what it reads of it first is not in such tests.
  const isBare = test.noData && !test.classic;
  const skb = new SkbBuffer(memory);
  return (size) => {
    if (isBare) return program.run(0);
    if (test.largeMemory) return program.run(memory.alloc(size || 8));
    return program.run(place(machine, skb, test, size));
  };
}

/** A few end in instructions that nothing reaches; with an exit behind them they are programs to a loader too. */
function ended(code: Uint8Array): Uint8Array {
  const out = new Uint8Array(code.length + 8);
  out.set(code);
  out[code.length] = 0x95;
  return out;
}

/** A packet as the module makes it: without a lower limit to its size, all headers at its start. */
function place({ memory }: Machine, skb: SkbBuffer, test: TableTest, size: number): number {
  const bytes = packetOf(test, size);
  const frame = new Uint8Array(Math.max(ETH_HLEN, bytes.length));
  frame.set(bytes);
  const ctx = skb.write(frame, META);
  const start = skb.field(SKB.DATA);
  const put = (field: number, value: number): void => memory.view.setUint32(ctx + field, value, true);
  put(SKB.LEN, bytes.length);
  put(SKB.DATA_END, start + size);
  put(SKB.NETWORK, start + Math.min(size, ETH_HLEN));
  if (!test.fragment) return ctx;
  memory.u8.set(test.frag, skb.field(SKB.NONLINEAR_AT));
  put(SKB.NONLINEAR, test.frag.length);
  return ctx;
}

const MARKER = 0x7a11ca11;
const NULL_TARGET = 0x7fff;
const OUT_OF_RANGE = 0x7ffe;
/** get_numa_node_id, ktime_get_ns, ktime_get_boot_ns, ktime_get_coarse_ns, jiffies64. */
const CALLED: ReadonlySet<number> = new Set([42, 5, 125, 160, 118]);
/** In place of the module's own function: any one that clobbers r1-r5 will do. */
const GET_PRANDOM_U32 = 7;

/** Every wrong result of the table of tail calls, in words. */
export function wrongTailCalls(tests: readonly TailCallTest[], engine: EngineName, turns: number): string[] {
  const machine = new Machine();
  const spec: MapSpec = {
    name: "progs",
    type: MapType.BPF_MAP_TYPE_PROG_ARRAY,
    keySize: 4,
    valueSize: 4,
    maxEntries: tests.length + 1,
    flags: 0,
  };
  const progs = machine.createMap(spec);
  const maps = new Map([["progs", progs]]);
  const word = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
  const programs = tests.map((test, i) => {
    const program = machine.load(linked(test, i, tests.length), { engine, maps });
    progs.update(word(i), word(program.id));
    return program;
  });
  const state = machine.memory.alloc(8);
  const out: string[] = [];
  tests.forEach((test, i) => {
    machine.memory.view.setUint32(state, 0, true);
    let got = 0;
    for (let n = 0; n < turns; n++) got = programs[i]!.run(test.needsState ? state : 0) | 0;
    if (test.resultInState) got = machine.memory.view.getInt32(state, true);
    // A counter in the state counts every turn of the module's thousand.
    const expected = test.resultInState ? (test.result / 1000) * turns : test.result;
    if (got !== expected) out.push(`${test.descr}: expected ${expected}, got ${got}`);
  });
  return out;
}

/** The marked instructions made real: the map, the index, the tail call itself. */
function linked(test: TailCallTest, index: number, count: number): ProgramSpec {
  const code = test.code.slice();
  const view = viewOf(code);
  const relocs: ProgramSpec["relocs"][number][] = [];
  for (let pc = 0; pc < code.length / 8; pc++) {
    const at = pc * 8;
    const opcode = code[at]!;
    const imm = view.getInt32(at + 4, true);
    const off = view.getInt16(at + 2, true);
    if (opcode === 0x18) {
      if (imm === MARKER) {
        relocs.push({ pc, kind: "map", name: "progs" });
        code[at + 1] = (code[at + 1]! & 15) | 0x10;
        view.setInt32(at + 4, 0, true);
        view.setInt32(at + 12, 0, true);
      }
      pc++;
    } else if (opcode === 0xb4 && imm === MARKER) {
      const target = off === NULL_TARGET ? count : off === OUT_OF_RANGE ? count + 1 : index + off;
      view.setInt16(at + 2, 0, true);
      view.setInt32(at + 4, target, true);
    } else if (opcode === 0xf5) {
      code[at] = 0x85;
      view.setInt32(at + 4, 12, true);
    } else if (opcode === 0x85 && code[at + 1]! >>> 4 === 1) {
      code[at + 1] = 0;
      if (!CALLED.has(imm)) view.setInt32(at + 4, GET_PRANDOM_U32, true);
    }
  }
  return { ...rawProgram(code, ProgType.BPF_PROG_TYPE_UNSPEC, `tail-${index}`), relocs };
}
