import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { PacketPort } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addAddress, addNeighbour, getLink, setLink } from "../netlink/index.ts";
import { awaitUdp, bindUdp, NetNs, sendUdp } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { createTopology, kernelOlder, kernelSkipReason, type Topology } from "../testing.ts";
import { PacketSocketPort, TapPort, XskPort } from "./index.ts";

const skip = kernelSkipReason();

/** The payload of a UDP frame over IPv4 to `port`, or undefined. */
function payload(memory: Uint8Array, at: number, length: number, port = 5000): number[] | undefined {
  const vlan = memory[at + 12] === 0x81 ? 4 : 0;
  if (length < 42 + vlan || memory[at + 23 + vlan] !== 17) return undefined;
  if (((memory[at + 36 + vlan]! << 8) | memory[at + 37 + vlan]!) !== port) return undefined;
  const size = ((memory[at + 38 + vlan]! << 8) | memory[at + 39 + vlan]!) - 8;
  return Array.from(memory.subarray(at + 42 + vlan, at + 42 + vlan + size));
}

describe.skipIf(skip)(`packet ports${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let net: Topology;
  beforeAll(() => {
    net = createTopology();
  });
  afterAll(() => net.close());

  /** Sends `n` datagrams from the client towards the server's port 5000. */
  function send(n: number, size = 1): void {
    const tx = bindUdp(net.client, "10.1.0.2", 5001);
    for (let i = 0; i < n; i++) sendUdp(tx, "10.2.0.2", 5000, new Uint8Array(size).fill(i));
    close(tx);
  }

  const open: [string, () => PacketPort][] = [
    ["AF_XDP native", () => new XskPort({ iface: "e0", netns: net.edge.fd, mode: "native" })],
    ["AF_XDP generic", () => new XskPort({ iface: "e0", netns: net.edge.fd, mode: "generic" })],
    ["AF_XDP with 2048-byte frames", () => new XskPort({ iface: "e0", netns: net.edge.fd, frameSize: 2048 })],
    ["AF_PACKET", () => new PacketSocketPort({ iface: "e0", netns: net.edge.fd })],
  ];

  test.each(open)("%s receives what arrives, byte for byte", async (_, make) => {
    using port = make();
    const got: number[][] = [];
    const take = () => {
      port.receive((memory, at, length) => {
        const data = payload(memory, at, length);
        if (data) got.push(data);
      });
      return got.length;
    };
    // More than the ring has frames, so each is used several times.
    for (let round = 0; round < 30; round++) {
      send(100, 3);
      await expect.poll(take, { interval: 1 }).toBe((round + 1) * 100);
    }
    expect(got.slice(0, 3)).toEqual([
      [0, 0, 0],
      [1, 1, 1],
      [2, 2, 2],
    ]);
    expect(port.stats()).toMatchObject({ dropped: 0, refused: 0 });
    expect(port.stats().received).toBeGreaterThanOrEqual(3000);
  });

  test.each(open)("%s wakes the event loop, and a closed port refuses use", async (_, make) => {
    const port = make();
    const frame = await new Promise<number[]>((resolve) => {
      const stop = port.watch(() => {
        port.receive((memory, at, length) => {
          const data = payload(memory, at, length);
          if (!data) return;
          stop();
          resolve(data);
        });
      });
      send(1);
    });
    expect(frame).toEqual([0]);
    port.close();
    port.close();
    expect(() => port.receive(() => {})).toThrow(new TypeError("port e0: is closed"));
    expect(() => port.send(new Uint8Array(60), 0, 60)).toThrow(TypeError);
  });

  test.each([
    ["AF_XDP", (iface: string) => new XskPort({ iface, netns: net.edge.fd })],
    ["AF_PACKET", (iface: string) => new PacketSocketPort({ iface, netns: net.edge.fd })],
  ] as const)("two %s ports forward in both directions", async (_, make) => {
    // The plane in userspace is a wire with new MAC addresses; the kernel's own forwarding is off.
    net.edge.sysctl("ipv4/ip_forward", "0");
    try {
      using left = make("e0");
      using right = make("e1");
      const frame = new Uint8Array(2048);
      const forward = (from: PacketPort, to: PacketPort, dst: number[]) => {
        from.receive((memory, at, length) => {
          frame.set(memory.subarray(at, at + length));
          frame.set(dst);
          to.send(frame, 0, length);
        });
        to.flush();
      };
      const pump = setInterval(() => {
        forward(left, right, [2, 0, 0, 0, 2, 2]);
        forward(right, left, [2, 0, 0, 0, 1, 2]);
      }, 1);
      const ping = net.client.spawn("ping", ["-c3", "-i0.05", "-W2", "10.2.0.2"]);
      const status = await new Promise((resolve) => ping.once("exit", resolve));
      clearInterval(pump);
      expect(status).toBe(0);
      expect(left.stats().sent).toBeGreaterThanOrEqual(3);
    } finally {
      net.edge.sysctl("ipv4/ip_forward", "1");
    }
  });

  test("AF_XDP carries 9000-byte frames in several buffers", async () => {
    using big = createTopology({ mtu: 9000 });
    const open = () => new XskPort({ iface: "e0", netns: big.edge.fd, multiBuffer: true, mode: "native" });
    if (kernelOlder("6.6")) {
      // Native XDP in several buffers came with 5.18, AF_XDP with 6.6.
      expect(open).toThrow(
        /ERANGE|this kernel gives a packet in one buffer only \(needs Linux 6\.6\)|\(needs Linux 5\.18\)/,
      );
      return;
    }
    using port = open();
    const tx = bindUdp(big.client, "10.1.0.2", 5001);
    const data = Uint8Array.from({ length: 8900 }, (_, i) => i * 7);
    sendUdp(tx, "10.2.0.2", 5000, data);
    const got: number[][] = [];
    await expect
      .poll(() => {
        port.receive((memory, at, length) => {
          const bytes = payload(memory, at, length);
          if (bytes) got.push(bytes);
        });
        return got.length;
      })
      .toBe(1);
    expect(Uint8Array.from(got[0]!)).toEqual(data);
    close(tx);
  });

  test.each(["AF_PACKET", "AF_XDP"])("%s gives tagged frames with their tags", async (kind) => {
    using from = new PacketSocketPort({ iface: "c0", netns: net.client.fd });
    using to =
      kind === "AF_XDP"
        ? new XskPort({ iface: "e0", netns: net.edge.fd, mode: "native" })
        : new PacketSocketPort({ iface: "e0", netns: net.edge.fd });
    for (const tag of [
      [0x81, 0, 0x60, 100],
      [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8],
    ]) {
      const frame = Uint8Array.from([
        ...[2, 0, 0, 0, 1, 1],
        ...[2, 0, 0, 0, 1, 2],
        ...tag,
        0x88,
        0xb5,
        ...Array(50).keys(),
      ]);
      expect(from.send(frame, 0, frame.length)).toBe(true);
      let got: Uint8Array | undefined;
      await expect
        .poll(() => {
          to.receive((memory, at, length) => {
            // Others talk too: router solicitations, neighbour discovery.
            if (memory[at + 12] === tag[0]) got = memory.slice(at, at + length);
          });
          return got;
        })
        .toEqual(frame);
    }
  });

  test("AF_XDP on several queues shares one umem, and may poll busily", async () => {
    using wide = createTopology({ queues: 2 });
    const open = (busyPoll?: number) =>
      new XskPort({ iface: "e0", netns: wide.edge.fd, queues: 2, mode: "native", busyPoll });
    if (kernelOlder("5.11")) {
      expect(() => open(20)).toThrow("AF_XDP: this kernel's sockets do not poll busily (needs Linux 5.11)");
    }
    using port = open(kernelOlder("5.11") ? undefined : 20);
    // A veth picks the queue by the sender's CPU.
    const script = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.1.0.2", int(sys.argv[1])))
for i in range(20): s.sendto(bytes([i]), ("10.2.0.2", 5000))`;
    for (let cpu = 0; cpu < Math.min(2, availableParallelism()); cpu++) {
      const sent = wide.client.spawnSync("taskset", ["-c", `${cpu}`, "python3", "-c", script, `${5001 + cpu}`]);
      expect({ status: sent.status, stderr: sent.stderr }).toEqual({ status: 0, stderr: "" });
    }
    const got: number[] = [];
    await expect
      .poll(() => {
        port.receive((memory, at, length) => got.push(...(payload(memory, at, length) ?? [])));
        return got.length;
      })
      .toBe(20 * Math.min(2, availableParallelism()));
    expect(new Set(got).size).toBe(20);
    // What each queue's socket sends leaves, too: turns go round.
    const frame = new Uint8Array(64).fill(0x11);
    frame.set([2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1, 0x88, 0xb5]);
    for (let i = 0; i < 4; i++) {
      expect(port.send(frame, 0, frame.length)).toBe(true);
      port.flush();
    }
    expect(port.stats()).toMatchObject({ sent: 4, refused: 0, dropped: 0 });
    await expect.poll(() => Number(getLink(wide.edge.route, "e0").stats!.txPackets)).toBeGreaterThanOrEqual(4);
  });

  test("a queue that is taken is refused in words, and free again after close", () => {
    const first = new XskPort({ iface: "e0", netns: net.edge.fd });
    expect(() => new XskPort({ iface: "e0", netns: net.edge.fd })).toThrow(
      /another (socket has this queue|XDP program)/,
    );
    first.close();
    new XskPort({ iface: "e0", netns: net.edge.fd }).close();
    expect(getLink(net.edge.route, "e0").xdp).toBeUndefined();
  });

  test.skipIf(!existsSync("/dev/net/tun"))("a TAP device is a port with the kernel behind it", async () => {
    using ns = NetNs.create();
    using tap = new TapPort({ name: "tap%d", netns: ns.fd });
    expect(tap.name).toBe("tap0");
    expect(tap.send(new Uint8Array(60), 0, 60)).toBe(false); // Down.
    const { index } = getLink(ns.route, "tap0");
    setLink(ns.route, index, { up: true, mac: "02:00:00:00:09:01" });
    addAddress(ns.route, index, "10.9.0.1/24");
    addNeighbour(ns.route, index, "10.9.0.2", "02:00:00:00:09:02");
    const udp = bindUdp(ns, "10.9.0.1", 5000);
    sendUdp(udp, "10.9.0.2", 5000, Uint8Array.of(1, 2, 3));
    const got: number[][] = [];
    let echo = new Uint8Array(0);
    tap.receive((memory, at, length) => {
      const data = payload(memory, at, length);
      if (!data) return;
      got.push(data);
      echo = memory.slice(at, at + length);
    });
    expect(got).toEqual([[1, 2, 3]]);
    // Back to the sender: swap both addresses; a sum of 16-bit words does not change with their order.
    const swapped = echo.slice();
    swapped.set(echo.subarray(0, 6), 6);
    swapped.set(echo.subarray(6, 12), 0);
    swapped.set(echo.subarray(26, 30), 30);
    swapped.set(echo.subarray(30, 34), 26);
    expect(tap.send(swapped, 0, swapped.length)).toBe(true);
    expect(awaitUdp(udp)).toEqual(Uint8Array.of(1, 2, 3));
    close(udp);
  });
});
