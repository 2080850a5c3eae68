/* The out-of-line maps, a file of its own so that nothing of it is inlined. */
#include "../programs/bench.h"

static u32 hash_of(const struct map *map, const void *key) {
  u64 k = map->key_size == 4 ? *(const u32 *)key : *(const u64 *)key;
  return k * map->seed >> 32;
}

static void *hash_lookup(struct map *map, const void *key) {
  u32 i = map->heads[hash_of(map, key) >> map->shift];
  while (i) {
    char *elem = map->elems + (u64)i * map->elem_size;
    if (!memcmp(elem + 8, key, map->key_size)) return elem + 16;
    i = *(u32 *)elem;
  }
  return 0;
}

static long hash_update(struct map *map, const void *key, const void *value) {
  void *old = hash_lookup(map, key);
  if (!old) {
    if (map->used == map->max) return -7;
    char *elem = map->elems + (u64)++map->used * map->elem_size;
    u32 hash = hash_of(map, key), *head = &map->heads[hash >> map->shift];
    *(u32 *)elem = *head;
    *(u32 *)(elem + 4) = hash;
    memcpy(elem + 8, key, map->key_size);
    *head = map->used;
    old = elem + 16;
  }
  memcpy(old, value, map->value_size);
  return 0;
}

static struct lpm_node *node_at(struct map *map, u32 i) { return (void *)(map->elems + (u64)i * map->elem_size); }
static u32 shared_bits(u32 a, u32 b, u32 limit) {
  u32 differ = bswap32(a ^ b), n = differ ? __builtin_clz(differ) : 32;
  return n < limit ? n : limit;
}
static u32 bit(u32 addr, u32 i) { return bswap32(addr) >> (31 - i) & 1; }

static void *lpm_lookup(struct map *map, const struct lpm_key *key) {
  struct lpm_node *found = 0;
  for (u32 i = map->root; i;) {
    struct lpm_node *node = node_at(map, i);
    u32 limit = node->prefix < key->prefix ? node->prefix : key->prefix;
    u32 shared = shared_bits(node->addr, key->addr, limit);
    if (shared == 32) {
      found = node;
      break;
    }
    if (shared < node->prefix) break;
    if (!node->branch) found = node;
    i = node->child[bit(key->addr, node->prefix)];
  }
  return found ? found + 1 : 0;
}

static void stride_insert(struct map *map, const struct lpm_key *key, u32 elem) {
  u32 table = 0, level = 0;
  for (; key->prefix > level * 8 + 8; level++) {
    struct stride *s = &map->strides[table * 256 + (key->addr >> level * 8 & 255)];
    if (!s->child) {
      if (map->stride_count == STRIDES) abort();
      s->child = map->stride_count++;
    }
    table = s->child;
  }
  u32 first = key->addr >> level * 8 & 255, count = 1 << (level * 8 + 8 - key->prefix);
  for (u32 i = 0; i < count; i++) {
    struct stride *s = &map->strides[table * 256 + first + i];
    if (!s->best || node_at(map, s->best)->prefix <= key->prefix) s->best = elem;
  }
}

/* Prefixes are inserted once each. */
static long lpm_update(struct map *map, const struct lpm_key *key, const void *value) {
  u32 *slot = &map->root, shared = 0, i;
  while ((i = *slot)) {
    struct lpm_node *node = node_at(map, i);
    shared = shared_bits(node->addr, key->addr, node->prefix < key->prefix ? node->prefix : key->prefix);
    if (shared != node->prefix || node->prefix == key->prefix) break;
    slot = &node->child[bit(key->addr, node->prefix)];
  }
  u32 fresh = ++map->used;
  struct lpm_node *node = node_at(map, fresh);
  node->prefix = key->prefix;
  node->addr = key->addr;
  memcpy(node + 1, value, map->value_size);
  stride_insert(map, key, fresh);
  if (!i) {
    *slot = fresh;
    return 0;
  }
  struct lpm_node *old = node_at(map, i);
  if (old->prefix == key->prefix && shared == key->prefix) {
    memcpy(node->child, old->child, sizeof node->child);
    *slot = fresh;
  } else if (shared == key->prefix) {
    node->child[bit(old->addr, shared)] = i;
    *slot = fresh;
  } else {
    u32 middle = ++map->used;
    struct lpm_node *fork = node_at(map, middle);
    fork->prefix = shared;
    fork->branch = 1;
    fork->addr = old->addr;
    u32 side = bit(key->addr, shared);
    fork->child[side] = fresh;
    fork->child[!side] = i;
    *slot = middle;
  }
  return 0;
}

void *map_lookup(struct map *map, const void *key) {
  if (map->type == ARRAY) {
    u32 i = *(const u32 *)key;
    return i < map->max ? map->elems + (u64)i * map->elem_size : 0;
  }
  return map->type == HASH ? hash_lookup(map, key) : lpm_lookup(map, key);
}

long map_update(struct map *map, const void *key, const void *value, u64 flags) {
  (void)flags;
  if (map->type == ARRAY) {
    void *at = map_lookup(map, key);
    if (!at) return -7;
    memcpy(at, value, map->value_size);
    return 0;
  }
  return map->type == HASH ? hash_update(map, key, value) : lpm_update(map, key, value);
}
