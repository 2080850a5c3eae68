/**
 * Kernel functions around the program: locks and interrupts, casts, bits, work queues, metadata of a device, options
 * of a tunnel. Source: kernel/bpf/helpers.c, kernel/bpf/rqspinlock.c, net/core/xdp.c, net/ipv4/fou_bpf.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { layout } from "../../maps/index.ts";
import { NULL_GUARD } from "../../mem/index.ts";
import { type Env, type HelperFactory, type HelperImpl, helper } from "../env.ts";
import { SKB, TUNNEL, XDP, XDP_HINT } from "../layout.ts";
import { get } from "./skb.ts";

/** Alone on its memory nobody else can hold a lock: who finds it taken holds it already. */
function lock(env: Env, at: number): number {
  if (env.memory.shared) {
    while (Atomics.exchange(env.memory.i32, at >>> 2, 1) !== 0);
    return 0;
  }
  if (env.memory.u32[at >>> 2]) return -Errno.EDEADLK;
  env.memory.u32[at >>> 2] = 1;
  return 0;
}

function unlock(env: Env, at: number): number {
  if (env.memory.shared) Atomics.store(env.memory.i32, at >>> 2, 0);
  else env.memory.u32[at >>> 2] = 0;
  return 0;
}

const nothing = helper("i", "v", () => 0);

/** Offsets that a load may have, either way: what a cast pointer reaches. */
const REACH = 0x8000;
const zeros = new WeakMap<object, number>();

/** A pointer as it is where all of its reach is memory; else into zeros, as loads that fault read in the kernel. */
function readonlyCast(env: Env, low: number, high: number): number {
  const at = low >>> 0;
  if (high === 0 && at >= NULL_GUARD && at + REACH + 8 <= env.memory.size) return low;
  let block = zeros.get(env.memory);
  if (block === undefined) {
    block = env.memory.alloc(2 * REACH + 16);
    env.memory.u8.fill(0, block, block + 2 * REACH + 16);
    zeros.set(env.memory, block);
  }
  return block + REACH;
}

/** struct bpf_iter_bits as ours: the bit that was last answered, how many there are, and the words or their copy. */
const BIT = 0;
const BITS = 4;
const WORDS = 8;
const MAX_WORDS = 511;

function bitsNew(env: Env, it: number, low: number, high: number, count: number): number {
  const { view, u8 } = env.memory;
  const at = it >>> 0;
  const from = low >>> 0;
  const words = count >>> 0;
  view.setInt32(at + BIT, -1, true);
  view.setUint32(at + BITS, 0, true);
  view.setBigUint64(at + WORDS, 0n, true);
  if (!(low | high) || words === 0) return -Errno.EINVAL;
  if (words > MAX_WORDS) return -Errno.E2BIG;
  if (high !== 0 || from < NULL_GUARD || from + 8 * words > env.memory.size) return -Errno.EFAULT;
  if (words === 1) u8.copyWithin(at + WORDS, from, from + 8);
  else {
    const copy = env.memory.tryAlloc(8 * words);
    if (!copy) return -Errno.ENOMEM;
    u8.copyWithin(copy, from, from + 8 * words);
    view.setUint32(at + WORDS, copy, true);
  }
  view.setUint32(at + BITS, 64 * words, true);
  return 0;
}

function bitsNext(env: Env, it: number): number {
  const { view, u8 } = env.memory;
  const at = it >>> 0;
  const bits = view.getUint32(at + BITS, true);
  const words = bits > 64 ? view.getUint32(at + WORDS, true) : at + WORDS;
  for (let bit = view.getInt32(at + BIT, true) + 1; bit < bits; bit++) {
    if (!(u8[words + (bit >>> 3)]! & (1 << (bit & 7)))) continue;
    view.setInt32(at + BIT, bit, true);
    return at + BIT;
  }
  view.setInt32(at + BIT, bits, true);
  return 0;
}

function bitsDestroy(env: Env, it: number): number {
  const { view } = env.memory;
  const at = it >>> 0;
  if (view.getUint32(at + BITS, true) > 64) env.memory.free(view.getUint32(at + WORDS, true));
  view.setUint32(at + BITS, 0, true);
  return 0;
}

/** Sets a hint of the frame, or says that the device has none of this kind (or none at all). */
function hint(env: Env, ctx: number, bit: number, write: () => void): number {
  const hints = get(env, ctx, XDP.HINTS);
  if (!(hints & XDP_HINT.ANY)) return -Errno.EOPNOTSUPP;
  if (!(hints & bit)) return -Errno.ENODATA;
  write();
  return 0;
}

const FOU_TYPES = 2;

