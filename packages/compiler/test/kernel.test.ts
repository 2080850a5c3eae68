/** Builds for an older kernel: what it lacks is complained about at its place, and the code keeps to what it has. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile, type Receipt } from "@ebplane/compiler";
import { CompileError } from "@ebplane/core/errors";
import { BPF_ALU, BPF_ALU64, BPF_DIV, BPF_MOD, BPF_ST, CLASS_MASK, decode, OP_MASK } from "@ebplane/core/isa";
import type { CollectionSpec } from "@ebplane/core/object";
import { type KernelVersion, verify } from "@ebplane/core/verifier";
import { expect, test } from "vitest";

function build(text: string, kernel?: KernelVersion): { spec: CollectionSpec; receipt: Receipt } {
  return compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", text]]), kernel });
}

/** Complaints as `line: message`. */
function complaints(text: string, kernel: KernelVersion): string[] {
  try {
    build(text, kernel);
    return [];
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    return e.diagnostics.map((d) => `${d.line}: ${d.message}`);
  }
}

const NEEDS = `import { array, atomicOr, bpfLoop, ktimeGetTaiNs, ringBuffer, struct, u32, u64, xdp, XDP_PASS } from "ebplane/bpf";
const S = struct({ n: u64 });
export const events = ringBuffer({ maxEntries: 4096 });
export const bits = array(S, { maxEntries: 1 });
export const main = xdp((ctx) => {
  const s = S({ n: 0n });
  bpfLoop(4, (k, state) => { state.n += 1n; return false; }, s);
  const b = bits.lookup(0);
  if (b) atomicOr(b.n, ktimeGetTaiNs());
  events.output(s);
  return XDP_PASS;
});`;

test("what a kernel lacks is named with its line and the version that brought it", () => {
  expect(complaints(NEEDS, "5.4")).toEqual([
    "3: the map type ringbuf of events needs Linux 5.8, this is built for 5.4",
    "7: bpf_loop needs Linux 5.17, this is built for 5.4",
    "7: lddw of a function's address, for callbacks needs Linux 5.13, this is built for 5.4",
    "9: bpf_ktime_get_tai_ns needs Linux 6.1, this is built for 5.4",
    "9: atomic operations beyond add, and those that fetch needs Linux 5.12, this is built for 5.4",
    "10: bpf_ringbuf_output needs Linux 5.8, this is built for 5.4",
  ]);
  expect(complaints(NEEDS, "5.17")).toEqual(["9: bpf_ktime_get_tai_ns needs Linux 6.1, this is built for 5.17"]);
  expect(complaints(NEEDS, "6.1")).toEqual([]);
});

test("without a kernel the receipt says what is young, the youngest first", () => {
  const { needs } = build(NEEDS).receipt;
  expect(needs.map((n) => `${n.since} ${n.what}`)).toEqual([
    "6.1 bpf_ktime_get_tai_ns",
    "5.17 bpf_loop",
    "5.13 lddw of a function's address, for callbacks",
    "5.12 atomic operations beyond add, and those that fetch",
    "5.8 bpf_ringbuf_output",
    "5.8 the map type ringbuf of events",
  ]);
  expect(build(NEEDS, "6.1").receipt.needs).toEqual([]);
});

test.each([
  ["cgroupSockAddr.connectUnix(", "(ctx) => 1)", "the hook", "6.7"],
  ["netfilter(", "(ctx) => 1)", "the program type netfilter", "6.4"],
  ["tc.ingress(", "(ctx) => u32(ctx.hwtstamp))", "the field __sk_buff.hwtstamp", "5.16"],
  ["xdp(", "(ctx) => XDP_PASS, { frags: true })", "a packet in several fragments", "5.18"],
])("%s%s", (head, rest, what, since) => {
  const text = `import { cgroupSockAddr, netfilter, tc, u32, xdp, XDP_PASS } from "ebplane/bpf";\nexport const main = ${head}${rest};`;
  const all = complaints(text, "5.10");
  expect(all.length).toBeGreaterThan(0);
  expect(all.join("\n")).toContain(`2: ${what}`);
  expect(all.join("\n")).toContain(`needs Linux ${since}, this is built for 5.10`);
});

