/**
 * `verify`: walks every path of a program through the abstract machine and reports whether all of them are safe. It
 * never throws for a program, whatever its bytes: a verdict is a value.
 *
 * Read next: `step.ts` (one insn), `domain/` (what is known of values), `prune.ts` (why it ends).
 */
import { type Btf, essentialName, resolve } from "../btf/index.ts";
import type { Insn } from "../isa/index.ts";
import {
  BPF_F_ANY_ALIGNMENT,
  BPF_F_SLEEPABLE,
  BPF_F_STRICT_ALIGNMENT,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
  ctxLayout,
  exceptionCallback,
  isGplCompatible,
  type LineInfo,
  lineAt,
  type MapSpec,
  type ProgramSpec,
  ProgType,
  type StructOpsSpec,
} from "../object/index.ts";
import { analyse } from "./cfg/cfg.ts";
import { checkStackDepth } from "./check/depth.ts";
import { type ExtensionTarget, extensionOf, functionCalled } from "./check/extension.ts";
import { kfuncsOf } from "./check/kfuncs-called.ts";
import { checkLoadable } from "./check/load.ts";
import { specialFields } from "./check/map-fields.ts";
import { checkMapsNamed } from "./check/maps.ts";
import { checkEarlyEnds, checkExceptionCallback, signatures } from "./check/signature.ts";
import { type StructOpsMember, tracedBy } from "./check/traced.ts";
import { Context, MAX_CPUS, MAX_PROCESSED, type MapRef, type Observer, Refusal } from "./context.ts";
import { asKernel } from "./domain/kernel.ts";
import { Kind, pointer } from "./domain/reg.ts";
import { Frame, type PathStep, State } from "./domain/state.ts";
import { TypeTable } from "./domain/type-ref.ts";
import { allows, DEFAULT_PROFILE, type KernelVersion, profileOf } from "./profile.ts";
import { finishPath, isVisited } from "./prune.ts";
import { type CauseStep, explain } from "./report/explain.ts";
import { type InsnFact, InsnFacts, Lengths, type LoopFact } from "./report/facts.ts";
import { concreteFix } from "./report/fix.ts";
import { kernelLog } from "./report/log.ts";
import { replay, type Visited } from "./report/replay.ts";
import { remedy, ruleText } from "./report/rules.ts";
import { step } from "./step.ts";
import { globalState } from "./transfer/global.ts";

/** Surroundings of a program that decide on it. */
export interface VerifyEnv {
  /** Maps that the program's relocs name. */
  readonly maps: ReadonlyMap<string, MapSpec>;
  /** The object's licence string. */
  readonly license: string;
  /** The collection's BTF: where locks and timers lie in map values. */
  readonly btf?: Btf;
  /** The kernel's own BTF: the types of tracing programs, kernel structs and variables. Read only where it is needed. */
  readonly kernelBtf?: Btf | undefined;
  /** The collection's struct_ops tables: which member each struct_ops program implements. */
  readonly structOps?: readonly StructOpsSpec[] | undefined;
  /** The program that a program of type EXT (freplace) replaces a function of; where absent, its type is assumed. */
  readonly extends?: ExtensionTarget | undefined;
  /** The kernel whose rules apply, from 5.4 on; the newest known one when absent. */
  readonly profile?: KernelVersion | undefined;
  /**
   * CPU numbers of the kernel lie below this (its `nr_cpu_ids`); 8,192 when absent, the most that it can be built for. A
   * kernel knows its own number and leaves out branches that would need more CPUs: such a verdict holds there only.
   */
  readonly cpus?: number | undefined;
  /** Write the refused path in the kernel's log format; the function gives an insn's text (`asm`'s formatInsn). */
  readonly log?: (insn: Insn) => string;
  /** Insns walked at most, for callers in a hurry; never more than the kernel's 1,000,000. */
  readonly maxProcessed?: number;
  /** Walks every path to its end, comparing states with none: only for tests, loops take their time. */
  readonly exhaustive?: boolean;
  /**
   * Learns `insns`, `longestPath` and `loops` of the facts, too. They come from a second walk of an accepted program, one
   * that prunes less (facts mode). The verdict, `processed` and all else are the usual walk's; where the second does not
   * come to its end, at a limit or in a loop of which it knows less, these facts are left out.
   */
  readonly facts?: boolean;
  /** Called before each insn of the walk with its pc and the state there: for viewers and tests. */
  readonly observe?: Observer | undefined;
}

