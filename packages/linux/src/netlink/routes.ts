/**
 * rtnetlink: addresses, neighbours, routes and rules.
 * Source: include/uapi/linux/rtnetlink.h, if_addr.h, neighbour.h, fib_rules.h, lwtunnel.h.
 */

import { viewOf } from "@ebplane/core/bytes";
import { formatIp, formatMac, parseCidr, parseIp, parseMac } from "@ebplane/core/wire";

import {
  type Attr,
  cstring,
  decodeAttrs,
  encodeBody,
  getString,
  getU32,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  u16,
  u32,
} from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const AF_INET = 2;
const AF_INET6 = 10;
const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF_INET : AF_INET6);

// ---- addresses

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;

export interface AddressInfo {
  readonly index: number;
  /** `10.0.0.1/24`. */
  readonly prefix: string;
  /** IFA_F_*: 0x40 is tentative. */
  readonly flags: number;
}

/** Gives a device an address, at once: without duplicate address detection. */
export function addAddress(socket: NetlinkSocket, index: number, prefix: string): void {
  address(socket, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, prefix);
}

export function deleteAddress(socket: NetlinkSocket, index: number, prefix: string): void {
  address(socket, RTM_DELADDR, 0, index, prefix);
}

function address(socket: NetlinkSocket, type: number, flags: number, index: number, prefix: string): void {
  const { address, prefixLength } = parseCidr(prefix);
  const header = new Uint8Array(8);
  header.set([familyOf(address), prefixLength, address.length === 16 ? IFA_F_NODAD : 0, 0]);
  viewOf(header).setUint32(4, index, true);
  const attrs: Attr[] = [
    [IFA_LOCAL, address],
    [IFA_ADDRESS, address],
  ];
  const verb = type === RTM_NEWADDR ? "add" : "del";
  socket.request(`addr ${verb} ${prefix}`, type, flags, encodeBody(header, attrs));
}

export function listAddresses(socket: NetlinkSocket): AddressInfo[] {
  return socket.request("addr list", RTM_GETADDR, NLM_F_DUMP, new Uint8Array(8)).map(decodeAddress);
}

/** Decodes RTM_NEWADDR and RTM_DELADDR. */
export function decodeAddress({ body }: Message): AddressInfo {
  const attrs = decodeAttrs(body.subarray(8));
  const bytes = attrs.get(IFA_LOCAL) ?? attrs.get(IFA_ADDRESS)!;
  return {
    index: viewOf(body).getUint32(4, true),
    prefix: `${formatIp(bytes)}/${body[1]}`,
    flags: getU32(attrs.get(8)) ?? body[2]!,
  };
}

// ---- neighbours

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;

export interface Neighbour {
  readonly index: number;
  readonly ip: string;
  readonly mac: string | undefined;
  /** NUD_*: 2 reachable, 4 stale, 32 failed, 128 permanent. */
  readonly state: number;
}

/** A permanent neighbour entry; replaces what was known of the address. */
export function addNeighbour(socket: NetlinkSocket, index: number, ip: string, mac: string): void {
  const bytes = parseIp(ip);
  const attrs: Attr[] = [
    [NDA_DST, bytes],
    [NDA_LLADDR, parseMac(mac)],
  ];
  const body = encodeBody(ndmsg(familyOf(bytes), index, NUD_PERMANENT), attrs);
  socket.request(`neigh add ${ip}`, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body);
}

export function deleteNeighbour(socket: NetlinkSocket, index: number, ip: string): void {
  const bytes = parseIp(ip);
  socket.request(`neigh del ${ip}`, RTM_DELNEIGH, 0, encodeBody(ndmsg(familyOf(bytes), index, 0), [[NDA_DST, bytes]]));
}

export function listNeighbours(socket: NetlinkSocket): Neighbour[] {
  return socket
    .request("neigh list", RTM_GETNEIGH, NLM_F_DUMP, ndmsg(0, 0, 0))
    .map(decodeNeighbour)
    .filter((entry) => entry !== undefined);
}

