// The map runtime: the entry points by map pointer, and each family's own for callers that know the type.
// Read env.as.ts and ../layout.ts first.
import * as L from "../layout";
import { cpu, objectDelete, objectUpdate } from "./env.as";
import * as A from "./array.as";
import * as H from "./hash.as";
import * as P from "./lpm.as";
import * as U from "./lru.as";
import * as Q from "./queue.as";
import * as S from "./slots.as";

export {
  array_lookup, array_lookup_percpu, array_next_key, array_update,
  percpu_array_lookup, percpu_array_update, percpu_array_update_all,
} from "./array.as";
export {
  hash_delete, hash_init, hash_lookup, hash_lookup4, hash_lookup8, hash_lookup16, hash_lookup8_words, hash_lookup16_words,
  hash_lookup_many, hash_lookup_percpu, hash_next_key,
  hash_update, percpu_hash_lookup, percpu_hash_update, percpu_hash_update_all,
} from "./hash.as";
export { lpm_delete, lpm_lookup, lpm_lookup_full, lpm_lookup_v4, lpm_next_key, lpm_update } from "./lpm.as";
export {
  lru_delete, lru_init, lru_lookup, lru_lookup_percpu, lru_percpu_update, lru_percpu_update_all, lru_update,
} from "./lru.as";
export { bloom_peek, bloom_push, queue_peek, queue_pop, queue_push, stack_peek, stack_pop } from "./queue.as";
export {
  ringbuf_discard, ringbuf_output, ringbuf_query, ringbuf_reserve, ringbuf_submit, user_ringbuf_peek, user_ringbuf_release,
} from "./ringbuf.as";
export { cgroup_storage_current, storage_delete, storage_get } from "./storage.as";
export { inner_map_array, slot_lookup } from "./slots.as";

/** hash_of_maps: the inner map's address or 0. */
export function inner_map_hash(m: usize, key: usize): usize {
  const v = H.hash_lookup(m, key);
  return v ? load<u32>(v) : 0;
}

/** bpf_map_lookup_elem: the value's address or 0. */
export function map_lookup(m: usize, key: usize): usize {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 1: return H.hash_lookup(m, key);
    case 2: return A.array_lookup(m, key);
    case 5: return H.percpu_hash_lookup(m, key);
    case 6: return A.percpu_array_lookup(m, key);
    case 9: return U.lru_lookup(m, key);
    case 10: return U.lru_lookup_percpu(m, key, cpu);
    case 11: return P.lpm_lookup(m, key);
    case 12: return S.inner_map_array(m, key);
    case 13: return inner_map_hash(m, key);
    // devmap, cpumap, xskmap; prog_array and the like are not for reading.
    case 14: case 16: case 17: return S.slot_lookup(m, key);
    // sockmap and sockhash answer the socket itself.
    case 15: return S.inner_map_array(m, key);
    case 18: return inner_map_hash(m, key);
    case 25: return H.hash_lookup(m, key);
    default: return 0;
  }
}

/** bpf_map_lookup_percpu_elem. */
export function map_lookup_percpu(m: usize, key: usize, onCpu: u32): usize {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 5: return H.hash_lookup_percpu(m, key, onCpu);
    case 6: return A.array_lookup_percpu(m, key, onCpu);
    case 10: return U.lru_lookup_percpu(m, key, onCpu);
    default: return 0;
  }
}

/** bpf_map_update_elem: 0 or -errno. */
export function map_update(m: usize, key: usize, value: usize, flags: u64): i32 {
  // No type knows a flag above 32 bits.
  const f: u32 = flags > 0xffffffff ? u32.MAX_VALUE : <u32>flags;
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 1: return H.hash_update(m, key, value, f);
    case 2: return A.array_update(m, key, value, f);
    case 5: return H.percpu_hash_update(m, key, value, f);
    case 6: return A.percpu_array_update(m, key, value, f);
    case 9: return U.lru_update(m, key, value, f);
    case 10: return U.lru_percpu_update(m, key, value, f);
    case 11: return P.lpm_update(m, key, value, f);
    case 15: case 18: return objectUpdate(<i32>m, <i32>key, <i32>value, <i32>f);
    default: return -L.EOPNOTSUPP;
  }
}

/** bpf_map_delete_elem: 0 or -errno. */
export function map_delete(m: usize, key: usize): i32 {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 1: case 5: return H.hash_delete(m, key);
    case 2: case 6: return -L.EINVAL;
    case 9: case 10: return U.lru_delete(m, key);
    case 11: return P.lpm_delete(m, key);
    case 15: case 18: return objectDelete(<i32>m, <i32>key);
    default: return -L.EOPNOTSUPP;
  }
}

/** The key after `key` (0: the first) into `out`: 0 or -ENOENT. */
export function map_next_key(m: usize, key: usize, out: usize): i32 {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 1: case 5: case 9: case 10: return H.hash_next_key(m, key, out);
    case 25: return H.hash_next_key(m, key, out);
    case 2: case 6: return A.array_next_key(m, key, out);
    case 11: return P.lpm_next_key(m, key, out);
    default: return -L.EOPNOTSUPP;
  }
}

/** bpf_map_push_elem, for queue, stack and bloom_filter. */
export function map_push(m: usize, value: usize, flags: u64): i32 {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 22: case 23: return Q.queue_push(m, value, flags);
    case 30: return Q.bloom_push(m, value, flags);
    default: return -L.EOPNOTSUPP;
  }
}

/** bpf_map_pop_elem: the value is copied to `value`. */
export function map_pop(m: usize, value: usize): i32 {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 22: return Q.queue_pop(m, value);
    case 23: return Q.stack_pop(m, value);
    default: return -L.EOPNOTSUPP;
  }
}

/** bpf_map_peek_elem. */
export function map_peek(m: usize, value: usize): i32 {
  switch (load<u32>(m, L.MAP_TYPE)) {
    case 22: return Q.queue_peek(m, value);
    case 23: return Q.stack_peek(m, value);
    case 30: return Q.bloom_peek(m, value);
    default: return -L.EOPNOTSUPP;
  }
}
