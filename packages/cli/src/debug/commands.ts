/**
 * The commands of `ebplane debug`, one a line. Every command answers with data and with text; the texts are for people,
 * the data for `--json`.
 */
import { fromHex, toHex } from "@ebplane/core/bytes";
import { verdictName } from "@ebplane/core/object";
import { type Breakpoint, type Debugger, programOf } from "@ebplane/core/vm";
import { UsageError } from "../failure.ts";
import type { Stage } from "./session.ts";
import { effectOf, effectText, insnText, registerText, sourceText } from "./show.ts";

export interface Answer {
  readonly text: readonly string[];
  readonly data: Readonly<Record<string, unknown>>;
  /** No more commands. */
  readonly quit?: true;
  /** A file to be written. */
  readonly file?: { readonly path: string; readonly content: string };
}

type Command = (debug: Debugger, stage: Stage, words: readonly string[]) => Answer;

export const HELP = `step [N]                execute N insns (1)
back [N]                go N insns back
continue                run to a breakpoint or the end
rcontinue               run back to a breakpoint or the start
seek N                  go to position N of the run
break PC                stop before the insn at slot PC
break FILE:LINE         stop where the line begins
break MAP KEYHEX        stop when a helper is called with this key of a map
break rN VALUE          stop when a register holds a value
delete                  forget all breakpoints
where                   position, insn, source line
registers               r0 to r10
print rN                one register, and 16 bytes of what it points to
memory ADDRESS [LENGTH] bytes (64)
packet                  the packet as it is now
map NAME                the entries of a map
coverage [FILE]         insns, branches and lines that ran; as lcov to a file
quit`;

const COMMANDS: Readonly<Record<string, Command>> = {
  step: (debug, stage, [count]) => stepBy(debug, stage, whole(count, 1)),
  back(debug, stage, [count]) {
    debug.seek(Math.max(0, debug.position - whole(count, 1)));
    return where(debug, stage);
  },
  continue: (debug, stage) => stopped(debug, stage, debug.resume()),
  rcontinue: (debug, stage) => stopped(debug, stage, debug.resumeBack()),
  seek(debug, stage, [position]) {
    debug.seek(whole(position));
    return where(debug, stage);
  },
  break(debug, stage, words) {
    const breakpoint = breakpointOf(stage, words);
    debug.breakpoints.add(breakpoint);
    return {
      text: [`breakpoint ${debug.breakpoints.size}: ${words.join(" ")}`],
      data: { breakpoints: debug.breakpoints.size },
    };
  },
  delete(debug) {
    debug.breakpoints.clear();
    return { text: [], data: { breakpoints: 0 } };
  },
  where: (debug, stage) => where(debug, stage),
  registers(debug, stage) {
    const values = [...debug.run.registers()];
    const registers = Object.fromEntries(values.map((v, r) => [`r${r}`, registerText(stage, debug.run, v)]));
    return { text: Object.entries(registers).map(([name, v]) => `${name.padEnd(4)} ${v}`), data: { registers } };
  },
  print(debug, stage, [name]) {
    const value = debug.run.register(registerNumber(name));
    const shown = registerText(stage, debug.run, value);
    const bytes = shown.includes("(") ? bytesAt(stage, value, 16) : undefined;
    return { text: [bytes ? `${shown}: ${bytes}` : shown], data: { value: shown, bytes } };
  },
  memory(_, stage, [address, length]) {
    const at = BigInt(number(address, "an address"));
    const bytes = bytesAt(stage, at, whole(length, 64));
    return { text: [bytes], data: { bytes } };
  },
  packet(_, stage) {
    const bytes = toHex(stage.packet());
    return { text: [bytes], data: { packet: bytes } };
  },
  map(_, stage, [name]) {
    const map = mapOf(stage, name);
    const entries = [...map.entries()].map(([key, value]) => ({ key: toHex(key), value: toHex(value) }));
    // Of an array only what is not zero.
    const told = entries.filter(({ value }) => /[^0]/.test(value));
    const text = told.map(({ key, value }) => `${key}: ${value}`);
    if (told.length < entries.length) text.push(`${entries.length - told.length} of ${entries.length} are zero`);
    return { text, data: { map: name, entries } };
  },
  coverage: (debug, _, [path]) => coverage(debug, path),
  help: () => ({ text: HELP.split("\n"), data: {} }),
  quit: () => ({ text: [], data: {}, quit: true }),
};

const SHORT: Readonly<Record<string, string>> = { s: "step", c: "continue", rc: "rcontinue", b: "break", q: "quit" };

/** @throws UsageError for a command that is not there or arguments that do not fit. */
export function execute(debug: Debugger, stage: Stage, line: string): Answer {
  const [word = "", ...words] = line.trim().split(/\s+/);
  const command = COMMANDS[SHORT[word] ?? word];
  if (!command) throw new UsageError(`no command ${word}; there are ${Object.keys(COMMANDS).join(", ")}`);
  return command(debug, stage, words);
}

function stepBy(debug: Debugger, stage: Stage, count: number): Answer {
  const effects = [];
  for (let i = 0; i < count && !debug.run.result; i++) {
    const before = debug.run.registers();
    const { position, program } = debug;
    const step = debug.step();
    if (step) effects.push(effectOf(stage, debug.run, program, position, step, before));
  }
  const end = where(debug, stage);
  return { text: [...effects.map(effectText), ...end.text], data: { steps: effects, ...end.data } };
}

