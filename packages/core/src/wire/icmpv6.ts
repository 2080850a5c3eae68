/** ICMPv6 with Neighbour Discovery. MLD is named, not taken apart. Source: RFC 4443, RFC 4861, RFC 3810. */
import { viewOf } from "../bytes/index.ts";
import { formatIpv6 } from "./address.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { type Layer, layerOf } from "./layer.ts";
import { IPPROTO_ICMPV6 } from "./numbers.ts";

export const ICMPV6_FIELD = { type: 0, code: 1, checksum: 2, rest: 4 } as const;
export const ICMPV6_HEADER = 8;

export const ICMPV6_DEST_UNREACH = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;
export const ICMPV6_MLD_QUERY = 130;
export const ICMPV6_ROUTER_SOLICITATION = 133;
export const ICMPV6_ROUTER_ADVERTISEMENT = 134;
export const ICMPV6_NEIGHBOUR_SOLICITATION = 135;
export const ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136;
export const ICMPV6_REDIRECT = 137;
export const ICMPV6_MLD2_REPORT = 143;

export interface Icmpv6Repr {
  readonly type: number;
  readonly code: number;
  readonly checksum: number;
  /** The second word: of an echo `identifier << 16 | sequence`, of packet too big the MTU, of an advertisement flags. */
  readonly rest: number;
}

export function viewIcmpv6(bytes: Uint8Array): Layer | undefined {
  return layerOf(bytes, ICMPV6_HEADER);
}

export function parseIcmpv6(header: Uint8Array): Icmpv6Repr {
  const view = viewOf(header);
  return {
    type: header[ICMPV6_FIELD.type]!,
    code: header[ICMPV6_FIELD.code]!,
    checksum: view.getUint16(ICMPV6_FIELD.checksum),
    rest: view.getUint32(ICMPV6_FIELD.rest),
  };
}

/** Writes 8 bytes. */
export function emitIcmpv6(repr: Icmpv6Repr, out: Uint8Array): void {
  const view = viewOf(out);
  out[ICMPV6_FIELD.type] = repr.type;
  out[ICMPV6_FIELD.code] = repr.code;
  view.setUint16(ICMPV6_FIELD.checksum, repr.checksum);
  view.setUint32(ICMPV6_FIELD.rest, repr.rest);
}

/** What the checksum field of a whole message should be; it covers the addresses, unlike ICMP's. */
export function icmpv6Checksum(source: Uint8Array, destination: Uint8Array, message: Uint8Array): number {
  const now = viewOf(message).getUint16(ICMPV6_FIELD.checksum);
  return internetChecksum(
    message,
    pseudoHeaderSum(source, destination, IPPROTO_ICMPV6, message.length) + (~now & 0xffff),
  );
}

export const NDP_OPT_SOURCE_LINK_ADDRESS = 1;
export const NDP_OPT_TARGET_LINK_ADDRESS = 2;
export const NDP_OPT_PREFIX = 3;
export const NDP_OPT_MTU = 5;

