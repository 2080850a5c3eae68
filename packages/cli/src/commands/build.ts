/**
 * `ebplane build`: a `.bpf.ts` or a plane file to an ELF object. Our verifier judges each program first; what it rejects
 * is said at its place in the source and not written.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { Compiled, Constants, Folded, ListingBlock, Receipt } from "@ebplane/compiler";
import { writeElf } from "@ebplane/core/elf";
import { CompileError, VerifierError } from "@ebplane/core/errors";
import type { CollectionSpec } from "@ebplane/core/object";
import { type KernelVersion, verify } from "@ebplane/core/verifier";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { compileFile, explanation, isPlaneFile, loadObject, loadPlane } from "../input.ts";
import { kernelVersion } from "../kernel-version.ts";
import { collect } from "../options.ts";
import { note, print, printJson } from "../output.ts";
import { relocated, runningKernel } from "../types-of.ts";

interface BuildOptions {
  readonly output?: string;
  readonly source?: boolean;
  readonly S?: boolean;
  readonly const: readonly string[];
  readonly fold: boolean;
  readonly kernel?: string;
  readonly verify: boolean;
  readonly json?: boolean;
}

interface Built {
  readonly spec: CollectionSpec;
  /** Only of a `.bpf.ts`. */
  readonly compiled?: Compiled;
  /** What folding the given constants saved; a reason where it could not be compared. */
  readonly folded?: Folded | string;
}

export function registerBuild(program: Command): void {
  program
    .command("build <src>")
    .description("compile a .bpf.ts (or the programs of a plane) to an ELF object that libbpf, bpftool, tc and ip load")
    .option("-o, --output <file>", "the object to write")
    .option("-S", "print source, intermediate form and bytecode side by side")
    .option("--const <name=value>", "a constant of the configuration: config(NAME, …) (repeatable)", collect, [])
    .option("--no-fold", "keep the constants as variables in .rodata, which a loader may still set")
    .option("--kernel <version>", "the oldest kernel that it is to load on, as 5.10: what that one lacks is refused")
    .option("--no-verify", "write the object even where our verifier rejects a program")
    .option("--source", "of a plane: print the program text that it generates, and stop")
    .option("--json", "one JSON document")
    .action(async (path: string, options: BuildOptions) => {
      if (options.source) {
        if (!isPlaneFile(path)) throw new UsageError(`--source: expected a plane file, got ${path}`);
        print((await loadPlane(path)).built.source.trimEnd());
        return;
      }
      if (options.output === undefined && !options.S) throw new UsageError("build: name the object with -o FILE");
      const kernel = options.kernel === undefined ? undefined : kernelVersion(options.kernel, "--kernel");
      const { spec, compiled, folded } = await build(path, options, kernel);
      if (options.S) {
        if (!compiled) throw new UsageError(`-S: expected a .bpf.ts, got ${path}`);
        for (const name of spec.programs.keys()) print(listingText(name, compiled.listing(name)));
      }
      if (options.verify) requireAccepted(spec, kernel);
      if (options.output === undefined) return;
      const bytes = writeElf(spec);
      writeFileSync(options.output, bytes);
      if (options.json) printJson(documentOf(options.output, bytes.length, { spec, compiled, folded }));
      else {
        const insns = [...spec.programs.values()].reduce((n, p) => n + p.code.length / 8, 0);
        const what = `${spec.programs.size} programs, ${insns} insns, ${spec.maps.size} maps, ${bytes.length} bytes`;
        note([`${options.output}: ${what}`, ...receiptText({ spec, compiled, folded })].join("\n"));
      }
    });
}

async function build(path: string, options: BuildOptions, kernel: KernelVersion | undefined): Promise<Built> {
  const constants = parseConstants(options.const);
  if (!path.endsWith(".ts")) {
    if (options.const.length || !options.fold) {
      throw new UsageError(`--const and --no-fold: expected a .bpf.ts, got ${path}`);
    }
    return { spec: await loadObject(path, kernel) };
  }
  const compiled = await compileFile(path, { constants, fold: options.fold, kernel });
  if (compiled.receipt.unusedConstants.length) {
    const names = compiled.receipt.unusedConstants;
    throw new UsageError(`--const ${names[0]}: ${path} has no config("${names[0]}", …)`);
  }
  if (!options.fold || !options.const.length) return { spec: compiled.spec, compiled };
  try {
    const unfolded = await compileFile(path, { constants, fold: false, kernel });
    const { folded } = await import("@ebplane/compiler");
    return { spec: compiled.spec, compiled, folded: folded(compiled.spec, unfolded.spec) };
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    return { spec: compiled.spec, compiled, folded: e.message.split("\n")[0]! };
  }
}

function parseConstants(given: readonly string[]): Constants {
  const out: Record<string, number | bigint | boolean> = {};
  for (const text of given) {
    const [, name, value] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (!name || !value) throw new UsageError(`--const: expected NAME=VALUE, got ${text}`);
    if (name in out) throw new UsageError(`--const: ${name} is given twice`);
    if (value === "true" || value === "false") out[name] = value === "true";
    else if (/^-?(\d+|0x[0-9a-f]+)n?$/i.test(value)) {
      const digits = value.replace(/^-|n$/g, "");
      const n = BigInt(digits) * (value.startsWith("-") ? -1n : 1n);
      out[name] = n > BigInt(Number.MAX_SAFE_INTEGER) || n < -BigInt(Number.MAX_SAFE_INTEGER) ? n : Number(n);
    } else throw new UsageError(`--const ${name}: expected a whole number, true or false, got ${value}`);
  }
  return out;
}

