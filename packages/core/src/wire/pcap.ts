/**
 * The classic pcap file: a header of 24 bytes, then records of a 16-byte header and the packet's bytes.
 * Both byte orders, microseconds and nanoseconds. `capture.ts` is the public face.
 * Source: draft-ietf-opsawg-pcap; libpcap, savefile.c and sf-pcap.c for what old versions wrote.
 */
import { viewOf } from "../bytes/index.ts";
import { CaptureError } from "../errors/index.ts";
import {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureReader,
  MAX_CAPTURED,
  type Truncation,
} from "./capture-model.ts";

const MAGIC_MICRO = 0xa1b2c3d4;
const MAGIC_NANO = 0xa1b23c4d;
const HEADER = 24;
const RECORD_HEADER = 16;
/** The upper bits of the link type field say how long the frame check sequence is. */
const LINKTYPE_MASK = 0x03ffffff;

/** True when the bytes start with one of the four magic numbers. `bytes` holds at least 4. */
export function isPcap(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  return [true, false].some((little) => [MAGIC_MICRO, MAGIC_NANO].includes(view.getUint32(0, little)));
}

/** Reads the file header; see openCapture. `isPcap(bytes)` holds. @throws CaptureError */
export function openPcap(bytes: Uint8Array): CaptureReader {
  const view = viewOf(bytes);
  if (bytes.length < HEADER) throw new CaptureError(`file header: need ${HEADER} bytes, have ${bytes.length}`, 0);
  const little = [MAGIC_MICRO, MAGIC_NANO].includes(view.getUint32(0, true));
  const nano = view.getUint32(0, little) === MAGIC_NANO;
  const major = view.getUint16(4, little);
  const minor = view.getUint16(6, little);
  if (major !== 2 || minor > 4) throw new CaptureError(`expected pcap version 2.0 to 2.4, got ${major}.${minor}`, 4);
  const linkType = view.getUint32(20, little) & LINKTYPE_MASK;
  const snapLength = view.getUint32(16, little);
  // Some writers put 0, or more than they ever keep, for "no limit".
  const limit = snapLength === 0 || snapLength > MAX_CAPTURED ? MAX_CAPTURED : snapLength;
  let truncated: Truncation | undefined;

  function* packets(): Generator<CapturedPacket> {
    let record = 1;
    for (let at = HEADER; at < bytes.length; record++) {
      if (at + RECORD_HEADER > bytes.length) {
        const have = bytes.length - at;
        const message = `packet ${record}: the file ends ${have} bytes into a record header of ${RECORD_HEADER}`;
        truncated = { record, offset: at, message };
        return;
      }
      const seconds = view.getUint32(at, little);
      const fraction = view.getUint32(at + 4, little);
      let length = view.getUint32(at + 8, little);
      let originalLength = view.getUint32(at + 12, little);
      // Before 2.3 the two lengths stood the other way round; 2.3 files exist in both orders.
      if (minor < 3 || (minor === 3 && length > originalLength)) [length, originalLength] = [originalLength, length];
      if (length > limit) {
        const which = limit === MAX_CAPTURED ? "the limit" : "the file's snap length";
        throw new CaptureError(`captured length ${length} is above ${which} of ${limit}`, at + 8, record);
      }
      const start = at + RECORD_HEADER;
      if (start + length > bytes.length) {
        const have = bytes.length - start;
        const message = `packet ${record}: the file ends ${have} bytes into a packet of ${length}`;
        truncated = { record, offset: at, message };
        return;
      }
      yield {
        record,
        timestampNs: BigInt(seconds) * 1_000_000_000n + BigInt(nano ? fraction : fraction * 1000),
        bytes: bytes.subarray(start, start + length),
        originalLength,
        iface: 0,
        linkType,
      };
      at = start + length;
    }
  }

  return {
    format: "pcap",
    byteOrder: little ? "little" : "big",
    timestampDigits: nano ? 9 : 6,
    interfaces: [{ linkType, snapLength }],
    get truncated() {
      return truncated;
    },
    skippedBlocks: 0,
    [Symbol.iterator]: packets,
  };
}

/** The file header (a new array of 24 bytes). */
export function pcapHeader(iface: CaptureInterface, timestampDigits: 6 | 9, little: boolean): Uint8Array {
  const out = new Uint8Array(HEADER);
  const view = viewOf(out);
  view.setUint32(0, timestampDigits === 9 ? MAGIC_NANO : MAGIC_MICRO, little);
  view.setUint16(4, 2, little);
  view.setUint16(6, 4, little);
  view.setUint32(16, iface.snapLength || MAX_CAPTURED, little);
  view.setUint32(20, iface.linkType, little);
  return out;
}

/** One record (a new array). @throws RangeError for a time outside 1970 to 2106. */
export function pcapRecord(
  packet: Required<Pick<CapturedPacket, "timestampNs" | "bytes" | "originalLength">>,
  timestampDigits: 6 | 9,
  little: boolean,
): Uint8Array {
  const seconds = packet.timestampNs / 1_000_000_000n;
  if (packet.timestampNs < 0n || seconds > 0xffffffffn) {
    throw new RangeError(`packet: a pcap holds times of 0 to 4294967295 s, got ${packet.timestampNs} ns: use pcapng`);
  }
  const fraction = Number(packet.timestampNs % 1_000_000_000n);
  const out = new Uint8Array(RECORD_HEADER + packet.bytes.length);
  const view = viewOf(out);
  view.setUint32(0, Number(seconds), little);
  view.setUint32(4, timestampDigits === 9 ? fraction : Math.floor(fraction / 1000), little);
  view.setUint32(8, packet.bytes.length, little);
  view.setUint32(12, packet.originalLength, little);
  out.set(packet.bytes, RECORD_HEADER);
  return out;
}
