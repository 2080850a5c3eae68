/**
 * IP in IP: an IPv4 (protocol 4) or IPv6 (protocol 41) packet as the payload of either. There is no header of its own,
 * so there is no repr: what is here is which family an inner packet claims. Source: RFC 2003, RFC 2473, RFC 4213.
 */
import { viewIpv4 } from "./ipv4.ts";
import { viewIpv6 } from "./ipv6.ts";
import type { Layer } from "./layer.ts";
import { IPPROTO_IPIP, IPPROTO_IPV6 } from "./numbers.ts";

/** The inner packet's layer and IP version; undefined for another protocol or a malformed inner packet. */
export function viewIpip(protocol: number, payload: Uint8Array): { version: 4 | 6; layer: Layer } | undefined {
  const version = protocol === IPPROTO_IPIP ? 4 : protocol === IPPROTO_IPV6 ? 6 : undefined;
  if (!version) return undefined;
  const layer = version === 4 ? viewIpv4(payload) : viewIpv6(payload);
  return layer && { version, layer };
}