export interface VerifierReport {
  readonly verdict: "accept" | "reject" | "unsupported";
  /** One sentence in plain words; "" for an accepted program. */
  readonly message: string;
  /** What would make it pass, where that can be said. */
  readonly fix: string | undefined;
  /** The rule that was broken, or the feature that is not supported: stable words. */
  readonly rule: string | undefined;
  /** The rule as a sentence: what is asked of every program. */
  readonly ruleText: string | undefined;
  /** Where it went wrong. */
  readonly pc: number | undefined;
  readonly register: number | undefined;
  readonly line: LineInfo | undefined;
  /** The forks of the path that led there, first one first: jumps that might have gone the other way. */
  readonly path: readonly BranchTaken[];
  /** Every insn of that path by pc, in order; empty where the path has no end. */
  readonly trace: readonly number[];
  /** The part of that path which matters, with the values that matter; its last step is the refused insn. */
  readonly cause: readonly Cause[];
  /** What was taken for granted, as a sentence that begins with "that"; undefined for all but extending programs. */
  readonly assumed: string | undefined;
  /** The path in the kernel's log format, where `env.log` asks for it. */
  readonly log: string | undefined;
  /** Insns walked, the kernel's measure of effort. */
  readonly processed: number;
  /** States saved to compare with. */
  readonly states: number;
  /** Bytes of stack, all nested calls together, as the kernel counts them. */
  readonly stackDepth: number;
  readonly facts: ProgramFacts;
}

export interface Cause extends CauseStep {
  readonly line: LineInfo | undefined;
  /** Of a conditional jump: the line that the path goes on at. */
  readonly next: LineInfo | undefined;
}

export interface BranchTaken {
  readonly pc: number;
  readonly taken: boolean;
  readonly line: LineInfo | undefined;
}

/** What the walk learnt, for engines and editors. Complete only for accepted programs. */
export interface ProgramFacts {
  /** Numbers of the helpers that some path calls, ascending. */
  readonly helpers: readonly number[];
  /** Names of the maps that some path uses. */
  readonly maps: readonly string[];
  /**
   * By pc of a conditional jump: 1 when it can only fall through, 2 when it always jumps, 3 when both happen, 0 when no
   * path reaches it.
   */
  readonly outcomes: Uint8Array;
  /**
   * By pc of a load, store or atomic: bit set (`1 << Kind.STACK` …) of the kinds of memory it may touch; an access
   * with `Kind.STACK` alone never touches packet, map or ctx memory, and the other way round.
   */
  readonly regions: Uint32Array;
  /** By function (its first pc): bytes of its own stack frame that it uses. */
  readonly frames: ReadonlyMap<number, number>;
  /** By pc: bit set of the registers that may be read before they are written again. */
  readonly live: Uint16Array;
  /** pcs that no path reaches (dead code after decided branches). */
  readonly dead: readonly number[];
  /** Names of the kernel's structs that some path reads or writes through a pointer. */
  readonly kernelStructs: readonly string[];
  /** Bytes of the ctx from its start to the end of the furthest access. */
  readonly ctxReach: number;
  /** Facts mode: by insn what its live registers hold. */
  readonly insns?: readonly InsnFact[];
  /** Facts mode: insns of the longest run; undefined where no number is known (callbacks, may_goto). */
  readonly longestPath?: number | undefined;
  /** Facts mode: where backward jumps go, and how often that insn runs at most. */
  readonly loops?: readonly LoopFact[];
}

/** Verifies one program. */
export function verify(program: ProgramSpec, env: VerifyEnv): VerifierReport {
  const { version } = env.profile ? profileOf(env.profile) : DEFAULT_PROFILE;
  return asKernel(version, () => verified(program, env));
}

function verified(program: ProgramSpec, env: VerifyEnv): VerifierReport {
  let cx: Context | undefined;
  try {
    cx = prepare(program, env);
    walk(cx, Math.min(env.maxProcessed ?? MAX_PROCESSED, MAX_PROCESSED));
    const depth = checkStackDepth(cx);
    const accepted = report(program, env, cx, undefined, depth);
    return env.facts ? { ...accepted, facts: { ...accepted.facts, ...pathFacts(program, env) } } : accepted;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return report(program, env, cx, error, 0);
  }
}

