/** bpf_check_mtu at XDP and tc, on both engines and on the kernel's loopback device (in a namespace of the test's own). */
import { toHex } from "@ebplane/core/bytes";
import { ProgType, type Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { VirtualHost } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();
/** Device, length given, difference, flags. */
const ASKED: readonly [number, number, number, number][] = [
  [1, 0, 0, 0],
  [0, 0, 0, 0],
  [99, 0, 0, 0],
  [1, 65536, 0, 0],
  [1, 65537, 0, 0],
  [1, 65537, -1, 0],
  [1, 0, 65536, 0],
  [1, 0, 70000, 0],
  [1, 0, -100, 0],
  [1, 65536, 1, 0],
  [1, 0, 0, 1],
  [1, 0, 1, 1],
  [1, 5, 0, 1],
  [1, 0, 0, 2],
];

function run(target: Target, type: number): string[] {
  const lines = ["r6 = r1", "r8 = map[out][0]+0"];
  ASKED.forEach(([ifindex, length, diff, flags], i) => {
    lines.push(`*(u32 *)(r10 - 4) = ${length}`, "r1 = r6", `r2 = ${ifindex}`, "r3 = r10", "r3 += -4");
    lines.push(`r4 = ${diff}`, `r5 = ${flags}`, "call bpf_check_mtu", `*(u32 *)(r8 + ${8 * i}) = r0`);
    lines.push("r1 = *(u32 *)(r10 - 4)", `*(u32 *)(r8 + ${8 * i + 4}) = r1`);
  });
  const spec = asmProgram("mtu", type, [...lines, "r0 = 2", "exit"].join("\n"));
  using live = target.load(collectionOf([spec], [arrayMap("out", 1, { valueSize: 8 * ASKED.length })]));
  live.programs.get("mtu")!.testRun({ packet: new Uint8Array(64) });
  const value = live.maps.get("out")!.lookup(new Uint8Array(4))!;
  return ASKED.map((asked, i) => `${asked.join(" ")}: ${toHex(value.subarray(8 * i, 8 * i + 8))}`);
}

class Loopback extends VirtualHost {
  deviceMtu(ifindex: number): number | undefined {
    return ifindex === 1 ? 65536 : undefined;
  }
}

test.skipIf(skip).each([ProgType.BPF_PROG_TYPE_XDP, ProgType.BPF_PROG_TYPE_SCHED_CLS])(
  `type %i: an MTU is checked as the kernel does it${skip ? ` (skipped: ${skip})` : ""}`,
  (type) => {
    using ns = NetNs.create();
    const kernel = ns.run(() => run(linuxTarget(), type));
    for (const engine of ["interp", "jit"] as const) {
      expect(run(new SimTarget({ engine, host: new Loopback() }), type), engine).toEqual(kernel);
    }
  },
);
