/** SCTP's common header and its chunks. Associations are not here. Source: RFC 9260. */
import { viewOf } from "../bytes/index.ts";
import { crc32c } from "./checksum.ts";
import { type Layer, layerOf } from "./layer.ts";

export const SCTP_FIELD = { sourcePort: 0, destinationPort: 2, verificationTag: 4, checksum: 8 } as const;
export const SCTP_HEADER = 12;

export interface SctpRepr {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly verificationTag: number;
  /** CRC32c, the one field in little-endian order. */
  readonly checksum: number;
}

export function viewSctp(bytes: Uint8Array): Layer | undefined {
  return layerOf(bytes, SCTP_HEADER);
}

export function parseSctp(header: Uint8Array): SctpRepr {
  const view = viewOf(header);
  return {
    sourcePort: view.getUint16(SCTP_FIELD.sourcePort),
    destinationPort: view.getUint16(SCTP_FIELD.destinationPort),
    verificationTag: view.getUint32(SCTP_FIELD.verificationTag),
    checksum: view.getUint32(SCTP_FIELD.checksum, true),
  };
}

/** Writes 12 bytes. */
export function emitSctp(repr: SctpRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(SCTP_FIELD.sourcePort, repr.sourcePort);
  view.setUint16(SCTP_FIELD.destinationPort, repr.destinationPort);
  view.setUint32(SCTP_FIELD.verificationTag, repr.verificationTag);
  view.setUint32(SCTP_FIELD.checksum, repr.checksum, true);
}

/** What the checksum field of a whole packet should be. */
export function sctpChecksum(packet: Uint8Array): number {
  const zeroed = packet.slice();
  zeroed.fill(0, SCTP_FIELD.checksum, SCTP_HEADER);
  return crc32c(zeroed);
}

/** One chunk, without its padding to a multiple of 4. */
export interface SctpChunk {
  readonly type: number;
  readonly flags: number;
  /** What stands behind the 4 bytes of type, flags and length. */
  readonly value: Uint8Array;
}

/** Undefined when a chunk's length is below 4 or beyond the packet; padding may be missing at the end. */
export function sctpChunks(payload: Uint8Array): SctpChunk[] | undefined {
  const out: SctpChunk[] = [];
  const view = viewOf(payload);
  for (let at = 0; at < payload.length; ) {
    if (at + 4 > payload.length) return undefined;
    const length = view.getUint16(at + 2);
    if (length < 4 || at + length > payload.length) return undefined;
    out.push({ type: payload[at]!, flags: payload[at + 1]!, value: payload.subarray(at + 4, at + length) });
    at += (length + 3) & ~3;
  }
  return out;
}

const CHUNKS: readonly string[] = [
  "DATA",
  "INIT",
  "INIT ACK",
  "SACK",
  "HB REQ",
  "HB ACK",
  "ABORT",
  "SHUTDOWN",
  "SHUTDOWN ACK",
  "OP ERR",
  "COOKIE ECHO",
  "COOKIE ACK",
];

/** `payload` is what stands behind the 12 bytes. */
export function printSctp(_repr: SctpRepr, payload: Uint8Array): string {
  const chunks = sctpChunks(payload);
  if (!chunks) return "sctp [malformed chunks]";
  return `sctp${chunks.map((c, n) => ` (${n + 1}) [${CHUNKS[c.type] ?? `chunk ${c.type}`}]`).join("")}`;
}
