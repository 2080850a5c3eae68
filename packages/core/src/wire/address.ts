/**
 * IPv4, IPv6, CIDR and MAC addresses: strict text to bytes in network order, and back.
 *
 * Strict, since these come from configuration: an octet with a leading zero (`010.0.0.1`, octal to some readers), a
 * short form (`10.1`), a zone id (`fe80::1%eth0`) or white space is refused with what was expected.
 * IPv6 is printed by RFC 5952. Left out: host names.
 */
import { BpfError } from "../errors/index.ts";

/** A prefix: `prefixLength` is 0 to 32 or 128. Bits of `address` behind it are kept as written. */
export interface Cidr {
  /** 4 or 16 bytes, network order. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

function refuse(expected: string, text: string, why: string): never {
  throw new BpfError("EADDRESS", `expected ${expected}, got ${JSON.stringify(text)}${why ? ` (${why})` : ""}`);
}

const OCTET = /^(0|[1-9][0-9]{0,2})$/;

/** The 4 bytes, or why not. */
function ipv4Of(text: string): Uint8Array | string {
  const parts = text.split(".");
  if (parts.length !== 4) return `${parts.length} ${parts.length === 1 ? "number" : "numbers"} instead of 4`;
  const out = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (/^0[0-9]+$/.test(part)) return `${JSON.stringify(part)} has a leading zero`;
    if (!OCTET.test(part) || Number(part) > 255) return `${JSON.stringify(part)} is no number from 0 to 255`;
    out[i] = Number(part);
  }
  return out;
}

/** The 16 bytes, or why not. */
function ipv6Of(text: string): Uint8Array | string {
  if (text.includes("%")) return "zone ids are not supported";
  const halves = text.split("::");
  if (halves.length > 2) return "only one :: may stand";
  const out = new Uint8Array(16);
  const fill = (half: string, last: boolean): number[] | string => {
    if (half === "") return [];
    const bytes: number[] = [];
    const groups = half.split(":");
    for (const [i, group] of groups.entries()) {
      if (last && i === groups.length - 1 && group.includes(".")) {
        const tail = ipv4Of(group);
        if (typeof tail === "string") return tail;
        bytes.push(...tail);
      } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
        const value = Number.parseInt(group, 16);
        bytes.push(value >> 8, value & 255);
      } else return `${JSON.stringify(group)} is no group of 1 to 4 hex digits`;
    }
    return bytes;
  };
  const head = fill(halves[0]!, halves.length === 1);
  if (typeof head === "string") return head;
  const tail = halves.length === 2 ? fill(halves[1]!, true) : [];
  if (typeof tail === "string") return tail;
  const have = (head.length + tail.length) / 2;
  if (halves.length === 1 && have !== 8) return `${have} groups instead of 8`;
  if (halves.length === 2 && have > 7) return `${have} groups beside ::, at most 7 fit`;
  out.set(head, 0);
  out.set(tail, 16 - tail.length);
  return out;
}

/** 4 bytes from dotted decimal. @throws BpfError EADDRESS */
export function parseIpv4(text: string): Uint8Array {
  const out = ipv4Of(text);
  return typeof out === "string" ? refuse("an IPv4 address like 192.0.2.1", text, out) : out;
}

/** 16 bytes from RFC 4291's text forms, the last 32 bits also as dotted decimal. @throws BpfError EADDRESS */
export function parseIpv6(text: string): Uint8Array {
  const out = ipv6Of(text);
  return typeof out === "string" ? refuse("an IPv6 address like 2001:db8::1", text, out) : out;
}

/** 4 or 16 bytes, as the text is. @throws BpfError EADDRESS */
export function parseIp(text: string): Uint8Array {
  if (text.includes(":")) return parseIpv6(text);
  if (text.includes(".")) return parseIpv4(text);
  return refuse("an IP address like 192.0.2.1 or 2001:db8::1", text, "");
}

/**
 * A prefix like `10.0.0.0/8`; an address without `/` is a prefix of all its bits. Host bits are the caller's to judge:
 * see `hostBitsSet`.
 * @throws BpfError EADDRESS
 */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf("/");
  const head = slash < 0 ? text : text.slice(0, slash);
  const expected = "a prefix like 10.0.0.0/8 or 2001:db8::/32";
  const address = head.includes(":") ? ipv6Of(head) : ipv4Of(head);
  if (typeof address === "string") return refuse(expected, text, address);
  const bits = address.length * 8;
  if (slash < 0) return { address, prefixLength: bits };
  const length = text.slice(slash + 1);
  if (!OCTET.test(length) || Number(length) > bits) {
    return refuse(expected, text, `${JSON.stringify(length)} is no prefix length from 0 to ${bits}`);
  }
  return { address, prefixLength: Number(length) };
}

/** True when a bit behind the prefix is set, as in `10.0.0.1/8`. */
export function hostBitsSet({ address, prefixLength }: Cidr): boolean {
  return address.some((byte, i) => (byte & ~maskByte(prefixLength, i) & 255) !== 0);
}

/** The prefix with its host bits cleared (a new array). */
export function networkOf({ address, prefixLength }: Cidr): Uint8Array {
  return address.map((byte, i) => byte & maskByte(prefixLength, i));
}

/** True when an address of the same family lies in the prefix. */
export function cidrContains({ address, prefixLength }: Cidr, ip: Uint8Array): boolean {
  return (
    ip.length === address.length && ip.every((byte, i) => ((byte ^ address[i]!) & maskByte(prefixLength, i)) === 0)
  );
}

/** Byte `index` of the mask of a prefix length. */
function maskByte(prefixLength: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
  return (0xff00 >> bits) & 255;
}

/** 6 bytes from pairs of hex digits, all joined by `:` or all by `-`. @throws BpfError EADDRESS */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$|^[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){5}$/.test(text)) {
    return refuse("a MAC address like 02:00:00:00:00:01", text, "");
  }
  return Uint8Array.from(text.split(/[:-]/), (pair) => Number.parseInt(pair, 16));
}

/** Dotted decimal of 4 bytes. */
export function formatIpv4(bytes: Uint8Array): string {
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

/** RFC 5952: lower case, the first of the longest runs of two or more zero groups as `::`, IPv4-mapped in dotted form. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  if (groups.slice(0, 5).every((g) => g === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatIpv4(bytes.subarray(12, 16))}`;
  }
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
    i += run;
  }
  const hex = (part: number[]) => part.map((g) => g.toString(16)).join(":");
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** IPv4 for 4 bytes, IPv6 for 16. */
export function formatIp(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4(bytes) : formatIpv6(bytes);
}

/** `address/length`. */
export function formatCidr({ address, prefixLength }: Cidr): string {
  return `${formatIp(address)}/${prefixLength}`;
}

/** Lower case, joined by `:`. Works for hardware addresses of any length. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(":");
}