/**
 * What only a walk that tells apart all that live registers may hold can say of an accepted program. Nothing where it
 * refuses: telling more apart, it goes on with other states in loops whose numbers are forgotten round by round.
 */
function pathFacts(program: ProgramSpec, env: VerifyEnv): Pick<ProgramFacts, "insns" | "longestPath" | "loops"> {
  const cx = prepare(program, { ...env, observe: undefined });
  const { lengths, insns } = countPaths(cx);
  try {
    walk(cx, Math.min(env.maxProcessed ?? MAX_PROCESSED, MAX_PROCESSED));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return {};
  }
  return { insns: insns.list(), longestPath: lengths.longest(), loops: lengths.loops() };
}

function countPaths(cx: Context): { lengths: Lengths; insns: InsnFacts } {
  const lengths = new Lengths(cx.program, (pc) => cx.signatures.get(pc)?.global === true);
  const insns = new InsnFacts(cx.program);
  cx.lengths = lengths;
  cx.state.counts = lengths.start();
  cx.observer = (pc, state) => insns.observe(pc, state);
  return { lengths, insns };
}

function prepare(program: ProgramSpec, env: VerifyEnv): Context {
  const profile = env.profile ? profileOf(env.profile) : DEFAULT_PROFILE;
  checkLoadable(program, profile);
  const extends_ = program.type === ProgType.BPF_PROG_TYPE_EXT;
  const extension = extends_ ? extensionOf(program, env.btf, env.extends, profile) : undefined;
  if (extends_ && env.extends) checkTargetLives(program, env, env.extends);
  const as = extension?.as ?? program;
  if (program.type === ProgType.BPF_PROG_TYPE_STRUCT_OPS && !isGplCompatible(env.license)) {
    const message = "struct_ops programs must have a GPL-compatible licence";
    throw new Refusal("reject", "licence", message, 0, undefined, 'declare the licence "GPL"');
  }
  const state = new State();
  const frame = new Frame(-1, 0);
  frame.regs[1] = pointer(Kind.CTX);
  frame.regs[10] = pointer(Kind.STACK);
  state.frames.push(frame);
  const maps = new Map<string, MapRef>();
  for (const [name, spec] of env.maps) maps.set(name, mapRef(name, spec, env.btf));
  const layout = ctxLayout(as.type, as.attachType);
  const typed = layout === undefined;
  const relocAt = new Map(program.relocs.map((reloc) => [reloc.pc, reloc]));
  const kfuncAt = kfuncsOf(program);
  const exception = exceptionCallback(program, env.btf);
  if (exception?.problem !== undefined)
    throw new Refusal("reject", "exception", exception.problem, 0, undefined, undefined);
  const analysed = analyse(program.code, profile, kfuncAt, exception?.pc);
  const known = signatures(program, env.btf, layout?.struct, extends_, allows(profile, "argumentTags"));
  if (exception) checkExceptionCallback(exception.pc, known);
  checkEarlyEnds(analysed, known);
  const cx = new Context({
    program: analysed,
    progType: as.type,
    attachType: as.attachType,
    ctxLayout: layout,
    traced: tracedBy(as, typed ? env.kernelBtf : undefined, implemented(program, env)),
    types: new TypeTable(() => env.kernelBtf, env.btf),
    maps,
    relocAt,
    kfuncAt,
    gpl: isGplCompatible(env.license),
    strictAlign: (program.flags & BPF_F_STRICT_ALIGNMENT) !== 0 && (program.flags & BPF_F_ANY_ALIGNMENT) === 0,
    sleepable: (program.flags & BPF_F_SLEEPABLE) !== 0,
    deviceBound: (program.flags & BPF_F_XDP_DEV_BOUND_ONLY) !== 0,
    frags: (program.flags & BPF_F_XDP_HAS_FRAGS) !== 0,
    profile,
    cpus: env.cpus ?? MAX_CPUS,
    assumed: extension?.assumed,
    signatures: known,
    exceptionCallback: exception?.pc,
    state,
    observer: env.observe,
    prune: !env.exhaustive,
  });
  checkMapsNamed(cx);
  if (extends_) enterExtension(cx);
  return cx;
}

