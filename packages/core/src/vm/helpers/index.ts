/**
 * Helper implementations by the kernel's number: one file a family, one row a helper. object/helpers.ts describes them.
 */
import { ProgType } from "../../object/index.ts";
import type { BoundKfunc } from "../engine.ts";
import { type HelperFactory, type HelperImpl, helper, type LoopHelper, type Self } from "../env.ts";
import { SKB, XDP } from "../layout.ts";
import { ARENA_KFUNCS } from "./arena.ts";
import { BASE } from "./base.ts";
import { CGROUP_HELPERS } from "./cgroup.ts";
import { CONNTRACK_KFUNCS } from "./conntrack.ts";
import { CSUM_HELPERS } from "./csum.ts";
import { DYNPTR_HELPERS, DYNPTR_KFUNCS } from "./dynptr.ts";
import { ITER_KFUNCS } from "./iter.ts";
import { KERNEL_KFUNCS } from "./kernel.ts";
import { LOCK_HELPERS } from "./lock.ts";
import { LOOP_HELPERS } from "./loop.ts";
import { LWT_HELPERS } from "./lwt.ts";
import { MAP_HELPERS } from "./map.ts";
import { MSG_HELPERS } from "./msg.ts";
import { checkMtu, NET_HELPERS, perfEventOutput } from "./net.ts";
import { OBJECT_KFUNCS, PERCPU_HELPERS, RBTREE_ADD } from "./objects.ts";
import { PROBE_HELPERS, PROBE_KFUNCS } from "./probe.ts";
import { RING_HELPERS, RING_LOOPS } from "./ring.ts";
import { get, hookLoadBytes, SKB_HELPERS } from "./skb.ts";
import { SOCKET_BY_TYPE, SOCKET_HELPERS } from "./socket.ts";
import { SOCKOPS_HELPERS } from "./sockops.ts";
import { STORAGE_HELPERS } from "./storage.ts";
import { STRING_KFUNCS } from "./strings.ts";
import { SYNCOOKIE_HELPERS } from "./syncookie.ts";
import { TEXT_HELPERS } from "./text.ts";
import { TIMER_HELPERS } from "./timer.ts";
import { SKB_EVENTS, TRACING_HELPERS, XDP_EVENTS } from "./tracing.ts";
import { TUNNEL_HELPERS } from "./tunnel.ts";
import { bufferLength, XDP_HELPERS, XDP_OWN } from "./xdp.ts";

type Rows = readonly (readonly [number, HelperImpl | HelperFactory])[];

const ALL: Rows = [
  ...BASE,
  ...MAP_HELPERS,
  ...XDP_HELPERS,
  ...SKB_HELPERS,
  ...NET_HELPERS,
  ...TEXT_HELPERS,
  ...CSUM_HELPERS,
  ...LOCK_HELPERS,
  ...DYNPTR_HELPERS,
  ...TIMER_HELPERS,
  ...RING_HELPERS,
  ...STORAGE_HELPERS,
  ...PROBE_HELPERS,
  ...TUNNEL_HELPERS,
  ...SYNCOOKIE_HELPERS,
  ...SOCKET_HELPERS,
  ...CGROUP_HELPERS,
  ...MSG_HELPERS,
  ...SOCKOPS_HELPERS,
  ...LWT_HELPERS,
  ...TRACING_HELPERS,
  ...PERCPU_HELPERS,
  [25, perfEventOutput(() => SKB_EVENTS)],
  [163, checkMtu({ flags: 1, device: SKB.IFINDEX, length: (env, ctx) => get(env, ctx, SKB.LEN) })],
];
const IMPLS: ReadonlyMap<number, HelperImpl | HelperFactory> = new Map(ALL);

/** Where a program type has another implementation under the same number. */
const OF_XDP: Rows = [
  ...XDP_OWN,
  [25, perfEventOutput(() => XDP_EVENTS)],
  [163, checkMtu({ flags: 0, device: XDP.INGRESS_IFINDEX, length: bufferLength })],
];
const HOOK_LOAD = helper("iiii", "i", hookLoadBytes);
const BY_TYPE: ReadonlyMap<number, ReadonlyMap<number, HelperImpl | HelperFactory>> = new Map([
  [ProgType.BPF_PROG_TYPE_XDP, new Map(OF_XDP)],
  [ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR, new Map([[26, HOOK_LOAD]])],
  ...[...SOCKET_BY_TYPE].map(([type, rows]) => [type, new Map(rows)] as const),
]);
const LOOPS: ReadonlyMap<number, LoopHelper> = new Map([...LOOP_HELPERS, ...RING_LOOPS]);

/**
 * The implementation of a helper for programs of a type, or undefined when userspace has none. `self` is the program
 * that calls it; a call by a number that is known at run time only (callx) has none and misses the helpers that need it.
 */
export function helperImpl(id: number, progType: number, self?: Self): HelperImpl | undefined {
  const row = BY_TYPE.get(progType)?.get(id) ?? IMPLS.get(id);
  return typeof row === "function" ? self && row(self) : row;
}

/** The helper of this number that runs a callback (bpf_loop …). */
export function loopHelper(id: number): LoopHelper | undefined {
  return LOOPS.get(id);
}

const KFUNC_IMPLS: ReadonlyMap<string, HelperImpl | HelperFactory> = new Map([
  ...DYNPTR_KFUNCS,
  ...ITER_KFUNCS,
  ...ARENA_KFUNCS,
  ...KERNEL_KFUNCS,
  ...OBJECT_KFUNCS,
  ...STRING_KFUNCS,
  ...CONNTRACK_KFUNCS,
  ...PROBE_KFUNCS,
]);
const KFUNC_LOOPS: ReadonlyMap<string, LoopHelper> = new Map([["bpf_rbtree_add_impl", RBTREE_ADD]]);

/** What userspace runs under a kernel function's name; undefined when it has none. object/kfuncs.ts describes them. */
export function kfuncImpl(name: string, self: Self): BoundKfunc | undefined {
  const loop = KFUNC_LOOPS.get(name);
  if (loop) return { name, loop };
  const row = KFUNC_IMPLS.get(name);
  if (!row) return undefined;
  const impl = typeof row === "function" ? row(self) : row;
  // A helper's int is sign-extended to r0; a kfunc's is what C leaves in the register, whose upper half is zero.
  return { name, impl: impl.ret === "i" ? { ...impl, ret: "u" } : impl };
}
