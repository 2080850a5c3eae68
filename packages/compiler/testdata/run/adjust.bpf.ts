//! The packet moves: headers are taken again, at the new place.
//! run 000102030405060708090a0b0800 45000014000100004011 -> 42 00000000 000102030405060708090a0b0800 45000014000100004011
import { bytes, ethernet, header, u8, XDP_DROP, xdp, xdpAdjustHead } from "ebplane/bpf";

const shim = header({ bytes: bytes(4) });

export const main = xdp((ctx) => {
  const before = ctx.header(ethernet);
  if (!before) return XDP_DROP;
  const first = u8(before.src[0]);
  if (xdpAdjustHead(ctx, -4) !== 0) return 2;
  const s = ctx.header(shim);
  if (!s) return 3;
  for (let i = 0; i < 4; i++) s.bytes[i] = 0;
  const eth = ctx.header(ethernet, 4);
  if (!eth || eth.src[0] !== first || ctx.length !== 28) return 4;
  return 42;
});