/** @throws VerifierError at the place in the source, for the first program that our verifier rejects. */
function requireAccepted(spec: CollectionSpec, profile: KernelVersion | undefined): void {
  const kernelTypes = runningKernel();
  for (const program of spec.programs.values()) {
    const p = relocated(spec, program, kernelTypes);
    const report = verify(p, {
      maps: spec.maps,
      license: spec.license,
      btf: spec.btf,
      profile,
      get kernelBtf() {
        return kernelTypes();
      },
    });
    if (report.verdict === "unsupported") note(`${p.name}: not verified: ${report.message}`);
    if (report.verdict !== "reject") continue;
    const said = `${p.name}: ${report.message}`;
    const why = report.pc === undefined ? undefined : explanation(spec, p.name, report.pc, report.message);
    const message = why === undefined ? said : why.endsWith(report.message) ? why : `${why}\n  ${said}`;
    throw new VerifierError(message, { program: p.name, pc: report.pc, log: report.message });
  }
}

// ---- the receipt ----

function percent(before: number, after: number): string {
  return before === 0 ? "" : ` (${Math.round((100 * (before - after)) / before)} % less)`;
}

/** What the build left out, for people: nothing where nothing was configured or left out. */
function receiptText({ compiled, folded }: Built): string[] {
  if (!compiled) return [];
  const { receipt } = compiled;
  const lines: string[] = [];
  const add = (what: string, items: readonly string[]): void => {
    if (items.length) lines.push(`  ${what.padEnd(11)}${items.join(", ")}`);
  };
  add(
    "constants",
    [...receipt.constants].map(([name, value]) => `${name} = ${value}`),
  );
  add(
    "branches",
    receipt.branches.map((b) => `${basename(b.file)}:${b.line}`),
  );
  add("functions", receipt.functions);
  add("maps", receipt.maps);
  if (lines.length) lines.unshift("left out, or folded:");
  if (receipt.loops.length) {
    const places = receipt.loops.map((l) => `${basename(l.file)}:${l.line}`);
    lines.push(`loops over the kernel's counter (bpf_iter_num, Linux 6.4): ${places.join(", ")}`);
  }
  lines.push(...needsText(receipt));
  if (typeof folded === "string") lines.push(`  not compared: ${folded}`);
  else if (folded) {
    for (const [name, { before, after }] of folded.programs) {
      lines.push(`  ${name}: ${after} insns, ${before} with the constants in memory${percent(before, after)}`);
    }
    const { before, after } = folded.bytes;
    lines.push(`  bytes of code and data: ${after}, ${before} with the constants in memory${percent(before, after)}`);
  }
  return lines;
}

/** Which kernel it takes, and what of it is that young. */
function needsText({ needs }: Receipt): string[] {
  const [youngest] = needs;
  if (!youngest) return [];
  const why = needs.filter(({ since }) => since === youngest.since);
  const places = why.slice(0, 3).map((n) => `${n.what} (${basename(n.file)}:${n.line})`);
  return [`needs Linux ${youngest.since}: ${places.join(", ")}${why.length > 3 ? " …" : ""}`];
}

function documentOf(output: string, bytes: number, { spec, compiled, folded }: Built): object {
  const receipt = compiled?.receipt;
  return {
    output,
    bytes,
    programs: [...spec.programs.values()].map((p) => ({
      name: p.name,
      section: p.section,
      insns: p.code.length / 8,
      stack: receipt?.programs.get(p.name)?.stack ?? null,
    })),
    maps: [...spec.maps.keys()],
    receipt: receipt
      ? {
          constants: receipt.constants,
          branches: receipt.branches,
          functions: receipt.functions,
          maps: receipt.maps,
          loops: receipt.loops,
          needs: receipt.needs,
          folded: typeof folded === "object" ? folded : null,
        }
      : null,
  };
}

// ---- side by side ----

const SOURCE_WIDTH = 44;
const IR_WIDTH = 42;

/** Each line of the source once, with what it became; what is longer than its column goes on below. */
function listingText(name: string, blocks: readonly ListingBlock[]): string {
  const out = [`${name}:`];
  let shown = "";
  for (const b of blocks) {
    const place = `${b.file}:${b.line}`;
    const head = place === shown ? "" : `${String(b.line).padStart(4)} ${b.source}`;
    const file = b.file === "" || shown.startsWith(`${b.file}:`) ? [] : [`${b.file}:`];
    shown = place;
    const left = [...file, ...wrap(head, SOURCE_WIDTH)];
    const middle = b.ir.flatMap((l) => wrap(l, IR_WIDTH));
    const right = b.code.map((c) => (c.pc === undefined ? c.text : `${String(c.pc).padStart(5)}: ${c.text}`));
    for (let k = 0; k < Math.max(left.length, middle.length, right.length); k++) {
      const cells = [
        (left[k] ?? "").padEnd(SOURCE_WIDTH),
        (middle[k] ?? "").padEnd(IR_WIDTH),
        (right[k] ?? "").trimEnd(),
      ];
      out.push(cells.join(" | ").trimEnd());
    }
  }
  return out.join("\n");
}

function wrap(text: string, width: number): string[] {
  const out: string[] = [];
  for (let rest = text; rest.length; rest = rest.slice(width)) out.push(rest.slice(0, width));
  return out;
}
