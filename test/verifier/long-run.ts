/**
 * The long form of verifier-differential.test.ts:
 *
 *     npx tsx --conditions=source test/verifier/long-run.ts [COUNT] [SEED] [boundary|wide|engine] [--first=N] [--no-kernel] [--log] [--states]
 *         [--ask] [--answers=FILE --profile=5.10]
 *
 * Compares verdicts with the running kernel's and runs what is accepted under guard, holding registers (and every other
 * time the stack) against the verifier's states at every insn. `engine` takes the generator of the engines' differential
 * runs, `wide` the one of wide.ts (which runs its XDP programs only). Prints each difference with its number, which with the seed names the program, and the totals.
 *
 * `--first` begins at that number: a range for each core, or one program (`1 SEED --first=N`). `--log` prints of each
 * program the path that we refuse and every state of the kernel's walk. `--states` compares the two walks' registers, too.
 *
 * Another kernel is asked in two halves: on it `--ask` prints a letter a program (`a`ccept, `r`eject); elsewhere
 * `--answers` takes these for the kernel's verdicts and `--profile` the rules that ours judges by, for one CPU.
 */
import { readFileSync } from "node:fs";
import { seededRandom } from "@ebplane/core/bytes";
import { type ProgramSpec, ProgType } from "@ebplane/core/object";
import { PROFILE_NAMES, verify } from "@ebplane/core/verifier";
import { kernelAvailable } from "@ebplane/linux";
import { disassemble, formatInsn } from "../../packages/core/src/asm/index.ts";
import { build, generate } from "../../packages/core/src/vm/testing/generate.ts";
import { MAPS as ENGINE_MAPS } from "../../packages/core/src/vm/testing/generate-maps.ts";
import { boundaryProgram, MAPS, mutate, Rng, toSpec } from "./boundary.ts";
import { ask, type Comparison, compare, kernelMaps } from "./compare.ts";
import { Bench } from "./concrete.ts";
import { compareStates } from "./states.ts";
import { wideProgram } from "./wide.ts";

const option = (name: string) => process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
const args = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const count = Number(args[0] ?? 500_000);
const seed = Number(args[1] ?? 1);
const engine = args[2] === "engine";
const log = process.argv.includes("--log");
const states = process.argv.includes("--states");
const specs = engine ? ENGINE_MAPS : MAPS;
const first = Number(option("first") ?? 0);
const available = kernelAvailable();
if (!available.ok) console.log(`without the kernel: ${available.reason}`);
const answers = option("answers") === undefined ? undefined : readFileSync(option("answers")!, "latin1");
const profile = PROFILE_NAMES.find((name) => name === option("profile"));
const asKernel = !answers && available.ok && !process.argv.includes("--no-kernel");
const kernel = asKernel ? kernelMaps(specs) : undefined;
const maps = new Map(specs.map((map) => [map.name, map]));
const bench = new Bench(specs);
const totals = new Map<string, number>();
const started = performance.now();
let found = 0;
let registers = 0;

if (process.argv.includes("--ask")) {
  for (let i = first; i < first + count; i++) {
    const { spec } = program(i);
    process.stdout.write(spec ? ask(spec, kernel!, 0).kernel[0]! : "-");
  }
  process.exit();
}

for (let i = first; i < first + count; i++) {
  const { spec, next } = program(i);
  if (!spec) continue;
  const listing = () => disassemble(spec.code).map((line) => `${line.pc}: ${line.text}`);
  let accepted = true;
  if (kernel || answers) {
    const { kernel: theirs, report, log: text } = compared(spec, i);
    if (log) console.log([`program ${i}: kernel ${theirs}:`, text, `ours ${report.verdict}:`, report.log].join("\n"));
    const key = `kernel ${theirs}, ours ${report.verdict}`;
    totals.set(key, (totals.get(key) ?? 0) + 1);
    accepted = report.verdict === "accept";
    const walks = states ? compareStates(spec, maps, text) : undefined;
    registers += walks?.registers ?? 0;
    if (walks?.difference) {
      found++;
      console.log([`program ${i}: STATES: ${walks.difference}`, ...listing()].join("\n"));
    }
    if (theirs !== report.verdict) {
      found++;
      console.log(
        [`program ${i}: ${key}: ${report.pc}: ${report.message}`, ...listing(), text.slice(-1000)].join("\n"),
      );
    }
  }
  if (!accepted || spec.type !== ProgType.BPF_PROG_TYPE_XDP) continue;
  const packets = [14, 20, 60, 15 + (next() % 60)].map((length) => Uint8Array.from({ length }, () => next()));
  const problem = bench.check(spec, packets, i % 2 === 0);
  if (problem) {
    found++;
    console.log([`program ${i}: UNSOUND: ${problem}`, ...listing()].join("\n"));
  }
}
const rate = Math.round(count / ((performance.now() - started) / 1000));
console.log(
  count,
  "programs from",
  first,
  "seed",
  seed,
  Object.fromEntries(totals),
  "insns held against states:",
  bench.checked,
);
if (states) console.log("registers held against the kernel's:", registers);
console.log(`${found} findings, ${rate} programs a second`);
kernel?.close();

function compared(spec: ProgramSpec, i: number): Comparison {
  if (kernel) return compare(spec, maps, kernel, log || states ? formatInsn : undefined);
  const report = verify(spec, { maps, license: "GPL", profile, cpus: 1 });
  return { kernel: answers![i - first] === "a" ? "accept" : "reject", report, log: "" };
}

/** Program number `i`, and the numbers that make its packets. */
function program(i: number) {
  if (engine) {
    const random = seededRandom(seed * 1_000_003 + i);
    const generated = generate(seed * 1_000_003 + i);
    const spec = build(generated);
    const tailCalls = spec.relocs.some((reloc) => reloc.name === "jump");
    return { spec: generated.hook === "xdp" && !tailCalls ? spec : undefined, next: () => random.below(0x1_0000_0000) };
  }
  const rng = new Rng(Math.imul(seed, 0x9e3779b1) + i);
  if (args[2] === "wide") {
    const { type, boundary } = wideProgram(rng);
    return { spec: toSpec(boundary, type), next: () => rng.next() };
  }
  let boundary = boundaryProgram(rng);
  for (let n = rng.below(4); n > 0; n--) boundary = mutate(rng, boundary);
  return { spec: toSpec(boundary), next: () => rng.next() };
}
