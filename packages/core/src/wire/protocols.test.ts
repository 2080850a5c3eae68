/**
 * Every protocol file by the same three tests: decode a known header, encode it into a buffer full of 0xa5, reject each
 * truncation and what the table calls malformed. A new protocol is one more row.
 */
import { describe, expect, test } from "vitest";
import { fromHex, seededRandom, toHex, viewOf } from "../bytes/index.ts";
import * as wire from "./index.ts";

interface Row {
  readonly name: string;
  /** The header, and what stands behind it. */
  readonly header: string;
  readonly payload?: string;
  /** Bytes that belong to neither: padding behind what the header's length says. */
  readonly padding?: string;
  readonly view: (bytes: Uint8Array) => wire.Layer | undefined;
  readonly parse: (header: Uint8Array) => unknown;
  readonly emit: (repr: never, out: Uint8Array) => void;
  readonly repr: unknown;
  /** The printed repr, with the payload. */
  readonly print: (repr: never, payload: Uint8Array) => string;
  readonly printed: string;
  /** What is malformed, and its bytes. */
  readonly reject?: Readonly<Record<string, string>>;
  /** Lengths below this are malformed; default header and payload. */
  readonly least?: number;
  /** Clears, in place, the bits that the protocol reserves and the repr does not hold. */
  readonly clearReserved?: (header: Uint8Array) => void;
}

const SEED = Number(process.env.SEED ?? 20261121);
const hex = (text: string) => fromHex(text);
const clearGre = (header: Uint8Array) => {
  viewOf(header).setUint16(0, viewOf(header).getUint16(0) & 0xb000);
  if (header[0]! & 0x80) header.fill(0, 6, 8);
};
const ip = wire.parseIp;

