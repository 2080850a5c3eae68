/**
 * rtnetlink: network devices. Source: include/uapi/linux/if_link.h, rtnetlink.h `struct ifinfomsg`.
 */

import { viewOf } from "../bytes/index.ts";
import { formatMac, parseMac } from "../wire/index.ts";
import type { NetlinkClient } from "./client.ts";
import { LINK_KINDS, type LinkKind, type LinkOptions, PORT_KINDS } from "./link-kinds.ts";
import {
  type Attr,
  cstring,
  decodeAttrs,
  encodeBody,
  getString,
  getU8,
  getU32,
  getU64,
  type Message,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  onlyAnswer,
  splitBody,
  u32,
} from "./message.ts";
import { decodeValues, encodeValues, type Table } from "./schema.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5;
export const IFLA_MASTER = 10;
export const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
export const IFLA_STATS64 = 23;
export const IFLA_NET_NS_FD = 28;
export const IFLA_NUM_TX_QUEUES = 31;
export const IFLA_NUM_RX_QUEUES = 32;
export const IFLA_LINK_NETNSID = 37;
export const IFLA_XDP = 43;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
export const VETH_INFO_PEER = 1;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;

const IFLA_XDP_FD = 1;
export const IFLA_XDP_ATTACHED = 2;
const IFLA_XDP_FLAGS = 3;
export const IFLA_XDP_PROG_ID = 4;
const IFLA_XDP_EXPECTED_FD = 8;

export const IFF_UP = 1;
export const IFF_LOWER_UP = 1 << 16;

/** What any new device may have. */
export interface LinkBase {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** Receive and transmit queues. */
  readonly queues?: number;
  /** An fd of the namespace to make it in, when not the socket's. */
  readonly netns?: number;
}

/** A device to be created: what any has, and what its kind has. */
export type LinkSpec = LinkBase &
  {
    [K in LinkKind]: { readonly kind: K } & LinkOptions<K> &
      (K extends Paired ? { readonly peer?: LinkBase } : unknown);
  }[LinkKind] & {
    /** Index of the device below. */
    readonly link?: number;
  };

/** Kinds that are made two at a time. */
type Paired = "veth" | "netkit";

