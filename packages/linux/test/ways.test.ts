/**
 * Routes with several ways, next hop objects, metrics and encapsulations, rules, proxies, forwarding databases and VLANs of
 * ports, made by ip(8) and bridge(8) in one namespace and by us in another: what they print of both is the same, and so is
 * what we read of both.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  addAddress,
  addBridgeVlan,
  addFdb,
  addNexthop,
  addProxy,
  addRoute,
  addRule,
  deleteBridgeVlan,
  deleteFdb,
  deleteNexthop,
  deleteProxy,
  deleteRoute,
  deleteRule,
  getLink,
  getRoute,
  listAddresses,
  listBridgeVlans,
  listFdb,
  listNexthops,
  listProxies,
  listRoutes,
  listRules,
  type NetlinkClient,
  type RouteSpec,
  type Rule,
} from "../src/netlink/index.ts";
import { NetNs } from "../src/netns/index.ts";
import { kernelSkipReason } from "../src/testing.ts";

const skip = kernelSkipReason();

type Ways = readonly (readonly [words: string, spec: RouteSpec])[];
/** d0 is 2 or more: filled in by name. */
const D0 = -1;

const ROUTES: Ways = [
  ["10.1.0.0/16 via 10.0.0.2 proto 99", { dst: "10.1.0.0/16", via: "10.0.0.2", protocol: 99 }],
  [
    "10.2.0.0/16 nexthop via 10.0.0.2 weight 3 nexthop via 10.0.0.3 weight 1",
    { dst: "10.2.0.0/16", nexthops: [{ via: "10.0.0.2", weight: 3 }, { via: "10.0.0.3" }] },
  ],
  [
    "fd01::/32 nexthop via fd00::2 weight 2 nexthop via fd00::3",
    { dst: "fd01::/32", nexthops: [{ via: "fd00::2", weight: 2 }, { via: "fd00::3" }] },
  ],
  [
    "10.3.0.0/16 dev d0 mtu 1300 advmss 1200 initcwnd 20 congctl reno",
    { dst: "10.3.0.0/16", oif: D0, metrics: { mtu: 1300, advmss: 1200, initCwnd: 20, congestion: "reno" } },
  ],
  [
    "10.4.0.0/16 via 172.16.0.1 dev d0 onlink metric 7",
    { dst: "10.4.0.0/16", via: "172.16.0.1", oif: D0, onlink: true, metric: 7 },
  ],
  ["10.5.0.0/16 via inet6 fd00::9 dev d0", { dst: "10.5.0.0/16", via: "fd00::9", oif: D0 }],
  ["10.6.0.0/16 tos 0x10 via 10.0.0.2", { dst: "10.6.0.0/16", tos: 0x10, via: "10.0.0.2" }],
  [
    "10.7.0.0/16 encap ip id 9 dst 10.9.9.9 via 10.0.0.2",
    { dst: "10.7.0.0/16", via: "10.0.0.2", encap: { type: "ip", id: 9n, dst: "10.9.9.9" } },
  ],
  [
    "10.8.0.0/16 encap mpls 100/200 via 10.0.0.2",
    { dst: "10.8.0.0/16", via: "10.0.0.2", encap: { type: "mpls", labels: [100, 200] } },
  ],
  [
    "fd02::/32 encap seg6 mode encap segs fd00::7,fd00::8 via fd00::2",
    { dst: "fd02::/32", via: "fd00::2", encap: { type: "seg6", mode: "encap", segments: ["fd00::7", "fd00::8"] } },
  ],
  ["unreachable 10.9.0.0/16", { dst: "10.9.0.0/16", type: "unreachable" }],
];

const RULES: readonly (readonly [words: string, rule: Rule])[] = [
  ["prio 100 from 10.5.0.0/24 lookup 77", { family: 4, priority: 100, table: 77, from: "10.5.0.0/24" }],
  ["prio 101 fwmark 0x10/0xf0 lookup 78", { family: 4, priority: 101, table: 78, mark: 0x10, mask: 0xf0 }],
  ["prio 102 oif d0 iif d0 lookup 78", { family: 4, priority: 102, table: 78, oif: "d0", iif: "d0" }],
  [
    "prio 103 ipproto tcp dport 80-90 sport 1000 lookup 78",
    {
      family: 4,
      priority: 103,
      table: 78,
      ipProto: 6,
      dport: { start: 80, end: 90 },
      sport: { start: 1000, end: 1000 },
    },
  ],
  ["prio 104 uidrange 0-99 lookup 78", { family: 4, priority: 104, table: 78, uids: { start: 0, end: 99 } }],
  ["prio 105 lookup main suppress_prefixlength 0", { family: 4, priority: 105, table: 254, suppressPrefixLength: 0 }],
  ["prio 106 to 10.6.0.0/16 prohibit", { family: 4, priority: 106, table: 0, to: "10.6.0.0/16", action: "prohibit" }],
];

