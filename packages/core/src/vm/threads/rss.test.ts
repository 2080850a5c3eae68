import { describe, expect, test } from "vitest";
import { parseIp } from "../../wire/index.ts";
import { createRss, RSS_DEFAULT_KEY, RSS_SYMMETRIC_KEY, toeplitz } from "./rss.ts";

/** Microsoft, "Verifying the RSS Hash Calculation": destination, source, hash of the addresses, hash with TCP ports. */
const VECTORS: readonly (readonly [string, number, string, number, number, number])[] = [
  ["161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178],
  ["65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea],
  ["12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a],
  ["209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f],
  ["202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2],
  ["3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d],
  ["ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf],
  ["fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61e985, 0x02d1feef],
];

const u16 = (n: number): number[] => [n >> 8, n & 255];

interface FrameOptions {
  readonly protocol?: number;
  readonly vlans?: number;
  /** The IPv4 flags and fragment offset field. */
  readonly fragment?: number;
  /** IPv4 header words beyond five. */
  readonly options?: number;
}

/** Ethernet, VLAN tags, IP of either version, and the two ports. */
function frame(src: string, sport: number, dst: string, dport: number, o: FrameOptions = {}): Uint8Array {
  const [from, to] = [parseIp(src), parseIp(dst)];
  const protocol = o.protocol ?? 6;
  const words = o.options ?? 0;
  const tags = Array.from({ length: o.vlans ?? 0 }, (_, i) => [...u16(i ? 0x8100 : 0x88a8), 0, 5]).flat();
  const ip =
    from.length === 4
      ? [0x45 + words, 0, ...u16(40), 0, 0, ...u16(o.fragment ?? 0), 64, protocol, 0, 0, ...from, ...to]
      : [0x60, 0, 0, 0, ...u16(20), protocol, 64, ...from, ...to];
  const type = from.length === 4 ? 0x0800 : 0x86dd;
  const rest = [...new Array(4 * words).fill(0x01), ...u16(sport), ...u16(dport), ...new Array(16).fill(0)];
  return Uint8Array.from([...new Array(12).fill(2), ...tags, ...u16(type), ...ip, ...rest]);
}

describe("Microsoft's vectors", () => {
  test.each(VECTORS)("to %s:%i from %s:%i", (dst, dport, src, sport, addresses, ports) => {
    const input = [...parseIp(src), ...parseIp(dst)];
    const all = [...input, ...u16(sport), ...u16(dport)];
    expect(toeplitz(RSS_DEFAULT_KEY, Uint8Array.from(input))).toBe(addresses);
    expect(toeplitz(RSS_DEFAULT_KEY, Uint8Array.from(all))).toBe(ports);
    const rss = createRss({ cpus: 4 });
    expect(rss.hash(frame(src, sport, dst, dport))).toBe(ports);
    expect(rss.hash(frame(src, sport, dst, dport, { vlans: 2 }))).toBe(ports);
    expect(rss.hash(frame(src, sport, dst, dport, { protocol: 47 }))).toBe(addresses);
    expect(rss.steer(frame(src, sport, dst, dport))).toBe((ports & 127) % 4);
  });
});

test("ports count where they can be relied on: not in fragments, behind options, and for UDP if wanted", () => {
  const [dst, dport, src, sport, addresses, ports] = VECTORS[0]!;
  const rss = createRss({ cpus: 2 });
  const hash = (o: FrameOptions, r = rss) => r.hash(frame(src, sport, dst, dport, o));
  expect(hash({ fragment: 0x2000 })).toBe(addresses);
  expect(hash({ fragment: 0x0005 })).toBe(addresses);
  expect(hash({ fragment: 0x4000 })).toBe(ports); // don't fragment
  expect(hash({ options: 3 })).toBe(ports);
  expect(hash({ protocol: 17 })).toBe(ports);
  expect(hash({ protocol: 17 }, createRss({ cpus: 2, udpPorts: false }))).toBe(addresses);
  expect(rss.hash(frame(src, sport, dst, dport).subarray(0, 36))).toBe(addresses);
});

test("what has no flow goes to the table's first entry", () => {
  const table = [3, 1, 2, 0];
  const rss = createRss({ cpus: 4, table });
  const arp = frame("10.0.0.1", 0, "10.0.0.2", 0);
  arp[13] = 0x06;
  for (const other of [arp, new Uint8Array(0), frame("10.0.0.1", 0, "10.0.0.2", 0).subarray(0, 30)]) {
    expect(rss.hash(other)).toBeUndefined();
    expect(rss.steer(other)).toBe(3);
  }
});

test("the symmetric key sends both directions of a flow to one CPU, and flows spread", () => {
  const rss = createRss({ cpus: 4, key: RSS_SYMMETRIC_KEY });
  const seen = new Array(4).fill(0);
  for (let i = 0; i < 4000; i++) {
    const client = `10.${i % 7}.${i % 251}.${(i * 13) % 256}`;
    const there = frame(client, 1024 + i, "192.0.2.1", 443);
    const back = frame("192.0.2.1", 443, client, 1024 + i);
    expect(rss.hash(back)).toBe(rss.hash(there));
    seen[rss.steer(there)]++;
  }
  for (const count of seen) expect(count).toBeGreaterThan(700);
});

test("a wrong key, table or CPU is refused", () => {
  expect(() => createRss({ cpus: 2, key: new Uint8Array(39) })).toThrow("expected 40 bytes, got 39");
  expect(() => createRss({ cpus: 2, table: [0, 1, 0] })).toThrow("expected a power of two entries, got 3");
  expect(() => createRss({ cpus: 2, table: [0, 2] })).toThrow("entry 1: expected a cpu below 2, got 2");
  expect(() => toeplitz(RSS_DEFAULT_KEY, new Uint8Array(37))).toThrow("at most 36 bytes");
});
