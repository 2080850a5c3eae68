import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { UnsupportedError } from "@ebplane/core/errors";
import { ProgType, type XdpHook } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { getLink } from "../netlink/index.ts";
import { awaitUdp, bindUdp, sendUdp } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { arrayMap, asmProgram, collectionOf, createTopology, kernelSkipReason, type Topology } from "../testing.ts";
import { MAX_CHAIN, XdpDispatcher } from "./dispatcher.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
const XDP = ProgType.BPF_PROG_TYPE_XDP;

/** Shifts a digit into the number in `hits`: which programs ran, and in which order. Only for UDP. */
function digit(name: string, n: number, verdict: number) {
  return asmProgram(
    name,
    XDP,
    `
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 24
    if r4 > r3 goto out
    r4 = *(u8 *)(r2 + 23)
    if r4 != 17 goto out
    r1 = map[hits][0]+0
    r2 = *(u64 *)(r1 + 0)
    r2 *= 10
    r2 += ${n}
    *(u64 *)(r1 + 0) = r2
    call subprog
  out:
    r0 = ${verdict}
    exit
  subprog:
    r0 = 7
    exit`,
  );
}

describe.skipIf(skip)(`several XDP programs on one device${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let net: Topology;
  beforeAll(() => {
    net = createTopology();
  });
  afterAll(() => net.close());

  test("they run by priority, each as its chain-call actions say", () => {
    const target = linuxTarget({ netns: net.edge.fd });
    const hook: XdpHook = { kind: "xdp", iface: "e0", mode: "native" };
    using loaded = target.load(
      collectionOf([digit("one", 1, 2), digit("two", 2, 2), digit("three", 3, 1)], [arrayMap("hits")]),
    );
    const [one, two, three] = ["one", "two", "three"].map((name) => loaded.programs.get(name)!);
    const hits = loaded.maps.get("hits")!;
    const trace = (passes: boolean): [digits: number, arrived: boolean] => {
      hits.update(new Uint8Array(4), new Uint8Array(8));
      const rx = bindUdp(net.server, "10.2.0.2", 5000);
      const tx = bindUdp(net.client, "10.1.0.2", 5001);
      sendUdp(tx, "10.2.0.2", 5000, Uint8Array.of(1));
      const arrived = awaitUdp(rx, passes ? undefined : 50) !== undefined;
      close(rx);
      close(tx);
      return [Number(new DataView(hits.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true)), arrived];
    };
    using chain = new XdpDispatcher(target, hook);
    chain.add(two!);
    expect(trace(true)).toEqual([2, true]);
    chain.add(one!, { priority: 10 });
    expect(trace(true)).toEqual([12, true]);
    const before = chain.link!.id;
    chain.add(three!, { priority: 20 });
    expect(trace(false)).toEqual([13, false]);
    expect(chain.link!.id).toBe(before);
    expect(chain.remove(three!)).toBe(true);
    chain.add(three!, { priority: 20, chainCallActions: ["XDP_DROP", "XDP_PASS"] });
    expect(trace(true)).toEqual([132, true]);
    expect(chain.programs.map((p) => p.spec.name)).toEqual(["one", "three", "two"]);
    for (const p of [one!, two!, three!]) chain.remove(p);
    expect(getLink(net.edge.route, "e0").xdp).toBeUndefined();
    expect(trace(true)).toEqual([0, true]);
  });

  test("it refuses beside a program that is not ours, and an eleventh program", () => {
    const target = linuxTarget({ netns: net.edge.fd });
    const hook: XdpHook = { kind: "xdp", iface: "e0", mode: "native" };
    using loaded = target.load(collectionOf([asmProgram("pass", XDP, "r0 = 2\nexit")]));
    const pass = loaded.programs.get("pass")!;
    {
      using _ = target.attach(pass, hook);
      using chain = new XdpDispatcher(target, hook);
      expect(() => chain.add(pass)).toThrow(
        `EBUSY: xdp:e0:native: program ${pass.id} (pass) is attached to this interface in native mode`,
      );
      expect(chain.programs).toEqual([]);
    }
    using chain = new XdpDispatcher(target, hook);
    for (let i = 0; i < MAX_CHAIN; i++) chain.add(pass);
    expect(() => chain.add(pass)).toThrow(new RangeError("chain: expected at most 10 programs"));
    expect(net.client.spawnSync("ping", ["-c3", "-i0.2", "-W5", "10.2.0.2"]).status).toBe(0);
  });

  test("beside libxdp's dispatcher it refuses, and says what can be done", () => {
    const target = linuxTarget({ netns: net.edge.fd });
    const hook: XdpHook = { kind: "xdp", iface: "e0", mode: "native" };
    // By this name libxdp finds its own.
    const programs = ["xdp_dispatcher", "pass"].map((name) => asmProgram(name, XDP, "r0 = 2\nexit"));
    using loaded = target.load(collectionOf(programs));
    const [theirs, pass] = [loaded.programs.get("xdp_dispatcher")!, loaded.programs.get("pass")!];
    using _ = target.attach(theirs, hook);
    using chain = new XdpDispatcher(target, hook);
    for (const attach of [() => chain.add(pass), () => target.attach(pass, hook)]) {
      expect(attach).toThrow(
        `bpf(LINK_CREATE): EBUSY: xdp:e0:native: program ${theirs.id} (xdp_dispatcher) is attached to this interface in native mode: libxdp's dispatcher: join it (joinLibxdp, ebplane attach --join), or take it away first (xdp-loader unload --all)`,
      );
    }
    expect(() => target.attach(pass, { ...hook, mode: "offload" })).toThrow(
      new UnsupportedError(
        "XDP offload",
        "xdp:e0:offload: the driver of e0 cannot run programs on the NIC (no hw-offload among its XDP features)",
      ),
    );
  });

  test("xdp-loader sees and leaves ours, and ours refuses beside what it loaded", ({ skip: skipTest }) => {
    const loader = (...args: string[]) => net.edge.spawnSync("xdp-loader", args);
    if (loader("help").error) skipTest("xdp-loader is not installed");
    const target = linuxTarget({ netns: net.edge.fd });
    const hook: XdpHook = { kind: "xdp", iface: "e0", mode: "native" };
    using loaded = target.load(collectionOf([asmProgram("ours", XDP, "r0 = 2\nexit")]));
    const ours = loaded.programs.get("ours")!;
    const directory = mkdtempSync(join(tmpdir(), "ebplane-"));
    try {
      const object = join(directory, "pass.o");
      writeFileSync(object, writeElf(collectionOf([asmProgram("theirs", XDP, "r0 = 2\nexit", { section: "xdp" })])));
      const load = () => loader("load", "-m", "native", "e0", object);
      {
        using _ = target.attach(ours, hook);
        expect(loader("status").stdout).toMatch(/e0 .*ours/);
        expect(load().status).not.toBe(0);
        expect(getLink(net.edge.route, "e0").xdp?.progId).toBe(ours.id);
      }
      const { status, stderr } = load();
      expect({ status, stderr }).toMatchObject({ status: 0 });
      const there = getLink(net.edge.route, "e0").xdp!;
      expect(() => target.attach(ours, hook)).toThrow(`EBUSY: xdp:e0:native: program ${there.progId} (`);
      expect(loader("unload", "--all", "e0").status).toBe(0);
      target.attach(ours, hook).close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
