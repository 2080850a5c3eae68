//! Connection tracking: a lookup that finds nothing says why; what it gives is released.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { be16, be32, bytes, ctRelease, i32, ip4, kernelStruct, license, struct, u32, u8, xdp, xdpCtLookup } from "ebplane/bpf";

license("GPL");
const Tuple = struct({ saddr: be32, daddr: be32, sport: be16, dport: be16 });
const Options = struct({ netns: i32, error: i32, l4proto: u8, dir: u8, reserved: bytes(2) });
const Connection = kernelStruct("nf_conn", { mark: u32 });

export const main = xdp((ctx) => {
  const tuple = Tuple({ saddr: ip4("192.0.2.1"), daddr: ip4("192.0.2.2"), sport: be16(40000), dport: be16(80) });
  const options = Options({ netns: -1, l4proto: 6 });
  const ct = xdpCtLookup(ctx, tuple, options);
  if (!ct) return options.error === -2 ? 42 : 1; // -ENOENT
  const { mark } = Connection(ct);
  ctRelease(ct);
  return mark === 0 ? 2 : 3;
});
