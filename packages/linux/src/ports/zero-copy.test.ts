/**
 * AF_XDP without copies, and native XDP on drivers of network cards: on two devices that are wired to each other, which
 * EBPLANE_TEST_DEVICES names. The test takes them into namespaces of its own. With an emulated machine:
 *
 *     nic() { echo "-netdev hubport,id=$1,hubid=0 -device virtio-net-pci,netdev=$1,iommu_platform=on,disable-legacy=on"; }
 *     VM_ARGS="$(nic a) $(nic b)" scripts/kernels/run.sh 6.18 'modprobe virtio_net;
 *       EBPLANE_TEST_DEVICES=eth0,eth1 npx vitest run packages/linux/src/ports/zero-copy.test.ts'
 */
import { UnsupportedError } from "@ebplane/core/errors";
import { ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  addAddress,
  addNeighbour,
  deviceXdpFeatures,
  getLink,
  NETLINK_ROUTE,
  NetlinkSocket,
  setLink,
} from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { sleep } from "../sys/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, collectionOf, countingProgram, kernelSkipReason } from "../testing.ts";
import { XskPort } from "./index.ts";

const devices = process.env.EBPLANE_TEST_DEVICES?.split(",") ?? [];
const skip =
  kernelSkipReason() ??
  (devices.length === 2 ? undefined : "EBPLANE_TEST_DEVICES names no two devices that are wired together");

describe.skipIf(skip)(`drivers of network cards${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const [near, far] = devices as [string, string];
  let here: NetNs;
  let there: NetNs;
  const NEAR = "10.8.0.1";
  const FAR = "10.8.0.2";
  let canZerocopy = false;

  beforeAll(() => {
    [here, there] = [NetNs.create(), NetNs.create()];
    using socket = new NetlinkSocket(NETLINK_ROUTE);
    const macs = devices.map((name) => getLink(socket, name).mac!);
    for (const [i, [ns, name, address]] of (
      [
        [here, near, NEAR],
        [there, far, FAR],
      ] as const
    ).entries()) {
      setLink(socket, getLink(socket, name).index, { netns: ns.fd });
      const { index } = getLink(ns.route, name);
      setLink(ns.route, index, { up: true });
      addAddress(ns.route, index, `${address}/24`);
      addNeighbour(ns.route, index, [FAR, NEAR][i]!, macs[1 - i]!);
    }
    const { index } = getLink(here.route, near);
    canZerocopy =
      here
        .run(() => deviceXdpFeatures())
        .find((d) => d.ifindex === index)
        ?.features.includes("xsk-zerocopy") ?? false;
  });
  afterAll(() => {
    here.close();
    there.close();
  });

  const ping = (count = 1) =>
    there.spawnSync("ping", ["-c", String(count), "-i0.01", "-W2", "-s", "100", NEAR]).status === 0;

  test("a program runs in the driver", () => {
    const target = linuxTarget({ netns: here.fd });
    const spec = collectionOf([countingProgram("count", ProgType.BPF_PROG_TYPE_XDP, 2)], [arrayMap("hits")]);
    using loaded = target.load(spec);
    using link = target.attach(loaded.programs.get("count")!, { kind: "xdp", iface: near, mode: "native" });
    expect(link.mode).toBe("native");
    expect(ping(3)).toBe(true);
    expect(loaded.maps.get("hits")!.lookup(new Uint8Array(4))![0]).toBeGreaterThanOrEqual(3);
  });

  /** Answers pings by hand: what comes in goes back with addresses swapped. @returns the payloads seen. */
  function answering(port: XskPort, milliseconds: number): number {
    const frame = new Uint8Array(2048);
    const until = performance.now() + milliseconds;
    let echoes = 0;
    const swap = (a: number, b: number, n: number) => {
      const first = frame.slice(a, a + n);
      frame.copyWithin(a, b, b + n);
      frame.set(first, b);
    };
    while (performance.now() < until) {
      port.receive((memory, at, length) => {
        // ICMP echo requests over IPv4.
        if (memory[at + 12] !== 8 || memory[at + 13] !== 0 || memory[at + 23] !== 1 || memory[at + 34] !== 8) return;
        frame.set(memory.subarray(at, at + length));
        swap(0, 6, 6);
        swap(26, 30, 4);
        frame[34] = 0; // A reply: the sum is 0x0800 larger.
        const sum = ((frame[36]! << 8) | frame[37]!) + 0x0800;
        frame[36] = ((sum + (sum >> 16)) >> 8) & 255;
        frame[37] = (sum + (sum >> 16)) & 255;
        port.send(frame, 0, length);
        echoes++;
      });
      port.flush();
      sleep(1);
    }
    return echoes;
  }

  test.each(["copy", "zerocopy"] as const)("a port in %s mode receives and sends", async (copy) => {
    const open = () => new XskPort({ iface: near, netns: here.fd, mode: "native", copy, queues: 1 });
    if (copy === "zerocopy" && !canZerocopy) {
      expect(open).toThrow(/bind: E(OPNOTSUPP|INVAL): /);
      return;
    }
    using port = open();
    expect(port.zerocopy).toBe(copy === "zerocopy");
    const pinging = there.spawn("ping", ["-c20", "-i0.05", "-W5", "-s", "100", NEAR]);
    const ended = new Promise<number | null>((resolve) => pinging.once("exit", resolve));
    let echoes = 0;
    for (let i = 0; i < 200 && pinging.exitCode === null; i++) {
      echoes += answering(port, 20);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(await ended).toBe(0);
    expect(echoes).toBeGreaterThanOrEqual(20);
    expect(port.stats()).toMatchObject({ dropped: 0, refused: 0 });
  });

  test("auto takes zero copy where the driver has it", () => {
    using port = new XskPort({ iface: near, netns: here.fd, mode: "native", queues: 1 });
    expect(port.zerocopy).toBe(canZerocopy);
  });

  test("a port that is closed gives the queue back", () => {
    for (let i = 0; i < 3; i++) new XskPort({ iface: near, netns: here.fd, mode: "native", queues: 1 }).close();
    expect(ping()).toBe(true);
  });

  test("offload is refused with the reason", () => {
    const target = linuxTarget({ netns: here.fd });
    using loaded = target.load(collectionOf([countingProgram("p", ProgType.BPF_PROG_TYPE_XDP, 2)], [arrayMap("hits")]));
    expect(() => target.attach(loaded.programs.get("p")!, { kind: "xdp", iface: near, mode: "offload" })).toThrow(
      UnsupportedError,
    );
  });
});
