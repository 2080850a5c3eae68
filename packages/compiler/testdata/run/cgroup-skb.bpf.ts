//! A cgroup program reads the packet from its IP header.
//! kernel only: the simulator has no cgroups yet
//! run 000102030405060708090a0b0800 4500001400010000401100000a0000017f000001 -> 1
import { cgroupSkb, ip4, ipv4 } from "ebplane/bpf";

export const main = cgroupSkb.ingress((ctx) => {
  const ip = ctx.header(ipv4);
  if (!ip) return 0;
  return ip.daddr === ip4("127.0.0.1") ? 1 : 0;
});
