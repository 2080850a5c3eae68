/*
 * The library that the bench calls: memory below 4 GiB (so that 32-bit ctx fields hold real addresses), and a timed
 * loop around a native program, a program compiled by uBPF, or uBPF's interpreter.
 */
#define _GNU_SOURCE
#include "../programs/bench.h"
#include <sys/mman.h>
#include <time.h>

/* One page of ctx and packet, and the 64-bit address of the ctx. */
u64 low_page(void) {
  void *at = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  return at == MAP_FAILED ? 0 : (u64)at;
}

void write_bytes(u64 at, const u8 *bytes, u32 count) { memcpy((void *)at, bytes, count); }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Nanoseconds of `count` runs; the last verdict goes to *verdict. */
double run_native(u64 program, u64 ctx, u32 count, u32 *verdict) {
  int (*run)(struct xdp_md *) = (void *)program;
  u32 r = 0;
  double start = now();
  for (u32 i = 0; i < count; i++) r = run((void *)ctx);
  double ns = now() - start;
  *verdict = r;
  return ns;
}

/* uBPF's compiled form: (memory, length) to r0. */
double run_ubpf_jit(u64 program, u64 ctx, u32 length, u32 count, u32 *verdict) {
  u64 (*run)(void *, size_t) = (void *)program;
  u64 r = 0;
  double start = now();
  for (u32 i = 0; i < count; i++) r = run((void *)ctx, length);
  double ns = now() - start;
  *verdict = r;
  return ns;
}

/* ubpf_exec(vm, memory, length, &r0). */
double run_ubpf_interp(u64 exec, u64 vm, u64 ctx, u32 length, u32 count, u32 *verdict) {
  int (*run)(void *, void *, size_t, u64 *) = (void *)exec;
  u64 r = 0;
  double start = now();
  for (u32 i = 0; i < count; i++) run((void *)vm, (void *)ctx, length, &r);
  double ns = now() - start;
  *verdict = r;
  return ns;
}

/* The nth of a program's maps. */
u64 map_at(u64 maps, u32 index) { return (u64)((struct map **)maps)[index]; }
