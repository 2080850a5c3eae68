/**
 * Where things lie in a map's header and in its elements: the one description that the wasm runtime (AssemblyScript
 * compiles this very file), the JIT and the control plane share. Offsets in bytes, all words 32 bits unless said.
 *
 * A map's address is its header's; that is the map pointer a program holds.
 */

// ---- every map ----
/** `MapType`. */
export const MAP_TYPE = 0;
export const MAP_ID = 4;
export const MAP_KEY_SIZE = 8;
export const MAP_VALUE_SIZE = 12;
export const MAP_MAX_ENTRIES = 16;
/** `BPF_F_*` of creation. */
export const MAP_FLAGS = 20;
/** Value size rounded up to 8: distance of two array values, or of two CPUs' values in what bpf(2) returns. */
export const MAP_STRIDE = 24;
/** Possible CPUs. */
export const MAP_CPUS = 28;
/** Live elements (hash, LPM) or queued ones. */
export const MAP_COUNT = 32;
/** Arrays: address of element 0 (of CPU 0). Rings and arenas: address of their data. */
export const MAP_VALUES = 36;
/** Per-CPU maps: bytes from one CPU's value to the next CPU's. */
export const MAP_CPU_STRIDE = 40;
/** Spin lock over the map's free list and lists (shared variant only). */
export const MAP_LOCK = 44;
/** Address of the table of special fields in values (locks, timers, kptrs), or 0. */
export const MAP_FIELDS = 48;
/** Element memory: address of the newest chunk, whose first word links to the one before. */
export const MAP_CHUNKS = 52;
export const MAP_CHUNK_ELEMS = 56;
/** Free elements, linked by their first word; 0 ends. */
export const MAP_FREE = 60;

// ---- hash family ----
/** Address of the bucket heads. A head or link is an element's address, or ends the chain when bit 0 is set. */
export const MAP_BUCKETS = 64;
/** bucket = hash >>> shift; there are 2^(32 - shift) buckets. */
export const MAP_SHIFT = 68;
export const MAP_ELEM_SIZE = 72;
/** From an element to its value (per-CPU: to the word that holds CPU 0's value address). */
export const MAP_VALUE_OFFSET = 76;
/** Address of one spare element's address a CPU: replaces in full preallocated maps. 0 without. */
export const MAP_EXTRA = 80;
/** `HASH_*`. */
export const MAP_HASH_KIND = 84;
/** u64, odd: multiplier of the 4- and 8-byte hash. */
export const MAP_SEED = 88;
/** Eight more seed words for longer keys; the first is the seed of jhash. */
export const MAP_SEEDS = 96;

/** hash = high word of u32 key * seed. */
export const HASH_4 = 0;
/** hash = high word of u64 key * seed (mod 2^64). */
export const HASH_8 = 1;
/** Any key size: sums of products of word pairs, multiplied by the seed. */
export const HASH_ANY = 2;
/** The kernel's jhash with the seed 0 (BPF_F_ZERO_SEED), rotated so that `>>> shift` selects the kernel's bucket. */
export const HASH_JHASH = 3;

/** The 4-byte key itself as the hash, rotated likewise (devmap_hash). */
export const HASH_INDEX = 4;

/** Element: link, hash, key (padded to 8), value or per-CPU address. */
export const ELEM_NEXT = 0;
export const ELEM_HASH = 4;
export const ELEM_KEY = 8;

// ---- type-specific part, from here on ----
export const MAP_OWN = 128;
export const MAP_HEADER_SIZE = 256;

/** A row of the table at MAP_FIELDS, after the word with their number: offset, size, kind (`FIELD_*`). */
export const FIELD_ROW = 12;
export const FIELD_SPIN_LOCK = 1;
/** Anything that is zeroed when its value is replaced or deleted, after the host has released it. */
export const FIELD_OWNED = 2;
/** Stays as it is. */
export const FIELD_KEPT = 3;

// Update flags and error numbers, for the runtime.
export const ANY = 0;
export const NOEXIST = 1;
export const EXIST = 2;
export const F_LOCK = 4;
export const EPERM = 1;
export const ENOENT = 2;
export const E2BIG = 7;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EOPNOTSUPP = 95;
export const F_NO_PREALLOC = 1;

