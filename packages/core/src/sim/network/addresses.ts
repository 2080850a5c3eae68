/**
 * Addresses, and the routes that come and go with them: the prefix, the address itself, its broadcast.
 * Source: net/ipv4/devinet.c, net/ipv4/fib_frontend.c (fib_add_ifaddr, fib_del_ifaddr, fib_disable_ip),
 * net/ipv6/addrconf.c of 6.18. Without link-local addresses, anycast and multicast, which the kernel makes for itself.
 */
import { Errno } from "../../errors/index.ts";
import {
  AF_INET,
  AF_INET6,
  cstring,
  encodeBody,
  getString,
  IFA_ADDRESS,
  IFA_FLAGS,
  IFA_LOCAL,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN,
  u32,
} from "../../netlink/index.ts";
import { cidrContains, networkOf } from "../../wire/index.ts";
import {
  isLoopback,
  linkAt,
  type NetAddress,
  type NetLink,
  type Netns,
  type NetRoute,
  refuse,
  sameBytes,
} from "./state.ts";

const RT_SCOPE_HOST = 254;
const RTPROT_KERNEL = 2;
const IFA_F_SECONDARY = 1;
const IFA_F_NODAD = 2;
const IFA_F_PERMANENT = 0x80;
const IFA_LABEL = 3;
const HEADER = 8;
/** Metric of the routes that IPv6 makes for prefixes. */
const IP6_RT_PRIO_ADDRCONF = 256;

export interface AddressRequest {
  readonly family: number;
  readonly length: number;
  readonly label: string | undefined;
  readonly flags: number;
  readonly index: number;
  readonly bytes: Uint8Array | undefined;
}

export function addressRequest(view: DataView, attrs: ReadonlyMap<number, Uint8Array>): AddressRequest {
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) refuse(Errno.EOPNOTSUPP);
  const size = family === AF_INET ? 4 : 16;
  const [local, address] = [attrs.get(IFA_LOCAL), attrs.get(IFA_ADDRESS)];
  for (const bytes of [local, address]) {
    if (bytes && bytes.length < size) refuse(Errno.ERANGE, "Attribute failed policy validation");
  }
  return {
    family,
    length: view.getUint8(1),
    flags: view.getUint8(2),
    index: view.getUint32(4, true),
    bytes: (local ?? address)?.slice(0, size),
    label: getString(attrs.get(IFA_LABEL)),
  };
}

export function addAddress(ns: Netns, { family, length, flags, index, bytes, label }: AddressRequest): void {
  const v4 = family === AF_INET;
  if (!bytes) refuse(Errno.EINVAL, v4 ? "ipv4: Local address is not supplied" : "ipv6: Local address is not supplied");
  if (length > bytes.length * 8)
    refuse(Errno.EINVAL, v4 ? "ipv4: Invalid prefix length" : "ipv6: Invalid prefix length");
  const link = linkAt(ns, index);
  if (!link) refuse(Errno.ENODEV, v4 ? "ipv4: Device not found" : "ipv6: Unable to find the interface");
  if (!v4 && bytes[0] === 0xff) {
    refuse(Errno.EADDRNOTAVAIL, 'ipv6: Cannot assign multicast address without "IFA_F_MCAUTOJOIN" flag');
  }
  const same = (a: NetAddress): boolean =>
    sameBytes(a.bytes, bytes) && (v4 ? a.link === link && a.length === length : a.link === link);
  if (ns.addresses.some(same)) {
    refuse(Errno.EEXIST, v4 ? "ipv4: Address already assigned" : "ipv6: address already assigned");
  }
  put(link, bytes, length, v4 ? 0 : flags & IFA_F_NODAD, label);
}

function put(link: NetLink, bytes: Uint8Array, length: number, flags: number, label?: string): void {
  const { ns } = link;
  const prefix = { address: bytes, prefixLength: length };
  const secondary =
    bytes.length === 4 &&
    ns.addresses.some(
      (a) => a.link === link && a.length === length && a.bytes.length === 4 && cidrContains(prefix, a.bytes),
    );
  const address: NetAddress = {
    link,
    bytes,
    length,
    label,
    flags: flags | IFA_F_PERMANENT | (secondary ? IFA_F_SECONDARY : 0),
  };
  ns.addresses.push(address);
  for (const route of routesOf(address)) addOwn(ns, route);
}

export function deleteAddress(ns: Netns, { family, length, index, bytes }: AddressRequest): void {
  const v4 = family === AF_INET;
  const link = linkAt(ns, index);
  if (!link) refuse(Errno.ENODEV, v4 ? "ipv4: Device not found" : "ipv6: Unable to find the interface");
  const address = ns.addresses.find((a) => a.link === link && a.length === length && sameBytes(a.bytes, bytes));
  if (!address) refuse(Errno.EADDRNOTAVAIL, v4 ? "ipv4: Address not found" : "ipv6: address not found");
  take(address);
}

/** An address goes; with the first of a prefix go those that came after it. */
function take(address: NetAddress): void {
  const { link } = address;
  const { ns } = link;
  const prefix = { address: address.bytes, prefixLength: address.length };
  const gone = ns.addresses.filter(
    (a) =>
      a === address ||
      (address.bytes.length === 4 &&
        !(address.flags & IFA_F_SECONDARY) &&
        a.link === link &&
        a.flags & IFA_F_SECONDARY &&
        a.length === address.length &&
        cidrContains(prefix, a.bytes)),
  );
  ns.addresses = ns.addresses.filter((a) => !gone.includes(a));
  const stay = ns.addresses.flatMap(routesOf);
  for (const route of gone.flatMap(routesOf)) {
    if (!stay.some((other) => sameOwn(other, route))) ns.routes = ns.routes.filter((r) => !sameOwn(r, route));
  }
  // What was to leave with an address that is gone, leaves not at all.
  ns.routes = ns.routes.filter((r) => !gone.some((a) => sameBytes(r.source, a.bytes)));
}

