/**
 * Wrong programs, each a mistake that beginners or experts make, in C and TypeScript, and what is said of them. The
 * expected reports are in wrong/reports.txt (UPDATE=1 rewrites them, to be read before they are believed); the output shows
 * the kernel's message beside ours, and its verdict must be the same.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { readElf } from "@ebplane/core/elf";
import { VerifierError } from "@ebplane/core/errors";
import { type CollectionSpec, MapType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { reportText, type VerifierReport, verify } from "@ebplane/core/verifier";
import { findPacket } from "@ebplane/core/vm";
import { linuxTarget, summarizeLog } from "@ebplane/linux";
import { asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missingTool } from "../../packages/core/test/objects/tools.ts";

const DIR = fileURLToPath(new URL("wrong/", import.meta.url));
const REPORTS = join(DIR, "reports.txt");
/** Programs of the list whose path some packet takes, with entries in maps where they decide. */
const WITNESSES = 80;
const update = process.env.UPDATE === "1";
const noKernel = kernelSkipReason();
const noClang = missingTool("clang");

interface Wrong {
  readonly title: string;
  readonly source: string;
}

function cases(file: string): Wrong[] {
  const parts = readFileSync(join(DIR, file), "utf8").split(/^== /m).slice(1);
  return parts.map((part) => {
    const end = part.indexOf("\n");
    return { title: part.slice(0, end), source: part.slice(end + 1) };
  });
}

const ASM = cases("../../../packages/core/src/verifier/testdata/wrong.txt");
const HASH = { name: "hash", type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 16, maxEntries: 10, flags: 0 };
const C = cases("programs.txt");
const TS = cases("typescript.txt");
const expected = new Map(cases("reports.txt").map(({ title, source }) => [title, source.trim()]));
const seen: string[] = [];
const beside: string[] = [];
const witnesses: { title: string; rule: string; fault: string | undefined; type: number; entries: number }[] = [];

/** All C programs in one call of clang: a process each is what takes the time. */
function build(): Map<string, CollectionSpec> {
  const dir = mkdtempSync(join(tmpdir(), "ebplane-wrong-"));
  try {
    C.forEach(({ source }, i) => {
      writeFileSync(join(dir, `${i}.c`), source);
    });
    const include = `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
    const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", include, "-include", join(DIR, "head.h"), "-w", "-c"];
    const r = spawnSync("clang", [...flags, ...C.map((_, i) => `${i}.c`)], { cwd: dir, encoding: "utf8" });
    if (r.status !== 0) throw new Error(`clang: ${r.stderr}`);
    return new Map(C.map(({ title, source }, i) => [title, objectOf(readFileSync(join(dir, `${i}.o`)), source)]));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Only the maps that its program uses. */
function objectOf(bytes: Uint8Array, source: string): CollectionSpec {
  const spec = readElf(bytes);
  const license = /^\/\/ licence: (.*)$/m.exec(source)?.[1] ?? spec.license;
  return { ...spec, license };
}

function only(spec: CollectionSpec): ProgramSpec {
  const program = spec.programs.get("prog") ?? [...spec.programs.values()][0];
  if (!program) throw new Error("no program");
  return program;
}

function kernelSays(spec: CollectionSpec, program: ProgramSpec, rule: string): string {
  if (noKernel) return `not asked: ${noKernel}`;
  // It takes the kernel seconds, several times over, to say the same.
  if (rule === "complexity") return "not asked: it walks a million insns, too";
  try {
    linuxTarget()
      .load(spec, { programs: [program.name] })
      .close();
    return "accepted";
  } catch (e) {
    if (!(e instanceof VerifierError)) throw e;
    return summarizeLog(e.log).message;
  }
}

function check({ title }: Wrong, spec: CollectionSpec): void {
  const program = only(spec);
  const report = verify(program, { maps: spec.maps, license: spec.license, btf: spec.btf });
  expect(report.verdict, report.message).toBe("reject");
  const kernel = kernelSays(spec, program, report.rule!);
  expect(kernel, `we say: ${report.message}`).not.toBe("accepted");
  beside.push(`${title}\n    kernel  ${kernel}\n    ours    ${oneLine(report)}`);
  const text = reportText(report).map(steady).join("\n");
  seen.push(`== ${title}\n${text}\n`);
  if (!update) expect(text).toBe(expected.get(title));
  // A guarded run on it has gone the whole path: see vm/witness.
  const packet = findPacket(program, spec.maps, spec.license, report.trace);
  if (packet)
    witnesses.push({
      title,
      rule: report.rule!,
      fault: packet.fault,
      type: program.type,
      entries: packet.entries.length,
    });
  // What every report must have: the place, the rule, and what helps.
  expect(report.ruleText).toBeDefined();
  expect(report.fix).toBeTruthy();
}

function oneLine(report: VerifierReport): string {
  return `${report.line ? `line ${report.line.line}: ` : ""}${report.message}; ${report.fix ?? ""}`;
}

/** Without what differs between machines and days: the file's path, and how often a loop was gone through. */
function steady(line: string): string {
  return line.replace(/^\S*\/?\d+\.c:/, "prog.c:").replace(/this one \d+ times/, "this one many times");
}

afterAll(() => {
  if (beside.length) console.log(beside.join("\n"));
  if (update) writeFileSync(REPORTS, seen.join("\n"));
});

describe.skipIf(noClang)("in C", () => {
  let objects: ReadonlyMap<string, CollectionSpec> = new Map();
  beforeAll(() => {
    objects = build();
  }, 120_000);
  test.each(C)("$title", (wrong) => {
    check(wrong, objects.get(wrong.title)!);
  });
});

describe.skipIf(noClang)("packets that take the path", () => {
  test("are found for most programs that see packets, and those that read too far fault on them", () => {
    expect(witnesses.length).toBeGreaterThan(WITNESSES);
    expect(witnesses.filter(({ type }) => type === ProgType.BPF_PROG_TYPE_SCHED_CLS).length).toBeGreaterThan(10);
    expect(witnesses.filter(({ entries }) => entries > 0).length).toBeGreaterThan(5);
    const far = witnesses.filter(({ rule, fault }) => rule === "packet-bounds" && fault);
    // Where the check of this packet's bytes is not the one that is missing, the access stays inside.
    expect(far.length).toBeGreaterThan(7);
  });
});

describe("in assembly", () => {
  // Their explanations are checked beside the verifier; here the kernel is asked.
  test.each(ASM)("$title", ({ title, source }) => {
    const [text = ""] = source.replace("-- asm\n", "").split("\n-- ");
    const program = asmProgram("prog", ProgType.BPF_PROG_TYPE_XDP, text);
    const spec = collectionOf([program], [HASH]);
    const report = verify(program, { maps: spec.maps, license: "GPL" });
    expect(report.verdict).toBe("reject");
    const kernel = kernelSays(spec, program, report.rule!);
    expect(kernel).not.toBe("accepted");
    beside.push(`${title}\n    kernel  ${kernel}\n    ours    ${oneLine(report)}`);
  });
});

describe("in TypeScript", () => {
  test.each(TS)("$title", (wrong) => {
    const { spec } = compile({ entry: "prog.bpf.ts", files: new Map([["prog.bpf.ts", wrong.source]]) });
    check(wrong, spec);
  });
});
