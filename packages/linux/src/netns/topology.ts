/**
 * The network that tests run real traffic through, all in namespaces without a name, gone with `close` or the process:
 *
 *     client  c0 ─── e0  edge  e1 ─── s0  server
 *     10.1.0.2      10.1.0.1  10.2.0.1     10.2.0.2
 *     fd00:1::2     fd00:1::1 fd00:2::1    fd00:2::2
 *
 * The edge forwards; neighbours are permanent, so no ARP or discovery is in the way of a packet count.
 */
import { setOffload } from "../link/index.ts";
import { addAddress, addLink, addNeighbour, addRoute, getLink, setLink } from "../netlink/index.ts";
import { close, sleep } from "../sys/index.ts";
import { NetNs } from "./netns.ts";
import { bindUdp, countUdp, sendUdp } from "./sockets.ts";

export interface Topology {
  readonly client: NetNs;
  readonly edge: NetNs;
  readonly server: NetNs;
  close(): void;
  [Symbol.dispose](): void;
}

export interface TopologyOptions {
  readonly mtu?: number;
  /** Queues of each veth. */
  readonly queues?: number;
  /** Transmit checksum offload: off by default, since native redirects lose what is left to compute. */
  readonly txChecksum?: boolean;
}

interface End {
  readonly ns: NetNs;
  readonly device: string;
  readonly mac: string;
  readonly v4: string;
  readonly v6: string;
}

/** Builds the topology, links up and addresses set. */
export function createTopology(options: TopologyOptions = {}): Topology {
  const opened: NetNs[] = [];
  const create = (): NetNs => {
    const ns = NetNs.create();
    opened.push(ns);
    return ns;
  };
  const close = (): void => {
    for (const ns of opened) ns.close();
  };
  try {
    const [client, edge, server] = [create(), create(), create()];
    for (const ns of [client, edge, server]) {
      setLink(ns.route, 1, { up: true });
      ns.sysctl("ipv6/conf/all/accept_dad", "0");
      ns.sysctl("ipv6/conf/default/accept_dad", "0");
      ns.sysctl("ipv6/conf/default/router_solicitations", "0");
    }
    const c0: End = { ns: client, device: "c0", mac: "02:00:00:00:01:02", v4: "10.1.0.2", v6: "fd00:1::2" };
    const e0: End = { ns: edge, device: "e0", mac: "02:00:00:00:01:01", v4: "10.1.0.1", v6: "fd00:1::1" };
    const e1: End = { ns: edge, device: "e1", mac: "02:00:00:00:02:01", v4: "10.2.0.1", v6: "fd00:2::1" };
    const s0: End = { ns: server, device: "s0", mac: "02:00:00:00:02:02", v4: "10.2.0.2", v6: "fd00:2::2" };
    connect(c0, e0, options);
    connect(s0, e1, options);
    for (const { ns, device } of [c0, e0, e1, s0]) waitUntilUp(ns, device);
    for (const [ns, via4, via6] of [
      [client, e0.v4, e0.v6],
      [server, e1.v4, e1.v6],
    ] as const) {
      addRoute(ns.route, { dst: "0.0.0.0/0", via: via4 });
      addRoute(ns.route, { dst: "::/0", via: via6 });
    }
    edge.sysctl("ipv4/ip_forward", "1");
    edge.sysctl("ipv6/conf/all/forwarding", "1");
    return { client, edge, server, close, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

/** RFC 2863 operational state. */
const IF_OPER_UP = 6;

/**
 * A veth is up when both ends are, but its queue is put in place a moment later by a worker (linkwatch): what is sent
 * before is lost.
 */
function waitUntilUp(ns: NetNs, device: string): void {
  for (let tries = 0; tries < 5000 && getLink(ns.route, device).operState !== IF_OPER_UP; tries++) sleep(1);
}

/** One veth between two namespaces, both ends up and knowing each other. */
function connect(a: End, b: End, options: TopologyOptions): void {
  const { mtu, queues } = options;
  const peer = { name: b.device, mac: b.mac, netns: b.ns.fd, mtu, queues };
  addLink(a.ns.route, { kind: "veth", name: a.device, mac: a.mac, mtu, queues, peer });
  for (const [end, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const { route } = end.ns;
    const { index } = getLink(route, end.device);
    if (!options.txChecksum) end.ns.run(() => setOffload(end.device, "txChecksum", false));
    setLink(route, index, { up: true });
    addAddress(route, index, `${end.v4}/24`);
    addAddress(route, index, `${end.v6}/64`);
    addNeighbour(route, index, other.v4, other.mac);
    addNeighbour(route, index, other.v6, other.mac);
  }
}

/** Sends three datagrams from client to server; how many arrive, where as many are expected. */
export function traffic(net: Topology, expected: 0 | 3): number {
  const rx = bindUdp(net.server, "10.2.0.2", 5000);
  const tx = bindUdp(net.client, "10.1.0.2", 5001);
  for (let i = 0; i < 3; i++) sendUdp(tx, "10.2.0.2", 5000, Uint8Array.of(i));
  const arrived = countUdp(rx, expected);
  close(rx);
  close(tx);
  return arrived;
}
