/** What both notations are made of: statements, registers, numbers, jump targets. */
import * as isa from "../isa/index.ts";
import type { Cursor, Token } from "./lex.ts";

/** A name that an instruction refers to, and which field the resolved value goes into. */
export type Ref =
  /** Jump or local call: distance in slots to a label, into `off` or `imm`. */
  | { readonly kind: "label"; readonly name: string; readonly field: "off" | "imm"; readonly token: Token }
  | { readonly kind: "map"; readonly name: string; readonly offset?: number }
  | { readonly kind: "kfunc" | "ksym"; readonly name: string; readonly weak: boolean };

export interface Statement {
  readonly insn: isa.InsnInit;
  readonly ref?: Ref;
}

export interface Register {
  readonly number: number;
  /** r0 is 64 bits wide, w0 its low half. */
  readonly wide: boolean;
}

export function isRegister(text: string): boolean {
  return /^[rw](?:\d|10|11)$/.test(text) || text === "fp";
}

/** r0-r10 or w0-w10 (r11 too: conformance data names it, and every engine must refuse it). */
export function register(c: Cursor): Register {
  const token = c.next();
  if (token.kind !== "name" || !isRegister(token.text)) c.fail("expected a register r0-r10 or w0-w10", token);
  if (token.text === "fp") return { number: isa.BPF_REG_FP, wide: true };
  return { number: Number(token.text.slice(1)), wide: token.text[0] === "r" };
}

/** A number with any signs in front (`+ -4`, `- 0x4`). */
export function signedNumber(c: Cursor): bigint {
  let negative = false;
  for (;;) {
    if (c.take("-")) negative = !negative;
    else if (!c.take("+")) break;
  }
  const token = c.next();
  if (token.kind !== "number") c.fail("expected a number", token);
  const value = BigInt(token.text);
  return negative ? -value : value;
}

export function ranged(c: Cursor, min: bigint, max: bigint, what: string): number {
  const token = c.peek();
  const value = signedNumber(c);
  if (value < min || value > max) c.fail(`expected ${what}`, { ...token, text: String(value), kind: "number" });
  return Number(value);
}

/** A 32-bit field, written signed or unsigned; the result is signed. */
export function int32(c: Cursor): number {
  return ranged(c, -0x80000000n, 0xffffffffn, "a number of 32 bits") | 0;
}

export function int16(c: Cursor): number {
  return ranged(c, -0x8000n, 0x7fffn, "a number from -32768 to 32767");
}

export function unsigned16(c: Cursor): number {
  return ranged(c, 0n, 0xffffn, "a number from 0 to 65535");
}

/** A jump's target: `pc+3`, `+3` or a label. */
export function jump(c: Cursor, insn: isa.InsnInit, field: "off" | "imm"): Statement {
  const token = c.peek();
  if (token.text === "pc" && (c.peek(1).text === "+" || c.peek(1).text === "-")) c.next();
  else if (token.kind === "name") {
    c.next();
    return { insn, ref: { kind: "label", name: token.text, field, token } };
  } else if (token.text !== "+" && token.text !== "-") c.fail("expected a label or a distance with its sign");
  return { insn: { ...insn, [field]: field === "off" ? int16(c) : int32(c) } };
}
