/** Connections that programs make and look up, on both engines and on the kernel (in a namespace of the test's own). */
import { toHex } from "@ebplane/core/bytes";
import { ProgType, type Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { VirtualHost } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();
let step = 0;
const tuple = (saddr: number, daddr: number, ports: number): string[] => [
  `*(u32 *)(r10 - 16) = ${saddr}`,
  `*(u32 *)(r10 - 12) = ${daddr}`,
  `*(u32 *)(r10 - 8) = ${ports}`,
];
const options = [
  "*(u64 *)(r10 - 40) = -1",
  "*(u64 *)(r10 - 32) = 6",
  "*(u64 *)(r10 - 24) = 0",
  "*(u32 *)(r10 - 40) = -1",
];
const ask = (name: string): string[] => [
  "*(u32 *)(r10 - 40) = -1",
  "*(u32 *)(r10 - 36) = 0",
  "*(u64 *)(r10 - 32) = 6",
  "r1 = r6",
  "r2 = r10",
  "r2 += -16",
  "r3 = 12",
  "r4 = r10",
  "r4 += -40",
  "r5 = 16",
  `call kfunc[${name}]`,
];
/** Error and direction of the last question. */
const told = (): string[] => [
  "r1 = *(u32 *)(r10 - 36)",
  `*(u32 *)(r8 + ${16 * step}) = r1`,
  "r1 = *(u8 *)(r10 - 31)",
  `*(u32 *)(r8 + ${16 * step++ + 4}) = r1`,
];
const answer = (): string[] => [`*(u32 *)(r8 + ${16 * step++ + 8}) = r0`];

function program(): string {
  step = 0;
  let label = 0;
  const orElse = (body: (name: string) => string[]): string[] => body(`l${label++}`);
  const insert = (status: number): string[] =>
    orElse((out) => [
      ...ask("bpf_xdp_ct_alloc"),
      `if r0 == 0 goto ${out}`,
      "r7 = r0",
      "r1 = r7",
      "r2 = 5000",
      "call kfunc[bpf_ct_set_timeout]",
      "r1 = r7",
      `r2 = ${status}`,
      "call kfunc[bpf_ct_set_status]",
      ...answer(),
      "r1 = r7",
      "call kfunc[bpf_ct_insert_entry]",
      `if r0 == 0 goto ${out}`,
      `*(u64 *)(r8 + ${16 * step + 8}) = 1`,
      "r1 = r0",
      "call kfunc[bpf_ct_release]",
      `${out}:`,
      ...told(),
    ]);
  const look = (status: number): string[] => {
    const lines = orElse((out) => [
      ...ask("bpf_xdp_ct_lookup"),
      `if r0 == 0 goto ${out}`,
      "r7 = r0",
      `*(u64 *)(r8 + ${16 * step + 8}) = 1`,
      "r1 = r7",
      `r2 = ${status}`,
      "call kfunc[bpf_ct_change_status]",
      `*(u32 *)(r8 + ${16 * step + 24}) = r0`,
      "r1 = r7",
      "r2 = 7000",
      "call kfunc[bpf_ct_change_timeout]",
      `*(u32 *)(r8 + ${16 * step + 28}) = r0`,
      "r1 = r7",
      "call kfunc[bpf_ct_release]",
      `${out}:`,
      ...told(),
    ]);
    // The next 16 bytes hold what the two changes answered.
    step++;
    return lines;
  };
  return [
    "r6 = r1",
    "r8 = map[out][0]+0",
    ...options,
    ...tuple(0x0100000a, 0x0200000a, 0x5000391b),
    ...look(8),
    // Unchangeable bits, then one that may be set.
    ...insert(1),
    ...look(8 + 2),
    ...look(2),
    ...look(8),
    ...insert(2),
    ...tuple(0x0200000a, 0x0100000a, 0x391b5000),
    ...look(8 + 2 + 4),
    ...insert(0),
    ...tuple(0x0300000a, 0x0100000a, 0x391b5000),
    ...insert(4),
    ...look(8 + 4 + 1024),
    ...look(8 + 4 + 1024),
    "r0 = 2",
    "exit",
  ].join("\n");
}

function run(target: Target): string[] {
  const spec = asmProgram("track", ProgType.BPF_PROG_TYPE_XDP, program());
  using live = target.load(collectionOf([spec], [arrayMap("out", 1, { valueSize: 512 })]));
  const { verdict } = live.programs.get("track")!.testRun({ packet: new Uint8Array(64) });
  const value = live.maps.get("out")!.lookup(new Uint8Array(4))!;
  return [
    `verdict ${verdict}`,
    ...Array.from({ length: step }, (_, i) => `${i} ${toHex(value.subarray(16 * i, 16 * i + 16))}`),
  ];
}

test.skipIf(skip)(
  `connections are made, found and changed as in the kernel${skip ? ` (skipped: ${skip})` : ""}`,
  () => {
    using ns = NetNs.create();
    const kernel = ns.run(() => run(linuxTarget()));
    for (const engine of ["interp", "jit"] as const) {
      const host = new VirtualHost();
      expect(run(new SimTarget({ engine, host })), engine).toEqual(kernel);
      expect(host.conntrack.size, engine).toBe(2);
    }
  },
);
