/** The fix in the programmer's own terms: the variable's name for the register, source lines for "before" and "the check". */
import { BPF_X, isJump, OP_CALL } from "../../isa/index.ts";
import { lineAt, type ProgramSpec, ProgType } from "../../object/index.ts";
import { usesOf } from "../cfg/cfg.ts";
import type { Refusal } from "../context.ts";
import { isPacket, isPointer, Kind, type Reg } from "../domain/reg.ts";
import { nameOf } from "./names.ts";
import type { Visited } from "./replay.ts";
import { remedy } from "./rules.ts";

export function concreteFix(refusal: Refusal, trace: readonly Visited[], program: ProgramSpec): string | undefined {
  const { register } = refusal;
  let fix = refusal.fix ?? remedy(refusal.rule);
  if (fix === undefined) return undefined;
  const last = trace[trace.length - 1];
  const value = register === undefined ? undefined : last?.regs[register];
  const named = register === undefined ? undefined : nameOf(program, trace, register);
  // Distances are counted from the base that the comparison is about; the variable may stand further on.
  const from = value && isPacket(value) ? value.off - (named?.distance ?? 0) : 0;
  const nameless =
    value?.kind !== Kind.SCALAR ? `r${register}` : refusal.rule === "size-range" ? "the size" : "the number";
  const called = named ? `\`${named.name}\`` : nameless;
  const told =
    lost(refusal, trace, program, named?.name) ??
    (refusal.rule === "packet-bounds" ? checked(trace, value, program) : undefined);
  if (told) return told;
  fix = fix.replace(/the pointer \+ (\d+)/, (_, n) => `${called} + ${bytes(Number(n) - from)}`);
  if (named || value?.kind === Kind.SCALAR) {
    fix = fix.replace(new RegExp(`compare r${register} with 0`), `compare ${called} with NULL`);
    fix = fix.replace(new RegExp(`\\br${register}\\b`, "g"), called);
  }
  if (!named && refusal.rule === "null" && madeOnItsLine(trace, program, register)) {
    fix = fix.replace(/compare r\d+ with 0/, "keep what is returned in a variable and compare it with NULL");
  }
  fix = fix.replace(/ and leave when it is equal$/, " before this access, and leave when it is NULL");
  const end = END_FIELDS.get(program.type);
  if (end) fix = fix.replace("data_end", end);
  const line = lineAt(program, refusal.pc)?.line;
  if (line !== undefined)
    fix = fix.replace(/before this access|before this instruction|before the call/, `before line ${line}`);
  const check = refusal.rule === "packet-bounds" && value ? coveringCheck(trace, value, from, program) : undefined;
  return check ? `${fix}; ${check}` : fix;
}

/** A pointer that was one until something happened to it: what happened, and what to do about that. */
function lost(
  refusal: Refusal,
  trace: readonly Visited[],
  program: ProgramSpec,
  name: string | undefined,
): string | undefined {
  const { register, rule } = refusal;
  const last = trace[trace.length - 1];
  if (register === undefined || last === undefined || (rule !== "not-pointer" && rule !== "argument")) return undefined;
  const called = name ? `\`${name}\`` : `r${register}`;
  let wanted = register;
  for (let i = trace.length - 2; i >= 0; i--) {
    const { insn, regs, depth } = trace[i]!;
    if (depth !== last.depth || trace[i + 1]!.depth !== depth) continue;
    const now = trace[i + 1]!.regs[wanted]!;
    if ((usesOf(insn).writes >> wanted) & 1) {
      // A copy is followed, anything else made the number.
      if ((insn.opcode & ~BPF_X) !== MOV64 || (insn.opcode & BPF_X) === 0) return undefined;
      wanted = insn.src;
      continue;
    }
    const was = regs[wanted]!;
    if (!isPointer(was) || now.kind !== Kind.SCALAR) continue;
    const at = lineAt(program, insn.pc)?.line;
    const where = at ? `line ${at}` : `insn ${insn.pc}`;
    if (insn.opcode !== OP_CALL) return `leave where ${called} is NULL: the test on ${where} goes on with it`;
    if (isPacket(was)) {
      return `take data and data_end from the ctx again after ${where}, and compare again: the call there may move packet data`;
    }
    return `do not use ${called} after ${where}, which gave it up`;
  }
  return undefined;
}

