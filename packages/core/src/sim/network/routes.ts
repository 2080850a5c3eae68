/**
 * Routes and rules: added with the checks of a nexthop, and looked up as a packet's way is.
 * Source: net/ipv4/fib_frontend.c, fib_semantics.c (fib_check_nh), fib_trie.c, fib_rules.c; net/ipv6/route.c of 6.18.
 */
import { Errno } from "../../errors/index.ts";
import {
  AF_INET,
  AF_INET6,
  type Attr,
  encodeBody,
  getU32,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTA_DST,
  RTA_ENCAP,
  RTA_ENCAP_TYPE,
  RTA_GATEWAY,
  RTA_OIF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_TABLE,
  RTN,
  u32,
} from "../../netlink/index.ts";
import { cidrContains, hostBitsSet } from "../../wire/index.ts";
import {
  linkAt,
  type NetAddress,
  type NetLink,
  type Netns,
  type NetRoute,
  type NetRule,
  refuse,
  sameBytes,
} from "./state.ts";

const HEADER = 12;
/** Metric of an IPv6 route that says none. */
const IP6_RT_PRIO_USER = 1024;
const LWTUNNEL_ENCAP_BPF = 6;
/** Route types that name what to answer instead of a way. Source: fib_props in fib_semantics.c. */
const ERRORS = new Map<number, number>([
  [RTN.blackhole, Errno.EINVAL],
  [RTN.unreachable, Errno.EHOSTUNREACH],
  [RTN.prohibit, Errno.EACCES],
]);

export interface RouteRequest {
  readonly family: number;
  readonly length: number;
  readonly tos: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly dst: Uint8Array;
  readonly via: Uint8Array | undefined;
  readonly oif: number | undefined;
  readonly source: Uint8Array | undefined;
  readonly metric: number | undefined;
  readonly encap: NetRoute["encap"];
}

export function routeRequest(view: DataView, attrs: ReadonlyMap<number, Uint8Array>): RouteRequest {
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) refuse(Errno.EOPNOTSUPP);
  const size = family === AF_INET ? 4 : 16;
  const address = (type: number): Uint8Array | undefined => {
    const bytes = attrs.get(type);
    if (bytes && bytes.length < size) refuse(Errno.EINVAL, "Attribute failed policy validation");
    return bytes?.slice(0, size);
  };
  const length = view.getUint8(1);
  if (length > size * 8) refuse(Errno.EINVAL, "Invalid prefix length");
  const type = attrs.get(RTA_ENCAP_TYPE);
  const encap = attrs.get(RTA_ENCAP);
  if (type?.[0] === LWTUNNEL_ENCAP_BPF) refuse(Errno.EOPNOTSUPP, "sim has no programs on routes");
  return {
    family,
    length,
    tos: view.getUint8(3),
    table: getU32(attrs.get(RTA_TABLE)) ?? (view.getUint8(4) || RT_TABLE_MAIN),
    protocol: view.getUint8(5),
    scope: view.getUint8(6),
    type: view.getUint8(7),
    dst: address(RTA_DST) ?? new Uint8Array(size),
    via: address(RTA_GATEWAY),
    oif: getU32(attrs.get(RTA_OIF)),
    source: address(RTA_PREFSRC),
    metric: getU32(attrs.get(RTA_PRIORITY)),
    encap: type && encap && { type: type.slice(), attrs: encap.slice() },
  };
}

export interface RouteFlags {
  readonly create: boolean;
  readonly replace: boolean;
  readonly exclusive: boolean;
  readonly append: boolean;
}

export function addRoute(ns: Netns, request: RouteRequest, flags: RouteFlags): void {
  const { family, dst, length } = request;
  const v4 = family === AF_INET;
  if (v4 && hostBitsSet({ address: dst, prefixLength: length })) {
    refuse(Errno.EINVAL, "Invalid prefix for given prefix length");
  }
  const link = nexthop(ns, request);
  if (request.source && !ns.addresses.some((a) => sameBytes(a.bytes, request.source))) {
    refuse(Errno.EINVAL, v4 ? "Invalid prefsrc address" : "Invalid source address");
  }
  const metric = v4 ? (request.metric ?? 0) : request.metric || IP6_RT_PRIO_USER;
  const route: NetRoute = { ...request, metric, link };
  const same = (r: NetRoute): boolean =>
    r.family === family &&
    r.table === route.table &&
    r.length === length &&
    r.metric === metric &&
    r.tos === route.tos &&
    sameBytes(r.dst, dst);
  const there = ns.routes.findIndex(same);
  if (there < 0) {
    if (!flags.create) refuse(Errno.ENOENT);
    ns.routes.push(route);
  } else if (flags.replace) ns.routes[there] = route;
  else if (!flags.create && !flags.append) refuse(Errno.ENOENT);
  else if (flags.exclusive || !flags.append) refuse(Errno.EEXIST);
  else ns.routes.push(route);
}

