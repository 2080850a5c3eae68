/**
 * rtnetlink: queueing disciplines, classes and filters of any kind that tc-kinds.ts has, and in short what BPF needs of
 * them: clsact with cls_bpf in direct-action mode, for kernels without tcx and for listing what others attached.
 * Source: include/uapi/linux/pkt_sched.h, pkt_cls.h, rtnetlink.h `struct tcmsg`.
 */
import { viewOf } from "../bytes/index.ts";
import type { NetlinkClient } from "./client.ts";
import {
  type Attr,
  cstring,
  encodeBody,
  getString,
  HOW,
  type How,
  type Message,
  NLM_F_DUMP,
  splitBody,
} from "./message.ts";
import { decodeValues, encodeValues, optionBytes, type Table, type Values } from "./schema.ts";
import {
  CLASS_KINDS,
  type ClassKind,
  FILTER_KINDS,
  type FilterKind,
  QDISC_DEFAULTS,
  QDISC_KINDS,
  type QdiscKind,
} from "./tc-kinds.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTCLASS = 40;
const RTM_DELTCLASS = 41;
const RTM_GETTCLASS = 42;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const PARENT = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
const ETH_P_ALL = 0x0003;

export type TcDirection = keyof typeof PARENT;

/** TC_H_ROOT: a device's own qdisc. */
export const TC_ROOT = 0xffffffff;

/** A qdisc, class or filter as the kernel tells it. */
interface Told {
  readonly index: number;
  readonly kind: string;
  readonly handle: number;
  readonly parent: number;
  /** By the names of the kind's table in tc-kinds.ts; undefined for kinds that are not there. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
}

export type Qdisc = Told;
export type TcClass = Told;

export interface Filter extends Told {
  readonly priority: number;
  /** Ether type; 3 (ETH_P_ALL) for all. */
  readonly protocol: number;
}

/** Where a qdisc goes: under the device (`TC_ROOT`, when absent) or a class of another; its number is the kernel's choice unless said. */
export interface QdiscPlace {
  readonly index: number;
  readonly parent?: number;
  readonly handle?: number;
}

export type QdiscSpec = QdiscPlace &
  { readonly [K in QdiscKind]: { readonly kind: K } & Values<(typeof QDISC_KINDS)[K]> }[QdiscKind];

export interface ClassPlace {
  readonly index: number;
  readonly parent: number;
  readonly handle: number;
}

export type ClassSpec = ClassPlace &
  { readonly [K in ClassKind]: { readonly kind: K } & Values<(typeof CLASS_KINDS)[K]> }[ClassKind];

/** `parent` is a qdisc's handle, or a direction of clsact. */
export interface FilterSpot {
  readonly index: number;
  readonly parent: number | TcDirection;
  readonly priority: number;
  /** 0 or absent: the kernel's choice. */
  readonly handle?: number;
  /** Ether type; all when absent. One priority has one protocol. */
  readonly protocol?: number;
}

export type FilterSpec = FilterSpot &
  { readonly [K in FilterKind]: { readonly kind: K } & Values<(typeof FILTER_KINDS)[K]> }[FilterKind];

/** Puts a qdisc on a device, in another one's class, or in the place of the one that is there. */
export function setQdisc(socket: NetlinkClient, spec: QdiscSpec, how: How = "add"): void {
  const { index, parent = PARENTS[spec.kind] ?? TC_ROOT, handle = HANDLES[spec.kind] ?? 0 } = spec;
  const values = { ...QDISC_DEFAULTS[spec.kind], ...spec };
  const body = encodeBody(tcmsg(index, handle, parent, 0), kindAttrs(spec.kind, QDISC_KINDS[spec.kind], values));
  socket.request(`qdisc ${how} ${spec.kind}`, RTM_NEWQDISC, HOW[how], body);
}

/** @throws SysError ENOENT when there is none, EINVAL when it is of another kind. */
export function deleteQdisc(socket: NetlinkClient, place: QdiscPlace & { readonly kind?: string }): void {
  const { index, kind } = place;
  const parent = place.parent ?? (kind === undefined ? undefined : PARENTS[kind]) ?? TC_ROOT;
  const attrs: Attr[] = kind === undefined ? [] : [[TCA_KIND, cstring(kind)]];
  socket.request("qdisc del", RTM_DELQDISC, 0, encodeBody(tcmsg(index, place.handle ?? 0, parent, 0), attrs));
}

export function setClass(socket: NetlinkClient, spec: ClassSpec, how: How = "add"): void {
  const header = tcmsg(spec.index, spec.handle, spec.parent, 0);
  const body = encodeBody(header, kindAttrs(spec.kind, CLASS_KINDS[spec.kind], spec));
  socket.request(`class ${how} ${spec.kind}`, RTM_NEWTCLASS, HOW[how], body);
}

export function deleteClass(socket: NetlinkClient, { index, handle }: Pick<ClassPlace, "index" | "handle">): void {
  socket.request("class del", RTM_DELTCLASS, 0, tcmsg(index, handle, 0, 0));
}

