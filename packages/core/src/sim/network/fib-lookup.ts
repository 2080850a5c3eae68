/**
 * `bpf_fib_lookup` on a simulated namespace: struct bpf_fib_lookup in and out.
 * Source: net/core/filter.c bpf_ipv4_fib_lookup, bpf_ipv6_fib_lookup, bpf_fib_set_fwd_params of 6.18.
 */
import { Errno } from "../../errors/index.ts";
import type { Memory } from "../../mem/index.ts";
import { AF_INET, AF_INET6, RT_TABLE_MAIN, RTN } from "../../netlink/index.ts";
import { findNeighbour } from "./neighbours.ts";
import { lookup, sourceFor } from "./routes.ts";
import { linkAt, type Netns } from "./state.ts";

/** Offsets in struct bpf_fib_lookup. */
const AT = {
  FAMILY: 0,
  TOT_LEN: 6,
  IFINDEX: 8,
  METRIC: 12,
  SRC: 16,
  DST: 32,
  VLAN: 48,
  TABLE: 48,
  SMAC: 52,
  MARK: 52,
  DMAC: 58,
  SIZE: 64,
} as const;
const FLAG = { DIRECT: 1, OUTPUT: 2, SKIP_NEIGH: 4, TBID: 8, SRC: 16, MARK: 32 } as const;
const RET = {
  SUCCESS: 0,
  BLACKHOLE: 1,
  UNREACHABLE: 2,
  PROHIBIT: 3,
  NOT_FWDED: 4,
  FWD_DISABLED: 5,
  UNSUPP_LWT: 6,
  NO_NEIGH: 7,
  FRAG_NEEDED: 8,
  NO_SRC_ADDR: 9,
} as const;
const REFUSED = new Map<number, number>([
  [Errno.EINVAL, RET.BLACKHOLE],
  [Errno.EHOSTUNREACH, RET.UNREACHABLE],
  [Errno.EACCES, RET.PROHIBIT],
]);
/** NUD_PERMANENT | NOARP | REACHABLE | PROBE | STALE | DELAY. */
const NUD_VALID = 0x80 | 0x40 | 0x02 | 0x10 | 0x04 | 0x08;

export function fibLookup(ns: Netns, { view, u8 }: Memory, at: number, size: number, flags: number): number {
  if (size < AT.SIZE || flags & ~0x3f) return -Errno.EINVAL;
  const family = view.getUint8(at + AT.FAMILY);
  if (family !== AF_INET && family !== AF_INET6) return -Errno.EAFNOSUPPORT;
  const ingress = linkAt(ns, view.getUint32(at + AT.IFINDEX, true));
  if (!ingress) return -Errno.ENODEV;
  const v4 = family === AF_INET;
  if (!ns.forwarding[v4 ? 4 : 6]) return RET.FWD_DISABLED;
  const bytes = v4 ? 4 : 16;
  const [src, dst] = [AT.SRC, AT.DST].map((offset) => u8.slice(at + offset, at + offset + bytes)) as [
    Uint8Array,
    Uint8Array,
  ];
  let table: number = RT_TABLE_MAIN;
  if (flags & FLAG.DIRECT && flags & FLAG.TBID) {
    table = view.getUint32(at + AT.TABLE, true);
    view.setUint32(at + AT.TABLE, 0, true);
  }
  const route = lookup(ns, {
    dst,
    src,
    // IPv6 takes the device to leave by as a wish only.
    ...(!(flags & FLAG.OUTPUT) ? { iif: ingress } : v4 && { oif: ingress }),
    mark: flags & FLAG.MARK ? view.getUint32(at + AT.MARK, true) : 0,
    ...(flags & FLAG.DIRECT && { table }),
  });
  if (typeof route === "number") return REFUSED.get(route) ?? RET.NOT_FWDED;
  const link = route.link;
  if (route.type !== RTN.unicast || !link) return RET.NOT_FWDED;

  const length = view.getUint16(at + AT.TOT_LEN, true);
  if (length > link.mtu) {
    view.setUint16(at + AT.TOT_LEN, link.mtu, true);
    return RET.FRAG_NEEDED;
  }
  if (route.encap) return RET.UNSUPP_LWT;
  view.setUint32(at + AT.METRIC, route.metric, true);
  view.setUint32(at + AT.IFINDEX, link.index, true);
  if (flags & FLAG.SRC) {
    const source = sourceFor(ns, route, dst);
    if (!source) return RET.NO_SRC_ADDR;
    u8.set(source, at + AT.SRC);
  }
  const next = route.via ?? dst;
  if (route.via) u8.set(route.via, at + AT.DST);
  if (!(flags & FLAG.SKIP_NEIGH)) {
    const neighbour = findNeighbour(ns, link, next);
    if (!neighbour?.mac || !(neighbour.state & NUD_VALID)) return RET.NO_NEIGH;
    u8.set(neighbour.mac, at + AT.DMAC);
    u8.set(link.mac, at + AT.SMAC);
  }
  view.setUint32(at + AT.VLAN, 0, true);
  view.setUint16(at + AT.TOT_LEN, link.mtu, true);
  return RET.SUCCESS;
}
