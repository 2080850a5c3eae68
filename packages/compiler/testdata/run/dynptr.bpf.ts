//! A packet through a dynptr: slices, reads, writes, parts of it; a map's value; a record of a ring.
//! run 0102030405060708090a0b0c0d0e0f1011121314 -> 42 01020304050607f7090aaabbccdd0f1011121314
//! run 0202030405060708090a0b0c0d0e0f1011121314 -> 20
//! run 0302030405060708090a0b0c0d0e0f1011121314 -> 11 0302030405060708090a55550d0e0f1011121314
//! run 0402030405060708090a0b0c0d0e0f1011121314 -> 42
//! run 0502030405060708090a0b0c0d0e0f1011121314 -> 42
//! run 0602030405060708090a0b0c0d0e0f1011121314 -> 43
import { array, be16, bytes, type Dynptr, dynptrAdjust, dynptrClone, dynptrCopy, dynptrData, dynptrFromMem, dynptrFromXdp, dynptrIsNull, dynptrIsRdonly, dynptrMemset, dynptrRead, dynptrSize, dynptrSlice, dynptrSliceRdwr, dynptrWrite, header, license, ringBuffer, ringbufDiscardDynptr, ringbufReserveDynptr, ringbufSubmitDynptr, struct, subprog, u16, u32, u8, xdp } from "ebplane/bpf";

license("GPL");
const First = header({ kind: u8, second: u8 });
const Words = header({ a: be16, b: be16 });
const Four = struct({ a: u8, b: u8, c: u8, d: u8 });
export const scratch = array(bytes(16), { maxEntries: 1 });
export const ring = ringBuffer({ maxEntries: 4096 });

function byteAt(d: Dynptr, offset: u32): u32 {
  const b = dynptrSlice(d, offset, u8);
  return b ? b.value : 255;
}
const sizeOfRest = subprog((d: Dynptr): u32 => dynptrSize(d) + 1);

export const main = xdp((ctx) => {
  const data = dynptrFromXdp(ctx);
  if (dynptrIsNull(data) || dynptrIsRdonly(data)) return 0;
  const first = dynptrSlice(data, 0, First);
  if (!first) return 0;
  if (first.kind === 1) {
    const seventh = dynptrSliceRdwr(data, 7, u8);
    if (!seventh) return 1;
    seventh.value = 0xf7;
    const four = Four({ a: 0xaa, b: 0xbb, c: 0xcc, d: 0xdd });
    if (dynptrWrite(data, 10, four) !== 0) return 2;
    const back = Four();
    if (dynptrRead(back, data, 11) !== 0) return 3;
    if (back.a !== 0xbb || back.d !== 0x0f) return 4;
    // Behind the end: an error, and nothing of it.
    if (dynptrRead(back, data, 18) === 0 || dynptrSlice(data, 18, Four)) return 5;
    return 42;
  }
  if (first.kind === 2) {
    const part = dynptrClone(data);
    if (dynptrAdjust(part, 2, 12) !== 0) return 1;
    if (sizeOfRest(part) !== 11 || dynptrSize(data) !== 20) return 2;
    // 5 from the part's start is 7 from the packet's.
    return byteAt(part, 5) + byteAt(data, 11);
  }
  if (first.kind === 3) {
    if (dynptrMemset(data, 10, 2, 0x55) !== 0) return 1;
    const h = ctx.header(Words, 10);
    if (!h || h.a !== be16(0x5555)) return 2;
    return byteAt(data, 9) + 1;
  }
  if (first.kind === 4) {
    const v = scratch.lookup(0);
    if (!v) return 1;
    const to = dynptrFromMem(v);
    if (dynptrCopy(to, 0, data, 4, 8) !== 0) return 2;
    if (dynptrWrite(to, 8, [Four({ a: 9 }), 1]) !== 0) return 3;
    const word = dynptrData(to, 0, u16);
    if (!word || word.value !== 0x0605) return 4;
    return v[0] === 5 && v[7] === 12 && v[8] === 9 ? 42 : 5;
  }
  if (first.kind === 5) {
    const r = ringbufReserveDynptr(ring, dynptrSize(data));
    const copied = dynptrCopy(r, 0, data, 0, dynptrSize(data));
    const start = dynptrData(r, 0, First);
    const fine = copied === 0 && start !== undefined && start.second === 2;
    if (fine) ringbufSubmitDynptr(r);
    else ringbufDiscardDynptr(r);
    return fine ? 42 : 1;
  }
  const large = ringbufReserveDynptr(ring, 1 << 20);
  const none = dynptrIsNull(large);
  ringbufDiscardDynptr(large);
  return none ? 43 : 1;
});
