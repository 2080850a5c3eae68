/**
 * Everything that holds memory or an fd, used after it was closed: a TypeError, or an answer, never a stale fd that another
 * object has by now, nor a view of memory that is gone (which would end Node).
 */
import { existsSync } from "node:fs";
import { MapType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import type { LinuxMap, LinuxProgram } from "./bpf/index.ts";
import { addLink, getLink, NETLINK_ROUTE, NetlinkSocket, setLink } from "./netlink/index.ts";
import { NetNs } from "./netns/index.ts";
import { PacketSocketPort, TapPort, XskPort } from "./ports/index.ts";
import { MappedArray, PerfReader, RingBufReader, UserRingBufWriter } from "./rings/index.ts";
import { XdpDispatcher } from "./target/dispatcher.ts";
import type { LinuxCollection } from "./target/load.ts";
import { linuxTarget } from "./target/target.ts";
import { arrayMap, asmProgram, collectionOf, kernelLacks, kernelSkipReason } from "./testing.ts";

const skip = kernelSkipReason();
const noUserRing = kernelLacks("mapTypes", "user_ringbuf");
const noArena = kernelLacks("mapTypes", "arena");
const TUN = existsSync("/dev/net/tun");

interface Closable {
  close(): void;
}

/** Arguments that get past the checks of a method's own. */
const BYTES = new Uint8Array(8);
const ARGUMENTS: readonly (readonly unknown[])[] = [
  [],
  [0, BYTES],
  [new Uint8Array(4), BYTES],
  [() => {}, 1],
  [BYTES, 0, 8],
  ["/sys/fs/bpf/after-close"],
  [{ packet: new Uint8Array(64) }],
  ["x", 18, 0x300, new Uint8Array(16)],
];

/** Calls every method and getter of a closed object with each set of arguments; answers what neither refused nor is harmless. */
async function stillWorking(object: Closable): Promise<string[]> {
  const working: string[] = [];
  for (let at = Object.getPrototypeOf(object); at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      if (["constructor", "close", "spec", "name"].includes(name)) continue;
      const { get, value } = Object.getOwnPropertyDescriptor(at, name)!;
      const calls = get ? [() => get.call(object)] : ARGUMENTS.map((args) => () => value.apply(object, args));
      let refused = false;
      for (const call of calls) {
        try {
          const result: unknown = call();
          // Generators and async iterators refuse when they are asked.
          const iterator = result as { next?(): unknown } | undefined;
          if (typeof iterator?.next === "function") await iterator.next();
          if (result instanceof Promise) await result;
        } catch (error) {
          if (error instanceof TypeError && /is closed/.test(error.message)) refused = true;
        }
      }
      if (!refused) working.push(name);
    }
  }
  return working;
}

describe.skipIf(skip)(`after close${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const spec = collectionOf(
    [asmProgram("p", ProgType.BPF_PROG_TYPE_XDP, "r0 = 2\nexit")],
    [
      arrayMap("array", 4, { flags: 1 << 10 }), // BPF_F_MMAPABLE
      { ...arrayMap("ring", 4096, { type: MapType.BPF_MAP_TYPE_RINGBUF }), keySize: 0, valueSize: 0 },
      ...(noUserRing
        ? []
        : [{ ...arrayMap("user", 4096, { type: MapType.BPF_MAP_TYPE_USER_RINGBUF }), keySize: 0, valueSize: 0 }]),
      arrayMap("perf", 0, { type: MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY, valueSize: 4 }),
    ],
  );
  const device = (ns: NetNs): string => {
    addLink(ns.route, { kind: "veth", name: "v0", peer: { name: "v1" } });
    for (const name of ["v0", "v1"]) setLink(ns.route, getLink(ns.route, name).index, { up: true });
    return "v0";
  };

  const holders: [string, (ns: NetNs) => Closable, readonly string[]][] = [
    ["a map", () => linuxTarget().load(spec).maps.get("array") as LinuxMap, ["devicesOf", "inside"]],
    ["a program", () => linuxTarget().load(spec).programs.get("p") as LinuxProgram, []],
    ["a mapped array", () => new MappedArray(linuxTarget().load(spec).maps.get("array") as LinuxMap), []],
    ["a ring buffer's reader", () => new RingBufReader(linuxTarget().load(spec).maps.get("ring") as LinuxMap), []],
    [
      "a user ring buffer's writer",
      () => new UserRingBufWriter(linuxTarget().load(spec).maps.get("user") as LinuxMap),
      [],
    ],
    ["a perf reader", () => new PerfReader(linuxTarget().load(spec).maps.get("perf") as LinuxMap), ["lost"]],
    ["an AF_XDP port", (ns) => new XskPort({ iface: device(ns), netns: ns.fd }), []],
    ["a packet socket's port", (ns) => new PacketSocketPort({ iface: device(ns), netns: ns.fd, blocks: 2 }), []],
    ["a tap", (ns) => new TapPort({ name: "t0", netns: ns.fd }), ["stats"]],
    ["a netlink socket", (ns) => ns.run(() => new NetlinkSocket(NETLINK_ROUTE)), ["send", "receive"]],
    ["a namespace", () => NetNs.create(), []],
    [
      "a link",
      (ns) => {
        device(ns);
        const target = linuxTarget({ netns: ns.fd });
        return target.attach(target.load(spec).programs.get("p")!, { kind: "xdp", iface: "v0", mode: "native" });
      },
      [],
    ],
  ];
  const there = ([name]: readonly [string, ...unknown[]]): boolean =>
    !(noUserRing && name.startsWith("a user ring")) && (TUN || name !== "a tap");
  test.each(holders.filter(there))("%s refuses", async (_, make, harmless) => {
    using ns = NetNs.create();
    const object = make(ns);
    object.close();
    object.close(); // Twice is once.
    expect((await stillWorking(object)).filter((name) => !harmless.includes(name))).toEqual([]);
  });

  test("a dispatcher and an arena, too", async () => {
    using ns = NetNs.create();
    const chain = new XdpDispatcher(linuxTarget({ netns: ns.fd }), { kind: "xdp", iface: "lo", mode: "generic" });
    chain.close();
    expect([chain.link, chain.programs]).toEqual([undefined, []]);
    if (noArena) return;
    const arena = {
      ...arrayMap("a", 1, { type: MapType.BPF_MAP_TYPE_ARENA, flags: 1 << 10 }),
      keySize: 0,
      valueSize: 0,
    };
    using loaded = linuxTarget().load(collectionOf([], [arena]));
    const mapped = (loaded as LinuxCollection).arenas.get("a")!;
    mapped.close();
    expect(await stillWorking(mapped)).toEqual([]);
  });
});