export const KERNEL_KFUNCS: readonly (readonly [string, HelperImpl | HelperFactory])[] = [
  ["bpf_local_irq_save", nothing],
  ["bpf_local_irq_restore", nothing],
  ["bpf_res_spin_lock", helper("i", "i", lock)],
  ["bpf_res_spin_unlock", helper("i", "v", unlock)],
  ["bpf_res_spin_lock_irqsave", helper("ii", "i", lock)],
  ["bpf_res_spin_unlock_irqrestore", helper("ii", "v", unlock)],
  ["bpf_rdonly_cast", helper("wi", "u", readonlyCast)],
  ["bpf_iter_bits_new", helper("iwi", "i", bitsNew)],
  ["bpf_iter_bits_next", helper("i", "u", bitsNext)],
  ["bpf_iter_bits_destroy", helper("i", "v", bitsDestroy)],
  [
    "bpf_map_sum_elem_count",
    helper("i", "w", (env, map) => env.wide(BigInt(env.memory.view.getUint32((map >>> 0) + layout.MAP_COUNT, true)))),
  ],
  // A work queue is a timer that is due at once: `machine.runTimers` runs its callback.
  [
    "bpf_wq_init",
    helper("iii", "i", (env, wq, map, flags) => {
      if (flags) return -Errno.EINVAL;
      if (env.timers.has(wq >>> 0)) return -Errno.EBUSY;
      env.timers.set(wq >>> 0, { map: map >>> 0, due: undefined, call: undefined, running: false });
      return 0;
    }),
  ],
  [
    "bpf_wq_set_callback_impl",
    (self) =>
      helper("iii", "i", (env, wq, fn, flags) => {
        const work = env.timers.get(wq >>> 0);
        if (flags || !work) return -Errno.EINVAL;
        work.call = (args) => void self.runner?.call(fn, args);
        return 0;
      }),
  ],
  [
    "bpf_wq_start",
    helper("ii", "i", (env, wq, flags) => {
      const work = env.timers.get(wq >>> 0);
      if (flags || !work?.call) return -Errno.EINVAL;
      work.due = env.host.monotonicNs();
      return 0;
    }),
  ],
  [
    "bpf_xdp_metadata_rx_timestamp",
    helper("ii", "i", (env, ctx, to) => {
      const { view } = env.memory;
      const copy = () => view.setBigUint64(to >>> 0, view.getBigUint64((ctx >>> 0) + XDP.HINT_TIMESTAMP, true), true);
      return hint(env, ctx, XDP_HINT.TIMESTAMP, copy);
    }),
  ],
  [
    "bpf_xdp_metadata_rx_hash",
    helper("iii", "i", (env, ctx, hash, type) => {
      const { view } = env.memory;
      return hint(env, ctx, XDP_HINT.HASH, () => {
        view.setUint32(hash >>> 0, get(env, ctx, XDP.HINT_HASH), true);
        view.setUint32(type >>> 0, get(env, ctx, XDP.HINT_HASH_TYPE), true);
      });
    }),
  ],
  [
    "bpf_xdp_metadata_rx_vlan_tag",
    helper("iii", "i", (env, ctx, proto, tci) => {
      const { view } = env.memory;
      return hint(env, ctx, XDP_HINT.VLAN, () => {
        const word = get(env, ctx, XDP.HINT_VLAN);
        view.setUint16(proto >>> 0, word & 0xffff, true);
        view.setUint16(tci >>> 0, word >>> 16, true);
      });
    }),
  ],
  [
    /* (skb, {sport, dport}, type) */
    "bpf_skb_set_fou_encap",
    helper("iii", "i", (env, skb, encap, type) => {
      const info = (skb >>> 0) + SKB.TUNNEL;
      const { view, u8 } = env.memory;
      if (!view.getUint32(info + TUNNEL.SET_BY_PROGRAM, true)) return -Errno.EINVAL;
      // 1 is FOU, 2 GUE, 0 none; what is unknown counts as none.
      view.setUint32(info + TUNNEL.ENCAP_TYPE, type >= 0 && type < FOU_TYPES ? type + 1 : 0, true);
      u8.copyWithin(info + TUNNEL.ENCAP_PORTS, encap >>> 0, (encap >>> 0) + 4);
      return 0;
    }),
  ],
  [
    "bpf_skb_get_fou_encap",
    helper("ii", "i", (env, skb, encap) => {
      const info = (skb >>> 0) + SKB.TUNNEL;
      if (!env.memory.view.getUint32(info + TUNNEL.FAMILY, true)) return -Errno.EINVAL;
      env.memory.u8.copyWithin(encap >>> 0, info + TUNNEL.ENCAP_PORTS, info + TUNNEL.ENCAP_PORTS + 4);
      return 0;
    }),
  ],
];
