/**
 * What helpers tell of sockets: kinds, owners, cookies, options; and the choice of one for a lookup. A socket is a
 * SocketBuffer (ctx/socket.ts): struct bpf_sock with struct bpf_tcp_sock behind it.
 * Source: net/core/filter.c, net/core/sock_map.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { ProgType } from "../../object/index.ts";
import { type Env, type HelperImpl, helper, SOCKET } from "../env.ts";
import { HOOK, SKB, SOCKET_CTX } from "../layout.ts";
import { get, hookLoadBytes, put } from "./skb.ts";

/** struct bpf_sock. */
const FAMILY = 4;
const PROTOCOL = 12;
const STATE = 72;
const SOCK_SIZE = 80;
const TCP_SOCK_SIZE = 112;
const IPPROTO_TCP = 6;
const AF_INET = 2;
const TCP_ESTABLISHED = 1;
const TCP_TIME_WAIT = 6;
const TCP_LISTEN = 10;
const TCP_NEW_SYN_RECV = 12;
const OVERFLOW_UID = 65534;

export const SOCKET_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* get_socket_cookie(skb) */ [46, cookieOf((env, skb) => get(env, skb, SKB.SK))],
  /* get_socket_uid(skb) */ [
    47,
    helper("i", "u", (env, skb) => {
      const socket = get(env, skb, SKB.SK);
      return socket && isFull(env, socket) ? get(env, socket, SOCKET_CTX.UID) | 0 : OVERFLOW_UID;
    }),
  ],
  /* setsockopt(ctx, level, name, value, len) */ [49, option(true, (env, ctx) => get(env, ctx, SOCK_OPS_SK))],
  /* getsockopt(ctx, level, name, value, len) */ [57, option(false, (env, ctx) => get(env, ctx, SOCK_OPS_SK))],
  /* bind(ctx, address, len) */ [64, helper("iii", "i", bind)],
  /* sk_fullsock(sock) */ [
    95,
    helper("i", "u", (env, sock) => (isFull(env, sock) ? env.grant(sock >>> 0, SOCK_SIZE, SOCKET, true) : 0)),
  ],
  /* tcp_sock(sock) */ [
    96,
    helper("i", "u", (env, sock) => {
      if (!isFull(env, sock) || get(env, sock, PROTOCOL) !== IPPROTO_TCP) return 0;
      return env.grant((sock >>> 0) + SOCKET_CTX.TCP, TCP_SOCK_SIZE, "tcp socket", false);
    }),
  ],
  /* get_listener_sock(sock) */ [98, helper("i", "u", (env, sock) => (isListener(env, sock) ? sock : 0))],
];

const SOCK_OPS_SK = 184;
const SOCK_ADDR_SK = 64;
const SK_REUSEPORT_SK = 40;

/** By program type: where its ctx has the socket. */
export const SOCKET_BY_TYPE: ReadonlyMap<number, readonly (readonly [number, HelperImpl])[]> = new Map([
  [ProgType.BPF_PROG_TYPE_SOCK_OPS, [[46, cookieOf((env, ctx) => get(env, ctx, SOCK_OPS_SK))]]],
  [
    ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    [
      [46, cookieOf((env, ctx) => get(env, ctx, SOCK_ADDR_SK))],
      [49, option(true, (env, ctx) => get(env, ctx, SOCK_ADDR_SK))],
      [57, option(false, (env, ctx) => get(env, ctx, SOCK_ADDR_SK))],
    ],
  ],
  [
    ProgType.BPF_PROG_TYPE_SK_REUSEPORT,
    [
      [26, helper("iiii", "i", hookLoadBytes)],
      [46, cookieOf((env, ctx) => get(env, ctx, SK_REUSEPORT_SK))],
    ],
  ],
  // The ctx is the socket; sockopt programs give one.
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK, [[46, cookieOf((_, ctx) => ctx)]]],
  [
    ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT,
    [
      [49, option(true, (_, socket) => socket)],
      [57, option(false, (_, socket) => socket)],
    ],
  ],
  [ProgType.BPF_PROG_TYPE_SK_LOOKUP, [[124, helper("iiw", "i", assign)]]],
]);

