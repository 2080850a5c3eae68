/**
 * rtnetlink: next hops: those inside a route, and those that are objects of their own, which many routes share (Linux 5.3).
 * Source: include/uapi/linux/rtnetlink.h `struct rtnexthop`, nexthop.h `struct nhmsg`, net/ipv4/nexthop.c.
 */
import { concatBytes, viewOf } from "../bytes/index.ts";
import { parseIp } from "../wire/index.ts";
import type { NetlinkClient } from "./client.ts";
import { decodeEncap, type Encap, type EncapInfo, encapAttrs, RTA_ENCAP, RTA_ENCAP_TYPE } from "./encap.ts";
import {
  type Attr,
  decodeAttrs,
  encodeAttrs,
  encodeBody,
  getIp,
  getU32,
  HOW,
  type How,
  type Message,
  NLM_F_DUMP,
  splitBody,
  u32,
} from "./message.ts";

const RTM_NEWNEXTHOP = 104;
const RTM_DELNEXTHOP = 105;
const RTM_GETNEXTHOP = 106;

const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
const RTA_GATEWAY = 5;
const RTA_VIA = 18;
/** RTNH_F_ONLINK: the gateway is taken to be on the device's link, whatever its addresses say. */
export const RTNH_F_ONLINK = 4;

/** One way of a route with several. */
export interface HopSpec {
  readonly via?: string;
  readonly oif?: number;
  /** Its share; 1 when absent. */
  readonly weight?: number;
  readonly onlink?: boolean;
  readonly encap?: Encap;
}

export interface Hop extends Partial<EncapInfo> {
  readonly via: string | undefined;
  readonly oif: number;
  readonly weight: number;
  readonly onlink: boolean;
}

/** A gateway; one of another family than the route's has its family written beside it. */
export function gatewayAttr(via: string, family: number): Attr {
  const address = parseIp(via);
  const own = address.length === 4 ? AF_INET : AF_INET6;
  if (own === family) return [RTA_GATEWAY, address];
  return [RTA_VIA, concatBytes([Uint8Array.of(own, 0), address])];
}

export function gatewayOf(attrs: ReadonlyMap<number, Uint8Array>): string | undefined {
  return getIp(attrs.get(RTA_GATEWAY) ?? attrs.get(RTA_VIA)?.subarray(2));
}

/** RTA_MULTIPATH of a route of this family. */
export function hopsAttr(hops: readonly HopSpec[], family: number): Uint8Array {
  return concatBytes(
    hops.map(({ via, oif = 0, weight = 1, onlink, encap }) => {
      if (!Number.isInteger(weight) || weight < 1 || weight > 256) {
        throw new RangeError(`weight: expected 1 to 256, got ${weight}`);
      }
      const attrs = encodeAttrs([
        ...(via === undefined ? [] : [gatewayAttr(via, family)]),
        ...(encap ? encapAttrs(encap) : []),
      ]);
      const hop = new Uint8Array(8 + attrs.length);
      const view = viewOf(hop);
      view.setUint16(0, hop.length, true);
      view.setUint8(2, onlink ? RTNH_F_ONLINK : 0);
      view.setUint8(3, weight - 1);
      view.setInt32(4, oif, true);
      hop.set(attrs, 8);
      return hop;
    }),
  );
}

export function decodeHops(bytes: Uint8Array): Hop[] {
  const hops: Hop[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 8 || at + length > bytes.length) break;
    const attrs = decodeAttrs(bytes.subarray(at + 8, at + length));
    const encap = attrs.has(RTA_ENCAP_TYPE) ? decodeEncap(attrs.get(RTA_ENCAP_TYPE), attrs.get(RTA_ENCAP)) : {};
    hops.push({
      via: gatewayOf(attrs),
      oif: view.getInt32(at + 4, true),
      weight: view.getUint8(at + 3) + 1,
      onlink: (view.getUint8(at + 2) & RTNH_F_ONLINK) !== 0,
      ...encap,
    });
    at += (length + 3) & -4;
  }
  return hops;
}

// ---- objects of their own

