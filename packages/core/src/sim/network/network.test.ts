/** The virtual network by itself; that it answers as a kernel does is packages/linux/test/network-differential.test.ts. */
import { expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import {
  addAddress,
  addLink,
  addRoute,
  decodeMessages,
  deleteLink,
  encodeMessage,
  getLink,
  getRoute,
  listLinks,
  type NetworkEvent,
  NLMSG_ERROR,
  setLink,
} from "../../netlink/index.ts";
import { type CollectionSpec, ProgType } from "../../object/index.ts";
import { SimTarget } from "../index.ts";
import { SimNetwork } from "./index.ts";
import { answer } from "./rtnetlink.ts";

function xdp(text: string): CollectionSpec {
  const { code, relocs, lineInfo } = assemble(text, { file: "p.s" });
  const base = { name: "p", section: "xdp", type: ProgType.BPF_PROG_TYPE_XDP, attachType: 0, flags: 0, funcInfo: [] };
  return {
    programs: new Map([["p", { ...base, code, relocs, lineInfo }]]),
    maps: new Map(),
    license: "GPL",
    byteOrder: "little",
  };
}

const FRAME = new Uint8Array(60);

test("a device that a request made runs programs, and its wire carries frames to the other end", () => {
  const sim = new SimTarget();
  const { route } = sim.network.root;
  const other = sim.network.createNetns();
  addLink(route, { kind: "veth", name: "v0", peer: { name: "v1", netns: other.fd } });
  setLink(route, getLink(route, "v0").index, { up: true });
  const far = other.device("v1");
  const arrived: number[] = [];
  far.onStack = (bytes) => arrived.push(bytes.length);
  sim.device("v0").transmit(FRAME, 0n);
  expect(arrived).toEqual([]); // The other end is down.
  setLink(other.route, getLink(other.route, "v1").index, { up: true });
  sim.device("v0").transmit(FRAME, 0n);
  expect(arrived).toEqual([60]);

  using live = sim.load(xdp("r0 = 3\nexit")); // XDP_TX
  using _link = sim.attach(live.programs.get("p")!, { kind: "xdp", iface: "v0", mode: "auto" });
  far.transmit(FRAME, 0n);
  expect(arrived).toEqual([60, 60]);
  expect(getLink(route, "v0").stats).toMatchObject({ rxPackets: 1n, txPackets: 3n });
});

test("two programs that send a frame to and fro come to an end", () => {
  const sim = new SimTarget();
  const { route } = sim.network.root;
  addLink(route, { kind: "veth", name: "v0", peer: { name: "v1" } });
  for (const name of ["v0", "v1"]) setLink(route, getLink(route, name).index, { up: true });
  using live = sim.load(xdp("r0 = 3\nexit"));
  using _a = sim.attach(live.programs.get("p")!, { kind: "xdp", iface: "v0", mode: "auto" });
  using _b = sim.attach(live.programs.get("p")!, { kind: "xdp", iface: "v1", mode: "auto" });
  sim.device("v0").transmit(FRAME, 0n);
  expect(sim.device("v1").stats.rxPackets).toBeGreaterThan(10);
});

test("devices that a target was given are links beside the loopback", () => {
  const sim = new SimTarget({ devices: ["lo", "wan"] });
  const { route } = sim.network.root;
  expect(listLinks(route).map(({ index, name, up }) => [index, name, up])).toEqual([
    [1, "lo", false],
    [2, "wan", true],
  ]);
  addAddress(route, 2, "192.0.2.1/24");
  addRoute(route, { dst: "0.0.0.0/0", via: "192.0.2.254" });
  expect(getRoute(route, { dst: "8.8.8.8" })).toMatchObject({ via: "192.0.2.254", oif: 2, src: "192.0.2.1" });
});

test("watchers are told once of what a request changed, in both namespaces, until they have enough", () => {
  const network = new SimNetwork();
  const [here, there] = [network.root, network.createNetns()];
  const heard: string[] = [];
  const text = (where: string) => (event: NetworkEvent) => {
    if (event.kind === "link") heard.push(`${where} ${event.removed ? "-" : "+"} ${event.link.name} ${event.link.up}`);
    if (event.kind === "route") heard.push(`${where} ${event.removed ? "-" : "+"} ${event.route.dst}`);
  };
  const stops = [here.watch(["link", "route"], text("here")), there.watch(["link"], text("there"))];
  addLink(here.route, { kind: "veth", name: "v0", peer: { name: "v1", netns: there.fd } });
  expect(heard.splice(0)).toEqual(["here + v0 false", "there + v1 false"]);
  expect(() => addLink(here.route, { kind: "ifb", name: "v0" })).toThrow("EEXIST");
  setLink(here.route, getLink(here.route, "v0").index, { up: true });
  addAddress(here.route, 2, "10.0.0.1/24");
  expect(heard.splice(0)).toEqual([
    "here + v0 true",
    "here + 10.0.0.1/32",
    "here + 10.0.0.0/24",
    "here + 10.0.0.255/32",
  ]);
  deleteLink(here.route, 2);
  // The kernel tells of the route of the address alone, and of the far end that goes with this one.
  expect(heard.splice(0).sort()).toEqual(["here - 10.0.0.1/32", "here - v0 true", "there - v1 false"]);
  for (const stop of stops) stop();
  addLink(here.route, { kind: "ifb", name: "i0" });
  expect(heard).toEqual([]);
});

test("whatever bytes are asked, each request gets one end and nothing is thrown", () => {
  const network = new SimNetwork();
  let random = 7;
  const below = (n: number): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor((random / 2 ** 32) * n);
  };
  let ends = 0;
  for (let round = 0; round < 4_000; round++) {
    const body = Uint8Array.from({ length: below(64) }, () => (below(3) ? below(8) : below(256)));
    // An attribute of a plausible length and type, now and then.
    if (body.length > 40 && below(2)) body.set([8 + below(9), 0, below(24), 0], 16);
    const request = encodeMessage(14 + below(30), below(0x1000), round, body);
    const messages = answer(network, network.state, request).flatMap((bytes) => [...decodeMessages(bytes)]);
    const last = messages.at(-1)!;
    expect(last.seq).toBe(round);
    if (last.type === NLMSG_ERROR) ends++;
  }
  expect(ends).toBeGreaterThan(500);
});
