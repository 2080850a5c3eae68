/** Map declarations: `hash(Key, Value, { maxEntries })` and its kin become MapSpecs. */
import { MapType } from "@ebplane/core/object";
import type { MemType } from "../check/index.ts";

/** A map as declared. `name` is given when it is bound to a name. */
export interface MapDecl {
  name: string;
  readonly at: number;
  readonly type: number;
  readonly key: MemType | undefined;
  readonly value: MemType | undefined;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly pinned: boolean;
}

/** How a constructor is called: which of key and value type it takes, and what it is otherwise. */
export interface MapForm {
  readonly type: number;
  readonly takes: "key value" | "value" | "";
  readonly keySize: number;
  readonly valueSize: number;
  readonly flags: number;
}

const u32Key = { keySize: 4, valueSize: 4, flags: 0 };
const BPF_F_NO_PREALLOC = 1;

export const MAP_FORMS: ReadonlyMap<string, MapForm> = new Map<string, MapForm>([
  ["hash", { type: MapType.BPF_MAP_TYPE_HASH, takes: "key value", ...u32Key }],
  ["percpuHash", { type: MapType.BPF_MAP_TYPE_PERCPU_HASH, takes: "key value", ...u32Key }],
  ["lruHash", { type: MapType.BPF_MAP_TYPE_LRU_HASH, takes: "key value", ...u32Key }],
  ["lruPercpuHash", { type: MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH, takes: "key value", ...u32Key }],
  ["lpmTrie", { type: MapType.BPF_MAP_TYPE_LPM_TRIE, takes: "key value", ...u32Key, flags: BPF_F_NO_PREALLOC }],
  ["array", { type: MapType.BPF_MAP_TYPE_ARRAY, takes: "value", ...u32Key }],
  ["percpuArray", { type: MapType.BPF_MAP_TYPE_PERCPU_ARRAY, takes: "value", ...u32Key }],
  ["devmap", { type: MapType.BPF_MAP_TYPE_DEVMAP, takes: "", ...u32Key }],
  ["devmapHash", { type: MapType.BPF_MAP_TYPE_DEVMAP_HASH, takes: "", ...u32Key }],
  ["cpumap", { type: MapType.BPF_MAP_TYPE_CPUMAP, takes: "", ...u32Key }],
  ["xskmap", { type: MapType.BPF_MAP_TYPE_XSKMAP, takes: "", ...u32Key }],
  ["progArray", { type: MapType.BPF_MAP_TYPE_PROG_ARRAY, takes: "", ...u32Key }],
  ["ringBuffer", { type: MapType.BPF_MAP_TYPE_RINGBUF, takes: "", keySize: 0, valueSize: 0, flags: 0 }],
]);
