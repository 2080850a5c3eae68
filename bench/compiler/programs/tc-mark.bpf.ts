import {
  array,
  be16,
  ETH_P_IP,
  ETH_P_IPV6,
  ethernet,
  ipv4,
  ipv6,
  struct,
  TC_ACT_OK,
  TC_ACT_SHOT,
  tc,
  u32,
} from "ebplane/bpf";

const Class = struct({ mark: u32, priority: u32 });
export const classes = array(Class, { maxEntries: 64 });

export const prog = tc.ingress((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return TC_ACT_SHOT;
  let dscp: u32 = 0;
  if (eth.proto === be16(ETH_P_IP)) {
    const ip = p.peek(ipv4);
    if (!ip) return TC_ACT_SHOT;
    dscp = ip.tos >> 2;
  } else if (eth.proto === be16(ETH_P_IPV6)) {
    const ip = p.peek(ipv6);
    if (!ip) return TC_ACT_SHOT;
    dscp = ip.tclass >> 2;
  } else return TC_ACT_OK;
  const c = classes.lookup(dscp);
  if (!c) return TC_ACT_OK;
  if (!c.mark) return TC_ACT_OK;
  ctx.mark = c.mark;
  ctx.priority = c.priority;
  return c.priority > 7 ? TC_ACT_SHOT : TC_ACT_OK;
});
