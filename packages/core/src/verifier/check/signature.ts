/**
 * What BTF says of the program's functions: whether one is global, what it takes and whether it returns a number. The
 * kernel trusts this for global functions, which it verifies once for all callers, and asks it of functions that are
 * called back, tail call, or hold legacy packet loads. Faults of a global function are kept until it is called.
 *
 * Source: kernel/bpf/btf.c `btf_prepare_func_args`; kernel/bpf/verifier.c `check_btf_func`, `check_abnormal_return`.
 */
import { type Btf, essentialName, resolve, sizeOf } from "../../btf/index.ts";
import { BtfError } from "../../errors/index.ts";
import { BPF_ABS, BPF_IND, BPF_LD, CLASS_MASK, type Insn, MODE_MASK, OP_CALL, OP_LDDW } from "../../isa/index.ts";
import { helperByName, type ProgramSpec } from "../../object/index.ts";
import type { Program } from "../cfg/program.ts";
import { Refusal } from "../context.ts";

/** What a caller must pass. `mem`: `size` bytes that may be read and written. */
export type Param =
  | { readonly kind: "scalar" | "ctx" | "dynptr" | "arena" }
  /** A kernel struct by name, known to be alive, or one that may only be read through. */
  | { readonly kind: "object"; readonly struct: string; readonly trusted: boolean; readonly orNull: boolean }
  | { readonly kind: "mem"; readonly size: number; readonly nonNull: boolean };

export interface Signature {
  readonly name: string;
  readonly global: boolean;
  readonly returnsNumber: boolean;
  /** Empty for static functions, which are walked with their callers' values. */
  readonly params: readonly Param[];
  /** Why a global function cannot be called. */
  readonly problem: { readonly verdict: "reject" | "unsupported"; readonly message: string } | undefined;
}

/**
 * By first pc. `ctxStruct`: the struct that the program type's ctx is declared as. `entry`: also what the program itself
 * takes, which counts for one that replaces a function. `tagged`: the kernel reads the tags of parameters (since 6.8).
 */
export function signatures(
  program: ProgramSpec,
  btf: Btf | undefined,
  ctxStruct: string | undefined,
  entry = false,
  tagged = true,
): ReadonlyMap<number, Signature> {
  const found = new Map<number, Signature>();
  for (const { pc, typeId } of program.funcInfo) {
    const func = btf && typeId < btf.length ? btf.type(typeId) : undefined;
    if (!btf || func?.kind !== "func") continue;
    const proto = btf.type(func.type);
    if (proto.kind !== "funcProto") continue;
    const returnsNumber = isNumber(btf, proto.ret);
    const { name } = func;
    const global = pc !== 0 && func.linkage === "global";
    const params: Param[] = [];
    let problem: Signature["problem"];
    if (global || (entry && pc === 0)) {
      if (!returnsNumber) problem = refused(`global function ${name} returns no number: only numbers are supported`);
      if (proto.params.length > 5) problem = refused(`global function ${name} has ${proto.params.length} parameters`);
      for (let i = 0; i < proto.params.length && !problem; i++) {
        const param = paramOf(btf, proto.params[i]!.type, tagged ? tagsOf(btf, typeId, i) : NO_TAGS, ctxStruct);
        if (typeof param === "string") problem = refused(`parameter ${i + 1} of global function ${name} ${param}`);
        else params.push(param);
      }
    }
    found.set(pc, { name, global, returnsNumber, params, problem });
  }
  return found;
}

const NO_TAGS: ReadonlySet<string> = new Set();

function refused(message: string): Signature["problem"] {
  return { verdict: "reject", message };
}

function isNumber(btf: Btf, id: number): boolean {
  const { kind } = btf.type(resolve(btf, id));
  return kind === "int" || kind === "enum" || kind === "enum64";
}

/** The words of `arg:` declaration tags on parameter `index`. */
function tagsOf(btf: Btf, func: number, index: number): ReadonlySet<string> {
  const tags = new Set<string>();
  for (let id = 1; id < btf.length; id++) {
    const tag = btf.type(id);
    if (tag.kind === "declTag" && tag.type === func && tag.component === index && tag.name.startsWith("arg:")) {
      tags.add(tag.name.slice(4));
    }
  }
  return tags;
}

