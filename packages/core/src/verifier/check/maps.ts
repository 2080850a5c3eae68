/** Which helper takes which type of map. Source: kernel/bpf/verifier.c `check_map_func_compatibility`. */
import {
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  type Insn,
  OP_LDDW,
} from "../../isa/index.ts";
import {
  ARENA_PAGE,
  AttachType,
  BPF_F_NO_PREALLOC,
  BPF_F_RDONLY_PROG,
  MAP_TYPE_SINCE,
  MapType,
  mapTypeName,
  ProgType,
  progTypeName,
} from "../../object/index.ts";
import type { Context, MapRef } from "../context.ts";
import { allows, mapHelperSince, RULES, sleeperMapSince, versionNumber, versionText } from "../profile.ts";

const T = MapType;

/** Map types that only these helpers take. Types that are not here take every helper that takes any map. */
const BY_MAP: ReadonlyMap<number, readonly string[]> = new Map<number, readonly string[]>([
  [T.BPF_MAP_TYPE_PROG_ARRAY, ["tail_call"]],
  [
    T.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    ["perf_event_read", "perf_event_output", "skb_output", "perf_event_read_value", "xdp_output"],
  ],
  [T.BPF_MAP_TYPE_RINGBUF, ["ringbuf_output", "ringbuf_reserve", "ringbuf_query", "ringbuf_reserve_dynptr"]],
  [T.BPF_MAP_TYPE_USER_RINGBUF, ["user_ringbuf_drain"]],
  [T.BPF_MAP_TYPE_STACK_TRACE, ["get_stackid"]],
  [T.BPF_MAP_TYPE_CGROUP_ARRAY, ["skb_under_cgroup", "current_task_under_cgroup"]],
  [T.BPF_MAP_TYPE_CGROUP_STORAGE, ["get_local_storage"]],
  [T.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, ["get_local_storage"]],
  [T.BPF_MAP_TYPE_DEVMAP, ["redirect_map", "map_lookup_elem"]],
  [T.BPF_MAP_TYPE_DEVMAP_HASH, ["redirect_map", "map_lookup_elem"]],
  [T.BPF_MAP_TYPE_CPUMAP, ["redirect_map"]],
  [T.BPF_MAP_TYPE_XSKMAP, ["redirect_map", "map_lookup_elem"]],
  [T.BPF_MAP_TYPE_ARRAY_OF_MAPS, ["map_lookup_elem"]],
  [T.BPF_MAP_TYPE_HASH_OF_MAPS, ["map_lookup_elem"]],
  [
    T.BPF_MAP_TYPE_SOCKMAP,
    ["sk_redirect_map", "sock_map_update", "msg_redirect_map", "sk_select_reuseport", "map_lookup_elem"],
  ],
  [
    T.BPF_MAP_TYPE_SOCKHASH,
    ["sk_redirect_hash", "sock_hash_update", "msg_redirect_hash", "sk_select_reuseport", "map_lookup_elem"],
  ],
  [T.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, ["sk_select_reuseport"]],
  [T.BPF_MAP_TYPE_QUEUE, ["map_peek_elem", "map_pop_elem", "map_push_elem"]],
  [T.BPF_MAP_TYPE_STACK, ["map_peek_elem", "map_pop_elem", "map_push_elem"]],
  [T.BPF_MAP_TYPE_SK_STORAGE, ["sk_storage_get", "sk_storage_delete", "kptr_xchg"]],
  [T.BPF_MAP_TYPE_INODE_STORAGE, ["inode_storage_get", "inode_storage_delete", "kptr_xchg"]],
  [T.BPF_MAP_TYPE_TASK_STORAGE, ["task_storage_get", "task_storage_delete", "kptr_xchg"]],
  [T.BPF_MAP_TYPE_CGRP_STORAGE, ["cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg"]],
  [T.BPF_MAP_TYPE_BLOOM_FILTER, ["map_peek_elem", "map_push_elem"]],
  [T.BPF_MAP_TYPE_STRUCT_OPS, []],
]);