/** Decodes RTM_NEWNEIGH and RTM_DELNEIGH; undefined for entries that are not about an IP address. */
export function decodeNeighbour({ body }: Message): Neighbour | undefined {
  const attrs = decodeAttrs(body.subarray(12));
  const ip = attrs.get(NDA_DST);
  const mac = attrs.get(NDA_LLADDR);
  if (!ip || (ip.length !== 4 && ip.length !== 16)) return undefined;
  const view = viewOf(body);
  return {
    index: view.getInt32(4, true),
    ip: formatIp(ip),
    mac: mac?.length === 6 ? formatMac(mac) : undefined,
    state: view.getUint16(8, true),
  };
}

function ndmsg(family: number, index: number, state: number): Uint8Array {
  const header = new Uint8Array(12);
  header[0] = family;
  viewOf(header).setInt32(4, index, true);
  viewOf(header).setUint16(8, state, true);
  return header;
}

// ---- routes

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
const RTA_ENCAP_TYPE = 21;
const RTA_ENCAP = 22;

export const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
/** In a deletion: any scope. */
const RT_SCOPE_NOWHERE = 255;
/** Route types by the names that ip(8) gives them. */
const RTN = { unicast: 1, local: 2, broadcast: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

const LWTUNNEL_ENCAP_IP = 2;
const LWTUNNEL_ENCAP_IP6 = 4;
const LWTUNNEL_ENCAP_SEG6 = 5;
const LWTUNNEL_ENCAP_BPF = 6;
const LWTUNNEL_ENCAP_SEG6_LOCAL = 7;

/** What happens to packets that take the route, before they leave. */
export type Encap =
  | {
      readonly type: "bpf";
      /** Program fds; at least one. */
      readonly in?: number;
      readonly out?: number;
      readonly xmit?: number;
      /** Bytes that the xmit program may push: at most 256. */
      readonly headroom?: number;
      /** The kernel tells encaps apart by this name alone: two programs under one name are one route to it. */
      readonly name: string;
    }
  | { readonly type: "ip"; readonly id: bigint; readonly dst: string; readonly src?: string; readonly ttl?: number }
  | { readonly type: "seg6"; readonly mode: "inline" | "encap" | "l2encap"; readonly segments: readonly string[] }
  | {
      /** SRv6 endpoint that runs a BPF program (End.BPF), fd given. */
      readonly type: "seg6local-bpf";
      readonly program: number;
      readonly name?: string;
    };

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
}

export interface RouteInfo {
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
  /** LWTUNNEL_ENCAP_*; 0 without. */
  readonly encapType: number;
  /** The names of a bpf encap's programs; undefined for another encap, or none. */
  readonly bpf?: { readonly in?: string; readonly out?: string; readonly xmit?: string };
}

/** Adds a route, or replaces the one of the same prefix, metric and table. */
export function addRoute(socket: NetlinkSocket, route: RouteSpec): void {
  socket.request(`route add ${route.dst}`, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, routeBody(route));
}

/** Takes away the first route that agrees with all that is given. */

export function deleteRoute(socket: NetlinkSocket, route: RouteSpec): void {
  socket.request(`route del ${route.dst}`, RTM_DELROUTE, 0, routeBody(route, true));
}

export function listRoutes(socket: NetlinkSocket): RouteInfo[] {
  return socket.request("route list", RTM_GETROUTE, NLM_F_DUMP, new Uint8Array(12)).map(decodeRoute);
}

