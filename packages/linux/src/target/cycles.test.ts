/**
 * Nothing grows: file descriptors, mappings and threads are counted before and after many cycles of everything that
 * takes some. EBPLANE_CYCLES sets how many (the long run of 10,000 takes two minutes).
 */
import { MapType, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LinuxMap } from "../bpf/index.ts";
import { addLink, getLink, setLink } from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { PacketSocketPort, TapPort } from "../ports/index.ts";
import { RingBufReader } from "../rings/index.ts";
import { arrayMap, asmProgram, collectionOf, countingProgram, kernelOlder, kernelSkipReason } from "../testing.ts";
import { processResources } from "../testing-resources.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
const CYCLES = Number(process.env.EBPLANE_CYCLES ?? 50);
const TC = kernelOlder("6.6") ? "tc" : "tcx";

describe.skipIf(skip)(`${CYCLES} cycles${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  beforeAll(() => {
    ns = NetNs.create();
    addLink(ns.route, { kind: "veth", name: "v0", peer: { name: "v1" } });
    for (const name of ["v0", "v1"]) setLink(ns.route, getLink(ns.route, name).index, { up: true });
  });
  afterAll(() => ns.close());

  test("of load, run, attach, update, read, detach leave no fd, mapping or thread", { timeout: 600_000 }, () => {
    const target = linuxTarget({ netns: ns.fd });
    const events = { ...arrayMap("events", 4096, { type: MapType.BPF_MAP_TYPE_RINGBUF }), keySize: 0, valueSize: 0 };
    const spec = collectionOf(
      [
        countingProgram("a", ProgType.BPF_PROG_TYPE_XDP, 2),
        countingProgram("b", ProgType.BPF_PROG_TYPE_XDP, 2),
        countingProgram("c", ProgType.BPF_PROG_TYPE_SCHED_CLS, -1),
        asmProgram("d", ProgType.BPF_PROG_TYPE_XDP, "r1 = map[events]\nr0 = 2\nexit"),
      ],
      [arrayMap("hits"), events],
    );
    const cycle = (i: number): void => {
      using loaded = target.load(spec);
      loaded.programs.get("a")!.testRun({ packet: new Uint8Array(64) });
      using tc = target.attach(loaded.programs.get("c")!, { kind: TC, iface: "v0", direction: "ingress" });
      expect(tc.hook).toMatchObject({ kind: TC });
      using reader = new RingBufReader(loaded.maps.get("events") as LinuxMap);
      expect(reader.consume(() => {})).toBe(0);
      if (i % 10 === 0) {
        // Each of these waits for RCU, some 10 ms.
        using link = target.attach(loaded.programs.get("a")!, { kind: "xdp", iface: "v0", mode: "native" });
        link.update(loaded.programs.get("b")!);
        using port = new PacketSocketPort({ iface: "v1", netns: ns.fd, blocks: 2 });
        expect(port.receive(() => {})).toBeGreaterThanOrEqual(0);
        using tap = new TapPort({ name: "t0", netns: ns.fd });
        expect(tap.name).toBe("t0");
        NetNs.create().close();
        expect(() => target.load(collectionOf([asmProgram("bad", ProgType.BPF_PROG_TYPE_XDP, "exit")]))).toThrow();
      }
    };
    for (let i = 0; i < 20; i++) cycle(i);
    const before = processResources();
    for (let i = 0; i < CYCLES; i++) cycle(i);
    expect(processResources()).toEqual(before);
  });
});
