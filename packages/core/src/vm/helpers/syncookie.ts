/**
 * SYN cookies: a listener's answer to a SYN that keeps no state. The secrets are the host's randomness, so cookies agree
 * with themselves, never with a kernel's.
 * Source: net/ipv4/syncookies.c, net/ipv6/syncookies.c, net/core/filter.c 6.18 `bpf_tcp_raw_gen_syncookie_*`.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";

const COOKIE_BITS = 24;
const COOKIE_MASK = (1 << COOKIE_BITS) - 1;
/** A cookie is good for 2 to 3 minutes: the count of minutes stands in its top byte. */
const MAX_AGE = 2;
const MINUTE_NS = 60_000_000_000n;
/** What a cookie can say of the peer's MSS: 2 bits. */
const MSS_IPV4 = [536, 1300, 1440, 1460];
const MSS_IPV6 = [1220, 1420, 1440, 8940];

const ACK = 0x10;
const SYN = 0x02;
const RST = 0x04;
const FIN = 0x01;

const SOCK_PROTOCOL = 12;
const SOCK_STATE = 72;
const IPPROTO_TCP = 6;
const TCP_LISTEN = 10;

export const SYNCOOKIE_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* tcp_check_syncookie(sk, iph, iph_len, th, th_len) */ [100, helper("iiiii", "i", check)],
  /* tcp_gen_syncookie(sk, iph, iph_len, th, th_len) */ [110, helper("iiiii", "w", generate)],
  /* tcp_raw_gen_syncookie_ipv4(iph, th, th_len) */ [204, helper("iii", "w", (env, ...a) => rawGenerate(env, 4, a))],
  /* tcp_raw_gen_syncookie_ipv6 */ [205, helper("iii", "w", (env, ...a) => rawGenerate(env, 6, a))],
  /* tcp_raw_check_syncookie_ipv4(iph, th) */ [
    206,
    helper("ii", "i", (env, ip, th) => (mssOf(env, 4, ip >>> 0, th >>> 0) ? 0 : -Errno.EACCES)),
  ],
  /* tcp_raw_check_syncookie_ipv6 */ [
    207,
    helper("ii", "i", (env, ip, th) => (mssOf(env, 6, ip >>> 0, th >>> 0) ? 0 : -Errno.EACCES)),
  ],
];

function rawGenerate(env: Env, version: number, a: readonly number[]): number {
  const [ip, th, length] = a as [number, number, number];
  const at = th >>> 0;
  if (length >>> 0 < 20 || length !== (env.memory.view.getUint8(at + 12) >>> 4) * 4)
    return env.wide(BigInt(-Errno.EINVAL));
  return env.wide(make(env, version, ip >>> 0, at, length));
}

/** The IP version of a header, or -errno where header and length do not fit. */
function versionOf(env: Env, ip: number, length: number): number {
  const version = env.memory.view.getUint8(ip) >>> 4;
  if (version === 4) return length >= 20 ? 4 : -Errno.EINVAL;
  if (version === 6) return length >= 40 ? 6 : -Errno.EINVAL;
  return -Errno.EPROTONOSUPPORT;
}

function isListener(env: Env, sock: number): boolean {
  const { view } = env.memory;
  return (
    view.getUint32(sock + SOCK_PROTOCOL, true) === IPPROTO_TCP && view.getUint32(sock + SOCK_STATE, true) === TCP_LISTEN
  );
}

function generate(env: Env, sock: number, ip: number, ipLength: number, th: number, thLength: number): number {
  const { view } = env.memory;
  const at = th >>> 0;
  const answer = (n: number): number => env.wide(BigInt(n));
  if (thLength >>> 0 < 20 || thLength !== (view.getUint8(at + 12) >>> 4) * 4) return answer(-Errno.EINVAL);
  if (!isListener(env, sock >>> 0)) return answer(-Errno.EINVAL);
  const flags = view.getUint8(at + 13);
  if (!(flags & SYN) || flags & (ACK | FIN | RST)) return answer(-Errno.EINVAL);
  const version = versionOf(env, ip >>> 0, ipLength >>> 0);
  if (version < 0) return answer(version);
  return env.wide(make(env, version, ip >>> 0, at, thLength));
}

function check(env: Env, sock: number, ip: number, ipLength: number, th: number, thLength: number): number {
  if (thLength >>> 0 < 20 || !isListener(env, sock >>> 0)) return -Errno.EINVAL;
  const flags = env.memory.view.getUint8((th >>> 0) + 13);
  if (!(flags & ACK) || flags & (RST | SYN)) return -Errno.ENOENT;
  const version = versionOf(env, ip >>> 0, ipLength >>> 0);
  if (version < 0) return version;
  return mssOf(env, version, ip >>> 0, th >>> 0) ? 0 : -Errno.ENOENT;
}

