/*
 * Beside afxdp.ts: the same forwarding in C, frames received on one device and sent out of another, one umem for both
 * sockets so that nothing is copied in userspace. For each line on stdin it empties the receive ring and prints the
 * number of frames and the nanoseconds. Usage: afxdp IN OUT
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES = 4096, SIZE = 2048, RING = 2048, BATCH = 256 };

struct ring {
	uint32_t *producer, *consumer, *flags;
	void *entries;
	uint32_t head, tail;
};

struct port {
	int fd;
	struct ring rx, tx, fill, done;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static struct ring map_ring(int fd, int option, off_t offset, struct xdp_ring_offset at, size_t entry)
{
	uint32_t size = RING;
	if (setsockopt(fd, SOL_XDP, option, &size, sizeof(size)))
		fail("ring");
	char *base = mmap(0, at.desc + RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
	if (base == MAP_FAILED)
		fail("mmap");
	return (struct ring){(void *)(base + at.producer), (void *)(base + at.consumer), (void *)(base + at.flags),
			     base + at.desc, 0, 0};
}

static struct port open_port(const char *name, void *umem, int shared)
{
	struct port port = {.fd = socket(AF_XDP, SOCK_RAW, 0)};
	struct xdp_umem_reg reg = {.addr = (uintptr_t)umem, .len = FRAMES * SIZE, .chunk_size = SIZE};
	struct xdp_mmap_offsets at;
	socklen_t length = sizeof(at);
	if (port.fd < 0 || (shared < 0 && setsockopt(port.fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg))))
		fail("umem");
	if (getsockopt(port.fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length))
		fail("offsets");
	port.fill = map_ring(port.fd, XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, at.fr, 8);
	port.done = map_ring(port.fd, XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING, at.cr, 8);
	port.rx = map_ring(port.fd, XDP_RX_RING, XDP_PGOFF_RX_RING, at.rx, sizeof(struct xdp_desc));
	port.tx = map_ring(port.fd, XDP_TX_RING, XDP_PGOFF_TX_RING, at.tx, sizeof(struct xdp_desc));
	struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_ifindex = if_nametoindex(name)};
	address.sxdp_flags = shared < 0 ? XDP_COPY | XDP_USE_NEED_WAKEUP : XDP_SHARED_UMEM;
	address.sxdp_shared_umem_fd = shared < 0 ? 0 : shared;
	/* A queue is free a moment after its last user has gone. */
	for (int tries = 100; bind(port.fd, (void *)&address, sizeof(address)); tries--) {
		if (errno != EBUSY || tries == 0)
			fail("bind");
		usleep(20000);
	}
	return port;
}

/* Sends what comes to queue 0 into the socket. */
static void attach(const char *name, int socket)
{
	int map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "sockets", 4, 4, 1, 0), key = 0;
	struct bpf_insn code[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{0},
		{.code = BPF_ALU64 | BPF_MOV, .dst_reg = 2, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV, .dst_reg = 3, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "to_socket", "GPL", code, 6, 0);
	if (map < 0 || program < 0 || bpf_map_update_elem(map, &key, &socket, 0) ||
	    bpf_link_create(program, if_nametoindex(name), BPF_XDP, 0) < 0)
		fail("attach");
}

static void give(struct port *from, uint64_t address)
{
	((uint64_t *)from->fill.entries)[from->fill.head++ % RING] = address;
	__atomic_store_n(from->fill.producer, from->fill.head, __ATOMIC_RELEASE);
}

/* Frames that have left go back to where frames come from. */
static void reclaim(struct port *in, struct port *out)
{
	uint32_t end = __atomic_load_n(out->done.producer, __ATOMIC_ACQUIRE);
	while (out->done.tail != end)
		give(in, ((uint64_t *)out->done.entries)[out->done.tail++ % RING]);
	__atomic_store_n(out->done.consumer, out->done.tail, __ATOMIC_RELEASE);
}

static uint32_t forward(struct port *in, struct port *out, char *base)
{
	uint32_t end = __atomic_load_n(in->rx.producer, __ATOMIC_ACQUIRE), count = end - in->rx.tail;
	if (count > BATCH)
		count = BATCH;
	for (uint32_t i = 0; i < count; i++) {
		struct xdp_desc frame = ((struct xdp_desc *)in->rx.entries)[in->rx.tail++ % RING];
		/* What the other side's program does: the first word of the frame is written. */
		*(uint32_t *)(base + frame.addr) = 2;
		frame.options = 0;
		((struct xdp_desc *)out->tx.entries)[out->tx.head++ % RING] = frame;
	}
	__atomic_store_n(in->rx.consumer, in->rx.tail, __ATOMIC_RELEASE);
	__atomic_store_n(out->tx.producer, out->tx.head, __ATOMIC_RELEASE);
	/* In copy mode the kernel sends some 32 frames a call. */
	while (__atomic_load_n(out->tx.consumer, __ATOMIC_ACQUIRE) != out->tx.head)
		if (sendto(out->fd, 0, 0, MSG_DONTWAIT, 0, 0) < 0 && errno != EAGAIN && errno != EBUSY && errno != ENOBUFS)
			fail("sendto");
	reclaim(in, out);
	return count;
}

int main(int argc, char **argv)
{
	char line[16];
	char *umem = mmap(0, FRAMES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (argc != 3 || umem == MAP_FAILED)
		return 2;
	struct port in = open_port(argv[1], umem, -1), out = open_port(argv[2], umem, in.fd);
	attach(argv[1], in.fd);
	for (uint32_t i = 0; i < RING; i++)
		give(&in, (uint64_t)i * SIZE);
	setvbuf(stdout, 0, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		double start = now();
		uint32_t total = 0;
		for (uint32_t n = 1; n; total += n)
			n = forward(&in, &out, umem);
		printf("%u %.0f\n", total, now() - start);
	}
	return 0;
}
