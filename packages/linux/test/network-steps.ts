/**
 * What is asked of a network, one request a step, and how its state is told: the same for a kernel's namespace and for
 * one of sim's. Steps that must fail are as many as those that do not.
 */
import { SysError } from "@ebplane/core/errors";
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  addRule,
  deleteAddress,
  deleteLink,
  deleteNeighbour,
  deleteRoute,
  deleteRule,
  encodeBody,
  getLink,
  getRoute,
  listAddresses,
  listLinks,
  listNeighbours,
  listRoutes,
  listRules,
  type NetlinkClient,
  type RouteInfo,
  setLink,
} from "@ebplane/core/netlink";

/** A namespace of either side: the client, and the number by which others name it. */
export interface Side {
  readonly route: NetlinkClient;
  readonly fd: number;
}

export type Step = readonly [text: string, run: (a: Side, b: Side) => unknown];

const index = (s: Side, name: string): number => getLink(s.route, name).index;
const MAC = "02:00:00:00:00:0";
const raw = (s: Side, type: number, flags: number, header: number[], attrs: [number, Uint8Array][] = []) =>
  s.route.request("raw", type, flags, encodeBody(Uint8Array.from(header), attrs));

export const STEPS: readonly Step[] = [
  // Devices.
  [
    "a veth pair",
    (a) =>
      addLink(a.route, { kind: "veth", name: "va", mac: `${MAC}a`, mtu: 1400, peer: { name: "vb", mac: `${MAC}b` } }),
  ],
  ["its name again", (a) => addLink(a.route, { kind: "veth", name: "va", peer: { name: "vc" } })],
  ["its peer's name again", (a) => addLink(a.route, { kind: "veth", name: "vz", peer: { name: "vb" } })],
  ["a bridge", (a) => addLink(a.route, { kind: "bridge", name: "br0", mac: `${MAC}c` })],
  ["a name too long", (a) => addLink(a.route, { kind: "bridge", name: "sixteen-letters-" })],
  ["a name with a slash", (a) => addLink(a.route, { kind: "bridge", name: "a/b" })],
  ["a name with a space", (a) => addLink(a.route, { kind: "bridge", name: "a b" })],
  ["an empty name", (a) => addLink(a.route, { kind: "bridge", name: "" })],
  ["a kind that is not there", (a) => addLink(a.route, { kind: "ipvlan" as "ifb", name: "x0" })],
  [
    "a pair over two namespaces",
    (a, b) =>
      addLink(a.route, { kind: "veth", name: "ua", mac: `${MAC}d`, peer: { name: "ub", mac: `${MAC}e`, netns: b.fd } }),
  ],
  ["ifb", (a) => addLink(a.route, { kind: "ifb", name: "ifb7", mac: `${MAC}f` })],
  ["a device that is not there", (a) => getLink(a.route, "nothing")],
  ["an index that is not there", (a) => getLink(a.route, 999)],
  ["a change of one that is not there", (a) => setLink(a.route, 999, { up: true })],
  ["an mtu too small", (a) => setLink(a.route, index(a, "br0"), { mtu: 20 })],
  ["an mtu too large", (a) => setLink(a.route, index(a, "va"), { mtu: 70000 })],
  ["an mtu", (a) => setLink(a.route, index(a, "vb"), { mtu: 1300 })],
  ["a mac", (a) => setLink(a.route, index(a, "vb"), { mac: "02:00:00:00:00:bb" })],
  ["a multicast mac", (a) => setLink(a.route, index(a, "vb"), { mac: "03:00:00:00:00:bb" })],
  ["a new name", (a) => setLink(a.route, index(a, "ifb7"), { name: "ifb8" })],
  ["a name that is taken", (a) => setLink(a.route, index(a, "ifb8"), { name: "va" })],
  ["one end up: no carrier", (a) => setLink(a.route, index(a, "va"), { up: true })],
  ["the other up", (a) => setLink(a.route, index(a, "vb"), { up: true })],
  ["the loopback up", (a) => setLink(a.route, 1, { up: true })],
  ["the far namespace's end up", (_, b) => setLink(b.route, index(b, "ub"), { up: true })],
  ["the near end up", (a) => setLink(a.route, index(a, "ua"), { up: true })],
  ["into a bridge", (a) => setLink(a.route, index(a, "va"), { master: index(a, "br0") })],
  ["a bridge into itself", (a) => setLink(a.route, index(a, "br0"), { master: index(a, "br0") })],
  ["into what is no bridge", (a) => setLink(a.route, index(a, "vb"), { master: index(a, "ifb8") })],
  ["into what is not there", (a) => setLink(a.route, index(a, "vb"), { master: 999 })],
  ["the loopback into a bridge", (a) => setLink(a.route, 1, { master: index(a, "br0") })],
  ["out of the bridge", (a) => setLink(a.route, index(a, "va"), { master: 0 })],
  ["the loopback away", (a) => deleteLink(a.route, 1)],
  ["one away that is not there", (a) => deleteLink(a.route, 999)],
  ["none named", (a) => deleteLink(a.route, 0)],

  // Addresses.
  ["an address", (a) => addAddress(a.route, index(a, "vb"), "10.5.0.1/24")],
  ["it again", (a) => addAddress(a.route, index(a, "vb"), "10.5.0.1/24")],
  ["a second in the same prefix", (a) => addAddress(a.route, index(a, "vb"), "10.5.0.9/24")],
  ["a host address", (a) => addAddress(a.route, index(a, "vb"), "10.5.1.1/32")],
  ["a pair's address", (a) => addAddress(a.route, index(a, "vb"), "10.5.2.0/31")],
  ["on a device that is down", (a) => addAddress(a.route, index(a, "ifb8"), "10.7.0.1/24")],
  ["on one that is not there", (a) => addAddress(a.route, 999, "10.5.0.1/24")],
  ["on the loopback", (a) => addAddress(a.route, 1, "127.0.0.1/8")],
  ["one of IPv6", (a) => addAddress(a.route, index(a, "vb"), "fd00:5::1/64")],
  ["one of IPv6 again", (a) => addAddress(a.route, index(a, "vb"), "fd00:5::1/64")],
  ["one of IPv6 on what is not there", (a) => addAddress(a.route, 999, "fd00:5::1/64")],
  ["a host address of IPv6", (a) => addAddress(a.route, index(a, "vb"), "fd00:6::1/128")],
  ["a multicast address of IPv6", (a) => addAddress(a.route, index(a, "vb"), "ff02::5/64")],
  ["away what is not there", (a) => deleteAddress(a.route, index(a, "vb"), "10.5.0.77/24")],
  ["away of IPv6 what is not there", (a) => deleteAddress(a.route, index(a, "vb"), "fd00:5::77/64")],
  ["away by the wrong length", (a) => deleteAddress(a.route, index(a, "vb"), "10.5.0.1/16")],
  ["the far end's", (_, b) => addAddress(b.route, index(b, "ub"), "10.8.0.2/24")],
  ["the near end's", (a) => addAddress(a.route, index(a, "ua"), "10.8.0.1/24")],
  ["a family that is none", (a) => raw(a, 20, 0x600, [99, 24, 0, 0, 2, 0, 0, 0], [[2, Uint8Array.of(10, 9, 9, 9)]])],
  ["no address in it", (a) => raw(a, 20, 0x600, [2, 24, 0, 0, index(a, "vb"), 0, 0, 0])],
  [
    "a length over 32",
    (a) => raw(a, 20, 0x600, [2, 33, 0, 0, index(a, "vb"), 0, 0, 0], [[2, Uint8Array.of(10, 9, 9, 9)]]),
  ],
  [
    "an address of 3 bytes",
    (a) => raw(a, 20, 0x600, [2, 24, 0, 0, index(a, "vb"), 0, 0, 0], [[2, Uint8Array.of(10, 9, 9)]]),
  ],
  ["a header cut short", (a) => raw(a, 20, 0x600, [2, 24, 0, 0])],

  // Routes.
  ["a route by a gateway", (a) => addRoute(a.route, { dst: "10.6.0.0/16", via: "10.5.0.2", metric: 7 })],
  ["by another, in its place", (a) => addRoute(a.route, { dst: "10.6.0.0/16", via: "10.5.0.3", metric: 7 })],
  ["with another metric", (a) => addRoute(a.route, { dst: "10.6.0.0/16", via: "10.5.0.3", metric: 9 })],
  ["out of a device", (a) => addRoute(a.route, { dst: "10.66.0.0/16", oif: index(a, "vb") })],
  ["with a source", (a) => addRoute(a.route, { dst: "10.67.0.0/16", via: "10.5.0.2", src: "10.5.0.9" })],
  [
    "with a source that is not ours",
    (a) => addRoute(a.route, { dst: "10.68.0.0/16", via: "10.5.0.2", src: "10.55.0.9" }),
  ],
  ["to nowhere", (a) => addRoute(a.route, { dst: "10.7.9.0/24", type: "blackhole" })],
  ["prohibited", (a) => addRoute(a.route, { dst: "10.7.8.0/24", type: "prohibit" })],
  ["unreachable", (a) => addRoute(a.route, { dst: "10.7.7.0/24", type: "unreachable" })],
  ["by a gateway that is not on a link", (a) => addRoute(a.route, { dst: "10.9.0.0/16", via: "99.1.1.1" })],
  ["by a gateway that is ourselves", (a) => addRoute(a.route, { dst: "10.9.0.0/16", via: "10.5.0.1" })],
  ["by a device that is down", (a) => addRoute(a.route, { dst: "10.9.0.0/16", oif: index(a, "ifb8") })],
  ["by a device that is not there", (a) => addRoute(a.route, { dst: "10.9.0.0/16", oif: 999 })],
  ["with bits beyond its prefix", (a) => addRoute(a.route, { dst: "10.9.0.1/16", oif: index(a, "vb") })],
  ["by nothing at all", (a) => addRoute(a.route, { dst: "10.9.0.0/16" })],
  ["in a table of its own", (a) => addRoute(a.route, { dst: "10.9.0.0/16", via: "10.5.0.2", table: 77 })],
  ["in a table with a large number", (a) => addRoute(a.route, { dst: "10.9.0.0/16", via: "10.5.0.2", table: 7777 })],
  ["the default", (a) => addRoute(a.route, { dst: "0.0.0.0/0", via: "10.8.0.2" })],
  ["the far default", (_, b) => addRoute(b.route, { dst: "0.0.0.0/0", via: "10.8.0.1" })],
  ["of IPv6 by a gateway", (a) => addRoute(a.route, { dst: "fd00:66::/48", via: "fd00:5::2" })],
  ["of IPv6 out of a device", (a) => addRoute(a.route, { dst: "fd00:67::/48", oif: index(a, "vb") })],
  ["of IPv6 by a gateway elsewhere", (a) => addRoute(a.route, { dst: "fd00:68::/48", via: "fd77::2" })],
  ["of IPv6 to nowhere", (a) => addRoute(a.route, { dst: "fd00:69::/48", type: "blackhole" })],
  [
    "of IPv6 into a tunnel",
    (a) =>
      addRoute(a.route, {
        dst: "fd00:70::/48",
        via: "fd00:5::2",
        encap: { type: "seg6", mode: "encap", segments: ["fd00:5::9"] },
      }),
  ],
  ["of IPv6 by a device that is not there", (a) => addRoute(a.route, { dst: "fd00:71::/48", oif: 999 })],
  ["of IPv6 by a device that is down", (a) => addRoute(a.route, { dst: "fd00:71::/48", oif: index(a, "ifb8") })],
  ["away", (a) => deleteRoute(a.route, { dst: "10.6.0.0/16", metric: 7 })],
  ["away what is not there", (a) => deleteRoute(a.route, { dst: "10.6.0.0/16", metric: 7 })],
  ["away with the wrong gateway", (a) => deleteRoute(a.route, { dst: "10.6.0.0/16", via: "10.5.0.77" })],
  ["away in a table that is not there", (a) => deleteRoute(a.route, { dst: "10.6.0.0/16", table: 555 })],
  ["of IPv6 away", (a) => deleteRoute(a.route, { dst: "fd00:67::/48" })],
  ["of IPv6 away what is not there", (a) => deleteRoute(a.route, { dst: "fd00:67::/48" })],
  [
    "a second of the same prefix, not in its place",
    (a) => addRoute(a.route, { dst: "10.66.0.0/16", via: "10.5.0.4" }, "add"),
  ],
  [
    "neither made nor replaced",
    (a) =>
      raw(
        a,
        24,
        0,
        [2, 16, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0],
        [
          [1, Uint8Array.of(10, 99, 0, 0)],
          [5, Uint8Array.of(10, 5, 0, 4)],
        ],
      ),
  ],
  ["replaced, but not there", (a) => addRoute(a.route, { dst: "10.99.0.0/16", via: "10.5.0.4" }, "change")],
  ["changed", (a) => addRoute(a.route, { dst: "10.66.0.0/16", via: "10.5.0.5" }, "change")],
  ["another behind it", (a) => addRoute(a.route, { dst: "10.66.0.0/16", via: "10.5.0.6" }, "append")],
  ["the one behind it away", (a) => deleteRoute(a.route, { dst: "10.66.0.0/16", via: "10.5.0.6" })],

  // Which way.
  ["the way to a neighbour", (a) => getRoute(a.route, { dst: "10.5.0.77" })],
  ["the way by a gateway", (a) => getRoute(a.route, { dst: "10.67.1.1" })],
  ["the default way", (a) => getRoute(a.route, { dst: "99.9.9.9" })],
  ["the way to ourselves", (a) => getRoute(a.route, { dst: "10.5.0.1" })],
  ["the way to nowhere", (a) => getRoute(a.route, { dst: "10.7.9.1" })],
  ["a prohibited way", (a) => getRoute(a.route, { dst: "10.7.8.1" })],
  ["an unreachable way", (a) => getRoute(a.route, { dst: "10.7.7.1" })],
  ["the way of IPv6", (a) => getRoute(a.route, { dst: "fd00:66::1" })],
  ["no way", (a) => getRoute(a.route, { dst: "fd99::1" })],

  // Neighbours.
  ["a neighbour", (a) => addNeighbour(a.route, index(a, "vb"), "10.5.0.2", "02:00:00:00:00:02")],
  ["with another mac", (a) => addNeighbour(a.route, index(a, "vb"), "10.5.0.2", "02:00:00:00:00:03")],
  ["one of IPv6", (a) => addNeighbour(a.route, index(a, "vb"), "fd00:5::2", "02:00:00:00:00:04")],
  ["on a device that is not there", (a) => addNeighbour(a.route, 999, "10.5.0.2", "02:00:00:00:00:02")],
  ["on a device that is down", (a) => addNeighbour(a.route, index(a, "ifb8"), "10.7.0.2", "02:00:00:00:00:02")],
  ["a neighbour more", (a) => addNeighbour(a.route, index(a, "vb"), "10.5.0.6", "02:00:00:00:00:06")],
  ["a neighbour away", (a) => deleteNeighbour(a.route, index(a, "vb"), "10.5.0.6")],
  ["a neighbour away that is not there", (a) => deleteNeighbour(a.route, index(a, "vb"), "10.5.0.6")],
  ["a neighbour away of nowhere", (a) => deleteNeighbour(a.route, 999, "10.5.0.6")],
  ["a neighbour there already", (a) => addNeighbour(a.route, index(a, "vb"), "10.5.0.2", "02:00:00:00:00:09", "add")],
  [
    "a neighbour not made",
    (a) =>
      raw(
        a,
        28,
        0,
        [2, 0, 0, 0, index(a, "vb"), 0, 0, 0, 0x80, 0, 0, 0],
        [
          [1, Uint8Array.of(10, 5, 0, 8)],
          [2, Uint8Array.of(2, 0, 0, 0, 0, 9)],
        ],
      ),
  ],
  [
    "a neighbour with a short mac",
    (a) =>
      raw(
        a,
        28,
        0x500,
        [2, 0, 0, 0, index(a, "vb"), 0, 0, 0, 0x80, 0, 0, 0],
        [
          [1, Uint8Array.of(10, 5, 0, 8)],
          [2, Uint8Array.of(2, 0, 0)],
        ],
      ),
  ],
  [
    "a neighbour without an address",
    (a) =>
      raw(a, 28, 0x500, [2, 0, 0, 0, index(a, "vb"), 0, 0, 0, 0x80, 0, 0, 0], [[2, Uint8Array.of(2, 0, 0, 0, 0, 9)]]),
  ],

  // Rules.
  ["a rule", (a) => addRule(a.route, { family: 4, priority: 100, table: 77, from: "10.5.0.0/24", mark: 9 })],
  ["the rule again", (a) => addRule(a.route, { family: 4, priority: 100, table: 77, from: "10.5.0.0/24", mark: 9 })],
  ["a rule of the same priority", (a) => addRule(a.route, { family: 4, priority: 100, table: 77, to: "10.9.0.0/16" })],
  ["a rule by device", (a) => addRule(a.route, { family: 4, priority: 101, table: 7777, iif: "vb" })],
  ["a rule of IPv6", (a) => addRule(a.route, { family: 6, priority: 102, table: 77, to: "fd00:5::/64" })],
  ["the way that a rule chooses", (a) => getRoute(a.route, { dst: "10.9.1.1" })],
  ["a rule away", (a) => deleteRule(a.route, { family: 4, priority: 100, table: 77, from: "10.5.0.0/24", mark: 9 })],
  [
    "a rule away that is not there",
    (a) => deleteRule(a.route, { family: 4, priority: 100, table: 77, from: "10.5.0.0/24", mark: 9 }),
  ],
  ["of IPv6 a rule away that is not there", (a) => deleteRule(a.route, { family: 6, priority: 103, table: 77 })],

  // What goes with what.
  ["the address of a source away", (a) => deleteAddress(a.route, index(a, "vb"), "10.5.0.9/24")],
  ["the first address away", (a) => deleteAddress(a.route, index(a, "vb"), "10.5.0.1/24")],
  ["an address again", (a) => addAddress(a.route, index(a, "vb"), "10.5.0.1/24")],
  ["a route again", (a) => addRoute(a.route, { dst: "10.6.0.0/16", via: "10.5.0.2", metric: 7 })],
  ["a device down", (a) => setLink(a.route, index(a, "vb"), { up: false })],
  ["up again", (a) => setLink(a.route, index(a, "vb"), { up: true })],
  ["a way whose device has no carrier", (a) => setLink(a.route, index(a, "va"), { up: false })],
  ["what is left when a pair goes", (a) => deleteLink(a.route, index(a, "va"))],
  ["a device to another namespace", (a, b) => setLink(a.route, index(a, "ifb8"), { netns: b.fd })],
  ["one with an address to another namespace", (a, b) => setLink(a.route, index(a, "ua"), { netns: b.fd })],
  ["a bridge away", (a) => deleteLink(a.route, index(a, "br0"))],
  ["a request that is none", (a) => raw(a, 15, 0, [0, 0, 0, 0])],
];