/** Helpers that take only these map types, beyond the ones that the rows above tie to them. */
const BY_HELPER: ReadonlyMap<string, readonly number[]> = new Map<string, readonly number[]>([
  ["redirect_map", [T.BPF_MAP_TYPE_DEVMAP, T.BPF_MAP_TYPE_DEVMAP_HASH, T.BPF_MAP_TYPE_CPUMAP, T.BPF_MAP_TYPE_XSKMAP]],
  ["sk_select_reuseport", [T.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, T.BPF_MAP_TYPE_SOCKMAP, T.BPF_MAP_TYPE_SOCKHASH]],
  ["map_pop_elem", [T.BPF_MAP_TYPE_QUEUE, T.BPF_MAP_TYPE_STACK]],
  ["map_peek_elem", [T.BPF_MAP_TYPE_QUEUE, T.BPF_MAP_TYPE_STACK, T.BPF_MAP_TYPE_BLOOM_FILTER]],
  ["map_push_elem", [T.BPF_MAP_TYPE_QUEUE, T.BPF_MAP_TYPE_STACK, T.BPF_MAP_TYPE_BLOOM_FILTER]],
  ["map_lookup_percpu_elem", [T.BPF_MAP_TYPE_PERCPU_ARRAY, T.BPF_MAP_TYPE_PERCPU_HASH, T.BPF_MAP_TYPE_LRU_PERCPU_HASH]],
  ["get_local_storage", [T.BPF_MAP_TYPE_CGROUP_STORAGE, T.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]],
  ...[
    ["tail_call", T.BPF_MAP_TYPE_PROG_ARRAY],
    ["perf_event_read", T.BPF_MAP_TYPE_PERF_EVENT_ARRAY],
    ["perf_event_output", T.BPF_MAP_TYPE_PERF_EVENT_ARRAY],
    ["perf_event_read_value", T.BPF_MAP_TYPE_PERF_EVENT_ARRAY],
    ["skb_output", T.BPF_MAP_TYPE_PERF_EVENT_ARRAY],
    ["xdp_output", T.BPF_MAP_TYPE_PERF_EVENT_ARRAY],
    ["ringbuf_output", T.BPF_MAP_TYPE_RINGBUF],
    ["ringbuf_reserve", T.BPF_MAP_TYPE_RINGBUF],
    ["ringbuf_query", T.BPF_MAP_TYPE_RINGBUF],
    ["ringbuf_reserve_dynptr", T.BPF_MAP_TYPE_RINGBUF],
    ["user_ringbuf_drain", T.BPF_MAP_TYPE_USER_RINGBUF],
    ["get_stackid", T.BPF_MAP_TYPE_STACK_TRACE],
    ["current_task_under_cgroup", T.BPF_MAP_TYPE_CGROUP_ARRAY],
    ["skb_under_cgroup", T.BPF_MAP_TYPE_CGROUP_ARRAY],
    ["sk_redirect_map", T.BPF_MAP_TYPE_SOCKMAP],
    ["msg_redirect_map", T.BPF_MAP_TYPE_SOCKMAP],
    ["sock_map_update", T.BPF_MAP_TYPE_SOCKMAP],
    ["sk_redirect_hash", T.BPF_MAP_TYPE_SOCKHASH],
    ["msg_redirect_hash", T.BPF_MAP_TYPE_SOCKHASH],
    ["sock_hash_update", T.BPF_MAP_TYPE_SOCKHASH],
    ["sk_storage_get", T.BPF_MAP_TYPE_SK_STORAGE],
    ["sk_storage_delete", T.BPF_MAP_TYPE_SK_STORAGE],
    ["inode_storage_get", T.BPF_MAP_TYPE_INODE_STORAGE],
    ["inode_storage_delete", T.BPF_MAP_TYPE_INODE_STORAGE],
    ["task_storage_get", T.BPF_MAP_TYPE_TASK_STORAGE],
    ["task_storage_delete", T.BPF_MAP_TYPE_TASK_STORAGE],
    ["cgrp_storage_get", T.BPF_MAP_TYPE_CGRP_STORAGE],
    ["cgrp_storage_delete", T.BPF_MAP_TYPE_CGRP_STORAGE],
  ].map(([name, type]): [string, readonly number[]] => [name as string, [type as number]]),
]);

