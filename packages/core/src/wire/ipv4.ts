/** IPv4 with options and fragments. Reassembly is not here. Source: RFC 791, RFC 2474, RFC 3168. */
import { viewOf } from "../bytes/index.ts";
import { formatIpv4 } from "./address.ts";
import { internetChecksum } from "./checksum.ts";
import { type Layer, layerOf } from "./layer.ts";

export const IPV4_FIELD = {
  versionIhl: 0,
  tos: 1,
  totalLength: 2,
  identification: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  options: 20,
} as const;
/** Without options; with them at most 60. */
export const IPV4_HEADER = 20;

const RESERVED = 0x8000;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;

export interface Ipv4Repr {
  /** DSCP in the upper 6 bits, ECN in the lower 2. */
  readonly tos: number;
  /** Header and payload, in bytes. */
  readonly totalLength: number;
  readonly identification: number;
  /** The reserved bit, which must be 0 (RFC 3514 notwithstanding). */
  readonly reserved: boolean;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly checksum: number;
  /** 4 bytes. */
  readonly source: Uint8Array;
  /** 4 bytes. */
  readonly destination: Uint8Array;
  /** A multiple of 4 bytes, up to 40; see `ipv4Options`. */
  readonly options: Uint8Array;
}

export function ipv4Length(repr: Pick<Ipv4Repr, "options">): number {
  return IPV4_HEADER + repr.options.length;
}

/** Checks version, header length and total length against the bytes; not the checksum: see `checksumHolds`. */
export function viewIpv4(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < IPV4_HEADER || bytes[0]! >> 4 !== 4) return undefined;
  const headerLength = (bytes[0]! & 15) * 4;
  if (headerLength < IPV4_HEADER) return undefined;
  return layerOf(bytes, headerLength, viewOf(bytes).getUint16(IPV4_FIELD.totalLength));
}

/** Addresses and options are views. */
export function parseIpv4Header(header: Uint8Array): Ipv4Repr {
  const view = viewOf(header);
  const fragment = view.getUint16(IPV4_FIELD.fragment);
  return {
    tos: header[IPV4_FIELD.tos]!,
    totalLength: view.getUint16(IPV4_FIELD.totalLength),
    identification: view.getUint16(IPV4_FIELD.identification),
    reserved: (fragment & RESERVED) !== 0,
    dontFragment: (fragment & DONT_FRAGMENT) !== 0,
    moreFragments: (fragment & MORE_FRAGMENTS) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    ttl: header[IPV4_FIELD.ttl]!,
    protocol: header[IPV4_FIELD.protocol]!,
    checksum: view.getUint16(IPV4_FIELD.checksum),
    source: header.subarray(12, 16),
    destination: header.subarray(16, 20),
    options: header.subarray(20),
  };
}

/** Writes `ipv4Length(repr)` bytes, the checksum as the repr has it: see `ipv4Checksum`. */
export function emitIpv4Header(repr: Ipv4Repr, out: Uint8Array): void {
  const view = viewOf(out);
  out[IPV4_FIELD.versionIhl] = 0x40 | (ipv4Length(repr) / 4);
  out[IPV4_FIELD.tos] = repr.tos;
  view.setUint16(IPV4_FIELD.totalLength, repr.totalLength);
  view.setUint16(IPV4_FIELD.identification, repr.identification);
  const flags =
    (repr.reserved ? RESERVED : 0) |
    (repr.dontFragment ? DONT_FRAGMENT : 0) |
    (repr.moreFragments ? MORE_FRAGMENTS : 0);
  view.setUint16(IPV4_FIELD.fragment, flags | (repr.fragmentOffset / 8));
  out[IPV4_FIELD.ttl] = repr.ttl;
  out[IPV4_FIELD.protocol] = repr.protocol;
  view.setUint16(IPV4_FIELD.checksum, repr.checksum);
  out.set(repr.source, IPV4_FIELD.source);
  out.set(repr.destination, IPV4_FIELD.destination);
  out.set(repr.options, IPV4_FIELD.options);
}

/** What the checksum field of a whole header (4 to 60 bytes, whatever the field holds now) should be. */
export function ipv4Checksum(header: Uint8Array): number {
  const now = viewOf(header).getUint16(IPV4_FIELD.checksum);
  return internetChecksum(header, ~now & 0xffff);
}

/** One option. `data` excludes type and length; it is empty for the one-byte options 0 (end) and 1 (no operation). */
export interface Ipv4Option {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The options up to the end of the list; undefined when a length is below 2 or beyond the header. */
export function ipv4Options(options: Uint8Array): Ipv4Option[] | undefined {
  const out: Ipv4Option[] = [];
  for (let at = 0; at < options.length; ) {
    const type = options[at]!;
    if (type <= 1) {
      out.push({ type, data: options.subarray(at + 1, at + 1) });
      if (type === 0) break;
      at++;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2 || at + length > options.length) return undefined;
    out.push({ type, data: options.subarray(at + 2, at + length) });
    at += length;
  }
  return out;
}

export function printIpv4(repr: Ipv4Repr): string {
  return `IP ${formatIpv4(repr.source)} > ${formatIpv4(repr.destination)}`;
}
