/** Map declarations: `hash(Key, Value, { maxEntries })` and its kin become MapSpecs. */
import { MapType } from "@ebplane/core/object";
import { I32, type InnerMapType, type MemType, type StructType, U32, U64 } from "../check/index.ts";
import type { ProgramDecl } from "./values.ts";

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
  /** What the maps that it holds are like. */
  readonly inner: InnerMapType | undefined;
  /** What its slots hold to begin with. */
  readonly slots: readonly (MapDecl | ProgramDecl)[];
}

/** How a constructor is called: which of key and value type it takes, and what it is otherwise. */
export interface MapForm {
  readonly type: number;
  readonly takes: "key value" | "value" | "key" | "";
  /** The key's type where the constructor does not take it; none where there is no key. */
  readonly key: MemType | undefined;
  readonly valueSize: number;
  readonly flags: number;
  /** It has no number of entries. */
  readonly unsized: boolean;
  /** Holds other maps: its first argument after the key is one. */
  readonly holds: "maps" | "programs" | undefined;
}

const BPF_F_NO_PREALLOC = 1;
/** Frames of a stack trace, 8 bytes each. */
const MAX_STACK = 127;

/** `struct bpf_cgroup_storage_key`. */
const CGROUP_KEY: StructType = {
  kind: "struct",
  name: "bpf_cgroup_storage_key",
  form: "struct",
  fields: new Map([
    ["cgroupInodeId", { name: "cgroupInodeId", type: U64, offset: 0, bit: undefined }],
    ["attachType", { name: "attachType", type: U32, offset: 8, bit: undefined }],
  ]),
  size: 16,
  align: 8,
  length: undefined,
};

type Row = readonly [name: string, type: keyof typeof MapType, takes: MapForm["takes"], more?: Partial<MapForm>];

// biome-ignore format: a table
const ROWS: readonly Row[] = [
  ["hash", "BPF_MAP_TYPE_HASH", "key value"],
  ["percpuHash", "BPF_MAP_TYPE_PERCPU_HASH", "key value"],
  ["lruHash", "BPF_MAP_TYPE_LRU_HASH", "key value"],
  ["lruPercpuHash", "BPF_MAP_TYPE_LRU_PERCPU_HASH", "key value"],
  ["lpmTrie", "BPF_MAP_TYPE_LPM_TRIE", "key value", { flags: BPF_F_NO_PREALLOC }],
  ["array", "BPF_MAP_TYPE_ARRAY", "value"],
  ["percpuArray", "BPF_MAP_TYPE_PERCPU_ARRAY", "value"],
  ["arrayOfMaps", "BPF_MAP_TYPE_ARRAY_OF_MAPS", "", { holds: "maps" }],
  ["hashOfMaps", "BPF_MAP_TYPE_HASH_OF_MAPS", "key", { holds: "maps" }],
  ["devmap", "BPF_MAP_TYPE_DEVMAP", ""],
  ["devmapHash", "BPF_MAP_TYPE_DEVMAP_HASH", ""],
  ["cpumap", "BPF_MAP_TYPE_CPUMAP", ""],
  ["xskmap", "BPF_MAP_TYPE_XSKMAP", ""],
  ["sockmap", "BPF_MAP_TYPE_SOCKMAP", ""],
  ["sockhash", "BPF_MAP_TYPE_SOCKHASH", "key"],
  ["reuseportSockarray", "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY", ""],
  ["skStorage", "BPF_MAP_TYPE_SK_STORAGE", "value", { key: I32, flags: BPF_F_NO_PREALLOC, unsized: true }],
  ["cgroupStorage", "BPF_MAP_TYPE_CGROUP_STORAGE", "value", { key: CGROUP_KEY, unsized: true }],
  ["percpuCgroupStorage", "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE", "value", { key: CGROUP_KEY, unsized: true }],
  ["cgroupArray", "BPF_MAP_TYPE_CGROUP_ARRAY", ""],
  ["progArray", "BPF_MAP_TYPE_PROG_ARRAY", "", { holds: "programs" }],
  ["perfEventArray", "BPF_MAP_TYPE_PERF_EVENT_ARRAY", ""],
  ["stackTrace", "BPF_MAP_TYPE_STACK_TRACE", "", { valueSize: MAX_STACK * 8 }],
  ["queue", "BPF_MAP_TYPE_QUEUE", "value", { key: undefined }],
  ["stack", "BPF_MAP_TYPE_STACK", "value", { key: undefined }],
  ["bloomFilter", "BPF_MAP_TYPE_BLOOM_FILTER", "value", { key: undefined }],
  ["ringBuffer", "BPF_MAP_TYPE_RINGBUF", "", { key: undefined, valueSize: 0 }],
];

export const MAP_FORMS: ReadonlyMap<string, MapForm> = new Map(
  ROWS.map(([name, type, takes, more]): [string, MapForm] => [
    name,
    {
      type: MapType[type],
      takes,
      key: takes.startsWith("key") ? undefined : U32,
      valueSize: 4,
      flags: 0,
      unsized: false,
      holds: undefined,
      ...more,
    },
  ]),
);
