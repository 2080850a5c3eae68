import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex } from "../bytes/index.ts";
import {
  type GeneratedPacket,
  generatePackets,
  LINKTYPE_RAW,
  PACKET_KINDS,
  printPacket,
  readCapture,
  writeCapture,
} from "./index.ts";

const SEED = Number(process.env.SEED ?? 20261121);
const pathOf = (name: string) => fileURLToPath(new URL(`../../../../examples/edge/${name}`, import.meta.url));
const packetsOf = (name: string) => readCapture(readFileSync(pathOf(name))).packets;

const tcpdump = (() => {
  try {
    execFileSync("tcpdump", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** The fields that both printers must agree on. */
interface Fields {
  /** IP, IP6, ARP or the first word. */
  readonly family: string;
  /** All addresses in order, with the ports of the outermost transport, so tunnels count too. */
  readonly ends: readonly string[];
  /** What the transport is called. */
  readonly protocol: string;
  /** Flags, sequence, acknowledgement and window of TCP; the id and seq of an echo; the length where both say one. */
  readonly details: string;
}

const PROTOCOLS: readonly (readonly [RegExp, string])[] = [
  [/ICMP6/, "icmp6"],
  [/ICMP/, "icmp"],
  [/VXLAN/, "vxlan"],
  [/Geneve/, "geneve"],
  [/GREv0/, "gre"],
  [/sctp/, "sctp"],
  [/ESP\(/, "esp"],
  [/Flags \[/, "tcp"],
  [/who-has/, "arp request"],
  [/is-at/, "arp reply"],
  [/no next header/, "none"],
];

function fieldsOf(line: string): Fields {
  const family = /(?:^|[ ,])(IP6|IP|ARP)[, ]/.exec(line)?.[1] ?? line.split(/[ ,]/)[0]!;
  // tcpdump puts the ports of a packet with extension headers apart: `a > b: HBH 1 > 2: …`.
  const joined = line.replace(/ (\S+) > (\S+): ((?:HBH|DSTOPT|RT6|frag)\b.*?) (\d+) > (\d+):/g, " $1.$4 > $2.$5: $3:");
  const ends = [
    ...joined.matchAll(/(\d[0-9a-f.:]*|[0-9a-f]*:[0-9a-f.:]*[0-9a-f]) > ([0-9a-f][0-9a-f.:]*|::[0-9a-f.:]*?):? /g),
  ]
    .flatMap((m) => [m[1]!, m[2]!.replace(/:$/, "")])
    .filter((end) => !/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(end));
  const protocol = PROTOCOLS.find(([pattern]) => pattern.test(line))?.[1] ?? "other";
  const details = [
    ...line.matchAll(
      /Flags \[[A-Z.]+\]|seq \d+(?::\d+)?|ack \d+|win \d+|options \[[^\]]*\]|\bid \d+(?=, seq)|vni \w+|key=\w+|who-has \S+|who has \S+|tgt is \S+|tell \S+|is-at \S+/g,
    ),
  ].map((m) => m[0].replace(/,$/, ""));
  return { family, ends, protocol, details: details.join(" ") };
}

/** One line a packet, without its time. */
function tcpdumpLines(path: string): string[] {
  const text = execFileSync("tcpdump", ["-nn", "-tt", "-S", "-r", path], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const lines: string[] = [];
  // A line without a time goes on with the packet before it: VXLAN's inner one.
  for (const line of text.trimEnd().split("\n")) {
    if (/^\d+\.\d{6} /.test(line)) lines.push(line.replace(/^\S+ /, ""));
    else lines[lines.length - 1] += `: ${line.trim()}`;
  }
  return lines;
}

/** Compares what can be; gives how many were. */
function compare(packets: readonly { readonly bytes: Uint8Array }[], theirs: readonly string[]): number {
  expect(theirs.length).toBe(packets.length);
  // ICMP errors quote a packet in words of their own on each side; tcpdump knows no GUE.
  const strip = (line: string) =>
    line
      .replace(/ \(about .*/, "")
      .replace(/, \[0\]\S+\)/, ")")
      .replace(/: GUE,.*/, ": UDP");
  let compared = 0;
  packets.forEach((packet, i) => {
    const ours = printPacket(packet.bytes);
    const a = fieldsOf(strip(ours));
    const b = fieldsOf(strip(theirs[i]!));
    // Broken headers are told in different words; that both see them is checked by `a printed line` below.
    const apart = /bad|invalid|\[\|(?:ip6?|arp|tcp)\]|version|STP|LLDP|Unknown Hardware/.test(theirs[i]!);
    if (apart || (b.ends.length === 0 && b.family !== "ARP")) return;
    compared++;
    expect(a, `packet ${i + 1}\nours:   ${ours}\ntheirs: ${theirs[i]}`).toEqual(b);
  });
  return compared;
}

describe.skipIf(!tcpdump)(tcpdump ? "beside tcpdump" : "beside tcpdump (skipped: it is not installed)", () => {
  test.each([
    ["wan.pcap", 1200],
    ["lan.pcap", 800],
  ])("%s: family, protocol, addresses, ports and the transport's fields agree", (name, least) => {
    const packets = packetsOf(name);
    const compared = compare(packets, tcpdumpLines(pathOf(name)));
    // All but the frames that were broken on purpose.
    expect(compared).toBeGreaterThan(packets.length - 50);
    expect(compared).toBeGreaterThan(least);
  });

  test(`generated packets of every protocol: the same agree (seed ${SEED})`, () => {
    // GUE is unknown to tcpdump, and ICMP's payloads and unknown EtherTypes are noise to it and to us.
    const kinds = PACKET_KINDS.filter((k) => !["gue", "icmp", "icmpv6", "ethertype"].includes(k));
    const packets: GeneratedPacket[] = [];
    for (const packet of generatePackets({ seed: SEED, broken: 0, kinds, ports: [9, 1000, 40000] })) {
      packets.push(packet);
      if (packets.length === 2000) break;
    }
    const dir = mkdtempSync(join(tmpdir(), "ebplane-print-"));
    try {
      const path = join(dir, "generated.pcap");
      writeFileSync(path, writeCapture(packets));
      // tcpdump stops at a routing header of an unknown type, which a third of the extension headers are.
      expect(compare(packets, tcpdumpLines(path))).toBeGreaterThan(1700);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("a printed line", () => {
  const ether = "020000000002 020000000001";
  const ip4 = (protocol: string, rest: string, total = 20 + fromHex(rest).length) =>
    `45000000 00000000 40${protocol}0000 0a000001 0a000002`.replace(
      "45000000",
      `4500${total.toString(16).padStart(4, "0")}`,
    ) + rest;

  test.each([
    ["an empty frame", "", "[|ether] length 0"],
    ["an unknown EtherType", `${ether} 1234 00`, "ethertype 0x1234, length 1"],
    ["an 802.3 length beyond the frame", `${ether} 0010 00`, "802.3 [length beyond the frame]"],
    ["a cut tag", `${ether} 8100 0064`, "[|vlan]"],
    ["a cut IPv4 header", `${ether} 0800 4500`, "IP [|ip]"],
    ["a bad header length", `${ether} 0800 44${"00".repeat(19)}`, "IP [bad header length 16]"],
    ["a header beyond the frame", `${ether} 0800 4f0000ff${"00".repeat(16)}`, "IP [header length 60, have 20]"],
    ["a bad total length", `${ether} 0800 4500000a${"00".repeat(16)}`, "IP [bad total length 10]"],
    [
      "a cut packet",
      `${ether} 0800 ${ip4("11", "00350036 0010 0000", 100)}`,
      "IP truncated-ip - 72 bytes missing! 10.0.0.1.53 > 10.0.0.2.54: UDP, length 8 [have 0]",
    ],
    [
      "a cut fragment",
      `${ether} 0800 45000064 00000001 40110000 0a000001 0a000002`,
      "IP truncated-ip - 80 bytes missing! 10.0.0.1 > 10.0.0.2: ip-proto-17, fragment at 8",
    ],
    [
      "a cut IPv6 packet with an extension header",
      `${ether} 86dd 60000000 0020 3c 40 ${"00".repeat(32)} 1100 0104 00000000 00090009 0008 0000`,
      "IP6 truncated-ip6 - 16 bytes missing! ::.9 > ::.9: DSTOPT UDP, length 0",
    ],
    ["a runt TCP", `${ether} 0800 ${ip4("06", "0050 0051")}`, "IP 10.0.0.1.80 > 10.0.0.2.81: [|tcp]"],
    ["a runt UDP without ports", `${ether} 0800 ${ip4("11", "00")}`, "IP 10.0.0.1 > 10.0.0.2: [|udp]"],
    ["IPv6 of version 4", `${ether} 86dd 40${"00".repeat(39)}`, "IP6 [version 4]"],
    [
      "IPv6 with a cut extension header",
      `${ether} 86dd 60000000 0001 00 40 ${"00".repeat(32)} 11`,
      "IP6 :: > ::: [malformed extension header]",
    ],
  ])("%s", (_, bytes, line) => expect(printPacket(fromHex(bytes))).toBe(line));

  test("has the addresses in front when asked", () => {
    expect(printPacket(fromHex(`${ether} 1234 00`), { link: true })).toBe(
      "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x1234, length 15: ethertype 0x1234, length 1",
    );
  });

  test("knows raw IP, and says so of a link type that it does not know", () => {
    expect(printPacket(fromHex(ip4("01", "08000000 00070001")), { linkType: LINKTYPE_RAW })).toBe(
      "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 1, length 8",
    );
    expect(printPacket(Uint8Array.of(1), { linkType: 113 })).toBe("link type 113, length 1");
  });

  test("ends in tunnels without end", () => {
    const nested = `${ether} 8100${" 0001 8100".repeat(30)}`;
    expect(printPacket(fromHex(nested))).toMatch(/\[too many layers\]$/);
  });

  test(`20,000 damaged packets of the captures are printed in one line each (seed ${SEED})`, () => {
    const seeds = [...packetsOf("wan.pcap").slice(-140), ...packetsOf("lan.pcap").slice(0, 60)].map((p) => p.bytes);
    let bad = 0;
    fc.assert(
      fc.property(
        fc.nat(seeds.length - 1),
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
        fc.nat(200),
        (n, edits, cut) => {
          const bytes = seeds[n]!.slice(0, cut > 120 ? undefined : cut);
          for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
          const line = printPacket(bytes);
          if (line.includes("[")) bad++;
          expect(line.length).toBeGreaterThan(3);
          expect(line.length).toBeLessThan(2000);
          expect(line).not.toMatch(/\n|undefined|NaN|\[object/);
        },
      ),
      { seed: SEED, numRuns: 20_000 },
    );
    expect(bad).toBeGreaterThan(1000);
  });
});
