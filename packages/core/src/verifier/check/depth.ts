/**
 * Stack depth: the frames of the deepest chain of calls together fit in 512 bytes, each rounded up as the kernel's
 * JIT lays them out. Source: kernel/bpf/verifier.c `check_max_stack_depth`.
 */
import { BPF_PSEUDO_FUNC, OP_CALL, OP_LDDW, STACK_SIZE } from "../../isa/index.ts";
import { helperByName, ProgType } from "../../object/index.ts";
import { calledPc } from "../cfg/cfg.ts";
import { isPseudoCall } from "../cfg/program.ts";
import type { Context } from "../context.ts";
import { allows, RULES } from "../profile.ts";

const TAIL_CALL = helperByName("bpf_tail_call");
/** A function that may tail call must have at most this much stack above it. */
const TAIL_CALL_ROOM = 256;

/** Program types whose functions may get a stack of their own, and from what frame size on. */
const PRIVATE_STACK: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_KPROBE,
  ProgType.BPF_PROG_TYPE_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_PERF_EVENT,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT,
]);
const PRIVATE_STACK_MIN = 64;

/** A callback that runs later has the stack to itself. */
function isAsync(cx: Context, pc: number): boolean {
  for (const key of cx.asyncWalked) if (key.startsWith(`${pc} `)) return true;
  return false;
}

/** The deepest chain in bytes; refuses one that is too deep. */
export function checkStackDepth(cx: Context): number {
  const { subprogs, insns, slots } = cx.program;
  const round = allows(cx.profile, "finerFrames") ? 16 : 32;
  const privateStack = allows(cx.profile, "privateStack") && PRIVATE_STACK.has(cx.progType);
  const least = round === 32 ? 1 : 0;
  const tailCall = insns.find((insn) => insn?.opcode === OP_CALL && insn.src === 0 && insn.imm === TAIL_CALL);
  if (tailCall && subprogs.length > 1 && !allows(cx.profile, "tailCallsWithFunctions")) {
    cx.reject(
      "profile",
      `a program with functions of its own cannot tail call before ${RULES.tailCallsWithFunctions.since}`,
      {
        pc: tailCall.pc,
        fix: "inline the functions (static __always_inline)",
      },
    );
  }
  const depths = new Map<number, number>();
  const callees = new Map<number, { pc: number; target: number; callback: boolean }[]>();
  const throwsAt = new Map<number, number>();
  const tailCalls = new Map<number, number>();
  subprogs.forEach((start, i) => {
    const end = subprogs[i + 1] ?? slots;
    const own = Math.max(cx.stackDepth.get(start) ?? 0, least);
    depths.set(start, Math.ceil(own / round) * round);
    const calls: { pc: number; target: number; callback: boolean }[] = [];
    for (let pc = start; pc < end; pc++) {
      const insn = insns[pc];
      if (!insn) continue;
      const callback = insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC;
      if (cx.kfuncAt.get(pc)?.name === "bpf_throw" && cx.visited[pc]) throwsAt.set(start, pc);
      if (isPseudoCall(insn) && calledPc(insn) === cx.exceptionCallback)
        cx.reject("exception", "the exception callback cannot be called directly", { pc });
      if (isPseudoCall(insn) || (callback && !isAsync(cx, calledPc(insn))))
        calls.push({ pc, target: calledPc(insn), callback });
      else if (insn.opcode === OP_CALL && insn.src === 0 && insn.imm === TAIL_CALL) tailCalls.set(start, pc);
    }
    callees.set(start, calls);
  });
  let deepest = 0;
  const seen = new Set<string>();
  const visit = (start: number, above: number, pc: number, level: number, calledBack: boolean): void => {
    const key = `${start} ${above} ${level} ${calledBack}`;
    if (seen.has(key)) return;
    seen.add(key);
    if (calledBack && throwsAt.has(start)) {
      cx.reject("exception", "an exception cannot be thrown from a function that is called back", {
        pc: throwsAt.get(start)!,
      });
    }
    if (level > 8) cx.reject("call-depth", "calls are nested more than 8 deep", { pc });
    if (start !== 0 && tailCalls.has(start) && above >= TAIL_CALL_ROOM) {
      cx.reject(
        "stack-depth",
        `a tail call below ${above} bytes of callers' stack: at most ${TAIL_CALL_ROOM - 1} are allowed`,
        { pc },
      );
    }
    // Large frames of these types lie on a stack of their own (Linux 6.13 and later).
    const own = depths.get(start)!;
    if (own > STACK_SIZE) {
      cx.reject("stack-depth", `the function uses ${own} bytes of stack, at most ${STACK_SIZE} are allowed`, { pc });
    }
    const total = above + (privateStack && own >= PRIVATE_STACK_MIN ? 0 : own);
    if (total > STACK_SIZE) {
      cx.reject(
        "stack-depth",
        `the functions nested here use ${total} bytes of stack together, at most ${STACK_SIZE} are allowed`,
        {
          pc,
          fix: "keep large buffers in a per-CPU map, or use fewer nested calls",
        },
      );
    }
    if (total > deepest) deepest = total;
    for (const call of callees.get(start)!) {
      visit(call.target, total, call.pc, level + 1, calledBack || call.callback);
    }
  };
  visit(0, 0, 0, 1, false);
  for (const start of subprogs) {
    if (start === cx.exceptionCallback || isAsync(cx, start)) visit(start, 0, start, 1, true);
  }
  if (cx.exceptionCallback !== undefined) {
    // A tail call of its own, which without a ctx no path can reach, is let pass; one below it is not, reached or not.
    const below = new Set([cx.exceptionCallback]);
    for (const start of below) {
      for (const { target } of callees.get(start)!) {
        const pc = tailCalls.get(target);
        if (pc !== undefined)
          cx.reject("exception", "the exception callback calls a function with a tail call", { pc });
        below.add(target);
      }
    }
  }
  return deepest;
}