/** The extended program is one that a kernel has accepted, and what it does not reach is not in it any more. */
function checkTargetLives({ attachTo }: ProgramSpec, env: VerifyEnv, target: ExtensionTarget): void {
  const { kernelBtf, profile, cpus } = env;
  const { name } = target.program;
  const { btf, maps, license } = target;
  const { verdict, message, facts } = verify(target.program, { btf, maps, license, kernelBtf, profile, cpus });
  const refuse = (why: string): never => {
    throw new Refusal("reject", "extension", why, 0, undefined, undefined);
  };
  if (verdict === "reject") refuse(`${name}, the program that is extended, is itself rejected: ${message}`);
  const at = functionCalled(target, attachTo!);
  if (verdict === "accept" && at !== undefined && facts.dead.includes(at)) {
    refuse(`nothing that runs in ${name} calls ${attachTo}: the kernel has left it out`);
  }
}

/** A program that replaces a function starts with that function's arguments. */
function enterExtension(cx: Context): void {
  const signature = cx.signatures.get(0)!;
  if (signature.problem) cx.reject("extension", signature.problem.message, { pc: 0 });
  cx.state = globalState(cx, 0, signature);
}

/** Which member of which struct_ops table the program implements. */
function implemented(program: ProgramSpec, env: VerifyEnv): StructOpsMember | undefined {
  if (program.type !== ProgType.BPF_PROG_TYPE_STRUCT_OPS || !env.btf) return undefined;
  for (const table of env.structOps ?? []) {
    const found = table.programs.find((p) => p.program === program.name);
    const type = found && env.btf.type(resolve(env.btf, table.typeId));
    if (!found || type?.kind !== "struct") continue;
    const member = type.members.find((m) => m.bitOffset === found.offset * 8);
    // A flavour, `tcp_congestion_ops___v2`, is the same struct to the kernel.
    if (member) return { struct: essentialName(type.name), member: essentialName(member.name) };
  }
  return undefined;
}

function mapRef(name: string, spec: MapSpec, btf: Btf | undefined): MapRef {
  const inner = spec.inner && mapRef(`${name}'s inner map`, spec.inner, btf);
  return { name, spec, inner, fields: specialFields(spec, btf) };
}

/** Walks all paths, depth first, until none is left or one is refused. */
function walk(cx: Context, limit: number): void {
  const { insns, prunePoints } = cx.program;
  callAllGlobals(cx);
  // Whether or not anything throws.
  if (cx.exceptionCallback !== undefined) cx.globalsCalled.add(cx.exceptionCallback);
  for (;;) {
    const { pc } = cx;
    if (++cx.processed > limit) tooComplex(cx, limit);
    let next: number | undefined;
    if (cx.prune && prunePoints[pc] && isVisited(cx)) next = undefined;
    else {
      cx.visited[pc]!++;
      cx.observer?.(pc, cx.state);
      cx.lengths?.step(cx.state, pc);
      next = step(cx, insns[pc]!);
    }
    cx.prevPc = pc;
    if (next !== undefined) {
      cx.pc = next;
      continue;
    }
    cx.lengths?.end(cx.root, cx.state, cx.standIn, cx.closesLoop);
    cx.standIn = undefined;
    cx.closesLoop = false;
    finishPath(cx, cx.state);
    const pending = cx.pending.pop();
    if (!pending) {
      if (!enterNextGlobal(cx)) return;
      continue;
    }
    cx.state = pending.state;
    cx.pc = pending.pc;
    cx.prevPc = pending.prevPc;
  }
}

/** Refuses at the insn that was walked most often: it stands in the loop, or behind the branches, that cost too much. */
function tooComplex(cx: Context, limit: number): never {
  let pc = 0;
  for (let i = 0; i < cx.visited.length; i++) if (cx.visited[i]! > cx.visited[pc]!) pc = i;
  const message = `more than ${limit} instructions were walked, this one ${cx.visited[pc]} times: too many rounds of a loop, or too many paths`;
  cx.reject("complexity", message, {
    pc,
    fix: "give loops a limit that the verifier sees (compare the counter with a constant), or split the program with tail calls",
  });
}

/** Kernels before 6.8 verify global functions that nothing calls, too. */
function callAllGlobals(cx: Context): void {
  if (allows(cx.profile, "lazyGlobals") || !allows(cx.profile, "globalFunctions")) return;
  for (const [start, { global, problem }] of cx.signatures) {
    if (!global) continue;
    if (problem) cx.reject("global-function", problem.message, { pc: start });
    cx.globalsCalled.add(start);
  }
}

