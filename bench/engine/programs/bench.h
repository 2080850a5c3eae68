/*
 * One source, three builds: eBPF (clang), native with out-of-line maps, native with maps specialised and inlined
 * (-DINLINED_MAPS). A program says MAP_*(…) for a map and LOOKUP/UPDATE with the map's kind; the build decides.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct xdp_md {
  u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

#define XDP_ABORTED 0
#define XDP_DROP 1
#define XDP_PASS 2
#define XDP_TX 3

#define inline_ static inline __attribute__((always_inline))
#define DATA(ctx) ((u8 *)(long)(ctx)->data)
#define DATA_END(ctx) ((u8 *)(long)(ctx)->data_end)
/* gcc -O2 unrolls nothing by itself but short loops of known length. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#define NO_UNROLL
#endif

#define bswap16 __builtin_bswap16
#define bswap32 __builtin_bswap32

struct lpm_key {
  u32 prefix;
  u32 addr;
};

#ifdef __bpf__

#define SEC(name) __attribute__((section(name), used))
#define MAP_HASH4(name, value_t, entries)                                                                              \
  struct {                                                                                                             \
    int (*type)[1];                                                                                                    \
    int (*max_entries)[entries];                                                                                       \
    u32 *key;                                                                                                          \
    value_t *value;                                                                                                    \
  } name SEC(".maps")
#define MAP_HASH8(name, value_t, entries)                                                                              \
  struct {                                                                                                             \
    int (*type)[1];                                                                                                    \
    int (*max_entries)[entries];                                                                                       \
    u64 *key;                                                                                                          \
    value_t *value;                                                                                                    \
  } name SEC(".maps")
#define MAP_ARRAY(name, value_t, entries)                                                                              \
  struct {                                                                                                             \
    int (*type)[2];                                                                                                    \
    int (*max_entries)[entries];                                                                                       \
    u32 *key;                                                                                                          \
    value_t *value;                                                                                                    \
  } name SEC(".maps")
#define MAP_LPM4(name, value_t, entries)                                                                               \
  struct {                                                                                                             \
    int (*type)[11];                                                                                                   \
    int (*max_entries)[entries];                                                                                       \
    int (*map_flags)[1];                                                                                               \
    struct lpm_key *key;                                                                                               \
    value_t *value;                                                                                                    \
  } name SEC(".maps")
#define MAPS(...)

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

#define LOOKUP(kind, map, key) bpf_map_lookup_elem(&map, key)
#define UPDATE(kind, map, key, value) bpf_map_update_elem(&map, key, value, 0)
#define PROGRAM(ctx) SEC("xdp") int prog(struct xdp_md *ctx)

#else

#include "../native/maps.h"
#define MAP_HASH4(name, value_t, entries) NATIVE_HASH(name, u32, value_t, entries)
#define MAP_HASH8(name, value_t, entries) NATIVE_HASH(name, u64, value_t, entries)
#define MAP_ARRAY(name, value_t, entries) NATIVE_ARRAY(name, value_t, entries)
#define MAP_LPM4(name, value_t, entries) NATIVE_LPM(name, value_t, entries)
#define MAPS(...) struct map *EXPORT(maps)[] = {__VA_ARGS__, 0};
#define CONCAT_(a, b) a##_##b
#define CONCAT(a, b) CONCAT_(a, b)
#define EXPORT(name) CONCAT(PROG, name)
#define PROGRAM(ctx) int EXPORT(prog)(struct xdp_md *ctx)
#ifdef INLINED_MAPS
#define LOOKUP(kind, map, key) map##_lookup(key)
#define UPDATE(kind, map, key, value) map##_update(key, value)
#else
#define LOOKUP(kind, map, key) map_lookup(&map, key)
#define UPDATE(kind, map, key, value) map_update(&map, key, value, 0)
#endif

#endif
