// A linked list in an arena: pages are allocated, filled through casts, walked, freed; a page beyond the arena is not had.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))
#define PAGE 4096
#define NUMA_NO_NODE (-1)

struct {
  __uint(type, 33); // BPF_MAP_TYPE_ARENA
  __uint(map_flags, 1 << 10); // BPF_F_MMAPABLE
  __uint(max_entries, 8);
  __uint(map_extra, 0x10000000); // The address in userspace.
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 pages) __ksym;

struct node {
  struct node __arena *next;
  __u64 value;
};

struct args {
  __u32 count;
  __u32 result;
  __u64 sum;
};

struct node __arena *head;

SEC("syscall")
int fill(struct args *args) {
  struct node __arena *page = bpf_arena_alloc_pages(&arena, NULL, 2, NUMA_NO_NODE, 0);
  if (!page) return 1;
  for (__u32 i = 0; i < args->count && i < 2 * PAGE / sizeof(struct node); i++) {
    page[i].value = i * 3;
    page[i].next = head;
    head = &page[i];
  }
  return 0;
}

SEC("syscall")
int sum(struct args *args) {
  // A cast needs a program that uses an arena.
  asm volatile("" : : "r"(&arena));
  __u64 total = 0;
  __u32 steps = 0;
  for (struct node __arena *n = head; n && steps < 1000; n = n->next, steps++) total += n->value;
  args->sum = total;
  args->result = steps;
  return 0;
}

SEC("syscall")
int exhaust(struct args *args) {
  __u32 had = 0;
  for (int i = 0; i < 12; i++) {
    void __arena *page = bpf_arena_alloc_pages(&arena, NULL, 1, NUMA_NO_NODE, 0);
    if (page) had++;
  }
  args->result = had;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
