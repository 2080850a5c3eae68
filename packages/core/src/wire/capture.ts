/**
 * Capture files: one reader for pcap and pcapng, one writer for either. Bytes in, bytes out; the caller does the I/O.
 *
 * The reader is an iterator over views of the file, so a large capture costs no second copy. A file that ends inside its
 * last record is an answer (`truncated`), since every packet before it is sound; a file whose lengths or magic cannot be
 * right is a CaptureError. Left out: compressed files, and the blocks of pcapng that hold no packets (they are skipped).
 * Read first: `capture-model.ts`, then `pcap.ts` and `pcapng.ts`.
 */
import { concatBytes } from "../bytes/index.ts";
import { CaptureError } from "../errors/index.ts";
import {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureReader,
  LINKTYPE_ETHERNET,
  MAX_CAPTURED,
  type Truncation,
} from "./capture-model.ts";
import { isPcap, openPcap, pcapHeader, pcapRecord } from "./pcap.ts";
import { enhancedPacketBlock, interfaceBlock, isPcapng, openPcapng, sectionHeaderBlock } from "./pcapng.ts";

/** A whole file. */
export interface Capture {
  readonly format: "pcap" | "pcapng";
  readonly byteOrder: "little" | "big";
  readonly timestampDigits: 6 | 9 | undefined;
  /** Of the first interface; undefined in a pcapng that declares none, which then has no packets. */
  readonly linkType: number | undefined;
  readonly interfaces: readonly CaptureInterface[];
  readonly packets: readonly CapturedPacket[];
  readonly truncated: Truncation | undefined;
  readonly skippedBlocks: number;
}

/**
 * Reads a file's header; iterating delivers the packets one by one, and may throw a CaptureError at a damaged record
 * after all the ones before it. Iterate once.
 * @throws CaptureError for an empty file, an unknown magic number or a damaged header, with the offset.
 */
export function openCapture(bytes: Uint8Array): CaptureReader {
  if (bytes.length < 4) {
    throw new CaptureError(bytes.length ? `magic number: need 4 bytes, have ${bytes.length}` : "the file is empty", 0);
  }
  if (isPcapng(bytes)) return openPcapng(bytes);
  if (isPcap(bytes)) return openPcap(bytes);
  const start = Array.from(bytes.subarray(0, 4), (b) => b.toString(16).padStart(2, "0")).join(" ");
  const hint =
    bytes[0] === 0x1f && bytes[1] === 0x8b
      ? ", which is gzip: decompress it first"
      : start === "28 b5 2f fd"
        ? ", which is zstd: decompress it first"
        : "";
  throw new CaptureError(`expected the magic number of pcap or pcapng, got ${start}${hint}`, 0);
}

/**
 * Reads a whole file.
 * @throws CaptureError as openCapture, and for a record or block whose lengths cannot be right. A cut last record does
 * not throw: see `truncated`.
 */
export function readCapture(bytes: Uint8Array): Capture {
  const reader = openCapture(bytes);
  const packets = [...reader];
  return {
    format: reader.format,
    byteOrder: reader.byteOrder,
    timestampDigits: reader.timestampDigits,
    linkType: reader.interfaces[0]?.linkType,
    interfaces: reader.interfaces,
    packets,
    truncated: reader.truncated,
    skippedBlocks: reader.skippedBlocks,
  };
}

/** What to write. */
export interface CaptureWriterOptions {
  /** Default "pcap". */
  readonly format?: "pcap" | "pcapng";
  /** Of a pcap: 6 (microseconds, default) or 9. A pcapng written here has always 9. */
  readonly timestampDigits?: 6 | 9;
  /** Default "little". */
  readonly byteOrder?: "little" | "big";
  /** Default one Ethernet interface without a limit. A pcap takes exactly one. */
  readonly interfaces?: readonly CaptureInterface[];
}

/** A packet to write; what is missing is time 0, uncut, interface 0. */
export interface PacketToWrite {
  readonly timestampNs?: bigint;
  readonly bytes: Uint8Array;
  readonly originalLength?: number;
  readonly iface?: number;
}

/** Makes a file piece by piece: `start` first, then one piece for each packet. */
export interface CaptureWriter {
  readonly start: Uint8Array;
  /**
   * The bytes to append for one packet (a new array).
   * @throws RangeError for a packet above 256 KiB, an unknown interface, or a time that the format cannot hold.
   */
  packet(packet: PacketToWrite): Uint8Array;
}

const ETHERNET_INTERFACE: CaptureInterface = { linkType: LINKTYPE_ETHERNET, snapLength: MAX_CAPTURED };

/**
 * A writer that the caller drains at its own pace.
 * @throws RangeError when a pcap is asked for other than one interface.
 */
export function captureWriter(options: CaptureWriterOptions = {}): CaptureWriter {
  const { format = "pcap", timestampDigits = 6, byteOrder = "little", interfaces = [ETHERNET_INTERFACE] } = options;
  const little = byteOrder === "little";
  const checked = (packet: PacketToWrite) => {
    const { timestampNs = 0n, bytes, originalLength = bytes.length, iface = 0 } = packet;
    if (bytes.length > MAX_CAPTURED) {
      throw new RangeError(`packet: expected at most ${MAX_CAPTURED} bytes, got ${bytes.length}`);
    }
    if (!interfaces[iface])
      throw new RangeError(`packet: expected an interface below ${interfaces.length}, got ${iface}`);
    return { timestampNs, bytes, originalLength, iface };
  };
  if (format === "pcapng") {
    return {
      start: concatBytes([sectionHeaderBlock(little), ...interfaces.map((i) => interfaceBlock(i, little))]),
      packet: (packet) => enhancedPacketBlock(checked(packet), little),
    };
  }
  if (interfaces.length !== 1) throw new RangeError(`a pcap has 1 interface, got ${interfaces.length}: use pcapng`);
  return {
    start: pcapHeader(interfaces[0]!, timestampDigits, little),
    packet: (packet) => pcapRecord(checked(packet), timestampDigits, little),
  };
}

/** A whole file in one array. @throws RangeError as the writer does. */
export function writeCapture(packets: Iterable<PacketToWrite>, options: CaptureWriterOptions = {}): Uint8Array {
  const writer = captureWriter(options);
  return concatBytes([writer.start, ...Array.from(packets, (p) => writer.packet(p))]);
}
