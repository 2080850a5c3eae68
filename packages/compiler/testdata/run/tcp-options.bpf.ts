//! TCP options by their kinds, whose places the packet says: the maximum segment size, behind others.
//! run ffffffffffff0000000000000800450000340001000040060000000000000000000013880050000000000000000080120000000000000101010402020405b4010101 -> 1460
//! run ffffffffffff00000000000008004500003000010000400600000000000000000000138800500000000000000000701200000000000003030701020405b4 -> 1460
//! run ffffffffffff000000000000080045000028000100004006000000000000000000001388005000000000000000005012000000000000 -> 43
//! run ffffffffffff00000000000008004500003000010000400600000000000000000000138800500000000000000000701200000000000008000101020405b4 -> 43
import { be16, ethernet, header, ipv4, ntohs, range, tcp, u8, u16, u32, xdp } from "ebplane/bpf";

const Kind = header({ kind: u8 });
const Option = header({ kind: u8, length: u8 });
const SegmentSize = header({ kind: u8, length: u8, bytes: be16 });

export const main = xdp((ctx) => {
  const h = ctx.packet().parse({ eth: ethernet, ip: ipv4, tcp });
  if (!h.tcp) return 2;
  let at = u16(ctx.offset(h.tcp) + tcp.size);
  const end: u32 = ctx.offset(h.tcp) + h.tcp.doff * 4;
  for (const _ of range(16)) {
    if (at >= end) break;
    const first = ctx.header(Kind, at);
    if (!first || first.kind === 0) break;
    if (first.kind === 1) {
      at += 1;
      continue;
    }
    const option = ctx.header(Option, at);
    if (!option || option.length < 2) break;
    if (option.kind === 2) {
      const size = ctx.header(SegmentSize, at);
      return size ? ntohs(size.bytes) : 1;
    }
    at += option.length;
  }
  return 43;
});
