/**
 * What frozen constants make dead: the instructions that no run reaches once `.rodata` and `.kconfig` have their
 * values. Verifiers and JITs drop such code by themselves; this is the report for people.
 *
 * A plain constant propagation over registers: sound, because a value is known only where all paths give the same
 * one; not complete (nothing is followed through the stack or through maps that may change).
 */
import { viewOf } from "../bytes/index.ts";
import * as isa from "../isa/index.ts";
import { type CollectionSpec, exceptionCallback, type LineInfo, type ProgramSpec } from "../object/index.ts";

/** Slots from `start` to before `end` that are never run, and the source lines that only they have. */
export interface PrunedRange {
  readonly start: number;
  readonly end: number;
  readonly lines: readonly LineInfo[];
}

export interface PruneReport {
  readonly ranges: readonly PrunedRange[];
  /** Jumps that always go one way, with the constants that decide them. */
  readonly decided: readonly { readonly pc: number; readonly taken: boolean; readonly variables: readonly string[] }[];
}

/** A register: a number, the address `offset` bytes into a frozen map's value, or (undefined) anything. */
type Value =
  | { readonly kind: "number"; readonly value: bigint; readonly from: readonly string[] }
  | { readonly kind: "address"; readonly map: string; readonly offset: number }
  | undefined;

type State = readonly Value[];

const UNKNOWN: State = new Array<Value>(isa.MAX_REG).fill(undefined);

/** The report for one program of the collection. */
export function pruneReport(spec: CollectionSpec, program: ProgramSpec): PruneReport {
  const insns = isa.decode(program.code);
  const at = new Map(insns.map((i) => [i.pc, i]));
  const relocs = new Map(program.relocs.map((r) => [r.pc, r]));
  const states = new Map<number, State>([[0, UNKNOWN]]);
  const decisions = new Map<number, { taken: boolean; variables: readonly string[] } | undefined>();
  const work = [0];
  // Nothing calls an exception's callback.
  const exception = exceptionCallback(program, spec.btf);
  if (exception?.pc !== undefined) {
    states.set(exception.pc, UNKNOWN);
    work.push(exception.pc);
  }
  const flow = (pc: number, state: State): void => {
    if (!at.has(pc)) return;
    const known = states.get(pc);
    const joined = known ? join(known, state) : state;
    if (known && joined.every((v, i) => same(v, known[i]))) return;
    states.set(pc, joined);
    work.push(pc);
  };
  while (work.length) {
    const pc = work.pop()!;
    const insn = at.get(pc)!;
    const state = states.get(pc)!;
    const next = pc + isa.slotsOf(insn);
    if (insn.opcode === isa.OP_EXIT) continue;
    if (insn.opcode === isa.OP_CALL) {
      if (insn.src === isa.BPF_PSEUDO_CALL) flow(pc + 1 + insn.imm, UNKNOWN);
      // A call leaves r6 to r9 and the frame pointer.
      flow(
        next,
        state.map((v, r) => (r <= 5 ? undefined : v)),
      );
    } else if (isa.isJump(insn)) {
      const decided = decide(insn, state);
      const before = decisions.has(pc) ? decisions.get(pc) : decided;
      // Once two states disagree the jump stays open.
      const agreed = before && decided && before.taken === decided.taken ? decided : undefined;
      decisions.set(pc, agreed);
      if (!agreed || agreed.taken) flow(isa.jumpTarget(insn), state);
      if (insn.opcode !== isa.OP_JA && insn.opcode !== isa.OP_GOTOL && !agreed?.taken) flow(next, state);
    } else {
      if (insn.opcode === isa.OP_LDDW && insn.src === isa.BPF_PSEUDO_FUNC) flow(pc + 1 + insn.imm, UNKNOWN);
      flow(next, step(spec, insn, state, relocs.get(pc)));
    }
  }
  return {
    ranges: deadRanges(program, insns, states),
    decided: [...decisions].flatMap(([pc, d]) => (d?.variables.length ? [{ pc, ...d }] : [])),
  };
}

function same(a: Value, b: Value): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.kind === "number") return b.kind === "number" && a.value === b.value;
  return b.kind === "address" && a.map === b.map && a.offset === b.offset;
}

function join(a: State, b: State): State {
  return a.map((v, i) => (same(v, b[i]) ? v : undefined));
}

function step(
  spec: CollectionSpec,
  insn: isa.Insn,
  state: State,
  reloc: ProgramSpec["relocs"][number] | undefined,
): State {
  const out = [...state];
  const cls = insn.opcode & isa.CLASS_MASK;
  if (insn.opcode === isa.OP_LDDW) {
    if (reloc?.kind === "mapValue") out[insn.dst] = { kind: "address", map: reloc.name, offset: reloc.offset };
    else out[insn.dst] = insn.src === 0 ? { kind: "number", value: isa.lddwValue(insn), from: [] } : undefined;
  } else if (cls === isa.BPF_LD) {
    // Packet loads clobber as calls do.
    for (let r = 0; r <= 5; r++) out[r] = undefined;
  } else if (cls === isa.BPF_ALU64 || cls === isa.BPF_ALU) out[insn.dst] = alu(insn, state);
  else if (cls === isa.BPF_LDX) out[insn.dst] = load(spec, insn, state[insn.src]);
  else if (cls === isa.BPF_STX && (insn.opcode & isa.MODE_MASK) === isa.BPF_ATOMIC) {
    if (insn.imm === isa.BPF_CMPXCHG) out[0] = undefined;
    else if (insn.imm === isa.BPF_LOAD_ACQ) out[insn.dst] = undefined;
    else if (insn.imm & isa.BPF_FETCH) out[insn.src] = undefined;
  }
  return out;
}

