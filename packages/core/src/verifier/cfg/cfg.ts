/**
 * Control flow, before any value is looked at: where functions begin, that every jump lands on an insn of its own
 * function, that nothing falls off the end and nothing is unreachable, where states are worth saving, and which
 * registers are live. Loops are allowed: the walk proves that they end.
 *
 * Source: kernel/bpf/verifier.c `check_subprogs`, `check_cfg`, `visit_insn`, `compute_live_registers`.
 */
import {
  BPF_ABS,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CMPXCHG,
  BPF_END,
  BPF_FETCH,
  BPF_IND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_X,
  CLASS_MASK,
  type Insn,
  isJump,
  jumpTarget,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LDDW,
  OP_MASK,
  OP_MAY_GOTO,
  SLOT,
} from "../../isa/index.ts";
import { helperById, type Kfunc } from "../../object/index.ts";
import { Refusal } from "../context.ts";
import { allows, type Profile, RULES } from "../profile.ts";
import { decodeProgram, isPseudoCall, nextPc, type Program } from "./program.ts";

const MAX_SUBPROGS = 256;

/** Decodes and checks the shape of a program; throws Refusal. */
export function analyse(
  code: Uint8Array,
  profile: Profile,
  kfuncs: ReadonlyMap<number, Kfunc> = new Map(),
  exceptionCallback?: number,
): Program {
  const { insns, problems } = decodeProgram(code, profile);
  const slots = code.length / SLOT;
  const subprogs = findSubprogs(insns, slots, exceptionCallback);
  const subprogOf = new Int32Array(slots);
  for (let pc = 0, i = 0; pc < slots; pc++) {
    if (subprogs[i + 1] === pc) i++;
    subprogOf[pc] = subprogs[i]!;
  }
  checkJumps(insns, slots, subprogs, subprogOf);
  const prunePoints = new Uint8Array(slots);
  const forcePoints = new Uint8Array(slots);
  checkReachable(insns, slots, prunePoints, forcePoints, kfuncs, exceptionCallback);
  if (!allows(profile, "anyLoop")) checkLoopsJump(insns, slots);
  return { slots, insns, problems, subprogs, prunePoints, forcePoints, subprogOf, live: liveRegisters(insns, slots) };
}

function refuse(rule: string, message: string, pc: number, fix?: string): never {
  throw new Refusal("reject", rule, message, pc, undefined, fix);
}

/** The function that an lddw of BPF_PSEUDO_FUNC or a call between functions names. */
export function calledPc(insn: Insn): number {
  return insn.pc + insn.imm + 1;
}

function findSubprogs(
  insns: readonly (Insn | undefined)[],
  slots: number,
  exceptionCallback: number | undefined,
): number[] {
  const starts = new Set([0]);
  if (exceptionCallback !== undefined) {
    if (!insns[exceptionCallback]) refuse("exception", `slot ${exceptionCallback} is no instruction`, 0);
    starts.add(exceptionCallback);
  }
  for (const insn of insns) {
    if (!insn) continue;
    if (isPseudoCall(insn) || (insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC)) {
      const target = calledPc(insn);
      if (target < 0 || target >= slots || !insns[target]) {
        refuse("call-target", `the call goes to slot ${target}, which is no instruction of the program`, insn.pc);
      }
      starts.add(target);
    }
  }
  if (starts.size > MAX_SUBPROGS)
    refuse("subprogs", `a program has at most ${MAX_SUBPROGS} functions, this has ${starts.size}`, 0);
  return [...starts].sort((a, b) => a - b);
}

function checkJumps(
  insns: readonly (Insn | undefined)[],
  slots: number,
  subprogs: readonly number[],
  subprogOf: Int32Array,
): void {
  for (const insn of insns) {
    if (!insn || !isJump(insn)) continue;
    const target = jumpTarget(insn);
    if (target < 0 || target >= slots) {
      refuse("jump-range", `the jump goes to slot ${target}; the program has slots 0 to ${slots - 1}`, insn.pc);
    }
    if (!insns[target])
      refuse("jump-range", `the jump goes into the middle of the lddw at slot ${target - 1}`, insn.pc);
    if (subprogOf[target] !== subprogOf[insn.pc]) {
      refuse("jump-range", `the jump goes to slot ${target}, which belongs to another function`, insn.pc);
    }
  }
  subprogs.forEach((_, i) => {
    const end = subprogs[i + 1] ?? slots;
    const last = insns[end - 1];
    const stops = last && (last.opcode === OP_EXIT || last.opcode === OP_JA || last.opcode === OP_GOTOL);
    if (!stops) {
      refuse(
        "fall-through",
        "control falls off the end of the function: its last instruction must be exit or a jump",
        end - 1,
      );
    }
  });
}

