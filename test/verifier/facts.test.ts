/**
 * The facts that the verifier gives of a program, against runs of it: no run is longer, goes round a loop more often, uses
 * more stack, reaches dead code, or holds another value in a register than they say.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { InsnError, UnsupportedError } from "@ebplane/core/errors";
import { decode, type Insn, STACK_SIZE } from "@ebplane/core/isa";
import type { MapSpec, ProgramSpec } from "@ebplane/core/object";
import { ProgType } from "@ebplane/core/object";
import { type RegisterFact, smallestKernel, type VerifierReport, verify } from "@ebplane/core/verifier";
import { GuardedRun, Machine, type VmMap, type VmProgram, XDP, XdpRing } from "@ebplane/core/vm";
import { asmProgram } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { boundaryProgram, MAPS, mutate, Rng, toSpec } from "./boundary.ts";

const SEED = 515;
const SPECS = new Map(MAPS.map((map) => [map.name, map]));

class Runner {
  readonly #machine = new Machine();
  readonly #ring = new XdpRing(this.#machine.memory);
  readonly #maps = new Map<string, VmMap>();
  steps = 0;
  longest = 0;

  constructor(specs: Iterable<MapSpec>) {
    for (const spec of specs) this.#maps.set(spec.name, this.#machine.createMap(spec));
  }

  load(program: ProgramSpec): VmProgram | undefined {
    try {
      return this.#machine.load(program, { maps: this.#maps, license: "GPL", engine: "interp" });
    } catch (error) {
      if (error instanceof InsnError || error instanceof UnsupportedError) return undefined;
      throw error;
    }
  }

  /** What a run contradicts; undefined when nothing. */
  run(
    loaded: VmProgram,
    insns: ReadonlyMap<number, Insn>,
    facts: VerifierReport["facts"],
    packet: Uint8Array,
  ): string | undefined {
    const ctx = this.#ring.write(0, packet, { ingressIfindex: 3, rxQueueIndex: 1 });
    const { view } = this.#machine.memory;
    const run = new GuardedRun(this.#machine, loaded, [ctx], { budget: 300_000 });
    const byPc = new Map(facts.insns!.map((fact) => [fact.pc, fact.registers]));
    const heads = new Map(facts.loops!.map((loop) => [loop.pc, 0]));
    const entries = [0, ...[...facts.frames.keys()].filter((pc) => pc > 0)].sort((a, b) => a - b);
    let steps = 0;
    let before: { pc: number; insn: Insn } | undefined;
    do {
      if (run.result) break;
      const { pc } = run;
      steps++;
      if (facts.dead.includes(pc)) return `pc ${pc} is dead and runs`;
      if (before) {
        const outcome = facts.outcomes[before.pc]!;
        const next = before.pc + 1;
        if (outcome === 1 && pc !== next) return `the jump at ${before.pc} jumps, the facts say it never does`;
        if (outcome === 2 && pc === next) return `the jump at ${before.pc} falls through, the facts say it never does`;
      }
      const insn = insns.get(pc)!;
      before = facts.outcomes[pc] && insn.off !== 0 ? { pc, insn } : undefined;
      const head = heads.get(pc);
      if (head !== undefined) heads.set(pc, head + 1);
      const values = run.registers();
      const top = BigInt(run.activation.stack + (run.frame + 1) * STACK_SIZE);
      const bases: Record<string, bigint> = {
        number: 0n,
        ctx: BigInt(ctx),
        packet: BigInt(view.getUint32(ctx + XDP.DATA, true)),
        "stack pointer": run.frame === 0 ? top : -1n,
      };
      for (const fact of byPc.get(pc) ?? []) {
        const problem = outside(fact, values[fact.register]!, bases);
        if (problem) return `pc ${pc}, r${fact.register}: ${problem}`;
      }
      const isStore = (insn.opcode & 7) === 2 || (insn.opcode & 7) === 3;
      if (isStore && run.frame === 0) {
        const depth = Number(top - BigInt.asUintN(64, values[insn.dst]! + BigInt(insn.off)));
        const used = facts.frames.get(entries[0]!) ?? 0;
        if (depth > used && depth <= STACK_SIZE)
          return `pc ${pc} stores at fp-${depth}, the facts say ${used} bytes of stack`;
      }
    } while (run.step());
    if (facts.longestPath !== undefined && steps > facts.longestPath)
      return `${steps} insns, at most ${facts.longestPath} by the facts`;
    for (const { pc, bound } of facts.loops!) {
      if (bound !== undefined && heads.get(pc)! > bound)
        return `the loop at ${pc} went round ${heads.get(pc)} times, at most ${bound} by the facts`;
    }
    this.steps += steps;
    this.longest = Math.max(this.longest, steps);
    return undefined;
  }
}

function outside(fact: RegisterFact, value: bigint, bases: Readonly<Record<string, bigint>>): string | undefined {
  const [kind] = fact.kinds;
  if (fact.kinds.length !== 1 || fact.maybeNull) return undefined;
  const base = bases[kind!];
  if (base === undefined || base < 0n) return undefined;
  const n = BigInt.asUintN(64, value - base);
  const signed = BigInt.asIntN(64, n);
  const { umin, umax, smin, smax, bits } = fact;
  const ok = umin <= n && n <= umax && smin <= signed && signed <= smax && (n & ~bits.mask) === bits.value;
  return ok
    ? undefined
    : `${kind} ${signed} is not in ${smin} to ${smax}, ${umin} to ${umax}, bits ${bits.value.toString(16)}/${bits.mask.toString(16)}`;
}