/** Decodes RTM_NEWROUTE and RTM_DELROUTE. */
export function decodeRoute({ body }: Message): RouteInfo {
  const attrs = decodeAttrs(body.subarray(12));
  const [family, length, , , table, protocol, , type] = body;
  const dst = attrs.get(RTA_DST) ?? new Uint8Array(family === AF_INET ? 4 : 16);
  const text = (value: Uint8Array | undefined) => value && formatIp(value);
  return {
    dst: `${formatIp(dst)}/${length}`,
    via: text(attrs.get(RTA_GATEWAY)),
    oif: getU32(attrs.get(RTA_OIF)),
    src: text(attrs.get(RTA_PREFSRC)),
    metric: getU32(attrs.get(RTA_PRIORITY)),
    table: getU32(attrs.get(RTA_TABLE)) ?? table!,
    type: type!,
    protocol: protocol!,
    ...decodeEncap(attrs),
  };
}

function decodeEncap(attrs: ReadonlyMap<number, Uint8Array>): Pick<RouteInfo, "encapType" | "bpf"> {
  const type = attrs.get(RTA_ENCAP_TYPE);
  const encapType = type ? viewOf(type).getUint16(0, true) : 0;
  const encap = attrs.get(RTA_ENCAP);
  if (encapType !== LWTUNNEL_ENCAP_BPF || !encap) return { encapType };
  const hooks = decodeAttrs(encap);
  const name = (hook: number): string | undefined => {
    const program = hooks.get(hook);
    return program && getString(decodeAttrs(program).get(2));
  };
  return { encapType, bpf: { in: name(1), out: name(2), xmit: name(3) } };
}

function routeBody(route: RouteSpec, anyKind = false): Uint8Array {
  const { address, prefixLength } = parseCidr(route.dst);
  const table = route.table ?? RT_TABLE_MAIN;
  const header = new Uint8Array(12);
  header.set([familyOf(address), prefixLength, 0, 0, table < 256 ? table : 0]);
  if (anyKind) header.set([0, RT_SCOPE_NOWHERE, route.type ? RTN[route.type] : 0], 5);
  else header.set([RTPROT_STATIC, scopeOf(route), RTN[route.type ?? "unicast"]], 5);
  const attrs: Attr[] = [
    [RTA_DST, address],
    [RTA_TABLE, u32(table)],
  ];
  if (route.oif !== undefined) attrs.push([RTA_OIF, u32(route.oif)]);
  if (route.via !== undefined) attrs.push([RTA_GATEWAY, parseIp(route.via)]);
  if (route.src !== undefined) attrs.push([RTA_PREFSRC, parseIp(route.src)]);
  if (route.metric !== undefined) attrs.push([RTA_PRIORITY, u32(route.metric)]);
  if (route.encap) attrs.push(...encapAttrs(route.encap));
  return encodeBody(header, attrs);
}