const rows: Row[] = [
  {
    name: "Ethernet II",
    header: "020000000002 020000000001 0800",
    payload: "4500",
    view: wire.viewEthernet,
    parse: wire.parseEthernet,
    emit: wire.emitEthernet,
    repr: { destination: hex("020000000002"), source: hex("020000000001"), type: 0x0800 },
    print: wire.printEthernet,
    printed: "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x0800",
    least: 14,
  },
  {
    name: "IEEE 802.3",
    header: "0180c2000000 020000000001 0003",
    payload: "424203",
    padding: "0000000000",
    view: wire.viewEthernet,
    parse: wire.parseEthernet,
    emit: wire.emitEthernet,
    repr: { destination: hex("0180c2000000"), source: hex("020000000001"), type: 3 },
    print: wire.printEthernet,
    printed: "02:00:00:00:00:01 > 01:80:c2:00:00:00, 802.3",
  },
  {
    name: "802.1Q",
    header: "b064 86dd",
    payload: "60",
    view: wire.viewVlan,
    parse: wire.parseVlan,
    emit: wire.emitVlan,
    repr: { priority: 5, dropEligible: true, id: 100, type: 0x86dd },
    print: wire.printVlan,
    printed: "vlan 100, p 5, DEI",
    least: 4,
  },
  {
    name: "ARP request",
    header: "0001 0800 06 04 0001 020000000001 c0000201 000000000000 c0000202",
    payload: "0000",
    view: wire.viewArp,
    parse: wire.parseArp,
    emit: wire.emitArp,
    repr: {
      hardwareType: 1,
      protocolType: 0x0800,
      operation: 1,
      senderHardware: hex("020000000001"),
      senderProtocol: ip("192.0.2.1"),
      targetHardware: hex("000000000000"),
      targetProtocol: ip("192.0.2.2"),
    },
    print: (repr: wire.ArpRepr) => wire.printArp(repr, 28),
    printed: "ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28",
    least: 28,
    reject: { "addresses beyond the packet": "0001 0800 ff 04 0001 020000000001 c0000201 000000000000 c0000202" },
  },
  {
    name: "ARP reply",
    header: "0001 0800 06 04 0002 020000000002 c0000202 020000000001 c0000201",
    view: wire.viewArp,
    parse: wire.parseArp,
    emit: wire.emitArp,
    repr: {
      hardwareType: 1,
      protocolType: 0x0800,
      operation: 2,
      senderHardware: hex("020000000002"),
      senderProtocol: ip("192.0.2.2"),
      targetHardware: hex("020000000001"),
      targetProtocol: ip("192.0.2.1"),
    },
    print: (repr: wire.ArpRepr) => wire.printArp(repr, 28),
    printed: "ARP, Reply 192.0.2.2 is-at 02:00:00:00:00:02, length 28",
  },
  {
    name: "IPv4",
    header: "45 b8 0018 1234 4000 40 11 9b37 c0000201 c6336401",
    payload: "01020304",
    padding: "0000",
    view: wire.viewIpv4,
    parse: wire.parseIpv4Header,
    emit: wire.emitIpv4Header,
    repr: {
      tos: 0xb8,
      totalLength: 24,
      identification: 0x1234,
      reserved: false,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      protocol: 17,
      checksum: 0x9b37,
      source: ip("192.0.2.1"),
      destination: ip("198.51.100.1"),
      options: new Uint8Array(),
    },
    print: wire.printIpv4,
    printed: "IP 192.0.2.1 > 198.51.100.1",
    reject: {
      "version 6": "65 00 0014 0000 0000 40 11 0000 c0000201 c6336401",
      "header length 4 words": "44 00 0014 0000 0000 40 11 0000 c0000201 c6336401",
      "header beyond the bytes": "4f 00 0014 0000 0000 40 11 0000 c0000201 c6336401",
      "total length below the header's": "45 00 0013 0000 0000 40 11 0000 c0000201 c6336401",
      "total length beyond the bytes": "45 00 0015 0000 0000 40 11 0000 c0000201 c6336401",
    },
  },
  {
    name: "IPv4 fragment with options",
    header: "46 00 001c 0001 a0b9 01 06 7b4b 0a000001 0a000002 94040000",
    payload: "ffffffff",
    view: wire.viewIpv4,
    parse: wire.parseIpv4Header,
    emit: wire.emitIpv4Header,
    repr: {
      tos: 0,
      totalLength: 28,
      identification: 1,
      reserved: true,
      dontFragment: false,
      moreFragments: true,
      fragmentOffset: 1480,
      ttl: 1,
      protocol: 6,
      checksum: 0x7b4b,
      source: ip("10.0.0.1"),
      destination: ip("10.0.0.2"),
      options: hex("94040000"),
    },
    print: wire.printIpv4,
    printed: "IP 10.0.0.1 > 10.0.0.2",
  },
  {
    name: "IPv6",
    header: "6b812345 0002 3a ff 20010db8000000000000000000000001 ff020000000000000000000000000001",
    payload: "8000",
    padding: "00",
    view: wire.viewIpv6,
    parse: wire.parseIpv6Header,
    emit: wire.emitIpv6Header,
    repr: {
      trafficClass: 0xb8,
      flowLabel: 0x12345,
      payloadLength: 2,
      nextHeader: 58,
      hopLimit: 255,
      source: ip("2001:db8::1"),
      destination: ip("ff02::1"),
    },
    print: wire.printIpv6,
    printed: "IP6 2001:db8::1 > ff02::1",
    reject: {
      "version 4": `40000000 0000 3a ff ${"00".repeat(32)}`,
      "payload length beyond the bytes": `60000000 0001 3a ff ${"00".repeat(32)}`,
    },
  },
  {
    name: "ICMP echo request",
    header: "08 00 1234 0009 0001",
    payload: "61",
    least: 8,
    view: wire.viewIcmp,
    parse: wire.parseIcmp,
    emit: wire.emitIcmp,
    repr: { type: 8, code: 0, checksum: 0x1234, rest: 0x90001 },
    print: (repr: wire.IcmpRepr) => wire.printIcmp(repr, 9),
    printed: "ICMP echo request, id 9, seq 1, length 9",
  },
  {
    name: "ICMP fragmentation needed",
    header: "03 04 0000 0000 05dc",
    view: wire.viewIcmp,
    parse: wire.parseIcmp,
    emit: wire.emitIcmp,
    repr: { type: 3, code: 4, checksum: 0, rest: 1500 },
    print: (repr: wire.IcmpRepr) => wire.printIcmp(repr, 36),
    printed: "ICMP unreachable - need to frag (mtu 1500), length 36",
  },
  {
    name: "ICMPv6 neighbour solicitation",
    header: "87 00 abcd 00000000",
    payload: "fe800000000000000000000000000002 0101020000000001",
    least: 8,
    view: wire.viewIcmpv6,
    parse: wire.parseIcmpv6,
    emit: wire.emitIcmpv6,
    repr: { type: 135, code: 0, checksum: 0xabcd, rest: 0 },
    print: wire.printIcmpv6,
    printed: "ICMP6, neighbor solicitation, who has fe80::2, length 32",
  },
  {
    name: "TCP SYN",
    header: "9c44 0050 00000001 00000000 a0 02 ffff 1c2f 0000 020405b4 0402080a 00000001 00000000 01030307",
    view: wire.viewTcp,
    parse: wire.parseTcp,
    emit: wire.emitTcp,
    repr: {
      sourcePort: 40004,
      destinationPort: 80,
      sequence: 1,
      acknowledgement: 0,
      flags: wire.TCP_SYN,
      window: 65535,
      checksum: 0x1c2f,
      urgentPointer: 0,
      options: hex("020405b4 0402080a 00000001 00000000 01030307"),
    },
    print: (repr: wire.TcpRepr, payload: Uint8Array) => wire.printTcp(repr, payload.length),
    printed: "Flags [S], seq 1, win 65535, options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0",
    reject: {
      "data offset 4": `${"00".repeat(12)}40${"00".repeat(7)}`,
      "data offset beyond the segment": `${"00".repeat(12)}60${"00".repeat(7)}`,
    },
  },
  {
    name: "TCP data with all flags and reserved bits",
    header: "0050 9c44 ffffffff 00000002 5f ff 0010 0000 0007",
    payload: "6162",
    least: 20,
    view: wire.viewTcp,
    parse: wire.parseTcp,
    emit: wire.emitTcp,
    repr: {
      sourcePort: 80,
      destinationPort: 40004,
      sequence: 0xffffffff,
      acknowledgement: 2,
      flags: 0xfff,
      window: 16,
      checksum: 0,
      urgentPointer: 7,
      options: new Uint8Array(),
    },
    print: (repr: wire.TcpRepr, payload: Uint8Array) => wire.printTcp(repr, payload.length),
    printed: "Flags [FSRP.UEW], seq 4294967295:1, ack 2, win 16, urg 7, length 2",
  },
  {
    name: "UDP",
    header: "0035 9c44 000a abcd",
    payload: "0102",
    padding: "ff",
    view: wire.viewUdp,
    parse: wire.parseUdp,
    emit: wire.emitUdp,
    repr: { sourcePort: 53, destinationPort: 40004, length: 10, checksum: 0xabcd },
    print: (repr: wire.UdpRepr, payload: Uint8Array) => wire.printUdp(repr, payload.length),
    printed: "UDP, length 2",
    reject: { "length 7": "0035 9c44 0007 0000", "length 9 of 8 bytes": "0035 9c44 0009 0000" },
  },
  {
    name: "GRE",
    header: "0000 0800",
    payload: "45",
    least: 4,
    view: wire.viewGre,
    parse: wire.parseGre,
    emit: wire.emitGre,
    clearReserved: clearGre,
    repr: { protocol: 0x0800 },
    print: (repr: wire.GreRepr) => wire.printGre(repr, 5),
    printed: "GREv0, length 5",
    reject: { "version 1": "2001 880b 00000000", "source routing": "4000 0800 00000000" },
  },
  {
    name: "GRE with checksum, key and sequence",
    header: "b000 6558 abcd0000 00000007 ffffffff",
    view: wire.viewGre,
    parse: wire.parseGre,
    emit: wire.emitGre,
    clearReserved: clearGre,
    repr: { protocol: 0x6558, checksum: 0xabcd, key: 7, sequence: 0xffffffff },
    print: (repr: wire.GreRepr) => wire.printGre(repr, 16),
    printed: "GREv0, key=0x7, seq 4294967295, length 16",
  },
  {
    name: "VXLAN",
    header: "08000000 ffffff00",
    payload: "00",
    least: 8,
    view: wire.viewVxlan,
    parse: wire.parseVxlan,
    emit: wire.emitVxlan,
    clearReserved: (header) => {
      header[0] = 8;
      header.fill(0, 1, 4);
      header[7] = 0;
    },
    repr: { vni: 0xffffff },
    print: wire.printVxlan,
    printed: "VXLAN, flags [I] (0x08), vni 16777215",
    reject: { "no valid VNI": "00000000 00002a00" },
  },
  {
    name: "Geneve",
    header: "02 c0 6558 00002a00 0102 81 01 00000005",
    payload: "00",
    least: 16,
    view: wire.viewGeneve,
    parse: wire.parseGeneve,
    emit: wire.emitGeneve,
    clearReserved: (header) => {
      header[1] = header[1]! & 0xc0;
      header[7] = 0;
    },
    repr: { control: true, critical: true, protocol: 0x6558, vni: 42, options: hex("0102 81 01 00000005") },
    print: wire.printGeneve,
    printed: "Geneve, Flags [OC], vni 0x2a, options [8 bytes]",
    reject: { "version 1": "40 00 6558 00002a00" },
  },
  {
    name: "GUE variant 0",
    header: "01 04 0001 12345678",
    payload: "45",
    least: 8,
    view: wire.viewGue,
    parse: wire.parseGue,
    emit: wire.emitGue,
    repr: { control: false, protocol: 4, flags: 1, extension: hex("12345678") },
    print: wire.printGue,
    printed: "GUE, proto 4, flags 0x1",
    reject: { "variant 2": "80 04 0000", "variant 1 that is no IP": "50 00 0000" },
  },
  {
    name: "MPLS",
    header: "fffff b 40",
    view: wire.viewMpls,
    parse: wire.parseMpls,
    emit: wire.emitMpls,
    repr: { label: 0xfffff, trafficClass: 5, bottom: true, ttl: 64 },
    print: wire.printMpls,
    printed: "MPLS (label 1048575, tc 5, [S], ttl 64)",
  },
  {
    name: "PPPoE session",
    header: "11 00 0007 0004",
    payload: "0021 4500",
    padding: "0000",
    view: wire.viewPppoe,
    parse: wire.parsePppoe,
    emit: wire.emitPppoe,
    repr: { code: 0, sessionId: 7, length: 4 },
    print: wire.printPppoe,
    printed: "PPPoE [ses 0x7]",
    reject: { "version 2": "21 00 0007 0000", "length beyond the bytes": "11 00 0007 0001" },
  },
  {
    name: "SCTP",
    header: "c350 0f1c 11223344 78563412",
    payload: "01000004",
    least: 12,
    view: wire.viewSctp,
    parse: wire.parseSctp,
    emit: wire.emitSctp,
    repr: { sourcePort: 50000, destinationPort: 3868, verificationTag: 0x11223344, checksum: 0x12345678 },
    print: wire.printSctp,
    printed: "sctp (1) [INIT]",
  },
  {
    name: "DNS",
    header: "1234 95f3 0001 0002 0003 0004",
    payload: "0161 00 0001 0001",
    least: 12,
    view: wire.viewDns,
    parse: wire.parseDns,
    emit: wire.emitDns,
    repr: {
      id: 0x1234,
      response: true,
      opcode: 2,
      authoritative: true,
      truncated: false,
      recursionDesired: true,
      recursionAvailable: true,
      reserved: true,
      authenticData: true,
      checkingDisabled: true,
      code: 3,
      questions: 1,
      answers: 2,
      authorities: 3,
      additionals: 4,
    },
    print: (repr: wire.DnsRepr) => wire.printDns(repr, hex("1234 95f3 0001 0002 0003 0004 0161 00 0001 0001")),
    printed: "4660 NXDomain* 2/3/4 A? a. (19)",
  },
  {
    name: "QUIC long header",
    header: "c3 00000001 04 01020304 02 aabb",
    payload: "00 41 00",
    least: 13,
    view: wire.viewQuic,
    parse: wire.parseQuic,
    emit: wire.emitQuic,
    repr: { form: "long", bits: 0x43, version: 1, destinationId: hex("01020304"), sourceId: hex("aabb") },
    print: (repr: wire.QuicRepr) => wire.printQuic(repr, 16),
    printed: "quic, initial, dcid 01020304, scid aabb, length 16",
    reject: {
      "version 1 without its fixed bit": "83 00000001 00 00",
      "version 1 with an id of 21 bytes": `c3 00000001 15 ${"00".repeat(21)} 00`,
    },
  },
  {
    name: "QUIC short header",
    header: "61",
    payload: "0102",
    least: 1,
    view: wire.viewQuic,
    parse: wire.parseQuic,
    emit: wire.emitQuic,
    repr: { form: "short", bits: 0x61 },
    print: (repr: wire.QuicRepr) => wire.printQuic(repr, 3),
    printed: "quic, 1-rtt, length 3",
    reject: { "no fixed bit": "21 0102" },
  },
];

