/** One packet in front of a program on the interpreter, ready to be stepped through; the packets before it have run. */
import { fromHex } from "@ebplane/core/bytes";
import { UnsupportedError } from "@ebplane/core/errors";
import { type BpfMap, type CollectionSpec, type ProgramSpec, ProgType, progTypeName } from "@ebplane/core/object";
import { type SimTarget, SKB_TEST_TYPES, TestSkb } from "@ebplane/core/sim";
import { type Machine, SKB, type VmProgram, XDP, XdpRing } from "@ebplane/core/vm";
import { openCapture } from "../captures.ts";
import { openSession, openTarget } from "../engines.ts";
import { UsageError } from "../failure.ts";
import { loadObject, pickProgram } from "../input.ts";
import { fillMaps } from "../map-file.ts";

export interface PacketOptions {
  readonly prog?: string;
  readonly pcap?: string;
  readonly packet?: string;
  readonly number: string;
  readonly map: readonly string[];
}

/** A loaded program and its packets. */
export interface Stage extends Disposable {
  readonly spec: CollectionSpec;
  readonly program: ProgramSpec;
  readonly machine: Machine;
  readonly vm: VmProgram;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly packets: readonly Uint8Array[];
  /** Puts a packet in place; answers the ctx. */
  place(packet: Uint8Array): number;
  /** What an address is, in words: `packet+14`, `counts+0`. Undefined where it is none. */
  describe(address: bigint): string | undefined;
  /** The packet as it is now. */
  packet(): Uint8Array;
}

export async function openStage(path: string, options: PacketOptions): Promise<Stage> {
  if ((options.pcap === undefined) === (options.packet === undefined)) {
    throw new UsageError("name the packets with --pcap FILE or --packet HEX, one of the two");
  }
  const spec = await loadObject(path);
  const chosen = pickProgram(spec, options.prog, path);
  const packets =
    options.packet !== undefined ? [fromHex(options.packet)] : openCapture(options.pcap!).packets.map((p) => p.bytes);
  const opened = await openTarget("interp");
  const target = opened.target as SimTarget;
  const session = openSession(opened, spec, chosen.name, (maps) => fillMaps(maps, options.map));
  const { machine } = target;
  const { memory } = machine;
  const place = placer(machine, chosen);
  return {
    spec,
    program: chosen,
    machine,
    vm: target.vmProgram(session.program),
    maps: session.collection.maps,
    packets,
    place: place.write,
    packet: place.packet,
    describe(value) {
      if (value <= 0n || value >= 1n << 32n) return undefined;
      const address = Number(value);
      const { ctx, data, end } = place.bounds();
      if (address >= data && address <= end) return `packet+${address - data}`;
      if (address >= ctx && address < ctx + XDP.STRIDE) return `ctx+${address - ctx}`;
      const region = memory.regionAt(address);
      if (!region || address >= region.end) return undefined;
      const offset = (address - region.start) % (region.slots?.stride ?? Number.MAX_SAFE_INTEGER);
      const index = region.slots ? `[${Math.floor((address - region.start) / region.slots.stride)}]` : "";
      return `${region.name}${index}+${offset}`;
    },
    [Symbol.dispose]: () => session[Symbol.dispose](),
  };
}

/** The number of a packet of a capture, from 1. @throws UsageError beyond its end. */
export function packetNumber(text: string, count: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= count) return number;
  throw new UsageError(`--number: expected 1 to ${count}, got ${text}`);
}

interface Placer {
  write(packet: Uint8Array): number;
  packet(): Uint8Array;
  bounds(): { readonly ctx: number; readonly data: number; readonly end: number };
}

function placer({ memory }: Machine, { type }: ProgramSpec): Placer {
  const word = (at: number): number => memory.view.getUint32(at, true);
  if (type === ProgType.BPF_PROG_TYPE_XDP) {
    const ring = new XdpRing(memory, 1);
    return {
      write: (packet) => ring.write(0, packet, { ingressIfindex: 1 }),
      packet: () => ring.packet(),
      bounds: () => ({ ctx: ring.ctx, data: word(ring.ctx + XDP.DATA), end: word(ring.ctx + XDP.DATA_END) }),
    };
  }
  if (!SKB_TEST_TYPES.has(type)) {
    throw new UnsupportedError("packets", `${progTypeName(type)} programs are run by no packet`);
  }
  const test = new TestSkb(memory, type);
  const { ctx } = test.skb;
  return {
    write: (packet) => test.write(packet),
    packet: () => test.skb.packet(),
    bounds: () => ({ ctx, data: word(ctx + SKB.DATA), end: word(ctx + SKB.DATA_END) }),
  };
}
