import { readdirSync, readlinkSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import {
  addAddress,
  addClsact,
  addLink,
  addRoute,
  addRule,
  deleteAddress,
  deleteLink,
  deleteRoute,
  getLink,
  listAddresses,
  listLinks,
  listNeighbours,
  listQdiscs,
  listRoutes,
  listRules,
  setLink,
  watchNetwork,
} from "../netlink/index.ts";
import { close } from "../sys/index.ts";
import { createTopology, kernelSkipReason } from "../testing.ts";
import { awaitUdp, bindUdp, connectTcp, listenTcp, NetNs, sendUdp } from "./index.ts";

const skip = kernelSkipReason();

describe.skipIf(skip)(`network namespaces${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("a new namespace has only a loopback, and leaves the thread where it was", () => {
    const home = readlinkSync("/proc/thread-self/ns/net");
    using ns = NetNs.create();
    expect(listLinks(ns.route).map((l) => l.name)).toEqual(["lo"]);
    expect(ns.run(() => readlinkSync("/proc/thread-self/ns/net"))).toBe(`net:[${ns.inode}]`);
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
    expect(ns.spawnSync("readlink", ["/proc/self/ns/net"]).stdout.trim()).toBe(`net:[${ns.inode}]`);
  });

  test("an exception inside comes back home", () => {
    const home = readlinkSync("/proc/thread-self/ns/net");
    using ns = NetNs.create();
    expect(() =>
      ns.run(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
  });

  test("devices, addresses, routes and rules are made, listed and taken away", () => {
    using ns = NetNs.create();
    const { route } = ns;
    addLink(route, { kind: "veth", name: "va", mac: "02:00:00:00:00:0a", mtu: 1400, peer: { name: "vb" } });
    addLink(route, { kind: "bridge", name: "br0" });
    const va = getLink(route, "va");
    expect(va).toMatchObject({ name: "va", kind: "veth", mac: "02:00:00:00:00:0a", mtu: 1400, up: false });
    setLink(route, va.index, { up: true, master: getLink(route, "br0").index });
    expect(getLink(route, va.index)).toMatchObject({ up: true, master: getLink(route, "br0").index });
    const vb = getLink(route, "vb");
    setLink(route, vb.index, { up: true });
    addAddress(route, vb.index, "10.5.0.1/24");
    addAddress(route, vb.index, "fd00:5::1/64");
    expect(listAddresses(route).map((a) => a.prefix)).toEqual(expect.arrayContaining(["10.5.0.1/24", "fd00:5::1/64"]));
    addRoute(route, { dst: "10.6.0.0/16", via: "10.5.0.2", metric: 7 });
    addRoute(route, { dst: "fd00:6::/48", oif: vb.index });
    addRoute(route, { dst: "10.7.0.0/16", type: "blackhole" });
    const routes = listRoutes(route);
    expect(routes.find((r) => r.dst === "10.6.0.0/16")).toMatchObject({ via: "10.5.0.2", metric: 7, oif: vb.index });
    expect(routes.find((r) => r.dst === "fd00:6::/48")).toMatchObject({ oif: vb.index });
    expect(routes.find((r) => r.dst === "10.7.0.0/16")).toMatchObject({ type: 6 });
    deleteRoute(route, { dst: "10.6.0.0/16", metric: 7 });
    expect(listRoutes(route).some((r) => r.dst === "10.6.0.0/16")).toBe(false);
    addRule(route, { family: 4, priority: 100, table: 77, from: "10.5.0.0/24", mark: 9 });
    expect(listRules(route)).toContainEqual(
      expect.objectContaining({ family: 4, priority: 100, table: 77, from: "10.5.0.0/24", mark: 9 }),
    );
    addClsact(route, vb.index);
    expect(listQdiscs(route).some((q) => q.index === vb.index && q.kind === "clsact")).toBe(true);
    deleteAddress(route, vb.index, "10.5.0.1/24");
    deleteLink(route, va.index);
    expect(
      listLinks(route)
        .map((l) => l.name)
        .sort(),
    ).toEqual(["br0", "lo"]);
  });

  test("a refusal carries the kernel's own words", () => {
    using ns = NetNs.create();
    addLink(ns.route, { kind: "bridge", name: "br0" });
    expect(() => setLink(ns.route, getLink(ns.route, "br0").index, { mtu: 20 })).toThrow(
      /^netlink link set 2: EINVAL: mtu less than device minimum$/,
    );
    expect(() => getLink(ns.route, "nothing")).toThrow("netlink link show nothing: ENODEV");
  });

  test("notifications tell of changes", () => {
    using ns = NetNs.create();
    const RTNLGRP_LINK = 1;
    ns.route.join(RTNLGRP_LINK);
    addLink(ns.route, { kind: "bridge", name: "br0" });
    // The request's own notification comes before its acknowledgement and is passed over there.
    ns.spawnSync("ip", ["link", "set", "br0", "up"]);
    const { messages, overrun } = ns.route.notifications();
    expect(overrun).toBe(false);
    expect(messages.length).toBeGreaterThan(0);
  });

  test("changes are told as they happen", async () => {
    using ns = NetNs.create();
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      const stop = ns.run(() =>
        watchNetwork(["link", "address", "route"], (event) => {
          if (event.kind === "link") seen.push(`${event.removed ? "-" : "+"}${event.link.name}`);
          if (event.kind === "address") seen.push(`${event.removed ? "-" : "+"}${event.address.prefix}`);
          if (event.kind === "route") seen.push(`${event.removed ? "-" : "+"}${event.route.dst}`);
          if (event.kind === "link" && event.removed) {
            stop();
            resolve();
          }
        }),
      );
    });
    addLink(ns.route, { kind: "bridge", name: "br0" });
    const { index } = getLink(ns.route, "br0");
    setLink(ns.route, index, { up: true });
    addAddress(ns.route, index, "10.8.0.1/24");
    addRoute(ns.route, { dst: "10.88.0.0/16", via: "10.8.0.2" });
    deleteLink(ns.route, index);
    await done;
    for (const change of ["+br0", "+10.8.0.1/24", "+10.88.0.0/16", "-br0"]) expect(seen).toContain(change);
  });

  test("a worker that is started inside lives there, and so do its servers and sockets", async () => {
    using net = createTopology();
    const source = `
      const { readlinkSync } = require("node:fs");
      const { parentPort } = require("node:worker_threads");
      const server = require("node:net").createServer((socket) => socket.end("from the worker"));
      server.listen(7070, "10.2.0.2", () => parentPort.postMessage(readlinkSync("/proc/thread-self/ns/net")));
      parentPort.on("message", () => server.close(() => parentPort.close()));`;
    const worker = net.server.run(() => new Worker(source, { eval: true }));
    const where = await new Promise((resolve) => worker.once("message", resolve));
    expect(where).toBe(`net:[${net.server.inode}]`);
    expect(await readTcp(net.client, "10.2.0.2", 7070)).toBe("from the worker");
    worker.postMessage("stop");
    await new Promise((resolve) => worker.once("exit", resolve));
  });

  test("a namespace under a name is one that ip netns knows", () => {
    const name = `ebplane-test-${process.pid}`;
    const ns = NetNs.createNamed(name);
    try {
      using again = NetNs.openNamed(name);
      expect(again.inode).toBe(ns.inode);
      expect(() => NetNs.createNamed(name)).toThrow("EEXIST");
      expect(ns.spawnSync("ip", ["netns", "identify"]).stdout.trim()).toBe(name);
    } finally {
      ns.close();
      NetNs.removeNamed(name);
    }
    expect(() => NetNs.openNamed(name)).toThrow("ENOENT");
    expect(() => NetNs.openNamed("../x")).toThrow(RangeError);
  });

  test("the topology carries ping, UDP and TCP over IPv4 and IPv6", async () => {
    using net = createTopology();
    expect(net.client.spawnSync("ping", ["-c3", "-i0.2", "-W5", "10.2.0.2"]).status).toBe(0);
    expect(net.client.spawnSync("ping", ["-c3", "-i0.2", "-W5", "fd00:2::2"]).status).toBe(0);
    for (const [c, s] of [
      ["10.1.0.2", "10.2.0.2"],
      ["fd00:1::2", "fd00:2::2"],
    ] as const) {
      const rx = bindUdp(net.server, s, 5000);
      const tx = bindUdp(net.client, c, 5001);
      sendUdp(tx, s, 5000, Uint8Array.of(1, 2, 3));
      expect(awaitUdp(rx)).toEqual(Uint8Array.of(1, 2, 3));
      close(rx);
      close(tx);
      expect(await tcpHello(net.client, net.server, s)).toBe("hello");
    }
    expect(listNeighbours(net.client.route)).toContainEqual(
      expect.objectContaining({ ip: "10.1.0.1", mac: "02:00:00:00:01:01", state: 128 }),
    );
  });

  test("twenty topologies leave no fd behind", () => {
    const before = readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 20; i++) createTopology().close();
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });
});

function tcpHello(client: NetNs, server: NetNs, ip: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const listener = createServer((socket) => socket.end("hello"));
    listener.listen({ fd: listenTcp(server, ip, 8080) }, () => {
      readTcp(client, ip, 8080).then((text) => listener.close(() => resolve(text)), reject);
    });
  });
}

/** All that a server sends before it closes. */
function readTcp(client: NetNs, ip: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = new Socket({ fd: connectTcp(client, ip, port), readable: true, writable: true });
    let text = "";
    socket.on("data", (data) => (text += data.toString()));
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
}
