/**
 * rtnetlink: addresses, neighbours, routes and rules.
 * Source: include/uapi/linux/rtnetlink.h, if_addr.h, neighbour.h, fib_rules.h.
 */

import { viewOf } from "../bytes/index.ts";
import { formatMac, parseCidr, parseIp, parseMac } from "../wire/index.ts";
import type { NetlinkClient } from "./client.ts";
import { decodeEncap, type Encap, type EncapInfo, encapAttrs, RTA_ENCAP, RTA_ENCAP_TYPE } from "./encap.ts";
import {
  type Attr,
  encodeBody,
  getIp,
  getU32,
  HOW,
  type How,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  onlyAnswer,
  splitBody,
  u32,
} from "./message.ts";
import { decodeHops, gatewayAttr, gatewayOf, type Hop, type HopSpec, hopsAttr, RTNH_F_ONLINK } from "./nexthops.ts";
import * as schema from "./schema.ts";
import { decodeValues, encodeValues, ip, struct, type Table, text, type Values } from "./schema.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
export const RTM_GETRULE = 34;

export const AF_INET = 2;
export const AF_INET6 = 10;
const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF_INET : AF_INET6);

// ---- addresses

export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_FLAGS = 8;
const IFA_F_NODAD = 2;
const FOREVER = 0xffff_ffff;

export interface AddressInfo {
  readonly index: number;
  /** `10.0.0.1/24`. */
  readonly prefix: string;
  /** IFA_F_*: 0x40 is tentative. */
  readonly flags: number;
  readonly peer?: string;
  readonly label?: string;
  readonly broadcast?: string;
  /** Seconds; absent for ever. */
  readonly lifetime?: { readonly preferred: number; readonly valid: number };
}

const ADDRESS = {
  label: [3, text],
  broadcast: [4, ip],
  lifetime: [6, struct({ preferred: schema.u32, valid: schema.u32, created: schema.u32, updated: schema.u32 })],
  metric: [9, schema.u32],
} as const satisfies Table;

/** What an address may have beside. `lifetime` is in seconds, 0xffffffff for ever. */
export interface AddressOptions extends Values<typeof ADDRESS> {
  /** The other end of a point-to-point link. */
  readonly peer?: string;
  /** RT_SCOPE_*: 0 everywhere, 253 on the link, 254 on the host. */
  readonly scope?: number;
}

/** Gives a device an address, at once: without duplicate address detection. */
export function addAddress(socket: NetlinkClient, index: number, prefix: string, options: AddressOptions = {}): void {
  address(socket, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, prefix, options);
}

export function deleteAddress(
  socket: NetlinkClient,
  index: number,
  prefix: string,
  options: AddressOptions = {},
): void {
  address(socket, RTM_DELADDR, 0, index, prefix, options);
}

function address(
  socket: NetlinkClient,
  type: number,
  flags: number,
  index: number,
  prefix: string,
  options: AddressOptions,
): void {
  const { address, prefixLength } = parseCidr(prefix);
  const header = new Uint8Array(8);
  header.set([familyOf(address), prefixLength, address.length === 16 ? IFA_F_NODAD : 0, options.scope ?? 0]);
  viewOf(header).setUint32(4, index, true);
  const attrs: Attr[] = [
    [IFA_LOCAL, address],
    [IFA_ADDRESS, options.peer === undefined ? address : parseIp(options.peer)],
    ...encodeValues(ADDRESS, options).attrs,
  ];
  const verb = type === RTM_NEWADDR ? "add" : "del";
  socket.request(`addr ${verb} ${prefix}`, type, flags, encodeBody(header, attrs));
}

export function listAddresses(socket: NetlinkClient): AddressInfo[] {
  return socket.request("addr list", RTM_GETADDR, NLM_F_DUMP, new Uint8Array(8)).map(decodeAddress);
}