function scopeOf({ via, type = "unicast" }: RouteSpec): number {
  return via === undefined && type === "unicast" ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

function encapAttrs(encap: Encap): Attr[] {
  const of = (type: number, attrs: readonly Attr[]): Attr[] => [
    [RTA_ENCAP_TYPE, u16(type)],
    [RTA_ENCAP, attrs],
  ];
  switch (encap.type) {
    case "bpf": {
      const attrs: Attr[] = [];
      const hooks = [encap.in, encap.out, encap.xmit];
      hooks.forEach((fd, i) => {
        if (fd !== undefined) attrs.push([i + 1, progAttrs(fd, encap.name)]);
      });
      if (encap.headroom !== undefined) attrs.push([4, u32(encap.headroom)]);
      return of(LWTUNNEL_ENCAP_BPF, attrs);
    }
    case "ip": {
      const dst = parseIp(encap.dst);
      const id = new Uint8Array(8);
      viewOf(id).setBigUint64(0, encap.id); // Big-endian.
      const attrs: Attr[] = [
        [1, id],
        [2, dst],
      ];
      if (encap.src !== undefined) attrs.push([3, parseIp(encap.src)]);
      if (encap.ttl !== undefined) attrs.push([4, Uint8Array.of(encap.ttl)]);
      return of(dst.length === 4 ? LWTUNNEL_ENCAP_IP : LWTUNNEL_ENCAP_IP6, attrs);
    }
    case "seg6":
      return of(LWTUNNEL_ENCAP_SEG6, [[1, seg6Tunnel(encap.mode, encap.segments)]]);
    case "seg6local-bpf":
      return of(LWTUNNEL_ENCAP_SEG6_LOCAL, [
        [1, u32(15)], // SEG6_LOCAL_ACTION_END_BPF
        [8, progAttrs(encap.program, encap.name ?? "ebplane")],
      ]);
  }
}

/** fd and name: the kernel insists on both. */
function progAttrs(fd: number, name: string): Attr[] {
  return [
    [1, u32(fd)],
    [2, cstring(name)],
  ];
}

/** `struct seg6_iptunnel_encap`: the mode and a whole segment routing header, last segment first. */
function seg6Tunnel(mode: "inline" | "encap" | "l2encap", segments: readonly string[]): Uint8Array {
  const count = segments.length + (mode === "inline" ? 1 : 0); // Inline keeps a slot for the original destination.
  const out = new Uint8Array(4 + 8 + 16 * count);
  viewOf(out).setUint32(0, ["inline", "encap", "l2encap"].indexOf(mode), true);
  out.set([0, (16 * count) / 8, 4, count - 1, count - 1, 0, 0, 0], 4);
  segments.forEach((segment, i) => {
    const bytes = parseIp(segment);
    if (bytes.length !== 16) throw new RangeError(`segment ${segment}: expected an IPv6 address`);
    out.set(bytes, 12 + 16 * (count - 1 - i));
  });
  return out;
}

// ---- rules

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;

export interface Rule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly from?: string;
  readonly to?: string;
  readonly iif?: string;
  readonly mark?: number;
}

export function addRule(socket: NetlinkSocket, rule: Rule): void {
  socket.request(`rule add ${rule.priority}`, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, ruleBody(rule));
}

export function deleteRule(socket: NetlinkSocket, rule: Rule): void {
  socket.request(`rule del ${rule.priority}`, RTM_DELRULE, 0, ruleBody(rule));
}

export function listRules(socket: NetlinkSocket): Rule[] {
  return socket.request("rule list", RTM_GETRULE, NLM_F_DUMP, new Uint8Array(12)).flatMap(({ body }) => {
    const family = body[0];
    if (family !== AF_INET && family !== AF_INET6) return [];
    const attrs = decodeAttrs(body.subarray(12));
    const prefix = (type: number, length: number) => {
      const bytes = attrs.get(type);
      return bytes && `${formatIp(bytes)}/${length}`;
    };
    return {
      family: family === AF_INET ? 4 : 6,
      priority: getU32(attrs.get(FRA_PRIORITY)) ?? 0,
      table: getU32(attrs.get(FRA_TABLE)) ?? body[4]!,
      from: prefix(FRA_SRC, body[2]!),
      to: prefix(FRA_DST, body[1]!),
      iif: getString(attrs.get(FRA_IIFNAME)),
      mark: getU32(attrs.get(FRA_FWMARK)),
    };
  });
}

function ruleBody(rule: Rule): Uint8Array {
  const FR_ACT_TO_TBL = 1;
  const from = rule.from === undefined ? undefined : parseCidr(rule.from);
  const to = rule.to === undefined ? undefined : parseCidr(rule.to);
  const header = new Uint8Array(12);
  header.set([rule.family === 4 ? AF_INET : AF_INET6, to?.prefixLength ?? 0, from?.prefixLength ?? 0]);
  header[7] = FR_ACT_TO_TBL;
  const attrs: Attr[] = [
    [FRA_PRIORITY, u32(rule.priority)],
    [FRA_TABLE, u32(rule.table)],
  ];
  if (to) attrs.push([FRA_DST, to.address]);
  if (from) attrs.push([FRA_SRC, from.address]);
  if (rule.iif !== undefined) attrs.push([FRA_IIFNAME, cstring(rule.iif)]);
  if (rule.mark !== undefined) attrs.push([FRA_FWMARK, u32(rule.mark)]);
  return encodeBody(header, attrs);
}
