/** UDP. Source: RFC 768; RFC 8200 section 8.1 for its checksum over IPv6. */
import { viewOf } from "../bytes/index.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { type Layer, layerOf } from "./layer.ts";
import { IPPROTO_UDP } from "./numbers.ts";

export const UDP_FIELD = { sourcePort: 0, destinationPort: 2, length: 4, checksum: 6 } as const;
export const UDP_HEADER = 8;

export interface UdpRepr {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Header and payload, in bytes. */
  readonly length: number;
  /** 0 is none (over IPv4, and over IPv6 in some tunnels). */
  readonly checksum: number;
}

/** Checks the length field: 8 at least, and no more than there is. */
export function viewUdp(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < UDP_HEADER) return undefined;
  return layerOf(bytes, UDP_HEADER, viewOf(bytes).getUint16(UDP_FIELD.length));
}

export function parseUdp(header: Uint8Array): UdpRepr {
  const view = viewOf(header);
  return {
    sourcePort: view.getUint16(UDP_FIELD.sourcePort),
    destinationPort: view.getUint16(UDP_FIELD.destinationPort),
    length: view.getUint16(UDP_FIELD.length),
    checksum: view.getUint16(UDP_FIELD.checksum),
  };
}

/** Writes 8 bytes. */
export function emitUdp(repr: UdpRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(UDP_FIELD.sourcePort, repr.sourcePort);
  view.setUint16(UDP_FIELD.destinationPort, repr.destinationPort);
  view.setUint16(UDP_FIELD.length, repr.length);
  view.setUint16(UDP_FIELD.checksum, repr.checksum);
}

/** What the checksum field of a whole datagram should be: never 0, which would say "none". */
export function udpChecksum(source: Uint8Array, destination: Uint8Array, datagram: Uint8Array): number {
  const now = viewOf(datagram).getUint16(UDP_FIELD.checksum);
  const initial = pseudoHeaderSum(source, destination, IPPROTO_UDP, datagram.length) + (~now & 0xffff);
  return internetChecksum(datagram, initial) || 0xffff;
}

export function printUdp(_repr: UdpRepr, payloadLength: number): string {
  return `UDP, length ${payloadLength}`;
}
