/* Beside map-batch.ts: the same 1,000,000 entries through libbpf's batch call. Prints nanoseconds an entry. */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	uint32_t n = 1000000, chunk = 16384;
	int lpm = argc > 1 && !strcmp(argv[1], "lpm");
	uint32_t key_size = lpm ? 8 : 4;
	uint32_t *keys = malloc((size_t)n * key_size);
	uint64_t *values = malloc((size_t)n * 8);

	for (uint32_t i = 0; i < n; i++) {
		if (lpm) {
			keys[2 * i] = 32;
			keys[2 * i + 1] = i * 2654435761u;
		} else {
			keys[i] = i;
		}
		values[i] = i;
	}
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = lpm ? BPF_F_NO_PREALLOC : 0);
	int fd = bpf_map_create(lpm ? BPF_MAP_TYPE_LPM_TRIE : BPF_MAP_TYPE_HASH, "bench", key_size, 8, n, &opts);
	if (fd < 0)
		return 1;
	for (int round = 0; round < 3; round++) {
		double start = now();
		for (uint32_t at = 0; at < n;) {
			uint32_t count = n - at < chunk ? n - at : chunk;
			if (bpf_map_update_batch(fd, (char *)keys + (size_t)at * key_size, values + at, &count, NULL))
				return 2;
			at += count;
		}
		printf("%.1f\n", (now() - start) / n);
	}
	return 0;
}