/** Program types whose map updates may touch socket maps. */
const SOCKMAP_UPDATERS: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_SOCKET_FILTER,
  ProgType.BPF_PROG_TYPE_SCHED_CLS,
  ProgType.BPF_PROG_TYPE_SCHED_ACT,
  ProgType.BPF_PROG_TYPE_XDP,
  ProgType.BPF_PROG_TYPE_SK_REUSEPORT,
  ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR,
  ProgType.BPF_PROG_TYPE_SK_LOOKUP,
]);

/** Programs that may run anywhere in the kernel, also where a lock is held. */
const ANYWHERE: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_KPROBE,
  ProgType.BPF_PROG_TYPE_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_PERF_EVENT,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
]);

/** Map types that programs which sleep may use. */
const FOR_SLEEPERS: ReadonlySet<number> = new Set([
  T.BPF_MAP_TYPE_HASH,
  T.BPF_MAP_TYPE_LRU_HASH,
  T.BPF_MAP_TYPE_ARRAY,
  T.BPF_MAP_TYPE_PERCPU_HASH,
  T.BPF_MAP_TYPE_PERCPU_ARRAY,
  T.BPF_MAP_TYPE_LRU_PERCPU_HASH,
  T.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  T.BPF_MAP_TYPE_HASH_OF_MAPS,
  T.BPF_MAP_TYPE_RINGBUF,
  T.BPF_MAP_TYPE_USER_RINGBUF,
  T.BPF_MAP_TYPE_INODE_STORAGE,
  T.BPF_MAP_TYPE_SK_STORAGE,
  T.BPF_MAP_TYPE_TASK_STORAGE,
  T.BPF_MAP_TYPE_CGRP_STORAGE,
  T.BPF_MAP_TYPE_QUEUE,
  T.BPF_MAP_TYPE_STACK,
  T.BPF_MAP_TYPE_ARENA,
]);

/** Refuses a map that this program may not use at all. Source: kernel/bpf/verifier.c `check_map_prog_compatibility`. */
function checkMapUsable(cx: Context, map: MapRef): void {
  if (ANYWHERE.has(cx.progType) || cx.progType === ProgType.BPF_PROG_TYPE_SOCKET_FILTER) {
    const field = map.fields.find(({ kind }) =>
      cx.progType === ProgType.BPF_PROG_TYPE_SOCKET_FILTER
        ? kind === "lock" || kind === "resLock"
        : kind === "lock" || kind === "timer" || kind === "workqueue" || kind === "listHead" || kind === "rbRoot",
    );
    if (field) {
      cx.reject(
        "map",
        `${progTypeName(cx.progType)} programs cannot use map ${map.name}, whose value has a ${field.struct}`,
      );
    }
  }
  const since = Object.entries(MAP_TYPE_SINCE).find(
    ([name]) => (T as Record<string, number>)[name] === map.spec.type,
  )?.[1];
  if (since && versionNumber(since) > cx.profile.version) {
    cx.reject("profile", `map ${map.name} is of type ${mapTypeName(map.spec.type)}, which needs Linux ${since}`);
  }
  if (map.spec.type === T.BPF_MAP_TYPE_STRUCT_OPS)
    cx.reject("map", `map ${map.name} holds struct_ops: no program uses it`);
  if (cx.sleepable && !FOR_SLEEPERS.has(map.spec.type)) {
    cx.reject("map", `a program that may sleep cannot use map ${map.name} of type ${mapTypeName(map.spec.type)}`);
  }
  checkMapUsableThen(cx, map);
}