/** The device that the route leaves by, checked; undefined for routes that only answer. */
function nexthop(ns: Netns, { family, type, via, oif, table }: RouteRequest): NetLink | undefined {
  const v4 = family === AF_INET;
  if (ERRORS.has(type)) return v4 ? undefined : ns.links.find((link) => link.index === 1);
  const link = oif ? (linkAt(ns, oif) ?? refuse(Errno.ENODEV)) : undefined;
  if (!via) {
    if (!link) refuse(Errno.ENODEV);
    if (!link.up) refuse(Errno.ENETDOWN, v4 ? "Device for nexthop is not up" : "Nexthop device is not up");
    return link;
  }
  if (link && !link.up) refuse(Errno.ENETDOWN, "Nexthop device is not up");
  const way = longest(
    ns,
    via,
    (r) => (r.table === RT_TABLE_MAIN || r.table === RT_TABLE_LOCAL || r.table === table) && (!link || r.link === link),
  );
  if (v4) {
    if (!way || way.via || (way.type !== RTN.unicast && way.type !== RTN.local)) {
      refuse(Errno.ENETUNREACH, "Nexthop has invalid gateway");
    }
    return way.link;
  }
  if (!way || way.via || ERRORS.has(way.type)) refuse(Errno.EHOSTUNREACH);
  if (way.type === RTN.local) refuse(Errno.EINVAL, "Gateway can not be a local address");
  return way.link;
}

export function deleteRoute(ns: Netns, request: RouteRequest): void {
  const v4 = request.family === AF_INET;
  if (
    v4 &&
    !ns.routes.some((r) => r.table === request.table) &&
    ![RT_TABLE_MAIN, RT_TABLE_DEFAULT, RT_TABLE_LOCAL].includes(request.table)
  ) {
    refuse(Errno.ESRCH, "FIB table does not exist");
  }
  const at = ns.routes.findIndex(
    (r) =>
      r.family === request.family &&
      r.table === request.table &&
      r.length === request.length &&
      sameBytes(r.dst, request.dst) &&
      (request.type === 0 || r.type === request.type) &&
      (request.scope === RT_SCOPE_NOWHERE || !v4 || r.scope === request.scope) &&
      (request.protocol === 0 || r.protocol === request.protocol) &&
      (!request.metric || r.metric === request.metric) &&
      (!request.via || sameBytes(r.via, request.via)) &&
      (!request.oif || r.link?.index === request.oif) &&
      (!request.source || sameBytes(r.source, request.source)),
  );
  if (at < 0) refuse(Errno.ESRCH);
  ns.routes.splice(at, 1);
}

/** A packet, as far as its way depends on it. */
export interface Flow {
  readonly dst: Uint8Array;
  readonly src?: Uint8Array;
  /** The device that it came by. */
  readonly iif?: NetLink;
  /** The device that it must leave by. */
  readonly oif?: NetLink;
  readonly mark?: number;
  /** Only this table, without rules. */
  readonly table?: number;
}

/** The route that a packet takes, or the errno that its sender gets. */
export function lookup(ns: Netns, flow: Flow): NetRoute | number {
  const tables = flow.table === undefined ? tablesFor(ns, flow) : [flow.table];
  for (const table of tables) {
    const route = longest(ns, flow.dst, (r) => r.table === table && (!flow.oif || !r.link || r.link === flow.oif));
    if (route) return ERRORS.get(route.type) ?? route;
  }
  return Errno.ENETUNREACH;
}

