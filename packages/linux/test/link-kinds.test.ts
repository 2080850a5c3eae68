/**
 * Every kind of device that this kernel has, made by ip(8) in one namespace and by us in another: what ip prints of both
 * is the same, and so is what we read of both.
 */
import { LINK_KINDS, type LinkKind } from "@ebplane/core/netlink";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addLink, getLink, type LinkSpec, listLinks } from "../src/netlink/index.ts";
import { NetNs } from "../src/netns/index.ts";
import { kernelSkipReason } from "../src/testing.ts";

const skip = kernelSkipReason();

type Spec = LinkSpec extends infer S
  ? S extends LinkSpec
    ? Omit<S, "name" | "link"> & { below?: true }
    : never
  : never;

/** The kind with ip's words for it, and with ours. `below`: on the device `low`. */
const CASES: readonly (readonly [words: string, spec: Spec])[] = [
  ["veth peer name p0", { kind: "veth", peer: { name: "p0" } }],
  ["dummy", { kind: "dummy" }],
  ["ifb", { kind: "ifb" }],
  ["vlan id 7", { kind: "vlan", below: true, id: 7 }],
  [
    "vlan protocol 802.1ad id 8 reorder_hdr off",
    { kind: "vlan", below: true, id: 8, protocol: "802.1ad", flags: { flags: 0, mask: 1 } },
  ],
  ["macvlan mode vepa", { kind: "macvlan", below: true, mode: "vepa" }],
  ["macvtap mode bridge", { kind: "macvtap", below: true, mode: "bridge" }],
  ["ipvlan mode l3 private", { kind: "ipvlan", below: true, mode: "l3", flags: "private" }],
  ["bridge stp_state 1 priority 100", { kind: "bridge", stp: true, priority: 100 }],
  [
    "bridge stp_state 1 vlan_filtering 1 priority 100 forward_delay 400 ageing_time 1000 mcast_snooping 0",
    {
      kind: "bridge",
      stp: true,
      vlanFiltering: true,
      priority: 100,
      forwardDelay: 400,
      ageingTime: 1000,
      multicastSnooping: false,
    },
  ],
  [
    "bond mode 802.3ad miimon 100 xmit_hash_policy layer3+4 lacp_rate fast min_links 1",
    { kind: "bond", mode: "802.3ad", miimon: 100, hashPolicy: "layer3+4", lacpRate: "fast", minLinks: 1 },
  ],
  [
    "bond mode active-backup arp_interval 200 arp_ip_target 10.0.0.1,10.0.0.2 fail_over_mac active",
    {
      kind: "bond",
      mode: "active-backup",
      arpInterval: 200,
      arpTargets: ["10.0.0.1", "10.0.0.2"],
      failOverMac: "active",
    },
  ],
  [
    "vxlan id 42 local 10.9.0.1 remote 10.9.0.2 dstport 4789 ttl 9 nolearning",
    { kind: "vxlan", vni: 42, local: "10.9.0.1", remote: "10.9.0.2", port: 4789, ttl: 9, learning: false },
  ],
  [
    "vxlan id 43 local fd00::1 remote fd00::2 dstport 8472 srcport 1000 2000 udp6zerocsumtx",
    {
      kind: "vxlan",
      vni: 43,
      local: "fd00::1",
      remote: "fd00::2",
      port: 8472,
      sourcePorts: { low: 1000, high: 2000 },
      udp6ZeroChecksumTx: true,
    },
  ],
  // ip leaves learning out where tunnels come with each packet.
  ["vxlan external dstport 4790", { kind: "vxlan", external: true, learning: false, port: 4790 }],
  [
    "geneve id 5 remote 10.9.0.2 dstport 6081 ttl 3",
    { kind: "geneve", vni: 5, remote: "10.9.0.2", port: 6081, ttl: 3 },
  ],
  ["geneve external", { kind: "geneve", external: true }],
  [
    "gre local 10.9.0.1 remote 10.9.0.2 ttl 7 key 9",
    {
      kind: "gre",
      local: "10.9.0.1",
      remote: "10.9.0.2",
      ttl: 7,
      inputKey: 9,
      outputKey: 9,
      inputFlags: 0x2000,
      outputFlags: 0x2000,
      pmtuDiscovery: true,
    },
  ],
  [
    "gretap local 10.9.0.1 remote 10.9.0.3",
    { kind: "gretap", local: "10.9.0.1", remote: "10.9.0.3", pmtuDiscovery: true },
  ],
  [
    "ip6gre local fd00::1 remote fd00::2",
    { kind: "ip6gre", local: "fd00::1", remote: "fd00::2", ttl: 64, encapLimit: 4, encapFlags: 2 },
  ],
  [
    "ipip local 10.9.0.1 remote 10.9.0.4 ttl 5",
    { kind: "ipip", local: "10.9.0.1", remote: "10.9.0.4", ttl: 5, proto: 0, pmtuDiscovery: true },
  ],
  [
    "sit local 10.9.0.1 remote 10.9.0.5",
    { kind: "sit", local: "10.9.0.1", remote: "10.9.0.5", ttl: 0, proto: 0, pmtuDiscovery: true },
  ],
  [
    "vti local 10.9.0.1 remote 10.9.0.6 key 3",
    { kind: "vti", local: "10.9.0.1", remote: "10.9.0.6", inputKey: 3, outputKey: 3 },
  ],
  ["vrf table 77", { kind: "vrf", table: 77 }],
  ["xfrm dev low if_id 6", { kind: "xfrm", below: true, ifId: 6 }],
  ["bareudp dstport 6635 ethertype mpls_uc", { kind: "bareudp", port: 6635, etherType: 0x8847 }],
  ["wireguard", { kind: "wireguard" }],
  ["netkit mode l2 forward", { kind: "netkit", mode: "l2", policy: "forward" }],
];