/** Begins the walk of a global function that was called and not walked yet; false when there is none. */
function enterNextGlobal(cx: Context): boolean {
  for (const start of cx.globalsCalled) {
    if (cx.visited[start]) continue;
    enterGlobal(cx, start);
    return true;
  }
  return false;
}

function enterGlobal(cx: Context, start: number): void {
  cx.root = cx.pc = start;
  cx.prevPc = -1;
  cx.state = globalState(cx, start, cx.signatures.get(start)!);
  cx.state.counts = cx.lengths?.start();
}

function report(
  program: ProgramSpec,
  env: VerifyEnv,
  cx: Context | undefined,
  refusal: Refusal | undefined,
  stackDepth: number,
): VerifierReport {
  const path: BranchTaken[] = [];
  let trace: readonly Visited[] = [];
  if (refusal && cx?.processed) {
    for (let s: PathStep | undefined = cx.state.path; s; s = s.prev) {
      path.push({ pc: s.pc, taken: s.taken, line: lineAt(program, s.pc) });
    }
    path.reverse();
    // A path without end has no story that a walk along it could tell.
    if (refusal.rule !== "complexity" && refusal.rule !== "endless-loop")
      trace = replay(rooted(prepare(program, env), cx.root), cx.state.path);
  }
  const reached = trace[trace.length - 1]?.insn.pc === refusal?.pc;
  return {
    verdict: refusal?.verdict ?? "accept",
    message: refusal ? inLines(refusal.message, program) : "",
    fix: refusal && (reached ? concreteFix(refusal, trace, program) : (refusal.fix ?? remedy(refusal.rule))),
    rule: refusal?.rule,
    ruleText: ruleText(refusal?.rule),
    pc: refusal?.pc,
    register: refusal?.register,
    line: refusal && lineAt(program, refusal.pc),
    path,
    trace: reached ? trace.map(({ insn }) => insn.pc) : [],
    cause: refusal && reached ? explain(trace, refusal).map((step) => located(step, program, trace)) : [],
    log: env.log && refusal && kernelLog(trace, refusal.message, cx?.processed ?? 0, env.log),
    assumed: cx?.assumed,
    processed: cx?.processed ?? 0,
    states: cx?.totalStates ?? 0,
    stackDepth,
    facts: factsOf(cx),
  };
}

/** Source lines in place of the insns that a message names. */
function inLines(message: string, program: ProgramSpec): string {
  return message.replace(/instruction (\d+) acquired/, (all, pc) => {
    const line = lineAt(program, Number(pc))?.line;
    return line ? `line ${line} acquired` : all;
  });
}

function located(step: CauseStep, program: ProgramSpec, trace: readonly Visited[]): Cause {
  return { ...step, line: lineAt(program, step.pc), next: nextLine(step, program, trace) };
}

/** The line that a jump goes on at: the first one that the path has from there, since compilers leave insns without. */
function nextLine({ pc, goesTo }: CauseStep, program: ProgramSpec, trace: readonly Visited[]): LineInfo | undefined {
  if (goesTo === undefined) return undefined;
  const from = trace.findLastIndex(({ insn }, i) => insn.pc === pc && trace[i + 1]?.insn.pc === goesTo);
  for (let i = from + 1; i < trace.length; i++) {
    const line = lineAt(program, trace[i]!.insn.pc);
    if (line?.line) return line;
  }
  return undefined;
}

function rooted(cx: Context, root: number): Context {
  if (root) enterGlobal(cx, root);
  return cx;
}

function factsOf(cx: Context | undefined): ProgramFacts {
  const dead: number[] = [];
  cx?.program.insns.forEach((insn, pc) => {
    if (insn && !cx.visited[pc]) dead.push(pc);
  });
  return {
    helpers: [...(cx?.helpersUsed ?? [])].sort((a, b) => a - b),
    maps: [...(cx?.mapsUsed ?? [])],
    outcomes: cx?.outcomes ?? new Uint8Array(0),
    regions: cx?.regions ?? new Uint32Array(0),
    frames: cx?.stackDepth ?? new Map(),
    live: cx?.program.live ?? new Uint16Array(0),
    dead,
    kernelStructs: [...(cx?.structsUsed ?? [])],
    ctxReach: cx?.ctxReach ?? 0,
  };
}
