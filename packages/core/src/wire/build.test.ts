import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesEqual, concatBytes, toHex } from "../bytes/index.ts";
import {
  arp,
  buildPacket,
  checksumHolds,
  dns,
  ethernet,
  fragmentIpv4,
  fragmentIpv6,
  type GeneratedPacket,
  type GeneratorOptions,
  generatePackets,
  gre,
  icmp,
  ipv4,
  ipv6,
  ipv6Extension,
  ipv6Fragment,
  mpls,
  PACKET_KINDS,
  parseEthernet,
  parseIpv4Header,
  pppoe,
  printPacket,
  tcp,
  udp,
  viewEthernet,
  viewIpv4,
  viewIpv6,
  vlan,
  vxlan,
  walkIpv6,
  writeCapture,
} from "./index.ts";

const SEED = Number(process.env.SEED ?? 20261121);

describe("buildPacket", () => {
  const payload = new TextEncoder().encode("hello");
  const ping = [ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }), icmp({ rest: 0x70001 })];

  test.each([
    ["a ping", [ethernet(), ...ping], "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 13"],
    ["ARP", [ethernet(), arp()], "ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 33"],
    [
      "two tags",
      [ethernet(), vlan({ id: 7, provider: true }), vlan({ id: 8 }), ...ping],
      "vlan 7, p 0, vlan 8, p 0, IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 13",
    ],
    [
      "TCP over IPv6",
      [ethernet(), ipv6(), tcp({ sequence: 5 })],
      "IP6 2001:db8::1.49152 > 2001:db8::2.80: Flags [S], seq 5:10, win 65535, length 5",
    ],
    [
      "UDP with a payload of nothing known",
      [ethernet(), ipv4(), udp({ destinationPort: 9 })],
      "IP 192.0.2.1.49152 > 192.0.2.2.9: UDP, length 5",
    ],
    [
      "an extension header",
      [ethernet(), ipv6(), ipv6Extension({ type: 60, body: new Uint8Array(6) }), udp({ destinationPort: 9 })],
      "IP6 2001:db8::1.49152 > 2001:db8::2.9: DSTOPT UDP, length 5",
    ],
    [
      "a later fragment",
      [ethernet(), ipv6(), ipv6Fragment({ offset: 8 })],
      "IP6 2001:db8::1 > 2001:db8::2: frag (8|5)",
    ],
    [
      "GRE",
      [ethernet(), ipv4(), gre({ key: 1 }), ...ping],
      "IP 192.0.2.1 > 192.0.2.2: GREv0, key=0x1, length 41: IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 13",
    ],
    [
      "MPLS",
      [ethernet(), mpls({ label: 20 }), mpls({ label: 30 }), ...ping],
      "MPLS (label 20, tc 0, ttl 64) MPLS (label 30, tc 0, [S], ttl 64), IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 13",
    ],
    [
      "PPPoE",
      [ethernet(), pppoe(), ...ping],
      "PPPoE [ses 0x1] IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 13",
    ],
  ])("%s", (_, layers, line) => expect(printPacket(buildPacket(layers, payload))).toBe(line));

  test("a VXLAN packet has an Ethernet frame inside", () => {
    const bytes = buildPacket([ethernet(), ipv4(), udp(), vxlan({ vni: 42 }), ethernet(), ...ping]);
    expect(printPacket(bytes)).toContain(
      ".4789: VXLAN, flags [I] (0x08), vni 42: 02:00:00:00:00:01 > 02:00:00:00:00:02",
    );
  });

  test("a DNS query", () => {
    const question = { labels: [new TextEncoder().encode("example")], type: 1, class: 1 };
    expect(printPacket(buildPacket([ethernet(), ipv4(), udp(), dns({ id: 3, question })]))).toBe(
      "IP 192.0.2.1.49152 > 192.0.2.2.53: 3+ A? example. (25)",
    );
  });

  test("fields that are given stay, also wrong ones", () => {
    const bytes = buildPacket([
      ethernet({ type: 0x1234, source: "0a:00:00:00:00:01" }),
      ipv4({ checksum: 0xdead, totalLength: 9 }),
    ]);
    const layer = viewEthernet(bytes)!;
    expect(parseEthernet(layer.header)).toMatchObject({ type: 0x1234 });
    expect(toHex(layer.payload.subarray(10, 12))).toBe("dead");
    expect(toHex(layer.payload.subarray(2, 4))).toBe("0009");
  });

  test("refuses an address that is none and an extension header of odd size", () => {
    expect(() => buildPacket([ipv4({ source: "10.1" })])).toThrow("expected an IPv4 address");
    expect(() => buildPacket([ipv6(), ipv6Extension({ type: 0, body: new Uint8Array(7) })])).toThrow(
      "extension header: expected a multiple of 8 bytes, got 9",
    );
  });
});

