/**
 * rtnetlink: qdiscs and filters, as far as BPF needs them: clsact with cls_bpf in direct-action mode, for kernels
 * without tcx and for listing what others attached.
 * Source: include/uapi/linux/pkt_sched.h, pkt_cls.h, rtnetlink.h `struct tcmsg`.
 */
import { viewOf } from "../bytes/index.ts";
import type { NetlinkClient } from "./client.ts";
import {
  type Attr,
  cstring,
  decodeAttrs,
  encodeBody,
  getString,
  getU32,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  splitBody,
  u32,
} from "./message.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const PARENT = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
const ETH_P_ALL = 0x0003;

export type TcDirection = keyof typeof PARENT;

export interface Qdisc {
  readonly index: number;
  readonly kind: string;
  readonly handle: number;
  readonly parent: number;
}

export interface BpfFilter {
  readonly handle: number;
  readonly priority: number;
  readonly name: string | undefined;
  readonly progId: number | undefined;
  readonly directAction: boolean;
  /** The ether type that it sees; 3 (ETH_P_ALL) for all. */
  readonly protocol: number;
}

/** Adds the clsact qdisc. @throws SysError EEXIST when the device has it already. */
export function addClsact(socket: NetlinkClient, index: number): void {
  const body = encodeBody(tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0), [[TCA_KIND, cstring("clsact")]]);
  socket.request("qdisc add clsact", RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body);
}

/** Removes clsact with every filter on it, whoever added them. */
export function deleteClsact(socket: NetlinkClient, index: number): void {
  const body = encodeBody(tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0), [[TCA_KIND, cstring("clsact")]]);
  socket.request("qdisc del clsact", RTM_DELQDISC, 0, body);
}

export function listQdiscs(socket: NetlinkClient): Qdisc[] {
  return socket.request("qdisc list", RTM_GETQDISC, NLM_F_DUMP, tcmsg(0, 0, 0, 0)).map((message) => {
    const { view, attrs } = splitBody(message, 20);
    return {
      index: view.getInt32(4, true),
      handle: view.getUint32(8, true),
      parent: view.getUint32(12, true),
      kind: getString(attrs.get(TCA_KIND)) ?? "",
    };
  });
}

/** Where a cls_bpf filter stands. Lower priorities run first; each (priority, handle) is one filter. */
export interface FilterPlace {
  readonly index: number;
  readonly direction: TcDirection;
  readonly priority: number;
  readonly handle: number;
  /** Ether type; all when absent. One priority has one protocol. */
  readonly protocol?: number;
}

/** Adds a direct-action filter, or with `replace` swaps the program of an existing one. */
export function setBpfFilter(
  socket: NetlinkClient,
  place: FilterPlace,
  progFd: number,
  name: string,
  replace = false,
): void {
  const options: Attr[] = [
    [TCA_BPF_FD, u32(progFd)],
    [TCA_BPF_NAME, cstring(name)],
    [TCA_BPF_FLAGS, u32(TCA_BPF_FLAG_ACT_DIRECT)],
  ];
  const attrs: Attr[] = [
    [TCA_KIND, cstring("bpf")],
    [TCA_OPTIONS, options],
  ];
  const flags = NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL);
  const body = encodeBody(filterHeader(place), attrs);
  socket.request(`filter add ${place.direction} bpf`, RTM_NEWTFILTER, flags, body);
}

export function deleteFilter(socket: NetlinkClient, place: FilterPlace): void {
  const body = encodeBody(filterHeader(place), [[TCA_KIND, cstring("bpf")]]);
  socket.request(`filter del ${place.direction}`, RTM_DELTFILTER, 0, body);
}

/** The BPF filters of one direction; none when the device has no clsact. */
export function listBpfFilters(socket: NetlinkClient, index: number, direction: TcDirection): BpfFilter[] {
  const header = tcmsg(index, 0, PARENT[direction], 0);
  return socket.request(`filter list ${direction}`, RTM_GETTFILTER, NLM_F_DUMP, header).flatMap((message) => {
    const { view, attrs } = splitBody(message, 20);
    const options = attrs.get(TCA_OPTIONS);
    // Each chain starts with a head entry that has no options.
    if (getString(attrs.get(TCA_KIND)) !== "bpf" || !options) return [];
    const bpf = decodeAttrs(options);
    const handle = view.getUint32(8, true);
    if (handle === 0) return [];
    return {
      handle,
      priority: view.getUint32(16, true) >>> 16,
      name: getString(bpf.get(TCA_BPF_NAME)),
      progId: getU32(bpf.get(TCA_BPF_ID)),
      directAction: ((getU32(bpf.get(TCA_BPF_FLAGS)) ?? 0) & TCA_BPF_FLAG_ACT_DIRECT) !== 0,
      protocol: view.getUint16(16),
    };
  });
}

function filterHeader({ index, direction, priority, handle, protocol = ETH_P_ALL }: FilterPlace): Uint8Array {
  // The protocol is in network byte order in the low half.
  const swapped = ((protocol & 255) << 8) | (protocol >> 8);
  return tcmsg(index, handle, PARENT[direction], ((priority << 16) | swapped) >>> 0);
}

/** `struct tcmsg`. */
function tcmsg(index: number, handle: number, parent: number, info: number): Uint8Array {
  const header = new Uint8Array(20);
  const view = viewOf(header);
  view.setInt32(4, index, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, info, true);
  return header;
}
