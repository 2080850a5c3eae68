//! A tc program reads and writes the skb's fields, and the packet.
//! kernel only: the simulator has no tc hook yet
//! run 000102030405060708090a0b0800 4500001400010000401100000a0000017f000001 0000000000000000 -> 42
import { be16, ETH_P_IP, ethernet, ip4, ipv4, tc } from "ebplane/bpf";

export const main = tc.ingress((ctx) => {
  if (ctx.len !== 42) return 1;
  if (ctx.protocol !== be16(ETH_P_IP)) return 2;
  ctx.mark = 7;
  ctx.cb[1] = 5;
  if (ctx.mark !== 7 || ctx.cb[1] !== 5) return 3;
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth || eth.src[0] !== 6) return 4;
  const ip = p.take(ipv4);
  if (!ip || ip.daddr !== ip4("127.0.0.1")) return 5;
  return 42;
});