/** Comparisons of packet pointers count up to here. Source: kernel/bpf/verifier.c `MAX_PACKET_OFF`. */
const FARTHEST = 0xffff;

/** Why a comparison that the program makes proves nothing. */
function checked(trace: readonly Visited[], value: Reg | undefined, program: ProgramSpec): string | undefined {
  if (!value || !isPacket(value)) return undefined;
  if (value.num + 1 >= FARTHEST - 1) {
    return `comparisons beyond ${FARTHEST} bytes of the packet prove nothing: let the loop end before, after a fixed number of rounds`;
  }
  for (let i = trace.length - 2; i >= 0; i--) {
    const { insn, regs } = trace[i]!;
    if (!isJump(insn) || (insn.opcode & BPF_X) === 0) continue;
    const [a, b] = [regs[insn.dst]!, regs[insn.src]!];
    const other =
      a.kind === value.kind && a.id === value.id
        ? insn.src
        : b.kind === value.kind && b.id === value.id
          ? insn.dst
          : -1;
    if (other < 0 || regs[other]!.kind !== Kind.SCALAR) continue;
    const gone = becameNumber(trace, i, other);
    if (!gone) return undefined;
    const at = (pc: number) => lineAt(program, pc)?.line;
    const [check, call] = [at(insn.pc), at(gone.insn.pc)];
    const where = (line: number | undefined, pc: number) => (line ? `line ${line}` : `insn ${pc}`);
    return `read data_end from the ctx again after ${where(call, gone.insn.pc)}, where packet data moved: the comparison on ${where(check, insn.pc)} is with one from before`;
  }
  return undefined;
}

/** The insn that made a register a number that held a packet pointer or its end. */
function becameNumber(trace: readonly Visited[], from: number, register: number): Visited | undefined {
  let wanted = register;
  for (let i = from - 1; i >= 0; i--) {
    const { insn, regs, depth } = trace[i]!;
    if (depth !== trace[from]!.depth) continue;
    if (insn.opcode !== OP_CALL && (usesOf(insn).writes >> wanted) & 1) {
      if ((insn.opcode & ~BPF_X) !== MOV64 || (insn.opcode & BPF_X) === 0) return undefined;
      wanted = insn.src;
      continue;
    }
    const was = regs[wanted]!;
    if (was.kind === Kind.PACKET_END || isPacket(was)) return insn.opcode === OP_CALL ? trace[i] : undefined;
  }
  return undefined;
}

/** The value has no name because the line that uses it has also asked for it. */
function madeOnItsLine(trace: readonly Visited[], program: ProgramSpec, register: number | undefined): boolean {
  const here = trace.length ? lineAt(program, trace[trace.length - 1]!.insn.pc) : undefined;
  if (register === undefined || !here) return false;
  const call = trace.findLast(({ insn }) => insn.opcode === OP_CALL && insn !== trace[trace.length - 1]!.insn);
  return call !== undefined && lineAt(program, call.insn.pc)?.line === here.line;
}

const MOV64 = 0xb7;
/** What the end of the data is called where it is not data_end. */
const END_FIELDS: ReadonlyMap<number, string> = new Map([
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT, "optval_end"],
  [ProgType.BPF_PROG_TYPE_SOCK_OPS, "skb_data_end"],
]);

function bytes(n: number): string {
  return n === 1 ? "1 byte" : `${n} bytes`;
}

/** The comparison that proved what is proven of this pointer's base. */
function coveringCheck(trace: readonly Visited[], value: Reg, from: number, program: ProgramSpec): string | undefined {
  if (!isPacket(value) || value.num <= 0) return undefined;
  for (let i = trace.length - 2; i >= 0; i--) {
    const { insn, regs } = trace[i]!;
    if (!isJump(insn) || (insn.opcode & BPF_X) === 0) continue;
    const sides = [regs[insn.dst]!, regs[insn.src]!];
    const ours = sides.find(
      (r) => r.kind === value.kind && r.id === value.id && (r.off === value.num || r.off + 1 === value.num),
    );
    const line = ours && lineAt(program, insn.pc);
    if (line) return `the check on line ${line.line} covers only ${bytes(value.num - from)}`;
  }
  return undefined;
}
