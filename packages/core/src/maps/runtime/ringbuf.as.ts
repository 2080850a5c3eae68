// ringbuf and user_ringbuf. Source of the rules: kernel/bpf/ringbuf.c. The kernel maps the data pages twice in a row so
// that a record over the end stays in one piece; here as much memory again follows the data and takes such a record's
// tail. Nothing else ever reads or writes that copy of an address, so both ways to a byte agree.
import * as L from "../layout";
import { copyBytes, lockMap, notify, unlockMap } from "./env.as";

const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
const MAX_RECORD: u32 = 0x3fffffff;
/** Records are handed to programs as dynptrs. */
const MAX_DYNPTR: u32 = 0xffffff;

@inline function data(m: usize): usize { return load<u32>(m, L.MAP_VALUES); }
@inline function size(m: usize): u32 { return load<u32>(m, L.MAP_MAX_ENTRIES); }
@inline function whole(length: u32): u64 { return (<u64>length + L.RECORD_HEAD + 7) & ~7; }
@inline function getPos(at: usize): u64 {
  if (ASC_FEATURE_THREADS) return atomic.load<u64>(at);
  return load<u64>(at);
}
@inline function setPos(at: usize, pos: u64): void {
  if (ASC_FEATURE_THREADS) atomic.store<u64>(at, pos);
  else store<u64>(at, pos);
}
@inline function consumer(m: usize): usize { return data(m) + L.RING_CONSUMER; }
@inline function producer(m: usize): usize { return data(m) + L.RING_PRODUCER; }

/** bpf_ringbuf_reserve: the record's address, or 0 when it does not fit now. */
export function ringbuf_reserve(m: usize, length: u64, flags: u64): usize {
  if (flags || length > MAX_RECORD) return 0;
  const all = whole(<u32>length), ring = <u64>size(m), at = data(m);
  if (all > ring) return 0;
  lockMap(m);
  const consumed = getPos(consumer(m)), from = getPos(producer(m)), to = from + all;
  let pending = load<u64>(m, L.RING_PENDING);
  // Committed records in a row no longer hold anything up.
  while (pending < from) {
    const head = load<u32>(at + <usize>(pending & (ring - 1)));
    if (head & L.RING_BUSY) break;
    pending += whole(head & ~L.RING_DISCARD);
  }
  store<u64>(m, pending, L.RING_PENDING);
  if (to - consumed > ring - 1 || to - pending > ring - 1) { unlockMap(m); return 0; }
  const record = at + <usize>(from & (ring - 1));
  store<u32>(record, <u32>length | L.RING_BUSY);
  store<u32>(record, <u32>((record - (at + L.RING_SELF)) / L.RING_PAGE), 4);
  setPos(producer(m), to);
  unlockMap(m);
  return record + L.RECORD_HEAD;
}

function finish(sample: usize, flags: u64, discard: u32): void {
  const head = sample - L.RECORD_HEAD;
  const m: usize = load<u32>((head & ~(L.RING_PAGE - 1)) - load<u32>(head, 4) * L.RING_PAGE);
  const length = (load<u32>(head) & ~L.RING_BUSY) | discard;
  if (ASC_FEATURE_THREADS) atomic.store<u32>(head, length);
  else store<u32>(head, length);
  const waits = <usize>(getPos(consumer(m)) & (size(m) - 1)) == head - data(m);
  if (flags & FORCE_WAKEUP || (waits && !(flags & NO_WAKEUP))) notify(<i32>m);
}

/** bpf_ringbuf_submit: the consumer may read the record; it is woken when it waits for this very one. */
export function ringbuf_submit(sample: usize, flags: u64): void { finish(sample, flags, 0); }
/** bpf_ringbuf_discard: the consumer will skip the record. */
export function ringbuf_discard(sample: usize, flags: u64): void { finish(sample, flags, L.RING_DISCARD); }

/** bpf_ringbuf_output: 0, -EINVAL for an unknown flag, -EAGAIN when there is no room. */
export function ringbuf_output(m: usize, from: usize, length: u64, flags: u64): i32 {
  if (flags & ~(NO_WAKEUP | FORCE_WAKEUP)) return -L.EINVAL;
  const record = ringbuf_reserve(m, length, 0);
  if (!record) return -L.EAGAIN;
  copyBytes(record, from, <u32>length);
  finish(record, flags, 0);
  return 0;
}

/** bpf_ringbuf_query: bytes not consumed, size, consumer's and producer's position; 0 for another question. */
export function ringbuf_query(m: usize, what: u64): u64 {
  switch (<u32>what) {
    case 0: return what ? 0 : getPos(producer(m)) - getPos(consumer(m));
    case 1: return size(m);
    case 2: return getPos(consumer(m));
    case 3: return getPos(producer(m));
    default: return 0;
  }
}

// ---- user_ringbuf: userspace produces, programs drain ----

/**
 * The next record for bpf_user_ringbuf_drain: its length, and its address in the word at `out`. -ENODATA when there is
 * none, -EAGAIN when a discarded one was skipped (ask again), -EINVAL or -E2BIG when the producer's data is not sound.
 */
export function user_ringbuf_peek(m: usize, out: usize): i32 {
  const to = getPos(producer(m)), from = getPos(consumer(m)), ring = <u64>size(m);
  if (to & 7) return -L.EINVAL;
  if (from >= to) return -L.ENODATA;
  const head = data(m) + <usize>(from & (ring - 1)), word = load<u32>(head);
  const length = word & ~(L.RING_BUSY | L.RING_DISCARD), all = whole(length);
  if (all > to - from) return -L.EINVAL;
  if (all > ring || length > MAX_DYNPTR) return -L.E2BIG;
  if (word & L.RING_DISCARD) { setPos(consumer(m), from + all); return -L.EAGAIN; }
  if (word & L.RING_BUSY) return -L.ENODATA;
  store<u32>(out, <u32>(head + L.RECORD_HEAD));
  return <i32>length;
}

/** The record of the last peek is done with. */
export function user_ringbuf_release(m: usize, length: u32): void {
  setPos(consumer(m), getPos(consumer(m)) + whole(length));
}