function insnsOf(program: ProgramSpec): ReadonlyMap<number, Insn> {
  return new Map(decode(program.code).map((insn) => [insn.pc, insn]));
}

test(`random programs keep to their facts (seed ${SEED})`, () => {
  let runner = new Runner(MAPS);
  let checked = 0;
  for (let i = 0; i < 600; i++) {
    if (i % 200 === 199) runner = new Runner(MAPS);
    const rng = new Rng(SEED * 1_000_003 + i);
    let program = boundaryProgram(rng);
    for (let n = rng.below(3); n > 0; n--) program = mutate(rng, program);
    const spec = toSpec(program);
    const report = verify(spec, { maps: SPECS, license: "GPL", facts: true, maxProcessed: 20_000 });
    if (report.verdict !== "accept" || !report.facts.insns) continue;
    const loaded = runner.load(spec);
    if (!loaded) continue;
    const insns = insnsOf(spec);
    for (const length of [14, 20, 60, 15 + rng.below(60), 300]) {
      const packet = Uint8Array.from({ length }, () => rng.next());
      const problem = runner.run(loaded, insns, report.facts, packet);
      if (problem) expect.fail(`program ${i}: ${problem}`);
    }
    loaded.close();
    checked++;
  }
  expect(checked).toBeGreaterThan(60);
});

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

test("the examples keep to their facts", () => {
  for (const name of ["balance", "block-dns", "count", "flows", "limit", "route"]) {
    const entry = `${ROOT}examples/programs/${name}.bpf.ts`;
    const { spec } = compile({ entry, files: (path) => (existsSync(path) ? readFileSync(path, "utf8") : undefined) });
    const runner = new Runner(spec.maps.values());
    const rng = new Rng(SEED);
    for (const program of spec.programs.values()) {
      const report = verify(program, { maps: spec.maps, license: spec.license, btf: spec.btf, facts: true });
      expect(report.verdict).toBe("accept");
      const loaded = runner.load(program)!;
      const insns = insnsOf(program);
      for (let i = 0; i < 60; i++) {
        const packet = Uint8Array.from({ length: 30 + rng.below(100) }, () => rng.next());
        if (i % 2) packet.set([0x08, 0x00, 0x45, 0, 0, 80, 0, 0, 0, 0, 64, [6, 17, 1][i % 3]!], 12);
        const problem = runner.run(loaded, insns, report.facts, packet);
        if (problem) expect.fail(`${name}: ${problem}`);
      }
      expect(runner.longest).toBeGreaterThan(10);
      expect(report.facts.longestPath!).toBeGreaterThanOrEqual(runner.longest);
    }
  }
});

test("a counted loop has its bound, and its longest run is exact", () => {
  const program = asmProgram(
    "loop",
    ProgType.BPF_PROG_TYPE_XDP,
    `
    r0 = 0
    r1 = 0
    again: r0 += r1
    r1 += 1
    if r1 != 10 goto again
    r0 = 2
    exit`,
  );
  const { facts } = verify(program, { maps: new Map(), license: "GPL", facts: true });
  expect(facts.loops).toEqual([{ pc: 2, bound: 10 }]);
  expect(facts.longestPath).toBe(2 + 10 * 3 + 2);
  expect(facts.insns!.find(({ pc }) => pc === 3)!.registers[1]).toMatchObject({ register: 1, umin: 0n, umax: 9n });
});

test("asking for facts changes no verdict: where their own walk does not end, they are left out", () => {
  // Twelve sums that nothing looks at: the usual walk does not tell them apart, the one for facts does.
  const step = (i: number) => `call 7\nif r0 == 0 goto l${i}\nr6 += ${1 << i}\nl${i}:`;
  const text = `r6 = 0\n${Array.from({ length: 12 }, (_, i) => step(i)).join("\n")}\nr0 = 0\nr1 = r6\nexit`;
  const program = asmProgram("sums", ProgType.BPF_PROG_TYPE_XDP, text);
  const [usual, withFacts] = [false, true].map((facts) =>
    verify(program, { maps: new Map(), license: "GPL", maxProcessed: 1000, facts }),
  );
  expect(usual!.verdict).toBe("accept");
  expect(withFacts).toEqual(usual);
  expect(verify(program, { maps: new Map(), license: "GPL", facts: true }).facts.longestPath).toBe(1 + 12 * 3 + 3);
});

test("the smallest kernel is the one before which an instruction or a helper is missing", () => {
  const env = { maps: new Map(), license: "GPL" };
  const of = (text: string) => smallestKernel(asmProgram("p", ProgType.BPF_PROG_TYPE_XDP, text), env);
  expect(of("r0 = 2\nexit")).toEqual({ kernel: "5.4", before: undefined });
  const signed = of("r1 = *(u32 *)(r1 +12)\nr1 = (s8)r1\nr0 = 2\nexit");
  expect(signed.kernel).toBe("6.6");
  expect(signed.before).toMatchObject({ kernel: "6.1", pc: 1 });
  expect(signed.before!.message).toContain("needs Linux 6.6");
});
