/**
 * Random byte strings as programs, run under guard: whatever they are, loading refuses them or the run ends with a
 * result or a fault. Half of the strings are pure noise, half have opcodes, registers and targets that exist, so that
 * many of them run. For tests and scripts alone.
 */
import { type SeededRandom, seededRandom } from "../../bytes/index.ts";
import { BpfError } from "../../errors/index.ts";
import { HELPERS, MapType, ProgType } from "../../object/index.ts";
import { XdpRing } from "../ctx/xdp.ts";
import { rawProgram } from "../exec.ts";
import { GuardedRun } from "../guard.ts";
import { Machine } from "../machine.ts";

export interface HostileResult {
  readonly seed: number;
  readonly ran: number;
  readonly refused: number;
  readonly faults: number;
  readonly ended: number;
}

/** @throws whatever is neither an answer nor a BpfError: a defect, with the seed and the program in its message. */
export function hostilePrograms(seed: number, count: number): HostileResult {
  const random = seededRandom(seed);
  let ran = 0;
  let refused = 0;
  let faults = 0;
  let ended = 0;
  let machine!: Machine;
  let ring!: XdpRing;
  let maps: number[] = [];
  let before!: Uint8Array;
  for (let i = 0; i < count; i++) {
    // A machine serves many programs: one that damaged it would make the next ones fail.
    if (i % 1000 === 0) {
      machine = new Machine();
      ring = new XdpRing(machine.memory);
      const of = (type: number, keySize: number, valueSize: number, maxEntries: number): number =>
        machine.createMap({ name: "m", type, keySize, valueSize, maxEntries, flags: 0 }).addr;
      maps = [
        of(MapType.BPF_MAP_TYPE_HASH, 4, 16, 16),
        of(MapType.BPF_MAP_TYPE_ARRAY, 4, 64, 4),
        of(MapType.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
        of(MapType.BPF_MAP_TYPE_QUEUE, 0, 16, 4),
        of(MapType.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4),
        of(MapType.BPF_MAP_TYPE_DEVMAP, 4, 4, 4),
        of(MapType.BPF_MAP_TYPE_LRU_HASH, 4, 8, 16),
        of(MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1),
      ];
      before = machine.memory.u8.slice(0, 0x10000);
    }
    const code = random.chance(0.5) ? random.bytes(8 * (1 + random.below(8))) : plausible(random, maps);
    try {
      const program = machine.load(rawProgram(code, ProgType.BPF_PROG_TYPE_XDP));
      const run = new GuardedRun(machine, program, [ring.write(0, random.bytes(64))], { budget: 2000 });
      const result = run.finish();
      ran++;
      if (result.fault) faults++;
      else ended++;
      program.close();
    } catch (error) {
      if (!(error instanceof BpfError)) {
        const hex = Array.from(code, (b) => b.toString(16).padStart(2, "0")).join("");
        throw new Error(`seed ${seed}, program ${i} (${hex}): ${String(error)}`, { cause: error });
      }
      refused++;
    }
  }
  // The page below every allocation is nobody's.
  const after = machine.memory.u8;
  for (let at = 0; at < before.length; at++) {
    if (after[at] !== before[at]) throw new Error(`seed ${seed}: byte ${at} of the unused first page was written`);
  }
  return { seed, ran, refused, faults, ended };
}

const IDS = [...HELPERS.keys()];
// biome-ignore format: a table
const OPCODES = [
  0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x57, 0x5f, 0x67, 0x6f, 0x77, 0x7f, 0x87, 0x97, 0x9f, 0xa7,
  0xaf, 0xb7, 0xbf, 0xc7, 0xcf, 0xd7, 0x04, 0x0c, 0x34, 0x3c, 0xb4, 0xbc, 0xd4, 0xdc, 0x61, 0x69, 0x71, 0x79, 0x81, 0x89,
  0x91, 0x62, 0x6a, 0x72, 0x7a, 0x63, 0x6b, 0x73, 0x7b, 0xdb, 0xc3, 0xd3, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x55, 0x5d, 0x16,
  0x1e, 0xe5, 0x85, 0x85, 0x85, 0x95, 0x20, 0x50, 0x06,
];

/** Code whose insns mostly pass the check of form. */
function plausible(random: SeededRandom, maps: readonly number[]): Uint8Array {
  const slots = 4 + random.below(40);
  const code = new Uint8Array(slots * 8);
  const view = new DataView(code.buffer);
  const put = (pc: number, opcode: number, dst: number, src: number, off: number, imm: number): void => {
    view.setUint8(pc * 8, opcode);
    view.setUint8(pc * 8 + 1, dst | (src << 4));
    view.setInt16(pc * 8 + 2, off, true);
    view.setInt32(pc * 8 + 4, imm, true);
  };
  put(0, 0xbf, 6, 1, 0, 0);
  for (let pc = 1; pc < slots - 1; pc++) {
    const opcode = random.pick(OPCODES);
    const cls = opcode & 7;
    const dst = random.below(random.chance(0.05) ? 11 : 10);
    const src = random.below(11);
    const jump = random.below(slots) - pc - 1;
    const small = random.chance(0.7) ? random.below(64) - 32 : random.u32() | 0;
    if (opcode === 0x95) put(pc, opcode, 0, 0, 0, 0);
    else if (opcode === 0x85) {
      if (random.chance(0.15)) put(pc, opcode, 0, 1, 0, jump);
      else put(pc, opcode, 0, 0, 0, random.pick(IDS));
    } else if (opcode === 0x05 || opcode === 0xe5) put(pc, opcode, 0, 0, jump, 0);
    else if (opcode === 0x06) put(pc, opcode, 0, 0, 0, jump);
    else if (opcode === 0xd4 || opcode === 0xdc || opcode === 0xd7)
      put(pc, opcode, dst, 0, 0, random.pick([16, 32, 64]));
    else if (opcode === 0x87) put(pc, opcode, dst, 0, 0, 0);
    else if (cls === 5 || cls === 6) {
      put(pc, opcode, dst, opcode & 8 ? src : 0, jump, opcode & 8 ? 0 : small);
    } else if (cls === 4 || cls === 7) {
      if (opcode === 0xb7 && random.chance(0.5)) put(pc, opcode, dst, 0, 0, random.pick(maps));
      else put(pc, opcode, dst, opcode & 8 ? src : 0, 0, opcode & 8 ? 0 : small);
    } else if (cls === 0) put(pc, opcode, 0, opcode === 0x50 ? src : 0, 0, small);
    else {
      const fp = random.chance(0.6);
      const off = fp ? -8 * (1 + random.below(70)) : random.below(100) - 4;
      const atomic = random.pick([0, 1, 0x40, 0x41, 0x50, 0xa1, 0xe1, 0xf1, 0x100, 0x110]);
      const isAtomic = opcode === 0xdb || opcode === 0xc3 || opcode === 0xd3;
      const imm = isAtomic ? atomic : cls === 2 ? small : 0;
      if (cls === 1) put(pc, opcode, dst, fp ? 10 : src, off, 0);
      else put(pc, opcode, fp ? 10 : dst, cls === 2 ? 0 : src % 10, off, imm);
    }
  }
  put(slots - 1, 0x95, 0, 0, 0, 0);
  return code;
}