/** The cookie in the low half, the MSS that it stands for above. */
function make(env: Env, version: number, ip: number, th: number, length: number): bigint {
  const { view } = env.memory;
  const table = version === 4 ? MSS_IPV4 : MSS_IPV6;
  const asked = mssOption(env, th, length) || table[0]!;
  let index = table.length - 1;
  while (index > 0 && asked < table[index]!) index--;
  const minute = minutes(env);
  const sequence = view.getUint32(th + 4, false);
  const first = hash(env, 0, version, ip, th, 0);
  const second = hash(env, 1, version, ip, th, minute);
  const cookie = (first + sequence + (minute << COOKIE_BITS) + ((second + index) & COOKIE_MASK)) >>> 0;
  return (BigInt(table[index]!) << 32n) | BigInt(cookie);
}

/** The MSS of the cookie that an ACK carries, 0 when it is not one of ours. */
function mssOf(env: Env, version: number, ip: number, th: number): number {
  const { view } = env.memory;
  const table = version === 4 ? MSS_IPV4 : MSS_IPV6;
  const sequence = (view.getUint32(th + 4, false) - 1) >>> 0;
  const cookie = (view.getUint32(th + 8, false) - 1) >>> 0;
  const rest = (cookie - hash(env, 0, version, ip, th, 0) - sequence) >>> 0;
  const minute = minutes(env);
  const age = (minute - (rest >>> COOKIE_BITS)) & (0xffffffff >>> COOKIE_BITS);
  if (age >= MAX_AGE) return 0;
  const index = (rest - hash(env, 1, version, ip, th, minute - age)) & COOKIE_MASK;
  return table[index] ?? 0;
}

function minutes(env: Env): number {
  return Number(BigInt.asIntN(32, env.host.monotonicNs() / MINUTE_NS));
}

/** The MSS option of a TCP header, 0 without one. */
function mssOption(env: Env, th: number, length: number): number {
  const { view } = env.memory;
  for (let at = th + 20; at + 1 < th + length; ) {
    const kind = view.getUint8(at);
    if (kind === 0) return 0;
    if (kind === 1) {
      at++;
      continue;
    }
    const size = view.getUint8(at + 1);
    if (size < 2 || at + size > th + length) return 0;
    if (kind === 2 && size === 4) return view.getUint16(at + 2, false);
    at += size;
  }
  return 0;
}

const secrets = new WeakMap<object, BigUint64Array>();

/** SipHash-2-4 of addresses, ports and a count, under one of two secrets; its low 32 bits. */
function hash(env: Env, which: number, version: number, ip: number, th: number, count: number): number {
  let keys = secrets.get(env.host);
  if (!keys) {
    const draw = (): bigint => (BigInt(env.host.random32()) << 32n) | BigInt(env.host.random32());
    secrets.set(env.host, (keys = BigUint64Array.of(draw(), draw(), draw(), draw())));
  }
  const { view } = env.memory;
  const [from, size] = version === 4 ? [ip + 12, 8] : [ip + 8, 32];
  const words: bigint[] = [];
  for (let i = 0; i < size; i += 8) words.push(view.getBigUint64(from + i, true));
  words.push((BigInt(count >>> 0) << 32n) | BigInt(view.getUint32(th, true)));
  return sipHash(keys[2 * which]!, keys[2 * which + 1]!, words);
}

const u64 = (x: bigint): bigint => BigInt.asUintN(64, x);
const rotate = (x: bigint, n: bigint): bigint => u64(x << n) | (x >> (64n - n));

function sipHash(k0: bigint, k1: bigint, words: readonly bigint[]): number {
  let a = k0 ^ 0x736f6d6570736575n;
  let b = k1 ^ 0x646f72616e646f6dn;
  let c = k0 ^ 0x6c7967656e657261n;
  let d = k1 ^ 0x7465646279746573n;
  const round = (): void => {
    a = u64(a + b);
    b = rotate(b, 13n) ^ a;
    a = rotate(a, 32n);
    c = u64(c + d);
    d = rotate(d, 16n) ^ c;
    a = u64(a + d);
    d = rotate(d, 21n) ^ a;
    c = u64(c + b);
    b = rotate(b, 17n) ^ c;
    c = rotate(c, 32n);
  };
  for (const word of [...words, BigInt(words.length * 8) << 56n]) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
  c ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return Number((a ^ b ^ c ^ d) & 0xffffffffn);
}
