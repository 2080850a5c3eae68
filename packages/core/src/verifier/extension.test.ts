import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { type Btf, BtfBuilder, type BtfFunc } from "../btf/index.ts";
import { AttachType, type ProgramSpec, ProgType } from "../object/index.ts";
import { type ExtensionTarget, type VerifierReport, verify } from "./index.ts";

type ParamName = "int" | "long" | "pair" | "xdp_md" | "__sk_buff" | "bpf_sock_addr" | "void *";

interface Declared {
  readonly params?: readonly ParamName[];
  readonly ret?: "int" | "void";
  readonly linkage?: BtfFunc["linkage"];
}

/** A program whose functions are called `names`, each at the pc before it. */
function described(
  text: string,
  names: readonly (readonly [pc: number, name: string, declared: Declared])[],
  rest: Partial<ProgramSpec>,
  exceptionCallback?: string,
): ExtensionTarget & { readonly btf: Btf } {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, { encoding: "signed" });
  const pair = builder.struct("pair", 8, [{ name: "a", type: int, bitOffset: 0 }]);
  const pointer = (name: string) => builder.ptr(builder.struct(name, 8, []));
  const typeOf = (name: ParamName): number => {
    if (name === "int") return int;
    if (name === "long") return builder.int("long", 8, { encoding: "signed" });
    return name === "pair" ? builder.ptr(pair) : name === "void *" ? builder.ptr(0) : pointer(name);
  };
  const funcInfo = names.map(([pc, name, { params = [], ret = "int", linkage = "global" }]) => {
    const args = params.map((param, i) => ({ name: `p${i}`, type: typeOf(param) }));
    return { pc, name, typeId: builder.func(name, builder.funcProto(ret === "int" ? int : 0, args), linkage) };
  });
  if (exceptionCallback) builder.declTag(`exception_callback:${exceptionCallback}`, funcInfo[0]!.typeId, -1);
  const { code, relocs, lineInfo } = assemble(text);
  const base = { name: names[0]![1], section: "", type: ProgType.BPF_PROG_TYPE_EXT, attachType: 0, flags: 0 };
  return {
    program: { ...base, code, relocs, lineInfo, funcInfo, ...rest },
    btf: builder.build(),
    maps: new Map(),
    license: "GPL",
  };
}

function extending(text: string, declared: Declared, target?: ExtensionTarget): VerifierReport {
  const { program, btf } = described(text, [[0, "mine", declared]], { attachTo: "f" });
  return verify(program, { maps: new Map(), license: "GPL", btf, extends: target });
}

const XDP = { type: ProgType.BPF_PROG_TYPE_XDP, attachType: AttachType.BPF_XDP };
/** A program of four slots that calls `f`, declared so. */
function target(
  declared: Declared,
  f = "r0 = 0\nexit",
  rest: Partial<ProgramSpec> = XDP,
  main = "r2 = 0\ncall f\nr0 = 1\nexit",
): ExtensionTarget {
  const ctx = rest.type === ProgType.BPF_PROG_TYPE_XDP ? "xdp_md" : "bpf_sock_addr";
  const text = `${main}\nf: ${f}`;
  return described(
    text,
    [
      [0, "main", { params: [ctx] }],
      [4, "f", declared],
    ],
    rest,
  );
}

test("without its target an extension is verified by its own parameters, and the report says what was assumed", () => {
  const xdp = extending("r0 = *(u32 *)(r1 +0)\nr0 = 2\nexit", { params: ["xdp_md"] });
  expect(xdp.verdict).toBe("accept");
  expect(xdp.assumed).toBe(
    "that it replaces function f of a program of type xdp that is declared alike: its parameter is a xdp_md",
  );
  const skb = extending("r0 = *(u32 *)(r1 +0)\nexit", { params: ["int", "__sk_buff"] });
  expect(skb).toMatchObject({ verdict: "reject", register: 1 });
  expect(skb.assumed).toContain("sched_cls");
  const number = extending("r0 = r1\nexit", { params: ["int"] });
  expect([number.verdict, number.assumed]).toEqual(["accept", expect.stringContaining("no parameter of it is a ctx")]);
});

test("an extension's parameters are what its BTF says, and no more than they", () => {
  const read = "r0 = *(u32 *)(r1 +4)\nexit";
  expect(extending(`if r1 == 0 goto +2\n${read}\nr0 = 0\nexit`, { params: ["pair"] }).verdict).toBe("accept");
  expect(extending(read, { params: ["pair"] })).toMatchObject({ verdict: "reject", rule: "null" });
  expect(extending("r0 = r2\nexit", { params: ["int"] })).toMatchObject({ verdict: "reject", register: 2 });
  for (const declared of [{ params: ["void *"] }, { ret: "void" }, { linkage: "static" }] as const) {
    expect(extending("r0 = 0\nexit", declared)).toMatchObject({ verdict: "reject", rule: "extension" });
  }
});