// ---- lpm_trie: elements are nodes of a path-compressed binary trie ----
/** Root node or 0. */
export const LPM_ROOT = 128;
/** Bytes of address in a key, after the 32-bit prefix length. */
export const LPM_DATA_SIZE = 132;
/** The /0 entry, or 0; kept only with the stride table. */
export const LPM_DEFAULT = 136;
/** Root of the 8-bit-stride table for full-length lookups, or 0 while there is none. */
export const LPM_STRIDE = 140;
/** Stride nodes that may still be made; 0xffffffff: the table is off for good. */
export const LPM_BUDGET = 144;
/** Free stride nodes, linked by their first word. */
export const LPM_STRIDE_FREE = 148;
/** Chunks of stride nodes, linked by their first word. */
export const LPM_STRIDE_CHUNKS = 152;
/** Lock over the trie (shared variant). */
export const LPM_LOCK = 156;

/** Node: children, flags, list link of the stride table, then the key (prefix length, address), then the value. */
export const NODE_CHILD = 0;
export const NODE_FLAGS = 8;
export const NODE_LIST = 12;
export const NODE_PREFIX = 16;
export const NODE_DATA = 20;
/** A stride node: 256 entries of {child, best}, then the number of prefixes at or below it. */
export const STRIDE_NODE = 2064;
export const STRIDE_COUNT = 2048;

// ---- queue and stack: a ring of max_entries + 1 values at MAP_VALUES, packed by value size ----
export const QUEUE_HEAD = 128;
export const QUEUE_TAIL = 132;

// ---- bloom_filter: bits at MAP_VALUES ----
export const BLOOM_MASK = 128;
export const BLOOM_FUNCS = 132;

// ---- LRU ----
/** Address of the list blocks: one, or with BPF_F_NO_COMMON_LRU one a CPU. */
export const LRU_LISTS = 128;
/** Address of the CPUs' local lists; 0 with BPF_F_NO_COMMON_LRU. */
export const LRU_LOCALS = 132;
/** Nodes that a rotation or shrink looks at. */
export const LRU_SCANS = 136;
/** Nodes that a CPU takes for itself at a time. */
export const LRU_TARGET = 140;
export const LRU_LOCK = 144;

/** The LRU node lies before its element: next, previous, list (u8), referenced (u8), CPU (u16). */
export const LRU_NODE = 16;
/** List block: heads {next, previous} of the active, inactive and free list, counts of the first two, rotation point. */
export const LIST_COUNTS = 24;
export const LIST_ROTATION = 32;
export const LIST_BLOCK = 64;
/** Local lists: heads of the free and the pending list, the CPU to steal from next. */
export const LOCAL_PENDING = 8;
export const LOCAL_STEAL = 16;
export const LOCAL_BLOCK = 64;
/** Nodes that a full CPU's own LRU frees at a time, and scans. */
export const LRU_PERCPU_TARGET = 4;

// ---- ringbuf and user_ringbuf: MAP_VALUES is the data; the pages before it hold the positions, as mmap shows them ----
export const RING_PAGE = 4096;
/** From the data: the page whose first word is the map's address, the consumer's and the producer's page. */
export const RING_SELF = -3 * RING_PAGE;
export const RING_CONSUMER = -2 * RING_PAGE;
export const RING_PRODUCER = -RING_PAGE;
/** u64: where the oldest record lies that is not committed. */
export const RING_PENDING = 128;
/** A record's head: length and flags, pages from the map's page to the head. */
export const RECORD_HEAD = 8;
export const RING_BUSY = 0x80000000;
export const RING_DISCARD = 0x40000000;
export const ENODATA = 61;
export const EAGAIN = 11;

// ---- local storages: a hash by owner handle ----
/** Room for the key of an entry that is being made, and address of a zeroed value. */
export const STORAGE_KEY = 128;
export const STORAGE_ZERO = 132;
export const STORAGE_LOCK = 136;

// ---- cgroup_storage ----
/** Address of the value of the cgroup that the running program is attached to; the machine sets it before a run. */
export const STORAGE_CURRENT = 128;