/** Decodes RTM_NEWADDR and RTM_DELADDR. */
export function decodeAddress(message: Message): AddressInfo {
  const { view, attrs } = splitBody(message, 8);
  const local = getIp(attrs.get(IFA_LOCAL));
  const other = getIp(attrs.get(IFA_ADDRESS));
  const { label, broadcast, lifetime } = decodeValues(ADDRESS, message.body.subarray(8));
  const forever = lifetime === undefined || lifetime.valid === FOREVER;
  return {
    index: view.getUint32(4, true),
    prefix: `${local ?? other ?? "?"}/${view.getUint8(1)}`,
    flags: getU32(attrs.get(IFA_FLAGS)) ?? view.getUint8(2),
    ...(local !== undefined && other !== undefined && local !== other && { peer: other }),
    ...(label !== undefined && { label }),
    ...(broadcast !== undefined && { broadcast }),
    ...(!forever && { lifetime: { preferred: lifetime.preferred, valid: lifetime.valid } }),
  };
}

// ---- neighbours

export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NUD_PERMANENT = 0x80;

export interface Neighbour {
  readonly index: number;
  readonly ip: string;
  readonly mac: string | undefined;
  /** NUD_*: 2 reachable, 4 stale, 32 failed, 128 permanent. */
  readonly state: number;
  /** Not a neighbour: an address that is answered for here. */
  readonly proxy?: true;
}

const NTF_PROXY = 8;

/** Answers for an address on a device (proxy ARP, proxy NDP). */
export function addProxy(socket: NetlinkClient, index: number, ip: string): void {
  proxy(socket, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, index, ip);
}

export function deleteProxy(socket: NetlinkClient, index: number, ip: string): void {
  proxy(socket, RTM_DELNEIGH, 0, index, ip);
}

function proxy(socket: NetlinkClient, type: number, flags: number, index: number, ip: string): void {
  const bytes = parseIp(ip);
  const header = ndmsg(familyOf(bytes), index, NUD_PERMANENT, NTF_PROXY);
  socket.request(
    `neigh ${type === RTM_NEWNEIGH ? "add" : "del"} proxy ${ip}`,
    type,
    flags,
    encodeBody(header, [[NDA_DST, bytes]]),
  );
}

export function listProxies(socket: NetlinkClient): Neighbour[] {
  return neighbours(socket, ndmsg(0, 0, 0, NTF_PROXY));
}

/** A permanent neighbour entry, in the place of what was known of the address unless said otherwise. */
export function addNeighbour(
  socket: NetlinkClient,
  index: number,
  ip: string,
  mac: string,
  how: How = "replace",
): void {
  const bytes = parseIp(ip);
  const attrs: Attr[] = [
    [NDA_DST, bytes],
    [NDA_LLADDR, parseMac(mac)],
  ];
  const body = encodeBody(ndmsg(familyOf(bytes), index, NUD_PERMANENT), attrs);
  socket.request(`neigh add ${ip}`, RTM_NEWNEIGH, HOW[how], body);
}

export function deleteNeighbour(socket: NetlinkClient, index: number, ip: string): void {
  const bytes = parseIp(ip);
  socket.request(`neigh del ${ip}`, RTM_DELNEIGH, 0, encodeBody(ndmsg(familyOf(bytes), index, 0), [[NDA_DST, bytes]]));
}

export function listNeighbours(socket: NetlinkClient): Neighbour[] {
  return neighbours(socket, ndmsg(0, 0, 0));
}

function neighbours(socket: NetlinkClient, header: Uint8Array): Neighbour[] {
  return socket
    .request("neigh list", RTM_GETNEIGH, NLM_F_DUMP, header)
    .map(decodeNeighbour)
    .filter((entry) => entry !== undefined);
}

/** Decodes RTM_NEWNEIGH and RTM_DELNEIGH; undefined for entries that are not about an IP address. */
export function decodeNeighbour(message: Message): Neighbour | undefined {
  const { view, attrs } = splitBody(message, 12);
  const ip = getIp(attrs.get(NDA_DST));
  const mac = attrs.get(NDA_LLADDR);
  // What bridges know (AF_BRIDGE) has the other end's address in the same place: see bridges.ts.
  if (ip === undefined || (view.getUint8(0) !== AF_INET && view.getUint8(0) !== AF_INET6)) return undefined;
  return {
    index: view.getInt32(4, true),
    ip,
    mac: mac?.length === 6 ? formatMac(mac) : undefined,
    state: view.getUint16(8, true),
    ...(view.getUint8(10) & NTF_PROXY && { proxy: true as const }),
  };
}

function ndmsg(family: number, index: number, state: number, flags = 0): Uint8Array {
  const header = new Uint8Array(12);
  header[10] = flags;
  header[0] = family;
  viewOf(header).setInt32(4, index, true);
  viewOf(header).setUint16(8, state, true);
  return header;
}

