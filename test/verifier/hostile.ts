/**
 * Programs that are made to cost the verifier time or memory. As a program it walks those that are named, or all, and
 * prints a JSON line each with the time and the process's peak of memory:
 *
 *     npx tsx --conditions=source test/verifier/hostile.ts [NAME…]
 */
import { fileURLToPath } from "node:url";
import { assemble } from "@ebplane/core/asm";
import { readElf } from "@ebplane/core/elf";
import { SLOT } from "@ebplane/core/isa";
import { type CollectionSpec, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { verify } from "@ebplane/core/verifier";
import { clang } from "../../packages/core/test/objects/tools.ts";
import { kernelBtf } from "../../packages/linux/src/target/kernel-btf.ts";

export interface Hostile {
  readonly verdict: "accept" | "reject";
  /** Why it is refused. */
  readonly rule?: string;
  /** The program, as text, as bytes, or as C whose first program it is. */
  readonly text?: () => string;
  readonly code?: () => Uint8Array;
  readonly c?: string;
  /** Would take gigabytes of a kernel, or is too long for it. */
  readonly oursOnly?: true;
}

const rows = (count: number, row: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => row(i)).join("\n");
const slotsSet = (count: number, register: string): string =>
  rows(count, (i) => `*(u64 *)(r10 -${8 * (i + 1)}) = ${register}`);
const LEN = "r2 = *(u32 *)(r6 +12)";

export const HOSTILE: Readonly<Record<string, Hostile>> = {
  "paths that double at each branch": {
    verdict: "reject",
    rule: "complexity",
    text: () =>
      `r6 = r1\nr7 = 0\n${rows(30, (i) => `${LEN}\nif r2 == ${i} goto s${i}\nr7 += ${1 << (i % 20)}\ns${i}: r0 = 0`)}
       if r7 > 0x7ffffff goto bad\nr0 = 0\nexit\nbad: r0 = *(u64 *)(r7 +0)\nexit`,
  },
  "64 spilled numbers, two branches on each": {
    verdict: "accept",
    text: () =>
      `r6 = r1\n${rows(64, (i) => `${LEN}\n*(u64 *)(r10 -${8 * (i + 1)}) = r2`)}
       ${rows(64, (i) => `r2 = *(u64 *)(r10 -${8 * (i + 1)})\nif r2 > ${i + 5} goto t${i}\nr2 += 1\n*(u64 *)(r10 -${8 * (i + 1)}) = r2\nt${i}: r0 = 0`)}
       ${rows(64, (i) => `r2 = *(u64 *)(r10 -${8 * (i + 1)})\nif r2 == ${i} goto u${i}\nr0 += 1\nu${i}: r0 = 0`)}
       r0 = 0\nexit`,
  },
  "one number in 64 places, compared 1,000 times": {
    verdict: "accept",
    text: () =>
      `r6 = *(u32 *)(r1 +12)\n${slotsSet(60, "r6")}\nr7 = r6\nr8 = r6\nr9 = r6
       ${rows(1000, (i) => `if r6 == ${i * 3 + 7} goto l${i}\nr0 = 1\nl${i}: r0 = 0`)}\nexit`,
  },
  "an index computed over 3,000 branches": {
    verdict: "accept",
    text: () =>
      `r6 = *(u32 *)(r1 +12)\nr6 &= 1\nr7 = 0\nr8 = 0
       ${rows(3000, (i) => `r7 += r6\nif r7 == ${i * 2 + 1} goto c${i}\nr8 += 1\nc${i}: r0 = 0`)}
       r7 &= 7\nr1 = r10\nr1 += -16\nr1 += r7\n*(u8 *)(r1 +0) = 0\nr0 = 0\nexit`,
  },
  "eight frames that call twice, with spills and branches": {
    verdict: "accept",
    text: () => {
      const branches = (f: number) =>
        rows(4, (i) => `if r6 > ${f * 10 + i} goto f${f}_${i}\nr6 += 1\nf${f}_${i}: r0 = 0`);
      const calls = (f: number) => (f < 6 ? `r1 = r6\ncall f${f + 1}\nr1 = r0\nr1 += r6\ncall f${f + 1}` : "r0 = r6");
      const sums = rows(8, (i) => `r2 = *(u64 *)(r10 -${8 * (i + 1)})\nr0 += r2`);
      return `r1 = *(u32 *)(r1 +12)\n${slotsSet(8, "r1")}\ncall f0\nr0 = 0\nexit
        ${rows(7, (f) => `f${f}: r6 = r1\n${slotsSet(8, "r6")}\n${branches(f)}\n${calls(f)}\n${sums}\nexit`)}`;
    },
  },
  "eight frames of 512 bytes, 120,000 branches in the last": {
    verdict: "reject",
    rule: "stack-depth",
    oursOnly: true,
    text: () => {
      const far = rows(120_000, (i) => `r6 += 1\nif r6 == ${i} goto h${i}\nr7 = 1\nh${i}: r8 = 0`);
      return `r1 = *(u32 *)(r1 +12)\n${slotsSet(64, "r1")}\ncall f0\nr0 = 0\nexit
        ${rows(7, (f) => `f${f}: r6 = r1\n${slotsSet(64, "r6")}\n${f < 6 ? `call f${f + 1}` : `${far}\nr0 = 0`}\nexit`)}`;
    },
  },
  "9,000 branches that wait": {
    verdict: "reject",
    rule: "complexity",
    text: () => `r6 = r1\nr0 = 0\n${rows(9000, (i) => `${LEN}\nif r2 == ${i} goto out\nr7 = ${i}`)}\nout: r0 = 0\nexit`,
  },
  "three loops of 100 rounds in each other": {
    verdict: "reject",
    rule: "complexity",
    text: () =>
      `r6 = 0\nl: r7 = 0\nm: r8 = 0\nn: r8 += 1\nif r8 < 100 goto n\nr7 += 1\nif r7 < 100 goto m
       r6 += 1\nif r6 < 100 goto l\nr0 = r6\nexit`,
  },
  "a loop that changes 30 spilled numbers a round": {
    verdict: "reject",
    rule: "complexity",
    text: () =>
      `r6 = 0\nr9 = *(u32 *)(r1 +12)\n${slotsSet(60, "r9")}
       l: r6 += 1\n${rows(30, (i) => `r2 = *(u64 *)(r10 -${8 * (i + 1)})\nr2 += r6\n*(u64 *)(r10 -${8 * (i + 1)}) = r2`)}
       if r6 < 30000 goto l\nr0 = 0\nexit`,
  },
  "a loop whose branches set a bit each": {
    verdict: "reject",
    rule: "complexity",
    text: () =>
      `r6 = r1\nr7 = 0\nr9 = 0\nl: ${LEN}\n${rows(12, (i) => `if r2 s> ${i * 100} goto q${i}\nr7 += ${1 << i}\nq${i}: ${LEN}`)}
       r9 += 1\nif r9 < 50 goto l\nr1 = r10\nif r7 > 511 goto o\nr7 |= 0\nr1 -= 0\no: r0 = r7\nexit`,
  },
  "may_goto in may_goto": {
    verdict: "accept",
    text: () =>
      `r6 = 0\nr8 = r1\nl: may_goto e\nr2 = *(u32 *)(r8 +12)\nif r2 > 5 goto s\nr6 += 1\ns: r7 = r6\nr7 &= 3
       m: may_goto f\nr6 += 2\nif r6 == 17 goto m\ngoto m\nf: goto l\ne: r0 = 0\nexit`,
  },
  "200 functions called 500 times": {
    verdict: "accept",
    text: () =>
      `r6 = r1\n${rows(500, (i) => `r1 = *(u32 *)(r6 +12)\ncall f${i % 200}`)}\nr0 = 0\nexit
       ${rows(200, (i) => `f${i}: r0 = 0\n${rows(10, (k) => `if r1 == ${k * 7 + i} goto g${i}_${k}\nr0 += 1\ng${i}_${k}: r2 = 0`)}\nexit`)}`,
  },
  "a million insns in a row": {
    verdict: "accept",
    code: () => {
      const code = new Uint8Array(1_000_000 * SLOT);
      for (let at = 0; at < code.length; at += SLOT) code[at] = 0xb7;
      code[code.length - SLOT] = 0x95;
      return code;
    },
  },
  "bpf_loop in bpf_loop, six deep, with branches": {
    verdict: "reject",
    rule: "complexity",
    oursOnly: true,
    c: `static long (*loop)(unsigned, void *, void *, unsigned long) = (void *)181;
      static long c0(unsigned i, unsigned long *x) { *x += i; if (*x & 1) *x ^= 3; return *x > 1000; }
      #define NEST(n, m) static long c##n(unsigned i, unsigned long *x) { \\
        unsigned long y = i; if (*x > i) y += *x; loop(1000, c##m, &y, 0); if (y == i) *x = y; return y > 77; }
      NEST(1, 0) NEST(2, 1) NEST(3, 2) NEST(4, 3) NEST(5, 4)
      SEC("tc") int program(void *ctx) { unsigned long x = 1; loop(1000, c5, &x, 0); return x > 5; }`,
  },
  "two callbacks over a function": {
    verdict: "accept",
    c: `static long (*loop)(unsigned, void *, void *, unsigned long) = (void *)181;
      static __attribute__((noinline)) int f(unsigned long *x, int k) { if (*x > k) *x -= k; else *x += 3; return *x == k; }
      #define CB(n) static long c##n(unsigned i, unsigned long *x) { \\
        if (i & 1) f(x, n); else *x |= n; if (f(x, n + i)) return 1; return *x > 70 + n; }
      CB(1) CB(2)
      #define RUN(n) if (x & n) loop(100 + n, c##n, &x, 0); else loop(x & 7, c##n, &x, 0);
      SEC("tc") int program(unsigned *ctx) { unsigned long x = ctx[0]; RUN(1) RUN(2) return x > 5; }`,
  },
  "six iterators in each other": {
    verdict: "accept",
    c: `struct bpf_iter_num { unsigned long it; } __attribute__((aligned(8)));
      extern int bpf_iter_num_new(struct bpf_iter_num *it, int a, int b) __attribute__((section(".ksyms"))) __attribute__((weak));
      extern int *bpf_iter_num_next(struct bpf_iter_num *it) __attribute__((section(".ksyms"))) __attribute__((weak));
      extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __attribute__((section(".ksyms"))) __attribute__((weak));
      #define FOR(n, body) { struct bpf_iter_num it##n; int *v##n; bpf_iter_num_new(&it##n, 0, 100); \\
        while ((v##n = bpf_iter_num_next(&it##n))) { if (*v##n > 50 + n) x += 1; body; if (x > 100 * n) x = n; } bpf_iter_num_destroy(&it##n); }
      SEC("tc") int program(unsigned *ctx) { unsigned x = ctx[0];
        FOR(1, FOR(2, FOR(3, FOR(4, FOR(5, FOR(6, x ^= *v6)))))) return x > 5; }`,
  },
};

export interface HostileProgram {
  readonly spec: CollectionSpec;
  readonly program: ProgramSpec;
}

/** Needs clang for those in C. */
export function build(hostile: Hostile): HostileProgram {
  if (hostile.c !== undefined) {
    const source = `#define SEC(name) __attribute__((section(name), used))\n${hostile.c}\nchar LICENSE[] SEC("license") = "GPL";`;
    const spec = readElf(clang(source, "-g", "-mcpu=v3"));
    return { spec, program: spec.programs.values().next().value! };
  }
  const program: ProgramSpec = {
    name: "program",
    section: "tc",
    type: ProgType.BPF_PROG_TYPE_SCHED_CLS,
    attachType: 0,
    flags: 0,
    code: hostile.code?.() ?? assemble(hostile.text!()).code,
    relocs: [],
    funcInfo: [],
    lineInfo: [],
  };
  const programs = new Map([[program.name, program]]);
  return { spec: { programs, maps: new Map(), license: "GPL", byteOrder: "little" }, program };
}

/** What the walk of one took. */
export interface Took {
  readonly name: string;
  readonly verdict: string;
  readonly rule: string | undefined;
  readonly processed: number;
  readonly ms: number;
  /** The process's peak so far, in MB. */
  readonly peak: number;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  for (const name of names.length ? names : Object.keys(HOSTILE)) {
    const { spec, program } = build(HOSTILE[name]!);
    const env = { maps: spec.maps, license: spec.license, btf: spec.btf, kernelBtf: spec.btf && kernelBtf() };
    const start = performance.now();
    const { verdict, rule, processed } = verify(program, env);
    const ms = Math.round(performance.now() - start);
    const took: Took = { name, verdict, rule, processed, ms, peak: Math.round(process.resourceUsage().maxRSS / 1024) };
    console.log(JSON.stringify(took));
  }
}