/** Helpers that call back into the program within the call: states are saved at each such call. */
export function callsBack(insn: Insn): boolean {
  if (insn.opcode !== OP_CALL || insn.src !== 0) return false;
  return helperById(insn.imm)?.args.some((arg) => arg.kind === "func") ?? false;
}

/** A `next` of an iterator, and functions that call back within the call. */
function loopsByKfunc(kfunc: Kfunc | undefined): boolean {
  return kfunc !== undefined && (kfunc.iter === "next" || kfunc.name === "bpf_rbtree_add_impl");
}

function checkReachable(
  insns: readonly (Insn | undefined)[],
  slots: number,
  prune: Uint8Array,
  force: Uint8Array,
  kfuncs: ReadonlyMap<number, Kfunc>,
  exceptionCallback: number | undefined,
): void {
  const seen = new Uint8Array(slots);
  const work = exceptionCallback === undefined ? [0] : [exceptionCallback, 0];
  for (let pc = work.pop(); pc !== undefined; pc = work.pop()) {
    if (seen[pc]) continue;
    seen[pc] = 1;
    const insn = insns[pc]!;
    const next = nextPc(insn);
    const { opcode } = insn;
    if (opcode === OP_EXIT) continue;
    if (isJump(insn)) {
      const target = jumpTarget(insn);
      prune[target] = 1;
      work.push(target);
      if (opcode === OP_JA || opcode === OP_GOTOL) continue;
      prune[pc] = 1;
      if (opcode === OP_MAY_GOTO) force[pc] = 1;
    } else if (isPseudoCall(insn) || (opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC)) {
      work.push(calledPc(insn));
      prune[pc] = prune[calledPc(insn)] = 1;
      if (next < slots) prune[next] = 1;
    } else if (opcode === OP_CALL) {
      if (callsBack(insn) || loopsByKfunc(kfuncs.get(pc))) prune[pc] = force[pc] = 1;
      if (next < slots) prune[next] = 1;
    }
    if (next < slots) work.push(next);
  }
  for (let pc = 0; pc < slots; pc++) {
    if (insns[pc] && !seen[pc]) {
      refuse("unreachable", `instruction ${pc} can never be reached`, pc, "remove it, or the jump that skips it");
    }
  }
}

/**
 * Older kernels take a loop only where a jump closes it: walking depth first, the way on before the jump's, no other
 * instruction may lead back to one that the walk is still in. Source: kernel/bpf/verifier.c `push_insn` (loop_ok).
 */
function checkLoopsJump(insns: readonly (Insn | undefined)[], slots: number): void {
  const NEW = 0;
  const IN = 1;
  const DONE = 2;
  const state = new Uint8Array(slots);
  const path = [0];
  const taken = new Uint8Array(slots);
  state[0] = IN;
  while (path.length) {
    const pc = path.at(-1)!;
    const insn = insns[pc]!;
    const [to, mayLoop] = wayOut(insn, taken[pc]!++);
    if (to === undefined || to >= slots) {
      state[pc] = DONE;
      path.pop();
    } else if (state[to] === NEW) {
      state[to] = IN;
      path.push(to);
    } else if (state[to] === IN && !mayLoop) {
      refuse(
        "profile",
        `a loop that is closed without a jump, from slot ${pc} to ${to}, needs Linux ${RULES.anyLoop.since}`,
        pc,
        "write the loop so that its last instruction is the jump back",
      );
    }
  }
}

