//! A socket filter sees the skb's fields only.
//! kernel only: the simulator has no sockets yet
//! run 000102030405060708090a0b0800 4500001400010000401100000a0000017f000001 -> 42
import { be16, ETH_P_IP, socketFilter } from "ebplane/bpf";

export const main = socketFilter((ctx) => {
  if (ctx.protocol !== be16(ETH_P_IP)) return 1;
  return 42;
});