test("what the hook decides is not said without the target", () => {
  const declared: Declared = { params: ["bpf_sock_addr"] };
  const alone = extending("r0 = 255\nexit", declared);
  expect([alone.verdict, alone.fix]).toEqual(["unsupported", expect.stringContaining("--target-prog")]);
  const type = ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  const connect = target(declared, undefined, { type, attachType: AttachType.BPF_CGROUP_INET4_CONNECT });
  // As the selftest freplace_connect_v4_prog: the result is checked as the target's.
  expect(extending("r0 = 255\nexit", declared, connect)).toMatchObject({ verdict: "reject", rule: "return-value" });
  expect(extending("r0 = 1\nexit", declared, connect)).toMatchObject({ verdict: "accept", assumed: undefined });
});

test("an extension must be declared as the function that it replaces", () => {
  const same: Declared = { params: ["xdp_md", "int"] };
  const text = "r0 = 0\nexit";
  const why = (own: Declared, of: ExtensionTarget) => {
    const report = extending(text, own, of);
    return report.verdict === "accept" ? "" : report.message;
  };
  expect(why(same, target(same))).toBe("");
  expect(why({ params: ["xdp_md"] }, target(same))).toContain("the number of parameters is 1, not 2");
  expect(why({ params: ["xdp_md", "long"] }, target(same))).toContain("parameter 2 has 8 bytes, not 4");
  expect(why({ params: ["__sk_buff", "int"] }, target(same))).toContain("points to a __sk_buff, not to a xdp_md");
  expect(why(same, target({ ...same, linkage: "static" }))).toContain("f of main is static");
  expect(why(same, { ...target(same), btf: undefined })).toContain("has no BTF");
  const other = described(text, [[0, "g", { params: ["xdp_md"] }]], XDP);
  expect(why(same, other)).toContain("program g has no function f to replace; it has g");
  // The kernel's "Cannot replace static functions": a program that is not declared with its ctx alone.
  expect(why(same, described(text, [[0, "f", same]], XDP))).toContain("is not declared with its ctx alone");
  const ext = described(text, [[0, "f", same]], {});
  expect(why(same, ext)).toContain("cannot be extended");
});

test("an extension may change packet data only where the replaced function does", () => {
  const declared: Declared = { params: ["xdp_md", "int"] };
  const adjust = "r2 = 0\ncall bpf_xdp_adjust_head\nr0 = 0\nexit";
  expect(extending(adjust, declared, target(declared, adjust)).verdict).toBe("accept");
  const kept = extending(adjust, declared, target(declared));
  expect([kept.verdict, kept.message]).toEqual(["reject", "mine changes packet data and f of main does not"]);
});

test("what the kernel has left out of the target, or would not load, cannot be extended", () => {
  const declared: Declared = { params: ["xdp_md", "int"] };
  const text = "r0 = 0\nexit";
  // As the selftest global_func_dead_code: "Subprog global_dead doesn't exist".
  const dead = extending(text, declared, target(declared, text, XDP, "r0 = 1\nif r0 == 1 goto +1\ncall f\nexit"));
  expect(dead).toMatchObject({
    verdict: "reject",
    message: expect.stringContaining("calls f: the kernel has left it out"),
  });
  const bad = extending(text, declared, target(declared, "r0 = *(u8 *)(r10 -520)\nexit"));
  expect(bad).toMatchObject({ verdict: "reject", message: expect.stringContaining("is itself rejected: ") });
});

test("exception callbacks: an extension may have one, that of the target cannot be replaced", () => {
  // As the selftest exceptions_ext. `cb` is reached by its tag alone.
  const tagged = (main: Declared, name: string, rest: Partial<ProgramSpec>) => {
    const functions = [
      [0, name, main],
      [4, "cb", { params: ["long"] }],
    ] as const;
    const text = "r1 = 64\ncall kfunc[bpf_throw]\nr0 = 0\nexit\nr0 = r1\nexit";
    return described(text, functions, rest, "cb");
  };
  const target = tagged({ params: ["xdp_md"] }, "main", XDP);
  const own = tagged({ params: ["xdp_md"] }, "mine", { attachTo: "main" });
  expect(verify(own.program, { ...own, extends: target })).toMatchObject({ verdict: "accept", message: "" });
  const replaces = described("r0 = 0\nexit", [[0, "mine", { params: ["long"] }]], { attachTo: "cb" });
  expect(verify(replaces.program, { ...replaces, extends: target }).message).toContain(
    "the exception callback of main",
  );
});
