import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { concatBytes, viewOf } from "@ebplane/core/bytes";
import { writeCapture } from "@ebplane/core/wire";
import { expect, test } from "vitest";
import { ebplane, ebplaneJson, scratchFolder } from "./ebplane.ts";

/** Passes everything, on one interface without a pcap of its own. */
const PLANE = `plane: count
interfaces:
  wan: { xdp: all }
functions:
  protocols: { type: counter }
chains:
  all: [protocols]
`;

/** An ARP request: 42 bytes that every check accepts. */
function arp(): Uint8Array {
  const frame = new Uint8Array(42).fill(0xff, 0, 6);
  viewOf(frame).setUint16(12, 0x0806);
  return frame;
}

const PACKETS = [1n, 2n, 3n].map((n) => ({ timestampNs: 1_700_000_000_000_000_000n + n, bytes: arp() }));
const GOOD = writeCapture(PACKETS);

function withBytes(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  change(viewOf(copy));
  return copy;
}

interface Answer {
  readonly packets: number;
  readonly interfaces: readonly { readonly seen: { readonly packets: string } }[];
}

function up(bytes: Uint8Array): { plane: string; capture: string } {
  const folder = scratchFolder();
  const plane = join(folder, "plane.yaml");
  const capture = join(folder, "in.pcap");
  writeFileSync(plane, PLANE);
  writeFileSync(capture, bytes);
  return { plane, capture };
}

test.each([
  ["nanosecond pcap", GOOD],
  ["microsecond pcap", writeCapture(PACKETS, { timestampDigits: 6 })],
  ["big-endian pcap", writeCapture(PACKETS, { byteOrder: "big" })],
  ["big-endian microsecond pcap", writeCapture(PACKETS, { byteOrder: "big", timestampDigits: 6 })],
  ["pcapng", writeCapture(PACKETS, { format: "pcapng" })],
  ["big-endian pcapng", writeCapture(PACKETS, { format: "pcapng", byteOrder: "big" })],
])("every packet of a %s is processed", (_, bytes) => {
  const { plane, capture } = up(bytes);
  const { code, stderr, json } = ebplaneJson<Answer>(["up", plane, "--pcap", `wan=${capture}`]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(json.packets).toBe(3);
  expect(json.interfaces[0]!.seen.packets).toBe("3");
});

test("a record that the file cuts short is told, and the packets before it are processed", () => {
  const { plane, capture } = up(GOOD.subarray(0, GOOD.length - 5));
  const { code, stderr, json } = ebplaneJson<Answer>(["up", plane, "--pcap", `wan=${capture}`]);
  expect(code).toBe(0);
  expect(stderr).toMatch(/in\.pcap: .*record 3|in\.pcap: .*packet 3/);
  expect(stderr).toMatch(/the 2 packets before it are used/);
  expect(json.interfaces[0]!.seen.packets).toBe("2");
});

test.each([
  ["an empty file", new Uint8Array(0), /in\.pcap: offset 0: the file is empty/],
  [
    "a wrong magic number",
    concatBytes([Uint8Array.of(0xde, 0xad, 0xbe, 0xef), GOOD]),
    /in\.pcap: offset 0: expected the magic number/,
  ],
  ["a header cut short", GOOD.subarray(0, 20), /in\.pcap: .*need 24 bytes/],
  [
    "a record longer than any packet",
    withBytes(GOOD, (v) => v.setUint32(24 + 8, 0x7fffffff, true)),
    /in\.pcap: packet 1: offset \d+: /,
  ],
  [
    "frames that are not Ethernet",
    withBytes(GOOD, (v) => v.setUint32(20, 101, true)),
    /in\.pcap: expected Ethernet frames \(link type 1\), got link type 101/,
  ],
])("%s is refused in one line with exit 2, and nothing is printed", (_, bytes, message) => {
  const { plane, capture } = up(bytes);
  const { code, stdout, stderr } = ebplane(["up", plane, "--pcap", `wan=${capture}`]);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toMatch(message);
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
});

test("a capture that is not there is one clear line", () => {
  const { plane } = up(GOOD);
  const { code, stderr } = ebplane(["up", plane, "--pcap", "wan=/nowhere/x.pcap"]);
  expect({ code, stderr }).toEqual({ code: 2, stderr: "/nowhere/x.pcap: no such file\n" });
});
