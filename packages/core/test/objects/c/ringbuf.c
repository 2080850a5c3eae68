// Events reserved in a ring buffer, user ring too.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { __u64 time; __u32 len; char comm[16]; };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");
static long on_command(struct bpf_dynptr *d, void *ctx) { return 0; }
SEC("xdp") int report(struct xdp_md *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return XDP_ABORTED;
	e->time = bpf_ktime_get_ns();
	e->len = ctx->data_end - ctx->data;
	bpf_ringbuf_submit(e, 0);
	bpf_user_ringbuf_drain(&commands, on_command, 0, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