/** One option of a Neighbour Discovery message; `data` excludes type and length. */
export interface NdpOption {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The fixed part of a Neighbour Discovery message behind the 8 bytes, and its options. */
export interface NdpRepr {
  /** Of a solicitation, an advertisement or a redirect: 16 bytes. */
  readonly target?: Uint8Array;
  /** Of a redirect: 16 bytes. */
  readonly destination?: Uint8Array;
  /** Of a router advertisement, in milliseconds; 0 is unspecified. */
  readonly reachableTime?: number;
  readonly retransTimer?: number;
  readonly options: readonly NdpOption[];
}

/** Takes the body of types 133 to 137; undefined for another type, a body too short or an option beyond it. */
export function parseNdp(type: number, payload: Uint8Array): NdpRepr | undefined {
  const fixed = { 133: 0, 134: 8, 135: 16, 136: 16, 137: 32 }[type];
  if (fixed === undefined || payload.length < fixed) return undefined;
  const options = ndpOptions(payload.subarray(fixed));
  if (!options) return undefined;
  if (type === ICMPV6_ROUTER_SOLICITATION) return { options };
  if (type === ICMPV6_ROUTER_ADVERTISEMENT) {
    const view = viewOf(payload);
    return { reachableTime: view.getUint32(0), retransTimer: view.getUint32(4), options };
  }
  const target = payload.subarray(0, 16);
  return type === ICMPV6_REDIRECT ? { target, destination: payload.subarray(16, 32), options } : { target, options };
}

/** A length of 0 is malformed (RFC 4861 section 4.6). */
function ndpOptions(bytes: Uint8Array): NdpOption[] | undefined {
  const out: NdpOption[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = (bytes[at + 1] ?? 0) * 8;
    if (length === 0 || at + length > bytes.length) return undefined;
    out.push({ type: bytes[at]!, data: bytes.subarray(at + 2, at + length) });
    at += length;
  }
  return out;
}

/** The body of a Neighbour Discovery message (a new array); the inverse of `parseNdp`. */
export function emitNdp(repr: NdpRepr): Uint8Array {
  const bytes: number[] = [];
  if (repr.reachableTime !== undefined) {
    const times = new Uint8Array(8);
    viewOf(times).setUint32(0, repr.reachableTime);
    viewOf(times).setUint32(4, repr.retransTimer ?? 0);
    bytes.push(...times);
  }
  bytes.push(...(repr.target ?? []), ...(repr.destination ?? []));
  for (const { type, data } of repr.options) bytes.push(type, (data.length + 2) / 8, ...data);
  return Uint8Array.from(bytes);
}

const UNREACHABLE: readonly string[] = ["route", "administratively prohibited", "beyond scope", "address", "port"];
const NAMES: Readonly<Record<number, string>> = {
  [ICMPV6_MLD_QUERY]: "multicast listener query",
  131: "multicast listener report",
  132: "multicast listener done",
  [ICMPV6_ROUTER_SOLICITATION]: "router solicitation",
  [ICMPV6_ROUTER_ADVERTISEMENT]: "router advertisement",
  [ICMPV6_NEIGHBOUR_SOLICITATION]: "neighbor solicitation",
  [ICMPV6_NEIGHBOUR_ADVERTISEMENT]: "neighbor advertisement",
  [ICMPV6_REDIRECT]: "redirect",
};

/** `payload` is what stands behind the 8 bytes. */
export function printIcmpv6(repr: Icmpv6Repr, payload: Uint8Array): string {
  const echo = `id ${repr.rest >>> 16}, seq ${repr.rest & 0xffff}`;
  const ndp = parseNdp(repr.type, payload);
  let what = NAMES[repr.type] ?? `type-#${repr.type}`;
  if (repr.type === ICMPV6_ECHO_REQUEST) what = `echo request, ${echo}`;
  else if (repr.type === ICMPV6_ECHO_REPLY) what = `echo reply, ${echo}`;
  else if (repr.type === ICMPV6_DEST_UNREACH) {
    what = `destination unreachable, unreachable ${UNREACHABLE[repr.code] ?? `code ${repr.code}`}`;
  } else if (repr.type === ICMPV6_PACKET_TOO_BIG) what = `packet too big, mtu ${repr.rest}`;
  else if (repr.type === ICMPV6_TIME_EXCEEDED) what = `time exceeded in-${repr.code ? "reassembly" : "transit"}`;
  else if (repr.type === ICMPV6_PARAMETER_PROBLEM) what = `parameter problem, code ${repr.code}, pointer ${repr.rest}`;
  else if (repr.type === ICMPV6_MLD2_REPORT) {
    what = `multicast listener report v2, ${repr.rest & 0xffff} group record(s)`;
  } else if (repr.type === ICMPV6_NEIGHBOUR_SOLICITATION && ndp?.target) what += `, who has ${formatIpv6(ndp.target)}`;
  else if (repr.type === ICMPV6_NEIGHBOUR_ADVERTISEMENT && ndp?.target) what += `, tgt is ${formatIpv6(ndp.target)}`;
  return `ICMP6, ${what}, length ${ICMPV6_HEADER + payload.length}`;
}
