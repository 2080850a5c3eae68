// Objects of the program's own: made, counted, kept in lists and a tree; compiled by the test, run on the engines
// and on the kernel.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define private(name) SEC(".data." #name) __attribute__((aligned(8)))
#define contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))

// Newer than the headers of Debian 12.
struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 opaque[1]; } __attribute__((aligned(4)));

struct item {
  struct bpf_list_node in_list;
  struct bpf_rb_node in_tree;
  struct bpf_refcount count;
  __u64 key;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u64);
} out SEC(".maps");

extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
                               _Bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
                               __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;

#define new(type) ((type *)bpf_obj_new_impl(bpf_core_type_id_local(type), NULL))
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(type *)0, 0)
#define drop(object) bpf_obj_drop_impl(object, NULL)
#undef container_of
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

private(L) struct bpf_spin_lock list_lock;
private(L) struct bpf_list_head list contains(item, in_list);
private(T) struct bpf_spin_lock tree_lock;
private(T) struct bpf_rb_root tree contains(item, in_tree);

static void put(__u32 index, __u64 value) {
  bpf_map_update_elem(&out, &index, &value, 0);
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
  return container_of(a, struct item, in_tree)->key < container_of(b, struct item, in_tree)->key;
}

SEC("tc")
int lists(struct __sk_buff *ctx) {
  for (int i = 0; i < 6; i++) {
    struct item *item = new(struct item);
    if (!item) return 1;
    item->key = i;
    bpf_spin_lock(&list_lock);
    if (i & 1)
      bpf_list_push_front_impl(&list, &item->in_list, NULL, 0);
    else
      bpf_list_push_back_impl(&list, &item->in_list, NULL, 0);
    bpf_spin_unlock(&list_lock);
  }
  for (int i = 0; i < 5; i++) {
    struct bpf_list_node *node;
    bpf_spin_lock(&list_lock);
    if (i & 1)
      node = bpf_list_pop_back(&list);
    else
      node = bpf_list_pop_front(&list);
    bpf_spin_unlock(&list_lock);
    if (!node) return 2;
    struct item *item = container_of(node, struct item, in_list);
    put(i, item->key + 100);
    drop(item);
  }
  return 0;
}

SEC("tc")
int trees(struct __sk_buff *ctx) {
  for (int i = 0; i < 16; i++) {
    struct item *item = new(struct item);
    if (!item) return 1;
    item->key = (i * 7) % 16;
    bpf_spin_lock(&tree_lock);
    bpf_rbtree_add_impl(&tree, &item->in_tree, less, NULL, 0);
    bpf_spin_unlock(&tree_lock);
  }
  for (int i = 0; i < 11; i++) {
    bpf_spin_lock(&tree_lock);
    struct bpf_rb_node *node = bpf_rbtree_first(&tree);
    if (!node) {
      bpf_spin_unlock(&tree_lock);
      return 2;
    }
    node = bpf_rbtree_remove(&tree, node);
    bpf_spin_unlock(&tree_lock);
    if (!node) return 3;
    struct item *item = container_of(node, struct item, in_tree);
    put(16 + i, item->key + 200);
    drop(item);
  }
  return 0;
}

// One object in a tree and, for a while, in a list.
SEC("tc")
int shared(struct __sk_buff *ctx) {
  struct item *item = new(struct item);
  if (!item) return 1;
  item->key = 77;
  struct item *other = bpf_refcount_acquire_impl(item, NULL);
  if (!other) {
    drop(item);
    return 2;
  }
  bpf_spin_lock(&tree_lock);
  bpf_rbtree_add_impl(&tree, &item->in_tree, less, NULL, 0);
  bpf_spin_unlock(&tree_lock);
  struct bpf_list_node *node;
  int failed;
  bpf_spin_lock(&list_lock);
  failed = bpf_list_push_back_impl(&list, &other->in_list, NULL, 0);
  node = bpf_list_pop_back(&list);
  bpf_spin_unlock(&list_lock);
  if (!node) return 3 + failed;
  item = container_of(node, struct item, in_list);
  put(40, item->key);
  other = bpf_refcount_acquire_impl(item, NULL);
  drop(item);
  if (!other) return 4;
  put(41, other->key);
  // It is in the tree already: a second time it is refused, and the reference is gone.
  bpf_spin_lock(&tree_lock);
  failed = bpf_rbtree_add_impl(&tree, &other->in_tree, less, NULL, 0);
  bpf_spin_unlock(&tree_lock);
  put(42, failed);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
