/** The engine's cases with a program type, on the kernel too: same verdict, packet and map values. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { toHex } from "@ebplane/core/bytes";
import { ProgType } from "@ebplane/core/object";
import { Machine, XdpRing } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import { asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { parseCases } from "../packages/core/src/vm/testing/cases.ts";
import { caseMaps, casePacket, caseProgram, hasTestRun, runCase } from "../packages/core/src/vm/testing/run-case.ts";

const DIR = new URL("../packages/core/src/vm/testdata", import.meta.url).pathname;
const cases = readdirSync(DIR)
  .filter((file) => file.endsWith(".case"))
  .flatMap((file) => parseCases(readFileSync(join(DIR, file), "utf8")))
  .filter((c) => c.sections.has("type") && !c.sections.has("error"));
const skip = kernelSkipReason();

test.skipIf(skip).each(cases.filter((c) => !hasTestRun(c)))(
  `the kernel loads it, and has no run to compare: $name${skip ? ` (skipped: ${skip})` : ""}`,
  (c) => {
    using live = linuxTarget().load(collectionOf([caseProgram(c)], caseMaps(c)));
    expect(live.programs.get("case")!.id).toBeGreaterThan(0);
  },
);

test.skipIf(skip).each(cases.filter(hasTestRun))(
  `the kernel agrees: $name${skip ? ` (skipped: ${skip})` : ""}`,
  (c) => {
    using live = linuxTarget().load(collectionOf([caseProgram(c)], caseMaps(c)));
    const kernel = live.programs.get("case")!.testRun({ packet: casePacket(c) });
    const ours = runCase(c, "interp");
    expect(Number(BigInt.asUintN(32, ours.r0))).toBe(kernel.verdict);
    expect(toHex(ours.after)).toBe(toHex(kernel.packet));
    for (const [name, values] of ours.maps) {
      const theirs = [...live.maps.get(name)!.entries()].map(([, v]) => toHex(v));
      expect(
        values.map((v) => toHex(v)),
        name,
      ).toEqual(theirs);
    }
  },
);

/** BPF_F_XDP_HAS_FRAGS. */
const HAS_FRAGS = 1 << 5;

test.skipIf(skip)(`packets in fragments are as the kernel's${skip ? ` (skipped: ${skip})` : ""}`, () => {
  // Length, bytes across a boundary, a tail that shrinks over a fragment, grows, grows too much.
  const text = `
    r6 = r1
    call bpf_xdp_get_buff_len
    r7 = r0
    *(u64 *)(r10 - 8) = 0
    r1 = r6
    r2 = 3516
    r3 = r10
    r3 += -8
    r4 = 8
    call bpf_xdp_load_bytes
    r8 = *(u64 *)(r10 - 8)
    r7 ^= r8
    r1 = r6
    r2 = 7614
    r3 = r10
    r3 += -8
    r4 = 8
    call bpf_xdp_store_bytes
    r7 += r0
    r1 = r6
    r2 = -1500
    call bpf_xdp_adjust_tail
    r7 += r0
    r1 = r6
    r2 = 200
    call bpf_xdp_adjust_tail
    r7 += r0
    r1 = r6
    r2 = 4000
    call bpf_xdp_adjust_tail
    r7 += r0
    r1 = r6
    r2 = 60000
    r3 = r10
    r3 += -8
    r4 = 8
    call bpf_xdp_load_bytes
    r7 += r0
    r1 = r6
    r2 = 40
    call bpf_xdp_adjust_head
    r7 += r0
    r1 = r6
    call bpf_xdp_get_buff_len
    r0 <<= 16
    r0 ^= r7
    exit`;
  const packet = Uint8Array.from({ length: 9000 }, (_, i) => i * 7 + (i >> 8));
  const program = asmProgram("frags", ProgType.BPF_PROG_TYPE_XDP, text, { flags: HAS_FRAGS });
  using live = linuxTarget().load(collectionOf([program]));
  const kernel = live.programs.get("frags")!.testRun({ packet });
  for (const engine of ["interp", "jit"] as const) {
    const machine = new Machine();
    const ring = new XdpRing(machine.memory, 1, undefined, 4);
    const verdict = machine.load(program, { engine }).run(ring.write(0, packet));
    expect(verdict, engine).toBe(kernel.verdict);
    expect(toHex(ring.packet()), engine).toBe(toHex(kernel.packet));
  }
});