function addOwn(ns: Netns, route: NetRoute): void {
  if (!ns.routes.some((r) => sameOwn(r, route))) ns.routes.push(route);
}

function sameOwn(a: NetRoute, b: NetRoute): boolean {
  return (
    a.table === b.table &&
    a.type === b.type &&
    a.length === b.length &&
    a.metric === b.metric &&
    a.link === b.link &&
    a.protocol === RTPROT_KERNEL &&
    sameBytes(a.dst, b.dst)
  );
}

/** The routes that an address brings, by what its device is now. */
function routesOf(address: NetAddress): NetRoute[] {
  const { link, bytes, length } = address;
  const v4 = bytes.length === 4;
  const bits = bytes.length * 8;
  const loopback = isLoopback(link);
  const dst = networkOf({ address: bytes, prefixLength: length });
  const base = {
    family: v4 ? AF_INET : AF_INET6,
    protocol: RTPROT_KERNEL,
    tos: 0,
    metric: 0,
    via: undefined,
    link,
    // What is of a second address leaves with the first of its prefix.
    source: v4 ? (primaryOf(address)?.bytes ?? bytes) : undefined,
    encap: undefined,
  };
  const own: NetRoute = {
    ...base,
    dst: bytes,
    length: bits,
    table: RT_TABLE_LOCAL,
    type: RTN.local,
    scope: v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
  };
  if (!v4) {
    const routes = link.up || loopback ? [own] : [];
    if (!link.up) return routes;
    const prefix = { ...base, dst, length, table: RT_TABLE_MAIN, type: RTN.unicast, scope: RT_SCOPE_UNIVERSE };
    return [...routes, { ...prefix, metric: IP6_RT_PRIO_ADDRCONF }];
  }
  const routes: NetRoute[] = [own];
  if (!link.up) return routes;
  if (!(address.flags & IFA_F_SECONDARY) && length < bits) {
    routes.push({
      ...base,
      dst,
      length,
      table: loopback ? RT_TABLE_LOCAL : RT_TABLE_MAIN,
      type: loopback ? RTN.local : RTN.unicast,
      scope: loopback ? RT_SCOPE_HOST : RT_SCOPE_LINK,
    });
    if (length < 31) {
      const last = dst.map((byte, i) => byte | (~(0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 255));
      const broadcast = { ...base, dst: last, length: bits, table: RT_TABLE_LOCAL, type: RTN.broadcast };
      routes.push({ ...broadcast, scope: RT_SCOPE_LINK });
    }
  }
  return routes;
}

/** ::1 is there from the start, while the loopback is still down. */
export function giveLoopback(lo: NetLink): void {
  put(lo, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), 128, 0);
}

/** The first address of a second one's prefix. */
function primaryOf({ link, length, bytes, flags }: NetAddress): NetAddress | undefined {
  if (!(flags & IFA_F_SECONDARY)) return undefined;
  const prefix = { address: bytes, prefixLength: length };
  return link.ns.addresses.find(
    (a) => a.link === link && a.length === length && !(a.flags & IFA_F_SECONDARY) && cidrContains(prefix, a.bytes),
  );
}

/** A device came up: the routes of its addresses; the loopback gets its own address. */
export function linkCameUp(link: NetLink): void {
  const { ns } = link;
  const loopback = isLoopback(link);
  if (loopback && !ns.addresses.some((a) => a.link === link && a.bytes.length === 4)) {
    put(link, Uint8Array.of(127, 0, 0, 1), 8, 0);
  }
  for (const address of ns.addresses.filter((a) => a.link === link)) {
    for (const route of routesOf(address)) addOwn(ns, route);
  }
}

/** A device went down: nothing leaves by it any more, and IPv6 forgets its addresses. */
export function linkWentDown(link: NetLink): void {
  const { ns } = link;
  const loopback = isLoopback(link);
  ns.routes = ns.routes.filter((r) => r.link !== link || (r.type === RTN.local && (r.family === AF_INET || loopback)));
  ns.neighbours = ns.neighbours.filter((n) => n.link !== link);
  if (!loopback) ns.addresses = ns.addresses.filter((a) => a.link !== link || a.bytes.length === 4);
}

/** A device leaves its namespace. */
export function forgetAddresses(link: NetLink): void {
  const { ns } = link;
  const gone = ns.addresses.filter((a) => a.link === link);
  ns.addresses = ns.addresses.filter((a) => a.link !== link);
  ns.neighbours = ns.neighbours.filter((n) => n.link !== link);
  ns.routes = ns.routes.filter((r) => r.link !== link && !gone.some((a) => sameBytes(r.source, a.bytes)));
}

/** RTM_NEWADDR's body. */
export function encodeAddress({ link, bytes, length, flags, label = link.name }: NetAddress): Uint8Array {
  const header = new Uint8Array(HEADER);
  header.set([bytes.length === 4 ? AF_INET : AF_INET6, length, flags & 255, 0]);
  new DataView(header.buffer).setUint32(4, link.index, true);
  return encodeBody(header, [
    [IFA_ADDRESS, bytes],
    ...(bytes.length === 4 ? [[IFA_LOCAL, bytes] as const, [IFA_LABEL, cstring(label)] as const] : []),
    [IFA_FLAGS, u32(flags)],
  ]);
}
