/**
 * Packets that XDP sends on: through device maps (plain, hashed, with a program on the way out, to several devices at once),
 * to another CPU with a program there, and to tc with metadata. Real datagrams from client to server; the edge's own stack
 * forwards nothing, or is the thing that is measured.
 */
import { AttachType, type MapSpec, MapType, type ProgramSpec, ProgType, type XdpHook } from "@ebplane/core/object";
import { afterAll, describe, expect, test } from "vitest";
import type { LinuxProgram } from "../bpf/index.ts";
import { setOffload } from "../link/index.ts";
import {
  arrayMap,
  asmProgram,
  collectionOf,
  createTopology,
  kernelLacks,
  kernelOlder,
  kernelSkipReason,
  type Topology,
  traffic,
} from "../testing.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
const XDP = ProgType.BPF_PROG_TYPE_XDP;
const hook = (iface: string): XdpHook => ({ kind: "xdp", iface, mode: "native" });

/** Rewrites the addresses as a router does (client to server: 02:…:02:02 from 02:…:02:01), then calls a helper. */
const sendOn = (call: string): string => `
    r6 = r1
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto pass
    r4 = *(u8 *)(r2 + 23)
    if r4 != 17 goto pass
    *(u32 *)(r2 + 0) = 2
    *(u16 *)(r2 + 4) = 0x0202
    *(u32 *)(r2 + 6) = 2
    *(u16 *)(r2 + 10) = 0x0102
    ${call}
    exit
  pass:
    r0 = 2
    exit`;

const THROUGH = (map: string, flags = 0): string =>
  sendOn(`r1 = map[${map}]\nr2 = 5\nr3 = ${flags}\ncall bpf_redirect_map`);

const COUNT = (verdict: number): string => `
    r1 = map[hits][0]+0
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    r0 = ${verdict}
    exit`;

/** Counts UDP over IPv4 only: IPv6 speaks of itself. */
const COUNT_UDP = `
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r0 = 2
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r4 = *(u8 *)(r2 + 23)
    if r4 != 17 goto out
    r1 = map[hits][0]+0
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
  out:
    exit`;

const u32 = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);

const links: { close(): void }[] = [];
afterAll(() => {
  for (const link of links) link.close();
});

/**
 * The topology, its edge silent: what arrives has come by XDP alone. A veth takes native frames when its peer does GRO,
 * before 5.13 only when it has a program.
 */
function silentEdge(): Topology {
  const net = createTopology();
  if (kernelOlder("5.13")) {
    const target = linuxTarget({ netns: net.server.fd });
    const loaded = target.load(collectionOf([asmProgram("take", XDP, "r0 = 2\nexit")]));
    links.push(target.attach(loaded.programs.get("take")!, hook("s0")), loaded);
  }
  net.edge.sysctl("ipv4/ip_forward", "0");
  net.server.run(() => setOffload("s0", "gro", true));
  net.client.run(() => setOffload("c0", "gro", true));
  return net;
}

const devmap = (type: number, valueSize: 4 | 8): MapSpec => ({
  name: "ports",
  type,
  keySize: 4,
  valueSize,
  maxEntries: 8,
  flags: 0,
});

function load(net: Topology, programs: readonly ProgramSpec[], maps: readonly MapSpec[]) {
  const target = linuxTarget({ netns: net.edge.fd });
  const loaded = target.load(collectionOf(programs, [arrayMap("hits"), ...maps]));
  const program = (name: string) => loaded.programs.get(name) as LinuxProgram;
  // Written from here: the indexes are those of the target's namespace all the same.
  const put = (map: string, key: number, ...words: number[]): void =>
    loaded.maps.get(map)!.update(u32(key), u32(...words));
  const hits = (): number =>
    Number(new DataView(loaded.maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true));
  return { target, loaded, program, put, hits };
}

