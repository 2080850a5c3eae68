/**
 * Soundness in the small: runs an accepted program under guard on a packet, and at every insn holds the machine's
 * registers against the abstract states that the verifier recorded for that insn. One of them must hold.
 */
import { InsnError, UnsupportedError } from "@ebplane/core/errors";
import { STACK_SIZE } from "@ebplane/core/isa";
import type { MapSpec, ProgramSpec } from "@ebplane/core/object";
import { Kind, kindName, MAYBE_NULL, type MapRef, type Reg, scalarHolds, verify } from "@ebplane/core/verifier";
import { GuardedRun, Machine, type VmMap, type VmProgram, XDP, XdpRing } from "@ebplane/core/vm";
import type { Region } from "../../packages/core/src/mem/memory.ts";
import { Byte, byteAt, type Slot, spillSize } from "../../packages/core/src/verifier/domain/state.ts";
import { MAPS } from "./boundary.ts";

/** Registers and stack of one recorded state's frame, and how deep in calls it is. */
interface Recorded {
  readonly depth: number;
  readonly regs: readonly Reg[];
  readonly stack: readonly (Slot | undefined)[];
}

/** A machine for many runs. */
export class Bench {
  #machine = new Machine();
  #maps: Map<string, VmMap> = new Map();
  #ring = new XdpRing(this.#machine.memory);
  #runs = 0;
  readonly #specs: ReadonlyMap<string, MapSpec>;
  /** Insns whose registers were held against the verifier's states. */
  checked = 0;

  /** `maps`: those that the programs use. */
  constructor(maps: readonly MapSpec[] = MAPS) {
    this.#specs = new Map(maps.map((map) => [map.name, map]));
    this.#renew();
  }

  /** A machine forgets nothing of what it loaded: a new one now and then keeps the memory flat. */
  #renew(): void {
    this.#machine = new Machine();
    this.#maps = new Map([...this.#specs].map(([name, spec]) => [name, this.#machine.createMap(spec)]));
    this.#ring = new XdpRing(this.#machine.memory);
    if (this.#specs.get("hash")?.keySize !== 8) return;
    const value = Uint8Array.from({ length: 16 }, (_, i) => i * 17);
    for (let key = 0; key < 3; key++) this.#maps.get("hash")!.update(Uint8Array.of(key, 0, 0, 0, 0, 0, 0, 0), value);
  }

  /**
   * Runs the program on each packet. Answers what went wrong, or undefined: a fault, or registers that no recorded
   * state holds. `exhaustive`: no pruning, every register of every state counts; else numbers that no check looked at
   * may differ, as pruning lets them.
   */
  check(program: ProgramSpec, packets: readonly Uint8Array[], exhaustive: boolean): string | undefined {
    if (this.#runs++ % 500 === 499) this.#renew();
    const recorded = new Map<number, Recorded[]>();
    const report = verify(program, {
      maps: this.#specs,
      license: "GPL",
      exhaustive,
      maxProcessed: 20_000,
      observe(pc, state) {
        const { regs, stack } = state.frame;
        const entry = { depth: state.frames.length - 1, regs: regs.slice(), stack: stack.slice() };
        const list = recorded.get(pc);
        if (list) list.push(entry);
        else recorded.set(pc, [entry]);
      },
    });
    if (report.verdict !== "accept") return undefined;
    const loaded = this.#load(program);
    if (!loaded) return undefined;
    try {
      for (const packet of packets) {
        const problem = this.#run(loaded, packet, recorded, exhaustive ? undefined : report.facts.live);
        if (problem) return problem;
      }
    } finally {
      loaded.close();
    }
    return undefined;
  }

  /** Undefined for a program that the engine refuses for what its dead code says, which verifiers overlook. */
  #load(program: ProgramSpec): VmProgram | undefined {
    try {
      return this.#machine.load(program, { maps: this.#maps, license: "GPL", engine: "interp" });
    } catch (error) {
      if (error instanceof InsnError || error instanceof UnsupportedError) return undefined;
      throw error;
    }
  }

