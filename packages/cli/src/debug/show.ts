/** A step of a run in words: the insn, its source line, the registers and bytes that it changed. */
import { disassemble } from "@ebplane/core/asm";
import { toHex } from "@ebplane/core/bytes";
import { STACK_SIZE } from "@ebplane/core/isa";
import { lineAt, type ProgramSpec } from "@ebplane/core/object";
import type { GuardedRun, Step } from "@ebplane/core/vm";
import type { Stage } from "./session.ts";

const listings = new WeakMap<ProgramSpec, Map<number, string>>();

/** The text of the insn at a slot. */
export function insnText(program: ProgramSpec, pc: number): string {
  let lines = listings.get(program);
  if (!lines) {
    const { code, relocs } = program;
    lines = new Map(disassemble(code, { relocs }).map((line) => [line.pc, line.text]));
    listings.set(program, lines);
  }
  return lines.get(pc) ?? "";
}

/** `file:line: text` of the source that an insn came from. */
export function sourceText(program: ProgramSpec, pc: number): string | undefined {
  const line = lineAt(program, pc);
  return line && `${line.file}:${line.line}: ${line.text.trim()}`;
}

/** What a step did, as data: u64 as hex text. */
export interface Effect {
  readonly position: number;
  readonly program: string;
  readonly pc: number;
  readonly frame: number;
  readonly insn: string;
  readonly source: string | undefined;
  readonly registers: Readonly<Record<string, string>>;
  readonly writes: readonly { readonly at: string; readonly before: string; readonly after: string }[];
  readonly map: string | undefined;
}

/** What an address is, in words; the stack of the function that runs is counted from its r10. */
function placeText(stage: Stage, run: GuardedRun, address: bigint): string | undefined {
  const below = run.register(10) - address;
  if (below >= 0n && below <= BigInt(STACK_SIZE)) return below ? `fp-${below}` : "fp";
  return stage.describe(address);
}

/** The value of a register, with what it points to. */
export function registerText(stage: Stage, run: GuardedRun, value: bigint): string {
  const what = placeText(stage, run, value);
  return `0x${value.toString(16)}${what ? ` (${what})` : ""}`;
}

/** @param before the registers before the step. */
export function effectOf(
  stage: Stage,
  run: GuardedRun,
  program: ProgramSpec,
  position: number,
  step: Step,
  before: BigUint64Array,
): Effect {
  const registers: Record<string, string> = {};
  run.registers().forEach((value, r) => {
    if (value !== before[r]) registers[`r${r}`] = registerText(stage, run, value);
  });
  return {
    position,
    program: program.name,
    pc: step.pc,
    frame: step.frame,
    insn: insnText(program, step.pc),
    source: sourceText(program, step.pc),
    registers,
    writes: step.writes.map(({ address, before, after }) => ({
      at: placeText(stage, run, BigInt(address)) ?? `0x${address.toString(16)}`,
      before: toHex(before),
      after: toHex(after),
    })),
    map: step.map === undefined ? undefined : stage.machine.mapAt(step.map)?.spec.name,
  };
}

export function effectText(effect: Effect): string {
  const changed = [
    ...Object.entries(effect.registers).map(([name, value]) => `${name} = ${value}`),
    ...effect.writes.map(({ at, before, after }) => `${at}: ${before} -> ${after}`),
    ...(effect.map ? [`map ${effect.map}`] : []),
  ];
  const indent = "  ".repeat(effect.frame);
  const insn = `${String(effect.position).padStart(6)}  ${indent}${effect.pc}: ${effect.insn}`;
  return changed.length ? `${insn.padEnd(60)} ; ${changed.join(", ")}` : insn;
}
