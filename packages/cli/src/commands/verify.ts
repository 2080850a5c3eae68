/** `ebplane verify`: one verdict a program, from our verifier and, on request, from the kernel's. */
import { release } from "node:os";
import { formatInsn } from "@ebplane/core/asm";
import type { Btf } from "@ebplane/core/btf";
import { applyKconfig } from "@ebplane/core/elf";
import { BpfError, VerifierError } from "@ebplane/core/errors";
import {
  BPF_F_XDP_DEV_BOUND_ONLY,
  type CollectionSpec,
  type ProgramSpec,
  ProgType,
  progTypeByName,
} from "@ebplane/core/object";
import {
  type ExtensionTarget,
  functionCalled,
  type KernelVersion,
  MAX_CPUS,
  type Observer,
  PROFILE_NAMES,
  profileOfRelease,
  reportText,
  smallestKernel,
  type VerifierReport,
  type VerifyEnv,
  verify,
} from "@ebplane/core/verifier";
import { findPacket, type Witness } from "@ebplane/core/vm";
import type { Command } from "commander";
import { openTarget } from "../engines.ts";
import { answerNo, UsageError } from "../failure.ts";
import { explanation, loadObject, pickProgram } from "../input.ts";
import { kernelVersion } from "../kernel-version.ts";
import { wholeNumber } from "../options.ts";
import { print, printJson } from "../output.ts";
import { loadBtf, relocated, runningKernel } from "../types-of.ts";
import { factsJson, factsText, StateViewer } from "../verifier-facts.ts";

interface VerifyOptions {
  readonly prog?: string;
  readonly type?: string;
  readonly profile?: string;
  readonly kernel?: boolean;
  readonly btf?: string;
  readonly cpus?: string;
  readonly targetProg?: string;
  readonly devBound?: boolean;
  readonly json?: boolean;
  readonly log?: boolean;
  readonly facts?: boolean;
}

