/** bpf_fib_lookup on sim's network and on a kernel's namespace that were configured by the same requests. */
import { toHex } from "@ebplane/core/bytes";
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  addRule,
  getLink,
  type NetlinkClient,
  setLink,
} from "@ebplane/core/netlink";
import { ProgType, type Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { parseIp } from "@ebplane/core/wire";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();

function configure(route: NetlinkClient): void {
  const mac = (n: number): string => `02:00:00:00:00:0${n}`;
  addLink(route, { kind: "veth", name: "a0", mac: mac(1), peer: { name: "a1", mac: mac(2) } });
  addLink(route, { kind: "veth", name: "b0", mac: mac(3), mtu: 1400, peer: { name: "b1", mac: mac(4), mtu: 1400 } });
  const [a, b] = ["a0", "b0"].map((name) => getLink(route, name).index) as [number, number];
  for (const name of ["lo", "a0", "a1", "b0", "b1"]) setLink(route, getLink(route, name).index, { up: true });
  addAddress(route, a, "10.1.0.1/24");
  addAddress(route, b, "10.2.0.1/24");
  addAddress(route, a, "fd00:1::1/64");
  addAddress(route, b, "fd00:2::1/64");
  for (const ip of ["10.2.0.2", "fd00:2::2"]) addNeighbour(route, b, ip, mac(4));
  addRoute(route, { dst: "0.0.0.0/0", via: "10.2.0.2", metric: 5 });
  addRoute(route, { dst: "10.5.0.0/16", via: "10.2.0.3" });
  addRoute(route, { dst: "10.6.0.0/16", type: "blackhole" });
  addRoute(route, { dst: "10.7.0.0/16", type: "prohibit" });
  addRoute(route, { dst: "10.8.0.0/16", type: "unreachable" });
  addRoute(route, { dst: "10.9.0.0/16", via: "10.1.0.9", table: 77 });
  addRoute(route, { dst: "fd00:5::/48", via: "fd00:2::2" });
  addRoute(route, { dst: "fd00:7::/48", type: "prohibit" });
  addRoute(route, {
    dst: "fd00:6::/48",
    via: "fd00:2::2",
    encap: { type: "seg6", mode: "encap", segments: ["fd00:2::9"] },
  });
  addRule(route, { family: 4, priority: 50, table: 77, mark: 7 });
}

interface Ask {
  readonly dst: string;
  readonly src?: string;
  readonly flags?: number;
  readonly ifindex?: number;
  readonly length?: number;
  /** At offset 48: the table. */
  readonly table?: number;
  /** At offset 52. */
  readonly mark?: number;
  readonly size?: number;
}

const DSTS = [
  "10.2.0.2",
  "10.2.0.9",
  "10.1.0.1",
  "10.2.0.255",
  "8.8.8.8",
  "10.5.0.1",
  "10.6.0.1",
  "10.7.0.1",
  "10.8.0.1",
  "10.9.0.1",
  "fd00:2::2",
  "fd00:2::9",
  "fd00:1::1",
  "fd00:5::1",
  "fd00:6::1",
  "fd00:7::1",
  "fd99::1",
];
const ASKED: readonly Ask[] = [
  ...DSTS.flatMap((dst) => [0, 1, 2, 4, 16].map((flags) => ({ dst, flags }))),
  { dst: "8.8.8.8", length: 1400 },
  { dst: "8.8.8.8", length: 1401 },
  { dst: "fd00:5::1", length: 1400 },
  { dst: "fd00:5::1", length: 1401 },
  { dst: "8.8.8.8", ifindex: 99 },
  { dst: "8.8.8.8", ifindex: 0 },
  { dst: "8.8.8.8", flags: 64 },
  { dst: "8.8.8.8", size: 60 },
  { dst: "10.9.0.1", flags: 1 | 8, table: 77 },
  { dst: "10.9.0.1", flags: 1 | 8, table: 78 },
  { dst: "8.8.8.8", flags: 8, table: 77 },
  { dst: "10.9.0.1", flags: 32, mark: 7 },
  { dst: "10.9.0.1", flags: 32 | 4, mark: 7 },
  { dst: "10.9.0.1", flags: 32 | 4, mark: 8 },
];

const SIZE = 64;

function params({ dst, src, ifindex = 3, length = 0, table = 0, mark = 0 }: Ask): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  const to = parseIp(dst);
  bytes[0] = to.length === 4 ? 2 : 10;
  view.setUint16(6, length, true);
  view.setUint32(8, ifindex, true);
  bytes.set(parseIp(src ?? (to.length === 4 ? "10.1.0.2" : "fd00:1::2")), 16);
  bytes.set(to, 32);
  view.setUint32(48, table, true);
  view.setUint32(52, mark, true);
  return bytes;
}

function answers(target: Target, type: number): string[] {
  return ASKED.map((ask) => {
    const copy = (from: string, to: string): string[] =>
      Array.from({ length: SIZE / 8 }, (_, i) => [
        `r1 = *(u64 *)(${from} + ${8 * i})`,
        `*(u64 *)(${to} + ${8 * i}) = r1`,
      ]).flat();
    const text = [
      "r6 = r1",
      "r7 = map[out][0]+8",
      "r8 = r10",
      `r8 += -${SIZE}`,
      ...copy("r7", "r8"),
      "r1 = r6",
      "r2 = r8",
      `r3 = ${ask.size ?? SIZE}`,
      `r4 = ${ask.flags ?? 0}`,
      "call bpf_fib_lookup",
      "r7 = map[out][0]+0",
      "*(u64 *)(r7 + 0) = r0",
      "r7 += 8",
      ...copy("r8", "r7"),
      "r0 = 2",
      "exit",
    ];
    const map = arrayMap("out", 1, { valueSize: 8 + SIZE });
    using live = target.load(collectionOf([asmProgram("fib", type, text.join("\n"))], [map]));
    const out = live.maps.get("out")!;
    out.update(new Uint8Array(4), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, ...params(ask)));
    live.programs.get("fib")!.testRun({ packet: new Uint8Array(64) });
    const value = out.lookup(new Uint8Array(4))!;
    const result = new DataView(value.buffer, value.byteOffset).getInt32(0, true);
    return `${JSON.stringify(ask)}: ${result} ${toHex(value.subarray(8))}`;
  });
}

test.skipIf(skip).each([ProgType.BPF_PROG_TYPE_XDP, ProgType.BPF_PROG_TYPE_SCHED_CLS])(
  `type %i: the way is looked up as the kernel does it${skip ? ` (skipped: ${skip})` : ""}`,
  (type) => {
    using ns = NetNs.create();
    ns.sysctl("ipv6/conf/default/addr_gen_mode", "1");
    configure(ns.route);
    const sim = new SimTarget({ engine: "jit" });
    configure(sim.network.root.route);
    const kernel = (): string[] => ns.run(() => answers(linuxTarget(), type));
    if (type === ProgType.BPF_PROG_TYPE_XDP) {
      expect(kernel()).toEqual(answers(sim, type));
    }
    ns.sysctl("ipv4/ip_forward", "1");
    ns.sysctl("ipv6/conf/all/forwarding", "1");
    Object.assign(sim.network.root.forwarding, { 4: true, 6: true });
    expect(answers(sim, type)).toEqual(kernel());
  },
);
