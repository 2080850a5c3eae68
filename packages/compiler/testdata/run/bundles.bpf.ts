//! Objects and tuples are bundles at compile time: returned, destructured, narrowed, spread.
//! run 0102030405060708090a0b0c0d0e 4500001400010000401100000a0000017f000001 -> 42
import { ethernet, ipv4, type Packet, u32, xdp } from "ebplane/bpf";

function layers(p: Packet) {
  const eth = p.take(ethernet);
  if (!eth) return undefined;
  const ip = p.take(ipv4);
  if (!ip) return undefined;
  return { eth, ip, extra: ip.ttl === 64 ? ip : undefined };
}

function divide(a: u32, b: u32): [u32, u32] {
  return [a / b, a % b];
}

function apply<T>(value: T, f: (v: T) => T): T {
  return f(value);
}

export const main = xdp((ctx) => {
  const found = layers(ctx.packet());
  if (!found) return 1;
  const { eth, ip } = found;
  if (eth.dst[0] !== 1 || ip.ttl !== 64) return 2;
  if (!found.extra) return 3;
  if (found.extra.protocol !== 17) return 4;
  const [q, r] = divide(ip.ttl, 10);
  if (q !== 6 || r !== 4) return 5;
  const more = { ...found, q };
  if (more.q !== 6 || more.ip.version !== 4) return 6;
  if (apply(q, (v) => v + 1) !== 7) return 7;
  let calls = 0;
  for (const step of [1, 10, 100]) calls += step;
  if (calls !== 111) return 8;
  const ops = [(x: u32) => x + 1, (x: u32) => x * 3];
  let v: u32 = 4;
  for (const op of ops) v = op(v);
  if (v !== 15) return 9;
  return 42;
});