describe("fragments", () => {
  const payload = Uint8Array.from({ length: 3000 }, (_, i) => i);

  test("of IPv4 carry the whole payload, each with its own checksum", () => {
    const packet = buildPacket([ipv4({ identification: 7 }), udp()], payload);
    const parts = fragmentIpv4(packet, 1500);
    const reprs = parts.map((part) => {
      const layer = viewIpv4(part)!;
      expect(checksumHolds(layer.header)).toBe(true);
      return { ...parseIpv4Header(layer.header), payload: layer.payload };
    });
    expect(reprs.map((r) => [r.fragmentOffset, r.moreFragments, r.totalLength])).toEqual([
      [0, true, 1500],
      [1480, true, 1500],
      [2960, false, 68],
    ]);
    expect(bytesEqual(concatBytes(reprs.map((r) => r.payload)), packet.subarray(20))).toBe(true);
    expect(fragmentIpv4(packet, 4000)).toEqual([packet]);
    expect(() => fragmentIpv4(packet, 27)).toThrow("mtu: need 28 for a fragment, got 27");
  });

  test("of IPv6 carry the whole payload behind fragment headers", () => {
    const packet = buildPacket([ipv6(), udp()], payload);
    const chains = fragmentIpv6(packet, 1500, 99).map((part) => {
      expect(part.length).toBeLessThanOrEqual(1500);
      const layer = viewIpv6(part)!;
      return walkIpv6(layer.header[6]!, layer.payload)!;
    });
    expect(chains.map((c) => [c.fragment!.offset, c.fragment!.moreFragments, c.fragment!.identification])).toEqual([
      [0, true, 99],
      [1448, true, 99],
      [2896, false, 99],
    ]);
    expect(chains.every((c) => c.protocol === 17)).toBe(true);
    expect(bytesEqual(concatBytes(chains.map((c) => c.payload)), packet.subarray(40))).toBe(true);
    expect(fragmentIpv6(packet, 4000, 1)).toEqual([packet]);
    expect(() => fragmentIpv6(packet, 55, 1)).toThrow("mtu: need 56 for a fragment, got 55");
  });
});

function take(n: number, options: GeneratorOptions): GeneratedPacket[] {
  const out: GeneratedPacket[] = [];
  for (const packet of generatePackets(options)) {
    if (out.length === n) return out;
    out.push(packet);
  }
  return out;
}

describe(`generated packets (seed ${SEED})`, () => {
  test("are the same for the same seed", () => {
    expect(take(200, { seed: SEED })).toEqual(take(200, { seed: SEED }));
    expect(take(20, { seed: SEED })).not.toEqual(take(20, { seed: SEED + 1 }));
  });

  test("are of every kind, broken about as often as asked", () => {
    const packets = take(4000, { seed: SEED, broken: 0.5 });
    expect(new Set(packets.map((p) => p.kind))).toEqual(new Set(PACKET_KINDS));
    const defects = packets.filter((p) => p.defect !== undefined).length;
    expect(Math.abs(defects - 2000)).toBeLessThan(200);
  });

  test("are printed without a complaint when they are well-formed", () => {
    for (const { bytes, kind } of take(5000, { seed: SEED, broken: 0, ports: [9, 1000, 40000] })) {
      const line = printPacket(bytes);
      // Fragments and what an ICMP error quotes are cut by nature.
      if (kind === "fragment" || kind === "fragment6" || kind.startsWith("icmp")) continue;
      expect(line, `${kind} ${toHex(bytes)}`).not.toMatch(
        /\[\||truncated-ip|bad |beyond|\[version|malformed extension/,
      );
    }
  });

  test("are printed whatever is wrong with them", () => {
    for (const { bytes, defect } of take(10_000, { seed: SEED + 2, broken: 1 })) {
      expect(printPacket(bytes), defect).not.toMatch(/\n|undefined|NaN/);
    }
  });
});

const tcpdump = (() => {
  try {
    execFileSync("tcpdump", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

test.skipIf(!tcpdump)(
  tcpdump
    ? "tcpdump finds every checksum of the well-formed ones right"
    : "tcpdump finds every checksum right (skipped: it is not installed)",
  () => {
    const kinds = PACKET_KINDS.filter((kind) => !kind.startsWith("fragment"));
    const packets = take(2000, { seed: SEED, broken: 0, kinds, ports: [9, 1000, 40000] });
    const dir = mkdtempSync(join(tmpdir(), "ebplane-build-"));
    try {
      const path = join(dir, "built.pcap");
      writeFileSync(path, writeCapture(packets));
      const text = execFileSync("tcpdump", ["-nn", "-vv", "-r", path], {
        encoding: "utf8",
        maxBuffer: 1 << 28,
        stdio: ["ignore", "pipe", "ignore"],
      });
      // What an ICMP error quotes, on lines of its own behind a tab, is noise.
      expect(text.match(/^[^\t].*(?:incorrect|bad cksum|bad udp cksum|bad icmp|wrong).*$/gm) ?? []).toEqual([]);
      expect(text.match(/cksum 0x[0-9a-f]+ \(correct\)|udp sum ok|icmp6 sum ok/g)!.length).toBeGreaterThan(600);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
);
