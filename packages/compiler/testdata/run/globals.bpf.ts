//! Variables that outlive the packet: numbers and structs of .data and .bss, shared by functions, atomics on them.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { array, arrayOf, atomicAdd, be16, be32, bits, ip4, ntohs, struct, subprog, table, u8, u16, u32, u64, i32, xdp, type Infer } from "ebplane/bpf";

let packets: u64 = 0n;
let port = be16(8080);
let enabled: boolean = true;
let level: i32 = -5;
let tries = 3;
let last: u8 = 200;

const Inner = struct({ x: u16, flags: bits(3), rest: bits(13) });
const State = struct({ hits: u64, addr: be32, inner: Inner, slots: arrayOf(u32, 4) });
type State = Infer<typeof State>;
const state = State({ addr: ip4("10.0.0.1"), inner: { x: 7, flags: 5, rest: 4097 }, slots: [1, 2, 3] });
const zero = State();
const FLAGS = table(Inner, [{ x: 1, flags: 6 }, { rest: 8191 }]);

const count = subprog((s: State): u64 => {
  s.hits += 1n;
  packets += 2n;
  return packets;
});

export const main = xdp((ctx) => {
  if (packets !== 0n || tries !== 3 || !enabled || level !== -5 || ntohs(port) !== 8080) return 1;
  packets++;
  packets += 10n;
  if (packets !== 11n) return 2;
  atomicAdd(packets, 5n);
  if (packets !== 16n) return 3;
  if (state.addr !== ip4("10.0.0.1") || state.inner.x !== 7 || state.inner.flags !== 5 || state.inner.rest !== 4097) return 4;
  if (state.slots[2] !== 3 || state.slots[3] !== 0) return 5;
  state.slots[ctx.length & 3] = 9;
  if (state.slots[0] !== 9) return 6;
  if (count(state) !== 18n || count(zero) !== 20n || state.hits !== 1n || zero.hits !== 1n) return 7;
  last += 100;
  if (last !== 44) return 8;
  port = be16(53);
  enabled = false;
  level -= 10;
  tries = ctx.length;
  if (port !== be16(53) || enabled || level !== -15 || tries !== 16) return 9;
  if (FLAGS[0].flags !== 6 || FLAGS[1].rest !== 8191 || FLAGS[ctx.length & 1].x !== 1) return 10;
  zero.inner.flags = 7;
  if (zero.inner.rest !== 0 || zero.inner.flags !== 7) return 11;
  // Once more, for the next run on these maps.
  packets = 0n;
  return 42;
});
