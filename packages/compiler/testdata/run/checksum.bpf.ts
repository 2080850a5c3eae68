//! Incremental checksums (RFC 1624) agree with the sum over the changed header.
//! run 000102030405060708090a0b0800 45000073000040004011b861c0a80001c0a800c7 -> 42
import { asBe32, csumDiff, csumFold, csumReplace2, csumReplace4, ethernet, ip4, ipv4, raw, u32, xdp, be16, htons } from "ebplane/bpf";

export const main = xdp((ctx) => {
  const p = ctx.packet();
  p.take(ethernet);
  const ip = p.peek(ipv4);
  if (!ip) return 1;
  if (csumFold(u32(csumDiff(undefined, ip, 0))) !== be16(0)) return 2;
  const old = ip.daddr;
  ip.daddr = ip4("10.1.2.3");
  ip.check = csumReplace4(ip.check, old, ip.daddr);
  if (csumFold(u32(csumDiff(undefined, ip, 0))) !== be16(0)) return 3;
  const id = ip.id;
  ip.id = htons(0xfffe);
  ip.check = csumReplace2(ip.check, id, ip.id);
  if (csumFold(u32(csumDiff(undefined, ip, 0))) !== be16(0)) return 4;
  return raw(asBe32(5)) === 5 ? 42 : 5;
});
