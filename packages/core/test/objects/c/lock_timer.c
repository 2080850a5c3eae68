// Values with a spin lock and a timer.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bucket { struct bpf_spin_lock lock; __u32 tokens; struct bpf_timer timer; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct bucket);
	__uint(max_entries, 1);
} buckets SEC(".maps");
static int refill(void *map, __u32 *key, struct bucket *b)
{
	b->tokens = 10;
	bpf_timer_start(&b->timer, 1000000, 0);
	return 0;
}
SEC("tc") int police(struct __sk_buff *skb)
{
	__u32 k = 0, ok = 0;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &k);
	if (!b)
		return 2;
	if (!bpf_timer_init(&b->timer, &buckets, 1))
		bpf_timer_set_callback(&b->timer, refill);
	bpf_spin_lock(&b->lock);
	if (b->tokens) {
		b->tokens--;
		ok = 1;
	}
	bpf_spin_unlock(&b->lock);
	return ok ? 0 : 2;
}

char _license[] SEC("license") = "GPL";
