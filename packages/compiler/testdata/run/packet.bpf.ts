//! Cursors over VLAN, IPv4 with options, TCP with options; peek, skip, offset, left; headers of one's own; writes.
//! run 000102030405 060708090a0b 8100 2064 0800 46000034000100004006000a0a0000010a00000211223344 00500051 00000001 00000002 6012 ffff 0000 0000 aabbccdd 99 -> 42 00010203040506 0708090a0b8100206408004600003400010000 3f06000a0a0000010a00000211223344 005000510000000100000002601affff00000000aabbccdd99
import { be16, ETH_P_8021Q, ethernet, header, ipv4, ntohs, TCP_ACK, TCP_PSH, TCP_SYN, tcp, u8, vlan, XDP_PASS, xdp } from "ebplane/bpf";

const last = header({ value: u8 });

export const main = xdp((ctx) => {
  const p = ctx.packet();
  if (ctx.length !== 67) return 1;
  const eth = p.take(ethernet);
  if (!eth || p.offset !== 14) return 3;
  if (eth.proto !== be16(ETH_P_8021Q)) return 4;
  const tag = p.take(vlan);
  if (!tag || tag.vid !== 100 || tag.pcp !== 1 || tag.dei !== 0) return 5;
  const first = p.peek(ipv4);
  const ip = p.take(ipv4);
  if (!ip || !first || first.saddr !== ip.saddr) return 6;
  if (ip.version !== 4 || ip.ihl !== 6 || p.offset !== 42) return 7;
  ip.ttl--;
  const t = p.take(tcp);
  if (!t || ntohs(t.source) !== 80 || t.doff !== 6) return 8;
  if (t.flags !== (TCP_SYN | TCP_ACK)) return 9;
  t.flags |= TCP_PSH;
  if (p.left !== 1) return 10;
  const end = p.take(last);
  if (!end || end.value !== 0x99 || p.left !== 0) return 11;
  if (p.take(last)) return 12;
  const q = ctx.packet();
  q.skip(12);
  q.skip(ip.ihl);
  const at18 = q.peek(ipv4);
  if (!at18 || at18.tos !== 0 || q.offset !== 18) return 13;
  if (ctx.header(tcp, 60)) return 14;
  return 40 + XDP_PASS;
});
