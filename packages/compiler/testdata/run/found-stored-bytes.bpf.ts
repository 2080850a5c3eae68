//! What a helper stores into the packet is read from there afterwards, through headers that were taken before.
//! run 000102030405060708090a0b0c0d0e0f -> 42 000102030405060708aabbcc0c0d0e0f
import { be16, be32, header, ntohl, struct, u8, xdp, xdpStoreBytes } from "ebplane/bpf";

const head = header({ first: be32, second: be32, third: be32, last: be16 });
const Bytes = struct({ a: u8, b: u8, c: u8 });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  const before = ntohl(h.third);
  if (before !== 0x08090a0b) return 2;
  if (xdpStoreBytes(ctx, 9, Bytes({ a: 0xaa, b: 0xbb, c: 0xcc })) !== 0) return 3;
  if (ntohl(h.third) !== 0x08aabbcc) return 4;
  return ntohl(h.second) === 0x04050607 && before === 0x08090a0b ? 42 : 5;
});
