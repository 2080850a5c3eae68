import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { BtfBuilder, type BtfFunc } from "../btf/index.ts";
import { ProgType } from "../object/index.ts";
import { type VerifierReport, verify } from "./index.ts";

interface Described {
  readonly linkage?: BtfFunc["linkage"];
  readonly ret?: "int" | "void";
  readonly params?: readonly ("int" | "ctx" | "pair" | "nonnull pair" | "void *")[];
}

/** Verifies a tc program whose function at the label `f`, which is its last `lines` lines, BTF describes so. */
function check(body: string, f: string, { linkage = "global", ret = "int", params = [] }: Described): VerifierReport {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, { encoding: "signed" });
  const types = {
    int,
    ctx: builder.ptr(builder.struct("__sk_buff", 192, [])),
    pair: builder.ptr(builder.struct("pair", 8, [{ name: "a", type: int, bitOffset: 0 }])),
    "void *": builder.ptr(0),
  };
  const proto = builder.funcProto(
    ret === "int" ? int : 0,
    params.map((name, i) => ({ name: `p${i}`, type: types[name === "nonnull pair" ? "pair" : name] })),
  );
  const typeId = builder.func("f", proto, linkage);
  params.forEach((name, i) => {
    if (name === "nonnull pair") builder.declTag("arg:nonnull", typeId, i);
  });
  const { code, relocs, lineInfo } = assemble(`${body}\nexit\nf: ${f}\nexit`);
  const pc = assemble(`${body}\nexit`.replace(/call f$/gm, "call 7")).code.length / 8;
  const type = ProgType.BPF_PROG_TYPE_SCHED_CLS;
  const program = { name: "t", section: "tc", type, attachType: 0, flags: 0, code, relocs, lineInfo };
  return verify(
    { ...program, funcInfo: [{ pc, name: "f", typeId }] },
    { maps: new Map(), license: "GPL", btf: builder.build() },
  );
}

test("a global function is walked once, whatever its callers pass, and its result is any number", () => {
  const calls = "r1 = 3\ncall f\nr1 = 4\ncall f\nr0 = 0";
  const f = "r2 = r10\nr2 += -8\nr2 += r1\n*(u8 *)(r2 +0) = 1\nr0 = 0";
  expect(check(calls, f, { params: ["int"] })).toMatchObject({ verdict: "reject", rule: "unbounded", pc: 8 });
  expect(check(calls, f, { params: ["int"], linkage: "static" }).verdict).toBe("accept");
  expect(check("r1 = 3\ncall f", `r1 &= 7\n${f}`, { params: ["int"] }).verdict).toBe("accept");
});

test("a refusal inside a global function is explained from the function's own start", () => {
  const report = check("r1 = 3\ncall f", "r0 = *(u32 *)(r1 +0)", { params: ["pair"] });
  expect(report).toMatchObject({ verdict: "reject", rule: "argument" });
  const inside = check("r1 = 0\ncall f", "r6 = r1\nr0 = *(u32 *)(r6 +0)", { params: ["pair"] });
  expect(inside).toMatchObject({ verdict: "reject", rule: "null", register: 6 });
  expect(inside.cause[inside.cause.length - 1]?.pc).toBe(inside.pc);
});

test("callers prove what BTF says that a global function takes", () => {
  const pair = "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\ncall f";
  const use = "if r1 == 0 goto +1\nr0 = *(u32 *)(r1 +4)\nr0 = 0";
  expect(check(pair, use, { params: ["pair"] }).verdict).toBe("accept");
  expect(check(pair.replace("+= -8", "+= -4"), use, { params: ["pair"] })).toMatchObject({ rule: "stack-bounds" });
  expect(check(pair, use.replace("+4", "+5"), { params: ["pair"] })).toMatchObject({ rule: "bounds" });
  expect(check("call f", "r0 = *(u32 *)(r1 +0)", { params: ["ctx"] }).verdict).toBe("accept");
  expect(check("r1 = 0\ncall f", "r0 = 0", { params: ["ctx"] })).toMatchObject({ rule: "argument" });
  expect(check("call f", "r0 = 0", { params: ["int"] })).toMatchObject({ rule: "argument", register: 1 });
  expect(check(pair, "r0 = *(u32 *)(r1 +0)", { params: ["nonnull pair"] }).verdict).toBe("accept");
  expect(check("r1 = 0\ncall f", "r0 = 0", { params: ["nonnull pair"] })).toMatchObject({ rule: "argument" });
  expect(check(pair, "r0 = 0", { params: ["void *"] })).toMatchObject({ rule: "global-function" });
});

test("a global function may change the memory it gets: nothing is known of it afterwards", () => {
  const text = "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\ncall f\nr2 = *(u64 *)(r10 -8)\nr1 = r10\nr1 += -8\nr1 += r2";
  const whole = `${text}\n*(u8 *)(r1 +0) = 1\nr0 = 0`;
  expect(check(whole, "r0 = 0", { params: ["pair"] }).verdict).toBe("reject");
  expect(check(whole, "r0 = 0", { params: ["pair"], linkage: "static" }).verdict).toBe("accept");
});

test("packet pointers end at a call of a global function that may move packet data", () => {
  const text = `
    r6 = *(u32 *)(r1 +76)
    r2 = *(u32 *)(r1 +80)
    r3 = r6
    r3 += 14
    if r3 > r2 goto +2
    call f
    r0 = *(u8 *)(r6 +0)
    r0 = 0`;
  expect(check(text, "r0 = 0", { params: ["ctx"] }).verdict).toBe("accept");
  const moves = check(text, "r2 = 100\ncall 39\nr0 = 0", { params: ["ctx"] });
  expect(moves).toMatchObject({ verdict: "reject", rule: "not-pointer", register: 6 });
});

test("a legacy packet load or a tail call needs a function that returns a number", () => {
  const f = "r6 = r1\nr0 = *(u8 *)skb[0]";
  expect(check("call f", f, { linkage: "static" }).verdict).toBe("accept");
  const reject = { verdict: "reject", rule: "return-type" };
  expect(check("call f", f, { linkage: "static", ret: "void" })).toMatchObject(reject);
  expect(check("call f", "r0 = 0", { ret: "void" })).toMatchObject({ verdict: "reject", rule: "global-function" });
});
