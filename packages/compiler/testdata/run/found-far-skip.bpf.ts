//! A skip by a number that the packet says: the verifier reads nothing beyond 65535 bytes, so nothing is there.
//! run 00040000 aabbccdd 2a00000000000000 -> 42
//! run 00070000 aabbccdd 0000002a00000000 -> 42
//! run 000d0000 aabbccdd 2a00000000000000 -> 3
//! run ffff0000 aabbccdd 2a00000000000000 -> 4
//! run fc010000 aabbccdd 2a00000000000000 -> 4
//! run fc000000 aabbccdd 2a00000000000000 -> 3
//! run ffff0001 aabbccdd 2a00000000000000 -> 50
import { be16, header, ntohs, u8, u32, xdp } from "ebplane/bpf";

const first = header({ skip: be16, twice: be16 });
const item = header({ value: u8 });

export const main = xdp((ctx) => {
  const p = ctx.packet();
  const h = p.take(first);
  if (!h) return 1;
  const n = ntohs(h.skip);
  p.skip(n);
  if (p.offset !== n + 4) return 2;
  if (p.left !== u32(ctx.length - 4 - n)) return 5;
  if (h.twice !== be16(0)) {
    p.skip(1);
    const q = ctx.packet();
    for (let k = 0; k < 2; k++) {
      if (q.peek(item)?.value !== 0xff) return 48 + k + (p.offset === n + 5 ? 1 : 0);
      q.skip(n);
    }
    return 60;
  }
  const parsed = ctx.packet();
  parsed.skip(4);
  parsed.skip(n);
  const { item: again, truncated } = parsed.parse({ item });
  const x = p.take(item);
  if (!x) return again || !truncated ? 6 : n > 0xfc00 ? 4 : 3;
  if (truncated || !again || again.value !== x.value) return 7;
  return x.value;
});
