/** Sockets out of a map into a lookup, on both engines and on the kernel: what the program reads, who may be assigned. */
import { toHex } from "@ebplane/core/bytes";
import { AttachType, type MapSpec, MapType, ProgType, type Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { SocketBuffer, type SocketInfo } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { bindUdp, listenTcp } from "../../packages/linux/src/netns/index.ts";
import { close } from "../../packages/linux/src/sys/index.ts";

const skip = kernelSkipReason();
const socks: MapSpec = {
  name: "socks",
  type: MapType.BPF_MAP_TYPE_SOCKMAP,
  keySize: 4,
  valueSize: 8,
  maxEntries: 4,
  flags: 0,
};
/** Fields of struct bpf_sock that a bound socket and its stand-in agree on: offset and width in bits. */
const FIELDS: readonly [offset: number, bits: number][] = [
  [0, 32],
  [4, 32],
  [8, 32],
  [12, 32],
  [16, 32],
  [24, 32],
  [28, 32],
  [44, 32],
  [48, 16],
  [52, 32],
  [72, 32],
];

/** Assigns the socket in slot `first`, then the one in `second`, with the flags of each. */
function program(first: number, flags: number, second: number, moreFlags: number): string {
  const assign = (slot: number, how: number, at: number): string[] => [
    `*(u32 *)(r10 - 4) = ${slot}`,
    "r1 = map[socks]",
    "r2 = r10",
    "r2 += -4",
    "call bpf_map_lookup_elem",
    `if r0 == 0 goto none${at}`,
    "r7 = r0",
    ...FIELDS.flatMap(([offset, bits], i) => [
      `r1 = *(u${bits} *)(r7 + ${offset})`,
      `*(u64 *)(r8 + ${8 * (at + 1 + i)}) = r1`,
    ]),
    "r1 = r6",
    "r2 = r7",
    `r3 = ${how}`,
    "call bpf_sk_assign",
    `*(u64 *)(r8 + ${8 * at}) = r0`,
    "r1 = r7",
    "call bpf_sk_release",
    `none${at}:`,
  ];
  return [
    "r6 = r1",
    "r8 = map[out][0]+0",
    ...assign(first, flags, 0),
    ...assign(second, moreFlags, 16),
    "r0 = 1",
    "exit",
  ].join("\n");
}

const CASES: readonly [string, [number, number, number, number], family: number, protocol: number][] = [
  ["a listener", [0, 0, 3, 0], 2, 6],
  ["an empty slot", [3, 0, 3, 0], 2, 6],
  ["a datagram socket", [1, 0, 3, 0], 2, 17],
  ["one of another protocol", [1, 0, 0, 0], 2, 6],
  ["one of another family", [0, 0, 2, 0], 10, 6],
  ["an IPv6 listener for IPv4", [2, 0, 3, 0], 2, 6],
  ["a second one", [0, 0, 2, 0], 2, 6],
  ["a second one that replaces", [0, 0, 2, 1], 2, 6],
  ["without its reuseport group", [0, 2, 3, 0], 2, 6],
  ["flags that do not exist", [0, 4, 0, 8], 2, 6],
];

function run(target: Target, text: string, handles: readonly Uint8Array[], family: number, protocol: number): string[] {
  const spec = asmProgram("look", ProgType.BPF_PROG_TYPE_SK_LOOKUP, text, { attachType: AttachType.BPF_SK_LOOKUP });
  using live = target.load(collectionOf([spec], [socks, arrayMap("out", 1, { valueSize: 256 })]));
  handles.forEach((handle, i) => {
    live.maps.get("socks")!.update(new Uint8Array(Uint32Array.of(i).buffer), handle);
  });
  const words = new Uint32Array(18);
  words[2] = family;
  words[3] = protocol;
  words[15] = 8080;
  const { verdict, ctx } = live.programs
    .get("look")!
    .testRun({ packet: new Uint8Array(0), ctx: new Uint8Array(words.buffer) });
  const value = live.maps.get("out")!.lookup(new Uint8Array(4))!;
  const selected = ctx!.subarray(0, 8).some((b) => b !== 0);
  return [
    `verdict ${verdict}`,
    `selected ${selected}`,
    toHex(value.subarray(0, 128)),
    toHex(value.subarray(128)),
    toHex(ctx!.subarray(8)),
  ];
}

const handle = (n: number): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer);
const LOOPBACK = 0x0100007f;
const STAND_INS: readonly SocketInfo[] = [
  { fields: { family: 2, type: 1, protocol: 6, src_ip4: LOOPBACK, src_port: 8080, state: 10 } },
  { fields: { family: 2, type: 2, protocol: 17, src_ip4: LOOPBACK, src_port: 8080, state: 7 } },
  { fields: { family: 10, type: 1, protocol: 6, src_port: 8081, state: 10 } },
];

test.skipIf(skip)(`sockets are assigned as the kernel does it${skip ? ` (skipped: ${skip})` : ""}`, () => {
  using ns = NetNs.create();
  const fds = [listenTcp(ns, "127.0.0.1", 8080), bindUdp(ns, "127.0.0.1", 8080), listenTcp(ns, "::", 8081)];
  try {
    for (const [name, steps, family, protocol] of CASES) {
      const text = program(...steps);
      const kernel = ns.run(() => run(linuxTarget(), text, fds.map(handle), family, protocol));
      for (const engine of ["interp", "jit"] as const) {
        const sim = new SimTarget({ engine });
        const sockets = STAND_INS.map((info) => new SocketBuffer(sim.machine.memory, info));
        const ours = run(
          sim,
          text,
          sockets.map((s) => handle(s.address)),
          family,
          protocol,
        );
        expect(ours, `${name} on ${engine}`).toEqual(kernel);
      }
    }
  } finally {
    for (const fd of fds) close(fd);
  }
});
