/** Random classic filters behave alike in their interpreter and, translated to eBPF, on every engine. */

import { describe, expect, test } from "vitest";
import { seededRandom } from "../bytes/index.ts";
import { cbpf } from "../isa/index.ts";
import { ProgType } from "../object/index.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import { rawProgram } from "./exec.ts";
import { Machine, SkbBuffer } from "./index.ts";
import { classicFilter } from "./testing/classic.ts";

describe.each(Object.keys(ENGINES) as EngineName[])("on %s", (engine) => {
  test("500 random filters answer as the classic interpreter does", () => {
    const seed = Date.now() >>> 0;
    const random = seededRandom(seed);
    let kept = 0;
    for (let i = 0; i < 500; i++) {
      const machine = new Machine();
      const skb = new SkbBuffer(machine.memory);
      const insns = classicFilter(random);
      const code = cbpf.translateClassic(insns);
      const program = machine.load(rawProgram(code, ProgType.BPF_PROG_TYPE_SOCKET_FILTER), { engine });
      for (let p = 0; p < 4; p++) {
        const bytes = random.bytes(60 + random.below(60));
        bytes[12] = 8;
        bytes[13] = 0;
        const mark = random.u32();
        const expected = cbpf.runClassic(insns, { bytes, network: 14, link: 0, protocol: 0x800, mark, ifindex: 3 });
        const got = program.run(skb.write(bytes, { mark, ifindex: 3 }));
        if (got !== expected) expect.fail(`seed ${seed}, filter ${i}: expected ${expected}, got ${got}`);
        if (expected) kept++;
      }
    }
    expect(kept).toBeGreaterThan(200);
  });
});