describe.each(rows)("$name", (row) => {
  const header = hex(row.header);
  const payload = hex(row.payload ?? "");
  const whole = hex(row.header + (row.payload ?? "") + (row.padding ?? ""));

  test("decodes", () => {
    const layer = row.view(whole)!;
    expect(toHex(layer.header)).toBe(toHex(header));
    expect(toHex(layer.payload)).toBe(toHex(payload));
    expect(layer.header.buffer).toBe(whole.buffer);
    expect(row.parse(layer.header)).toEqual(row.repr);
    expect(row.print(row.repr as never, payload)).toBe(row.printed);
  });

  test("encodes, and writes no byte too many", () => {
    const out = new Uint8Array(header.length + 8).fill(0xa5);
    row.emit(row.repr as never, out);
    expect(toHex(out)).toBe(toHex(header) + "a5".repeat(8));
  });

  test("rejects every truncation", () => {
    const least = row.least ?? header.length + payload.length;
    for (let length = 0; length < least; length++)
      expect(row.view(whole.subarray(0, length)), `${length}`).toBeUndefined();
    expect(row.view(whole.subarray(0, least))).toBeDefined();
  });

  test(`damaged bytes are undefined, or read and written back as they were (seed ${SEED})`, () => {
    const random = seededRandom(SEED);
    let sound = 0;
    for (let n = 0; n < 1000; n++) {
      const bytes = whole.slice(0, random.chance(0.2) ? random.below(whole.length + 1) : undefined);
      for (let edits = random.below(4); edits > 0 && bytes.length; edits--)
        bytes[random.below(bytes.length)] = random.u32();
      const layer = row.view(bytes);
      if (!layer) continue;
      sound++;
      expect(layer.header.length + layer.payload.length).toBeLessThanOrEqual(bytes.length);
      const repr = row.parse(layer.header) as never;
      expect(row.print(repr, layer.payload)).not.toMatch(/NaN|undefined/);
      const out = new Uint8Array(layer.header.length).fill(0xa5);
      if (repr !== undefined) row.emit(repr, out);
      row.clearReserved?.(layer.header);
      if (repr !== undefined) expect(toHex(out)).toBe(toHex(layer.header));
    }
    expect(sound).toBeGreaterThan(100);
  });

  test.each(Object.entries(row.reject ?? {}))("rejects %s", (_, bytes) => expect(row.view(hex(bytes))).toBeUndefined());
});

