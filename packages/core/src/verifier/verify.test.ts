import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { MapType, type ProgramSpec, ProgType } from "../object/index.ts";
import { Kind, type VerifierReport, verify } from "./index.ts";

const SEED = 7;
const MAPS = new Map([
  ["hash", { name: "hash", type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 16, maxEntries: 10, flags: 0 }],
]);

function xdp(text: string): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(text);
  const type = ProgType.BPF_PROG_TYPE_XDP;
  return { name: "test", section: "xdp", type, attachType: 0, flags: 0, code, relocs, funcInfo: [], lineInfo };
}

function check(text: string): VerifierReport {
  return verify(xdp(text), { maps: MAPS, license: "GPL" });
}

test("a packet access needs a comparison with data_end that covers it", () => {
  const text = (length: number) => `
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += ${length}
    if r4 > r3 goto out
    r0 = *(u16 *)(r2 +12)
    exit
    out: r0 = 0
    exit`;
  expect(check(text(14)).verdict).toBe("accept");
  const short = check(text(13));
  expect(short).toMatchObject({ verdict: "reject", rule: "packet-bounds", pc: 5, register: 2 });
  expect(short.line?.text).toBe("r0 = *(u16 *)(r2 +12)");
  expect(short.message).toContain("covers only 13 bytes");
  expect(short.fix).toContain("+ 14");
  expect(short.path).toMatchObject([{ pc: 4, taken: false }]);
});

test("a branch that needs more CPUs than the machine has is left out for that machine only", () => {
  // As 6.18 with two CPUs, whose log says R0=scalar(smin=smin32=0,smax=umax=smax32=umax32=1,var_off=(0x0; 0x1)).
  const program = xdp(`
    call bpf_get_smp_processor_id
    if w0 > 1 goto other
    r0 = 1
    exit
    other: r0 = *(u64 *)(r10 -520)
    exit`);
  const on = (cpus?: number) => verify(program, { maps: MAPS, license: "GPL", cpus }).verdict;
  expect([on(1), on(2), on(3), on()]).toEqual(["accept", "accept", "reject", "reject"]);
});

test("an empty stack region must still begin inside the stack", () => {
  // Found by the long differential run (seed 77, program 17036): 6.18 refuses fp+0 with size 0.
  const text = (offset: number) => `
    r1 = r10
    r1 += ${offset}
    r2 = 0
    r3 = 0
    r4 = 0
    r5 = 0
    call 28
    r0 = 0
    exit`;
  expect(check(text(-8)).verdict).toBe("accept");
  expect(check(text(0))).toMatchObject({ verdict: "reject", rule: "stack-bounds", register: 1 });
});

test("a byte written over a spilled number takes the slot's other zeros with it", () => {
  // As the kernel's scrub_spilled_slot: zeros that nothing may rely on must not keep states apart.
  const text = (at: number) => `
    r6 = *(u32 *)(r1 +12)
    *(u32 *)(r10 -4) = 0
    *(u32 *)(r10 -8) = 0
    *(u8 *)(r10 ${at}) = r6
    r2 = *(u32 *)(r10 -4)
    r3 = r10
    r3 += -16
    r3 += r2
    *(u8 *)(r3 +0) = 1
    r0 = 0
    exit`;
  // At the slot's start it is a spill of its own.
  expect(check(text(-8)).verdict).toBe("accept");
  expect(check(text(-7))).toMatchObject({ verdict: "reject", rule: "stack-bounds" });
});

test("states are saved behind calls of helpers, as the kernel does", () => {
  // 6.18.44 walks 34 insns of this: it saves a state behind the first call, hence none at the exit on the first path.
  const filler = (value: number, count: number) => `r0 = ${value}\n`.repeat(count);
  const report = check(`
    r2 = *(u32 *)(r1 +0)
    r2 = *(u32 *)(r1 +12)
    r3 = *(u32 *)(r1 +12)
    if r2 == 1 goto a
    if r2 == 2 goto b
    ${filler(0, 8)}
    call 7
    goto out
    b: ${filler(1, 4)}
    call 7
    goto out
    a: ${filler(2, 5)}
    call 7
    goto out
    out: r0 = 0
    exit`);
  expect(report).toMatchObject({ verdict: "accept", processed: 34 });
});

