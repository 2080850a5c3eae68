//! A record is made in the ring itself: submitted, discarded, handed on by a function.
//! run 0102030405060708090a0b0c0d0e0f10 -> 41
//! run 0202030405060708090a0b0c0d0e0f10 -> 42
//! run 0302030405060708090a0b0c0d0e0f10 -> 16
//! run 0402030405060708090a0b0c0d0e0f10 -> 43
import { bytes, header, type Infer, ringBuffer, struct, u8, u32, u64, xdp } from "ebplane/bpf";

const First = header({ kind: u8 });
const Event = struct({ when: u64, what: u32, more: bytes(20) });
type Event = Infer<typeof Event>;
export const events = ringBuffer({ maxEntries: 4096 });

function open(what: u32): Event | undefined {
  const e = events.reserve(Event);
  if (!e) return undefined;
  e.when = 5n;
  e.what = what;
  return e;
}

export const main = xdp((ctx) => {
  const first = ctx.header(First);
  if (!first) return 0;
  if (first.kind === 1) {
    const e = events.reserve(Event);
    if (!e) return 1;
    e.what = ctx.length;
    events.submit(e, 1n);
    return 41;
  }
  if (first.kind === 2) {
    const e = open(7);
    if (!e) return 2;
    const what = e.what;
    if (what === 7) events.submit(e);
    else events.discard(e);
    return what === 7 ? 42 : 3;
  }
  if (first.kind === 3) {
    let n = 0;
    for (let i = 0; i < 16; i++) {
      const e = events.reserve(u64);
      if (!e) break;
      e.value = u64(i);
      n++;
      events.discard(e);
    }
    return n;
  }
  const e = ctx.length > 20 ? events.reserve(Event) : open(9);
  if (e) events.discard(e);
  return 43;
});