test("the lengths that the reprs say are the headers'", () => {
  const empty = new Uint8Array();
  expect(wire.ipv4Length({ options: hex("94040000") })).toBe(24);
  expect(wire.tcpLength({ options: empty })).toBe(20);
  expect(wire.geneveLength({ options: empty })).toBe(8);
  expect(wire.gueLength({ extension: hex("00000000") })).toBe(8);
  expect(wire.greLength({ protocol: 0, key: 0 })).toBe(8);
  expect(wire.quicLength({ form: "long", bits: 0, version: 1, destinationId: hex("01"), sourceId: empty })).toBe(8);
  expect(wire.quicLength({ form: "short", bits: 0x40 })).toBe(1);
  const mac = new Uint8Array(6);
  const address = new Uint8Array(4);
  const arp = { senderHardware: mac, senderProtocol: address, targetHardware: mac, targetProtocol: address };
  expect(wire.arpLength({ hardwareType: 1, protocolType: 0x800, operation: 1, ...arp })).toBe(28);
});

describe("checksums of whole packets", () => {
  test("an IPv4 header's own field does not matter", () => {
    const header = hex("45000073 00004000 4011b861 c0a80001 c0a800c7");
    expect(wire.ipv4Checksum(header)).toBe(0xb861);
    header.fill(0, 10, 12);
    expect(wire.ipv4Checksum(header)).toBe(0xb861);
  });
  test("an empty echo reply of zeros has ffff", () => expect(wire.icmpChecksum(new Uint8Array(8))).toBe(0xffff));
  test("UDP never says 0, which is no checksum", () => {
    const a = ip("0.0.0.0");
    // 17 + 10 + 10 + ports and data that make the sum ffff.
    const datagram = hex("0000 0000 000a 0000 0000");
    new DataView(datagram.buffer).setUint16(0, 0xffff - 17 - 10 - 10);
    expect(wire.udpChecksum(a, a, datagram)).toBe(0xffff);
  });
  test("SCTP's is CRC32c over the packet with zeros in its place", () => {
    const packet = hex("c350 0f1c 11223344 ffffffff 01000004");
    const zeroed = hex("c350 0f1c 11223344 00000000 01000004");
    expect(wire.sctpChecksum(packet)).toBe(wire.crc32c(zeroed));
  });
});

