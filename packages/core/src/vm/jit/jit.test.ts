import { describe, expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import { encode, type InsnInit } from "../../isa/index.ts";
import type { VmMap } from "../../maps/index.ts";
import { MapType, ProgType } from "../../object/index.ts";
import { checkCode } from "../code.ts";
import { XdpRing } from "../ctx/xdp.ts";
import { rawProgram } from "../exec.ts";
import { Machine, type ProgramLoad } from "../machine.ts";
import { buildCfg, computeOrder, findLeaders, makeReducible } from "./cfg.ts";
import type { JitRunner } from "./index.ts";

function code(text: string): Uint8Array {
  return assemble(text).code;
}

function load(text: string, options: ProgramLoad = {}, machine = new Machine()) {
  const program = machine.load(rawProgram(code(text)), { engine: "jit", ...options });
  return { machine, program, call: (...args: number[]) => machine.r0(program.runner.call(0, args)) };
}

/** r0 on both engines, verified and not. */
function everywhere(text: string, ...args: number[]): bigint {
  const expected = load(text, { engine: "interp" }).call(...args);
  expect(load(text).call(...args)).toBe(expected);
  expect(load(text, { verified: true }).call(...args)).toBe(expected);
  return expected;
}

/** A loop that is entered at its head or in its middle: r1 says where. */
const TWO_ENTRIES = `
  r0 = 0
  r2 = 5
  if r1 != 0 goto middle
head:
  r0 += 100
middle:
  r0 += 1
  r2 += -1
  if r2 != 0 goto head
  exit`;

describe("loops with several entries", () => {
  test("are not reducible before, and are after", () => {
    const checked = checkCode(code(TWO_ENTRIES));
    const cfg = buildCfg(checked, findLeaders(checked), 0);
    expect(computeOrder(cfg).isReducible).toBe(false);
    makeReducible(cfg);
    expect(computeOrder(cfg).isReducible).toBe(true);
    expect(cfg.blocks.filter((b) => b.ending.kind === "switch")).toHaveLength(1);
  });

  test("run from each entry", () => {
    expect(everywhere(TWO_ENTRIES, 0)).toBe(505n);
    expect(everywhere(TWO_ENTRIES, 1)).toBe(405n);
  });

  test("inside of such loops too", () => {
    const nested = `
      r0 = 0
      r2 = 3
      if r1 == 0 goto inner2
    outer1:
      r0 += 1
      r3 = 4
      if r1 == 2 goto inner1
    inner2:
      r0 += 10
      r3 += -1
    inner1:
      r0 += 1000
      r3 += -1
      if r3 s> 0 goto inner2
      r2 += -1
      if r2 s> 0 goto outer1
      exit`;
    const results = [0, 1, 2].map((r1) => everywhere(`r3 = 2\n${nested}`, r1));
    expect(new Set(results).size).toBe(3);
  });

  test("leave the rest of the function without a dispatcher", () => {
    const checked = checkCode(code(`r9 = 1\nplain:\nr9 += -1\nif r9 != 0 goto plain\n${TWO_ENTRIES}`));
    const cfg = buildCfg(checked, findLeaders(checked), 0);
    makeReducible(cfg);
    const { ending, successors } = cfg.blocks.find((b) => b.ending.kind === "switch")!;
    expect(ending.kind).toBe("switch");
    expect(successors).toHaveLength(2);
  });
});

describe("size", () => {
  /** `count` times: if the packet's byte is n, add; nested as a chain of else. */
  function chain(count: number): Uint8Array {
    const insns: InsnInit[] = [
      { opcode: 0xb7, dst: 0 },
      { opcode: 0xb7, dst: 2, imm: 3 },
    ];
    for (let i = 0; i < count; i++) {
      insns.push(
        { opcode: 0x15, dst: 2, imm: i % 7, off: 2 },
        { opcode: 0x07, dst: 0, imm: i },
        { opcode: 0x2f, dst: 2, src: 0 },
      );
      insns.push({ opcode: 0x57, dst: 2, imm: 7 });
    }
    return encode([...insns, { opcode: 0x95 }]);
  }

  test("4,000 insns with 1,000 branches load in less than 100 ms", () => {
    const machine = new Machine();
    const spec = rawProgram(chain(1000));
    const times = Array.from({ length: 8 }, () => {
      const start = performance.now();
      machine.load(spec, { engine: "jit", verified: true }).close();
      return performance.now() - start;
    });
    // The best of eight: other processes may be at work.
    expect(Math.min(...times)).toBeLessThan(100);
  });

  test("20,000 branches deep, nothing overflows", () => {
    const machine = new Machine();
    const spec = rawProgram(chain(20_000));
    const jit = machine.load(spec, { engine: "jit", verified: true });
    const interp = machine.load(spec, { engine: "interp" });
    expect(jit.run(0)).toBe(interp.run(0));
  });

  test("5,000 branches that all leave to one place", () => {
    const insns: InsnInit[] = [{ opcode: 0xbf, dst: 0, src: 1 }];
    for (let i = 0; i < 5000; i++)
      insns.push({ opcode: 0x15, dst: 1, imm: i, off: 2 * (5000 - i) - 1 }, { opcode: 0x07, dst: 0, imm: 1 });
    const spec = rawProgram(encode([...insns, { opcode: 0x95 }]));
    const machine = new Machine();
    const program = machine.load(spec, { engine: "jit", verified: true });
    expect(program.runner.call(0, [4999])).toBe(2 * 4999);
    expect(program.runner.call(0, [5000])).toBe(2 * 5000);
  });

  test("a loop in a loop, 200 deep", () => {
    let text = "r0 = 0\nr1 = 1\n";
    for (let i = 0; i < 200; i++) text += `l${i}:\n`.replace(`l${i}:`, `r0 += 1\nl${i}:`);
    for (let i = 199; i >= 0; i--) text += `r1 += -1\nif r1 s> 0 goto l${i}\n`;
    expect(everywhere(`${text}exit`)).toBe(200n);
  });
});

describe("faults", () => {
  test("an access beyond the memory says so and leaves the machine usable", () => {
    const { machine, program, call } = load("r0 = *(u32 *)(r1 + 0)\nexit");
    expect(() => call(machine.memory.size)).toThrow("leaves the memory: memory access out of bounds");
    expect(() => program.run(-4)).toThrow("leaves the memory");
    expect(call(machine.cpuBlock)).toBe(0n);
  });

  test("a recursion ends at the eighth frame", () => {
    expect(() => load("call f\nexit\nf:\ncall f\nexit").call()).toThrow("call depth: expected at most 8 frames");
  });

  test("fuel ends a loop that does not", () => {
    const { program } = load("l:\nr0 += 1\ngoto l", { fuel: 1000 });
    expect(() => program.run(0)).toThrow("insn budget: more than 1000 loop turns and calls");
  });

  test("fuel is new for every run", () => {
    const { machine, program } = load("r0 = 0\nl:\nr0 += 1\nif r0 != 90 goto l\nexit", { fuel: 100 });
    for (let i = 0; i < 5; i++) expect(program.run(0)).toBe(90);
    const verdicts = machine.memory.alloc(64);
    program.runner.batch(0, 0, 16, verdicts);
    expect(machine.memory.view.getUint32(verdicts + 60, true)).toBe(90);
  });
});

describe("batch", () => {
  test.each([true, false])(
    "runs each ctx of a ring and stores its verdict (program inside the loop: %s)",
    (inlineBatch) => {
      const machine = new Machine();
      const spec = rawProgram(
        code("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 3)\nif r0 == 5 goto +1\nexit\nr0 = -1\nexit"),
        ProgType.BPF_PROG_TYPE_XDP,
      );
      const program = machine.load(spec, { engine: "jit", verified: true, inlineBatch });
      const ring = new XdpRing(machine.memory, 9);
      for (let i = 0; i < 9; i++) ring.write(i, Uint8Array.of(9, 9, 9, i));
      program.runner.batch(ring.ctx, 64, 9, ring.verdicts);
      expect(Array.from({ length: 9 }, (_, i) => ring.verdict(i))).toEqual([0, 1, 2, 3, 4, 0xffffffff, 6, 7, 8]);
      machine.memory.view.setUint32(ring.verdicts, 77, true);
      program.runner.batch(ring.ctx, 64, 0, ring.verdicts);
      expect(ring.verdict(0)).toBe(77);
    },
  );

  test("may_goto has its whole count in each run of a batch", () => {
    const machine = new Machine();
    const text = "r0 = 0\nl:\nmay_goto out\nr0 += 1\nif r0 != 3 goto l\nout:\nexit";
    const program = machine.load(rawProgram(code(text)), { engine: "jit", verified: true });
    const verdicts = machine.memory.alloc(64);
    program.runner.batch(0, 0, 4, verdicts);
    expect(machine.memory.view.getUint32(verdicts + 12, true)).toBe(3);
  });
});

describe("stack slots", () => {
  test("that a pointer reaches stay in memory", () => {
    // The slot is written directly, changed through a copy of r10 whose distance is unknown, and read directly.
    const text = `
      *(u64 *)(r10 - 8) = 1
      *(u64 *)(r10 - 16) = 2
      r2 = r10
      r1 &= 8
      r2 -= r1
      *(u64 *)(r2 - 8) = 7
      r0 = *(u64 *)(r10 - 8)
      r0 *= 10
      r3 = *(u64 *)(r10 - 16)
      r0 += r3
      exit`;
    expect(everywhere(text, 0)).toBe(72n);
    expect(everywhere(text, 8)).toBe(17n);
  });

  test("that a subprogram gets a pointer to stay in memory", () => {
    const text = `
      *(u64 *)(r10 - 8) = 1
      r1 = r10
      r1 += -8
      call f
      r0 = *(u64 *)(r10 - 8)
      exit
    f:
      *(u64 *)(r1 + 0) = 42
      *(u64 *)(r10 - 8) = 5
      r0 = 0
      exit`;
    expect(everywhere(text)).toBe(42n);
  });

  test("whose address is stored stay in memory", () => {
    const text = `
      *(u64 *)(r10 - 8) = 1
      r1 = r10
      r1 += -8
      *(u64 *)(r10 - 16) = r1
      r2 = *(u64 *)(r10 - 16)
      *(u64 *)(r2 + 0) = 9
      r0 = *(u64 *)(r10 - 8)
      exit`;
    expect(everywhere(text)).toBe(9n);
  });

  test("accessed in two sizes stay in memory", () => {
    const text = `
      *(u64 *)(r10 - 8) = 0x1234
      *(u8 *)(r10 - 7) = 0x56
      r0 = *(u64 *)(r10 - 8)
      r1 = *(u16 *)(r10 - 8)
      r0 += r1
      exit`;
    expect(everywhere(text)).toBe(0x5634n * 2n);
  });

  test("become locals when nothing else reaches them, so no store is left in the module", () => {
    const text = `
      *(u32 *)(r10 - 4) = r1
      *(u16 *)(r10 - 6) = r1
      r0 = *(u32 *)(r10 - 4)
      r2 = *(u16 *)(r10 - 6)
      r0 += r2
      exit`;
    const stores = (verified: boolean) => {
      const { wasm } = load(text, { verified }).program.runner as JitRunner;
      // i64.store16 with alignment 0: no other place of these modules has these two bytes.
      return wasm.filter((byte, i) => byte === 0x3d && wasm[i + 1] === 0).length;
    };
    expect(everywhere(text, -1)).toBe(0xffffffffn + 0xffffn);
    expect(stores(true)).toBe(0);
    expect(stores(false)).toBeGreaterThan(0);
  });
});

describe("loops with a known number of turns", () => {
  test.each([1, 2, 3, 4, 5, 7, 12, 15, 31, 375])("%i turns", (turns) => {
    const up = `r0 = 0\nr2 = 0\nl:\nr0 += 3\nr2 += 4\nif w2 != ${4 * turns} goto l\nr0 += r2\nexit`;
    expect(everywhere(up)).toBe(BigInt(7 * turns));
    const down = `r0 = 0\nr2 = ${turns}\nl:\nr0 += r2\nif r0 > 100000 goto out\nr2 += -1\nif r2 s> 0 goto l\nout:\nexit`;
    expect(everywhere(down)).toBe(BigInt((turns * (turns + 1)) / 2));
  });
});

describe("calls out of the program", () => {
  /** `lddw` of a map named jump stands where the text says `map`. */
  function withJump(machine: Machine, text: string, engine: "jit" | "interp", jump: VmMap, verified = true) {
    const { code: bytes, relocs } = assemble(text);
    const spec = { ...rawProgram(bytes, ProgType.BPF_PROG_TYPE_XDP), relocs };
    return machine.load(spec, { engine, verified, maps: new Map([["jump", jump]]) });
  }
  const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
  const SPEC = {
    name: "jump",
    type: MapType.BPF_MAP_TYPE_PROG_ARRAY,
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
    flags: 0,
  };
  const AGAIN =
    "r6 = *(u32 *)(r1 + 0)\nr6 += 1\n*(u32 *)(r1 + 0) = r6\nr2 = map[jump] ll\nr3 = 1\ncall 12\nr0 = r6\nexit";

  test.each(["jit", "interp"] as const)("33 tail calls and no more, on %s", (engine) => {
    const machine = new Machine();
    const jump = machine.createMap(SPEC);
    const again = withJump(machine, AGAIN, engine, jump);
    jump.update(u32(1), u32(again.id));
    const ctx = machine.memory.alloc(64);
    expect(again.run(ctx)).toBe(34);
    machine.memory.view.setUint32(ctx, 0, true);
    expect(again.run(ctx)).toBe(34);
  });

  test.each(["jit", "interp"] as const)(
    "an empty slot and one beyond the end go on behind the call, on %s",
    (engine) => {
      const machine = new Machine();
      const jump = machine.createMap(SPEC);
      const text = (index: number) => `r2 = map[jump] ll\nr3 = ${index}\ncall 12\nr0 = 7\nexit`;
      for (const index of [0, 3, 4, -1]) expect(withJump(machine, text(index), engine, jump).run(0)).toBe(7);
    },
  );

  test.each(["jit", "interp"] as const)("a tail call in a subprogram returns to the caller, on %s", (engine) => {
    const machine = new Machine();
    const jump = machine.createMap(SPEC);
    const target = withJump(machine, "*(u64 *)(r10 - 8) = 1\nr0 = 40\nexit", engine, jump);
    jump.update(u32(2), u32(target.id));
    const text = `
      r6 = 2
      *(u64 *)(r10 - 8) = r6
      call f
      r1 = *(u64 *)(r10 - 8)
      r0 += r1
      exit
    f:
      r2 = map[jump] ll
      r3 = 2
      call 12
      r0 = 1000
      exit`;
    expect(withJump(machine, text, engine, jump).run(0)).toBe(42);
  });

  test.each(["before", "after"])("a target loaded %s its caller keeps count of the frames", (when) => {
    const machine = new Machine();
    const jump = machine.createMap(SPEC);
    const caller = () => withJump(machine, "r2 = map[jump] ll\nr3 = 2\ncall 12\nr0 = 7\nexit", "jit", jump, false);
    // r1 more frames, each adds 1.
    const target = (turns: number) => `
      r1 = ${turns}
      call f
      exit
    f:
      r0 = 0
      if r1 == 0 goto out
      r1 += -1
      call f
      r0 += 1
    out:
      exit`;
    for (const [turns, answer] of [
      [0, 0],
      [6, 6],
    ] as const) {
      const early = when === "after" ? caller() : undefined;
      const program = withJump(machine, target(turns), "jit", jump, false);
      jump.update(u32(2), u32(program.id));
      expect((early ?? caller()).run(0)).toBe(answer);
    }
    const program = withJump(machine, target(7), "jit", jump, false);
    jump.update(u32(2), u32(program.id));
    expect(() => caller().run(0)).toThrow("call depth: expected at most 8 frames");
  });

  test("a program that was closed is no target any more", () => {
    const machine = new Machine();
    const jump = machine.createMap(SPEC);
    const target = withJump(machine, "r0 = 1\nexit", "jit", jump);
    jump.update(u32(2), u32(target.id));
    const caller = withJump(machine, "r2 = map[jump] ll\nr3 = 2\ncall 12\nr0 = 7\nexit", "jit", jump);
    expect(caller.run(0)).toBe(1);
    target.close();
    expect(caller.run(0)).toBe(7);
  });

  test("bpf_loop counts, stops early, and refuses flags and too many turns", () => {
    const loop = (turns: number, flags: number, stopAt: number) => `
      *(u64 *)(r10 - 8) = 0
      r1 = ${turns}
      r2 = subprog[body]
      r3 = r10
      r3 += -8
      r4 = ${flags}
      call 181
      r1 = *(u64 *)(r10 - 8)
      r1 <<= 32
      r0 <<= 32
      r0 >>= 32
      r0 |= r1
      exit
    body:
      r3 = *(u64 *)(r2 + 0)
      r3 += r1
      *(u64 *)(r2 + 0) = r3
      r0 = 0
      if r1 != ${stopAt} goto +1
      r0 = 1
      exit`;
    expect(everywhere(loop(10, 0, 99))).toBe((45n << 32n) | 10n);
    expect(everywhere(loop(10, 0, 3))).toBe((6n << 32n) | 4n);
    expect(everywhere(loop(0, 0, 3))).toBe(0n);
    expect(everywhere(loop(10, 1, 3))).toBe(BigInt.asUintN(32, -22n));
    expect(everywhere(loop(0x800001, 0, 3))).toBe(BigInt.asUintN(32, -7n));
  });
});
