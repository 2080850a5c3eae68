/**
 * The declarations that follow from tables: contexts, kinds of programs, helpers. `lib/tables.d.ts` is their text; a test
 * holds the two together, `UPDATE=1` writes it.
 */
import { ctxLayout, progTypeName } from "@ebplane/core/object";
import { type MemType, type StructType, typeName } from "../src/check/index.ts";
import { CASTS, type CtxMember, ctxMembers, PT_REGS } from "../src/lower/ctx.ts";
import { SOCKETS } from "../src/lower/handles.ts";
import { type HelperForm, helperForms, isFilledIn, isSize } from "../src/lower/helpers.ts";
import { FLOW_KEYS, SOCKET, TCP_SOCKET } from "../src/lower/kernel.ts";
import { TRACED } from "../src/lower/kernelstruct.ts";
import { isFilledIn as isKfuncFilledIn, type KfuncForm, kfuncForms } from "../src/lower/kfuncs.ts";
import { PROGRAM_FORMS, type ProgramForm, packetFields } from "../src/lower/programs.ts";

/** The type as TypeScript has it. */
function spell(t: MemType): string {
  if (t.kind === "array") return `ArrayOf<${spell(t.element)}>`;
  return t.kind === "bool" ? "boolean" : typeName(t);
}

function member(m: CtxMember): string {
  if (m.to?.kernel) return `  readonly ${m.name}: KernelStruct<"${m.to.kernel}">;`;
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
    ...(CASTS.has(form.type) ? ["TracedContext"] : []),
    ...(TRACED.has(form.type) ? ["ArgumentsContext"] : []),
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
  dynptrMem: "RefTo<T>",
};

function helperText(name: string, form: HelperForm): string[] {
  const { helper } = form;
  const typed = helper.result.kind === "dynptrMem";
  const made = helper.args.some((a) => a.kind === "dynptr" && a.access === "uninit");
  const generic = helper.result.kind === "value" || helper.args.some((a) => a.kind === "key" || a.kind === "value");
  const params: string[] = [];
  for (const [k, a] of helper.args.entries()) {
    if (isFilledIn(a)) continue;
    const n = form.names[k]!;
    const optional = a.kind === "any" && k > 0 && helper.args.slice(k + 1).every(isFilledIn) ? "?" : "";
    const sized = helper.args[k + 1] !== undefined && isSize(helper.args[k + 1]!);
    const orNull = a.orNull ? " | undefined" : "";
    const type = {
      ctx: `AnyContext${orNull}`,
      map: generic ? "MapOf<K, V>" : "AnyMap",
      key: "K",
      value: `V${orNull}`,
      sock: `Readonly<Socket> | Readonly<TcpSocket>${orNull}`,
      sockCommon: "Readonly<Socket> | Readonly<TcpSocket>",
      btf: `${kernelText(a.of)}${orNull}`,
      dynptr: "Dynptr",
      allocSize: "Type<T>",
      str: "string",
      mem: `${sized ? "Memory" : "object"}${orNull}`,
    }[a.kind as string];
    params.push(`${n}${optional}: ${type ?? numberText(form, k)}`);
  }
  const { kind, orNull } = helper.result;
  const given = kind === "btf" ? `KernelStruct<${JSON.stringify(helper.result.of)}>` : RESULT[kind];
  const result = made ? "Dynptr" : kind === "int" ? spell(form.result) : `${given}${orNull ? " | undefined" : ""}`;
  const notes = [
    helper.gplOnly ? "GPL only" : "",
    helper.changesPacket ? "the packet may move: take headers again" : "",
    helper.progTypes ? [...helper.progTypes].map(progTypeName).join(" ") : "",
  ].filter(Boolean);
  return [
    `/** \`bpf_${helper.name}\`, since ${helper.since}${notes.map((n) => `; ${n}`).join("")}. */`,
    `export declare function ${name}${generic ? "<K, V>" : typed ? "<T>" : ""}(${params.join(", ")}): ${result};`,
  ];
}

/** What a struct of the kernel's is taken as: sockets in any of their forms. */
function kernelText(of: string): string {
  return SOCKETS.test(of) ? "AnySocket" : `KernelStruct<${JSON.stringify(of)}>`;
}

/** What a kernel function gives, and the type parameter that it has for that. */
function kfuncResult({ kfunc, result }: KfuncForm): { generic: string; text: string } {
  const orNull = kfunc.result.orNull ? " | undefined" : "";
  const plain = (text: string) => ({ generic: "", text });
  if (kfunc.args.some((a) => a.uninit)) return plain("Dynptr");
  switch (kfunc.result.kind) {
    case "void":
      return plain("void");
    case "btf":
      return plain(`KernelStruct<${JSON.stringify(kfunc.result.of)}>${orNull}`);
    case "kernCtx":
      return { generic: "<N extends string>", text: "KernelStruct<N>" };
    case "cast":
      return { generic: "<T extends object>", text: "T" };
    case "mem": {
      const ref = kfunc.result.writable ? "RefTo<T>" : "Readonly<RefTo<T>>";
      return { generic: "<T>", text: `${ref}${orNull}` };
    }
    default:
      return plain(spell(result));
  }
}

function kfuncText(name: string, form: KfuncForm): string[] {
  const { kfunc } = form;
  const { generic, text } = kfuncResult(form);
  const params = kfunc.args.flatMap((a, k) => {
    if (isKfuncFilledIn(kfunc, k)) return [];
    const n = form.names[k]!;
    const orNull = a.orNull ? " | undefined" : "";
    if (n === "type" || (kfunc.result.kind === "cast" && a.kind === "constant")) return ["type: Type<T>"];
    const t = form.types[k];
    const type = {
      ctx: /^bpf_dynptr_from_(skb|xdp)$/.test(kfunc.name)
        ? `AnyContext | KernelStruct<"${kfunc.name.endsWith("skb") ? "sk_buff" : "xdp_buff"}">`
        : "AnyContext",
      mem: `object${orNull}`,
      dynptr: `Dynptr${orNull}`,
      btf: `${kernelText(a.of)}${orNull}`,
      str: "string",
      unchecked: kfunc.name.startsWith("bpf_str") ? "string | object" : "bigint | object",
    }[a.kind as string];
    return [`${n}${n === "flags" ? "?" : ""}: ${type ?? (t?.bits === 64 ? "number | bigint" : "number")}`];
  });
  const types = kfunc.progTypes ? `; ${[...kfunc.progTypes].map(progTypeName).join(" ")}` : "";
  return [
    `/** \`${kfunc.name}\`, a kernel function since ${kfunc.since}; GPL only${types}. */`,
    `export declare function ${name}${generic}(${params.join(", ")}): ${text};`,
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
    'import type { AnyMap, AnySocket, ArgumentsContext, ArrayOf, be16, be32, Dynptr, i32, i64, KernelStruct, MapOf, Memory, PacketContext, Program, ProgramOptions, RefTo, TracedContext, Type, u8, u16, u32, u64, XdpOptions } from "./bpf.js";',
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
