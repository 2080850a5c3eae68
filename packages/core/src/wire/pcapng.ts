/**
 * The pcapng file: sections of blocks, each `type, length, body, length`. Read: section header, interface description,
 * enhanced, simple and obsolete packet blocks, in both byte orders, with if_name, if_tsresol and if_tsoffset; all other
 * blocks are skipped, unknown ones counted. Written: section header, interfaces, enhanced packets in nanoseconds.
 * `capture.ts` is the public face. Source: draft-ietf-opsawg-pcapng.
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

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE = 1;
const PACKET_OBSOLETE = 2;
const SIMPLE_PACKET = 3;
const NAME_RESOLUTION = 4;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const DECRYPTION_SECRETS = 10;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Blocks that are known and hold no packet. */
const WITHOUT_PACKETS: readonly number[] = [NAME_RESOLUTION, INTERFACE_STATISTICS, DECRYPTION_SECRETS];

const OPT_END = 0;
const IF_NAME = 2;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;

/** A block is at least its type and its two lengths. */
const SMALLEST_BLOCK = 12;
/** The largest block that is believed. Source: libpcap, MAX_BLOCKSIZE for the same purpose (16 MiB). */
const LARGEST_BLOCK = 16 * 1024 * 1024;

/** An interface with what its packets' time stamps mean. */
interface Interface extends CaptureInterface {
  readonly unitsPerSecond: bigint;
  readonly offsetSeconds: bigint;
}

/** True when the bytes start with a section header's type, the same in either byte order. `bytes` holds at least 4. */
export function isPcapng(bytes: Uint8Array): boolean {
  return viewOf(bytes).getUint32(0, true) === SECTION_HEADER;
}

/** Reads the first section header; see openCapture. `isPcapng(bytes)` holds. @throws CaptureError */
export function openPcapng(bytes: Uint8Array): CaptureReader {
  const view = viewOf(bytes);
  const firstLittle = sectionOrder(view, 0);
  const interfaces: Interface[] = [];
  let truncated: Truncation | undefined;
  let skippedBlocks = 0;

  function* packets(): Generator<CapturedPacket> {
    let little = firstLittle;
    let sectionStart = 0; // the index in `interfaces` of this section's interface 0
    let record = 1;
    let length = 0;
    for (let at = 0; at < bytes.length; at += length) {
      if (at + 8 > bytes.length) {
        truncated = {
          record,
          offset: at,
          message: `packet ${record}: the file ends ${bytes.length - at} bytes into a block`,
        };
        return;
      }
      const isSection = view.getUint32(at, true) === SECTION_HEADER;
      if (isSection) {
        if (at + 12 > bytes.length) {
          truncated = { record, offset: at, message: "the file ends inside a section header" };
          return;
        }
        little = sectionOrder(view, at);
        sectionStart = interfaces.length;
      }
      const type = view.getUint32(at, little);
      length = view.getUint32(at + 4, little);
      if (length < SMALLEST_BLOCK || length % 4 || length > LARGEST_BLOCK) {
        throw new CaptureError(
          `block length: expected a multiple of 4 from ${SMALLEST_BLOCK} to ${LARGEST_BLOCK}, got ${length}`,
          at + 4,
          record,
        );
      }
      if (at + length > bytes.length) {
        const message = `packet ${record}: the file ends ${bytes.length - at} bytes into a block of ${length}`;
        truncated = { record, offset: at, message };
        return;
      }
      const again = view.getUint32(at + length - 4, little);
      if (again !== length) {
        throw new CaptureError(`block length ${length} is repeated as ${again} at the block's end`, at, record);
      }
      const body = at + 8;
      const end = at + length - 4;
      if (isSection) checkVersion(view, body, end, little);
      else if (type === INTERFACE) interfaces.push(readInterface(bytes, view, body, end, little));
      else if (type === ENHANCED_PACKET || type === PACKET_OBSOLETE || type === SIMPLE_PACKET) {
        const raw = readPacketBlock(view, type, body, end, little, record);
        const iface = sectionStart + raw.iface;
        const from = interfaces[iface];
        if (!from) {
          const have = interfaces.length - sectionStart;
          throw new CaptureError(`interface ${raw.iface} is not described: the section has ${have}`, body, record);
        }
        const limit = from.snapLength === 0 ? MAX_CAPTURED : Math.min(from.snapLength, MAX_CAPTURED);
        const captured = raw.captured ?? Math.min(raw.original, limit);
        if (captured > limit) {
          throw new CaptureError(`captured length ${captured} is above the limit of ${limit}`, body, record);
        }
        if (raw.data + captured > end) {
          throw new CaptureError(`captured length ${captured}: the block holds ${end - raw.data}`, body, record);
        }
        yield {
          record: record++,
          timestampNs: raw.units === undefined ? 0n : timeOf(raw.units, from),
          bytes: bytes.subarray(raw.data, raw.data + captured),
          originalLength: raw.original,
          iface,
          linkType: from.linkType,
        };
      } else if (!WITHOUT_PACKETS.includes(type)) skippedBlocks++;
    }
  }

  return {
    format: "pcapng",
    byteOrder: firstLittle ? "little" : "big",
    timestampDigits: undefined,
    interfaces,
    get truncated() {
      return truncated;
    },
    get skippedBlocks() {
      return skippedBlocks;
    },
    [Symbol.iterator]: packets,
  };
}

