/**
 * Devices: made, changed, moved, taken away, with the kernel's checks in the kernel's order.
 * Source: net/core/rtnetlink.c (rtnl_newlink, do_setlink, rtnl_dellink), net/core/dev.c (dev_valid_name,
 * dev_validate_mtu), drivers/net/veth.c, net/bridge/br_if.c (br_add_if) of 6.18.
 */
import { Errno } from "../../errors/index.ts";
import {
  cstring,
  decodeAttrs,
  encodeBody,
  getString,
  getU32,
  IFF_LOWER_UP,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINK_NETNSID,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_NUM_RX_QUEUES,
  IFLA_NUM_TX_QUEUES,
  IFLA_OPERSTATE,
  IFLA_STATS64,
  u8,
  u32,
  VETH_INFO_PEER,
} from "../../netlink/index.ts";
import { forgetAddresses, linkCameUp, linkWentDown } from "./addresses.ts";
import { hasCarrier, isLoopback, linkAt, type NetLink, type Netns, refuse, type World } from "./state.ts";

const IFNAMSIZ = 16;
const HEADER = 16;
const IFF_BROADCAST = 2;
const IFF_LOOPBACK = 8;
const IFF_RUNNING = 64;
const IFF_MULTICAST = 0x1000;
const OPER_UNKNOWN = 0;
const OPER_DOWN = 2;
const OPER_LOWERLAYERDOWN = 3;
const OPER_UP = 6;

/** Smallest and largest MTU; 0 is no bound. Source: each driver's setup function. */
const KINDS: Readonly<Record<string, { readonly min: number; readonly max: number }>> = {
  veth: { min: 68, max: 65535 },
  bridge: { min: 68, max: 65535 },
  ifb: { min: 0, max: 0 },
  dummy: { min: 0, max: 0 },
  macvlan: { min: 68, max: 65535 },
  vlan: { min: 0, max: 65535 },
};

/** A request about devices, taken apart. */
interface LinkRequest {
  readonly index: number;
  readonly flags: number;
  readonly change: number;
  readonly attrs: ReadonlyMap<number, Uint8Array>;
}

export function linkRequest(view: DataView, attrs: ReadonlyMap<number, Uint8Array>): LinkRequest {
  const name = attrs.get(IFLA_IFNAME);
  if (name && name.length > IFNAMSIZ) refuse(Errno.ERANGE, "Attribute failed policy validation");
  return { index: view.getInt32(4, true), flags: view.getUint32(8, true), change: view.getUint32(12, true), attrs };
}

/** The device that a request names by index or name; undefined when it names none. */
export function namedLink(ns: Netns, { index, attrs }: LinkRequest): NetLink | undefined {
  if (index > 0) return linkAt(ns, index) ?? refuse(Errno.ENODEV);
  const name = getString(attrs.get(IFLA_IFNAME));
  return name ? ns.links.find((link) => link.name === name) : undefined;
}

export function newLink(world: World, ns: Netns, request: LinkRequest, create: boolean, exclusive: boolean): void {
  const there = namedLink(ns, request);
  if (there) {
    if (exclusive) refuse(Errno.EEXIST);
    changeLink(world, there, request);
    return;
  }
  if (!create) refuse(Errno.ENODEV);
  const info = decodeAttrs(request.attrs.get(IFLA_LINKINFO) ?? new Uint8Array(0));
  const kind = getString(info.get(IFLA_INFO_KIND)) ?? "";
  if (!Object.hasOwn(KINDS, kind)) refuse(Errno.EOPNOTSUPP, "Unknown device type");
  const data = info.get(IFLA_INFO_DATA) ?? new Uint8Array(0);
  if (kind !== "veth") {
    place(ns, build(world, ns, kind, request.attrs));
    return;
  }
  // The peer is made first, in its own namespace.
  const inner = decodeAttrs(data).get(VETH_INFO_PEER);
  const peerAttrs = decodeAttrs(inner?.subarray(HEADER) ?? new Uint8Array(0));
  const peerNs = namespaceOf(world, ns, peerAttrs);
  const peer = build(world, peerNs, kind, peerAttrs);
  const peerPlaced = place(peerNs, peer);
  try {
    const link = place(ns, build(world, ns, kind, request.attrs));
    link.lower = peerPlaced;
    peerPlaced.lower = link;
  } catch (error) {
    take(peerPlaced);
    throw error;
  }
}

function namespaceOf(world: World, ns: Netns, attrs: ReadonlyMap<number, Uint8Array>): Netns {
  const fd = getU32(attrs.get(IFLA_NET_NS_FD));
  if (fd === undefined) return ns;
  return world.namespaces.find((n) => n.fd === fd) ?? refuse(Errno.EBADF);
}