  #run(
    loaded: VmProgram,
    packet: Uint8Array,
    recorded: ReadonlyMap<number, readonly Recorded[]>,
    live: Uint16Array | undefined,
  ): string | undefined {
    const ctx = this.#ring.write(0, packet, { ingressIfindex: 3, rxQueueIndex: 1 });
    const run = new GuardedRun(this.#machine, loaded, [ctx], { budget: 200_000 });
    do {
      if (run.result) break;
      const { pc } = run;
      this.checked++;
      const values = run.registers();
      const states = recorded.get(pc)?.filter((s) => s.depth === run.frame) ?? [];
      const world = this.#world(ctx, run);
      // Without pruning every register counts; with it those that are read again, and numbers that were looked at.
      const counts = live ? live[pc]! : 0x7ff;
      const holdsAt = (r: Reg, i: number) => ((counts >> i) & 1) === 0 || holds(r, values[i]!, world, !live);
      const { view } = this.#machine.memory;
      // Of the stack, bytes that pruning may overlook are in it, too: it is compared only where there was none.
      const stackHolds = (s: Recorded) =>
        live !== undefined || s.stack.every((slot, i) => slotHolds(slot, i, run.frame, world, view));
      if (!states.some((s) => s.regs.every(holdsAt) && stackHolds(s))) {
        const seen = states.map((s) => s.regs.map((r, i) => `r${i}=${show(r)}`).join(" "));
        const wrong = states[0]?.regs.findIndex((r, i) => !holdsAt(r, i));
        return `pc ${pc}, r${wrong}: no recorded state holds ${[...values].map((v, i) => `r${i}=0x${v.toString(16)}`).join(" ")}\n${seen.slice(0, 5).join("\n")}`;
      }
    } while (run.step());
    const { fault } = run.result ?? {};
    return fault && `pc ${fault.pc}: ${fault.kind}: ${fault.message}`;
  }

  #world(ctx: number, run: GuardedRun): World {
    const { view } = this.#machine.memory;
    return {
      ctx: BigInt(ctx),
      data: BigInt(view.getUint32(ctx + XDP.DATA, true)),
      dataEnd: BigInt(view.getUint32(ctx + XDP.DATA_END, true)),
      stack: BigInt(run.activation.stack),
      regions: this.#machine.memory.regions,
    };
  }
}

interface World {
  readonly ctx: bigint;
  readonly data: bigint;
  readonly dataEnd: bigint;
  /** Lowest address of the stacks. */
  readonly stack: bigint;
  /** Where values of maps lie, among others. */
  readonly regions: Iterable<Region>;
}

/** Whether a slot's memory is what its abstract state says: the spilled number, zeros. */
function slotHolds(slot: Slot | undefined, index: number, frame: number, world: World, view: DataView): boolean {
  if (!slot) return true;
  const at = Number(world.stack) + (frame + 1) * STACK_SIZE - 8 * (index + 1);
  const { reg } = slot;
  if (reg && byteAt(slot.bytes, 7) === Byte.SPILL) return holds(reg, view.getBigUint64(at, true), world, true);
  if (
    reg?.kind === Kind.SCALAR &&
    spillSize(slot.bytes) === 4 &&
    !scalarHolds(reg.val, BigInt(view.getUint32(at, true)))
  ) {
    // Half of a number: the low bits of some value that it may have.
    if (reg.val.isConst32 && BigInt.asUintN(32, reg.val.tnum.value) !== BigInt(view.getUint32(at, true))) return false;
  }
  for (let k = 0; k < 8; k++) if (byteAt(slot.bytes, k) === Byte.ZERO && view.getUint8(at + k) !== 0) return false;
  return true;
}

/** Whether the abstract register holds the concrete value. */
function holds(r: Reg, value: bigint, world: World, exhaustive: boolean): boolean {
  if (r.kind === Kind.NOT_INIT) return true;
  if (r.kind === Kind.SCALAR) return scalarHolds(r.val, value) || !(exhaustive || r.node?.precise);
  if (r.flags & MAYBE_NULL && value === 0n) return true;
  const from = (base: bigint) => scalarHolds(r.val, BigInt.asUintN(64, value - base - BigInt(r.off)));
  switch (r.kind) {
    case Kind.STACK:
      return from(world.stack + BigInt((r.num + 1) * STACK_SIZE));
    case Kind.CTX:
      return from(world.ctx);
    case Kind.PACKET:
      return from(world.data) && (r.num <= 0 || value - BigInt(r.off) + BigInt(r.num) <= world.dataEnd);
    case Kind.PACKET_END:
      return value === world.dataEnd;
    case Kind.MAP_VALUE:
      return valueStarts((r.obj as MapRef).name, world).some((start) => from(BigInt(start)));
    default:
      return value !== 0n;
  }
}

/** Addresses at which a value of the map begins. */
function valueStarts(map: string, { regions }: World): number[] {
  const starts: number[] = [];
  for (const { name, start, end, slots } of regions) {
    if (name !== `map ${map}` || !slots) continue;
    for (let at = start; at < end; at += slots.stride) starts.push(at);
  }
  return starts;
}

function show(r: Reg): string {
  const { val } = r;
  const range = val.isConst ? `${val.smin}` : `[${val.umin}, ${val.umax}] s[${val.smin}, ${val.smax}]`;
  return `${kindName(r)}${r.off ? `+${r.off}` : ""} ${range}${r.num ? ` r=${r.num}` : ""}`;
}
