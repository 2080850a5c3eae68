/** The fix in the programmer's own terms: the variable's name for the register, source lines for "before" and "the check". */
import { BPF_X, isJump, OP_CALL } from "../../isa/index.ts";
import { lineAt, type ProgramSpec } from "../../object/index.ts";
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
  const told = lost(refusal, trace, program, named?.name);
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

/** The value has no name because the line that uses it has also asked for it. */
function madeOnItsLine(trace: readonly Visited[], program: ProgramSpec, register: number | undefined): boolean {
  const here = trace.length ? lineAt(program, trace[trace.length - 1]!.insn.pc) : undefined;
  if (register === undefined || !here) return false;
  const call = trace.findLast(({ insn }) => insn.opcode === OP_CALL && insn !== trace[trace.length - 1]!.insn);
  return call !== undefined && lineAt(program, call.insn.pc)?.line === here.line;
}

const MOV64 = 0xb7;

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
