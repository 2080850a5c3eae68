/**
 * `asm(type, text, operands)`: assembly in the middle of a program. The registers are a call's: the operands come in
 * r1, r2 …, what r0 holds at the end is the result; which others it changes is seen from its instructions.
 */
import { assemble } from "@ebplane/core/asm";
import { AsmError } from "@ebplane/core/errors";
import { decode } from "@ebplane/core/isa";
import { type MemType, type ScalarType, sizeOf } from "../check/index.ts";
import { type AsmInsn, BSS, constant, DATA, type Insn, RODATA } from "../ir/index.ts";
import { type Expr, PLACE_FILE } from "../parse/index.ts";
import type { CallNode } from "./arguments.ts";
import { checkAsm, type Operand } from "./asmcheck.ts";
import { type Context, refuse } from "./context.ts";
import { describe, narrowTo, pointer } from "./convert.ts";
import { requireWritable } from "./data.ts";
import { moduleOf } from "./scope.ts";
import type { RefVal, Val } from "./values.ts";

/** As many registers as a call has for arguments. */
const MAX_OPERANDS = 5;
/** Jumps of the program must still reach over it. */
const MAX_INSNS = 1024;

export function inlineAsm(cx: Context, call: CallNode): Val {
  if (!cx.program) return refuse(cx, call.at, "asm can only be used in a program");
  const args = [...call.args];
  const head = args[0] ? cx.expr(args[0]) : undefined;
  let type: ScalarType | undefined;
  if (head?.k === "type") type = resultType(cx, head.type, args.shift()!.at);
  const e = args.shift();
  const text = e ? cx.expr(e) : undefined;
  if (!e || text?.k !== "string") {
    return refuse(cx, e?.at ?? call.at, 'asm: expected the text in quotes: asm(u64, "r0 = r1", [x])');
  }
  const list = args.shift();
  if (args.length) refuse(cx, args[0]!.at, "asm takes a type, a text and the operands in brackets");
  if (list && list.kind !== "array") return refuse(cx, list.at, "asm: expected the operands in brackets: [a, b]");
  const items = list?.items ?? [];
  if (items.length > MAX_OPERANDS) refuse(cx, items[MAX_OPERANDS]!.at, `asm has up to ${MAX_OPERANDS} operands`);
  const operands: Operand[] = [];
  const values: { readonly v: Val; readonly insn: Insn }[] = [];
  for (const item of items) {
    const v = cx.expr(item);
    values.push({ v, insn: operandValue(cx, v, item.at) });
    operands.push(operandMemory(v, item));
  }
  const insns = assembled(cx, e, text.value);
  const { clobbers, stored, unknown } = checkAsm(cx, insns, operands, type !== undefined);
  for (const { operand, at } of stored) {
    const { v } = values[operand]!;
    if (v.k === "ref") requireWritable(cx, v.region, at);
  }
  const context = unknown || stored.some((s) => values[s.operand]!.v.k === "ctx");
  const any = unknown || stored.length > 0;
  cx.b.at = call.at;
  const r = cx.b.asm(
    { insns, clobbers, gives: type !== undefined },
    values.map((x) => x.insn),
    { packet: context, map: any, writes: any ? stored.map((s) => s.operand).concat(0) : [] },
  );
  return type ? { k: "int", type, v: result(cx, type, r) } : { k: "void" };
}

function resultType(cx: Context, type: MemType, at: number): ScalarType {
  if (type.kind === "int" || type.kind === "bool") return type;
  return refuse(cx, at, "asm gives a number or a boolean: write what is larger into an operand");
}

/** r0 cut to the type, as the invariants of the intermediate form want it. */
function result(cx: Context, type: ScalarType, r: Insn): Insn {
  if (type.kind === "bool") return cx.b.cmp("ne", 64, r, constant(0n));
  return type.bits === 64 ? r : narrowTo(cx, cx.b.zext(32, r), type);
}