// ---- routes

export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_IIF = 3;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
const RTA_NH_ID = 30;
export const RTA_MARK = 16;

export const RT_TABLE_DEFAULT = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTPROT_STATIC = 4;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
/** In a deletion: any scope. */
export const RT_SCOPE_NOWHERE = 255;
/** Route types by the names that ip(8) gives them. */
export const RTN = { unicast: 1, local: 2, broadcast: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

export interface RouteSpec {
  /** `10.1.0.0/16`, `::/0`; `default` needs a family: write the prefix. */
  readonly dst: string;
  readonly via?: string;
  readonly oif?: number;
  readonly type?: keyof typeof RTN;
  readonly src?: string;
  readonly metric?: number;
  readonly table?: number;
  readonly encap?: Encap;
  /** Several ways, each with its share, in the place of `via` and `oif`. */
  readonly nexthops?: readonly HopSpec[];
  /** The id of a next hop object (`addNexthop`), in the place of them. */
  readonly nexthop?: number;
  /** Of the connections that take it. */
  readonly metrics?: RouteMetrics;
  /** RTPROT_*: who made it; 4 (static) when absent. */
  readonly protocol?: number;
  readonly tos?: number;
  /** The gateway is on the device's link, whatever its addresses say. */
  readonly onlink?: boolean;
}

/** Source: include/uapi/linux/rtnetlink.h RTAX_*. Times are milliseconds as the kernel scales them. */
export const METRICS = {
  mtu: [2, schema.u32],
  window: [3, schema.u32],
  rtt: [4, schema.u32],
  rttVar: [5, schema.u32],
  ssthresh: [6, schema.u32],
  cwnd: [7, schema.u32],
  advmss: [8, schema.u32],
  reordering: [9, schema.u32],
  hopLimit: [10, schema.u32],
  initCwnd: [11, schema.u32],
  features: [12, schema.u32],
  rtoMin: [13, schema.u32],
  initRwnd: [14, schema.u32],
  quickAck: [15, schema.u32],
  congestion: [16, text],
} as const satisfies Table;
export type RouteMetrics = Values<typeof METRICS>;

export interface RouteInfo extends EncapInfo {
  readonly dst: string;
  readonly via: string | undefined;
  readonly oif: number | undefined;
  readonly src: string | undefined;
  readonly metric: number | undefined;
  readonly table: number;
  /** RTN_*. */
  readonly type: number;
  /** RTPROT_*: 2 kernel, 4 static. */
  readonly protocol: number;
  readonly nexthops?: readonly Hop[];
  readonly nexthop?: number;
  readonly metrics?: RouteMetrics;
  readonly onlink?: true;
}

/**
 * Adds a route, in the place of the one of the same prefix, metric and table unless said otherwise. Of appended ones IPv6
 * makes another way of the route that is there.
 */
export function addRoute(socket: NetlinkClient, route: RouteSpec, how: How = "replace"): void {
  socket.request(`route add ${route.dst}`, RTM_NEWROUTE, HOW[how], routeBody(route));
}

/** Takes away the first route that agrees with all that is given. */
export function deleteRoute(socket: NetlinkClient, route: RouteSpec): void {
  socket.request(`route del ${route.dst}`, RTM_DELROUTE, 0, routeBody(route, true));
}

export function listRoutes(socket: NetlinkClient): RouteInfo[] {
  return socket.request("route list", RTM_GETROUTE, NLM_F_DUMP, new Uint8Array(12)).map(decodeRoute);
}

/** What is known of a packet whose way is asked for. */
export interface RouteQuery {
  readonly dst: string;
  readonly src?: string;
  readonly iif?: number;
  readonly oif?: number;
  readonly mark?: number;
}

/** The way that a packet would take. @throws SysError as its sender would get it: ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL. */
export function getRoute(socket: NetlinkClient, { dst, src, iif, oif, mark }: RouteQuery): RouteInfo {
  const address = parseIp(dst);
  const header = new Uint8Array(12);
  const bits = address.length * 8;
  header.set([familyOf(address), bits, src === undefined ? 0 : bits]);
  // Otherwise the answer says "main" whatever table the route is of. IPv6 says the right one, and knows no such flag.
  if (address.length === 4) viewOf(header).setUint32(8, RTM_F_LOOKUP_TABLE, true);
  const attrs: Attr[] = [[RTA_DST, address]];
  if (src !== undefined) attrs.push([RTA_SRC, parseIp(src)]);
  if (iif !== undefined) attrs.push([RTA_IIF, u32(iif)]);
  if (oif !== undefined) attrs.push([RTA_OIF, u32(oif)]);
  if (mark !== undefined) attrs.push([RTA_MARK, u32(mark)]);
  const what = `route get ${dst}`;
  return decodeRoute(onlyAnswer(what, socket.request(what, RTM_GETROUTE, 0, encodeBody(header, attrs))));
}

/** Decodes RTM_NEWROUTE and RTM_DELROUTE. */
export function decodeRoute(message: Message): RouteInfo {
  const { view, attrs } = splitBody(message, 12);
  const [family, length, , , table, protocol, , type] = message.body;
  const hops = attrs.get(RTA_MULTIPATH);
  const metrics = attrs.get(RTA_METRICS);
  const nexthop = getU32(attrs.get(RTA_NH_ID));
  const dst = attrs.get(RTA_DST) ?? new Uint8Array(family === AF_INET ? 4 : 16);
  return {
    dst: `${getIp(dst) ?? "?"}/${length}`,
    via: gatewayOf(attrs),
    oif: getU32(attrs.get(RTA_OIF)),
    src: getIp(attrs.get(RTA_PREFSRC)),
    metric: getU32(attrs.get(RTA_PRIORITY)),
    table: getU32(attrs.get(RTA_TABLE)) ?? table!,
    type: type!,
    protocol: protocol!,
    ...(hops && { nexthops: decodeHops(hops) }),
    ...(nexthop !== undefined && { nexthop }),
    ...(metrics && { metrics: decodeValues(METRICS, metrics) }),
    ...(view.getUint32(8, true) & RTNH_F_ONLINK && { onlink: true as const }),
    ...decodeEncap(attrs.get(RTA_ENCAP_TYPE), attrs.get(RTA_ENCAP)),
  };
}

function routeBody(route: RouteSpec, anyKind = false): Uint8Array {
  const { address, prefixLength } = parseCidr(route.dst);
  const table = route.table ?? RT_TABLE_MAIN;
  const header = new Uint8Array(12);
  header.set([familyOf(address), prefixLength, 0, 0, table < 256 ? table : 0]);
  if (anyKind) header.set([0, RT_SCOPE_NOWHERE, route.type ? RTN[route.type] : 0], 5);
  else header.set([route.protocol ?? RTPROT_STATIC, scopeOf(route), RTN[route.type ?? "unicast"]], 5);
  header[3] = route.tos ?? 0;
  if (route.onlink) viewOf(header).setUint32(8, RTNH_F_ONLINK, true);
  const attrs: Attr[] = [
    [RTA_DST, address],
    [RTA_TABLE, u32(table)],
  ];
  if (route.oif !== undefined) attrs.push([RTA_OIF, u32(route.oif)]);
  if (route.via !== undefined) attrs.push(gatewayAttr(route.via, familyOf(address)));
  if (route.nexthops) attrs.push([RTA_MULTIPATH, hopsAttr(route.nexthops, familyOf(address))]);
  if (route.nexthop !== undefined) attrs.push([RTA_NH_ID, u32(route.nexthop)]);
  if (route.metrics) attrs.push([RTA_METRICS, encodeValues(METRICS, route.metrics).attrs]);
  if (route.src !== undefined) attrs.push([RTA_PREFSRC, parseIp(route.src)]);
  if (route.metric !== undefined) attrs.push([RTA_PRIORITY, u32(route.metric)]);
  if (route.encap) attrs.push(...encapAttrs(route.encap));
  return encodeBody(header, attrs);
}

function scopeOf({ via, nexthop, nexthops, type = "unicast" }: RouteSpec): number {
  const gateway = via !== undefined || nexthop !== undefined || nexthops?.some((hop) => hop.via !== undefined);
  return !gateway && type === "unicast" ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

// ---- rules

export const FRA_DST = 1;
export const FRA_SRC = 2;
export const FRA_IIFNAME = 3;
export const FRA_PRIORITY = 6;
export const FRA_FWMARK = 10;
export const FRA_TABLE = 15;
export const FR_ACT_TO_TBL = 1;

export interface Rule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly from?: string;
  readonly to?: string;
  readonly iif?: string;
  readonly mark?: number;
  /** Bits of the mark that count. */
  readonly mask?: number;
  readonly oif?: string;
  readonly ipProto?: number;
  readonly sport?: { readonly start: number; readonly end: number };
  readonly dport?: { readonly start: number; readonly end: number };
  readonly uids?: { readonly start: number; readonly end: number };
  /** Routes with a prefix no longer than this do not count. */
  readonly suppressPrefixLength?: number;
  /** The table is that of the VRF that the packet is in. */
  readonly l3mdev?: boolean;
  /** In the place of a look-up. */
  readonly action?: (typeof RULE_ACTIONS)[number];
  readonly tos?: number;
}

const RULE_ACTIONS = ["table", "goto", "nop", "", "", "blackhole", "unreachable", "prohibit"] as const;
const range16 = struct({ start: schema.u16, end: schema.u16 });
const RULE = {
  iif: [3, text],
  oif: [17, text],
  mark: [10, schema.u32],
  mask: [16, schema.u32],
  suppressPrefixLength: [14, schema.u32],
  l3mdev: [19, schema.bool()],
  uids: [20, struct({ start: schema.u32, end: schema.u32 })],
  ipProto: [22, schema.u8],
  sport: [23, range16],
  dport: [24, range16],
} as const satisfies Table;

export function addRule(socket: NetlinkClient, rule: Rule): void {
  socket.request(`rule add ${rule.priority}`, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, ruleBody(rule));
}

export function deleteRule(socket: NetlinkClient, rule: Rule): void {
  socket.request(`rule del ${rule.priority}`, RTM_DELRULE, 0, ruleBody(rule));
}

export function listRules(socket: NetlinkClient): Rule[] {
  return socket.request("rule list", RTM_GETRULE, NLM_F_DUMP, new Uint8Array(12)).flatMap((message) => {
    const { attrs } = splitBody(message, 12);
    const { body } = message;
    const family = body[0];
    if (family !== AF_INET && family !== AF_INET6) return [];
    const prefix = (type: number, length: number) => {
      const ip = getIp(attrs.get(type));
      return ip && `${ip}/${length}`;
    };
    return {
      family: family === AF_INET ? 4 : 6,
      priority: getU32(attrs.get(FRA_PRIORITY)) ?? 0,
      table: getU32(attrs.get(FRA_TABLE)) ?? body[4]!,
      from: prefix(FRA_SRC, body[2]!),
      to: prefix(FRA_DST, body[1]!),
      iif: undefined,
      mark: undefined,
      ...ruleValues(body),
    };
  });
}

/** What is not there, or is what it is without being said, is left out. */
function ruleValues(body: Uint8Array): Partial<Rule> {
  const { suppressPrefixLength, l3mdev, mask, ...values } = decodeValues(RULE, body.subarray(12));
  const action = RULE_ACTIONS[body[7]! - FR_ACT_TO_TBL];
  return {
    ...values,
    ...(mask !== undefined && mask !== FOREVER && { mask }),
    ...(suppressPrefixLength !== undefined && suppressPrefixLength !== FOREVER && { suppressPrefixLength }),
    ...(l3mdev && { l3mdev }),
    ...(action && action !== "table" && { action }),
    ...(body[3] && { tos: body[3] }),
  };
}

function ruleBody(rule: Rule): Uint8Array {
  const from = rule.from === undefined ? undefined : parseCidr(rule.from);
  const to = rule.to === undefined ? undefined : parseCidr(rule.to);
  const header = new Uint8Array(12);
  header.set([rule.family === 4 ? AF_INET : AF_INET6, to?.prefixLength ?? 0, from?.prefixLength ?? 0]);
  header[3] = rule.tos ?? 0;
  header[7] = FR_ACT_TO_TBL + RULE_ACTIONS.indexOf(rule.action ?? "table");
  const attrs: Attr[] = [
    [FRA_PRIORITY, u32(rule.priority)],
    [FRA_TABLE, u32(rule.table)],
  ];
  if (to) attrs.push([FRA_DST, to.address]);
  if (from) attrs.push([FRA_SRC, from.address]);
  attrs.push(...encodeValues(RULE, rule).attrs);
  return encodeBody(header, attrs);
}
