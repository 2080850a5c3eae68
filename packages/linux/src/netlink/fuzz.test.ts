/**
 * Answers that a kernel never gives: dumps of a real namespace, cut short and with bytes changed. The client must come to
 * an end with a list or with one clear error, whatever it reads.
 */
import { BpfError } from "@ebplane/core/errors";
import { describe, expect, test } from "vitest";
import { createTopology, kernelSkipReason } from "../testing.ts";
import {
  addClsact,
  addLink,
  addNexthop,
  addProxy,
  addRoute,
  addRule,
  decodeEvent,
  decodeMessages,
  encodeMessage,
  getLink,
  listAddresses,
  listBpfFilters,
  listBridgeVlans,
  listClasses,
  listFdb,
  listFilters,
  listLinks,
  listNeighbours,
  listNexthops,
  listProxies,
  listQdiscs,
  listRoutes,
  listRules,
  type Message,
  NetlinkClient,
  setClass,
  setFilter,
  setQdisc,
} from "./index.ts";

const skip = kernelSkipReason();

/** Asks the kernel and keeps what it said. */
class Recorder extends NetlinkClient {
  readonly answers: Message[] = [];
  readonly #socket: NetlinkClient;
  constructor(socket: NetlinkClient) {
    super();
    this.#socket = socket;
  }
  override request(what: string, type: number, flags: number, body: Uint8Array): Message[] {
    const messages = this.#socket.request(what, type, flags, body);
    this.answers.push(...messages);
    return messages;
  }
  protected send(): void {}
  protected receive(): Uint8Array {
    return new Uint8Array(0);
  }
}

/** Answers every request with the same datagrams, and then with silence as the socket tells it. */
class Replay extends NetlinkClient {
  #left: Uint8Array[] = [];
  readonly #datagrams: readonly Uint8Array[];
  constructor(datagrams: readonly Uint8Array[]) {
    super();
    this.#datagrams = datagrams;
  }
  protected send(): void {
    this.#left = [...this.#datagrams];
  }
  protected receive(what: string): Uint8Array {
    const next = this.#left.shift();
    if (!next) throw new BpfError("ETIMEDOUT", `netlink ${what}: no answer`);
    return next;
  }
}

/** Of e0 in the topology, where the queueing discipline is. */
let deviceIndex = 0;

const LISTS = {
  links: listLinks,
  addresses: listAddresses,
  neighbours: listNeighbours,
  routes: listRoutes,
  rules: listRules,
  qdiscs: listQdiscs,
  filters: (socket: NetlinkClient) => listBpfFilters(socket, 2, "ingress"),
  link: (socket: NetlinkClient) => getLink(socket, "e0"),
  classes: (socket: NetlinkClient) => listClasses(socket, deviceIndex),
  u32: (socket: NetlinkClient) => listFilters(socket, deviceIndex, 0x10000),
  nexthops: listNexthops,
  fdb: listFdb,
  vlans: listBridgeVlans,
  proxies: listProxies,
};

describe.skipIf(skip)(`mangled answers${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("of every dump, cut and changed, end in a list or one line", () => {
    using net = createTopology();
    const { route } = net.edge;
    addLink(route, { kind: "bridge", name: "br0" });
    addRoute(route, {
      dst: "fd00:9::/48",
      via: "fd00:2::2",
      encap: { type: "seg6", mode: "encap", segments: ["fd00:2::9"] },
    });
    addRoute(route, { dst: "10.9.0.0/16", via: "10.2.0.2", encap: { type: "ip", id: 7n, dst: "10.2.0.9" } });
    addRule(route, { family: 4, priority: 9, table: 77, from: "10.5.0.0/24", iif: "e0" });
    addClsact(route, getLink(route, "e0").index);
    const index = getLink(route, "e0").index;
    deviceIndex = index;
    setQdisc(route, { index, kind: "htb", handle: 0x10000 });
    setClass(route, { index, kind: "htb", parent: 0x10000, handle: 0x10005, params: { rate: 125000 } });
    const keys = [{ value: 0x0a000000, mask: 0xff000000, offset: 16 }];
    setFilter(route, {
      index,
      parent: 0x10000,
      priority: 3,
      kind: "u32",
      classId: 0x10005,
      selector: { terminal: true, keys },
    });
    addNexthop(route, { id: 1, via: "10.2.0.2", oif: getLink(route, "e1").index });
    addNexthop(route, { id: 2, group: [{ id: 1 }] });
    const hops = [{ via: "10.2.0.2", weight: 2 }, { via: "10.2.0.3" }];
    addRoute(route, { dst: "10.10.0.0/16", nexthops: hops, metrics: { mtu: 1300, congestion: "reno" } });
    addLink(route, { kind: "vxlan", name: "vx9", vni: 9, remote: "10.2.0.2" });
    addProxy(route, index, "10.1.0.77");

    let random = 1;
    const below = (n: number): number => {
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      return Math.floor((random / 2 ** 32) * n);
    };
    const messages = new Set<string>();
    let listed = 0;
    let refused = 0;
    for (const [name, list] of Object.entries(LISTS)) {
      const recorder = new Recorder(route);
      list(recorder);
      if (name !== "filters" && name !== "vlans") expect(recorder.answers.length, name).toBeGreaterThan(0);
      for (let round = 0; round < 1500; round++) {
        // The first request's sequence number is 1; the end comes where the mangling left it.
        const end = encodeMessage(round % 2 ? 3 : 2, 0, 1, new Uint8Array(4));
        const datagrams = [...recorder.answers, undefined].map((m) => {
          const bytes = m ? encodeMessage(m.type, m.flags, 1, m.body) : end.slice();
          for (let n = below(4); n > 0; n--) bytes[below(bytes.length)] = below(256);
          return bytes.subarray(0, below(3) ? bytes.length : below(bytes.length + 1));
        });
        try {
          list(new Replay(datagrams));
          listed++;
        } catch (error) {
          if (!(error instanceof BpfError)) throw error;
          messages.add(error.message.replace(/\d+/g, "N"));
          refused++;
        }
        for (const bytes of datagrams) {
          for (const message of decodeMessages(bytes)) {
            try {
              decodeEvent(message);
            } catch (error) {
              if (!(error instanceof BpfError)) throw error;
            }
          }
        }
      }
    }
    expect(listed).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
    for (const message of messages) expect(message).toMatch(/^netlink[^\n]*$/);
  });
});
