// Objects kept in map values: put in, taken out, replaced, and ended with their entry.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define kptr __attribute__((btf_type_tag("kptr")))

struct item {
  __u64 key;
  __u64 uses;
};

struct slot {
  struct item kptr *kept;
  __u64 hits;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, struct slot);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 32);
  __type(key, __u32);
  __type(value, __u64);
} out SEC(".maps");

extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;

#define new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))
#define drop(object) bpf_obj_drop_impl(object, NULL)

static void put(__u32 index, __u64 value) {
  bpf_map_update_elem(&out, &index, &value, 0);
}

// Keeps a new object under a key: what was there before is told and dropped.
static int keep(__u32 key, __u64 number, __u32 at) {
  struct slot none = { .hits = number };
  bpf_map_update_elem(&slots, &key, &none, BPF_NOEXIST);
  struct slot *slot = bpf_map_lookup_elem(&slots, &key);
  if (!slot) {
    put(at, 1000);
    return 1;
  }
  struct item *item = new(struct item);
  if (!item) return 2;
  item->key = number;
  item = bpf_kptr_xchg(&slot->kept, item);
  put(at, item ? item->key : 0);
  if (item) drop(item);
  slot->hits++;
  put(at + 1, slot->hits);
  return 0;
}

SEC("tc")
int fill(struct __sk_buff *ctx) {
  int failed = 0;
  for (__u32 i = 0; i < 6; i++) failed += keep(i % 5, 10 + i, 2 * i);
  return failed;
}

SEC("tc")
int take(struct __sk_buff *ctx) {
  __u32 key = 1;
  struct slot *slot = bpf_map_lookup_elem(&slots, &key);
  if (!slot) return 1;
  struct item *item = bpf_kptr_xchg(&slot->kept, NULL);
  if (!item) return 2;
  put(20, item->key);
  drop(item);
  // An update leaves the pointer alone; a deletion ends it.
  key = 2;
  struct slot fresh = { .hits = 99 };
  bpf_map_update_elem(&slots, &key, &fresh, BPF_EXIST);
  slot = bpf_map_lookup_elem(&slots, &key);
  if (!slot) return 3;
  item = bpf_kptr_xchg(&slot->kept, NULL);
  put(21, item ? item->key : 0);
  put(22, slot->hits);
  if (item) {
    item = bpf_kptr_xchg(&slot->kept, item);
    if (item) drop(item);
  }
  put(23, bpf_map_delete_elem(&slots, &key));
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
