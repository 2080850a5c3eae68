/** Which values are addresses: BTF has no type for them, so it is told by type, size and the member's name. */
import { formatIpv4, formatIpv6, formatMac } from "../wire/index.ts";

/** An integer in network order, an array of bytes, `struct in6_addr` or our `in6`, anything else. */
export type AddressShape = "network" | "bytes" | "in6" | "other";

/** Whole words of a name in snake or camel case. */
const ADDRESS =
  /(^|_)([sd]?addr|address|ips?|src|dst|source|dest|daddr|saddr|peer|gw|gateway|nexthop|next_hop|host|local|remote|from|to|vip|network|prefix)([0-9_]|$)/i;
const MAC = /(^|_)(mac|[sdh]?addr|src|dst|source|dest|sha|tha|smac|dmac|eth)([0-9_]|$)/i;

/** The address as text; undefined for what is none. A value without a name is one where nothing speaks against it. */
export function addressText(name: string, shape: AddressShape, bytes: Uint8Array): string | undefined {
  if (shape === "other") return undefined;
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1_$2");
  // Items of tuples are named by their places.
  const nameless = /^_?\d*$/.test(name);
  if (shape === "network")
    return bytes.length === 4 && (nameless || ADDRESS.test(words)) ? formatIpv4(bytes) : undefined;
  if (bytes.length === 16) return shape === "in6" || (!nameless && ADDRESS.test(words)) ? formatIpv6(bytes) : undefined;
  return bytes.length === 6 && (nameless || MAC.test(words)) ? formatMac(bytes) : undefined;
}