/** True for little. @throws CaptureError when the byte-order magic is neither. */
function sectionOrder(view: DataView, at: number): boolean {
  if (at + 12 > view.byteLength) {
    throw new CaptureError(`section header: need 28 bytes, have ${view.byteLength - at}`, at);
  }
  if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) return true;
  if (view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC) return false;
  const got = view
    .getUint32(at + 8, false)
    .toString(16)
    .padStart(8, "0");
  throw new CaptureError(`section header: expected the byte-order magic 1a2b3c4d, got ${got}`, at + 8);
}

function checkVersion(view: DataView, body: number, end: number, little: boolean): void {
  if (body + 16 > end) throw new CaptureError(`section header: need 16 bytes, have ${end - body}`, body);
  const major = view.getUint16(body + 4, little);
  if (major !== 1) {
    throw new CaptureError(`expected pcapng version 1, got ${major}.${view.getUint16(body + 6, little)}`, body + 4);
  }
}

function readInterface(bytes: Uint8Array, view: DataView, body: number, end: number, little: boolean): Interface {
  if (body + 8 > end) throw new CaptureError(`interface description: need 8 bytes, have ${end - body}`, body);
  let name: string | undefined;
  let unitsPerSecond = 1_000_000n;
  let offsetSeconds = 0n;
  for (let at = body + 8; at < end; ) {
    if (at + 4 > end) throw new CaptureError(`option: need 4 bytes, have ${end - at}`, at);
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    if (code === OPT_END) break;
    const value = at + 4;
    if (value + length > end) throw new CaptureError(`option ${code}: length ${length}, have ${end - value}`, at);
    if (code === IF_NAME) name = new TextDecoder().decode(bytes.subarray(value, value + length));
    else if (code === IF_TSRESOL || code === IF_TSOFFSET) {
      const need = code === IF_TSRESOL ? 1 : 8;
      if (length !== need) throw new CaptureError(`option ${code}: need length ${need}, got ${length}`, at);
      if (code === IF_TSRESOL) {
        const resolution = view.getUint8(value);
        unitsPerSecond = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f);
      } else offsetSeconds = view.getBigInt64(value, little);
    }
    at = value + ((length + 3) & ~3);
  }
  return {
    linkType: view.getUint16(body, little),
    snapLength: view.getUint32(body + 4, little),
    ...(name === undefined ? {} : { name }),
    unitsPerSecond,
    offsetSeconds,
  };
}