/** The classes of one device. */
export function listClasses(socket: NetlinkClient, index: number): TcClass[] {
  return socket
    .request("class list", RTM_GETTCLASS, NLM_F_DUMP, tcmsg(index, 0, 0, 0))
    .map((m) => told(m, CLASS_KINDS));
}

export function setFilter(socket: NetlinkClient, spec: FilterSpec, how: How = "add"): void {
  const body = encodeBody(spotHeader(spec), kindAttrs(spec.kind, FILTER_KINDS[spec.kind], spec));
  socket.request(`filter ${how} ${spec.kind}`, RTM_NEWTFILTER, HOW[how], body);
}

/** Takes a filter away, or without a handle all of its priority. */
export function removeFilter(socket: NetlinkClient, spot: FilterSpot & { readonly kind?: string }): void {
  const attrs: Attr[] = spot.kind === undefined ? [] : [[TCA_KIND, cstring(spot.kind)]];
  socket.request("filter del", RTM_DELTFILTER, 0, encodeBody(spotHeader(spot), attrs));
}

/** The filters at one place of a device; none where there is no such qdisc. */
export function listFilters(socket: NetlinkClient, index: number, parent: number | TcDirection): Filter[] {
  const header = tcmsg(index, 0, parentOf(parent), 0);
  return socket.request("filter list", RTM_GETTFILTER, NLM_F_DUMP, header).flatMap((message) => {
    const { view, attrs } = splitBody(message, 20);
    const filter = told(message, FILTER_KINDS);
    // Each chain starts with a head entry that has no options; a u32's hash tables have no selector.
    if (filter.handle === 0 || !attrs.has(TCA_OPTIONS)) return [];
    return { ...filter, priority: view.getUint32(16, true) >>> 16, protocol: view.getUint16(16) };
  });
}

/** Qdiscs with one place and number: they are none of the device's own. */
const PARENTS: Readonly<Record<string, number>> = { clsact: TC_H_CLSACT, ingress: TC_H_CLSACT };
const HANDLES: Readonly<Record<string, number>> = { clsact: CLSACT_HANDLE, ingress: CLSACT_HANDLE };

function kindAttrs(kind: string, table: Table, given: object): Attr[] {
  const values = given as Readonly<Record<string, unknown>>;
  const head = Object.values(table).some(([type]) => type === "head");
  const { attrs } = encodeValues(table, values);
  const options = head ? optionBytes(table, values) : attrs;
  return [[TCA_KIND, cstring(kind)], ...(options.length ? ([[TCA_OPTIONS, options]] as Attr[]) : [])];
}

function told(message: Message, kinds: Readonly<Record<string, Table>>): Told {
  const { view, attrs } = splitBody(message, 20);
  const kind = getString(attrs.get(TCA_KIND)) ?? "";
  const table = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  return {
    index: view.getInt32(4, true),
    handle: view.getUint32(8, true),
    parent: view.getUint32(12, true),
    kind,
    options: table && decodeValues(table, attrs.get(TCA_OPTIONS) ?? new Uint8Array(0)),
  };
}

function parentOf(parent: number | TcDirection): number {
  return typeof parent === "number" ? parent : PARENT[parent];
}

function spotHeader({ index, parent, priority, handle = 0, protocol = ETH_P_ALL }: FilterSpot): Uint8Array {
  return tcmsg(index, handle, parentOf(parent), filterInfo(priority, protocol));
}

/** The priority, and the protocol in network byte order. */
function filterInfo(priority: number, protocol: number): number {
  const swapped = ((protocol & 255) << 8) | (protocol >> 8);
  return ((priority << 16) | swapped) >>> 0;
}

// ---- what BPF needs of it

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
  setQdisc(socket, { index, kind: "clsact" });
}

/** Removes clsact with every filter on it, whoever added them. */
export function deleteClsact(socket: NetlinkClient, index: number): void {
  deleteQdisc(socket, { index, kind: "clsact", handle: CLSACT_HANDLE });
}

export function listQdiscs(socket: NetlinkClient): Qdisc[] {
  return socket.request("qdisc list", RTM_GETQDISC, NLM_F_DUMP, tcmsg(0, 0, 0, 0)).map((m) => told(m, QDISC_KINDS));
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
  const { direction: parent, ...at } = place;
  const spec: FilterSpec = { ...at, parent, kind: "bpf", fd: progFd, name, flags: TCA_BPF_FLAG_ACT_DIRECT };
  setFilter(socket, spec, replace ? "replace" : "add");
}

export function deleteFilter(socket: NetlinkClient, { direction: parent, ...at }: FilterPlace): void {
  removeFilter(socket, { ...at, parent, kind: "bpf" });
}

/** The BPF filters of one direction; none when the device has no clsact. */
export function listBpfFilters(socket: NetlinkClient, index: number, direction: TcDirection): BpfFilter[] {
  return listFilters(socket, index, direction).flatMap(({ kind, handle, priority, protocol, options }) => {
    if (kind !== "bpf") return [];
    const { name, id, flags = 0 } = options as Values<(typeof FILTER_KINDS)["bpf"]>;
    const directAction = (flags & TCA_BPF_FLAG_ACT_DIRECT) !== 0;
    return { handle, priority, name, progId: id, directAction, protocol };
  });
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
