/**
 * The kernel verifier's log: what it walked, where it stopped, what it said there, and which rule that is.
 *
 * The text is for people and changes between kernels: what is not understood is passed over, never refused.
 * Source: kernel/bpf/verifier.c `verbose`, `print_verifier_state`; kernel/bpf/log.c.
 */

/** One line of the walk: an instruction with the state after it, as far as the log tells (levels 2 and a failure). */
export interface LogStep {
  readonly pc: number;
  /** The instruction in the kernel's notation. */
  readonly insn: string;
  /** What registers and stack slots (`fp-8`) are known to hold, as the kernel writes it: `R0=scalar(umax=7)`. */
  readonly state: ReadonlyMap<string, string>;
  /** The source line that the kernel printed before it. */
  readonly source: string | undefined;
  /** The branch that led here, where the walk jumped. */
  readonly from: number | undefined;
}

/** The cost, from the last line. */
export interface LogStats {
  readonly processed: number;
  readonly limit: number;
  readonly maxStatesPerInsn: number;
  readonly totalStates: number;
  readonly peakStates: number;
}

export interface VerifierLog {
  readonly steps: readonly LogStep[];
  readonly verdict: VerifierVerdict;
  readonly stats: LogStats | undefined;
}

export interface VerifierVerdict {
  /** The verifier's complaint, without a full stop; "" when the log holds none. */
  readonly message: string;
  /** The slot of the instruction that it is about, or undefined when it is about the whole. */
  readonly pc: number | undefined;
  /** The rule that was broken and what keeps it; undefined for a complaint that is not known here. */
  readonly rule: string | undefined;
}

const INSN = /^(\d+): \(([0-9a-f]{2})\) (.*?)(?:\s+; (.*))?$/;
const FROM = /^(?:from )(\d+) to (\d+)(?: \(speculative execution\))?: ?(.*)$/;
const STATE = /^(\d+): ((?:frame\d+: )?(?:R\d+|fp-?\d+).*)$/;
const STATS = /^processed (\d+) insns \(limit (\d+)\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+)/;

