/**
 * A packet that takes the path of a refused XDP program: found by solving the path's comparisons, believed only after a
 * guarded run of the program on it has gone the whole path.
 */
import { BpfError } from "../../errors/index.ts";
import { decode } from "../../isa/index.ts";
import { type MapSpec, type ProgramSpec, ProgType } from "../../object/index.ts";
import { XdpRing } from "../ctx/xdp.ts";
import { GuardedRun } from "../guard.ts";
import { XDP } from "../layout.ts";
import { Machine } from "../machine.ts";
import { type Input, type Start, solve } from "./solve.ts";
import { constraintsOf } from "./symbolic.ts";

export interface Witness {
  readonly packet: Uint8Array;
  readonly ingressIfindex: number;
  readonly rxQueueIndex: number;
  /** What the guarded run says of the refused insn; undefined where nothing is wrong with it on this packet. */
  readonly fault: string | undefined;
}

/** Maps are made for each try: not those of a program for millions of flows. */
const MOST_MAP_BYTES = 64 << 20;

/** Just an Ethernet header or something to read; of zeros, or of what makes indexes and lengths large. */
const STARTS: readonly Start[] = [14, 64, 200].flatMap((length) => [
  { length, fill: 0 },
  { length, fill: 0xff },
]);

/**
 * @param trace `VerifierReport.trace`: the pcs of the path, the refused insn last.
 * Prefers a packet on which the guarded run finds the fault. Undefined where no such packet was found: the path may need entries in maps, or be one that no packet takes.
 */
export function findPacket(
  program: ProgramSpec,
  maps: ReadonlyMap<string, MapSpec>,
  license: string,
  trace: readonly number[],
): Witness | undefined {
  if (program.type !== ProgType.BPF_PROG_TYPE_XDP || trace.length === 0) return undefined;
  const used = new Map([...maps].filter(([name]) => program.relocs.some((reloc) => reloc.name === name)));
  let bytes = 0;
  for (const { maxEntries, keySize, valueSize } of used.values()) bytes += maxEntries * (keySize + valueSize);
  if (bytes > MOST_MAP_BYTES) return undefined;
  try {
    const constraints = constraintsOf(new Map(decode(program.code).map((insn) => [insn.pc, insn])), trace);
    let harmless: Witness | undefined;
    for (const start of STARTS) {
      const input = solve(constraints, start);
      const found = input && replayed(program, used, license, trace, input, start.fill);
      if (found?.fault) return found;
      harmless ??= found;
    }
    return harmless;
  } catch (error) {
    // What no engine loads, and maps that cannot be made, have no run.
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

function replayed(
  program: ProgramSpec,
  maps: ReadonlyMap<string, MapSpec>,
  license: string,
  trace: readonly number[],
  input: Input,
  fill: number,
): Witness | undefined {
  const machine = new Machine();
  const live = new Map([...maps].map(([name, spec]) => [name, machine.createMap(spec)]));
  using loaded = machine.load(program, { maps: live, license, engine: "interp" });
  const ingressIfindex = input.ctx.get(XDP.INGRESS_IFINDEX) ?? fill;
  const rxQueueIndex = input.ctx.get(XDP.RX_QUEUE_INDEX) ?? fill;
  const ctx = new XdpRing(machine.memory).write(0, input.packet, { ingressIfindex, rxQueueIndex });
  const run = new GuardedRun(machine, loaded, [ctx], { budget: trace.length + 1 });
  for (let i = 0; i < trace.length; i++) {
    if (run.result || run.pc !== trace[i]) return undefined;
    if (i < trace.length - 1) run.step();
  }
  run.step();
  return { packet: input.packet, ingressIfindex, rxQueueIndex, fault: run.result?.fault?.message };
}