/** What a step answered: its value, or the errno with the answerer's own words. */
export function outcome(run: () => unknown): unknown {
  try {
    return run() ?? "done";
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return error.message.replace(/^netlink .*?: (?=E[A-Z0-9]+\b)/, "");
  }
}

const sorted = <T>(items: readonly T[]): T[] =>
  [...items].sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));

/** RTN_ANYCAST, RTN_MULTICAST: the kernel keeps them for itself. */
const OWN: ReadonlySet<number> = new Set([4, 5]);

/** Of the kernel's own, which sim does not make: anycast and multicast. */
export function isOwnRoute({ type, dst }: RouteInfo): boolean {
  return OWN.has(type) || dst.startsWith("ff00::");
}

/** All that both sides tell of a namespace. Link-local addresses and multicast are the kernel's own affairs. */
export function stateOf({ route }: Side) {
  return {
    // What a kind has beside, such as a bridge's timers, sim's devices do not have.
    links: listLinks(route).map(({ index, name, kind, mac, mtu, up, carrier, master, link, peerNetnsId, xdp }) => ({
      ...{ index, name, kind, mac, mtu, up, carrier, master, link, xdp },
      elsewhere: peerNetnsId !== undefined,
    })),
    addresses: sorted(listAddresses(route)),
    routes: sorted(listRoutes(route).filter((r) => !isOwnRoute(r))),
    neighbours: sorted(listNeighbours(route).filter((n) => n.state !== NUD_NOARP)),
    rules: sorted(listRules(route)),
  };
}

export const NUD_NOARP = 0x40;