function stopped(debug: Debugger, stage: Stage, breakpoint: Breakpoint | undefined): Answer {
  const at = where(debug, stage);
  return { ...at, data: { ...at.data, breakpoint: breakpoint?.kind ?? null } };
}

function where(debug: Debugger, stage: Stage): Answer {
  const { position, run } = debug;
  const { result } = run;
  if (result) {
    const { fault, r0 } = result;
    if (fault) {
      const text = `fault after ${result.executed} insns: ${fault.program}: ${fault.message}`;
      return { text: [text], data: { position, fault: { kind: fault.kind, pc: fault.pc, message: fault.message } } };
    }
    const verdict = verdictName(stage.program.type, Number(BigInt.asUintN(32, r0!)));
    return {
      text: [`ended after ${position} insns: ${verdict}`],
      data: { position, verdict, r0: `0x${r0!.toString(16)}` },
    };
  }
  const program = programOf(stage.machine, run, stage.vm).spec;
  const { pc } = run;
  const insn = insnText(program, pc);
  const source = sourceText(program, pc);
  return {
    text: [`at ${position}: ${program.name} ${pc}: ${insn}`, ...(source ? [`  ${source}`] : [])],
    data: { position, program: program.name, pc, frame: run.frame, insn, source },
  };
}

function coverage(debug: Debugger, path: string | undefined): Answer {
  const rows = [...debug.coverages].map(([program, counts]) => coverageRow(program.name, counts.summary(program)));
  const lcov = [...debug.coverages].map(([program, counts]) => counts.lcov(program)).join("");
  const answer = { text: rows.map((row) => row.text), data: { coverage: rows.map((row) => row.data) } };
  return path === undefined ? answer : { ...answer, file: { path, content: lcov } };
}

export interface CoverageSummary {
  readonly insns: readonly [ran: number, of: number];
  readonly branches: readonly [ran: number, of: number];
  readonly lines: readonly [ran: number, of: number];
}

export function coverageRow(program: string, { insns, branches, lines }: CoverageSummary) {
  const of = ([ran, all]: readonly [number, number], what: string): string => `${ran} of ${all} ${what}`;
  const text = `${program}: ${of(insns, "insns")}, ${of(branches, "branch ways")}, ${of(lines, "lines")}`;
  return { text, data: { program, insns, branches, lines } };
}

function breakpointOf(stage: Stage, words: readonly string[]): Breakpoint {
  const [first = "", second] = words;
  if (/^\d+$/.test(first) && second === undefined) {
    const pc = Number(first);
    if (pc >= stage.program.code.length / 8) {
      throw new UsageError(`break: expected a slot below ${stage.program.code.length / 8}, got ${pc}`);
    }
    return { kind: "pc", pc };
  }
  const [, name, line] = /^(.+):(\d+)$/.exec(first) ?? [];
  if (line !== undefined && second === undefined) return lineBreakpoint(stage, name!, Number(line));
  if (second === undefined) throw new UsageError("break: expected PC, FILE:LINE, MAP KEYHEX or rN VALUE");
  if (/^r\d+$/.test(first)) {
    return { kind: "register", register: registerNumber(first), value: BigInt.asUintN(64, number(second, "a value")) };
  }
  const map = mapOf(stage, first);
  const key = fromHex(second);
  if (key.length !== map.spec.keySize) {
    throw new UsageError(`break: a key of ${first} has ${map.spec.keySize} bytes, got ${key.length}`);
  }
  return { kind: "mapKey", map: (map as unknown as { addr: number }).addr, key };
}

/** The file may be named by its end. */
function lineBreakpoint(stage: Stage, name: string, line: number): Breakpoint {
  const { lineInfo } = stage.program;
  const file = lineInfo.find((l) => l.file === name || l.file.endsWith(`/${name}`))?.file;
  if (file === undefined) {
    const files = [...new Set(lineInfo.map((l) => l.file))];
    throw new UsageError(`break: no file ${name}; there are ${files.join(", ") || "none: no line information"}`);
  }
  if (!lineInfo.some((l) => l.file === file && l.line === line)) {
    throw new UsageError(`break: no insn comes from ${name}:${line}`);
  }
  return { kind: "line", line, file };
}

function mapOf(stage: Stage, name: string | undefined) {
  const map = stage.maps.get(name ?? "");
  if (!map)
    throw new UsageError(`no map named ${name ?? ""}; there are ${[...stage.maps.keys()].join(", ") || "none"}`);
  return map;
}

function registerNumber(name: string | undefined): number {
  const n = Number(/^r(\d+)$/.exec(name ?? "")?.[1] ?? Number.NaN);
  if (!(n <= 10)) throw new UsageError(`expected r0 to r10, got ${name ?? "nothing"}`);
  return n;
}

function whole(text: string | undefined, otherwise?: number): number {
  const n = text === undefined ? otherwise : Number(text);
  if (n === undefined || !Number.isSafeInteger(n) || n < 0)
    throw new UsageError(`expected a number, got ${text ?? "nothing"}`);
  return n;
}

function number(text: string | undefined, what: string): bigint {
  try {
    if (text) return BigInt(text);
  } catch {
    // Said below.
  }
  throw new UsageError(`expected ${what}, got ${text ?? "nothing"}`);
}

function bytesAt(stage: Stage, address: bigint, length: number): string {
  const { u8 } = stage.machine.memory;
  if (address < 0n || address >= BigInt(u8.length))
    throw new UsageError(`0x${address.toString(16)}: beyond the memory`);
  return toHex(u8.subarray(Number(address), Number(address) + length), " ");
}