describe("IPv4 options", () => {
  test("are a list up to the end mark", () => {
    expect(wire.ipv4Options(hex("01 07 07 04 00000000 00 99"))).toEqual([
      { type: 1, data: new Uint8Array() },
      { type: 7, data: hex("04 00000000") },
      { type: 0, data: new Uint8Array() },
    ]);
  });
  test.each(["0700", "0701", "0705ff", "07"])("reject %s", (bytes) =>
    expect(wire.ipv4Options(hex(bytes))).toBeUndefined(),
  );
});

describe("TCP options", () => {
  const all: wire.TcpOption[] = [
    { kind: "mss", value: 1460 },
    { kind: "windowScale", shift: 14 },
    { kind: "sackPermitted" },
    { kind: "timestamps", value: 0xffffffff, echo: 1 },
    { kind: "sack", blocks: [[1, 2]] },
    { kind: "other", type: 34, data: hex("0102") },
    { kind: "nop" },
    { kind: "end" },
  ];
  test("every kind is read back as written", () => expect(wire.tcpOptions(wire.emitTcpOptions(all))).toEqual(all));
  test("a known kind of a wrong length is other", () => {
    expect(wire.tcpOptions(hex("0203ff"))).toEqual([{ kind: "other", type: 2, data: hex("ff") }]);
  });
  test.each(["0200", "02", "0204ff", "0801"])("reject %s", (bytes) =>
    expect(wire.tcpOptions(hex(bytes))).toBeUndefined(),
  );
});

