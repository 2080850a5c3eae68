/** Neighbours: the link addresses of those that are one hop away. Source: net/core/neighbour.c (neigh_add, neigh_delete) of 6.18. */
import { Errno } from "../../errors/index.ts";
import { AF_INET, AF_INET6, type Attr, encodeBody, NDA_DST, NDA_LLADDR } from "../../netlink/index.ts";
import { linkAt, type NetLink, type NetNeighbour, type Netns, refuse, sameBytes } from "./state.ts";

const HEADER = 12;

interface NeighbourRequest {
  readonly link: NetLink;
  readonly ip: Uint8Array;
  readonly mac: Uint8Array | undefined;
  readonly state: number;
}

export function neighbourRequest(ns: Netns, view: DataView, attrs: ReadonlyMap<number, Uint8Array>): NeighbourRequest {
  const ip = attrs.get(NDA_DST);
  if (!ip) refuse(Errno.EINVAL, "Network address not specified");
  const index = view.getInt32(4, true);
  const link = index ? (linkAt(ns, index) ?? refuse(Errno.ENODEV)) : undefined;
  const mac = attrs.get(NDA_LLADDR);
  if (mac && mac.length < 6) refuse(Errno.EINVAL, "Invalid link address");
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) refuse(Errno.EAFNOSUPPORT);
  const size = family === AF_INET ? 4 : 16;
  if (ip.length < size) refuse(Errno.EINVAL, "Invalid network address");
  if (!link) refuse(Errno.EINVAL);
  return { link, ip: ip.slice(0, size), mac: mac?.slice(0, 6), state: view.getUint16(8, true) };
}

export function addNeighbour(
  ns: Netns,
  { link, ip, mac, state }: NeighbourRequest,
  flags: { readonly create: boolean; readonly replace: boolean; readonly exclusive: boolean },
): void {
  const there = findNeighbour(ns, link, ip);
  if (!there) {
    if (!flags.create) refuse(Errno.ENOENT);
    ns.neighbours.push({ link, ip, mac, state });
    return;
  }
  if (flags.exclusive) refuse(Errno.EEXIST);
  there.state = state;
  if (mac && (flags.replace || !there.mac)) there.mac = mac;
}

export function deleteNeighbour(ns: Netns, { link, ip }: NeighbourRequest): void {
  const there = findNeighbour(ns, link, ip);
  if (!there) refuse(Errno.ENOENT);
  ns.neighbours.splice(ns.neighbours.indexOf(there), 1);
}

export function findNeighbour(ns: Netns, link: NetLink, ip: Uint8Array): NetNeighbour | undefined {
  return ns.neighbours.find((n) => n.link === link && sameBytes(n.ip, ip));
}

/** RTM_NEWNEIGH's body. */
export function encodeNeighbour({ link, ip, mac, state }: NetNeighbour): Uint8Array {
  const header = new Uint8Array(HEADER);
  header[0] = ip.length === 4 ? AF_INET : AF_INET6;
  const view = new DataView(header.buffer);
  view.setInt32(4, link.index, true);
  view.setUint16(8, state, true);
  const attrs: Attr[] = [[NDA_DST, ip]];
  if (mac) attrs.push([NDA_LLADDR, mac]);
  return encodeBody(header, attrs);
}
