import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex, viewOf } from "../bytes/index.ts";
import {
  checksumHolds,
  crc32c,
  icmpChecksum,
  icmpv6Checksum,
  internetChecksum,
  parseIp,
  pseudoHeaderSum,
  readCapture,
  sumWords,
  tcpChecksum,
  udpChecksum,
  updateChecksum,
  updateChecksumBytes,
  viewEthernet,
  viewIpv4,
  viewIpv6,
  walkIpv6,
} from "./index.ts";

const SEED = Number(process.env.SEED ?? 20261121);

describe("the Internet checksum", () => {
  test("RFC 1071's example sums to ddf2", () => expect(sumWords(fromHex("0001 f203 f4f5 f6f7"))).toBe(0xddf2));
  test("an odd byte is the upper half of a word", () => expect(sumWords(fromHex("0001 f2"))).toBe(0xf201));
  test("nothing sums to nothing", () => expect(internetChecksum(new Uint8Array())).toBe(0xffff));
  test("64 KiB of ones do not overflow", () => expect(sumWords(new Uint8Array(65536).fill(0xff))).toBe(0xffff));
  test("an IPv4 header holds with its checksum and not without", () => {
    const header = fromHex("45000073 00004000 4011b861 c0a80001 c0a800c7");
    expect(checksumHolds(header)).toBe(true);
    header[0] = 0x46;
    expect(checksumHolds(header)).toBe(false);
  });
  test("the pseudo header counts both words of a long IPv6 length", () => {
    const a = parseIp("2001:db8::1");
    expect(pseudoHeaderSum(a, a, 17, 0x10002)).toBe(pseudoHeaderSum(a, a, 17, 3));
    expect(pseudoHeaderSum(parseIp("1.2.3.4"), parseIp("5.6.7.8"), 6, 20)).toBe(0x102 + 0x304 + 0x506 + 0x708 + 26);
  });
});

describe("the incremental update", () => {
  test("RFC 1624's example: 5555 becomes 3285, checksum dd2f becomes 0000", () => {
    expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });
  test("is the checksum of the changed bytes, whatever they are", () => {
    const cases = fc.tuple(
      fc.uint8Array({ minLength: 2, maxLength: 60 }),
      fc.nat(),
      fc.uint8Array({ minLength: 2, maxLength: 16 }),
    );
    fc.assert(
      fc.property(cases, ([bytes, where, other]) => {
        const n = Math.min(other.length, bytes.length) & ~1;
        const at = (where % (bytes.length - n + 1)) & ~1;
        const before = bytes.slice(at, at + n);
        const sum = internetChecksum(bytes);
        const changed = bytes.slice();
        changed.set(other.subarray(0, n), at);
        const full = internetChecksum(changed);
        // All-zero bytes have the checksum ffff only when summed afresh; an update from a non-zero sum gives 0 there.
        const same = (x: number) => x === full || (changed.every((b) => b === 0) && x === 0);
        expect(same(updateChecksumBytes(sum, before, other.subarray(0, n)))).toBe(true);
        let word = sum;
        for (let i = 0; i < n; i += 2)
          word = updateChecksum(word, viewOf(before).getUint16(i), viewOf(other).getUint16(i));
        expect(same(word)).toBe(true);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe("beside the kernel", () => {
  /** The checksum in an Ethernet frame's innermost header that the stack fills in, and ours; undefined for others. */
  function checksums(frame: Uint8Array): { theirs: number; ours: number } | undefined {
    const ethernet = viewEthernet(frame);
    if (!ethernet) return undefined;
    const ip4 = viewIpv4(ethernet.payload);
    const ip6 = viewIpv6(ethernet.payload);
    const ip = ip4 ?? ip6;
    if (!ip) return undefined;
    const fragment = ip4 ? viewOf(ip4.header).getUint16(6) & 0x3fff : 0;
    const chain = ip6 ? walkIpv6(ip6.header[6]!, ip6.payload) : undefined;
    if (fragment || chain?.fragment || (ip6 && !chain)) return undefined;
    const [source, destination] = ip4
      ? [ip4.header.subarray(12, 16), ip4.header.subarray(16, 20)]
      : [ip6!.header.subarray(8, 24), ip6!.header.subarray(24, 40)];
    const protocol = ip4 ? ip4.header[9]! : chain!.protocol;
    const segment = ip4 ? ip4.payload : chain!.payload;
    const field = { 1: 2, 6: 16, 17: 6, 58: 2 }[protocol];
    if (field === undefined || segment.length < 20) return undefined;
    const theirs = viewOf(segment).getUint16(field);
    if (protocol === 17 && theirs === 0) return undefined;
    const ours = { 1: () => icmpChecksum(segment), 6: () => tcpChecksum(source, destination, segment) }[protocol];
    const other = protocol === 17 ? udpChecksum : icmpv6Checksum;
    return { theirs, ours: ours ? ours() : other(source, destination, segment) };
  }

  test.each(["wan.pcap", "lan.pcap"])("every TCP, UDP, ICMP and ICMPv6 checksum of %s is ours", (name) => {
    const path = fileURLToPath(new URL(`../../../../examples/edge/${name}`, import.meta.url));
    const { packets } = readCapture(readFileSync(path));
    const all = packets.map((p) => checksums(p.bytes)).filter((c) => c !== undefined);
    expect(all.length).toBeGreaterThan(packets.length * 0.9);
    expect(all.filter((c) => c.theirs !== c.ours)).toEqual([]);
  });
});

test("CRC32c of RFC 3720's vectors", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
});
