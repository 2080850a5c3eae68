/** Exceptions and their callbacks: the same on both engines, under guard and on the kernel; and what is refused. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readElf, writeElf } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { Machine, runGuarded, SkbBuffer } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";
import { compileWith, NEWEST_CLANG } from "../../packages/core/test/objects/tools.ts";

const skip = NEWEST_CLANG ? kernelSkipReason() : "there is no clang beside the default one";
const source = readFileSync(join(import.meta.dirname, "exceptions.c"), "utf8");
const compile = (text: string): CollectionSpec => readElf(compileWith(NEWEST_CLANG!, text, "-mcpu=v3", "-g"));
const PACKETS = [60, 64, 300];

function outcome(target: Target, spec: CollectionSpec): string[] {
  using live = target.load(spec);
  const lines: string[] = [];
  for (const [name, program] of live.programs) {
    for (const size of PACKETS) {
      const { verdict } = program.testRun({ packet: new Uint8Array(size) });
      const seen = [...live.maps.get("seen")!.entries()].map(([, value]) => value.join(" "));
      lines.push(`${name} ${size}: ${verdict}; ${seen.join(", ")}`);
    }
  }
  return lines;
}

describe.skipIf(skip)(`exception callbacks${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("run as the kernel's", () => {
    const spec = compile(source);
    const kernel = outcome(linuxTarget(), spec);
    const verdict = (line: string): string =>
      kernel
        .find((l) => l.startsWith(`${line}:`))!
        .split(/[:;]/)[1]!
        .trim();
    // The upper half of the cookie reaches the callback.
    expect(verdict("from_main 60")).toBe(String(0x11223344 + 3));
    expect(verdict("from_static 64")).toBe("10");
    expect(verdict("without 64")).toBe("64");
    expect(verdict("never 64")).toBe("9");
    for (const engine of ["interp", "jit"] as const) {
      expect(outcome(new SimTarget({ engine }), spec), engine).toEqual(kernel);
    }
  });

  test("are still there in an object that is written again", () => {
    const spec = compile(source);
    const again = readElf(writeElf(spec));
    for (const [name, { funcInfo }] of spec.programs) {
      const names = again.programs.get(name)!.funcInfo.map((f) => f.name.replace(/_sub$/, ""));
      expect(names.sort(), name).toEqual(funcInfo.map((f) => f.name).sort());
    }
    expect(outcome(new SimTarget({ engine: "interp" }), again)).toEqual(outcome(new SimTarget(), spec));
  });

  // Guarded and blinded: neither is what a target runs.
  test("run under guard, and with hidden constants", () => {
    const spec = compile(source);
    for (const [name, size, result] of [
      ["from_main", 64, 0x11223347n],
      ["from_static", 64, 10n],
      ["without", 64, 0x500000040n],
      ["tail", 64, 10n],
      ["tail_from_none", 64, 10n],
    ] as const) {
      for (const options of [{ engine: "interp" }, { engine: "jit", blind: true, verified: true }] as const) {
        const machine = new Machine();
        const maps = new Map([...spec.maps].map(([map, of]) => [map, machine.createMap(of, spec.btf)]));
        const load = (program: string) =>
          machine.load(spec.programs.get(program)!, { maps, license: "GPL", btf: spec.btf, ...options });
        const { id } = load("from_static");
        maps.get("next")!.update(new Uint8Array(4), new Uint8Array(Uint32Array.of(id).buffer));
        const program = load(name);
        using skb = new SkbBuffer(machine.memory);
        const ctx = skb.write(new Uint8Array(size));
        expect(machine.r0(program.run(ctx)), `${name} ${options.engine}`).toBe(result);
        if (options.engine === "interp")
          expect(runGuarded(machine, program, [ctx]), name).toMatchObject({ r0: result, fault: undefined });
      }
    }
  });

  const HEAD = source.slice(0, source.indexOf("struct {"));
  const TC = 'SEC("tc") CALLBACK(cb) int p(struct __sk_buff *skb)\n{ bpf_throw(5); return 0; }';
  const CGROUP = TC.replace('"tc"', '"cgroup_skb/ingress"');
  const CB = "__noinline int cb(__u64 cookie) { return cookie & 1; }";
  const JUMPS = source.slice(source.indexOf("int from_static("), source.indexOf("static __noinline void note"));
  const OFF = "static volatile const int off = 0;";
  const REFUSED: readonly [string, string, boolean][] = [
    ["a plain one", `${CB} ${TC}`, true],
    ["in range", `${CB} ${CGROUP}`, true],
    ["that gives what the program may not", `__noinline int cb(__u64 cookie) { return cookie & 7; } ${CGROUP}`, false],
    ["no callback and a cookie out of range", CGROUP.replace("CALLBACK(cb)", ""), false],
    ["that returns nothing", `__noinline void cb(__u64 cookie) { asm volatile(""); } ${TC}`, false],
    ["that takes two", `__noinline int cb(__u64 cookie, __u64 b) { return cookie + b; } ${TC}`, false],
    ["that takes none", `__noinline int cb(void) { asm volatile(""); return 0; } ${TC}`, false],
    ["that takes a pointer", `__noinline int cb(int *cookie) { return cookie ? *cookie : 0; } ${TC}`, false],
    ["that takes the ctx", `__noinline int cb(struct __sk_buff *skb) { return skb->len; } ${TC}`, false],
    ["that throws", `__noinline int cb(__u64 cookie) { bpf_throw(cookie); return 0; } ${TC}`, false],
    [
      "that calls what throws",
      `static __noinline int f(__u64 c) { if (c > 5) bpf_throw(c); return 0; } __noinline int cb(__u64 c) { return f(c); } ${TC}`,
      false,
    ],
    [
      "that is called",
      `${CB} ${TC.replace("return 0", "return cb(1)").replace("bpf_throw(5)", "if (skb->len) bpf_throw(5)")}`,
      false,
    ],
    [
      "that is called by a function",
      `${CB} static __noinline int f(__u64 c) { return cb(c); } ${TC.replace("bpf_throw(5)", "if (f(skb->len)) bpf_throw(5)")}`,
      false,
    ],
    [
      "that nothing throws to, and is bad",
      `__noinline int cb(__u64 c) { return *(int *)c; } ${TC.replace("bpf_throw(5);", "")}`,
      false,
    ],
    [
      "with all of the stack",
      `__noinline int cb(__u64 c) { volatile char b[500]; b[c & 255] = 1; return b[c & 255]; } ${TC}`,
      true,
    ],
    [
      "two of them",
      `${CB} ${CB.replace("cb", "cc")} ${TC.replace("CALLBACK(cb)", "CALLBACK(cb) CALLBACK(cc)")}`,
      false,
    ],
    [
      "a global function that throws in a loop's callback",
      `__noinline int g(int c) { if (c > 5) bpf_throw(c); return 0; } static int each(__u32 i, void *c) { return g(i); } ${CB} ${TC.replace("bpf_throw(5)", "bpf_loop(3, each, 0, 0)")}`,
      false,
    ],
    [
      "a program that tail calls too",
      `${JUMPS} ${CB} ${TC.replace("bpf_throw(5)", "bpf_tail_call(skb, &next, 0); bpf_throw(5)").replace(" p(", " from_static(")}`,
      true,
    ],
    [
      "that has a tail call, never reached",
      `${JUMPS} ${OFF} __noinline int cb(__u64 c) { if (off) bpf_tail_call((void *)c, &next, 0); return 0; } ${TC.replace(" p(", " from_static(")}`,
      true,
    ],
    [
      "that calls what has one",
      `${JUMPS} ${OFF} static __noinline int f(__u64 c) { if (off) bpf_tail_call((void *)c, &next, 0); return 0; } __noinline int cb(__u64 c) { return f(c); } ${TC.replace(" p(", " from_static(")}`,
      false,
    ],
  ];

  test.each(REFUSED)("%s", (_, text, taken) => {
    const whole = `${HEAD}\n${text}\nchar _license[] SEC("license") = "GPL";`;
    const answer = (target: Target): boolean => {
      try {
        target.load(compile(whole)).close();
        return true;
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        return false;
      }
    };
    expect({ kernel: answer(linuxTarget()), sim: answer(new SimTarget()) }).toEqual({ kernel: taken, sim: taken });
  });
});
