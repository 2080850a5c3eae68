/**
 * The declarations that follow from tables: contexts, kinds of programs, helpers. `lib/tables.d.ts` is their text; a test
 * holds the two together, `UPDATE=1` writes it.
 */
import { ctxLayout, type Kfunc, progTypeName } from "@ebplane/core/object";
import { type MemType, type StructType, typeName } from "../src/check/index.ts";
import { type CtxMember, ctxMembers, PT_REGS } from "../src/lower/ctx.ts";
import { type HelperForm, helperForms, isSize } from "../src/lower/helpers.ts";
import { FLOW_KEYS, SOCKET, TCP_SOCKET } from "../src/lower/kernel.ts";
import { kfuncForms } from "../src/lower/kfuncs.ts";
import { PROGRAM_FORMS, type ProgramForm, packetFields } from "../src/lower/programs.ts";

/** The type as TypeScript has it. */
function spell(t: MemType): string {
  if (t.kind === "array") return `ArrayOf<${spell(t.element)}>`;
  return t.kind === "bool" ? "boolean" : typeName(t);
}

function member(m: CtxMember): string {
  if (m.to) return `  readonly ${m.name}: Readonly<${m.to.name}>${m.nullable ? " | undefined" : ""};`;
  const plain = m.type!.kind === "int";
  const type = plain || m.write ? spell(m.type!) : `Readonly<${spell(m.type!)}>`;
  return `  ${m.write && plain ? "" : "readonly "}${m.name}: ${type};`;
}

function structText(t: StructType, doc: string): string[] {
  const fields = [...t.fields.values()].map((f) => `  ${f.name}: ${spell(f.type)};`);
  return [
    `/** ${doc} */`,
    `export interface ${t.name} {`,
    ...fields,
    "}",
    `export declare const ${t.name}: Type<${t.name}>;`,
  ];
}