describe.skipIf(skip)(`ways of packets beside ip(8)${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let theirs: NetNs;
  let ours: NetNs;
  let d0: number;
  let route: NetlinkClient;
  const tried = new Set<string>();
  beforeAll(() => {
    [theirs, ours] = [NetNs.create(), NetNs.create()];
    for (const ns of [theirs, ours]) {
      for (const line of [
        "link set lo up",
        "link add d0 type veth peer name d1",
        "link set d0 up",
        "link set d1 up",
        "addr add 10.0.0.1/24 dev d0",
        "addr add fd00::1/64 dev d0 nodad",
        "link add br0 type bridge",
        "link set d1 master br0",
        "link add vx0 type vxlan id 7 dstport 4789 nolearning",
      ]) {
        expect({ line, ...ns.spawnSync("ip", line.split(" ")) }).toMatchObject({ line, stderr: "" });
      }
    }
    route = ours.route;
    d0 = getLink(route, "d0").index;
    expect(getLink(theirs.route, "d0").index).toBe(d0);
  });
  afterAll(() => {
    theirs.close();
    ours.close();
  });

  const ip = (ns: NetNs, line: string) => ns.spawnSync("ip", line.split(" "));
  const shown = (ns: NetNs, tool: string, line: string): unknown =>
    JSON.parse(ns.spawnSync(tool, ["-j", "-d", ...line.split(" ")]).stdout || "[]", (key, value) =>
      ["used", "confirmed", "updated", "ifindex", "link_index"].includes(key) ? undefined : value,
    );
  const routes = (ns: NetNs) => listRoutes(ns.route).filter((r) => r.protocol !== 2);
  /** ip writes boot (3) where we write static (4). */
  const withProto = (words: string) =>
    words.includes("proto ") ? words : `${words.replace(/^((?:unreachable )?\S+)/, "$1 proto static")}`;

  test.each(ROUTES)("route %s", (words, given) => {
    const spec: RouteSpec = given.oif === D0 ? { ...given, oif: d0 } : given;
    const v6 = spec.dst.includes(":") ? "-6 " : "";
    const { status, stderr } = ip(theirs, `${v6}route add ${withProto(words)}`);
    if (status !== 0) {
      // No such tunnel in this kernel.
      expect(stderr).toMatch(/not supported|is unknown|lwt/i);
      expect(() => addRoute(route, spec)).toThrow(/EOPNOTSUPP|EINVAL/);
      return;
    }
    addRoute(route, spec);
    tried.add(words);
    try {
      expect(shown(ours, "ip", `${v6}route show proto ${spec.protocol ?? 4}`)).toEqual(
        shown(theirs, "ip", `${v6}route show proto ${spec.protocol ?? 4}`),
      );
      expect(routes(ours)).toEqual(routes(theirs));
      const [read] = routes(ours);
      const { encap, nexthops, type: _, tos: __, ...asked } = spec;
      expect(read).toMatchObject(asked);
      if (nexthops)
        expect(read!.nexthops?.map(({ via, weight }) => ({ via, weight }))).toEqual(
          nexthops.map(({ via, weight = 1 }) => ({ via, weight })),
        );
      if (encap?.type === "mpls") expect(read!.encap).toBe("mpls 100/200");
      deleteRoute(route, spec);
      expect(routes(ours)).toEqual([]);
    } finally {
      ip(theirs, `${v6}route flush proto ${spec.protocol ?? 4}`);
      ip(ours, `${v6}route flush proto ${spec.protocol ?? 4}`);
    }
  });

  test("a second way is put behind the first, and one of them is taken", () => {
    addRoute(route, { dst: "fd03::/32", via: "fd00::2" });
    addRoute(route, { dst: "fd03::/32", via: "fd00::3" }, "append");
    const [read, ...more] = routes(ours);
    expect(more).toEqual([]);
    expect(read!.nexthops).toMatchObject([{ via: "fd00::2", weight: 1 }, { via: "fd00::3" }]);
    expect(["fd00::2", "fd00::3"]).toContain(getRoute(route, { dst: "fd03::9" }).via);
    deleteRoute(route, { dst: "fd03::/32" });
    expect(() => addRoute(route, { dst: "10.2.0.0/16", nexthops: [{ via: "10.0.0.2", weight: 0 }] })).toThrow(
      new RangeError("weight: expected 1 to 256, got 0"),
    );
  });

  test("next hop objects: routes by id, groups, and what goes with them", () => {
    for (const line of [
      "nexthop add id 1 via 10.0.0.2 dev d0 proto static",
      "nexthop add id 2 via 10.0.0.3 dev d0 proto static",
      "nexthop add id 3 group 1,3/2,1 proto static",
      "nexthop add id 4 blackhole proto static",
      "nexthop add id 5 via fd00::2 dev d0 proto static",
      "route add 10.20.0.0/16 nhid 3 proto static",
    ]) {
      const { stderr, status } = ip(theirs, line);
      expect({ line, stderr, status }).toEqual({ line, stderr: "", status: 0 });
    }
    addNexthop(route, { id: 1, via: "10.0.0.2", oif: d0 });
    addNexthop(route, { id: 2, via: "10.0.0.3", oif: d0 });
    addNexthop(route, { id: 3, group: [{ id: 1, weight: 3 }, { id: 2 }] });
    addNexthop(route, { id: 4, blackhole: true });
    addNexthop(route, { id: 5, via: "fd00::2", oif: d0 });
    addRoute(route, { dst: "10.20.0.0/16", nexthop: 3 });
    expect(shown(ours, "ip", "nexthop")).toEqual(shown(theirs, "ip", "nexthop"));
    expect(shown(ours, "ip", "route show proto 4")).toEqual(shown(theirs, "ip", "route show proto 4"));
    expect(listNexthops(route)).toEqual(listNexthops(theirs.route));
    expect(listNexthops(route)[2]).toMatchObject({
      id: 3,
      group: [
        { id: 1, weight: 3 },
        { id: 2, weight: 1 },
      ],
    });
    expect(routes(ours)).toEqual(routes(theirs));
    expect(routes(ours)).toMatchObject([{ dst: "10.20.0.0/16", nexthop: 3 }]);
    expect(() => addNexthop(route, { id: 1, blackhole: true })).toThrow("EEXIST");
    addNexthop(route, { id: 1, via: "10.0.0.4", oif: d0 }, "replace");
    expect(listNexthops(route)[0]).toMatchObject({ via: "10.0.0.4" });
    for (const id of [3, 1, 2, 4, 5]) deleteNexthop(route, id);
    expect(listNexthops(route)).toEqual([]);
    expect(routes(ours)).toEqual([]);
    expect(() => deleteNexthop(route, 9)).toThrow("ENOENT");
    ip(theirs, "nexthop flush");
  });

  test.each(RULES)("rule %s", (words, rule) => {
    const { status, stderr } = ip(theirs, `rule add ${words}`);
    expect({ words, stderr, status }).toMatchObject({ status: 0 });
    addRule(route, rule);
    try {
      expect(shown(ours, "ip", "rule show")).toEqual(shown(theirs, "ip", "rule show"));
      expect(listRules(route)).toEqual(listRules(theirs.route));
      const { table: _, ...asked } = rule;
      expect(listRules(route).find((r) => r.priority === rule.priority)).toMatchObject(asked);
    } finally {
      ip(theirs, `rule del ${words}`);
      deleteRule(route, rule);
    }
    expect(listRules(route).some((r) => r.priority === rule.priority)).toBe(false);
  });

  test("addresses with a peer, a label, a life", () => {
    ip(theirs, "addr add 10.44.0.1 peer 10.44.0.2/32 dev d0 label d0:x");
    ip(theirs, "addr add 10.45.0.1/24 broadcast 10.45.0.255 dev d0 valid_lft 1000 preferred_lft 900");
    addAddress(route, d0, "10.44.0.1/32", { peer: "10.44.0.2", label: "d0:x" });
    const lifetime = { preferred: 900, valid: 1000, created: 0, updated: 0 };
    addAddress(route, d0, "10.45.0.1/24", { broadcast: "10.45.0.255", label: "d0", lifetime });
    const near = (ns: NetNs) =>
      listAddresses(ns.route)
        .filter((a) => a.prefix.startsWith("10.4"))
        .map(({ flags: _, ...a }) => ({ ...a, lifetime: a.lifetime && a.lifetime.valid > 990 }));
    expect(near(ours)).toEqual(near(theirs));
    expect(near(ours)).toMatchObject([
      { prefix: "10.44.0.1/32", peer: "10.44.0.2", label: "d0:x" },
      { prefix: "10.45.0.1/24", broadcast: "10.45.0.255", lifetime: true },
    ]);
  });

  test("addresses that are answered for", () => {
    for (const address of ["10.0.0.77", "fd00::77"]) {
      ip(theirs, `neigh add proxy ${address} dev d0`);
      addProxy(route, d0, address);
    }
    expect(shown(ours, "ip", "neigh show proxy")).toEqual(shown(theirs, "ip", "neigh show proxy"));
    expect(listProxies(route)).toEqual(listProxies(theirs.route));
    expect(listProxies(route).map((p) => [p.ip, p.proxy])).toEqual([
      ["10.0.0.77", true],
      ["fd00::77", true],
    ]);
    deleteProxy(route, d0, "fd00::77");
    expect(listProxies(route).length).toBe(1);
  });

  test("what a vxlan and a bridge know", () => {
    const mac = "02:00:00:00:00:77";
    const vx = getLink(route, "vx0").index;
    const d1 = getLink(route, "d1").index;
    const bridge = (line: string) => theirs.spawnSync("bridge", line.split(" "));
    bridge(`fdb add ${mac} dev vx0 dst 10.0.0.2 port 4790 vni 9 self permanent`);
    bridge("fdb append 00:00:00:00:00:00 dev vx0 dst 10.0.0.3");
    bridge("fdb append 00:00:00:00:00:00 dev vx0 dst 10.0.0.4");
    bridge(`fdb add ${mac} dev d1 master`);
    addFdb(route, { index: vx, mac, dst: "10.0.0.2", port: 4790, vni: 9 });
    for (const dst of ["10.0.0.3", "10.0.0.4"]) addFdb(route, { index: vx, mac: "00:00:00:00:00:00", dst }, "append");
    addFdb(route, { index: d1, mac, in: "master" });
    const about = (list: unknown) =>
      (list as { mac: string }[]).filter((e) => [mac, "00:00:00:00:00:00"].includes(e.mac));
    expect(about(shown(ours, "bridge", "fdb show"))).toEqual(about(shown(theirs, "bridge", "fdb show")));
    const read = (ns: NetNs) => listFdb(ns.route).filter((e) => [mac, "00:00:00:00:00:00"].includes(e.mac));
    expect(read(ours)).toEqual(read(theirs));
    expect(read(ours)).toContainEqual(
      expect.objectContaining({ index: vx, mac, in: "self", dst: "10.0.0.2", port: 4790, vni: 9, permanent: true }),
    );
    deleteFdb(route, { index: vx, mac, dst: "10.0.0.2", port: 4790, vni: 9 });
    deleteFdb(route, { index: d1, mac, in: "master" });
    expect(read(ours).map((e) => e.dst)).toEqual(["10.0.0.3", "10.0.0.4"]);
    // It is no neighbour of an IP address.
    expect(() => addFdb(route, { index: vx, mac: "00:00:00:00:00:00", dst: "10.0.0.3" })).toThrow("EEXIST");
  });

  test("VLANs of a bridge's port", () => {
    const bridge = (line: string) => theirs.spawnSync("bridge", line.split(" "));
    if (bridge("vlan add dev d1 vid 10 pvid untagged").status !== 0) {
      // This kernel's bridges have no VLANs.
      expect(() => addBridgeVlan(route, { index: getLink(route, "d1").index, id: 10 })).toThrow("EOPNOTSUPP");
      return;
    }
    bridge("vlan add dev d1 vid 20");
    bridge("vlan add dev br0 vid 20 self");
    const [d1, br0] = ["d1", "br0"].map((name) => getLink(route, name).index);
    addBridgeVlan(route, { index: d1!, id: 10, pvid: true, untagged: true });
    addBridgeVlan(route, { index: d1!, id: 20 });
    addBridgeVlan(route, { index: br0!, id: 20, self: true });
    expect(shown(ours, "bridge", "vlan show")).toEqual(shown(theirs, "bridge", "vlan show"));
    expect(listBridgeVlans(route)).toEqual(listBridgeVlans(theirs.route));
    expect(listBridgeVlans(route)).toContainEqual({ index: d1, id: 10, pvid: true, untagged: true });
    deleteBridgeVlan(route, { index: d1!, id: 10 });
    expect(
      listBridgeVlans(route)
        .filter((v) => v.index === d1)
        .map((v) => v.id),
    ).toEqual([1, 20]);
  });

  test("enough ways were there to compare", () => {
    expect(tried.size).toBeGreaterThanOrEqual(6);
  });
});