describe("the IPv6 chain", () => {
  const padded = "0104 00000000";
  test("no extension header: the payload is the transport's", () => {
    expect(wire.walkIpv6(17, hex("0102"))).toEqual({ extensions: [], protocol: 17, payload: hex("0102") });
  });
  test("steps over hop-by-hop, routing, destination options and AH", () => {
    const chain = wire.walkIpv6(0, hex(`2b00${padded} 3c00${padded} 3300${padded} 0601 0000 00000001 00000002 abcd`))!;
    expect(chain.extensions.map((e) => [e.type, e.header.length])).toEqual([
      [0, 8],
      [43, 8],
      [60, 8],
      [51, 12],
    ]);
    expect(chain).toMatchObject({ protocol: 6, payload: hex("abcd") });
  });
  test("goes on behind a first fragment and stops at a later one", () => {
    const first = wire.walkIpv6(44, hex(`3c00 0001 0000abcd 1100${padded} ffff`))!;
    expect(first).toMatchObject({
      protocol: 17,
      payload: hex("ffff"),
      fragment: { offset: 0, moreFragments: true, identification: 0xabcd },
    });
    const later = wire.walkIpv6(44, hex("3c00 05a8 0000abcd 1100"))!;
    expect(later).toMatchObject({
      protocol: 60,
      payload: hex("1100"),
      fragment: { offset: 1448, moreFragments: false },
    });
  });
  test("ESP ends it", () => expect(wire.walkIpv6(50, hex("00000001"))).toMatchObject({ protocol: 50 }));
  test.each([
    ["a header of one byte", 0, "11"],
    ["a header beyond the packet", 60, `11 02 ${padded}`],
    ["a fragment header cut short", 44, "11 00 0001"],
    ["nothing where a header should be", 0, ""],
  ])("rejects %s", (_, next, bytes) => expect(wire.walkIpv6(next, hex(bytes))).toBeUndefined());
  test("encodes a fragment header into a dirty buffer", () => {
    const out = new Uint8Array(10).fill(0xa5);
    wire.emitIpv6Fragment({ offset: 1448, moreFragments: true, identification: 0xabcd }, 17, out);
    expect(toHex(out)).toBe("110005a90000abcda5a5");
  });
  test("options are a list, padding included", () => {
    expect(wire.ipv6Options(hex("1100 00 0502 0000 00"))?.map((o) => o.type)).toEqual([0, 5, 0]);
    expect(wire.ipv6Options(hex("1100 0104 000000"))).toBeUndefined();
  });
});