/** The map whose address an lddw loads. */
export function mapNamed(cx: Context, insn: Insn): MapRef {
  const reloc = cx.relocAt.get(insn.pc);
  if (!reloc || (reloc.kind !== "map" && reloc.kind !== "mapValue")) {
    return cx.reject("map", "the instruction loads a map, but no relocation says which");
  }
  return cx.maps.get(reloc.name) ?? cx.reject("map", `there is no map named ${reloc.name}`);
}

/** Where in the map's value the address points that an lddw loads. */
export function valueOffset(cx: Context, insn: Insn): number {
  const reloc = cx.relocAt.get(insn.pc);
  return reloc?.kind === "mapValue" ? reloc.offset : insn.imm2;
}

const MAP_ADDRESSES: ReadonlySet<number> = new Set([
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_VALUE,
  BPF_PSEUDO_MAP_IDX_VALUE,
]);
/** Maps of one program. Source: include/linux/bpf_verifier.h `MAX_USED_MAPS`. */
const MAX_MAPS = 64;
/** Of these a program has one map at most: its trampoline has one place for it. */
const ONLY_ONE: ReadonlySet<number> = new Set([
  T.BPF_MAP_TYPE_CGROUP_STORAGE,
  T.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  T.BPF_MAP_TYPE_ARENA,
]);

/** Checks every map that the program names, dead code's too. Source: kernel/bpf/verifier.c `resolve_pseudo_ldimm64`. */
export function checkMapsNamed(cx: Context): void {
  const seen = new Map<string, MapRef>();
  for (const insn of cx.program.insns) {
    if (insn?.opcode !== OP_LDDW || !MAP_ADDRESSES.has(insn.src)) continue;
    cx.pc = insn.pc;
    const map = mapNamed(cx, insn);
    if (insn.src === BPF_PSEUDO_MAP_VALUE || insn.src === BPF_PSEUDO_MAP_IDX_VALUE) {
      checkValueAddress(cx, map, valueOffset(cx, insn));
    }
    if (seen.has(map.name)) continue;
    checkMapUsable(cx, map);
    const { type } = map.spec;
    const other = ONLY_ONE.has(type) ? [...seen.values()].find(({ spec }) => spec.type === type) : undefined;
    if (other) {
      cx.reject("map", `maps ${other.name} and ${map.name}: a program uses only one ${mapTypeName(type)}`, {
        fix: "keep what both hold in one map",
      });
    }
    seen.set(map.name, map);
    if (seen.size > MAX_MAPS) {
      cx.reject("map", `the program uses more than ${MAX_MAPS} maps`, { fix: "split it by tail calls, or join maps" });
    }
  }
  cx.pc = 0;
}

/** Source: kernel/bpf/arraymap.c `array_map_direct_value_addr`, kernel/bpf/arena.c `arena_map_direct_value_addr`. */
function checkValueAddress(cx: Context, map: MapRef, off: number): void {
  const { type, maxEntries, valueSize } = map.spec;
  if (type === T.BPF_MAP_TYPE_ARENA) {
    const bytes = maxEntries * ARENA_PAGE;
    if (off < 0 || off > bytes)
      cx.reject("map-value", `offset ${off} is outside the ${bytes} bytes of arena ${map.name}`);
    return;
  }
  if (maxEntries !== 1 || type !== T.BPF_MAP_TYPE_ARRAY) {
    cx.reject("map-value", `the address of a value needs an array of one entry, map ${map.name} is not`);
  }
  if (off < 0 || off >= valueSize) {
    cx.reject("map-value", `offset ${off} is outside the ${valueSize} bytes of map ${map.name}`);
  }
}

/** Hash maps that allocate an entry when it is added. Source: kernel/bpf/verifier.c `is_preallocated_map`. */
const ALLOCATING: ReadonlySet<number> = new Set([
  T.BPF_MAP_TYPE_HASH,
  T.BPF_MAP_TYPE_PERCPU_HASH,
  T.BPF_MAP_TYPE_HASH_OF_MAPS,
]);