/** What a load from frozen bytes gives. */
function load(spec: CollectionSpec, insn: isa.Insn, from: Value): Value {
  if (from?.kind !== "address") return undefined;
  const map = spec.maps.get(from.map);
  const bytes = map?.contents?.[0]?.value;
  if (!map?.frozen || !(bytes instanceof Uint8Array)) return undefined;
  const size = { [isa.BPF_B]: 1, [isa.BPF_H]: 2, [isa.BPF_W]: 4, [isa.BPF_DW]: 8 }[insn.opcode & isa.SIZE_MASK]!;
  const at = from.offset + insn.off;
  if (at < 0 || at + size > bytes.length) return undefined;
  const view = viewOf(bytes);
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(view.getUint8(at + i));
  if ((insn.opcode & isa.MODE_MASK) === isa.BPF_MEMSX) value = BigInt.asUintN(64, BigInt.asIntN(size * 8, value));
  const variable = [...(spec.variables?.values() ?? [])].find(
    (v) => v.map === map.name && at >= v.offset && at < v.offset + v.size,
  );
  const extern = spec.externs?.find((e) => map.name === ".kconfig" && e.kind === "kconfig" && e.offset === at);
  const name = variable?.name ?? extern?.name;
  return { kind: "number", value, from: name ? [name] : [] };
}

function alu(insn: isa.Insn, state: State): Value {
  const wide = (insn.opcode & isa.CLASS_MASK) === isa.BPF_ALU64;
  const op = insn.opcode & isa.OP_MASK;
  const a = state[insn.dst];
  const immediate: Value = { kind: "number", value: BigInt.asUintN(64, BigInt(insn.imm)), from: [] };
  const b = insn.opcode & isa.BPF_X ? state[insn.src] : immediate;
  if (insn.off !== 0) return undefined;
  if (op === isa.BPF_MOV) {
    if (b?.kind === "number") return wide ? b : { ...b, value: b.value & 0xffffffffn };
    return wide ? b : undefined;
  }
  if (wide && a?.kind === "address" && b?.kind === "number" && (op === isa.BPF_ADD || op === isa.BPF_SUB)) {
    const by = Number(BigInt.asIntN(32, b.value));
    return { ...a, offset: a.offset + (op === isa.BPF_ADD ? by : -by) };
  }
  if (a?.kind !== "number" || b?.kind !== "number") return undefined;
  const value = isa.aluResult(op, a.value, b.value, wide ? 64 : 32);
  return value === undefined ? undefined : { kind: "number", value, from: [...new Set([...a.from, ...b.from])] };
}

function decide(insn: isa.Insn, state: State): { taken: boolean; variables: readonly string[] } | undefined {
  if (insn.opcode === isa.OP_JA || insn.opcode === isa.OP_GOTOL) return { taken: true, variables: [] };
  if (insn.opcode === isa.OP_MAY_GOTO) return undefined;
  const a = state[insn.dst];
  const b: Value =
    insn.opcode & isa.BPF_X
      ? state[insn.src]
      : { kind: "number", value: BigInt.asUintN(64, BigInt(insn.imm)), from: [] };
  if (a?.kind !== "number" || b?.kind !== "number") return undefined;
  const bits = (insn.opcode & isa.CLASS_MASK) === isa.BPF_JMP ? 64 : 32;
  const taken = isa.jumpTaken(insn.opcode & isa.OP_MASK, a.value, b.value, bits);
  return taken === undefined ? undefined : { taken, variables: [...new Set([...a.from, ...b.from])] };
}

function deadRanges(
  program: ProgramSpec,
  insns: readonly isa.Insn[],
  reached: ReadonlyMap<number, State>,
): PrunedRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (const i of insns) {
    if (reached.has(i.pc)) continue;
    const last = ranges.at(-1);
    const end = i.pc + isa.slotsOf(i);
    if (last?.end === i.pc) last.end = end;
    else ranges.push({ start: i.pc, end });
  }
  const key = (l: LineInfo) => `${l.file}:${l.line}`;
  // By the entries alone: what follows an entry without one of its own may belong to any line.
  const alive = new Set(program.lineInfo.filter((l) => reached.has(l.pc)).map(key));
  return ranges.map(({ start, end }) => {
    const inside = program.lineInfo.filter((l) => l.pc >= start && l.pc < end && !alive.has(key(l)));
    return { start, end, lines: [...new Map(inside.map((l) => [key(l), l])).values()] };
  });
}
