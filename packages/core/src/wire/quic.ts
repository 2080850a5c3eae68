/**
 * The part of a QUIC header that is not protected: form, version, connection ids, an Initial's token and length.
 * Packet numbers are encrypted and not here. Source: RFC 8999, RFC 9000 section 17, RFC 9369 for version 2.
 */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const QUIC_FIELD = { first: 0, version: 1, destinationLength: 5, destination: 6 } as const;
/** Of a long header with empty connection ids. */
export const QUIC_LONG_HEADER = 7;
export const QUIC_PORT = 443;

const VERSION_1 = 1;
const VERSION_2 = 0x6b3343cf;

export type QuicRepr =
  | {
      readonly form: "long";
      /** The low 7 bits of the first byte; those below the packet type are protected. */
      readonly bits: number;
      /** 0 is a version negotiation, whose payload is a list of versions. */
      readonly version: number;
      readonly destinationId: Uint8Array;
      readonly sourceId: Uint8Array;
    }
  | {
      readonly form: "short";
      /** The low 7 bits of the first byte: fixed bit, spin bit, and protected ones. */
      readonly bits: number;
    };

export function quicLength(repr: QuicRepr): number {
  return repr.form === "short" ? 1 : QUIC_LONG_HEADER + repr.destinationId.length + repr.sourceId.length;
}

/**
 * A long header ends behind the source connection id. A short one is one byte: how long its connection id is, only
 * the receiver knows. Undefined also when a known version has its fixed bit at 0 or an id above 20 bytes.
 */
export function viewQuic(bytes: Uint8Array): Layer | undefined {
  const first = bytes[0];
  if (first === undefined) return undefined;
  if (!(first & 0x80)) return first & 0x40 ? layerOf(bytes, 1) : undefined;
  const destination = bytes[QUIC_FIELD.destinationLength];
  const source = bytes[QUIC_FIELD.destination + (destination ?? 0)];
  if (destination === undefined || source === undefined) return undefined;
  const version = viewOf(bytes).getUint32(QUIC_FIELD.version);
  const known = version === VERSION_1 || version === VERSION_2;
  if (known && (!(first & 0x40) || destination > 20 || source > 20)) return undefined;
  return layerOf(bytes, QUIC_LONG_HEADER + destination + source);
}

/** The ids are views. */
export function parseQuic(header: Uint8Array): QuicRepr {
  const bits = header[0]! & 0x7f;
  if (!(header[0]! & 0x80)) return { form: "short", bits };
  const end = QUIC_FIELD.destination + header[QUIC_FIELD.destinationLength]!;
  return {
    form: "long",
    bits,
    version: viewOf(header).getUint32(QUIC_FIELD.version),
    destinationId: header.subarray(QUIC_FIELD.destination, end),
    sourceId: header.subarray(end + 1, end + 1 + header[end]!),
  };
}

/** Writes `quicLength(repr)` bytes. */
export function emitQuic(repr: QuicRepr, out: Uint8Array): void {
  out[0] = (repr.form === "long" ? 0x80 : 0) | repr.bits;
  if (repr.form === "short") return;
  viewOf(out).setUint32(QUIC_FIELD.version, repr.version);
  const end = QUIC_FIELD.destination + repr.destinationId.length;
  out[QUIC_FIELD.destinationLength] = repr.destinationId.length;
  out.set(repr.destinationId, QUIC_FIELD.destination);
  out[end] = repr.sourceId.length;
  out.set(repr.sourceId, end + 1);
}

export type QuicPacketType = "initial" | "0-rtt" | "handshake" | "retry" | "version negotiation" | "1-rtt" | "unknown";

const TYPES: readonly QuicPacketType[] = ["initial", "0-rtt", "handshake", "retry"];

/** What the packet is; version 2 has the four long types rotated by one. */
export function quicPacketType(repr: QuicRepr): QuicPacketType {
  if (repr.form === "short") return "1-rtt";
  if (repr.version === 0) return "version negotiation";
  const type = (repr.bits >> 4) & 3;
  if (repr.version === VERSION_1) return TYPES[type]!;
  return repr.version === VERSION_2 ? TYPES[(type + 3) & 3]! : "unknown";
}

/** A variable-length integer (up to 62 bits) and where it ends; undefined beyond the bytes. RFC 9000 section 16. */
export function quicVarint(bytes: Uint8Array, at: number): { value: bigint; end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const end = at + (1 << (first >> 6));
  if (end > bytes.length) return undefined;
  let value = BigInt(first & 0x3f);
  for (let i = at + 1; i < end; i++) value = (value << 8n) | BigInt(bytes[i]!);
  return { value, end };
}

/** What stands between an Initial's source id and its protected part. */
export interface QuicInitial {
  readonly token: Uint8Array;
  /** Bytes of packet number and payload. */
  readonly length: number;
}

/** Takes the payload of a layer whose packet type is initial; undefined when token or length go beyond it. */
export function quicInitial(payload: Uint8Array): QuicInitial | undefined {
  const tokenLength = quicVarint(payload, 0);
  if (!tokenLength || tokenLength.value > payload.length) return undefined;
  const tokenEnd = tokenLength.end + Number(tokenLength.value);
  const length = quicVarint(payload, tokenEnd);
  if (!length || length.value > payload.length - length.end) return undefined;
  return { token: payload.subarray(tokenLength.end, tokenEnd), length: Number(length.value) };
}

export function printQuic(repr: QuicRepr, payloadLength: number): string {
  const hex = (id: Uint8Array) => Array.from(id, (b) => b.toString(16).padStart(2, "0")).join("");
  const ids = repr.form === "long" ? `, dcid ${hex(repr.destinationId) || "-"}, scid ${hex(repr.sourceId) || "-"}` : "";
  return `quic, ${quicPacketType(repr)}${ids}, length ${payloadLength}`;
}