/** Neither a request nor a leftover of a closed connection. */
export function isFull(env: Env, socket: number): boolean {
  const state = get(env, socket, STATE);
  return state !== TCP_TIME_WAIT && state !== TCP_NEW_SYN_RECV;
}

function isListener(env: Env, socket: number): boolean {
  return socket !== 0 && get(env, socket, STATE) === TCP_LISTEN;
}

/** The host's cookie of a socket; a socket's address is as good where the host has none. */
function cookieOf(socketOf: (env: Env, ctx: number) => number): HelperImpl {
  return helper("i", "w", (env, ctx) => {
    const socket = socketOf(env, ctx) >>> 0;
    if (!socket) return env.wide(0n);
    return env.wide(env.host.socketCookie?.(env.memory, socket) ?? BigInt(socket));
  });
}

function option(set: boolean, socketOf: (env: Env, ctx: number) => number): HelperImpl {
  return helper("iiiii", "i", (env, ctx, level, name, address, length) => {
    const socket = socketOf(env, ctx) >>> 0;
    const { memory } = env;
    const at = address >>> 0;
    const size = length >>> 0;
    const answer = socket
      ? env.host.socketOption?.(memory, { socket, level, name, address: at, length: size, set })
      : undefined;
    if (answer === undefined || answer < 0) {
      // What cannot be read is cleared.
      if (!set) memory.u8.fill(0, at, at + size);
      return answer ?? -Errno.EINVAL;
    }
    return answer;
  });
}

/** Binds the connecting socket to a source address. Source: `BPF_CALL_3(bpf_bind, …)`. */
function bind(env: Env, ctx: number, address: number, length: number): number {
  const AF_INET6 = 10;
  const at = address >>> 0;
  const size = length >>> 0;
  if (size < 2) return -Errno.EINVAL;
  const family = env.memory.view.getUint16(at, true);
  if (family !== AF_INET && family !== AF_INET6) return -Errno.EAFNOSUPPORT;
  if (size < (family === AF_INET ? 16 : 24)) return -Errno.EINVAL;
  const socket = get(env, ctx, SOCK_ADDR_SK);
  return env.host.bindSocket?.(env.memory, socket, at, size) ?? -Errno.EADDRNOTAVAIL;
}

const F_REPLACE = 1;
const F_NO_REUSEPORT = 2;
/** struct bpf_sk_lookup. */
const LOOKUP_FAMILY = 8;
const LOOKUP_PROTOCOL = 12;

/** sk_assign(ctx, sock or NULL, flags) of sk_lookup programs. Source: `bpf_sk_lookup_assign`. */
function assign(env: Env, ctx: number, socket: number, flags: number, high: number): number {
  if (flags & ~(F_REPLACE | F_NO_REUSEPORT) || high) return -Errno.EINVAL;
  if (socket) {
    if (get(env, socket, STATE) === TCP_ESTABLISHED) return -Errno.ESOCKTNOSUPPORT;
    if (get(env, socket, PROTOCOL) !== get(env, ctx, LOOKUP_PROTOCOL)) return -Errno.EPROTOTYPE;
    const family = get(env, socket, FAMILY);
    if (family !== get(env, ctx, LOOKUP_FAMILY) && family === AF_INET) return -Errno.EAFNOSUPPORT;
  }
  if (get(env, ctx, HOOK.SELECTED) && !(flags & F_REPLACE)) return -Errno.EEXIST;
  put(env, ctx, HOOK.SELECTED, socket);
  put(env, ctx, 0, socket);
  put(env, ctx, HOOK.NO_REUSEPORT, flags & F_NO_REUSEPORT ? 1 : 0);
  return 0;
}
