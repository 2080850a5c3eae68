//! Netfilter: the packet through a dynptr over the kernel's own, and where the hook is.
//! run 450000200001000040119a7fc0000201c0000202003500350000000000000000 -> 1
//! run 450000200001000001119a7fc0000201c0000202003500350000000000000000 -> 0
import { dynptrFromSkb, dynptrSlice, ipv4, kernelStruct, license, netfilter, u8 } from "ebplane/bpf";

license("GPL");
const Hook = kernelStruct("nf_hook_state", { hook: u8, pf: u8 });

/** Packets that would die on their way are dropped here. */
export const main = netfilter((ctx) => {
  const hook = Hook(ctx.state);
  if (hook.pf !== 2) return 1;
  const ip = dynptrSlice(dynptrFromSkb(ctx.skb), 0, ipv4);
  return ip && ip.ttl > 1 ? 1 : 0;
});