/** A device as the kernel describes it. */
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge` …; undefined for physical devices and loopback. */
  readonly kind: string | undefined;
  /** What its kind tells, by the names of `LINK_KINDS`; undefined for kinds that are not there. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
  /** What it tells of itself as a port of a bond, bridge or vrf. */
  readonly port: Readonly<Record<string, unknown>> | undefined;
  readonly mac: string | undefined;
  readonly mtu: number;
  /** IFF_* */
  readonly flags: number;
  readonly up: boolean;
  /** The carrier is there: for veth, the peer is up too. */
  readonly carrier: boolean;
  /** RFC 2863 operational state. 6 is up. */
  readonly operState: number;
  readonly master: number | undefined;
  /** The lower device, or a veth's peer; in another namespace when `peerNetnsId` is set. */
  readonly link: number | undefined;
  readonly peerNetnsId: number | undefined;
  readonly rxQueues: number;
  readonly txQueues: number;
  readonly xdp: { readonly mode: "native" | "generic" | "offload" | "multi"; readonly progId: number } | undefined;
  readonly stats: LinkStats | undefined;
}

export interface LinkStats {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

/** Creates a device. @throws SysError EEXIST for a name that is taken, EOPNOTSUPP for a kind this kernel lacks. */
export function addLink(socket: NetlinkClient, spec: LinkSpec): void {
  const data = linkData(spec);
  const info: Attr[] = [[IFLA_INFO_KIND, cstring(spec.kind)]];
  if (data.length) info.push([IFLA_INFO_DATA, data]);
  const attrs: Attr[] = [...baseAttrs(spec), [IFLA_LINKINFO, info]];
  // Tunnels have the device below among their own attributes.
  const table: Table = LINK_KINDS[spec.kind];
  if (spec.link !== undefined && !("link" in table)) attrs.push([IFLA_LINK, u32(spec.link)]);
  const body = encodeBody(ifinfo(0), attrs);
  socket.request(`link add ${spec.name} type ${spec.kind}`, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body);
}

function baseAttrs(spec: LinkBase): Attr[] {
  const attrs: Attr[] = [[IFLA_IFNAME, cstring(spec.name)]];
  if (spec.mac !== undefined) attrs.push([IFLA_ADDRESS, parseMac(spec.mac)]);
  if (spec.mtu !== undefined) attrs.push([IFLA_MTU, u32(spec.mtu)]);
  if (spec.netns !== undefined) attrs.push([IFLA_NET_NS_FD, u32(spec.netns)]);
  if (spec.queues !== undefined) {
    attrs.push([IFLA_NUM_TX_QUEUES, u32(spec.queues)], [IFLA_NUM_RX_QUEUES, u32(spec.queues)]);
  }
  return attrs;
}

/** What a kind has unless it is said otherwise: the kernel asks for it, or has an older default. */
const DEFAULTS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  macvlan: { mode: "bridge" },
  vxlan: { port: 4789 },
};

function linkData(spec: LinkSpec): Attr[] {
  const { attrs } = encodeValues(LINK_KINDS[spec.kind] as Table, { ...DEFAULTS[spec.kind], ...spec });
  // The peer is described like a device of its own: header and attributes.
  if ("peer" in spec && spec.peer) attrs.push([VETH_INFO_PEER | NESTED, encodeBody(ifinfo(0), baseAttrs(spec.peer))]);
  return attrs;
}

const NESTED = 0x8000;

/** What of a device to change; absent fields stay. */
export interface LinkChange {
  readonly up?: boolean;
  readonly name?: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** The bridge to join; 0 to leave it. */
  readonly master?: number;
  /** An fd of the namespace to move to: the index may change there. */
  readonly netns?: number;
}

export function setLink(socket: NetlinkClient, index: number, change: LinkChange): void {
  const attrs: Attr[] = [];
  if (change.name !== undefined) attrs.push([IFLA_IFNAME, cstring(change.name)]);
  if (change.mac !== undefined) attrs.push([IFLA_ADDRESS, parseMac(change.mac)]);
  if (change.mtu !== undefined) attrs.push([IFLA_MTU, u32(change.mtu)]);
  if (change.master !== undefined) attrs.push([IFLA_MASTER, u32(change.master)]);
  if (change.netns !== undefined) attrs.push([IFLA_NET_NS_FD, u32(change.netns)]);
  const mask = change.up === undefined ? 0 : IFF_UP;
  socket.request(`link set ${index}`, RTM_NEWLINK, 0, encodeBody(ifinfo(index, change.up ? IFF_UP : 0, mask), attrs));
}

export function deleteLink(socket: NetlinkClient, index: number): void {
  socket.request(`link del ${index}`, RTM_DELLINK, 0, ifinfo(index));
}

/** All devices of the socket's namespace. */
export function listLinks(socket: NetlinkClient): LinkInfo[] {
  return socket.request("link list", RTM_GETLINK, NLM_F_DUMP, ifinfo(0)).map(decodeLink);
}

/** One device by name or index. @throws SysError ENODEV when there is none. */
export function getLink(socket: NetlinkClient, which: string | number): LinkInfo {
  const body = typeof which === "number" ? ifinfo(which) : encodeBody(ifinfo(0), [[IFLA_IFNAME, cstring(which)]]);
  const what = `link show ${which}`;
  return decodeLink(onlyAnswer(what, socket.request(what, RTM_GETLINK, 0, body)));
}

/**
 * Attaches (or, with progFd -1, detaches) an XDP program the way before links. `flags` are XDP_FLAGS_*.
 * Its worth is the kernel's reason for a refusal, which bpf(2) does not give. With `XDP_FLAGS_REPLACE` only while
 * the program behind `expectedFd` is there.
 */
export function setLinkXdp(
  socket: NetlinkClient,
  index: number,
  progFd: number,
  flags: number,
  expectedFd?: number,
): void {
  const i32 = (n: number): Uint8Array => new Uint8Array(Int32Array.of(n).buffer);
  const attrs: Attr[] = [
    [IFLA_XDP_FD, i32(progFd)],
    [IFLA_XDP_FLAGS, u32(flags)],
  ];
  if (expectedFd !== undefined) attrs.push([IFLA_XDP_EXPECTED_FD, i32(expectedFd)]);
  socket.request(`link set ${index} xdp`, RTM_SETLINK, 0, encodeBody(ifinfo(index), [[IFLA_XDP, attrs]]));
}

/** Decodes RTM_NEWLINK and RTM_DELLINK: answers, dumps and notifications. */
export function decodeLink(message: Message): LinkInfo {
  const { view, attrs } = splitBody(message, 16);
  const flags = view.getUint32(8, true);
  const info = attrs.get(IFLA_LINKINFO);
  const about = info && decodeAttrs(info);
  const kind = getString(about?.get(IFLA_INFO_KIND));
  const mac = attrs.get(IFLA_ADDRESS);
  return {
    index: view.getInt32(4, true),
    name: getString(attrs.get(IFLA_IFNAME)) ?? "",
    kind,
    options: told(kind, LINK_KINDS, about?.get(IFLA_INFO_DATA)),
    port: told(getString(about?.get(IFLA_INFO_SLAVE_KIND)), PORT_KINDS, about?.get(IFLA_INFO_SLAVE_DATA)),
    mac: mac?.length === 6 ? formatMac(mac) : undefined,
    mtu: getU32(attrs.get(IFLA_MTU)) ?? 0,
    flags,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    operState: getU8(attrs.get(IFLA_OPERSTATE)) ?? 0,
    master: getU32(attrs.get(IFLA_MASTER)),
    link: getU32(attrs.get(IFLA_LINK)),
    peerNetnsId: getU32(attrs.get(IFLA_LINK_NETNSID)),
    rxQueues: getU32(attrs.get(IFLA_NUM_RX_QUEUES)) ?? 1,
    txQueues: getU32(attrs.get(IFLA_NUM_TX_QUEUES)) ?? 1,
    xdp: decodeXdp(attrs.get(IFLA_XDP)),
    stats: decodeStats(attrs.get(IFLA_STATS64)),
  };
}

function told(kind: string | undefined, kinds: Readonly<Record<string, Table>>, data: Uint8Array | undefined) {
  const table = kind !== undefined && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  return table && decodeValues(table, data ?? new Uint8Array(0));
}

function decodeXdp(value: Uint8Array | undefined): LinkInfo["xdp"] {
  if (!value) return undefined;
  const attrs = decodeAttrs(value);
  const mode = ([undefined, "native", "generic", "offload", "multi"] as const)[
    getU8(attrs.get(IFLA_XDP_ATTACHED)) ?? 0
  ];
  return mode && { mode, progId: getU32(attrs.get(IFLA_XDP_PROG_ID)) ?? 0 };
}

function decodeStats(value: Uint8Array | undefined): LinkStats | undefined {
  if (!value || value.length < 64) return undefined;
  const field = (i: number): bigint => getU64(value.subarray(i * 8)) ?? 0n;
  return {
    rxPackets: field(0),
    txPackets: field(1),
    rxBytes: field(2),
    txBytes: field(3),
    rxErrors: field(4),
    txErrors: field(5),
    rxDropped: field(6),
    txDropped: field(7),
  };
}

/** `struct ifinfomsg`. */
function ifinfo(index: number, flags = 0, change = 0): Uint8Array {
  const header = new Uint8Array(16);
  const view = viewOf(header);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return header;
}