const LOOP = `import { array, license, range, u32, xdp, XDP_PASS } from "ebplane/bpf";
license("GPL");
export const n = array(u32, { maxEntries: 1 });
export const main = xdp((ctx) => {
  let sum: u32 = 0;
  const end = n.lookup(0);
  if (!end) return XDP_PASS;
  for (const i of range(END)) sum += i;
  return sum;
});`;

test("loops of many rounds are walked where there is no counter, and refused where nothing bounds them", () => {
  const many = LOOP.replace("END", "10000");
  expect(build(many).receipt.loops).toHaveLength(1);
  expect(build(many, "6.4").receipt.loops).toHaveLength(1);
  expect(build(many, "6.1").receipt.loops).toEqual([]);
  const open = LOOP.replace("END", "end.value");
  expect(complaints(open, "6.4")).toEqual([]);
  expect(complaints(open, "6.1")).toEqual([
    expect.stringMatching(/^8: range: a number of rounds that nothing bounds .* since 6\.4, .* 6\.1: test the number/),
  ]);
});

const YOUNG = `import { i32, i64, ktimeGetNs, tc } from "ebplane/bpf";
export const main = tc.ingress((ctx) => {
  ctx.mark = 7;
  const a = i32(ctx.length) / i32(ctx.ifindex);
  const b = i64(ktimeGetNs()) % -7n;
  return i32(b) + a;
});`;

test("instructions that younger kernels have are used where they are there, and only there", () => {
  const count = (kernel: KernelVersion | undefined) => {
    const insns = decode(build(YOUNG, kernel).spec.programs.get("main")!.code);
    return {
      signed: insns.filter((i) => {
        const divides = [BPF_DIV, BPF_MOD].includes(i.opcode & OP_MASK);
        return [BPF_ALU, BPF_ALU64].includes(i.opcode & CLASS_MASK) && divides && i.off !== 0;
      }).length,
      constants: insns.filter((i) => (i.opcode & CLASS_MASK) === BPF_ST).length,
    };
  };
  expect(count(undefined)).toEqual({ signed: 0, constants: 0 });
  expect(count("6.1")).toEqual({ signed: 0, constants: 0 });
  expect(count("6.4")).toEqual({ signed: 0, constants: 1 });
  expect(count("6.6")).toEqual({ signed: 2, constants: 1 });
});

test("a version that is none is refused", () => {
  for (const kernel of ["5.3", "6", "6.1.2", "six"]) {
    expect(() => build(YOUNG, kernel as KernelVersion)).toThrow(/kernel: expected a version from 5\.4 on/);
  }
});

const RUN = fileURLToPath(new URL("../testdata/run/", import.meta.url));

// What a build for a kernel gives, or refuses with a version, that kernel's rules accept. Only how memory may be walked is the
// verifier's to say: an index into the stack, and memory that a global function
// is given, want 5.12.
test.each(["5.10", "6.1"] as const)("the test programs built for %s keep to its rules", (kernel) => {
  for (const file of readdirSync(RUN).filter((f) => f.endsWith(".bpf.ts"))) {
    const text = readFileSync(RUN + file, "utf8");
    const constants = JSON.parse(/^\/\/! constants (.*)$/m.exec(text)?.[1] ?? "{}");
    let spec: CollectionSpec;
    try {
      ({ spec } = compile({ entry: file, files: new Map([[file, text]]), constants, kernel }));
    } catch (e) {
      if (!(e instanceof CompileError)) throw e;
      for (const d of e.diagnostics) expect(d.message, file).toMatch(/needs Linux \d|since \d/);
      continue;
    }
    for (const p of spec.programs.values()) {
      const report = verify(p, { maps: spec.maps, license: spec.license, btf: spec.btf, profile: kernel });
      if (report.verdict === "reject") expect(report.message, `${file} ${p.name}`).toMatch(/needs Linux 5\.12/);
    }
  }
});
