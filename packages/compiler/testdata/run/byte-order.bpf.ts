//! Network fields compare with converted constants, mask among themselves, and convert both ways.
//! run 000102030405060708090a0b0800 4500001400010000401100000a0000017f000001 -> 42
import { asBe16, be16, be32, be64, ETH_P_IP, ethernet, htonl, htons, ip4, ipv4, ntohl, ntohs, raw, u16, u32, xdp } from "ebplane/bpf";

export const main = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return 1;
  if (eth.proto !== be16(ETH_P_IP)) return 2;
  if (ntohs(eth.proto) !== ETH_P_IP) return 3;
  const ip = p.take(ipv4);
  if (!ip) return 4;
  if (ip.saddr !== ip4("10.0.0.1")) return 5;
  if ((ip.saddr & ip4("255.0.0.0")) !== be32(0x0a000000)) return 6;
  if ((ip.daddr & be32(0xff000000)) === (ip.saddr & be32(0xff000000))) return 7;
  if (ntohl(ip.daddr) >> 24 !== 127) return 8;
  if (raw(eth.proto) !== 8) return 9;
  if (asBe16(8) !== eth.proto) return 10;
  if (htonl(ntohl(ip.saddr)) !== ip.saddr) return 11;
  if (htons(u16(ntohs(ip.totLen) + 1)) !== be16(21)) return 12;
  if (ntohs(asBe16(~ip.totLen)) !== 0xffeb) return 13;
  if ((ip.saddr ^ ip.saddr) !== be32(0)) return 14;
  if (be64(1n) === be64(2n)) return 15;
  if (u32(ip.protocol) !== 17) return 16;
  return 42;
});
