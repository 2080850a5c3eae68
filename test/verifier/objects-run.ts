/**
 * Our verdict beside the running kernel's for every program of ELF objects:
 *
 *     npx tsx --conditions=source test/verifier/objects-run.ts [--quiet] FILE|DIR…
 *
 * Prints a line for each program where they differ or ours is `unsupported`, and a table of totals by directory. The
 * kernel's own errors outside of verification (a map it does not make, a hook this build lacks) count as `error` there.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readElf, relocateCore } from "@ebplane/core/elf";
import { BpfError, VerifierError } from "@ebplane/core/errors";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { verify } from "@ebplane/core/verifier";
import { kernelAvailable, linuxTarget } from "@ebplane/linux";
import { NetNs } from "@ebplane/linux/netns";
import { kernelBtf } from "../../packages/linux/src/target/kernel-btf.ts";

const args = process.argv.slice(2);
const quiet = args.includes("--quiet");
const available = kernelAvailable();
const target = available.ok ? linuxTarget({ netns: NetNs.create().fd }) : undefined;
if (!available.ok) console.log(`without the kernel: ${available.reason}`);
const totals = new Map<string, Map<string, number>>();

for (const path of args.filter((arg) => !arg.startsWith("--")).flatMap(objects)) run(path);
for (const [where, counts] of totals) {
  console.log(where, Object.fromEntries([...counts].sort()));
}

function objects(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? objects(join(path, entry.name)) : entry.name.endsWith(".o") ? [join(path, entry.name)] : [],
    )
    .sort();
}

function run(path: string): void {
  let spec: CollectionSpec;
  try {
    spec = readElf(readFileSync(path));
  } catch (error) {
    if (error instanceof BpfError) console.log(`${path}: ${error.message}`);
    else console.log(`${path}: READER THROWS ${error}`);
    return;
  }
  if (spec.byteOrder !== "little") return;
  for (const program of spec.programs.values()) {
    const theirs = ask(spec, program);
    const ours = decide(spec, program);
    const where = path.replace(/\/[^/]*$/, "");
    let counts = totals.get(where);
    if (!counts) totals.set(where, (counts = new Map()));
    const key = `kernel ${theirs.verdict}, ours ${ours.verdict}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const agree = theirs.verdict === ours.verdict || theirs.verdict === "error";
    if (quiet || (agree && ours.verdict !== "unsupported" && ours.verdict !== "throws")) continue;
    console.log(
      `${path} ${program.name} (${program.section}): ${key}\n    ours:   ${ours.message}\n    kernel: ${theirs.message}`,
    );
  }
}

function ask(spec: CollectionSpec, program: ProgramSpec): { verdict: string; message: string } {
  if (!target) return { verdict: "error", message: "" };
  try {
    target.load({ ...spec, programs: new Map([[program.name, program]]) }, { programs: [program.name] }).close();
    return { verdict: "accept", message: "" };
  } catch (error) {
    const message = (error as Error).message;
    return { verdict: error instanceof VerifierError ? "reject" : "error", message };
  }
}

function decide(spec: CollectionSpec, original: ProgramSpec): { verdict: string; message: string } {
  try {
    const alone = { ...spec, programs: new Map([[original.name, original]]) };
    const program = relocateCore(alone, kernelBtf()).programs.get(original.name)!;
    const start = performance.now();
    const report = verify(program, {
      maps: spec.maps,
      license: spec.license,
      btf: spec.btf,
      kernelBtf: kernelBtf(),
      structOps: spec.structOps,
    });
    const ms = performance.now() - start;
    if (ms > 5000) console.log(`${program.name}: ${Math.round(ms)} ms for ${report.processed} insns`);
    return { verdict: report.verdict, message: `${report.pc}: [${report.rule}] ${report.message}` };
  } catch (error) {
    return { verdict: "throws", message: String((error as Error).stack) };
  }
}