export function registerVerify(program: Command): void {
  program
    .command("verify <prog>")
    .description("verify programs as the kernel does; exit 1 when one is rejected")
    .option("--prog <name>", "only this program")
    .option("--type <type>", "take the programs for this program type (xdp, sched_cls …)")
    .option("--profile <kernel>", `by the rules of another kernel, from ${PROFILE_NAMES[0]} to ${PROFILE_NAMES.at(-1)}`)
    .option(
      "--btf <file>",
      "types of the kernel to verify for: a file, an object, or vmlinux (default: the running kernel's)",
    )
    .option("--cpus <n>", "for a machine whose CPU numbers lie below n (default: any machine; with --kernel this one)")
    .option("--target-prog <file#name>", "for freplace programs: the object with the program that they extend")
    .option("--dev-bound", "take XDP programs for ones that are bound to a device: its metadata may be asked for")
    .option("--kernel", "ask the running kernel too")
    .option("--log", "print the refused path as the kernel's verifier logs it")
    .option("--facts", "what is known of a program: longest run, loops, stack, helpers, maps, smallest kernel")
    .option("--json", "one JSON document, with the facts and all states by insn")
    .action(async (path: string, options: VerifyOptions) => {
      const object = await loadObject(path);
      const type = options.type === undefined ? undefined : progTypeByName(options.type);
      if (options.type !== undefined && type === undefined)
        throw new UsageError(`--type: no program type named ${options.type}`);
      const asked = options.profile === undefined ? undefined : kernelVersion(options.profile, "--profile");
      // Beside the running kernel's verdict stands ours for that kernel.
      const profile = asked ?? (options.kernel ? profileOfRelease(release()) : undefined);
      const spec = await configured(object, asked);
      const chosen = options.prog === undefined ? [...spec.programs.values()] : [pickProgram(spec, options.prog, path)];
      const kernel = options.kernel ? (await openTarget("kernel")).target : undefined;
      const cpus = await cpusOf(options, kernel !== undefined);
      const given = options.btf === undefined ? undefined : await loadBtf(options.btf);
      const kernelTypes = given ? () => given : runningKernel();
      const extended = await extendedBy(options.targetProg, chosen, asked, kernelTypes);
      const results = [];
      for (const original of chosen) {
        const p = asAsked(original, type, options);
        const viewer = options.json ? new StateViewer() : undefined;
        const target = relocated(spec, p, kernelTypes);
        // Copying one of these would read the kernel's types, which most programs do without.
        const env = (more?: Partial<VerifyEnv>): VerifyEnv => ({
          maps: spec.maps,
          license: spec.license,
          btf: spec.btf,
          structOps: spec.structOps,
          get kernelBtf() {
            return kernelTypes();
          },
          profile,
          cpus,
          extends: extended(p),
          ...(options.log && { log: (insn) => formatInsn(insn) }),
          ...more,
        });
        const facts = options.facts || options.json;
        const observe: Observer | undefined = viewer && ((pc, state) => viewer.observe(pc, state));
        const report = verify(target, env({ facts, observe }));
        const known = facts && report.verdict === "accept" ? report : undefined;
        const smallest = known && asked === undefined ? smallestKernel(target, env()) : undefined;
        let told: { verdict: string; message: string; source?: string } | undefined;
        if (kernel) {
          try {
            kernel.load({ ...spec, programs: new Map([[p.name, p]]) }, { programs: [p.name] }).close();
            told = { verdict: "accept", message: "" };
          } catch (e) {
            // What kept the kernel from verifying (a map it does not make, a type it does not have) is no verdict of its
            // own; the other programs still have one.
            if (!(e instanceof BpfError)) throw e;
            const verdict = e instanceof VerifierError ? "reject" : "unsupported";
            const pc = e instanceof VerifierError ? e.pc : undefined;
            told = { verdict, message: e.message };
            if (pc !== undefined) told.source = explanation(spec, p.name, pc, e.message);
          }
        }
        const rejected = report.verdict === "reject" && report.pc !== undefined;
        const source = rejected ? explanation(spec, p.name, report.pc!, report.message) : undefined;
        const input = rejected ? findPacket(target, spec.maps, spec.license, report.trace) : undefined;
        results.push({ program: p, report, source, kernel: told, known, smallest, viewer, input });
      }
      if (results.some((r) => r.report.verdict !== "accept")) answerNo();
      if (options.json) {
        printJson({
          programs: results.map(({ program: p, report, source, kernel: k, known, smallest, viewer, input }) => ({
            name: p.name,
            section: p.section,
            verdict: report.verdict,
            processed: report.processed,
            message: report.message ?? "",
            pc: report.pc ?? null,
            line: report.line ?? null,
            source: source ?? null,
            rule: report.rule ?? null,
            ruleText: report.ruleText ?? null,
            fix: report.fix ?? null,
            path: report.path,
            cause: report.cause,
            trace: report.trace,
            input: input ?? null,
            assumed: report.assumed ?? null,
            facts: known ? factsJson(p, known, smallest) : null,
            states: viewer?.list() ?? [],
            ...(k && { kernel: k }),
          })),
        });
        return;
      }
      for (const { program: p, report, source, kernel: k, known, smallest, input } of results) {
        print(verdictText(p, report, source));
        if (input) print(inputText(input));
        if (known && options.facts) for (const line of factsText(p, known, smallest)) print(`  ${line}`);
        if (k) print(`  kernel: ${k.verdict}${k.message ? `: ${k.message}` : ""}`);
        if (k?.source && k.source !== source && !k.source.endsWith(k.message)) print(`  ${k.source}`);
      }
    });
}

/**
 * The object with the kernel's configuration in its `.kconfig` variables: they decide what is dead code. The version is
 * the profile's where one was asked for. Where the kernel does not say what an option is, they stay as they are.
 */
async function configured(spec: CollectionSpec, profile: KernelVersion | undefined): Promise<CollectionSpec> {
  if (!spec.externs?.some((e) => e.kind === "kconfig")) return spec;
  const { runningConfig } = await import("@ebplane/linux");
  try {
    const config = runningConfig();
    const [major = 0, minor = 0] = (profile ?? "").split(".").map(Number);
    return applyKconfig(spec, profile === undefined ? config : { ...config, version: (major << 16) | (minor << 8) });
  } catch (error) {
    if (error instanceof BpfError) return spec;
    throw error;
  }
}

