/**
 * Helpers that ask the network around the program: routes, MTUs, sockets, redirects, output to a ring of events.
 * The answers are the host's; here are argument checks and what the kernel does before it asks.
 * Source: net/core/filter.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { PerfEventArrayMap } from "../../maps/index.ts";
import { type Env, type HelperImpl, helper, SOCKET } from "../env.ts";
import { CPU, REDIRECT } from "../layout.ts";
import { flags64 } from "./map.ts";
import { setRedirect } from "./xdp.ts";

const TC_ACT_SHOT = 2;
const TC_ACT_REDIRECT = 7;
const F_INGRESS = 1;
const NEIGH_PARAMS = 20;

export const NET_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* clone_redirect(skb, ifindex, flags) */ [
    13,
    helper("iiw", "i", (env, skb, ifindex, flags, high) => {
      if (flags & ~F_INGRESS || high) return -Errno.EINVAL;
      return env.host.cloneRedirect?.(env.memory, skb >>> 0, ifindex >>> 0, flags) ?? -Errno.EINVAL;
    }),
  ],
  /* get_current_pid_tgid: packets run in interrupt context, where the idle task is current. */ [
    14,
    helper("", "w", (env) => env.wide(0n)),
  ],
  /* get_current_uid_gid */ [15, helper("", "w", (env) => env.wide(0n))],
  /* get_current_comm(buf, size) */ [
    16,
    helper("ii", "i", (env, buffer, size) => {
      const name = `swapper/${env.cpu}`;
      const start = buffer >>> 0;
      const end = start + (size >>> 0);
      env.memory.u8.fill(0, start, end);
      for (let i = 0; i < name.length && start + i < end - 1; i++) env.memory.u8[start + i] = name.charCodeAt(i);
      return 0;
    }),
  ],
  /* get_cgroup_classid */ [17, helper("", "u", () => 0)],
  /* redirect(ifindex, flags) of skb programs */ [
    23,
    helper("iw", "i", (env, ifindex, flags, high) => {
      if (flags & ~F_INGRESS || high) return TC_ACT_SHOT;
      setRedirect(env, REDIRECT.IFINDEX, ifindex, 0, flags);
      return TC_ACT_REDIRECT;
    }),
  ],
  /* get_route_realm(skb) */ [24, helper("i", "u", () => 0)],
  /* fib_lookup(ctx, params, len, flags) */ [
    69,
    helper("iiii", "i", (env, ctx, params, size, flags) => {
      if (size < 64) return -Errno.EINVAL;
      if (flags & ~63) return -Errno.EINVAL;
      return env.host.fibLookup?.(env.memory, params >>> 0, size, flags, ctx >>> 0) ?? -Errno.ENODEV;
    }),
  ],
  /* sk_lookup_tcp(ctx, tuple, len, netns, flags) */ [
    84,
    helper("iiiww", "u", (env, ...a) => lookup(env, "tcp", true, a)),
  ],
  /* sk_lookup_udp */ [85, helper("iiiww", "u", (env, ...a) => lookup(env, "udp", true, a))],
  /* sk_release(sock) */ [
    86,
    helper("i", "i", (env, sock) => {
      env.revoke(sock >>> 0);
      return 0;
    }),
  ],
  /* skc_lookup_tcp(ctx, tuple, len, netns, flags) */ [
    99,
    helper("iiiww", "u", (env, ...a) => lookup(env, "tcp", false, a)),
  ],
  /* get_netns_cookie(ctx) */ [122, helper("i", "w", (env) => env.wide(env.host.netnsCookie?.() ?? 1n))],
  /* sk_assign(ctx, sock, flags) */ [
    124,
    helper("iiw", "i", (env, ctx, sock, flags, high) => {
      if (flags | high) return -Errno.EINVAL;
      return env.host.assignSocket?.(env.memory, ctx >>> 0, sock >>> 0) ?? -Errno.EOPNOTSUPP;
    }),
  ],
  /* redirect_neigh(ifindex, params, len, flags) */ [
    152,
    helper("iiiw", "i", (env, ifindex, params, size, flags, high) => {
      if ((size && size < NEIGH_PARAMS) || flags | high) return TC_ACT_SHOT;
      setRedirect(env, REDIRECT.NEIGH, ifindex, size ? env.cpuBlock + CPU.REDIRECT_NEIGH : 0, 0);
      if (size)
        env.memory.u8.copyWithin(env.cpuBlock + CPU.REDIRECT_NEIGH, params >>> 0, (params >>> 0) + NEIGH_PARAMS);
      return TC_ACT_REDIRECT;
    }),
  ],
  /* redirect_peer(ifindex, flags) */ [
    155,
    helper("iw", "i", (env, ifindex, flags, high) => {
      if (flags | high) return TC_ACT_SHOT;
      setRedirect(env, REDIRECT.PEER, ifindex, 0, 0);
      return TC_ACT_REDIRECT;
    }),
  ],
  /* skb_cgroup_classid(skb) */ [151, helper("i", "w", (env) => env.wide(0n))],
];

