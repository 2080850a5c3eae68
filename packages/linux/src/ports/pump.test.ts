import { ProgType } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { describe, expect, test } from "vitest";
import { asmProgram, collectionOf, createTopology, kernelSkipReason } from "../testing.ts";
import { openPort, pumpPorts } from "./index.ts";

const skip = kernelSkipReason();

/** Sends everything out of another device, to the station behind it. */
const wire = (name: string, ifindex: number, mac: number) =>
  asmProgram(
    name,
    ProgType.BPF_PROG_TYPE_XDP,
    `
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto drop
    *(u32 *)(r2 + 0) = 2
    *(u8 *)(r2 + 4) = ${mac}
    *(u8 *)(r2 + 5) = 2
    r1 = ${ifindex}
    r2 = 0
    call 23
    exit
  drop:
    r0 = 1
    exit`,
  );

describe.skipIf(skip)(`a plane in userspace on live traffic${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test.each(["afxdp", "afxdp-generic", "packet"])(
    "%s ports and the simulator's JIT carry ping both ways",
    async (kind) => {
      using net = createTopology();
      net.edge.sysctl("ipv4/ip_forward", "0");
      const text = (iface: string) => (kind === "afxdp-generic" ? `afxdp:${iface}:generic` : `${kind}:${iface}`);
      using left = openPort(text("e0"), net.edge.fd);
      using right = openPort(text("e1"), net.edge.fd);
      const sim = new SimTarget({ engine: "jit", devices: ["e0", "e1"] });
      using loaded = sim.load(collectionOf([wire("east", sim.ifindex("e1"), 2), wire("west", sim.ifindex("e0"), 1)]));
      using _east = sim.attach(loaded.programs.get("east")!, { kind: "xdp", iface: "e0", mode: "auto" });
      using _west = sim.attach(loaded.programs.get("west")!, { kind: "xdp", iface: "e1", mode: "auto" });
      using _pump = pumpPorts([
        { port: left, device: sim.device("e0") },
        { port: right, device: sim.device("e1") },
      ]);
      const ping = net.client.spawn("ping", ["-c5", "-i0.02", "-W2", "10.2.0.2"]);
      expect(await new Promise((resolve) => ping.once("exit", resolve))).toBe(0);
      expect(sim.device("e0").stats.rxPackets).toBeGreaterThanOrEqual(5);
      expect(right.stats()).toMatchObject({ refused: 0, dropped: 0 });
      expect(right.stats().sent).toBeGreaterThanOrEqual(5);
    },
  );

  test("a port's text says what it is, or what is expected", () => {
    for (const wrong of ["eth0", "afxdp:", "tap:t0:native", "afxdp:e0:fast", "dpdk:0"]) {
      expect(() => openPort(wrong)).toThrow(/^port ".*": expected afxdp:IFACE/);
    }
  });
});