describe("Neighbour Discovery", () => {
  const link = { type: wire.NDP_OPT_SOURCE_LINK_ADDRESS, data: hex("020000000001") };
  const target = ip("fe80::2");
  test.each<[string, number, wire.NdpRepr]>([
    ["a router solicitation", 133, { options: [link] }],
    ["a router advertisement", 134, { reachableTime: 30000, retransTimer: 1000, options: [link] }],
    ["a neighbour solicitation", 135, { target, options: [link] }],
    ["a neighbour advertisement", 136, { target, options: [] }],
    ["a redirect", 137, { target, destination: ip("2001:db8::1"), options: [] }],
  ])("%s is read back as written", (_, type, repr) => expect(wire.parseNdp(type, wire.emitNdp(repr))).toEqual(repr));
  test("rejects an option of length 0, one beyond the message, a short body, another type", () => {
    const body = toHex(target);
    expect(wire.parseNdp(135, hex(`${body}0100020000000001`))).toBeUndefined();
    expect(wire.parseNdp(135, hex(`${body}0102020000000001`))).toBeUndefined();
    expect(wire.parseNdp(135, hex(body).subarray(0, 15))).toBeUndefined();
    expect(wire.parseNdp(128, hex(body))).toBeUndefined();
  });
});

describe("tunnels' parts", () => {
  test("Geneve options", () => {
    expect(wire.geneveOptions(hex("0102 81 01 00000005 ffff 00 00"))).toEqual([
      { class: 0x0102, type: 0x81, data: hex("00000005") },
      { class: 0xffff, type: 0, data: new Uint8Array() },
    ]);
    expect(wire.geneveOptions(hex("0102 81 01"))).toBeUndefined();
    expect(wire.geneveOptions(hex("0102"))).toBeUndefined();
  });
  test("GUE variant 1 is IP without a header", () => {
    const layer = wire.viewGue(hex("45000014"))!;
    expect(layer.header.length).toBe(0);
    expect(wire.parseGue(layer.header)).toBeUndefined();
    expect(wire.viewGue(hex("60000000"))!.payload.length).toBe(4);
  });
  test("IP in IP takes the version from the protocol number", () => {
    const inner = hex("45000014 00000000 403b0000 0a000001 0a000002");
    expect(wire.viewIpip(4, inner)).toMatchObject({ version: 4 });
    expect(wire.viewIpip(41, inner)).toBeUndefined();
    expect(wire.viewIpip(47, inner)).toBeUndefined();
  });
  test("PPP protocols of two bytes and of one", () => {
    expect(wire.pppPayload(hex("0021 45"))).toEqual({ protocol: 0x21, payload: hex("45") });
    expect(wire.pppPayload(hex("21 45"))).toEqual({ protocol: 0x21, payload: hex("45") });
    expect(wire.pppPayload(hex("00"))).toBeUndefined();
  });
  test("PPPoE tags", () => {
    expect(wire.pppoeTags(hex("0101 0000 0103 0002 abcd 0000 0000 ff"))).toEqual([
      { type: 0x0101, value: new Uint8Array() },
      { type: 0x0103, value: hex("abcd") },
    ]);
    expect(wire.pppoeTags(hex("0101 0001"))).toBeUndefined();
    expect(wire.pppoeTags(hex("0101"))).toBeUndefined();
  });
  test("SCTP chunks are padded to words", () => {
    expect(wire.sctpChunks(hex("00 03 0005 61 000000 0b 00 0004"))).toEqual([
      { type: 0, flags: 3, value: hex("61") },
      { type: 11, flags: 0, value: new Uint8Array() },
    ]);
    expect(wire.sctpChunks(hex("00 03 0003"))).toBeUndefined();
    expect(wire.sctpChunks(hex("00 03 0005"))).toBeUndefined();
  });
});