describe.skipIf(skip)(`redirects on a veth${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test.each([
    ["a device map", MapType.BPF_MAP_TYPE_DEVMAP],
    ["a hashed device map", MapType.BPF_MAP_TYPE_DEVMAP_HASH],
  ])("%s sends to the device of the key, and drops where there is none", (_, type) => {
    using net = silentEdge();
    const { target, loaded, program, put } = load(net, [asmProgram("go", XDP, THROUGH("ports"))], [devmap(type, 4)]);
    using _loaded = loaded;
    expect(traffic(net, 0)).toBe(0);
    using _link = target.attach(program("go"), hook("e0"));
    expect(traffic(net, 0)).toBe(0);
    put("ports", 5, target.ifindex("e1"));
    expect(traffic(net, 3)).toBe(3);
    expect(loaded.maps.get("ports")!.lookup(u32(5))).toEqual(u32(target.ifindex("e1")));
  });

  test("a program in the device map runs on the way out, and decides", () => {
    using net = silentEdge();
    const out = (name: string, verdict: number) =>
      asmProgram(name, XDP, COUNT(verdict), { attachType: AttachType.BPF_XDP_DEVMAP });
    const { target, loaded, program, put, hits } = load(
      net,
      [asmProgram("go", XDP, THROUGH("ports")), out("pass_out", 2), out("drop_out", 1)],
      [devmap(MapType.BPF_MAP_TYPE_DEVMAP, 8)],
    );
    using _loaded = loaded;
    using _link = target.attach(program("go"), hook("e0"));
    const decide = (name: string) => put("ports", 5, target.ifindex("e1"), program(name).fd);
    decide("pass_out");
    expect([traffic(net, 3), hits()]).toEqual([3, 3]);
    // In its value the kernel has put the id where the fd was.
    expect(loaded.maps.get("ports")!.lookup(u32(5))).toEqual(u32(target.ifindex("e1"), program("pass_out").id));
    decide("drop_out");
    expect([traffic(net, 0), hits()]).toEqual([0, 6]);
  });

  test.skipIf(kernelOlder("5.14"))("a broadcast reaches every device of the map but the one it came by", () => {
    using net = silentEdge();
    const BPF_F_BROADCAST = 8;
    const BPF_F_EXCLUDE_INGRESS = 16;
    const program = asmProgram("all", XDP, THROUGH("ports", BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS));
    const { target, loaded, program: get, put } = load(net, [program], [devmap(MapType.BPF_MAP_TYPE_DEVMAP, 4)]);
    using _loaded = loaded;
    using _link = target.attach(get("all"), hook("e0"));
    for (const [key, iface] of [
      [0, "e0"],
      [1, "e1"],
    ] as const) {
      put("ports", key, target.ifindex(iface));
    }
    // What came back to the client would be counted there.
    using back = linuxTarget({ netns: net.client.fd }).load(
      collectionOf([asmProgram("back", XDP, COUNT_UDP)], [arrayMap("hits")]),
    );
    using _back = linuxTarget({ netns: net.client.fd }).attach(back.programs.get("back")!, hook("c0"));
    expect(traffic(net, 3)).toBe(3);
    expect(back.maps.get("hits")!.lookup(new Uint8Array(4))).toEqual(new Uint8Array(8));
  });

  test("another CPU takes packets on, by a program of its own, into the stack", () => {
    using net = createTopology();
    const cpus: MapSpec = { ...devmap(MapType.BPF_MAP_TYPE_CPUMAP, 8), name: "cpus" };
    const there = (name: string, verdict: number) =>
      asmProgram(name, XDP, COUNT(verdict), { attachType: AttachType.BPF_XDP_CPUMAP });
    const go = asmProgram("go", XDP, "r1 = map[cpus]\nr2 = 0\nr3 = 2\ncall bpf_redirect_map\nexit");
    const { target, loaded, program, put, hits } = load(net, [go, there("pass_on", 2), there("drop_on", 1)], [cpus]);
    using _loaded = loaded;
    const QUEUE = 192;
    const decide = (name: string) => put("cpus", 0, QUEUE, program(name).fd);
    decide("pass_on");
    using _link = target.attach(program("go"), hook("e0"));
    expect(traffic(net, 3)).toBe(3);
    // Not only ours: IPv6 speaks of itself.
    const passed = hits();
    expect(passed).toBeGreaterThanOrEqual(3);
    decide("drop_on");
    expect(traffic(net, 0)).toBe(0);
    expect(hits()).toBeGreaterThanOrEqual(passed + 3);
  });

  test("metadata that XDP writes reach the tc program behind it", () => {
    using net = createTopology();
    const mark = asmProgram(
      "mark",
      XDP,
      `r6 = r1
       r2 = -4
       call bpf_xdp_adjust_meta
       if r0 != 0 goto out
       r2 = *(u32 *)(r6 + 8)
       r3 = *(u32 *)(r6 + 0)
       r4 = r2
       r4 += 4
       if r4 > r3 goto out
       *(u32 *)(r2 + 0) = 0x1234
     out:
       r0 = 2
       exit`,
    );
    const read = asmProgram(
      "read",
      ProgType.BPF_PROG_TYPE_SCHED_CLS,
      `r2 = *(u32 *)(r1 + 140)
       r3 = *(u32 *)(r1 + 76)
       r4 = r2
       r4 += 4
       if r4 > r3 goto out
       r5 = *(u32 *)(r2 + 0)
       if r5 != 0x1234 goto out
       r1 = map[hits][0]+0
       r2 = 1
       lock *(u64 *)(r1 + 0) += r2
     out:
       r0 = -1
       exit`,
    );
    const { target, loaded, program, hits } = load(net, [mark, read], []);
    using _loaded = loaded;
    using _tc = target.attach(program("read"), {
      kind: kernelLacks("attachTypes", "tcx_ingress") ? "tc" : "tcx",
      iface: "e0",
      direction: "ingress",
    });
    expect([traffic(net, 3), hits()]).toEqual([3, 0]);
    using _xdp = target.attach(program("mark"), hook("e0"));
    expect(traffic(net, 3)).toBe(3);
    expect(hits()).toBeGreaterThanOrEqual(3);
  });
});