test("a lookup's result must be compared with 0", () => {
  const text = (test: string) => `
    r1 = 0
    *(u32 *)(r10 -4) = r1
    r2 = r10
    r2 += -4
    r1 = map[hash] ll
    call 1
    ${test}
    r0 = *(u64 *)(r0 +8)
    exit
    out: r0 = 0
    exit`;
  expect(check(text("if r0 == 0 goto out")).verdict).toBe("accept");
  expect(check(text("if r0 == 1 goto out"))).toMatchObject({ verdict: "reject", rule: "null", register: 0 });
});

test("a variable index into a map value is bounded by what is known of it", () => {
  const text = (mask: number) => `
    r6 = *(u32 *)(r1 +12)
    r1 = 0
    *(u32 *)(r10 -4) = r1
    r2 = r10
    r2 += -4
    r1 = map[hash] ll
    call 1
    if r0 == 0 goto out
    r6 &= ${mask}
    r0 += r6
    r0 = *(u64 *)(r0 +0)
    out: r0 = 2
    exit`;
  expect(check(text(8)).verdict).toBe("accept");
  expect(check(text(15))).toMatchObject({ verdict: "reject", rule: "bounds" });
});

test("loops that end are walked, loops that do not are found", () => {
  expect(check("r6 = 0\nloop: r6 += 1\nif r6 < 1000 goto loop\nr0 = 0\nexit").verdict).toBe("accept");
  expect(check("r6 = *(u32 *)(r1 +12)\nr0 = 0\nloop: if r6 == 0 goto loop\nexit")).toMatchObject({
    verdict: "reject",
    rule: "endless-loop",
  });
});

test("a loop whose rounds branch is walked once a round, not once a path", () => {
  const report = check(`
    r7 = r1
    r6 = 0
    r8 = 0
    loop:
    r2 = *(u32 *)(r7 +12)
    if r2 == 1 goto odd
    r8 += 1
    goto join
    odd: r8 += 2
    join:
    r6 += 1
    if r6 < 64 goto loop
    r0 = 0
    exit`);
  expect(report.verdict).toBe("accept");
  expect(report.processed).toBeLessThan(3000);
});

test("what a queued branch reads does not keep the other side from being recognised", () => {
  const tail = Array.from({ length: 40 }, (_, i) => `call 7\nr6 = r0\nif r6 == ${i} goto out`).join("\n");
  const report = check(`
    *(u64 *)(r10 -8) = 50
    again: call 7
    if r0 != 5 goto on
    ${tail}
    goto out
    on: r1 = *(u64 *)(r10 -8)
    r1 += -1
    if r1 == 0 goto out
    *(u64 *)(r10 -8) = r1
    goto again
    out: r0 = 0
    exit`);
  expect(report.verdict).toBe("accept");
  expect(report.processed).toBeLessThan(1000);
});

test("helpers get what their table asks for", () => {
  expect(check("r1 = 0\nr2 = 0\ncall 1\nexit")).toMatchObject({ verdict: "reject", rule: "argument", register: 1 });
  expect(check("call 9\nr0 = 0\nexit")).toMatchObject({ verdict: "reject", rule: "helper" });
  const gpl = xdp("r1 = r10\nr1 += -8\nr2 = 8\ncall 6\nr0 = 0\nexit");
  expect(verify(gpl, { maps: MAPS, license: "MIT" })).toMatchObject({ verdict: "reject", rule: "licence" });
  expect(verify(gpl, { maps: MAPS, license: "GPL" }).verdict).toBe("accept");
});

