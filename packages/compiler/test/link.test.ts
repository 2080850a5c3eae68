/** Objects of ours and of clang's, linked both ways, and functions of the kernel's own. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "@ebplane/compiler";
import { linkObjects, readElf, writeElf } from "@ebplane/core/elf";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();
const CLANG = "/usr/bin/clang";
const PACKET = Uint8Array.from({ length: 64 }, (_, k) => k);

function ours(source: string): Uint8Array {
  return writeElf(compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", source]]) }).spec);
}

function clangs(source: string): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), "ebplane-link-"));
  try {
    writeFileSync(join(dir, "c.c"), source);
    execFileSync(CLANG, ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c", join(dir, "c.c"), "-o", join(dir, "c.o")]);
    return readFileSync(join(dir, "c.o"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function verdicts(object: Uint8Array): number[] {
  const spec = readElf(object);
  const targets = [
    new SimTarget({ engine: "interp" }),
    new SimTarget({ engine: "jit" }),
    ...(skip ? [] : [linuxTarget()]),
  ];
  return targets.map((target) => {
    using loaded = target.load(spec);
    return loaded.programs.get("main")!.testRun({ packet: PACKET }).verdict;
  });
}

test.skipIf(!existsSync(CLANG))("a program in the language calls what clang compiled", () => {
  const program = ours(`
    import { struct, u32, u64, xdp, type Infer } from "ebplane/bpf";
    const Pair = struct({ a: u32, b: u64 });
    type Pair = Infer<typeof Pair>;
    declare function weigh(a: u32, b: u64): u32;
    declare function fill(p: Pair, n: u32): u32;
    export const main = xdp((ctx) => {
      const p = Pair();
      if (fill(p, ctx.length) !== 0) return 1;
      return weigh(p.a, p.b);
    });`);
  const library = clangs(`
    struct pair { unsigned int a; unsigned long long b; };
    __attribute__((noinline)) int fill(struct pair *p, unsigned int n) {
      if (!p) return 1;
      p->a = n;
      p->b = n * 2ull;
      return 0;
    }
    __attribute__((noinline)) unsigned int weigh(unsigned int a, unsigned long long b) { return a * 3 + (unsigned int)b; }
    char _license[] __attribute__((section("license"), used)) = "";`);
  const linked = linkObjects([
    { name: "ours.o", bytes: program },
    { name: "clang.o", bytes: library },
  ]);
  for (const v of verdicts(linked)) expect(v).toBe(64 * 3 + 128);
});

test.skipIf(!existsSync(CLANG))("a program that clang compiled calls a function of ours", () => {
  const library = ours(`
    import { subprog, u32, u64, xdp } from "ebplane/bpf";
    let calls: u64 = 0n;
    export const mix = subprog.global((a: u32, b: u32): u32 => {
      calls += 1n;
      return a * 100 + b + u32(calls);
    });
    export const other = xdp(() => mix(1, 2));`);
  const program = clangs(`
    extern unsigned int mix(unsigned int a, unsigned int b);
    __attribute__((section("xdp"), used)) int theirs(void *ctx) { return mix(4, 5); }
    char _license[] __attribute__((section("license"), used)) = "";`);
  const linked = linkObjects([
    { name: "clang.o", bytes: program },
    { name: "ours.o", bytes: library },
  ]);
  const spec = readElf(linked);
  expect([...spec.programs.keys()].sort()).toEqual(["other", "theirs"]);
  for (const target of [new SimTarget(), ...(skip ? [] : [linuxTarget()])]) {
    using loaded = target.load(spec);
    expect(loaded.programs.get("theirs")!.testRun({ packet: PACKET }).verdict).toBe(406);
    expect(loaded.programs.get("other")!.testRun({ packet: PACKET }).verdict).toBe(104);
  }
});

test.skipIf(skip)("kernel functions are called by their names", () => {
  const source = `
    import { ethernet, license, xdp, xdpPullData } from "ebplane/bpf";
    license("GPL");
    export const main = xdp((ctx) => {
      if (xdpPullData(ctx, 14) !== 0 || xdpPullData(ctx, 4000) === 0) return 1;
      const eth = ctx.packet().take(ethernet);
      return eth && eth.src[0] === 6 ? 42 : 2;
    });`;
  const { spec } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", source]]) });
  using loaded = linuxTarget().load(spec);
  expect(loaded.programs.get("main")!.testRun({ packet: PACKET }).verdict).toBe(42);
});