/** Where a ctx has the device and the packet's length, and the flags that its kind of check_mtu knows. */
export interface MtuOf {
  readonly flags: number;
  readonly device: number;
  readonly length: (env: Env, ctx: number) => number;
}

/** check_mtu(ctx, ifindex, mtu_len, diff, flags) under 163. Lengths are of layer 3: a given one stands for the packet's. */
export function checkMtu(of: MtuOf): HelperImpl {
  const MTU_CHK_SEGS = 1;
  const FRAG_NEEDED = 1;
  const ETH_HLEN = 14;
  return helper("iiiiw", "i", (env, ctx, ifindex, mtuLen, diff, flags, high) => {
    if (flags & ~of.flags || high) return -Errno.EINVAL;
    const { view } = env.memory;
    const at = mtuLen >>> 0;
    const given = view.getUint32(at, true);
    if (flags & MTU_CHK_SEGS && (diff || given)) return -Errno.EINVAL;
    const index = ifindex >>> 0 || view.getUint32((ctx >>> 0) + of.device, true);
    const mtu = env.host.deviceMtu?.(index);
    if (mtu === undefined) return -Errno.ENODEV;
    // As an int: what a difference makes negative fits.
    const length = ((given ? given + ETH_HLEN : of.length(env, ctx >>> 0)) + diff) | 0;
    view.setUint32(at, mtu, true);
    return length > mtu + ETH_HLEN ? FRAG_NEEDED : 0;
  });
}

/** The packet of a kind of ctx, as events see it. */
export interface EventPacket {
  readonly length: (env: Env, ctx: number) => number;
  /** Its first bytes, copied; undefined where there is no memory for them. */
  readonly bytes: (env: Env, ctx: number, length: number) => Uint8Array | undefined;
}

/** perf_event_output(ctx, map, flags, data, size) under 25. Nothing is copied where nobody reads. */
export function perfEventOutput(packetOf: () => EventPacket): HelperImpl {
  return helper("iiwii", "i", (env, ctx, map, index, flags, data, size) => {
    // Bits 32 to 51: how many bytes of the packet follow the data.
    if (flags & ~0xfffff) return -Errno.EINVAL;
    const cpu = index === -1 ? env.cpu : index >>> 0;
    if (flags && flags > packetOf().length(env, ctx >>> 0)) return -Errno.EFAULT;
    const events = env.mapAt(map);
    if (!(events instanceof PerfEventArrayMap)) return -Errno.EINVAL;
    const start = data >>> 0;
    return events.output(cpu, (size >>> 0) + flags, (record) => {
      record.set(env.memory.u8.subarray(start, start + (size >>> 0)));
      const tail = flags ? packetOf().bytes(env, ctx >>> 0, flags) : undefined;
      if (tail) record.set(tail, size >>> 0);
    });
  });
}

function lookup(env: Env, protocol: "tcp" | "udp", full: boolean, a: readonly number[]): number {
  const [ctx, tuple, size, netnsLo, netnsHi, flagsLo, flagsHi] = a as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // struct bpf_sock_tuple: 12 bytes for IPv4, 36 for IPv6.
  if ((size !== 12 && size !== 36) || flagsLo | flagsHi) return 0;
  const netns = flags64(netnsLo, netnsHi);
  // BPF_F_CURRENT_NETNS is -1 in 32 or 64 bits; other ids are small.
  if (netnsLo >= 0 && netnsHi !== 0) return 0;
  const query = { ctx: ctx >>> 0, protocol, full, tuple: tuple >>> 0, size, netns, flags: 0n } as const;
  const sock = env.host.socketLookup?.(env.memory, query) ?? 0;
  return env.grant(sock, 80, SOCKET, true);
}