function* tablesFor(ns: Netns, { dst, src, iif, mark = 0 }: Flow): Generator<number> {
  const family = dst.length === 4 ? AF_INET : AF_INET6;
  const within = (prefix: NetRule["from"], bytes: Uint8Array): boolean =>
    !prefix || cidrContains({ address: prefix.bytes, prefixLength: prefix.length }, bytes);
  for (const rule of ns.rules) {
    if (rule.family !== family || !within(rule.to, dst)) continue;
    if (rule.from && !within(rule.from, src ?? new Uint8Array(dst.length))) continue;
    if (rule.mark !== undefined && rule.mark !== mark) continue;
    if (rule.iif !== undefined && rule.iif !== (iif?.name ?? "lo")) continue;
    yield rule.table;
  }
}

/** The longest prefix, of those the smallest metric. */
function longest(ns: Netns, dst: Uint8Array, take: (route: NetRoute) => boolean): NetRoute | undefined {
  let best: NetRoute | undefined;
  for (const route of ns.routes) {
    if (best && (route.length < best.length || (route.length === best.length && route.metric >= best.metric))) continue;
    if (cidrContains({ address: route.dst, prefixLength: route.length }, dst) && take(route)) best = route;
  }
  return best;
}

/** The address that a packet of our own leaves with. */
export function sourceFor(ns: Netns, { source, via, link, family }: NetRoute, dst: Uint8Array): Uint8Array | undefined {
  if (source) return source;
  if (!link) return undefined;
  const size = family === AF_INET ? 4 : 16;
  const own = ns.addresses.filter((a) => a.bytes.length === size);
  const near = own.filter((a) => a.link === link);
  if (family === AF_INET6) return nearest(near.length ? near : own, dst)?.bytes;
  const to = via ?? dst;
  const sharing = near.find((a) => cidrContains({ address: a.bytes, prefixLength: a.length }, to));
  return (sharing ?? near[0] ?? own.find((a) => a.link.name !== "lo"))?.bytes;
}

/**
 * IPv6's choice: the longest prefix in common, no longer than the address's own; of equals the latest.
 * Source: RFC 6724 rule 8, net/ipv6/addrconf.c ipv6_dev_get_saddr.
 */
function nearest(addresses: readonly NetAddress[], dst: Uint8Array): NetAddress | undefined {
  let best: NetAddress | undefined;
  let most = -1;
  for (const address of addresses) {
    const bits = Math.min(address.length, commonBits(address.bytes, dst));
    if (bits >= most) [best, most] = [address, bits];
  }
  return best;
}

function commonBits(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? a.length * 8 : at * 8 + Math.clz32(a[at]! ^ b[at]!) - 24;
}

/** RTM_NEWROUTE's body. */
export function encodeRoute(route: NetRoute): Uint8Array {
  const { family, dst, length, table, metric } = route;
  const header = new Uint8Array(HEADER);
  header.set([family, length, 0, route.tos, table < 256 ? table : 252, route.protocol, route.scope, route.type]);
  const attrs: Attr[] = [[RTA_TABLE, u32(table)]];
  if (length > 0) attrs.push([RTA_DST, dst]);
  if (metric || family === AF_INET6) attrs.push([RTA_PRIORITY, u32(metric)]);
  if (route.link) attrs.push([RTA_OIF, u32(route.link.index)]);
  if (route.via) attrs.push([RTA_GATEWAY, route.via]);
  if (route.source) attrs.push([RTA_PREFSRC, route.source]);
  if (route.encap) attrs.push([RTA_ENCAP_TYPE, route.encap.type], [RTA_ENCAP, route.encap.attrs]);
  return encodeBody(header, attrs);
}

/** The answer to "which way": the route as it holds for this one packet. */
export function encodeWay(ns: Netns, route: NetRoute, flow: Flow): Uint8Array {
  const v4 = route.family === AF_INET;
  const loopback = ns.links.find((link) => link.index === 1);
  const local = route.type === RTN.local;
  return encodeRoute({
    ...route,
    table: v4 && ns.merged && route.table === RT_TABLE_LOCAL ? RT_TABLE_MAIN : route.table,
    dst: flow.dst,
    length: flow.dst.length * 8,
    link: v4 && local ? loopback : route.link,
    source: local && v4 ? flow.dst : sourceFor(ns, route, flow.dst),
    scope: RT_SCOPE_UNIVERSE,
    // A cached way has lost where it came from.
    metric: v4 ? 0 : route.metric,
    protocol: v4 ? 0 : route.protocol,
  });
}
