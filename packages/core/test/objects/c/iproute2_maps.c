// Bpf_elf_map of iproute2, pinned, nested with a filled slot, and tail calls by number.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_elf_map { __u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx; };
struct bpf_elf_map inner SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 7, 0, 0, 1 };
struct bpf_elf_map spare SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 7, 0, 0, -1 };
struct bpf_elf_map outer SEC("maps") = { BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0, 0, 0, 7 };
struct bpf_elf_map jumps SEC("maps") = { BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 8, 0, 0x2a };
struct bpf_elf_map ebplane_test_shared SEC("maps") = { BPF_MAP_TYPE_HASH, 4, 8, 32, 0, 0, 2 };
SEC("classifier") int cls(struct __sk_buff *skb)
{
	__u32 k = 0;
	void *m = bpf_map_lookup_elem(&outer, &k);
	if (m && bpf_map_lookup_elem(m, &k))
		return 0;
	bpf_tail_call(skb, &jumps, 3);
	return bpf_map_lookup_elem(&ebplane_test_shared, &k) || bpf_map_lookup_elem(&spare, &k) ? 0 : 2;
}
SEC("0x2a/3") int third(struct __sk_buff *skb) { return skb->len > 64; }
SEC("42/5") int fifth(struct __sk_buff *skb) { return 2; }

char _license[] SEC("license") = "GPL";