/** A packet block's own fields. `captured` is undefined in a simple packet: its interface's snap length decides. */
interface PacketBlock {
  readonly iface: number;
  readonly units: bigint | undefined;
  readonly captured: number | undefined;
  readonly original: number;
  readonly data: number;
}

function readPacketBlock(
  view: DataView,
  type: number,
  body: number,
  end: number,
  little: boolean,
  record: number,
): PacketBlock {
  const fixed = type === SIMPLE_PACKET ? 4 : 20;
  if (body + fixed > end) throw new CaptureError(`packet block: need ${fixed} bytes, have ${end - body}`, body, record);
  if (type === SIMPLE_PACKET) {
    const original = view.getUint32(body, little);
    return { iface: 0, units: undefined, captured: undefined, original, data: body + fixed };
  }
  return {
    iface: type === ENHANCED_PACKET ? view.getUint32(body, little) : view.getUint16(body, little),
    units: (BigInt(view.getUint32(body + 4, little)) << 32n) | BigInt(view.getUint32(body + 8, little)),
    captured: view.getUint32(body + 12, little),
    original: view.getUint32(body + 16, little),
    data: body + fixed,
  };
}

function timeOf(units: bigint, iface: Interface): bigint {
  return (units * 1_000_000_000n) / iface.unitsPerSecond + iface.offsetSeconds * 1_000_000_000n;
}

// ---------------------------------------------------------------------------------------------------- writing

/** A whole block around `fill`'s body of `size` bytes, padded to 4. */
function block(
  type: number,
  size: number,
  little: boolean,
  fill: (view: DataView, out: Uint8Array) => void,
): Uint8Array {
  const length = SMALLEST_BLOCK + ((size + 3) & ~3);
  const out = new Uint8Array(length);
  const view = viewOf(out);
  view.setUint32(0, type, little);
  view.setUint32(4, length, little);
  view.setUint32(length - 4, length, little);
  fill(view, out);
  return out;
}

/** A section header of unknown section length. */
export function sectionHeaderBlock(little: boolean): Uint8Array {
  return block(SECTION_HEADER, 16, little, (view) => {
    view.setUint32(8, BYTE_ORDER_MAGIC, little);
    view.setUint16(12, 1, little);
    view.setBigInt64(16, -1n, little);
  });
}

/** An interface whose packets carry nanoseconds. */
export function interfaceBlock(iface: CaptureInterface, little: boolean): Uint8Array {
  const name = iface.name === undefined ? undefined : new TextEncoder().encode(iface.name);
  const nameSize = name ? 4 + ((name.length + 3) & ~3) : 0;
  return block(INTERFACE, 8 + nameSize + 8 + 4, little, (view, out) => {
    view.setUint16(8, iface.linkType, little);
    view.setUint32(12, iface.snapLength, little);
    if (name) {
      view.setUint16(16, IF_NAME, little);
      view.setUint16(18, name.length, little);
      out.set(name, 20);
    }
    view.setUint16(16 + nameSize, IF_TSRESOL, little);
    view.setUint16(18 + nameSize, 1, little);
    view.setUint8(20 + nameSize, 9);
  });
}

/** One packet in nanoseconds. @throws RangeError for a time below 0 or from 2^64 ns on. */
export function enhancedPacketBlock(
  packet: Pick<CapturedPacket, "timestampNs" | "bytes" | "originalLength" | "iface">,
  little: boolean,
): Uint8Array {
  if (BigInt.asUintN(64, packet.timestampNs) !== packet.timestampNs) {
    throw new RangeError(`packet: expected a time of 0 to 2^64-1 ns, got ${packet.timestampNs}`);
  }
  return block(ENHANCED_PACKET, 20 + packet.bytes.length, little, (view, out) => {
    view.setUint32(8, packet.iface, little);
    view.setUint32(12, Number(packet.timestampNs >> 32n), little);
    view.setUint32(16, Number(packet.timestampNs & 0xffffffffn), little);
    view.setUint32(20, packet.bytes.length, little);
    view.setUint32(24, packet.originalLength, little);
    out.set(packet.bytes, 28);
  });
}
