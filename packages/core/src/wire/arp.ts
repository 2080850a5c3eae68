/** ARP, for any address lengths; ebplane's own use is IPv4 over Ethernet. Source: RFC 826. */
import { viewOf } from "../bytes/index.ts";
import { formatIp, formatMac } from "./address.ts";
import { type Layer, layerOf } from "./layer.ts";
import { ETH_P_IP } from "./numbers.ts";

export const ARP_FIELD = {
  hardwareType: 0,
  protocolType: 2,
  hardwareLength: 4,
  protocolLength: 5,
  operation: 6,
  addresses: 8,
} as const;
export const ARP_HEADER = 8;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;
/** Ethernet as hardware type. */
export const ARPHRD_ETHER = 1;

/** The hardware addresses are of one length, the protocol addresses too. */
export interface ArpRepr {
  readonly hardwareType: number;
  /** An EtherType. */
  readonly protocolType: number;
  readonly operation: number;
  readonly senderHardware: Uint8Array;
  readonly senderProtocol: Uint8Array;
  readonly targetHardware: Uint8Array;
  readonly targetProtocol: Uint8Array;
}

export function arpLength(repr: ArpRepr): number {
  return ARP_HEADER + 2 * (repr.senderHardware.length + repr.senderProtocol.length);
}

/** The header is the whole message; the payload is the frame's padding. */
export function viewArp(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < ARP_HEADER) return undefined;
  return layerOf(bytes, ARP_HEADER + 2 * (bytes[ARP_FIELD.hardwareLength]! + bytes[ARP_FIELD.protocolLength]!));
}

/** The addresses are views. */
export function parseArp(header: Uint8Array): ArpRepr {
  const view = viewOf(header);
  const hardware = header[ARP_FIELD.hardwareLength]!;
  const protocol = header[ARP_FIELD.protocolLength]!;
  let at: number = ARP_FIELD.addresses;
  const take = (length: number) => header.subarray(at, (at += length));
  return {
    hardwareType: view.getUint16(ARP_FIELD.hardwareType),
    protocolType: view.getUint16(ARP_FIELD.protocolType),
    operation: view.getUint16(ARP_FIELD.operation),
    senderHardware: take(hardware),
    senderProtocol: take(protocol),
    targetHardware: take(hardware),
    targetProtocol: take(protocol),
  };
}

/** Writes `arpLength(repr)` bytes. */
export function emitArp(repr: ArpRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(ARP_FIELD.hardwareType, repr.hardwareType);
  view.setUint16(ARP_FIELD.protocolType, repr.protocolType);
  out[ARP_FIELD.hardwareLength] = repr.senderHardware.length;
  out[ARP_FIELD.protocolLength] = repr.senderProtocol.length;
  view.setUint16(ARP_FIELD.operation, repr.operation);
  let at: number = ARP_FIELD.addresses;
  for (const part of [repr.senderHardware, repr.senderProtocol, repr.targetHardware, repr.targetProtocol]) {
    out.set(part, at);
    at += part.length;
  }
}

export function printArp(repr: ArpRepr, length: number): string {
  if (repr.protocolType !== ETH_P_IP || repr.senderProtocol.length !== 4) {
    return `ARP, hardware ${repr.hardwareType}, protocol 0x${repr.protocolType.toString(16)}, op ${repr.operation}, length ${length}`;
  }
  const sender = formatIp(repr.senderProtocol);
  const target = formatIp(repr.targetProtocol);
  const what =
    repr.operation === ARP_REQUEST
      ? `Request who-has ${target}${repr.targetHardware.some((b) => b !== 0) ? ` (${formatMac(repr.targetHardware)})` : ""} tell ${sender}`
      : repr.operation === ARP_REPLY
        ? `Reply ${sender} is-at ${formatMac(repr.senderHardware)}`
        : `op ${repr.operation} ${sender} > ${target}`;
  return `ARP, ${what}, length ${length}`;
}