/** A device with all that was asked for, in no namespace's list yet. */
function build(world: World, ns: Netns, kind: string, attrs: ReadonlyMap<number, Uint8Array>): NetLink {
  const name = attrs.has(IFLA_IFNAME) ? getString(attrs.get(IFLA_IFNAME))! : freeName(ns, kind);
  checkName(name);
  if (ns.links.some((link) => link.name === name)) refuse(Errno.EEXIST);
  const lowerIndex = getU32(attrs.get(IFLA_LINK));
  const lower = lowerIndex === undefined ? undefined : linkAt(ns, lowerIndex);
  if ((kind === "vlan" || kind === "macvlan") && !lower) refuse(lowerIndex === undefined ? Errno.EINVAL : Errno.ENODEV);
  const mtu = getU32(attrs.get(IFLA_MTU)) ?? lower?.mtu ?? 1500;
  checkMtu(kind, mtu);
  const index = freeIndex(ns);
  const mac = attrs.get(IFLA_ADDRESS)?.slice();
  if (mac) checkMac(mac);
  return {
    ns,
    index,
    name,
    kind,
    mac: mac ?? lower?.mac.slice() ?? madeUpMac(ns, index),
    mtu,
    mtuSet: attrs.has(IFLA_MTU),
    up: false,
    master: undefined,
    lower,
    queues: getU32(attrs.get(IFLA_NUM_RX_QUEUES)) ?? 1,
    fixed: false,
    device: world.newDevice(name, index, kind === "veth"),
  };
}

export function place(ns: Netns, link: NetLink): NetLink {
  ns.links.push(link);
  ns.links.sort((a, b) => a.index - b.index);
  return link;
}

function take(link: NetLink): void {
  const at = link.ns.links.indexOf(link);
  if (at >= 0) link.ns.links.splice(at, 1);
}

export function freeIndex(ns: Netns): number {
  return Math.max(0, ...ns.links.map((link) => link.index)) + 1;
}

function freeName(ns: Netns, kind: string): string {
  for (let i = 0; ; i++) if (!ns.links.some((link) => link.name === `${kind}${i}`)) return `${kind}${i}`;
}

/** Locally administered, and the same in each run. */
export function madeUpMac(ns: Netns, index: number): Uint8Array {
  return Uint8Array.of(2, 0x5e, (ns.fd >> 8) & 255, ns.fd & 255, index >> 8, index & 255);
}

function checkName(name: string): void {
  const valid = name.length > 0 && name.length < IFNAMSIZ && name !== "." && name !== ".." && !/[/:\s]/.test(name);
  if (!valid) refuse(Errno.EINVAL);
}

function checkMtu(kind: string | undefined, mtu: number): void {
  const { min, max } = KINDS[kind ?? ""] ?? { min: 68, max: 65535 };
  if (mtu < min) refuse(Errno.EINVAL, "mtu less than device minimum");
  if (max > 0 && mtu > max) refuse(Errno.EINVAL, "mtu greater than device maximum");
}

function checkMac(mac: Uint8Array): void {
  if (mac.length !== 6) refuse(Errno.EINVAL);
  if (mac[0]! & 1 || mac.every((byte) => byte === 0)) refuse(Errno.EADDRNOTAVAIL);
}

export function changeLink(world: World, link: NetLink, request: LinkRequest): void {
  const { attrs } = request;
  const target = namespaceOf(world, link.ns, attrs);
  if (target !== link.ns) move(link, target);
  const mac = attrs.get(IFLA_ADDRESS);
  if (mac) {
    checkMac(mac);
    link.mac = mac.slice();
  }
  const mtu = getU32(attrs.get(IFLA_MTU));
  if (mtu !== undefined) {
    checkMtu(link.kind, mtu);
    link.mtu = mtu;
    link.mtuSet = true;
    if (link.master) followPorts(link.master);
  }
  const name = request.index > 0 ? getString(attrs.get(IFLA_IFNAME)) : undefined;
  if (name !== undefined && name !== link.name) {
    checkName(name);
    if (link.ns.links.some((other) => other.name === name)) refuse(Errno.EEXIST);
    link.name = name;
    link.device.name = name;
  }
  const master = getU32(attrs.get(IFLA_MASTER));
  if (master !== undefined) enslave(link, master);
  const mask = request.change || (request.flags ? 0xffffffff : 0);
  if (mask & IFF_UP) setUp(link, (request.flags & IFF_UP) !== 0);
}

