/**
 * XDP packets in fragments: random sequences of what moves their edges and copies across their boundaries, on both
 * engines and on the kernel: every answer, the verdict, the bytes afterwards. EBPLANE_SEED picks another run.
 */
import { type SeededRandom, seededRandom, toHex } from "@ebplane/core/bytes";
import { ProgType, type Target, type TestRunInput } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();
const SEED = Number(process.env.EBPLANE_SEED ?? 20261125);
const PROGRAMS = Number(process.env.EBPLANE_FRAG_PROGRAMS ?? 120);
/** BPF_F_XDP_HAS_FRAGS. */
const HAS_FRAGS = 1 << 5;
const STEPS = 8;

/** One call; its r0 goes into the map, at the step's place. */
function step(r: SeededRandom, length: number): string[] {
  const offset = r.chance(0.8) ? r.below(length + 20) : r.pick([0, 65535, 65536, 0x7fffffff, -1]);
  const near = r.pick([0, 3512, 3520, 3528, 7612, 7616, length - 8, length - 1]);
  const at = r.chance(0.5) ? near : offset;
  const size = r.pick([1, 2, 8, 16, 48]);
  const buffer = ["r3 = r10", "r3 += -64", `r4 = ${size}`];
  switch (r.below(7)) {
    case 0:
      return ["call bpf_xdp_get_buff_len"];
    case 1:
      return [`r2 = ${at}`, ...buffer, "call bpf_xdp_load_bytes"];
    case 2:
      return [`r2 = ${at}`, ...buffer, "call bpf_xdp_store_bytes"];
    case 3:
      return [`r2 = ${r.pick([8, 40, 200, -8, -40, -200, -250, 3510, -216, -217])}`, "call bpf_xdp_adjust_head"];
    case 4:
      return [
        `r2 = ${r.pick([1, 100, 4000, -1, -100, -4096, -4097, -9000, -length + 14, -length + 13, -1500])}`,
        "call bpf_xdp_adjust_tail",
      ];
    case 5:
      return [`r2 = ${r.pick([-4, -8, 4, 8, -3, -32, -216])}`, "call bpf_xdp_adjust_meta"];
    default:
      return [
        `r2 = ${r.chance(0.5) ? r.below(600) : r.pick([3520, 3521, 3600, 3700, 3736, 3737, 4000, length, length + 1])}`,
        "call kfunc[bpf_xdp_pull_data]",
      ];
  }
}

function program(r: SeededRandom, length: number): string {
  const lines = ["r6 = r1"];
  for (let at = -64; at < 0; at += 8) lines.push(`*(u64 *)(r10 - ${-at}) = ${r.below(0x7fffffff)}`);
  lines.push("r8 = map[out][0]+0");
  for (let i = 0; i < STEPS; i++) {
    lines.push("r1 = r6", ...step(r, length), `*(u64 *)(r8 + ${16 * i}) = r0`);
    lines.push("r1 = *(u32 *)(r6 + 0)", "r2 = *(u32 *)(r6 + 4)", "r3 = *(u32 *)(r6 + 8)");
    // Lengths of the linear part and of the metadata.
    lines.push("r2 -= r1", "r1 -= r3", "r2 <<= 16", "r2 |= r1", `*(u64 *)(r8 + ${16 * i + 8}) = r2`);
  }
  for (let at = 0; at < 64; at += 8) {
    lines.push(`r1 = *(u64 *)(r10 - ${64 - at})`, `*(u64 *)(r8 + ${16 * STEPS + at}) = r1`);
  }
  return [...lines, "r0 = 2", "exit"].join("\n");
}

function outcome(target: Target, text: string, input: TestRunInput): string[] {
  const spec = asmProgram("frags", ProgType.BPF_PROG_TYPE_XDP, text, { flags: HAS_FRAGS });
  using live = target.load(collectionOf([spec], [arrayMap("out", 1, { valueSize: 16 * STEPS + 64 })]));
  const { verdict, packet, ctx } = live.programs.get("frags")!.testRun(input);
  const value = live.maps.get("out")!.lookup(new Uint8Array(4))!;
  const steps = Array.from({ length: STEPS }, (_, i) => `step ${i} ${toHex(value.subarray(16 * i, 16 * i + 16))}`);
  const stack = toHex(value.subarray(16 * STEPS));
  return [...steps, `verdict ${verdict}`, `stack ${stack}`, `ctx ${ctx ? toHex(ctx) : ""}`, `packet ${toHex(packet)}`];
}

test.skipIf(skip)(
  `${PROGRAMS} programs on packets in fragments, seed ${SEED}${skip ? ` (skipped: ${skip})` : ""}`,
  () => {
    const r = seededRandom(SEED);
    for (let i = 0; i < PROGRAMS; i++) {
      const length = r.pick([100, 3520, 3521, 4000, 7616, 7617, 9000, 15000]);
      const linear = r.pick([length, length, 14, 60, 200, 3000]);
      const packet = Uint8Array.from({ length }, (_, n) => (n * 7 + (n >> 8)) & 255);
      const ctx = new Uint8Array(Uint32Array.of(0, Math.min(linear, length), 0, 0, 0, 0).buffer);
      const text = program(r, length);
      const input = { packet, ctx };
      const kernel = outcome(linuxTarget(), text, input);
      for (const engine of ["interp", "jit"] as const) {
        expect(
          outcome(new SimTarget({ engine }), text, input),
          `program ${i}, ${length}/${linear} on ${engine}:\n${text}`,
        ).toEqual(kernel);
      }
    }
  },
);
