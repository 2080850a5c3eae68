/** `ebplane verify --kernel`: two verdicts side by side. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BtfBuilder } from "@ebplane/core/btf";
import { writeElf } from "@ebplane/core/elf";
import { type ProgramSpec, ProgType } from "@ebplane/core/object";
import { cpuNumbersEnd } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { ebplane, ebplaneJson, scratchFolder } from "./ebplane.ts";

const skip = kernelSkipReason();

interface Answer {
  readonly programs: readonly { name: string; verdict: string; kernel: { verdict: string; message: string } }[];
}

test.skipIf(skip)(
  `a program that the kernel cannot try leaves the others their verdict${skip ? ` (${skip})` : ""}`,
  () => {
    const lookup = (map: string) => `
    *(u64 *)(r10 - 8) = 0
    r2 = r10
    r2 += -8
    r1 = map[${map}]
    call bpf_map_lookup_elem
    r0 = 2
    exit`;
    const programs = [
      asmProgram("tried", ProgType.BPF_PROG_TYPE_XDP, lookup("good"), { section: "xdp" }),
      asmProgram("untried", ProgType.BPF_PROG_TYPE_XDP, lookup("wide"), { section: "xdp" }),
      asmProgram("refused", ProgType.BPF_PROG_TYPE_XDP, "exit", { section: "xdp" }),
    ];
    // No kernel makes an array with keys of 8 bytes.
    const file = join(scratchFolder(), "three.o");
    writeFileSync(file, writeElf(collectionOf(programs, [arrayMap("good"), { ...arrayMap("wide"), keySize: 8 }])));
    const { code, json } = ebplaneJson<Answer>(["verify", file, "--kernel"]);
    expect(code).toBe(1);
    expect(json.programs.map((p) => [p.name, p.kernel.verdict])).toEqual([
      ["tried", "accept"],
      ["untried", "unsupported"],
      ["refused", "reject"],
    ]);
    expect(json.programs[1]!.kernel.message).toContain("bpf(MAP_CREATE): EINVAL: map wide");
  },
);

interface Told {
  readonly programs: readonly {
    facts: {
      longestPath: number;
      stack: { total: number };
      helpers: string[];
      smallestKernel: { kernel: string };
    } | null;
    states: { pc: number; seen: number; states: Record<string, string>[] }[];
    rule: string | null;
    ruleText: string | null;
    fix: string | null;
    trace: number[];
  }[];
}

test("--json has the facts of an accepted program and all states by insn", () => {
  const file = join(import.meta.dirname, "../../../examples/programs/count.bpf.ts");
  const { code, json } = ebplaneJson<Told>(["verify", file]);
  expect(code).toBe(0);
  const [p] = json.programs;
  expect(p!.facts!.longestPath).toBeGreaterThan(20);
  expect(p!.facts!.helpers).toContain("bpf_map_lookup_elem");
  expect(p!.facts!.smallestKernel.kernel).toBe("5.4");
  expect(p!.states[0]).toMatchObject({ pc: 0, seen: 1, states: [{ r1: "ctx()" }] });
});

test("--json explains a refused program by rule, fix and trace", () => {
  const program = asmProgram("bad", ProgType.BPF_PROG_TYPE_XDP, "r2 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r2 +0)\nexit", {
    section: "xdp",
  });
  const file = join(scratchFolder(), "bad.o");
  writeFileSync(file, writeElf(collectionOf([program])));
  const { code, json } = ebplaneJson<Told>(["verify", file]);
  expect(code).toBe(1);
  expect(json.programs[0]).toMatchObject({ facts: null, rule: "packet-bounds", trace: [0, 1] });
  expect(json.programs[0]!.ruleText).toContain("data_end");
  expect(json.programs[0]!.fix).toContain("compare");
});

test("--cpus judges for a machine with so many, --kernel for this one", () => {
  const text = (cpus: number) => `
    call bpf_get_smp_processor_id
    if w0 >= ${cpus} goto other
    r0 = 1
    exit
    other: r0 = *(u64 *)(r10 -520)
    exit`;
  const object = (cpus: number): string => {
    const program = asmProgram("other", ProgType.BPF_PROG_TYPE_XDP, text(cpus), { section: "xdp" });
    const file = join(scratchFolder(), `${cpus}.o`);
    writeFileSync(file, writeElf(collectionOf([program])));
    return file;
  };
  const codeOf = (cpus: number, ...options: string[]) => ebplaneJson(["verify", object(cpus), ...options]).code;
  expect([codeOf(4, "--cpus", "4"), codeOf(4, "--cpus", "5"), codeOf(4)]).toEqual([0, 1, 1]);
  for (const wrong of ["0", "8193", "two"]) {
    const { code, stderr } = ebplane(["verify", object(4), "--cpus", wrong]);
    expect([code, stderr.split("\n").length]).toEqual([2, 2]);
  }
  if (skip) return;
  const here = cpuNumbersEnd();
  for (const cpus of [here, here - 1]) {
    const { json } = ebplaneJson<Answer>(["verify", object(cpus), "--kernel"]);
    expect(json.programs[0]!.verdict).toBe(cpus === here ? "accept" : "reject");
    expect(json.programs[0]!.kernel.verdict).toBe(json.programs[0]!.verdict);
  }
});

test("--target-prog names the program that an extension extends", () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, { encoding: "signed" });
  const ctx = builder.ptr(builder.struct("xdp_md", 24, []));
  const proto = builder.funcProto(int, [{ name: "ctx", type: ctx }]);
  const wide = builder.funcProto(int, [
    { name: "ctx", type: ctx },
    { name: "n", type: int },
  ]);
  const types = { main: proto, other: proto, f: proto, replaces: proto, misfits: wide };
  const ids = new Map(Object.entries(types).map(([name, type]) => [name, builder.func(name, type, "global")]));
  const btf = builder.build();
  const info = (pc: number, name: string) => ({ pc, name, typeId: ids.get(name)! });
  const written = (name: string, programs: readonly ProgramSpec[]): string => {
    const file = join(scratchFolder(), name);
    writeFileSync(file, writeElf({ ...collectionOf(programs), btf }));
    return file;
  };
  const xdp = (name: string, text: string, more: readonly [number, string][] = []): ProgramSpec => ({
    ...asmProgram(name, ProgType.BPF_PROG_TYPE_XDP, text, { section: "xdp" }),
    funcInfo: [info(0, name), ...more.map(([pc, of]) => info(pc, of))],
  });
  const calls = "call f\nr0 = 2\nexit\nf: r0 = 1\nexit";
  const target = written("target.o", [xdp("main", calls, [[3, "f"]]), xdp("other", "r0 = 1\nexit")]);
  const extension = (name: string): ProgramSpec => ({
    ...asmProgram(name, ProgType.BPF_PROG_TYPE_EXT, "r0 = *(u32 *)(r1 +0)\nr0 = 2\nexit", { section: "freplace/f" }),
    attachTo: "f",
    funcInfo: [info(0, name)],
  });
  const file = written("extensions.o", [extension("replaces"), extension("misfits")]);

  const alone = ebplane(["verify", file, "--prog", "replaces"]);
  expect(alone.code).toBe(0);
  expect(alone.stdout).toContain("assumed: that it replaces function f of a program of type xdp");
  for (const named of [target, `${target}#main`]) {
    const { code, json } = ebplaneJson<{
      programs: readonly { name: string; verdict: string; message: string; assumed: string | null }[];
    }>(["verify", file, "--target-prog", named]);
    expect(code).toBe(1);
    expect(json.programs.map((p) => [p.name, p.verdict, p.assumed])).toEqual([
      ["replaces", "accept", null],
      ["misfits", "reject", null],
    ]);
    expect(json.programs[1]!.message).toContain("the number of parameters is 2, not 1");
  }
  const wrong = ebplane(["verify", file, "--target-prog", `${target}#nothing`]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("no program named nothing")]);
  const none = ebplane(["verify", target, "--target-prog", target]);
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("no program here extends another one")]);
});

test("--dev-bound judges XDP programs as ones that are bound to a device", () => {
  const file = join(scratchFolder(), "hints.o");
  const text = "r2 = r10\nr2 += -4\nr3 = r10\nr3 += -8\ncall kfunc[bpf_xdp_metadata_rx_hash]\nr0 = 2\nexit";
  writeFileSync(
    file,
    writeElf(collectionOf([{ ...asmProgram("hints", ProgType.BPF_PROG_TYPE_XDP, text), section: "xdp" }], [])),
  );
  const plain = ebplane(["verify", file]);
  expect(plain.code).toBe(1);
  expect(plain.stdout).toContain("verify --dev-bound judges it so");
  expect(ebplane(["verify", file, "--dev-bound"]).code).toBe(0);
  expect(ebplane(["verify", file, "--dev-bound", "--kernel"]).code).toBe(2);
});
