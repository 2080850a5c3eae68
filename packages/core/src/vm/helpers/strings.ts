/**
 * Text kfuncs: search and comparison of NUL-terminated strings, which may be anywhere and end nowhere. What cannot be
 * read answers -ERANGE or -EFAULT, what goes on for 65,536 bytes -E2BIG.
 * Source: kernel/bpf/helpers.c 6.18 `bpf_str*`.
 */
import { Errno } from "../../errors/index.ts";
import { NULL_GUARD } from "../../mem/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";

/** XATTR_SIZE_MAX. */
const LONGEST = 65536;

/** A pointer as its two halves; `at` answers the byte or -1 beyond the memory. */
interface Text {
  readonly there: boolean;
  at(index: number): number;
}

function text(env: Env, low: number, high: number): Text {
  const { u8 } = env.memory;
  const start = low >>> 0;
  const there = high === 0 && start >= NULL_GUARD && start < u8.length;
  return { there, at: (index) => (start + index < u8.length ? u8[start + index]! : -1) };
}

/** The index of the first byte that `stop` says yes to; `atEnd` for the NUL. */
function scan(
  s: Text,
  limit: number,
  stop: (byte: number, index: number) => boolean,
  atEnd: (index: number) => number,
) {
  const bound = Math.min(limit, LONGEST);
  for (let i = 0; i < bound; i++) {
    const byte = s.at(i);
    if (byte < 0) return -Errno.EFAULT;
    if (stop(byte, i)) return i;
    if (byte === 0) return atEnd(i);
  }
  return undefined;
}

const lower = (c: number): number => (c >= 0x41 && c <= 0x5a ? c + 32 : c);

function compare(env: Env, ignoreCase: boolean, a: readonly number[]): number {
  const [one, other] = [text(env, a[0]!, a[1]!), text(env, a[2]!, a[3]!)];
  if (!one.there || !other.there) return -Errno.ERANGE;
  for (let i = 0; i < LONGEST; i++) {
    let x = one.at(i);
    let y = other.at(i);
    if (x < 0 || y < 0) return -Errno.EFAULT;
    if (ignoreCase) [x, y] = [lower(x), lower(y)];
    if (x !== y) return x < y ? -1 : 1;
    if (x === 0) return 0;
  }
  return -Errno.E2BIG;
}

function length(env: Env, low: number, high: number, limit: number): number {
  const s = text(env, low, high);
  if (!s.there) return -Errno.ERANGE;
  return (
    scan(
      s,
      limit,
      (byte) => byte === 0,
      (i) => i,
    ) ?? (limit >= LONGEST ? -Errno.E2BIG : limit)
  );
}

function find(
  env: Env,
  low: number,
  high: number,
  limit: number,
  wanted: number,
  missing: (end: number) => number,
): number {
  const s = text(env, low, high);
  if (!s.there) return -Errno.ERANGE;
  const c = wanted & 0xff;
  return scan(s, limit, (byte) => byte === c, missing) ?? (limit >= LONGEST ? -Errno.E2BIG : -Errno.ENOENT);
}

function findLast(env: Env, low: number, high: number, wanted: number): number {
  const s = text(env, low, high);
  if (!s.there) return -Errno.ERANGE;
  let last: number = -Errno.ENOENT;
  // The kernel compares an unsigned char with an int: what is no byte is never found.
  for (let i = 0; i < LONGEST; i++) {
    const byte = s.at(i);
    if (byte < 0) return -Errno.EFAULT;
    if (byte === wanted) last = i;
    if (byte === 0) return last;
  }
  return -Errno.E2BIG;
}

/** Bytes at the start that are (or are not) in a set. */
function span(env: Env, inside: boolean, a: readonly number[]): number {
  const [s, set] = [text(env, a[0]!, a[1]!), text(env, a[2]!, a[3]!)];
  if (!s.there || !set.there) return -Errno.ERANGE;
  for (let i = 0; i < LONGEST; i++) {
    const byte = s.at(i);
    if (byte < 0) return -Errno.EFAULT;
    if (byte === 0) return i;
    let found = false;
    let j = 0;
    for (; j < LONGEST && !found; j++) {
      const other = set.at(j);
      if (other < 0) return -Errno.EFAULT;
      if (other === byte) found = true;
      else if (other === 0) break;
    }
    if (j === LONGEST) return -Errno.E2BIG;
    if (found !== inside) return i;
  }
  return -Errno.E2BIG;
}

/** The index of one string in the first `limit` bytes of another. */
function within(env: Env, limit: number, a: readonly number[]): number {
  const [s, part] = [text(env, a[0]!, a[1]!), text(env, a[2]!, a[3]!)];
  if (!s.there || !part.there) return -Errno.ERANGE;
  for (let i = 0; i < LONGEST; i++) {
    let j = 0;
    for (; i + j <= limit && j < LONGEST; j++) {
      const wanted = part.at(j);
      if (wanted < 0) return -Errno.EFAULT;
      if (wanted === 0) return i;
      if (i + j === limit) break;
      const byte = s.at(i + j);
      if (byte < 0) return -Errno.EFAULT;
      if (byte === 0) return -Errno.ENOENT;
      if (byte !== wanted) break;
    }
    if (j === LONGEST) return -Errno.E2BIG;
    if (i + j === limit) return -Errno.ENOENT;
  }
  return -Errno.E2BIG;
}

/** A size_t of two halves as a number. */
const size = (low: number, high: number): number => (high >>> 0) * 2 ** 32 + (low >>> 0);
const none = (): number => -Errno.ENOENT;

export const STRING_KFUNCS: readonly (readonly [string, HelperImpl])[] = [
  ["bpf_strcmp", helper("ww", "i", (env, ...a) => compare(env, false, a))],
  ["bpf_strcasecmp", helper("ww", "i", (env, ...a) => compare(env, true, a))],
  ["bpf_strchr", helper("wi", "i", (env, low, high, c) => find(env, low, high, LONGEST, c, none))],
  ["bpf_strchrnul", helper("wi", "i", (env, low, high, c) => find(env, low, high, LONGEST, c, (end) => end))],
  [
    "bpf_strnchr",
    helper("wwi", "i", (env, low, high, count, countHi, c) => find(env, low, high, size(count, countHi), c, none)),
  ],
  ["bpf_strrchr", helper("wi", "i", findLast)],
  ["bpf_strlen", helper("w", "i", (env, low, high) => length(env, low, high, LONGEST))],
  ["bpf_strnlen", helper("ww", "i", (env, low, high, n, nHi) => length(env, low, high, size(n, nHi)))],
  ["bpf_strspn", helper("ww", "i", (env, ...a) => span(env, true, a))],
  ["bpf_strcspn", helper("ww", "i", (env, ...a) => span(env, false, a))],
  ["bpf_strstr", helper("ww", "i", (env, ...a) => within(env, LONGEST, a))],
  ["bpf_strnstr", helper("www", "i", (env, ...a) => within(env, size(a[4]!, a[5]!), a))],
];