/** FILE#NAME, or FILE where one program of it alone has the function: which program each of `chosen` extends. */
async function extendedBy(
  where: string | undefined,
  chosen: readonly ProgramSpec[],
  profile: KernelVersion | undefined,
  kernelTypes: () => Btf | undefined,
): Promise<(program: ProgramSpec) => ExtensionTarget | undefined> {
  if (where === undefined) return () => undefined;
  if (!chosen.some(({ type }) => type === ProgType.BPF_PROG_TYPE_EXT)) {
    throw new UsageError("--target-prog: no program here extends another one (freplace/NAME)");
  }
  const hash = where.lastIndexOf("#");
  const file = hash < 0 ? where : where.slice(0, hash);
  const spec = await configured(await loadObject(file), profile);
  const { btf, maps, license } = spec;
  const targetOf = (program: ProgramSpec): ExtensionTarget => ({
    program: relocated(spec, program, kernelTypes),
    btf,
    maps,
    license,
  });
  const named = hash < 0 ? undefined : targetOf(pickProgram(spec, where.slice(hash + 1), file));
  return ({ type, attachTo }) => {
    if (type !== ProgType.BPF_PROG_TYPE_EXT) return undefined;
    if (named) return named;
    const all = [...spec.programs.values()].map(targetOf);
    const having = all.filter((t) => attachTo !== undefined && functionCalled(t, attachTo) !== undefined);
    const fitting = having.length ? having : all;
    if (fitting.length === 1) return fitting[0]!;
    const names = fitting.map(({ program: { name } }) => name).join(", ") || "none";
    throw new UsageError(`--target-prog: which program of ${file}? write ${file}#NAME with one of ${names}`);
  };
}

/** CPU numbers to judge for. Beside the running kernel those are its own: it leaves out what would need more CPUs. */
/** The program as the options say that it would be loaded. */
function asAsked(original: ProgramSpec, type: number | undefined, { devBound, kernel }: VerifyOptions): ProgramSpec {
  const p = type === undefined ? original : { ...original, type };
  if (!devBound || p.type !== ProgType.BPF_PROG_TYPE_XDP) return p;
  if (kernel)
    throw new UsageError("--dev-bound: the kernel wants the device itself, which verify has not; leave out --kernel");
  return { ...p, flags: p.flags | BPF_F_XDP_DEV_BOUND_ONLY };
}

async function cpusOf({ cpus }: VerifyOptions, beside: boolean): Promise<number | undefined> {
  if (cpus === undefined) return beside ? (await import("@ebplane/linux")).cpuNumbersEnd() : undefined;
  const count = wholeNumber(cpus, "--cpus");
  if (count < 1 || count > MAX_CPUS) throw new UsageError(`--cpus: expected 1 to ${MAX_CPUS}, got ${cpus}`);
  return count;
}

/** An input that takes the refused path, and what happens on it. */
function inputText({ packet, ctx, entries, fault }: Witness): string {
  const fields = Object.entries(ctx).map(([name, value]) => `${name} ${value}`);
  const head = `  a packet that takes this path: ${packet.length} bytes, ${bytesText(packet)}`;
  const lines = [fields.length ? `${head}; ${fields.join(", ")}` : head];
  for (const { map, key, value } of entries) {
    lines.push(`    with an entry in map ${map}: key ${bytesText(key)}, value ${bytesText(value)}`);
  }
  if (fault) lines.push(`  run under guard it faults: ${fault}`);
  return lines.join("\n");
}

function bytesText(bytes: Uint8Array): string {
  if (bytes.length > 4 && bytes.every((b) => b === bytes[0])) return `all ${hexByte(bytes[0]!)}`;
  return `${[...bytes.subarray(0, 64)].map(hexByte).join(" ")}${bytes.length > 64 ? " …" : ""}`;
}

function hexByte(b: number): string {
  return b.toString(16).padStart(2, "0");
}

/** `source` is what the compiler makes of the place, for programs in TypeScript. */
function verdictText(p: ProgramSpec, report: VerifierReport, source: string | undefined): string {
  const head = `${p.name} (${p.section}): ${report.verdict}, ${report.processed} insns processed`;
  const lines = [head, ...reportText(report).map((line) => `  ${line}`)];
  if (source && !source.endsWith(report.message)) lines.push(`  ${source}`);
  if (report.log) lines.push(report.log.trimEnd());
  return lines.join("\n");
}
