// Arrays of references: an empty slot's first word is 0. Values are what a program may read there (devmap: ifindex and
// program id; cpumap: queue size and program id), or one word: a map's address, a program's id, an object's handle.
import * as L from "../layout";

/** The slot, or 0 for an empty one. */
export function slot_lookup(m: usize, key: usize): usize {
  const i = load<u32>(key);
  if (i >= load<u32>(m, L.MAP_MAX_ENTRIES)) return 0;
  const v: usize = load<u32>(m, L.MAP_VALUES) + i * load<u32>(m, L.MAP_STRIDE);
  return load<u32>(v) ? v : 0;
}

/** array_of_maps: the inner map's address or 0; sockmap: the socket's. */
export function inner_map_array(m: usize, key: usize): usize {
  const v = slot_lookup(m, key);
  return v ? load<u32>(v) : 0;
}
