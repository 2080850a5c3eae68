/**
 * rtnetlink: what bridges and vxlans know: the forwarding database, and which VLANs a port carries.
 * Source: include/uapi/linux/neighbour.h, if_bridge.h; net/core/rtnetlink.c `rtnl_fdb_add`, net/bridge/br_netlink.c.
 */
import { viewOf } from "../bytes/index.ts";
import { formatMac, parseMac } from "../wire/index.ts";
import type { NetlinkClient } from "./client.ts";
import {
  type Attr,
  attrList,
  encodeBody,
  HOW,
  type How,
  type Message,
  NLM_F_DUMP,
  splitBody,
  u16 as u16Bytes,
  u32 as u32Bytes,
} from "./message.ts";
import { be16, decodeValues, encodeValues, ip, type Table, u16, u32, type Values } from "./schema.ts";

const AF_BRIDGE = 7;
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const RTM_DELLINK = 17;
const NDA_LLADDR = 2;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 2;
const NTF_MASTER = 4;

const FDB = {
  /** The tunnel's other end. */
  dst: [1, ip],
  vlan: [5, u16],
  port: [6, be16],
  vni: [7, u32],
  /** Index of the device that the tunnel leaves by. */
  via: [8, u32],
  nexthop: [13, u32],
} as const satisfies Table;

export interface FdbSpec extends Values<typeof FDB> {
  readonly index: number;
  readonly mac: string;
  /** In the device's own table (a vxlan's), or in that of the bridge that it is a port of. */
  readonly in?: "self" | "master";
  /** Lets the entry age; a permanent one otherwise. */
  readonly dynamic?: boolean;
}

export interface FdbEntry extends Values<typeof FDB> {
  readonly index: number;
  readonly mac: string;
  readonly in: "self" | "master";
  readonly permanent: boolean;
  /** Index of the bridge. */
  readonly master: number | undefined;
}

/** `append` puts another destination beside those that the address has: a vxlan floods to all of them. */
export function addFdb(socket: NetlinkClient, spec: FdbSpec, how: How = "add"): void {
  socket.request(`fdb ${how} ${spec.mac}`, RTM_NEWNEIGH, HOW[how], fdbBody(spec));
}

export function deleteFdb(socket: NetlinkClient, spec: FdbSpec): void {
  socket.request(`fdb del ${spec.mac}`, RTM_DELNEIGH, 0, fdbBody(spec));
}

/** Of every bridge and vxlan. */
export function listFdb(socket: NetlinkClient): FdbEntry[] {
  const header = new Uint8Array(12);
  header[0] = AF_BRIDGE;
  return socket.request("fdb list", RTM_GETNEIGH, NLM_F_DUMP, header).flatMap(decodeFdb);
}

function decodeFdb(message: Message): FdbEntry[] {
  const { view, attrs } = splitBody(message, 12);
  const mac = attrs.get(NDA_LLADDR);
  if (view.getUint8(0) !== AF_BRIDGE || mac?.length !== 6) return [];
  const master = attrs.get(9);
  return [
    {
      index: view.getInt32(4, true),
      mac: formatMac(mac),
      in: view.getUint8(10) & NTF_SELF ? "self" : "master",
      permanent: (view.getUint16(8, true) & NUD_PERMANENT) !== 0,
      master: master && u32.decode(master),
      ...decodeValues(FDB, message.body.subarray(12)),
    },
  ];
}

function fdbBody(spec: FdbSpec): Uint8Array {
  const header = new Uint8Array(12);
  const view = viewOf(header);
  header[0] = AF_BRIDGE;
  view.setInt32(4, spec.index, true);
  view.setUint16(8, spec.dynamic ? NUD_NOARP : NUD_PERMANENT, true);
  header[10] = spec.in === "master" ? NTF_MASTER : NTF_SELF;
  const attrs: Attr[] = [[NDA_LLADDR, parseMac(spec.mac)], ...encodeValues(FDB, spec).attrs];
  return encodeBody(header, attrs);
}

// ---- VLANs of ports

const IFLA_AF_SPEC = 26;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_BRVLAN = 2;
const IFLA_BRIDGE_FLAGS = 0;
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_FLAGS_SELF = 2;
const PVID = 2;
const UNTAGGED = 4;

export interface BridgeVlan {
  /** Of a port, or of the bridge itself. */
  readonly index: number;
  readonly id: number;
  /** Frames without a tag belong to it. */
  readonly pvid: boolean;
  /** Leaves without a tag. */
  readonly untagged: boolean;
}

/** `self`: the device is the bridge. */
export type BridgeVlanSpec = Pick<BridgeVlan, "index" | "id"> & Partial<BridgeVlan> & { readonly self?: boolean };

export function addBridgeVlan(socket: NetlinkClient, spec: BridgeVlanSpec): void {
  socket.request(`vlan add ${spec.id}`, RTM_SETLINK, 0, vlanBody(spec));
}

export function deleteBridgeVlan(socket: NetlinkClient, spec: BridgeVlanSpec): void {
  socket.request(`vlan del ${spec.id}`, RTM_DELLINK, 0, vlanBody(spec));
}

export function listBridgeVlans(socket: NetlinkClient): BridgeVlan[] {
  const header = new Uint8Array(16);
  header[0] = AF_BRIDGE;
  const body = encodeBody(header, [[IFLA_EXT_MASK, u32Bytes(RTEXT_FILTER_BRVLAN)]]);
  return socket.request("vlan list", RTM_GETLINK, NLM_F_DUMP, body).flatMap((message) => {
    const { view, attrs } = splitBody(message, 16);
    const index = view.getInt32(4, true);
    const own = attrList(attrs.get(IFLA_AF_SPEC) ?? new Uint8Array(0));
    return own.flatMap(([type, value]) => {
      if (type !== IFLA_BRIDGE_VLAN_INFO || value.length < 4) return [];
      const info = viewOf(value);
      const flags = info.getUint16(0, true);
      return { index, id: info.getUint16(2, true), pvid: (flags & PVID) !== 0, untagged: (flags & UNTAGGED) !== 0 };
    });
  });
}

function vlanBody({ index, id, pvid, untagged, self }: BridgeVlanSpec): Uint8Array {
  const header = new Uint8Array(16);
  header[0] = AF_BRIDGE;
  viewOf(header).setInt32(4, index, true);
  const info = new Uint8Array(4);
  viewOf(info).setUint16(0, (pvid ? PVID : 0) | (untagged ? UNTAGGED : 0), true);
  viewOf(info).setUint16(2, id, true);
  const own: Attr[] = self ? [[IFLA_BRIDGE_FLAGS, u16Bytes(BRIDGE_FLAGS_SELF)]] : [];
  return encodeBody(header, [[IFLA_AF_SPEC, [...own, [IFLA_BRIDGE_VLAN_INFO, info]]]]);
}
