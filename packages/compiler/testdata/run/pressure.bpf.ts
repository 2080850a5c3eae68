//! More values live at once, across a call, than there are registers.
//! run 0102030405060708090a0b0c0d0e0f10 -> 120
import { bytes, getSmpProcessorId, header, ktimeGetNs, u32, u64, xdp } from "ebplane/bpf";

const head = header({ b: bytes(16) });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  const a = u64(h.b[0]);
  const b = u64(h.b[1]);
  const c = u64(h.b[2]);
  const d = u64(h.b[3]);
  const e = u64(h.b[4]);
  const f = u64(h.b[5]);
  const g = u64(h.b[6]);
  const i = u64(h.b[7]);
  const j = u64(h.b[8]);
  const k = u64(h.b[9]);
  const l = u64(h.b[10]);
  const m = u64(h.b[11]);
  const n = u64(h.b[12]);
  const o = u64(h.b[13]);
  const p = u64(h.b[14]);
  if (ktimeGetNs() === 0n || getSmpProcessorId() > 100000) return 2;
  h.b[0] = 0;
  if (a * b !== 2n || c * d !== 12n || e * f !== 30n || g * i !== 56n || j * k !== 90n) return 3;
  if (l * m !== 132n || n * o !== 182n) return 4;
  return u32(a + b + c + d + e + f + g + i + j + k + l + m + n + o + p);
});
