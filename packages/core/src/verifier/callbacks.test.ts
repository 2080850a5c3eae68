import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { BtfBuilder } from "../btf/index.ts";
import { BPF_PSEUDO_FUNC, decode, OP_LDDW } from "../isa/index.ts";
import { type MapSpec, MapType, type ProgramSpec, ProgType } from "../object/index.ts";
import { type VerifierReport, verify } from "./index.ts";

function check(
  text: string,
  maps: readonly MapSpec[] = [],
  extra: Partial<Parameters<typeof verify>[1]> = {},
): VerifierReport {
  const { code, relocs, lineInfo } = assemble(text);
  const type = ProgType.BPF_PROG_TYPE_SCHED_CLS;
  const program: ProgramSpec = {
    name: "t",
    section: "tc",
    type,
    attachType: 0,
    flags: 0,
    code,
    relocs,
    funcInfo: targets(code).map((pc) => ({ pc, name: "callback", typeId: CALLBACK })),
    lineInfo,
  };
  return verify(program, { maps: new Map(maps.map((m) => [m.name, m])), license: "GPL", btf: BTF, ...extra });
}

/** BTF with one static function that returns an int, which describes every callback here. */
function describeCallback(builder: BtfBuilder): number {
  return builder.func("callback", builder.funcProto(builder.int("int", 4, { encoding: "signed" }), []), "static");
}
const builder = new BtfBuilder();
const CALLBACK = describeCallback(builder);
const BTF = builder.build();

/** pcs of the functions whose address the program takes. */
function targets(code: Uint8Array): number[] {
  return decode(code)
    .filter((insn) => insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC)
    .map((insn) => insn.pc + insn.imm + 1);
}

/** bpf_loop over a callback that counts in the caller's stack. `body` is the callback's. */
const loopOver = (body: string, use: string) => `
  *(u64 *)(r10 -8) = 0
  r1 = 1000000
  r2 = subprog[+9]
  r3 = r10
  r3 += -8
  r4 = 0
  call 181
  r1 = *(u64 *)(r10 -8)
  ${use}
  r0 = 0
  exit
  ${body}`;

test("a loop over a callback is walked until a round adds nothing, not a million times", () => {
  const report = check(loopOver("r1 = *(u64 *)(r2 +0)\nr1 += 1\n*(u64 *)(r2 +0) = r1\nr0 = 0\nexit", "r1 = 0"));
  expect(report).toMatchObject({ verdict: "accept" });
  expect(report.processed).toBeLessThan(200);
});

test("what a callback may have changed is not known behind the loop", () => {
  const use = "r2 = r10\nr2 += -8\nr2 += r1\nr1 = *(u8 *)(r2 +0)";
  const text = loopOver("r1 = *(u64 *)(r2 +0)\nr1 += 1\n*(u64 *)(r2 +0) = r1\nr0 = 0\nexit", use).replace("+9", "+12");
  expect(check(text).verdict).toBe("reject");
});

test("a callback returns 0 or 1", () => {
  expect(check(loopOver("r0 = 2\nexit\nr0 = 0\nexit", "r1 = 0")).verdict).toBe("reject");
  expect(check(loopOver("r0 = 2\nexit", "r1 = 0"))).toMatchObject({ rule: "return-value" });
});

test("a function whose address is taken must be described by BTF", () => {
  const text = loopOver("r0 = 0\nexit", "r1 = 0");
  expect(check(text).verdict).toBe("accept");
  expect(check(text, [], { btf: undefined })).toMatchObject({ verdict: "reject", rule: "callback", pc: 2 });
});

test("may_goto ends a loop that nothing else bounds", () => {
  expect(check("r6 = 0\nloop: may_goto +2\nr6 += 1\ngoto loop\nr0 = 0\nexit").verdict).toBe("accept");
});

/** A hash whose value is `struct { u64 n; struct FIELD f; }`. */
function withField(field: "bpf_spin_lock" | "bpf_timer", size: number) {
  const builder = new BtfBuilder();
  describeCallback(builder);
  const u64 = builder.int("unsigned long", 8);
  const inner = builder.struct(field, size, [{ name: "v", type: u64, bitOffset: 0 }]);
  const value = builder.struct("value", 8 + size, [
    { name: "n", type: u64, bitOffset: 0 },
    { name: "f", type: inner, bitOffset: 64 },
  ]);
  const map: MapSpec = {
    name: "m",
    type: MapType.BPF_MAP_TYPE_HASH,
    keySize: 4,
    valueSize: 8 + size,
    maxEntries: 4,
    flags: 0,
    valueTypeId: value,
  };
  return { map, btf: builder.build() };
}

const lookup = (body: string) => `
  *(u32 *)(r10 -4) = 0
  r2 = r10
  r2 += -4
  r1 = map[m] ll
  call 1
  if r0 == 0 goto out
  r6 = r0
  ${body}
  out: r0 = 0
  exit`;