/** The first or second way out of an instruction, and whether it may close a loop. */
function wayOut(insn: Insn, nth: number): readonly [to: number | undefined, mayLoop: boolean] {
  const { opcode } = insn;
  const jump = isJump(insn);
  if (opcode === OP_EXIT || nth > 1) return [undefined, false];
  if (opcode === OP_JA || opcode === OP_GOTOL) return [nth === 0 ? jumpTarget(insn) : undefined, true];
  if (nth === 0) return [nextPc(insn), jump];
  if (jump) return [jumpTarget(insn), true];
  const callback = opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC;
  return [callback || isPseudoCall(insn) ? calledPc(insn) : undefined, callback];
}

const ALL = 0x7ff;
const ARGS = 0x3e;

/** Registers that each insn reads and writes, as bit sets. */
export function usesOf(insn: Insn): { reads: number; writes: number } {
  const { opcode, dst, src, imm } = insn;
  const d = 1 << dst;
  const s = 1 << src;
  const byReg = (opcode & BPF_X) !== 0;
  const op = opcode & OP_MASK;
  switch (opcode & CLASS_MASK) {
    case BPF_ALU:
    case BPF_ALU64:
      if (op === BPF_END || op === BPF_NEG) return { reads: d, writes: d };
      if (op === BPF_MOV) return { reads: byReg ? s : 0, writes: d };
      return { reads: byReg ? d | s : d, writes: d };
    case BPF_LDX:
      return { reads: s, writes: d };
    case BPF_ST:
      return { reads: d, writes: 0 };
    case BPF_STX: {
      if ((opcode & MODE_MASK) !== BPF_ATOMIC) return { reads: d | s, writes: 0 };
      if (imm === BPF_LOAD_ACQ) return { reads: s, writes: d };
      if (imm === BPF_STORE_REL) return { reads: d | s, writes: 0 };
      if (imm === BPF_CMPXCHG) return { reads: d | s | 1, writes: 1 };
      return { reads: d | s, writes: imm & BPF_FETCH ? s : 0 };
    }
    case BPF_LD: {
      if (opcode === OP_LDDW) return { reads: 0, writes: d };
      const mode = opcode & MODE_MASK;
      const reads = mode === BPF_IND ? (1 << 6) | s : mode === BPF_ABS ? 1 << 6 : 0;
      return { reads, writes: 1 | ARGS };
    }
    case BPF_JMP:
    case BPF_JMP32:
      if (opcode === OP_EXIT) return { reads: 1, writes: 0 };
      if (opcode === OP_JA || opcode === OP_GOTOL || opcode === OP_MAY_GOTO) return { reads: 0, writes: 0 };
      if (opcode === OP_CALLX) return { reads: ARGS | d, writes: 1 | ARGS };
      if (opcode === OP_CALL) {
        const helper = insn.src === 0 ? helperById(imm) : undefined;
        const count = insn.src === 0 && helper ? helper.args.length : 5;
        const reads = ((1 << (count + 1)) - 1) & ARGS;
        return { reads: insn.src === BPF_PSEUDO_CALL || insn.src === 2 ? ARGS : reads, writes: 1 | ARGS };
      }
      return { reads: byReg ? d | s : d, writes: 0 };
    default:
      return { reads: ALL, writes: 0 };
  }
}

/** Backward data flow inside each function: live before an insn is what it reads, and what is live after and not written. */
function liveRegisters(insns: readonly (Insn | undefined)[], slots: number): Uint16Array {
  const live = new Uint16Array(slots);
  const uses = insns.map((insn) => insn && usesOf(insn));
  for (let stable = false; !stable; ) {
    stable = true;
    for (let pc = slots - 1; pc >= 0; pc--) {
      const insn = insns[pc];
      if (!insn) continue;
      let after = 0;
      if (insn.opcode !== OP_EXIT) {
        if (isJump(insn)) after |= live[jumpTarget(insn)]!;
        const next = nextPc(insn);
        if (insn.opcode !== OP_JA && insn.opcode !== OP_GOTOL && next < slots) after |= live[next]!;
      }
      const { reads, writes } = uses[pc]!;
      const before = reads | (after & ~writes);
      if (before !== live[pc]) {
        live[pc] = before;
        stable = false;
      }
    }
  }
  return live;
}