function contextText(name: string, forms: readonly (readonly [string, ProgramForm])[]): string[] {
  const form = forms[0]![1];
  const members = ctxMembers(form);
  for (const [other, f] of forms) {
    if (JSON.stringify(ctxMembers(f)) !== JSON.stringify(members))
      throw new Error(`${other}: its context is no ${name}`);
  }
  const struct = ctxLayout(form.type, form.attachType)?.struct;
  const called = forms.map(([n]) => n).join(", ");
  const lines = members.map(member);
  const bases = [
    "AnyContext",
    ...(packetFields(form) ? ["PacketContext"] : []),
    ...(form.target ? ["TracedContext"] : []),
  ];
  return [
    `/** ${struct ? `\`struct ${struct}\`, of ` : "Of "}${called}. */`,
    `export interface ${name} extends ${bases.join(", ")} {`,
    ...lines,
    "}",
  ];
}

function signature(form: ProgramForm): string {
  const options = form.frags ? "XdpOptions" : "ProgramOptions";
  const target = form.target ? "target: string, " : "";
  return `(${target}run: (ctx: ${form.context}) => number, options?: ${options}): Program<${form.context}>`;
}

function programText(): string[] {
  const out: string[] = [];
  const byBase = new Map<string, (readonly [string, ProgramForm])[]>();
  for (const [name, form] of PROGRAM_FORMS) {
    const [base, method = ""] = name.split(".");
    byBase.set(base!, [...(byBase.get(base!) ?? []), [method, form]]);
  }
  for (const [base, list] of byBase) {
    const type = progTypeName(list[0]![1].type);
    out.push(`/** Programs of type ${type}; sections ${list.map(([, f]) => `\`${f.section}\``).join(", ")}. */`);
    out.push(`export declare const ${base}: {`);
    for (const [method, form] of list) out.push(`  ${method}${signature(form)};`);
    out.push("};");
  }
  return out;
}

const RESULT: Readonly<Record<string, string>> = {
  void: "void",
  socket: "Readonly<Socket>",
  sockCommon: "Readonly<Socket>",
  tcpSock: "Readonly<TcpSocket>",
  value: "RefTo<V>",
};

function helperText(name: string, form: HelperForm): string[] {
  const { helper } = form;
  const generic = helper.result.kind === "value" || helper.args.some((a) => a.kind === "key" || a.kind === "value");
  const params: string[] = [];
  const last = helper.args.length - 1;
  for (const [k, a] of helper.args.entries()) {
    if (isSize(a)) continue;
    const n = form.names[k]!;
    const optional = a.kind === "any" && k > 0 && k === last ? "?" : "";
    const sized = helper.args[k + 1] !== undefined && isSize(helper.args[k + 1]!);
    const orNull = a.orNull ? " | undefined" : "";
    const type = {
      ctx: `AnyContext${orNull}`,
      map: generic ? "MapOf<K, V>" : "AnyMap",
      key: "K",
      value: `V${orNull}`,
      sock: `Readonly<Socket> | Readonly<TcpSocket>${orNull}`,
      sockCommon: "Readonly<Socket> | Readonly<TcpSocket>",
      mem: `${sized ? "Memory" : "object"}${orNull}`,
    }[a.kind as string];
    params.push(`${n}${optional}: ${type ?? numberText(form, k)}`);
  }
  const { kind, orNull } = helper.result;
  const result = kind === "int" ? spell(form.result) : `${RESULT[kind]}${orNull ? " | undefined" : ""}`;
  const notes = [
    helper.gplOnly ? "GPL only" : "",
    helper.changesPacket ? "the packet may move: take headers again" : "",
    helper.progTypes ? [...helper.progTypes].map(progTypeName).join(" ") : "",
  ].filter(Boolean);
  return [
    `/** \`bpf_${helper.name}\`, since ${helper.since}${notes.map((n) => `; ${n}`).join("")}. */`,
    `export declare function ${name}${generic ? "<K, V>" : ""}(${params.join(", ")}): ${result};`,
  ];
}

function kfuncText(name: string, kfunc: Kfunc): string[] {
  const params = kfunc.args.flatMap((a, k) => {
    if (a.kind === "size" || a.kind === "constantSize") return [];
    const type = a.kind === "ctx" ? "AnyContext" : a.kind === "mem" ? "object" : "number | bigint";
    return [`${a.kind === "ctx" ? "ctx" : `arg${k + 1}`}: ${type}`];
  });
  const types = kfunc.progTypes ? `; ${[...kfunc.progTypes].map(progTypeName).join(" ")}` : "";
  return [
    `/** \`${kfunc.name}\`, a kernel function since ${kfunc.since}; GPL only${types}. */`,
    `export declare function ${name}(${params.join(", ")}): ${kfunc.result.kind === "void" ? "void" : "i32"};`,
  ];
}

function numberText(form: HelperForm, k: number): string {
  const t = form.types[k]!;
  if (t.be) return spell(t);
  return t.bits === 64 ? "number | bigint" : "number";
}

export function tableDeclarations(): string {
  const contexts = new Map<string, (readonly [string, ProgramForm])[]>();
  for (const row of PROGRAM_FORMS) contexts.set(row[1].context, [...(contexts.get(row[1].context) ?? []), row]);
  const lines = [
    "/**",
    " * Contexts, kinds of programs and helpers, as core's tables have them. Made by `test/declarations.ts`",
    " * (`UPDATE=1 npx vitest run packages/compiler/test/declarations.test.ts`); do not edit.",
    " */",
    'import type { AnyMap, ArrayOf, be16, be32, i32, i64, MapOf, Memory, PacketContext, Program, ProgramOptions, RefTo, TracedContext, Type, u8, u16, u32, u64, XdpOptions } from "./bpf.js";',
    "",
    "declare const kind: unique symbol;",
    "/** The context of some kind of program. */",
    "export interface AnyContext {",
    "  readonly [kind]?: string;",
    "}",
    ...structText(
      SOCKET,
      "A full socket: `struct bpf_sock`. Which fields a program may read depends on where it has it from.",
    ),
    ...structText(TCP_SOCKET, "`struct bpf_tcp_sock`."),
    ...structText(FLOW_KEYS, "`struct bpf_flow_keys`: what a flow dissector fills."),
    ...structText(
      PT_REGS,
      "`struct pt_regs` of x86-64: arguments are in di, si, dx, cx, r8, r9; a function's result in ax.",
    ),
    ...[...contexts].flatMap(([name, forms]) => contextText(name, forms)),
    ...programText(),
    ...[...helperForms()].flatMap(([name, form]) => helperText(name, form)),
    ...[...kfuncForms()].flatMap(([name, kfunc]) => kfuncText(name, kfunc)),
    "",
  ];
  return lines.join("\n");
}