test("a spin lock is taken and given back around the value it guards", () => {
  const { map, btf } = withField("bpf_spin_lock", 8);
  const lock = "r1 = r6\nr1 += 8\ncall 93";
  const unlock = "r1 = r6\nr1 += 8\ncall 94";
  expect(check(lookup(`${lock}\n*(u64 *)(r6 +0) = 1\n${unlock}`), [map], { btf }).verdict).toBe("accept");
  expect(check(lookup(lock), [map], { btf })).toMatchObject({ verdict: "reject", rule: "lock" });
  expect(check(lookup(unlock), [map], { btf })).toMatchObject({ verdict: "reject", rule: "lock" });
  expect(check(lookup(`${lock}\ncall 7\n${unlock}`), [map], { btf })).toMatchObject({
    verdict: "reject",
    rule: "lock",
  });
  expect(check(lookup("*(u32 *)(r6 +8) = 1"), [map], { btf })).toMatchObject({
    verdict: "reject",
    rule: "special-field",
  });
  expect(check(lookup("r1 = r6\ncall 93"), [map], { btf })).toMatchObject({ verdict: "reject", rule: "special-field" });
});

test("a timer's callback is walked with the map's element", () => {
  const { map, btf } = withField("bpf_timer", 16);
  const text = (access: string) => `${lookup("r1 = r6\nr1 += 8\nr2 = subprog[+4]\ncall 170")}\n${access}\nr0 = 0\nexit`;
  expect(check(text("r1 = *(u64 *)(r3 +0)"), [map], { btf }).verdict).toBe("accept");
  expect(check(text("r1 = *(u64 *)(r3 +24)"), [map], { btf })).toMatchObject({ verdict: "reject", rule: "bounds" });
});

const RING: MapSpec = {
  name: "rb",
  type: MapType.BPF_MAP_TYPE_RINGBUF,
  keySize: 0,
  valueSize: 0,
  maxEntries: 4096,
  flags: 0,
};
const reserve = (body: string) => `
  r1 = map[rb] ll
  r2 = 16
  r3 = 0
  r4 = r10
  r4 += -16
  call 198
  ${body}
  r0 = 0
  exit`;
const submit = "r1 = r10\nr1 += -16\nr2 = 0\ncall 199";

test("a dynptr is made, looked into, and given back on every path", () => {
  const data = "r1 = r10\nr1 += -16\nr2 = 0\nr3 = 8\ncall 203\nif r0 == 0 goto done\n*(u64 *)(r0 +0) = 1\ndone:";
  expect(check(reserve(`${data}\n${submit}`), [RING]).verdict).toBe("accept");
  expect(check(reserve(""), [RING])).toMatchObject({ verdict: "reject", rule: "reference" });
  expect(check(reserve(`${submit}\n${submit}`), [RING])).toMatchObject({ verdict: "reject", rule: "dynptr" });
  expect(check(reserve(`*(u64 *)(r10 -8) = 0\n${submit}`), [RING])).toMatchObject({
    verdict: "reject",
    rule: "dynptr",
  });
  expect(check(reserve(`r1 = *(u64 *)(r10 -16)\n${submit}`), [RING])).toMatchObject({ rule: "stack-special" });
  const late = data.replace("*(u64 *)(r0 +0) = 1", `r6 = r0\n${submit}\n*(u64 *)(r6 +0) = 1\ngoto out`);
  expect(check(`${reserve(`${late}\n${submit}`)}\nout: r0 = 0\nexit`, [RING])).toMatchObject({ rule: "not-pointer" });
});

/**
 * The round of the inner loop at `same` is known only when the outer one's is: the path over `far` may not be given up
 * there for an earlier one that never saw what `use` asks of r7.
 */
const nested = (far: number) => `
  *(u64 *)(r10 -8) = 0
  r7 = -8
outer:
  may_goto done
  r6 = 0
  call 7
  if r0 == 0 goto use
  call 7
  if r0 == 0 goto other
inner:
  may_goto outer
  r1 = 1
  r1 = 2
  r1 = 3
  r1 = 4
  r1 = 5
  r1 = 6
  r1 = 7
  if r6 == 0 goto same
  r7 = ${far}
  r6 = 0
same:
  r1 = 8
  goto inner
other:
  r6 = 1
  goto inner
use:
  r1 = r10
  r1 += r7
  r0 = *(u8 *)(r1 +0)
  goto outer
done:
  r0 = 0
  exit`;

test("a state in a finished loop inside an unfinished one does not count as walked to its end", () => {
  expect(check(nested(-8)).verdict).toBe("accept");
  // As 6.18: a round of the outer loop has forgotten r7 before `use` looks at it.
  expect(check(nested(-600)).rule).toBe("unbounded");
});

test("a round that only put something where nothing was known before is the last one", () => {
  // Eight branches that each may write a byte of a slot of their own: 1,280 steps where each set of slots has its round.
  const writes = [1, 2, 3, 4, 5, 6, 7, 8].map(
    (slot) => `call 7\n  if r0 == 0 goto past${slot}\n  *(u8 *)(r10 -${8 * slot - 1}) = r0\npast${slot}:`,
  );
  const report = check(`again:\n  may_goto done\n  ${writes.join("\n  ")}\n  goto again\ndone:\n  r0 = 0\n  exit`);
  expect(report.verdict).toBe("accept");
  expect(report.processed).toBeLessThan(100);
});
