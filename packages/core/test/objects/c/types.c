// Types of every shape, for printing.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef unsigned char byte;
typedef struct { byte raw[6]; } mac_t;
enum kind { KIND_NONE, KIND_A = 5, KIND_NEGATIVE = -1 };
struct bits { unsigned a: 3, b: 5; unsigned long c: 40; unsigned: 0; _Bool d: 1; };
struct packed { byte a; unsigned long b; } __attribute__((packed));
union any { int i; float f; double d; void *p; const char *const s; };
struct tree { struct tree *left, *right; union any leaf; struct { int x, y; }; mac_t macs[2][3]; int (*fn)(struct tree *, enum kind); };
struct opaque;
struct all { struct bits bits; struct packed packed; struct tree tree; enum kind kind; struct opaque *o; volatile int v; int *restrict r; __int128 wide; };
struct all value;
SEC("xdp") int use(struct xdp_md *ctx) { return value.bits.b == 3 ? XDP_DROP : XDP_PASS; }

char _license[] SEC("license") = "GPL";
