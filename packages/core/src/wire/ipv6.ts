/**
 * IPv6 and its extension headers. Reassembly and jumbograms are not here.
 * Source: RFC 8200; AH RFC 4302; the registry of extension header types at IANA.
 */
import { viewOf } from "../bytes/index.ts";
import { formatIpv6 } from "./address.ts";
import { type Layer, layerOf } from "./layer.ts";
import { IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_HOPOPTS, IPPROTO_ROUTING } from "./numbers.ts";

export const IPV6_FIELD = {
  versionClassFlow: 0,
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 7,
  source: 8,
  destination: 24,
} as const;
export const IPV6_HEADER = 40;

export interface Ipv6Repr {
  /** DSCP in the upper 6 bits, ECN in the lower 2. */
  readonly trafficClass: number;
  /** 20 bits. */
  readonly flowLabel: number;
  /** Everything behind these 40 bytes, extension headers included. */
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  /** 16 bytes. */
  readonly source: Uint8Array;
  /** 16 bytes. */
  readonly destination: Uint8Array;
}

/** Checks version and payload length against the bytes. */
export function viewIpv6(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < IPV6_HEADER || bytes[0]! >> 4 !== 6) return undefined;
  return layerOf(bytes, IPV6_HEADER, IPV6_HEADER + viewOf(bytes).getUint16(IPV6_FIELD.payloadLength));
}

/** The addresses are views. */
export function parseIpv6Header(header: Uint8Array): Ipv6Repr {
  const view = viewOf(header);
  const first = view.getUint32(IPV6_FIELD.versionClassFlow);
  return {
    trafficClass: (first >>> 20) & 255,
    flowLabel: first & 0xfffff,
    payloadLength: view.getUint16(IPV6_FIELD.payloadLength),
    nextHeader: header[IPV6_FIELD.nextHeader]!,
    hopLimit: header[IPV6_FIELD.hopLimit]!,
    source: header.subarray(8, 24),
    destination: header.subarray(24, 40),
  };
}

/** Writes 40 bytes. */
export function emitIpv6Header(repr: Ipv6Repr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint32(IPV6_FIELD.versionClassFlow, ((6 << 28) | (repr.trafficClass << 20) | repr.flowLabel) >>> 0);
  view.setUint16(IPV6_FIELD.payloadLength, repr.payloadLength);
  out[IPV6_FIELD.nextHeader] = repr.nextHeader;
  out[IPV6_FIELD.hopLimit] = repr.hopLimit;
  out.set(repr.source, IPV6_FIELD.source);
  out.set(repr.destination, IPV6_FIELD.destination);
}

/** One extension header: its own type, and its bytes from its next-header field on (a view). */
export interface Ipv6Extension {
  readonly type: number;
  readonly header: Uint8Array;
}

/** The fragment header's fields. Source: RFC 8200 section 4.5. */
export interface Ipv6Fragment {
  /** In bytes, a multiple of 8. */
  readonly offset: number;
  readonly moreFragments: boolean;
  /** 32 bits. */
  readonly identification: number;
}

/** What stands behind the 40 bytes. */
export interface Ipv6Chain {
  readonly extensions: readonly Ipv6Extension[];
  /** The first type that is no extension header, or what a later fragment continues: `payload` is of this type. */
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Of the last fragment header met. With an offset above 0 the walk stops there: what follows is no header. */
  readonly fragment?: Ipv6Fragment;
}

const EXTENSIONS: readonly number[] = [IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_DSTOPTS];

/**
 * True for the types that `walkIpv6` steps over: those of the kernel's ipv6_ext_hdr(), less 59 (no next header). ESP is
 * none, since what follows is hidden; the mobility header is none, since nothing follows it (RFC 6275 section 6.1.1).
 */
export function isIpv6Extension(type: number): boolean {
  return EXTENSIONS.includes(type);
}

/** Bytes of the extension header that starts here; undefined when its length byte is not there. */
function extensionLength(type: number, bytes: Uint8Array): number | undefined {
  const length = bytes[1];
  if (length === undefined) return undefined;
  if (type === IPPROTO_FRAGMENT) return 8;
  return type === IPPROTO_AH ? (length + 2) * 4 : (length + 1) * 8;
}

/**
 * Steps over the extension headers of an IPv6 payload. Undefined when one does not fit; a chain may be as long as the
 * packet, so a program with a limit of its own compares `extensions.length`.
 */
export function walkIpv6(nextHeader: number, payload: Uint8Array): Ipv6Chain | undefined {
  const extensions: Ipv6Extension[] = [];
  let protocol = nextHeader;
  let rest = payload;
  let fragment: Ipv6Fragment | undefined;
  while (isIpv6Extension(protocol)) {
    const length = extensionLength(protocol, rest);
    if (length === undefined || length > rest.length) return undefined;
    const header = rest.subarray(0, length);
    extensions.push({ type: protocol, header });
    if (protocol === IPPROTO_FRAGMENT) fragment = parseIpv6Fragment(header);
    const later = protocol === IPPROTO_FRAGMENT && fragment!.offset > 0;
    protocol = header[0]!;
    rest = rest.subarray(length);
    if (later) break;
  }
  return { extensions, protocol, payload: rest, ...(fragment ? { fragment } : {}) };
}

/** `header` holds the 8 bytes of a fragment header. */
export function parseIpv6Fragment(header: Uint8Array): Ipv6Fragment {
  const view = viewOf(header);
  const word = view.getUint16(2);
  return { offset: word & 0xfff8, moreFragments: (word & 1) !== 0, identification: view.getUint32(4) };
}

/** Writes 8 bytes: a fragment header before a `nextHeader`. */
export function emitIpv6Fragment(repr: Ipv6Fragment, nextHeader: number, out: Uint8Array): void {
  const view = viewOf(out);
  out[0] = nextHeader;
  out[1] = 0;
  view.setUint16(2, repr.offset | (repr.moreFragments ? 1 : 0));
  view.setUint32(4, repr.identification);
}

/** One option of a hop-by-hop or destination options header. Pad1 (type 0) has no data. */
export interface Ipv6Option {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The options of such a header (whole, from its next-header field); undefined when one goes beyond it. */
export function ipv6Options(header: Uint8Array): Ipv6Option[] | undefined {
  const out: Ipv6Option[] = [];
  for (let at = 2; at < header.length; ) {
    const type = header[at]!;
    if (type === 0) {
      out.push({ type, data: header.subarray(at + 1, at + 1) });
      at++;
      continue;
    }
    const length = header[at + 1];
    if (length === undefined || at + 2 + length > header.length) return undefined;
    out.push({ type, data: header.subarray(at + 2, at + 2 + length) });
    at += 2 + length;
  }
  return out;
}

export function printIpv6(repr: Ipv6Repr): string {
  return `IP6 ${formatIpv6(repr.source)} > ${formatIpv6(repr.destination)}`;
}