/** What older kernels refuse beyond that. Source: `check_map_prog_compatibility` of the versions. */
function checkMapUsableThen(cx: Context, map: MapRef): void {
  const refuse = (what: string, since: string): never =>
    cx.reject("profile", `${what} map ${map.name}, which needs Linux ${since}`);
  const { type, flags } = map.spec;
  const dynamic = ALLOCATING.has(type) && (flags & BPF_F_NO_PREALLOC) !== 0;
  if (cx.progType === ProgType.BPF_PROG_TYPE_PERF_EVENT && dynamic && !allows(cx.profile, "dynamicPerfMaps")) {
    refuse("a perf event program uses the hash map without preallocation,", RULES.dynamicPerfMaps.since);
  }
  if (!cx.sleepable) return;
  const since = sleeperMapSince(type);
  if (since > cx.profile.version) {
    refuse(`a program that may sleep uses a ${mapTypeName(type)},`, versionText(since));
  }
  if (dynamic && !allows(cx.profile, "sleepableDynamicMaps")) {
    refuse("a program that may sleep uses the hash map without preallocation,", RULES.sleepableDynamicMaps.since);
  }
  if (map.fields.some(({ kind }) => kind === "lock") && !allows(cx.profile, "sleepableLocks")) {
    refuse("a program that may sleep uses a bpf_spin_lock in", RULES.sleepableLocks.since);
  }
}

/** True when a helper (its name without `bpf_`) works on maps of a type, for every program type that has it. */
export function helperTakesMap(name: string, mapType: number): boolean {
  const byMap = BY_MAP.get(mapType);
  const byHelper = BY_HELPER.get(name);
  return (!byMap || byMap.includes(name)) && (!byHelper || byHelper.includes(mapType));
}

/** Helpers that change a map. Source: kernel/bpf/verifier.c `record_func_map`. */
const CHANGES: ReadonlySet<string> = new Set(["map_update_elem", "map_delete_elem", "map_push_elem", "map_pop_elem"]);

/** Refuses a map that the helper does not work on. `name` is without `bpf_`. */
export function checkMapHelper(cx: Context, map: MapRef, name: string): void {
  const { type } = map.spec;
  const byMap = BY_MAP.get(type);
  const byHelper = BY_HELPER.get(name);
  const sockmap = type === T.BPF_MAP_TYPE_SOCKMAP || type === T.BPF_MAP_TYPE_SOCKHASH;
  const updates = sockmap && updatesSockmap(cx, name);
  if ((!byMap || byMap.includes(name) || updates) && (!byHelper || byHelper.includes(type))) {
    if (CHANGES.has(name) && map.spec.flags & BPF_F_RDONLY_PROG) {
      cx.reject("read-only", `bpf_${name}: map ${map.name} may not be written by programs (BPF_F_RDONLY_PROG)`, {
        register: 1,
        fix: "create the map without BPF_F_RDONLY_PROG, or change it from userspace",
      });
    }
    const since = mapHelperSince(name, type);
    if (since <= cx.profile.version) return;
    const on = `bpf_${name} on map ${map.name} of type ${mapTypeName(type)}`;
    cx.reject("profile", `${on} needs Linux ${versionText(since)}`, { register: 1 });
  }
  cx.reject("map-helper", `bpf_${name} does not work on map ${map.name} of type ${mapTypeName(type)}`, { register: 1 });
}

function updatesSockmap(cx: Context, name: string): boolean {
  const iterates = cx.progType === ProgType.BPF_PROG_TYPE_TRACING && cx.attachType === AttachType.BPF_TRACE_ITER;
  if (iterates) return name === "map_update_elem" || name === "map_delete_elem";
  if (name === "map_delete_elem")
    return SOCKMAP_UPDATERS.has(cx.progType) || cx.progType === ProgType.BPF_PROG_TYPE_SOCK_OPS;
  return name === "map_update_elem" && SOCKMAP_UPDATERS.has(cx.progType);
}
