/**
 * Every kind of program: a generated one that reads all fields of its context and writes all that may be written is
 * taken by our verifier and by the kernel, and what may not be written is refused by the compiler.
 */
import { compile } from "@ebplane/compiler";
import { CompileError, UnsupportedError } from "@ebplane/core/errors";
import { ProgType } from "@ebplane/core/object";
import { verify } from "@ebplane/core/verifier";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { type CtxMember, ctxMembers } from "../src/lower/ctx.ts";
import { PROGRAM_FORMS, type ProgramForm } from "../src/lower/programs.ts";
import { editorProblems } from "./editor.ts";

const skip = kernelSkipReason();

/** What is traced, where a name is asked for: it must exist in the kernel at hand. */
const TARGETS: Readonly<Record<string, string>> = {
  tracepoint: "syscalls/sys_enter_execve",
  rawTracepoint: "sched_switch",
  tpBtf: "sched_switch",
  iter: "bpf_map",
};
/** Results that the kernel demands of a type. */
const RESULTS: ReadonlyMap<number, number> = new Map([
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, 1],
  [ProgType.BPF_PROG_TYPE_NETFILTER, 1],
]);
/** Several arguments of what is traced are less wide than the kernel's 64 bits, or not there: one is read. */
const FEW = new Set(["tpBtf", "fentry", "fexit", "iter"]);

function reads(m: CtxMember): string[] {
  if (m.to) return m.nullable ? [`if (ctx.${m.name}) n += 1;`] : [`n += u32(ctx.${m.name} !== undefined);`];
  const t = m.type!;
  if (t.kind === "struct") return [`n += u32(ctx.${m.name}.ax);`];
  const one = (text: string, be: boolean) => `n += u32(${be ? `raw(${text})` : text});`;
  if (t.kind === "array" && t.element.kind === "int") {
    const { element } = t;
    return Array.from({ length: t.length }, (_, k) => one(`ctx.${m.name}[${k}]`, element.be));
  }
  return t.kind === "int" && m.read ? [one(`ctx.${m.name}`, t.be)] : [];
}

function writes(m: CtxMember): string {
  const t = m.type;
  if (t?.kind === "array" && t.element.kind === "int") {
    return `ctx.${m.name}[0] = ${t.element.be ? "be32(1)" : "1"};`;
  }
  if (t?.kind !== "int") return "";
  return `ctx.${m.name} = ${t.be ? `be${t.bits}(1)` : t.bits === 64 ? "1n" : "1"};`;
}

function source(name: string, form: ProgramForm, body: readonly string[]): string {
  const target = form.target ? `"${TARGETS[name] ?? "tcp_v4_connect"}", ` : "";
  const result = RESULTS.get(form.type) ?? 0;
  return [
    `import { array, be16, be32, raw, u32, ${name.split(".")[0]} } from "ebplane/bpf";`,
    "export const sink = array(u32, { maxEntries: 1 });",
    `export const main = ${name}(${target}(ctx) => {`,
    "let n: u32 = 0;",
    ...body,
    // What is read must be used, or it is not read.
    "const s = sink.lookup(0);",
    "if (s) s.value = n;",
    `return ${result};`,
    "});",
  ].join("\n");
}

function build(text: string) {
  return compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", text]]) }).spec;
}

test.each([...PROGRAM_FORMS])("%s reads and writes what its context allows", (name, form) => {
  const members = ctxMembers(form).filter((m) => !(FEW.has(name) && m.name === "args"));
  const body = [...members.flatMap(reads), ...members.filter((m) => m.write).map(writes)];
  const spec = build(source(name, form, body));
  const program = spec.programs.get("main")!;
  const report = verify(program, { maps: spec.maps, license: spec.license, btf: spec.btf });
  if (report.verdict !== "unsupported") expect(report.message).toBe("");
  if (skip) return;
  try {
    linuxTarget().load(spec).close();
  } catch (e) {
    // fentry and fexit: this kernel may be locked down.
    if (!(e instanceof UnsupportedError)) throw e;
    expect(["fentry", "fexit"]).toContain(name);
  }
});

test.each([...PROGRAM_FORMS])("%s cannot write what its context forbids", (name, form) => {
  for (const m of ctxMembers(form)) {
    if (m.write || !m.type || m.type.kind === "struct") continue;
    const text = source(name, form, [
      writes(m).replace(/\[0\] = 1;/, `[0] = ${m.name === "args" && form.target ? "1n" : "1"};`),
    ]);
    expect(() => build(text), m.name).toThrow(CompileError);
    expect(() => build(text), m.name).toThrow(/cannot be written|can only be read/);
  }
});

test("an editor takes what a context allows, and complains of what it forbids", () => {
  const files = new Map<string, string>();
  for (const [name, form] of PROGRAM_FORMS) {
    const members = ctxMembers(form);
    const forbidden = members.filter((m) => !m.write && m.type && m.type.kind !== "struct");
    const body = [
      ...members.flatMap(reads),
      ...members.filter((m) => m.write).map(writes),
      ...forbidden.map(
        (m) => `// @ts-expect-error\n${writes(m).replace(/\[0\] = 1;/, `[0] = ${m.name === "args" ? "1n" : "1"};`)}`,
      ),
      "// @ts-expect-error\nn += ctx.noSuchField;",
    ];
    files.set(`${name}.bpf.ts`, source(name, form, body));
  }
  expect(editorProblems(files)).toEqual([]);
});