describe("DNS names", () => {
  const head = "0000 0100 0001 0000 0000 0000";
  const name = (labels: readonly string[]) => labels.map((l) => new TextEncoder().encode(l));
  test("a question is read back as written", () => {
    const question = { labels: name(["www", "example"]), type: 28, class: 1 };
    const message = hex(head + toHex(wire.emitDnsQuestion(question)));
    expect(wire.dnsQuestions(message)).toEqual([question]);
    expect(wire.formatDnsName(question.labels)).toBe("www.example.");
    expect(wire.formatDnsName([])).toBe(".");
    expect(wire.formatDnsName(name(["a.b c"]))).toBe("a\\046b\\032c.");
  });
  test("a pointer leads backwards", () => {
    const message = hex(`${head} 0161 00 0001 0001 0162 c00c`);
    expect(wire.dnsName(message, 19)).toEqual({ labels: name(["b", "a"]), end: 23 });
  });
  test.each([
    ["a pointer to itself", "c00c 0001 0001"],
    ["a pointer forwards", "c010 0001 0001"],
    ["two pointers in a circle", "0161 c00c 0001 0001"],
    ["half a pointer", "c0"],
    ["a label beyond the message", "3f61"],
    ["a label of 64", `40${"61".repeat(64)} 00 0001 0001`],
    ["a name without an end", "0161"],
    ["a name above 255 bytes", `${`3f${"61".repeat(63)}`.repeat(4)} 00 0001 0001`],
    ["no room for the type", "00 0001"],
  ])("rejects %s", (_, bytes) => expect(wire.dnsQuestions(hex(head + bytes))).toBeUndefined());
});

describe("QUIC", () => {
  const long = (bits: number, version: number) =>
    ({ form: "long", bits, version, destinationId: new Uint8Array(), sourceId: new Uint8Array() }) as const;
  test("packet types of both versions", () => {
    expect([0x40, 0x50, 0x60, 0x70].map((bits) => wire.quicPacketType(long(bits, 1)))).toEqual([
      "initial",
      "0-rtt",
      "handshake",
      "retry",
    ]);
    expect([0x50, 0x60, 0x70, 0x40].map((bits) => wire.quicPacketType(long(bits, 0x6b3343cf)))).toEqual([
      "initial",
      "0-rtt",
      "handshake",
      "retry",
    ]);
    expect(wire.quicPacketType(long(0x40, 0))).toBe("version negotiation");
    expect(wire.quicPacketType(long(0x40, 0xff00001d))).toBe("unknown");
  });
  // RFC 9000 appendix A.1's examples.
  test.each([
    ["c2197c5eff14e88c", 151288809941952652n],
    ["9d7f3e7d", 494878333n],
    ["7bbd", 15293n],
    ["25", 37n],
    ["4025", 37n],
  ])("the integer %s is %s", (bytes, value) => expect(wire.quicVarint(hex(bytes), 0)?.value).toBe(value));
  test("an Initial has a token and a length", () => {
    expect(wire.quicInitial(hex("02 abcd 03 010203"))).toEqual({ token: hex("abcd"), length: 3 });
    expect(wire.quicInitial(hex("05 abcd"))).toBeUndefined();
    expect(wire.quicInitial(hex("00 04 010203"))).toBeUndefined();
    expect(wire.quicInitial(hex("c0"))).toBeUndefined();
  });
});