/** A string says what is wrong. */
function paramOf(btf: Btf, id: number, tags: ReadonlySet<string>, ctxStruct: string | undefined): Param | string {
  const type = btf.type(resolve(btf, id));
  if (type.kind !== "ptr") {
    if (tags.size) return "is tagged as a pointer and is none";
    return isNumber(btf, id) ? { kind: "scalar" } : "is neither a number nor a pointer";
  }
  if (tags.has("arena")) return tags.size > 1 ? "has tags that do not go together" : { kind: "arena" };
  const target = btf.type(resolve(btf, type.type));
  if (tags.has("trusted") || (tags.has("untrusted") && (target.kind === "struct" || target.kind === "fwd"))) {
    const orNull = tags.has("nullable");
    const others = tags.size - Number(orNull) - Number(tags.has("nonnull"));
    if (others > 1) return "has tags that do not go together";
    if (target.kind !== "struct" && target.kind !== "fwd") return "is tagged trusted and points to no struct";
    return { kind: "object", struct: essentialName(target.name), trusted: tags.has("trusted"), orNull };
  }
  if (tags.has("nullable")) return "is tagged nullable and not trusted";
  if (registersOf(btf, type.type) && (ctxStruct === "pt_regs" || ctxStruct === "bpf_perf_event_data"))
    return { kind: "ctx" };
  const named = target.kind === "struct" || target.kind === "fwd" ? target.name : "";
  if (tags.has("ctx") || (ctxStruct !== undefined && named === ctxStruct)) {
    return tags.size > Number(tags.has("ctx")) ? "has tags that do not go together" : { kind: "ctx" };
  }
  if (named === "bpf_dynptr" || named === "bpf_dynptr_kern") {
    return tags.size ? "has tags that do not go together" : { kind: "dynptr" };
  }
  if (tags.size > Number(tags.has("nonnull"))) return "has tags that do not go together";
  if (target.kind === "void" || target.kind === "funcProto") return "points to a type without a size";
  try {
    return { kind: "mem", size: sizeOf(btf, type.type), nonNull: tags.has("nonnull") };
  } catch (error) {
    if (!(error instanceof BtfError)) throw error;
    return "points to a type without a size";
  }
}

/** The registers of a probed function, by the name that is the same on every machine. */
function registersOf(btf: Btf, id: number): boolean {
  let type = btf.type(id);
  while (type.kind === "const" || type.kind === "volatile" || type.kind === "typeTag") type = btf.type(type.type);
  return (type.kind === "typedef" || type.kind === "struct") && type.name === "bpf_user_pt_regs_t";
}

/** It takes the exception's value and nothing else, and gives the program's result; throws Refusal. */
export function checkExceptionCallback(start: number, known: ReadonlyMap<number, Signature>): void {
  const found = known.get(start);
  const refuse = (message: string): never => {
    throw new Refusal("reject", "exception", message, start, undefined, "declare it as int NAME(u64 cookie)");
  };
  if (!found) refuse("BTF does not say what the exception callback takes");
  else if (found.problem) refuse(found.problem.message);
  else if (found.params.length !== 1 || found.params[0]!.kind !== "scalar")
    refuse(`exception callback ${found.name} must take one number`);
}

const TAIL_CALL = helperByName("bpf_tail_call");

/**
 * Functions that may end at once (a tail call, a legacy packet load outside the packet) must be known to return a
 * number; throws Refusal.
 */
export function checkEarlyEnds(program: Program, known: ReadonlyMap<number, Signature>): void {
  for (const insn of program.insns) {
    if (!insn) continue;
    const start = program.subprogOf[insn.pc]!;
    const what = earlyEnd(insn);
    if (!what || start === 0 || known.get(start)?.returnsNumber) continue;
    const message = `${what} needs a function that BTF says returns a number`;
    throw new Refusal("reject", "return-type", message, insn.pc, undefined, "let the function return int");
  }
}

function earlyEnd(insn: Insn): string | undefined {
  if (insn.opcode === OP_CALL && insn.src === 0 && insn.imm === TAIL_CALL) return "a tail call";
  if ((insn.opcode & CLASS_MASK) !== BPF_LD || insn.opcode === OP_LDDW) return undefined;
  const mode = insn.opcode & MODE_MASK;
  return mode === BPF_ABS || mode === BPF_IND ? "a legacy packet load" : undefined;
}