/** A bridge takes the smallest MTU of its ports (br_mtu_auto_adjust). */
function followPorts(bridge: NetLink): void {
  if (bridge.mtuSet) return;
  const ports = bridge.ns.links.filter((port) => port.master === bridge);
  bridge.mtu = ports.length ? Math.min(...ports.map((port) => port.mtu)) : 1500;
}

function enslave(link: NetLink, master: number): void {
  const left = link.master;
  link.master = undefined;
  if (left) followPorts(left);
  if (master === 0) return;
  const bridge = linkAt(link.ns, master) ?? refuse(Errno.EINVAL);
  if (bridge.kind !== "bridge") refuse(Errno.EOPNOTSUPP);
  if (link.kind === "bridge") refuse(Errno.ELOOP, "Can not enslave a bridge to a bridge");
  if (isLoopback(link)) refuse(Errno.EINVAL);
  link.master = bridge;
  followPorts(bridge);
}

export function setUp(link: NetLink, up: boolean): void {
  if (link.up === up) return;
  link.up = up;
  if (up) linkCameUp(link);
  else linkWentDown(link);
}

/** To another namespace: down, without its addresses, and with a new index where its own is taken there. */
function move(link: NetLink, target: Netns): void {
  if (target.links.some((other) => other.name === link.name)) refuse(Errno.EEXIST);
  setUp(link, false);
  forgetAddresses(link);
  take(link);
  link.master = undefined;
  link.ns = target;
  if (linkAt(target, link.index)) link.index = freeIndex(target);
  link.device.ifindex = link.index;
  place(target, link);
}

export function deleteLink(ns: Netns, request: LinkRequest): void {
  const named = request.index > 0 || request.attrs.has(IFLA_IFNAME);
  if (!named) refuse(Errno.EINVAL);
  const link = namedLink(ns, request) ?? refuse(Errno.ENODEV);
  if (link.fixed) refuse(Errno.EOPNOTSUPP);
  remove(link);
}

function remove(link: NetLink): void {
  setUp(link, false);
  forgetAddresses(link);
  take(link);
  if (link.master) followPorts(link.master);
  for (const other of link.ns.links) {
    if (other.master === link) other.master = undefined;
  }
  const peer = link.kind === "veth" ? link.lower : undefined;
  link.lower = undefined;
  if (peer) {
    peer.lower = undefined;
    remove(peer);
  }
  for (const upper of link.ns.links.filter((other) => other.lower === link)) remove(upper);
}

/** RTM_NEWLINK's body. */
export function encodeLink(link: NetLink): Uint8Array {
  const carrier = hasCarrier(link);
  const loopback = isLoopback(link);
  const header = new Uint8Array(HEADER);
  const view = new DataView(header.buffer);
  view.setUint16(2, loopback ? 772 : 1, true);
  view.setInt32(4, link.index, true);
  const state = (link.up ? IFF_UP : 0) | (carrier ? IFF_LOWER_UP | IFF_RUNNING : 0);
  view.setUint32(8, state | (loopback ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST), true);
  const { stats } = link.device;
  const words = [stats.rxPackets, stats.txPackets, stats.rxBytes, stats.txBytes];
  const counters = new Uint8Array(25 * 8);
  const counted = new DataView(counters.buffer);
  for (const [i, n] of words.entries()) counted.setBigUint64(8 * i, BigInt(n), true);
  const lower = link.lower;
  const elsewhere = lower !== undefined && lower.ns !== link.ns;
  const oper = loopback ? OPER_UNKNOWN : carrier ? OPER_UP : link.up ? OPER_LOWERLAYERDOWN : OPER_DOWN;
  return encodeBody(header, [
    [IFLA_IFNAME, cstring(link.name)],
    [IFLA_MTU, u32(link.mtu)],
    [IFLA_ADDRESS, link.mac],
    [IFLA_OPERSTATE, u8(oper)],
    [IFLA_NUM_RX_QUEUES, u32(link.queues)],
    [IFLA_NUM_TX_QUEUES, u32(link.queues)],
    [IFLA_STATS64, counters],
    ...(lower ? [[IFLA_LINK, u32(lower.index)] as const] : []),
    ...(elsewhere ? [[IFLA_LINK_NETNSID, u32(lower.ns.fd)] as const] : []),
    ...(link.master ? [[IFLA_MASTER, u32(link.master.index)] as const] : []),
    ...(link.kind ? [[IFLA_LINKINFO, [[IFLA_INFO_KIND, cstring(link.kind)]]] as const] : []),
  ]);
}
