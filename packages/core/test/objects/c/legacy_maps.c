// Struct bpf_map_def in a maps section.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct def { unsigned int type, key_size, value_size, max_entries, map_flags; };
struct def counts SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0 };
struct def seen SEC("maps") = { BPF_MAP_TYPE_HASH, 4, 4, 16, BPF_F_NO_PREALLOC };
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 k = 1;
	__u64 *v = bpf_map_lookup_elem(&counts, &k);
	if (v)
		*v += 1;
	return bpf_map_lookup_elem(&seen, &k) ? XDP_DROP : XDP_PASS;
}
unsigned int _version SEC("version") = 0x060c00;

char _license[] SEC("license") = "GPL";
