/*
 * Maps for the native builds. Out of line: one set of functions for any map, as uBPF's programs call them too.
 * Inlined (-DINLINED_MAPS): functions of the map's own types, sizes and addresses, in the program's own file.
 *
 * Both hash with the same seeded multiplication as the wasm runtime. Updates write in place, which the kernel (and the
 * wasm runtime) does not: the native reference does less work there. The LPM trie is the kernel's binary one out of
 * line, and the wasm runtime's 8-bit strides when inlined.
 */
#pragma once
#include <stdlib.h>
#include <string.h>

#define HASH 1
#define ARRAY 2
#define LPM 11

struct stride {
  u32 child, best;
};

struct map {
  u32 type, key_size, value_size, max, shift, elem_size, used;
  u64 seed;
  u32 *heads;
  char *elems;
  u32 root;
  struct stride *strides;
  u32 stride_count;
};

void *map_lookup(struct map *map, const void *key);
long map_update(struct map *map, const void *key, const void *value, u64 flags);

/* Elements are numbered from 1; 0 ends a chain. An element: next, hash, key padded to 8, value. */
#define NATIVE_HASH(name, key_t, value_t, entries)                                                                     \
  struct name##_elem {                                                                                                 \
    u32 next, hash;                                                                                                    \
    key_t key __attribute__((aligned(8)));                                                                             \
    value_t value __attribute__((aligned(8)));                                                                         \
  };                                                                                                                   \
  static struct name##_elem name##_elems[entries + 1];                                                                 \
  static u32 name##_heads[SLOTS(entries)];                                                                             \
  static struct map name = {.type = HASH,                                                                              \
                            .key_size = sizeof(key_t),                                                                 \
                            .value_size = sizeof(value_t),                                                             \
                            .max = entries,                                                                            \
                            .shift = 32 - __builtin_ctz(SLOTS(entries)),                                               \
                            .elem_size = sizeof(struct name##_elem),                                                   \
                            .seed = SEED,                                                                              \
                            .heads = name##_heads,                                                                     \
                            .elems = (char *)name##_elems};                                                            \
  INLINED(static inline __attribute__((always_inline, unused)) value_t *name##_lookup(const key_t *key) {              \
    u32 hash = (u64)*key * SEED >> 32;                                                                                 \
    for (u32 i = name##_heads[hash >> (32 - __builtin_ctz(SLOTS(entries)))]; i; i = name##_elems[i].next)              \
      if (name##_elems[i].key == *key) return &name##_elems[i].value;                                                  \
    return 0;                                                                                                          \
  } static inline __attribute__((always_inline, unused)) long name##_update(const key_t *key, const value_t *value) {  \
    value_t *old = name##_lookup(key);                                                                                 \
    if (!old) return map_update(&name, key, value, 0);                                                                 \
    *old = *value;                                                                                                     \
    return 0;                                                                                                          \
  })

#define NATIVE_ARRAY(name, value_t, entries)                                                                           \
  static value_t name##_values[entries] __attribute__((aligned(8)));                                                   \
  static struct map name = {.type = ARRAY,                                                                             \
                            .key_size = 4,                                                                             \
                            .value_size = sizeof(value_t),                                                             \
                            .max = entries,                                                                            \
                            .elem_size = sizeof(value_t),                                                              \
                            .elems = (char *)name##_values};                                                           \
  INLINED(static inline __attribute__((always_inline, unused)) value_t *name##_lookup(const u32 *key) {                \
    return *key < entries ? &name##_values[*key] : 0;                                                                  \
  })

/* A node: two children, prefix length, flag of a node without value, address; then the value. */
struct lpm_node {
  u32 child[2];
  u32 prefix, branch;
  u32 addr, pad;
};
#define STRIDES 4096

#define NATIVE_LPM(name, value_t, entries)                                                                             \
  struct name##_elem {                                                                                                 \
    struct lpm_node node;                                                                                              \
    value_t value;                                                                                                     \
  };                                                                                                                   \
  static struct name##_elem name##_elems[2 * entries + 1];                                                             \
  static struct stride name##_strides[STRIDES * 256];                                                                  \
  static struct map name = {.type = LPM,                                                                               \
                            .key_size = 8,                                                                             \
                            .value_size = sizeof(value_t),                                                             \
                            .max = entries,                                                                            \
                            .elem_size = sizeof(struct name##_elem),                                                   \
                            .elems = (char *)name##_elems,                                                             \
                            .strides = name##_strides,                                                                 \
                            .stride_count = 1};                                                                        \
  INLINED(static inline __attribute__((always_inline, unused)) value_t *name##_lookup(const struct lpm_key *key) {     \
    u32 addr = key->addr, best = 0, table = 0;                                                                         \
    do {                                                                                                               \
      const struct stride *s = &name##_strides[table * 256 + (addr & 255)];                                            \
      if (s->best) best = s->best;                                                                                     \
      table = s->child;                                                                                                \
      addr >>= 8;                                                                                                      \
    } while (table);                                                                                                   \
    return best ? &name##_elems[best].value : 0;                                                                       \
  })

#define SLOTS(entries) (1u << (32 - __builtin_clz((entries) - 1)))
#define SEED 0x9e3779b97f4a7c15ull

#ifdef INLINED_MAPS
#define INLINED(...) __VA_ARGS__
#else
#define INLINED(...)
#endif