describe.skipIf(skip)(`kinds of devices beside ip(8)${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let theirs: NetNs;
  let ours: NetNs;
  const tried = new Set<string>();
  const lacking = new Set<string>();
  beforeAll(() => {
    [theirs, ours] = [NetNs.create(), NetNs.create()];
    for (const ns of [theirs, ours]) addLink(ns.route, { kind: "veth", name: "low", peer: { name: "high" } });
  });
  afterAll(() => {
    theirs.close();
    ours.close();
  });

  const ip = (ns: NetNs, ...args: string[]) => ns.spawnSync("ip", args);
  /** What ip tells of the kind. */
  const said = (ns: NetNs): unknown => {
    const [link] = JSON.parse(ip(ns, "-d", "-j", "link", "show", "dev", "t0").stdout) as [
      { mtu: number; linkinfo: { info_data?: Record<string, unknown> } },
    ];
    const { info_data: data = {}, ...info } = link.linkinfo;
    // Of a bridge's address and timers nothing was asked.
    const { root_id: _, bridge_id: __, gc_timer: ___, ...rest } = data;
    return { mtu: link.mtu, ...info, data: rest };
  };
  const read = (ns: NetNs) => {
    const { kind, options, mtu } = getLink(ns.route, "t0");
    return { kind, mtu, options };
  };

  test.each(CASES)("%s", (words, { below, ...spec }) => {
    const [kind, ...rest] = words.split(" ");
    const device = below && kind !== "xfrm" ? ["link", "low"] : [];
    const { status, stderr } = ip(theirs, "link", "add", ...device, "name", "t0", "type", kind!, ...rest);
    const link = below ? getLink(ours.route, "low").index : undefined;
    const make = (): void => addLink(ours.route, { ...spec, name: "t0", link } as LinkSpec);
    const asked = Object.fromEntries(
      Object.entries(spec).filter(([name]) => !["kind", "peer", "flags"].includes(name)),
    );
    if (status !== 0 && /Unknown device type|Operation not supported/.test(stderr)) {
      lacking.add(kind!);
      expect(make).toThrow("EOPNOTSUPP");
      return;
    }
    if (status !== 0 && /garbage|usage|argument|parse/i.test(stderr)) {
      // An ip that is older than the kind: ours alone.
      try {
        make();
      } catch (error) {
        expect(String(error)).toContain("EOPNOTSUPP");
        lacking.add(kind!);
        return;
      }
      expect(read(ours)).toMatchObject({ kind, options: asked });
      ip(ours, "link", "del", "t0");
      return;
    }
    expect({ words, stderr, status }).toEqual({ words, stderr, status: 0 });
    make();
    tried.add(kind!);
    try {
      expect(read(ours)).toMatchObject({ kind, options: asked });
      expect(said(ours)).toEqual(said(theirs));
      expect(read(ours)).toEqual(read(theirs));
    } finally {
      for (const ns of [theirs, ours]) ip(ns, "link", "del", "t0");
    }
  });

  test("ports tell of themselves, and a mistake is told by the option's name", () => {
    ip(ours, "link", "add", "name", "br9", "type", "bridge");
    ip(ours, "link", "set", "low", "master", "br9");
    expect(getLink(ours.route, "low").port).toMatchObject({ state: "disabled", learning: true, hairpin: false });
    expect(() => addLink(ours.route, { kind: "bridge", name: "x", priority: 70000 })).toThrow(
      new RangeError("priority: expected a whole number from 0 to 65535, got 70000"),
    );
    expect(() => addLink(ours.route, { kind: "vxlan", name: "x", df: "maybe" as "set" })).toThrow(
      new RangeError("df: expected one of unset, set, inherit, got maybe"),
    );
    expect(() => addLink(ours.route, { kind: "vxlan", name: "x", vni: 1 << 24 })).toThrow(/ERANGE/);
    expect(listLinks(ours.route).map((l) => l.name)).not.toContain("x");
  });

  test("enough kinds were there to compare", () => {
    const kinds = Object.keys(LINK_KINDS) as LinkKind[];
    expect([...tried, ...lacking].every((kind) => kinds.includes(kind as LinkKind))).toBe(true);
    console.log(`compared: ${[...tried].join(" ")}; not here: ${[...lacking].filter((k) => !tried.has(k)).join(" ")}`);
    expect(tried.size).toBeGreaterThanOrEqual(5);
  });
});
