// Storages that hang on an object: sockets, tasks, inodes, cgroups, by the host's handle for the object.
// Source of the rules: kernel/bpf/bpf_local_storage.c, local_storage.c.
import * as L from "../layout";
import { cpu } from "./env.as";
import { hash_delete, hash_lookup4, hash_update } from "./hash.as";

const F_CREATE: u64 = 1;

/** bpf_*_storage_get: the owner's value, made from `init` (0: zeroes) when there is none and flags ask for it. */
export function storage_get(m: usize, owner: u32, init: usize, flags: u64): usize {
  if (flags & ~F_CREATE || !owner) return 0;
  const v = hash_lookup4(m, owner);
  if (v || !(flags & F_CREATE)) return v;
  if (ASC_FEATURE_THREADS) while (atomic.cmpxchg<u32>(m + L.STORAGE_LOCK, 0, 1) != 0) {}
  store<u32>(m, owner, L.STORAGE_KEY);
  // Another CPU may have been first: its value stands.
  hash_update(m, m + L.STORAGE_KEY, init ? init : load<u32>(m, L.STORAGE_ZERO), L.NOEXIST);
  if (ASC_FEATURE_THREADS) atomic.store<u32>(m + L.STORAGE_LOCK, 0);
  return hash_lookup4(m, owner);
}

/** bpf_*_storage_delete. */
export function storage_delete(m: usize, owner: u32): i32 {
  if (!owner) return -L.EINVAL;
  if (ASC_FEATURE_THREADS) while (atomic.cmpxchg<u32>(m + L.STORAGE_LOCK, 0, 1) != 0) {}
  store<u32>(m, owner, L.STORAGE_KEY);
  const result = hash_delete(m, m + L.STORAGE_KEY);
  if (ASC_FEATURE_THREADS) atomic.store<u32>(m + L.STORAGE_LOCK, 0);
  return result;
}

/** bpf_get_local_storage: the value of the cgroup (this CPU's) that the program runs for. */
export function cgroup_storage_current(m: usize): usize {
  return <usize>load<u32>(m, L.STORAGE_CURRENT) + cpu * load<u32>(m, L.MAP_CPU_STRIDE);
}
