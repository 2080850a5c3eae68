import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesEqual, concatBytes, fromHex, seededRandom, viewOf } from "../bytes/index.ts";
import { CaptureError } from "../errors/index.ts";
import {
  type CaptureWriterOptions,
  captureWriter,
  openCapture,
  type PacketToWrite,
  readCapture,
  writeCapture,
} from "./index.ts";

const SEED = Number(process.env.SEED ?? 20261121);
const edge = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../../../examples/edge/${name}`, import.meta.url)));

const packet = (...bytes: number[]): PacketToWrite => ({
  timestampNs: 1_700_000_000_123_456_789n,
  bytes: Uint8Array.from(bytes),
});

function errorOf(run: () => unknown): CaptureError {
  try {
    run();
  } catch (error) {
    if (error instanceof CaptureError) return error;
    throw error;
  }
  throw new Error("expected a CaptureError, got a result");
}

/** A pcapng block around a body. */
function block(type: number, body: string | Uint8Array, little = true): Uint8Array {
  const bytes = typeof body === "string" ? fromHex(body) : body;
  const out = new Uint8Array(12 + ((bytes.length + 3) & ~3));
  viewOf(out).setUint32(0, type, little);
  viewOf(out).setUint32(4, out.length, little);
  viewOf(out).setUint32(out.length - 4, out.length, little);
  out.set(bytes, 8);
  return out;
}
const section = block(0x0a0d0d0a, "4d3c2b1a 0100 0000 ffffffffffffffff");
const ethernet = block(1, "0100 0000 00000400");

describe("pcap", () => {
  test("reads both byte orders and both resolutions, by hand", () => {
    const little = fromHex(
      "d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000  01000000 02000000 03000000 40000000 aabbcc",
    );
    const capture = readCapture(little);
    expect(capture).toMatchObject({ format: "pcap", byteOrder: "little", timestampDigits: 6, linkType: 1 });
    expect(capture.packets).toEqual([
      { record: 1, timestampNs: 1_000_002_000n, bytes: fromHex("aabbcc"), originalLength: 64, iface: 0, linkType: 1 },
    ]);
    const big = fromHex(
      "a1b23c4d 0002 0004 00000000 00000000 00040000 00000071  00000001 00000002 00000001 00000001 ff",
    );
    expect(readCapture(big)).toMatchObject({ byteOrder: "big", timestampDigits: 9, linkType: 113 });
    expect(readCapture(big).packets[0]!.timestampNs).toBe(1_000_000_002n);
  });

  test("delivers views, not copies", () => {
    const file = writeCapture([packet(1, 2, 3)]);
    readCapture(file).packets[0]!.bytes[0] = 9;
    expect(file[40]).toBe(9);
  });

  test("reads the swapped lengths of files before version 2.3", () => {
    const file = fromHex(
      "d4c3b2a1 0200 0200 00000000 00000000 00000400 01000000  00000000 00000000 40000000 02000000 aabb",
    );
    expect(readCapture(file).packets[0]).toMatchObject({ originalLength: 64, bytes: fromHex("aabb") });
  });

  test("reports a file that ends inside a record and delivers what is before", () => {
    const file = writeCapture([packet(1, 2, 3), packet(4, 5, 6)]);
    for (let cut = 24 + 19 + 1; cut < file.length; cut++) {
      const capture = readCapture(file.subarray(0, cut));
      expect(capture.packets).toHaveLength(1);
      expect(capture.truncated).toMatchObject({ record: 2, offset: 43 });
    }
    expect(readCapture(file).truncated).toBeUndefined();
    expect(readCapture(file.subarray(0, 43)).truncated).toBeUndefined();
    expect(readCapture(file.subarray(0, 60)).truncated!.message).toBe(
      "packet 2: the file ends 1 bytes into a packet of 3",
    );
  });

  test("refuses lengths that cannot be right, with the offset", () => {
    const file = writeCapture([packet(1, 2, 3), packet(4, 5, 6)], {
      interfaces: [{ linkType: 1, snapLength: 96 }],
    });
    viewOf(file).setUint32(43 + 8, 97, true);
    const error = errorOf(() => readCapture(file));
    expect(error).toMatchObject({ offset: 51, record: 2, code: "ECAPTURE" });
    expect(error.message).toBe("packet 2: offset 51: captured length 97 is above the file's snap length of 96");
    viewOf(file).setUint32(16, 0, true);
    expect(readCapture(file).truncated).toMatchObject({ record: 2 });
    viewOf(file).setUint32(51, 0xffffffff, true);
    expect(errorOf(() => readCapture(file)).message).toContain("above the limit of 262144");
  });

  test("an open capture delivers the packets before the damaged one", () => {
    const file = writeCapture([packet(1), packet(2), packet(3)]);
    viewOf(file).setUint32(24 + 2 * 17 + 8, 0x7fffffff, true);
    const seen: number[] = [];
    expect(() => {
      for (const p of openCapture(file)) seen.push(p.bytes[0]!);
    }).toThrow(CaptureError);
    expect(seen).toEqual([1, 2]);
  });

  test.each([
    ["an empty file", "", "offset 0: the file is empty"],
    ["two bytes", "d4c3", "offset 0: magic number: need 4 bytes, have 2"],
    ["text", "68656c6c6f", "offset 0: expected the magic number of pcap or pcapng, got 68 65 6c 6c"],
    [
      "gzip",
      "1f8b0800",
      "offset 0: expected the magic number of pcap or pcapng, got 1f 8b 08 00, which is gzip: decompress it first",
    ],
    ["a short header", "d4c3b2a1 0200", "offset 0: file header: need 24 bytes, have 6"],
    ["version 3", `d4c3b2a1 0300 0400 ${"00".repeat(16)}`, "offset 4: expected pcap version 2.0 to 2.4, got 3.4"],
    ["a short section header", "0a0d0d0a 1c00", "offset 0: section header: need 28 bytes, have 6"],
    [
      "a wrong byte-order magic",
      "0a0d0d0a 1c000000 01020304",
      "offset 8: section header: expected the byte-order magic 1a2b3c4d, got 01020304",
    ],
    [
      "pcapng version 2",
      "0a0d0d0a 1c000000 4d3c2b1a 0200 0000 ffffffffffffffff 1c000000",
      "offset 12: expected pcapng version 1, got 2.0",
    ],
  ])("refuses %s", (_, hex, message) => {
    expect(errorOf(() => readCapture(fromHex(hex))).message).toBe(message);
  });
});

describe("pcapng", () => {
  test("reads enhanced, simple and obsolete packets, and skips what it does not know", () => {
    const file = concatBytes([
      section,
      ethernet,
      block(6, "00000000 01000000 02000000 03000000 40000000 aabbcc"),
      block(4, "00000000"),
      block(0x0bad0001, "01020304"),
      block(3, "02000000 ddee"),
      block(2, "0000 0500 00000000 07000000 01000000 01000000 ff"),
    ]);
    const capture = readCapture(file);
    expect(capture.skippedBlocks).toBe(1);
    expect(capture.packets).toEqual([
      { record: 1, timestampNs: 4294967298000n, bytes: fromHex("aabbcc"), originalLength: 64, iface: 0, linkType: 1 },
      { record: 2, timestampNs: 0n, bytes: fromHex("ddee"), originalLength: 2, iface: 0, linkType: 1 },
      { record: 3, timestampNs: 7000n, bytes: fromHex("ff"), originalLength: 1, iface: 0, linkType: 1 },
    ]);
  });

  test("a simple packet is as long as the snap length lets it be", () => {
    const file = concatBytes([section, block(1, "0100 0000 02000000"), block(3, "40000000 ddee")]);
    expect(readCapture(file).packets[0]).toMatchObject({ originalLength: 64, bytes: fromHex("ddee") });
  });

  test("reads each interface's name, resolution and time offset", () => {
    const file = concatBytes([
      section,
      block(1, "0100 0000 00000000  0200 0300 77616e00  0900 0100 09000000  00000000"),
      block(1, "6500 0000 00000000  0900 0100 8a000000  0e00 0800 feffffffffffffff"),
      block(6, "00000000 00000000 05000000 01000000 01000000 01"),
      block(6, "01000000 00000000 00100000 01000000 01000000 02"),
    ]);
    const capture = readCapture(file);
    expect(capture.interfaces).toMatchObject([{ name: "wan", linkType: 1 }, { linkType: 101 }]);
    expect(capture.packets.map((p) => p.timestampNs)).toEqual([5n, 2_000_000_000n]);
    expect(capture.packets.map((p) => p.linkType)).toEqual([1, 101]);
  });

  test("a second section has interfaces and a byte order of its own", () => {
    const bigSection = block(0x0a0d0d0a, "1a2b3c4d 0001 0000 ffffffffffffffff", false);
    const file = concatBytes([
      section,
      ethernet,
      block(6, "00000000 00000000 01000000 01000000 01000000 01"),
      bigSection,
      block(1, "0071 0000 00000000", false),
      block(6, "00000000 00000000 00000002 00000001 00000001 02", false),
    ]);
    const capture = readCapture(file);
    expect(capture.byteOrder).toBe("little");
    expect(capture.packets.map((p) => [p.iface, p.linkType, p.timestampNs])).toEqual([
      [0, 1, 1000n],
      [1, 113, 2000n],
    ]);
  });

  test("reports a file that ends inside a block", () => {
    const file = writeCapture([packet(1, 2, 3), packet(4, 5, 6)], { format: "pcapng" });
    const second = file.length - 36;
    for (let cut = second + 1; cut < file.length; cut++) {
      const capture = readCapture(file.subarray(0, cut));
      expect(capture.packets).toHaveLength(1);
      expect(capture.truncated).toMatchObject({ record: 2, offset: second });
    }
  });

  test.each([
    [
      "a block length of 8",
      concatBytes([section, fromHex("01000000 08000000 08000000")]),
      "packet 1: offset 32: block length: expected a multiple of 4 from 12 to 16777216, got 8",
    ],
    [
      "a block length of 13",
      concatBytes([section, fromHex("01000000 0d000000 00000000 0d000000")]),
      "packet 1: offset 32: block length: expected a multiple of 4 from 12 to 16777216, got 13",
    ],
    [
      "lengths that differ",
      concatBytes([section, fromHex("01000000 10000000 00000000 14000000")]),
      "packet 1: offset 28: block length 16 is repeated as 20 at the block's end",
    ],
    [
      "an interface that is not described",
      concatBytes([section, block(6, "00000000 00000000 01000000 01000000 01000000 01")]),
      "packet 1: offset 36: interface 0 is not described: the section has 0",
    ],
    [
      "a packet longer than its block",
      concatBytes([section, ethernet, block(6, "00000000 00000000 01000000 09000000 09000000 01")]),
      "packet 1: offset 56: captured length 9: the block holds 4",
    ],
    [
      "an absurd packet",
      concatBytes([section, ethernet, block(6, "00000000 00000000 01000000 ffffffff 09000000 01")]),
      "packet 1: offset 56: captured length 4294967295 is above the limit of 262144",
    ],
    [
      "a packet block without its fields",
      concatBytes([section, ethernet, block(6, "00000000")]),
      "packet 1: offset 56: packet block: need 20 bytes, have 4",
    ],
    [
      "an option beyond its block",
      concatBytes([section, block(1, "0100 0000 00000400 0200 ff00")]),
      "offset 44: option 2: length 255, have 0",
    ],
    [
      "a time resolution of two bytes",
      concatBytes([section, block(1, "0100 0000 00000400 0900 0200 09000000")]),
      "offset 44: option 9: need length 1, got 2",
    ],
  ])("refuses %s", (_, file, message) => {
    expect(errorOf(() => readCapture(file)).message).toBe(message);
  });
});

describe("the writer", () => {
  const packets = fc.array(
    fc.record({
      micros: fc.bigInt(0n, 4_294_967_295_999_999n),
      bytes: fc.uint8Array({ maxLength: 80 }),
      cut: fc.nat(2000),
      iface: fc.nat(2),
    }),
    { maxLength: 12 },
  );
  const forms: [string, CaptureWriterOptions][] = [];
  for (const byteOrder of ["little", "big"] as const) {
    forms.push([`pcap ${byteOrder} µs`, { byteOrder }], [`pcap ${byteOrder} ns`, { byteOrder, timestampDigits: 9 }]);
    const interfaces = [
      { linkType: 1, snapLength: 0, name: "wan" },
      { linkType: 1, snapLength: 262144 },
      { linkType: 101, snapLength: 96, name: "größer" },
    ];
    forms.push([`pcapng ${byteOrder}`, { format: "pcapng", byteOrder, interfaces }]);
  }

  test.each(forms)("%s: what is written is what is read", (_, options) => {
    fc.assert(
      fc.property(packets, (list) => {
        const written = list.map(({ micros, bytes, cut, iface }) => ({
          timestampNs: micros * 1000n + (options.timestampDigits === 9 || options.format === "pcapng" ? 7n : 0n),
          bytes,
          originalLength: bytes.length + cut,
          iface: options.format === "pcapng" ? iface : 0,
        }));
        const capture = readCapture(writeCapture(written, options));
        expect(capture.truncated).toBeUndefined();
        expect(capture.byteOrder).toBe(options.byteOrder);
        if (options.interfaces) expect(capture.interfaces).toMatchObject(options.interfaces);
        expect(
          capture.packets.map(({ timestampNs, bytes, originalLength, iface }) => ({
            timestampNs,
            bytes: [...bytes],
            originalLength,
            iface,
          })),
        ).toEqual(written.map((p) => ({ ...p, bytes: [...p.bytes] })));
      }),
      { seed: SEED, numRuns: 100 },
    );
  });

  test("refuses what the format cannot hold", () => {
    expect(() => captureWriter({ interfaces: [] })).toThrow("a pcap has 1 interface, got 0: use pcapng");
    const pcap = captureWriter();
    expect(() => pcap.packet({ bytes: new Uint8Array(262145) })).toThrow(RangeError);
    expect(() => pcap.packet({ bytes: new Uint8Array(1), iface: 1 })).toThrow("expected an interface below 1, got 1");
    expect(() => pcap.packet({ bytes: new Uint8Array(1), timestampNs: 2n ** 63n })).toThrow(RangeError);
    expect(() => captureWriter({ format: "pcapng" }).packet({ bytes: new Uint8Array(1), timestampNs: -1n })).toThrow(
      RangeError,
    );
  });
});

test(`20,000 damaged captures give a result or a CaptureError (seed ${SEED})`, () => {
  const { below } = seededRandom(SEED);
  const sample = [packet(1, 2, 3), packet(...new Array<number>(60).fill(7)), packet(), packet(9)];
  const originals = [
    writeCapture(sample),
    writeCapture(sample, { byteOrder: "big", timestampDigits: 9 }),
    writeCapture(sample, { format: "pcapng" }),
    writeCapture(sample, { format: "pcapng", byteOrder: "big" }),
    concatBytes([
      section,
      ethernet,
      block(3, "02000000 ddee"),
      block(2, "0000 0500 00000000 07000000 01000000 01000000 ff"),
      section,
      block(1, "0100 0000 00000000  0900 0100 09000000  0e00 0800 0100000000000000"),
      block(6, "00000000 00000000 05000000 01000000 01000000 01"),
    ]),
  ];
  const nasty = [0, 1, 3, 4, 0x7f, 0x80, 0xff];
  let errors = 0;
  let results = 0;
  for (let n = 0; n < 20_000; n++) {
    const original = originals[n % originals.length]!;
    const file = original.slice(0, below(4) ? original.length : below(original.length + 1));
    for (let edits = below(4); edits >= 0 && file.length; edits--) {
      const at = below(3) ? below(file.length) : below(Math.min(file.length, 64));
      file[at] = below(2) ? nasty[below(nasty.length)]! : below(256);
    }
    try {
      const capture = readCapture(file);
      results++;
      let held = 0;
      for (const p of capture.packets) held += p.bytes.length;
      // Views of distinct records: they cannot hold more than the file does.
      expect(held).toBeLessThanOrEqual(file.length);
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      errors++;
      expect(error.offset).toBeLessThanOrEqual(file.length);
    }
  }
  expect(results).toBeGreaterThan(1000);
  expect(errors).toBeGreaterThan(1000);
});

describe("the captures of examples/edge", () => {
  test.each([
    ["wan.pcap", 1200],
    ["lan.pcap", 800],
  ])("%s is read whole and written again byte for byte", (name, least) => {
    const file = edge(name);
    const capture = readCapture(file);
    expect(capture.truncated).toBeUndefined();
    expect(capture.packets.length).toBeGreaterThanOrEqual(least);
    expect(Math.max(...capture.packets.map((p) => p.bytes.length))).toBeLessThanOrEqual(1518);
    expect(bytesEqual(writeCapture(capture.packets, { interfaces: capture.interfaces }), file)).toBe(true);
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

describe.skipIf(!tcpdump)(tcpdump ? "tcpdump" : "tcpdump (skipped: it is not installed)", () => {
  const capture = readCapture(edge("wan.pcap"));
  test.each([
    ["pcap", { timestampDigits: 6 }],
    ["pcap big-endian nanosecond", { timestampDigits: 9, byteOrder: "big" }],
    ["pcapng", { format: "pcapng" }],
    ["pcapng big-endian", { format: "pcapng", byteOrder: "big" }],
  ] as [string, CaptureWriterOptions][])("reads our %s without complaint and as the same packets", (_, options) => {
    const dir = mkdtempSync(join(tmpdir(), "ebplane-capture-"));
    try {
      const path = join(dir, "ours");
      const read = (file: string) =>
        execFileSync("tcpdump", ["-nn", "-e", "-tt", "-r", file], {
          encoding: "utf8",
          maxBuffer: 1 << 26,
          stdio: ["ignore", "pipe", "pipe"],
        });
      writeFileSync(path, writeCapture(capture.packets, options));
      const theirs = fileURLToPath(new URL("../../../../examples/edge/wan.pcap", import.meta.url));
      expect(read(path)).toBe(read(theirs));
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