/** Lines that are neither step nor complaint. */
const NOISE = [
  /^verification time /,
  /^stack depth /,
  /^func#\d+ @\d+/,
  /^\d+: safe$/,
  /^(?:from )?.*: safe$/,
  /^\d+: frame\d+/,
  /^mark_precise: /,
  /^regs=.* before /,
  /^parent /,
  /^last_idx /,
  /^first_idx /,
  /^propagating /,
  /^ ?R\d+(?:_[rwD]+)?=/,
  /^(?:cur|old) state: /,
  /^caller:/,
  /^callee:/,
  /^returning from callee/,
  /^to caller at /,
  /^Validating .*\.\.\.$/,
  /^Func#\d+ .* is (?:safe|global)/,
  /^reg type unsupported for arg#\d+ function /,
  /^arg#\d+ reference type\(.*\) (?:size|cannot)/,
  /^Live regs before insn/i,
  /^\s*\d+: [.\d]{10,11} \(/,
  /^$/,
];

/** The whole log in structure. */
export function parseVerifierLog(log: string): VerifierLog {
  const steps: LogStep[] = [];
  let source: string | undefined;
  let from: number | undefined;
  // What was said since the last instruction: the complaint, when nothing follows.
  let said: string[] = [];
  let stats: LogStats | undefined;
  for (const line of log.split("\n")) {
    const insn = INSN.exec(line);
    if (insn) {
      steps.push({ pc: Number(insn[1]), insn: insn[3]!, state: parseState(insn[4] ?? ""), source, from });
      source = undefined;
      from = undefined;
      said = [];
      continue;
    }
    const branch = FROM.exec(line);
    if (branch) {
      from = Number(branch[1]);
      continue;
    }
    if (line.startsWith("; ")) {
      source = line.slice(2);
      continue;
    }
    const end = STATS.exec(line);
    if (end) {
      const [processed, limit, maxStatesPerInsn, totalStates, peakStates] = end.slice(1).map(Number);
      stats = {
        processed: processed!,
        limit: limit!,
        maxStatesPerInsn: maxStatesPerInsn!,
        totalStates: totalStates!,
        peakStates: peakStates!,
      };
      continue;
    }
    if (!STATE.test(line) && !NOISE.some((noise) => noise.test(line))) said.push(line.trim());
  }
  return { steps, verdict: verdictOf(said.join(": ").replace(/\.$/, ""), steps.at(-1)?.pc), stats };
}

/** The complaint, its place and the rule behind it. */
export function summarizeLog(log: string): VerifierVerdict {
  return parseVerifierLog(log).verdict;
}

function verdictOf(message: string, last: number | undefined): VerifierVerdict {
  // What is found before the walk names its place itself.
  const named = /\binsn (\d+)\b/.exec(message) ?? /\bat (\d+)$/.exec(message);
  const pc = last ?? (named ? Number(named[1]) : undefined);
  return { message, pc, rule: RULES.find(([pattern]) => pattern.test(message))?.[1] };
}

/** `R0=scalar(umin=1,umax=7) R1=ctx() fp-8=????mmmm`: values may hold blanks in brackets. */
function parseState(text: string): Map<string, string> {
  const state = new Map<string, string>();
  for (const [, name, value] of text.matchAll(
    /(R\d+|fp-\d+)(?:_[rwD]+)?=((?:\([^()]*(?:\([^()]*\)[^()]*)*\)|[^\s()])+)/g,
  )) {
    state.set(name!, value!);
  }
  return state;
}

/** The complaints that programmers meet, and what each asks for. The first that matches counts. */
const RULES: readonly (readonly [RegExp, string])[] = [
  [/invalid access to packet/, "compare the end of the access with data_end before it, on every path"],
  [/invalid mem access 'map_value_or_null'/, "compare the looked-up value with NULL before using it"],
  [/invalid mem access '\w*_or_null'/, "compare the pointer with NULL before using it"],
  [
    /invalid mem access 'scalar'|invalid mem access 'inv'/,
    "a number is no address: the pointer was lost in arithmetic or in a load",
  ],
  [/^R0 !read_ok/, "a program returns a value: write r0 before exit"],
  [/!read_ok/, "a register is written before it is read; calls leave r1 to r5 unreadable"],
  [/invalid bpf_context access/, "only the fields of this program type's ctx may be read, each at its own size"],
  [
    /invalid .*stack|uninitialized stack/,
    "the stack is the 512 bytes below r10; they are written before they are read or passed to a helper",
  ],
  [/invalid access to map value/, "an access stays inside the map's value: bound the offset"],
  [
    /unbounded memory access|min value is negative|unbounded min value/,
    "bound the variable on both sides before it is used as an offset or a size",
  ],
  [/back-edge/, "this kernel takes no loops: unroll them"],
  [/infinite loop detected/, "a loop must change something that its condition reads"],
  [
    /BPF program is too large|complexity limit|too complex/,
    "the walk is too long: bound loops more tightly, or split the program by tail calls",
  ],
  [/unreachable insn/, "every instruction is reachable from the start"],
  [/jump out of range|last insn is not an exit or jmp/, "every path ends in exit, inside the program"],
  [
    /program of this type cannot use helper|unknown func|invalid func/,
    "the helper is not for this program type, or not in this kernel",
  ],
  [/cannot call GPL-restricted function/, "the helper is for GPL-compatible programs: state the licence"],
  [
    /At program exit the register R0|R0 (?:has|is not a known value)/,
    "the return value must be proven to be one that this hook allows",
  ],
  [/Unreleased reference|reference .*has not been released/, "what was acquired is released on every path"],
  [/combined stack size|stack size of \d+ calls/, "all frames of a call chain share 512 bytes of stack"],
  [/misaligned (?:packet|stack|value|context)? ?access/, "accesses of this memory are aligned to their size"],
  [/pointer comparison prohibited/, "only packet pointers, and pointers with NULL, may be compared"],
  [/leaks addr|leak pointer/, "kernel addresses may not reach memory that userspace reads"],
  [
    /pointer arithmetic .*prohibited|math between .* pointer|pointer operation/,
    "only adding to and subtracting from this kind of pointer is allowed, and not of this kind at all if it may be NULL",
  ],
  [
    /cannot pass map_type|map_type .* is not supported|cannot be passed/,
    "this helper does not work on this type of map",
  ],
  [/type=\w* expected=/, "the argument has another type than the helper takes"],
  [/frame pointer is read only/, "r10 may not be written"],
  [/write into map forbidden|write to read-only|cannot write into rdonly_/, "this memory is read-only to programs"],
  [/invalid (?:zero-sized|size of register)|div by zero/, "the size must be proven positive"],
  [/the call stack of \d+ frames is too deep/, "calls nest at most eight deep"],
  [/tail_call.* only allowed|tail_calls are not allowed/, "tail calls are not allowed from here"],
  [/expected pointer type|expects pointer|arg#\d+ .*expected/, "the function takes a pointer of another type here"],
  [
    /bpf_spin_lock|holding a lock|lock is held/,
    "a lock is taken once, on the value that holds it, and given back before calls and exit",
  ],
];