const NHA = { id: 1, group: 2, blackhole: 4, oif: 5, gateway: 6, encapType: 7, encap: 8, fdb: 11 } as const;

export interface NexthopSpec {
  readonly id: number;
  /** Absent for a group, and for an IPv4 one without a gateway. */
  readonly family?: 4 | 6;
  readonly via?: string;
  readonly oif?: number;
  readonly onlink?: boolean;
  readonly blackhole?: boolean;
  /** Other next hops, each with its share. */
  readonly group?: readonly { readonly id: number; readonly weight?: number }[];
  readonly encap?: Encap;
  /** Of a vxlan's forwarding database. */
  readonly fdb?: boolean;
}

export interface Nexthop extends Partial<EncapInfo> {
  readonly id: number;
  readonly via: string | undefined;
  readonly oif: number | undefined;
  readonly blackhole: boolean;
  readonly fdb: boolean;
  readonly group: readonly { readonly id: number; readonly weight: number }[];
  /** RTPROT_*. */
  readonly protocol: number;
}

const RTPROT_STATIC = 4;

export function addNexthop(socket: NetlinkClient, spec: NexthopSpec, how: How = "add"): void {
  const { id, via, oif, group, encap } = spec;
  const attrs: Attr[] = [[NHA.id, u32(id)]];
  const gateway = via === undefined ? undefined : parseIp(via);
  if (group) {
    const entries = group.map(({ id, weight = 1 }) => concatBytes([u32(id), Uint8Array.of(weight - 1, 0, 0, 0)]));
    attrs.push([NHA.group, concatBytes(entries)]);
  }
  if (spec.blackhole) attrs.push([NHA.blackhole, new Uint8Array(0)]);
  if (oif !== undefined) attrs.push([NHA.oif, u32(oif)]);
  if (gateway) attrs.push([NHA.gateway, gateway]);
  if (spec.fdb) attrs.push([NHA.fdb, new Uint8Array(0)]);
  if (encap) {
    const numbers: Readonly<Record<number, number>> = { [RTA_ENCAP_TYPE]: NHA.encapType, [RTA_ENCAP]: NHA.encap };
    attrs.push(...encapAttrs(encap).map(([type, value]): Attr => [numbers[type]!, value]));
  }
  const family = group ? AF_UNSPEC : (gateway?.length ?? (spec.family === 6 ? 16 : 4)) === 16 ? AF_INET6 : AF_INET;
  const header = Uint8Array.of(family, 0, RTPROT_STATIC, 0, spec.onlink ? RTNH_F_ONLINK : 0, 0, 0, 0);
  socket.request(`nexthop add ${id}`, RTM_NEWNEXTHOP, HOW[how], encodeBody(header, attrs));
}

/** Takes it away, with the routes that use it. */
export function deleteNexthop(socket: NetlinkClient, id: number): void {
  socket.request(`nexthop del ${id}`, RTM_DELNEXTHOP, 0, encodeBody(new Uint8Array(8), [[NHA.id, u32(id)]]));
}

export function listNexthops(socket: NetlinkClient): Nexthop[] {
  return socket.request("nexthop list", RTM_GETNEXTHOP, NLM_F_DUMP, new Uint8Array(8)).map(decodeNexthop);
}

function decodeNexthop(message: Message): Nexthop {
  const { view, attrs } = splitBody(message, 8);
  const group = attrs.get(NHA.group) ?? new Uint8Array(0);
  const entries = viewOf(group);
  return {
    id: getU32(attrs.get(NHA.id)) ?? 0,
    via: getIp(attrs.get(NHA.gateway)),
    oif: getU32(attrs.get(NHA.oif)),
    blackhole: attrs.has(NHA.blackhole),
    fdb: attrs.has(NHA.fdb),
    group: Array.from({ length: Math.floor(group.length / 8) }, (_, i) => ({
      id: entries.getUint32(i * 8, true),
      weight: entries.getUint8(i * 8 + 4) + 1,
    })),
    protocol: view.getUint8(2),
    ...(attrs.has(NHA.encapType) ? decodeEncap(attrs.get(NHA.encapType), attrs.get(NHA.encap)) : {}),
  };
}