test("functions are walked with their callers' values", () => {
  const text = (off: number) => `
    r2 = r10
    r2 += -8
    *(u64 *)(r10 -8) = 0
    r1 = r2
    call f
    exit
    f: r0 = *(u64 *)(r1 ${off < 0 ? off : `+${off}`})
    exit`;
  expect(check(text(0)).verdict).toBe("accept");
  expect(check(text(4))).toMatchObject({ verdict: "reject", rule: "stack-bounds", pc: 6 });
});

test("nested functions share 512 bytes of stack", () => {
  const frame = (bytes: number) => `*(u64 *)(r10 -${bytes}) = 0`;
  const text = (a: number, b: number) => `${frame(a)}\ncall f\nexit\nf: ${frame(b)}\nr0 = 0\nexit`;
  expect(check(text(256, 256))).toMatchObject({ verdict: "accept", stackDepth: 512 });
  expect(check(text(256, 264))).toMatchObject({ verdict: "reject", rule: "stack-depth" });
});

test("ring buffer memory must be submitted or discarded", () => {
  const maps = new Map([
    ["rb", { name: "rb", type: MapType.BPF_MAP_TYPE_RINGBUF, keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0 }],
  ]);
  const text = (end: string) => `
    r1 = map[rb] ll
    r2 = 8
    r3 = 0
    call 131
    if r0 == 0 goto out
    *(u64 *)(r0 +0) = 1
    ${end}
    out: r0 = 0
    exit`;
  expect(verify(xdp(text("r1 = r0\nr2 = 0\ncall 132")), { maps, license: "" }).verdict).toBe("accept");
  expect(verify(xdp(text("")), { maps, license: "" })).toMatchObject({ verdict: "reject", rule: "reference" });
});

test(`random bytes get a report, never an exception (seed ${SEED})`, () => {
  let seed = SEED;
  const next = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed >>> 8;
  };
  for (let i = 0; i < 3000; i++) {
    const code = Uint8Array.from({ length: (next() % 12) * 8 + (next() % 20 === 0 ? 3 : 0) }, () => next() & 255);
    const program = { ...xdp("exit"), code, type: next() % 33, relocs: [] };
    const { verdict } = verify(program, { maps: MAPS, license: "GPL" });
    expect(["accept", "reject", "unsupported"]).toContain(verdict);
  }
});

test("a profile knows which kernel brought an instruction or a helper", () => {
  const env = { maps: MAPS, license: "GPL" };
  const v4 = xdp("r0 = 5\nr0 s/= 3\nexit");
  expect(verify(v4, { ...env, profile: "6.6" }).verdict).toBe("accept");
  expect(verify(v4, { ...env, profile: "6.1" })).toMatchObject({ verdict: "reject", rule: "encoding", pc: 1 });
  const tai = xdp("call 208\nr0 = 0\nexit");
  expect(verify(tai, { ...env, profile: "6.1" }).verdict).toBe("accept");
  expect(verify(tai, { ...env, profile: "5.15" }).message).toContain("needs Linux 6.1");
});

test("an accepted program's facts say what is dead, decided and touched", () => {
  const { facts } = check(`
    r6 = 5
    if r6 > 3 goto on
    r6 = *(u32 *)(r1 +12)
    on:
    *(u64 *)(r10 -24) = 1
    r7 = *(u32 *)(r1 +12)
    if r7 == 0 goto out
    r7 = 1
    out: r0 = 0
    exit`);
  expect(facts.dead).toEqual([2]);
  expect(facts.outcomes[1]).toBe(2);
  expect(facts.outcomes[5]).toBe(3);
  expect(facts.regions[3]).toBe(1 << Kind.STACK);
  expect(facts.regions[4]).toBe(1 << Kind.CTX);
  expect(facts.frames.get(0)).toBe(24);
  const live = [...facts.live.slice(0, 2)].map((set) => set & 0x3ff);
  expect(live).toEqual([0b10, 0b1000010]);
});