/** What the operand's register holds: a number as wide as the register, or an address. */
function operandValue(cx: Context, v: Val, at: number): Insn {
  if (v.k === "lit") return constant(BigInt.asUintN(64, v.value));
  if (v.k === "ctx" && cx.ctx) return cx.ctx;
  if (v.k === "ref" && !v.nullable) return pointer(cx, v);
  if (v.k === "int") {
    const signed = v.type.kind === "int" && v.type.signed && v.type.bits < 64;
    return signed ? cx.b.sext(32, 64, v.v) : v.v;
  }
  const how = v.k === "opt" || v.k === "ref" ? ": test it first" : "";
  return refuse(cx, at, `asm: expected a number, a struct, an array or ctx, got ${describe(v)}${how}`);
}

function operandMemory(v: Val, e: Expr): Operand {
  const name = e.kind === "name" ? e.name : "the operand";
  if (v.k === "ctx") return { kind: "moving", name };
  if (v.k !== "ref") return { kind: "number", name };
  return isOwn(v) ? { kind: "object", name, size: sizeOf(v.type) } : { kind: "moving", name };
}

/** Memory that has the program's other variables beside it: the verifier does not know where one of them ends. */
function isOwn({ region }: RefVal): boolean {
  if (region.kind === "map") return region.name === RODATA || region.name === DATA || region.name === BSS;
  return region.kind === "stack" || region.kind === "any";
}

/** The text as instructions, each with its place. A statement ends with its line or with `;`. */
function assembled(cx: Context, e: Expr, text: string): AsmInsn[] {
  const lines = text.split("\n").map((line) => {
    const code = line.slice(0, /^\s*#|\s#|\/\/|$/.exec(line)!.index);
    return code.replaceAll(";", "\n") + line.slice(code.length);
  });
  const source = lines.join("\n");
  const starts = [0];
  for (let k = 0; k < source.length; k++) if (source[k] === "\n") starts.push(k + 1);
  const place = placeIn(cx, e, text);
  const at = (line: number, col: number) => place(starts[line - 1]! + col - 1);
  try {
    const { code, relocs, lineInfo } = assemble(source);
    const where = (pc: number) => {
      const i = lineInfo.findLast((l) => l.pc <= pc)!;
      return at(i.line, i.col);
    };
    if (relocs[0]) refuse(cx, where(relocs[0].pc), "asm: maps and functions are reached from the language only");
    const insns = decode(code).map((i) => ({ ...i, at: where(i.pc) }));
    if (!insns.length) refuse(cx, e.at, "asm: there is no instruction");
    if (insns.length > MAX_INSNS) refuse(cx, e.at, `asm has up to ${MAX_INSNS} instructions, got ${insns.length}`);
    return insns;
  } catch (error) {
    if (!(error instanceof AsmError)) throw error;
    const message = error.message.replace(/^\d+:\d+: /, "");
    return refuse(cx, at(error.line, error.col), `asm: ${message}`);
  }
}

/** The place in the source of a character of the text: where the text is written out, its own; else the argument's. */
function placeIn(cx: Context, e: Expr, text: string): (offset: number) => number {
  const { source } = moduleOf(cx.scope).node;
  if (e.kind !== "string" || source.index !== Math.floor(e.at / PLACE_FILE)) return () => e.at;
  const offsets: number[] = [];
  const first = e.at % PLACE_FILE;
  let at = first + 1;
  while (offsets.length <= text.length) {
    offsets.push(at);
    const escaped = source.text[at] === "\\" ? source.text[at + 1] : undefined;
    at += escaped === undefined ? 1 : escaped === "x" ? 4 : escaped === "u" ? 6 : 2;
  }
  // Escapes of other lengths: the text does not end where its quotes do.
  return source.text[offsets.at(-1)!] === source.text[first] ? (k) => e.at - first + offsets[k]! : () => e.at;
}
