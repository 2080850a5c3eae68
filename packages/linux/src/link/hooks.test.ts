import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, type Hook, MapType, ProgType, type TcxHook } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  addAddress,
  addClsact,
  addLink,
  addRoute,
  deleteRoute,
  getLink,
  listBpfFilters,
  listQdiscs,
  listRoutes,
} from "../netlink/index.ts";
import { awaitUdp, bindUdp, sendUdp } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { linuxTarget } from "../target/target.ts";
import {
  arrayMap,
  asmProgram,
  collectionOf,
  countingProgram,
  createTopology,
  kernelLacks,
  kernelSkipReason,
  type Topology,
  traffic,
} from "../testing.ts";
import { attachClassicFilter, type BpfLink, queryPrograms } from "./index.ts";

const skip = kernelSkipReason();
const noTcx = kernelLacks("attachTypes", "tcx_ingress");
const noNetfilter = kernelLacks("progTypes", "netfilter");
const T = ProgType;

describe.skipIf(skip)(`hooks of the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let net: Topology;
  beforeAll(() => {
    net = createTopology();
  });
  afterAll(() => net.close());

  const hitsOf = (maps: ReadonlyMap<string, { lookup(key: Uint8Array): Uint8Array | undefined }>): number =>
    Number(new DataView(maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true));

  const edge = () => linuxTarget({ netns: net.edge.fd });

  const hooks = [
    ["tcx ingress", { kind: "tcx", iface: "e0", direction: "ingress" }, T.BPF_PROG_TYPE_SCHED_CLS, 0, -1, 2],
    ["tcx egress", { kind: "tcx", iface: "e1", direction: "egress" }, T.BPF_PROG_TYPE_SCHED_CLS, 0, -1, 2],
    ["clsact ingress", { kind: "tc", iface: "e0", direction: "ingress" }, T.BPF_PROG_TYPE_SCHED_CLS, 0, -1, 2],
    [
      "clsact egress",
      { kind: "tc", iface: "e1", direction: "egress", priority: 7 },
      T.BPF_PROG_TYPE_SCHED_CLS,
      0,
      -1,
      2,
    ],
    [
      "lwt xmit",
      { kind: "lwt", prefix: "10.2.0.2/32", direction: "xmit", iface: "e1", headroom: 32 },
      T.BPF_PROG_TYPE_LWT_XMIT,
      0,
      0,
      2,
    ],
    [
      "lwt out",
      { kind: "lwt", prefix: "10.2.0.2/32", direction: "out", iface: "e1" },
      T.BPF_PROG_TYPE_LWT_OUT,
      0,
      0,
      2,
    ],
  ] as const;
  test.each(hooks.filter(([, hook]) => !(noTcx && hook.kind === "tcx")))(
    "%s counts what it passes, and drops what it is told to",
    async (_, hook, type, attachType, pass, drop) => {
      using loaded = edge().load(
        collectionOf(
          [countingProgram("pass", type, pass, { attachType }), countingProgram("drop", type, drop, { attachType })],
          [arrayMap("hits")],
        ),
      );
      // At least: the kernel's own packets (multicast reports) are counted, too.
      const hits = () => hitsOf(loaded.maps);
      {
        using link = edge().attach(loaded.programs.get("pass")!, hook as Hook);
        expect(traffic(net, 3)).toBe(3);
        expect(hits()).toBeGreaterThanOrEqual(3);
        const before = hits();
        link.update(loaded.programs.get("drop")!);
        expect(traffic(net, 0)).toBe(0);
        await expect.poll(hits).toBeGreaterThanOrEqual(before + 3);
      }
      const after = hits();
      expect(traffic(net, 3)).toBe(3);
      expect(hits()).toBe(after);
    },
  );

  test.skipIf(noNetfilter).each([
    { kind: "netfilter", family: 4, point: "forward" },
    { kind: "netfilter", family: 4, point: "prerouting", priority: -100, defrag: true },
  ] as const)("netfilter $point passes and drops; a link there cannot be updated", (hook) => {
    const programs = [1, 0].map((verdict) =>
      countingProgram(`v${verdict}`, T.BPF_PROG_TYPE_NETFILTER, verdict, { attachType: AttachType.BPF_NETFILTER }),
    );
    using loaded = edge().load(collectionOf(programs, [arrayMap("hits")]));
    const [drop, accept] = [loaded.programs.get("v0")!, loaded.programs.get("v1")!];
    {
      using link = edge().attach(accept, hook);
      expect(traffic(net, 3)).toBe(3);
      expect(hitsOf(loaded.maps)).toBeGreaterThanOrEqual(3);
      expect(() => link.update(drop)).toThrow("the kernel cannot replace a program here");
    }
    {
      using _ = edge().attach(drop, hook);
      expect(traffic(net, 0)).toBe(0);
    }
    expect(traffic(net, 3)).toBe(3);
  });

  test.skipIf(noTcx)("tcx programs run in the order asked for", () => {
    using loaded = edge().load(
      collectionOf(
        ["a", "b", "c"].map((name) => countingProgram(name, T.BPF_PROG_TYPE_SCHED_CLS, -1)),
        [arrayMap("hits")],
      ),
    );
    const [a, b, c] = ["a", "b", "c"].map((name) => loaded.programs.get(name)!);
    const hook = { kind: "tcx", iface: "e0", direction: "ingress" } as const;
    using linkA = edge().attach(a!, hook);
    using _b = edge().attach(b!, { ...hook, order: { before: "all" } });
    const { revision } = net.edge.run(() =>
      queryPrograms(getLink(net.edge.route, "e0").index, AttachType.BPF_TCX_INGRESS),
    );
    using _c = edge().attach(c!, { ...hook, order: { before: { link: linkA.id }, expectedRevision: revision } });
    const order = net.edge.run(() => queryPrograms(getLink(net.edge.route, "e0").index, AttachType.BPF_TCX_INGRESS));
    expect(order.programs.map((p) => p.progId)).toEqual([b!.id, c!.id, a!.id]);
    expect(order.programs.at(-1)!.linkId).toBe(linkA.id);
    expect(() => edge().attach(a!, { ...hook, order: { expectedRevision: 1n } })).toThrow(
      "bpf(LINK_CREATE): ESTALE: tcx:e0:ingress: the hook's programs changed: it is not at the expected revision",
    );
    expect(() => edge().attach(a!, hook)).toThrow("EEXIST: tcx:e0:ingress: this program is attached here already");
  });

  test.skipIf(noTcx)("an update may name the program that has to be in place", () => {
    const names = ["a", "b", "c"];
    using loaded = edge().load(
      collectionOf(
        names.map((name) => countingProgram(name, T.BPF_PROG_TYPE_SCHED_CLS, -1)),
        [arrayMap("hits")],
      ),
    );
    const [a, b, c] = names.map((name) => loaded.programs.get(name)!);
    using link = edge().attach(a!, { kind: "tcx", iface: "e0", direction: "ingress" }) as BpfLink<TcxHook>;
    expect(() => link.update(c!, b!)).toThrow(
      "bpf(LINK_UPDATE): EPERM: tcx:e0:ingress: another program than the expected one is in place",
    );
    link.update(c!, a!);
    expect(link.info().progId).toBe(c!.id);
  });

  test("netkit needs a netkit device, which this kernel may not have", () => {
    using loaded = edge().load(collectionOf([countingProgram("p", T.BPF_PROG_TYPE_SCHED_CLS, -1)], [arrayMap("hits")]));
    const p = loaded.programs.get("p")!;
    expect(() => edge().attach(p, { kind: "netkit", iface: "e0", end: "peer" })).toThrow(
      new UnsupportedError("netkit", "netkit:e0:peer: e0 is a veth device, not a netkit one", "6.7"),
    );
    try {
      addLink(net.edge.route, { kind: "netkit", name: "near" });
    } catch (error) {
      expect(error).toMatchObject({ code: "EOPNOTSUPP", message: expect.stringContaining("Unknown device type") });
      return;
    }
    edge().attach(p, { kind: "netkit", iface: "near", end: "primary" }).close();
  });

  test("clsact goes with the last filter when we added it, and stays when it was there", () => {
    using loaded = edge().load(collectionOf([countingProgram("p", T.BPF_PROG_TYPE_SCHED_CLS, -1)], [arrayMap("hits")]));
    const p = loaded.programs.get("p")!;
    const { route } = net.edge;
    const index = getLink(route, "e0").index;
    const clsact = () => listQdiscs(route).some((q) => q.kind === "clsact" && q.index === index);
    const link = edge().attach(p, { kind: "tc", iface: "e0", direction: "ingress" });
    expect(listBpfFilters(route, index, "ingress")).toEqual([
      { handle: 1, priority: 1, name: "p", protocol: 3, progId: p.id, directAction: true },
    ]);
    expect(() => edge().attach(p, { kind: "tc", iface: "e0", direction: "ingress" })).toThrow("EEXIST");
    expect(clsact()).toBe(true);
    link.close();
    expect(clsact()).toBe(false);
    addClsact(route, index);
    edge().attach(p, { kind: "tc", iface: "e0", direction: "ingress" }).close();
    expect(clsact()).toBe(true);
  });

  test("a route with a program goes with its link", () => {
    using loaded = edge().load(collectionOf([countingProgram("p", T.BPF_PROG_TYPE_LWT_IN, 0)], [arrayMap("hits")]));
    const hook = { kind: "lwt", prefix: "10.2.0.2/32", direction: "in", iface: "e1" } as const;
    {
      using _ = edge().attach(loaded.programs.get("p")!, hook);
      expect(listRoutes(net.edge.route).find((r) => r.dst === "10.2.0.2/32")).toMatchObject({ encapType: 6 });
    }
    expect(listRoutes(net.edge.route).some((r) => r.dst === "10.2.0.2/32")).toBe(false);
  });

  test("segment routing: a route steers through an endpoint, where a program counts, to one that unpacks", () => {
    const { client, edge: router, server } = net;
    for (const ns of [client, router, server]) {
      for (const device of ["all", "default"]) ns.sysctl(`ipv6/conf/${device}/seg6_enabled`, "1");
    }
    const c0 = getLink(client.route, "c0").index;
    const s0 = getLink(server.route, "s0").index;
    server.sysctl("ipv6/conf/s0/seg6_enabled", "1");
    addAddress(server.route, getLink(server.route, "lo").index, "fd00:9::9/128");
    addRoute(router.route, { dst: "fd00:5::/64", via: "fd00:2::2" });
    const reached = () => client.spawnSync("ping", ["-6", "-c1", "-W1", "fd00:9::9"]).status === 0;
    expect(reached()).toBe(false);
    const segments = ["fd00:5::1", "fd00:5::2"];
    addRoute(client.route, { dst: "fd00:9::9/128", oif: c0, encap: { type: "seg6", mode: "encap", segments } });
    addRoute(server.route, {
      dst: "fd00:5::2/128",
      oif: s0,
      encap: { type: "seg6local", action: "End.DT6", table: 255 },
    });
    using loaded = linuxTarget().load(
      collectionOf([countingProgram("endpoint", T.BPF_PROG_TYPE_LWT_SEG6LOCAL, 0)], [arrayMap("hits")]),
    );
    const hook = { kind: "lwt", prefix: "fd00:5::1/128", direction: "seg6local", iface: "s0" } as const;
    {
      using _ = linuxTarget({ netns: server.fd }).attach(loaded.programs.get("endpoint")!, hook);
      expect(reached()).toBe(true);
      expect(hitsOf(loaded.maps)).toBe(1);
      const said = listRoutes(server.route).flatMap(({ encap }) => encap ?? []);
      expect(said).toContain("seg6local action End.DT6 table 255");
      expect(said).toContainEqual(expect.stringMatching(/^seg6local action End\.BPF endpoint endpoint:\d+$/));
      expect(server.spawnSync("ip", ["-6", "route"]).stdout).toContain(
        "encap seg6local action End.BPF endpoint endpoint:",
      );
      expect(listRoutes(client.route).find((r) => r.dst === "fd00:9::9/128")?.encap).toBe(
        "seg6 mode encap segs [ fd00:5::1 fd00:5::2 ]",
      );
    }
    expect(reached()).toBe(false);
    deleteRoute(client.route, { dst: "fd00:9::9/128" });
  });

  test("sk_lookup sends a port to a socket on another", () => {
    const text = `
      r6 = r1
      *(u32 *)(r10 - 4) = 0
      r1 = map[socks]
      r2 = r10
      r2 += -4
      call 1
      if r0 == 0 goto pass
      r7 = r0
      r1 = r6
      r2 = r7
      r3 = 0
      call 124
      r1 = r7
      call 86
    pass:
      r0 = 1
      exit`;
    const socks = arrayMap("socks", 1, { type: MapType.BPF_MAP_TYPE_SOCKMAP });
    const target = linuxTarget({ netns: net.server.fd });
    using loaded = target.load(
      collectionOf(
        [asmProgram("lookup", T.BPF_PROG_TYPE_SK_LOOKUP, text, { attachType: AttachType.BPF_SK_LOOKUP })],
        [socks],
      ),
    );
    const rx = bindUdp(net.server, "10.2.0.2", 6000);
    const tx = bindUdp(net.client, "10.1.0.2", 6001);
    loaded.maps.get("socks")!.update(new Uint8Array(4), new Uint8Array(BigUint64Array.of(BigInt(rx)).buffer));
    sendUdp(tx, "10.2.0.2", 6999, Uint8Array.of(1));
    expect(awaitUdp(rx, 20)).toBeUndefined();
    {
      using _ = target.attach(loaded.programs.get("lookup")!, { kind: "netns", type: "sk_lookup" });
      sendUdp(tx, "10.2.0.2", 6999, Uint8Array.of(2));
      expect(awaitUdp(rx)).toEqual(Uint8Array.of(2));
    }
    sendUdp(tx, "10.2.0.2", 6999, Uint8Array.of(3));
    expect(awaitUdp(rx, 20)).toBeUndefined();
    close(rx);
    close(tx);
  });

  test("a flow dissector is attached once a namespace", () => {
    using loaded = edge().load(collectionOf([asmProgram("fd", T.BPF_PROG_TYPE_FLOW_DISSECTOR, "r0 = 0\nexit")]));
    const hook = { kind: "netns", type: "flow_dissector" } as const;
    using _ = edge().attach(loaded.programs.get("fd")!, hook);
    expect(() => edge().attach(loaded.programs.get("fd")!, hook)).toThrow(/: netns:flow_dissector: /);
    expect(traffic(net, 3)).toBe(3);
  });

  test("a socket filter hides packets from its socket alone", () => {
    using loaded = linuxTarget().load(
      collectionOf([asmProgram("none", T.BPF_PROG_TYPE_SOCKET_FILTER, "r0 = 0\nexit")]),
    );
    const rx = bindUdp(net.server, "10.2.0.2", 7000);
    const tx = bindUdp(net.client, "10.1.0.2", 7001);
    {
      using _ = linuxTarget().attach(loaded.programs.get("none")!, { kind: "socket", fd: rx, type: "filter" });
      sendUdp(tx, "10.2.0.2", 7000, Uint8Array.of(1));
      expect(awaitUdp(rx, 20)).toBeUndefined();
    }
    sendUdp(tx, "10.2.0.2", 7000, Uint8Array.of(2));
    expect(awaitUdp(rx)).toEqual(Uint8Array.of(2));
    close(rx);
    close(tx);
  });

  test("a reuseport program chooses among the sockets of a port", () => {
    const text = `
      *(u32 *)(r10 - 4) = 1
      r2 = map[socks]
      r3 = r10
      r3 += -4
      r4 = 0
      call 82
      r0 = 1
      exit`;
    const socks = arrayMap("socks", 2, { type: MapType.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY });
    const attachType = AttachType.BPF_SK_REUSEPORT_SELECT;
    using loaded = linuxTarget().load(
      collectionOf([asmProgram("choose", T.BPF_PROG_TYPE_SK_REUSEPORT, text, { attachType })], [socks]),
    );
    const rx = [0, 1].map((i) => {
      const fd = bindUdp(net.server, "10.2.0.2", 7100, { reusePort: true });
      const key = new Uint8Array(Uint32Array.of(i).buffer);
      loaded.maps.get("socks")!.update(key, new Uint8Array(BigUint64Array.of(BigInt(fd)).buffer));
      return fd;
    });
    const tx = bindUdp(net.client, "10.1.0.2", 7101);
    const link = linuxTarget().attach(loaded.programs.get("choose")!, {
      kind: "socket",
      fd: rx[0]!,
      type: "reuseport",
    });
    for (let i = 0; i < 8; i++) sendUdp(tx, "10.2.0.2", 7100, Uint8Array.of(i));
    expect(awaitUdp(rx[0]!, 20)).toBeUndefined();
    for (let i = 0; i < 8; i++) expect(awaitUdp(rx[1]!)).toEqual(Uint8Array.of(i));
    link.close();
    for (const fd of [...rx, tx]) close(fd);
  });

  test("a classic filter cuts what its socket receives", () => {
    const rx = bindUdp(net.server, "10.2.0.2", 7200);
    const tx = bindUdp(net.client, "10.1.0.2", 7201);
    // ret #10: the UDP header and two bytes.
    attachClassicFilter(rx, Uint8Array.of(6, 0, 0, 0, 10, 0, 0, 0));
    sendUdp(tx, "10.2.0.2", 7200, Uint8Array.of(1, 2, 3, 4));
    expect(awaitUdp(rx)).toEqual(Uint8Array.of(1, 2));
    close(rx);
    close(tx);
  });

  test("a program of another type is refused before the kernel is asked", () => {
    using loaded = edge().load(collectionOf([asmProgram("x", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit")]));
    expect(() => edge().attach(loaded.programs.get("x")!, { kind: "tcx", iface: "e0", direction: "ingress" })).toThrow(
      new TypeError("program x: tcx needs type sched_cls, got xdp"),
    );
  });
});
