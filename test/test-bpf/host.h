/*
 * What the tables of the kernel's lib/test_bpf.c need around them to be compiled as an ordinary program: the shorthands
 * for instructions, a few of the kernel's types and functions, and nothing else. reader.ts puts the tables behind it.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* The kernel defines one of the two byte orders, the C library both. */
#undef __BIG_ENDIAN

#define BIT(n) (1ul << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define S16_MAX INT16_MAX
#define S16_MIN INT16_MIN
#define S32_MAX INT32_MAX
#define S32_MIN INT32_MIN
#define S64_MAX INT64_MAX
#define S64_MIN INT64_MIN
#define U16_MAX UINT16_MAX
#define U32_MAX UINT32_MAX
#define U64_MAX UINT64_MAX
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define BUG_ON(wrong) do { if (wrong) { fprintf(stderr, "%s: a table that does not add up\n", __func__); exit(1); } } while (0)
#define GFP_KERNEL 0
#define kmalloc_array(count, size, how) calloc(count, size)
#define kmalloc(size, how) calloc(1, size)
#define kfree free
#define __init
#define MAX_TAIL_CALL_CNT 33

/* Constants in an initializer's sense. */
#define cpu_to_le16(x) ((u16)(x))
#define cpu_to_le32(x) ((u32)(x))
#define cpu_to_le64(x) ((u64)(x))
#define cpu_to_be16(x) __builtin_bswap16(x)
#define cpu_to_be32(x) __builtin_bswap32(x)
#define cpu_to_be64(x) __builtin_bswap64(x)

static inline u64 div64_u64(u64 a, u64 b) { return a / b; }
static inline u64 div64_u64_rem(u64 a, u64 b, u64 *rest) { *rest = a % b; return a / b; }

/* L'Ecuyer's LFSR113 (1999), seeded with four words that lie above its four minima. */
struct rnd_state { u32 s1, s2, s3, s4; };
static inline void prandom_seed_state(struct rnd_state *state, u64 seed) {
  u32 word = (u32)((seed >> 32) ^ (seed << 10) ^ seed);
  state->s1 = word < 2 ? word + 2 : word;
  state->s2 = word < 8 ? word + 8 : word;
  state->s3 = word < 16 ? word + 16 : word;
  state->s4 = word < 128 ? word + 128 : word;
}
static inline u32 prandom_u32_state(struct rnd_state *z) {
  z->s1 = ((z->s1 & ~1u) << 18) ^ (((z->s1 << 6) ^ z->s1) >> 13);
  z->s2 = ((z->s2 & ~7u) << 2) ^ (((z->s2 << 2) ^ z->s2) >> 27);
  z->s3 = ((z->s3 & ~15u) << 7) ^ (((z->s3 << 13) ^ z->s3) >> 21);
  z->s4 = ((z->s4 & ~127u) << 13) ^ (((z->s4 << 3) ^ z->s4) >> 12);
  return z->s1 ^ z->s2 ^ z->s3 ^ z->s4;
}

/* Shorthands: every one is an instruction's five fields. */
#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define BPF_REG_FP BPF_REG_10
#define BPF_TAIL_CALL 0xf0
#define BPF_RAW_INSN INSN
#define BPF_ALU64_REG(op, d, s) INSN(BPF_ALU64 | BPF_OP(op) | BPF_X, d, s, 0, 0)
#define BPF_ALU32_REG(op, d, s) INSN(BPF_ALU | BPF_OP(op) | BPF_X, d, s, 0, 0)
#define BPF_ALU64_IMM(op, d, i) INSN(BPF_ALU64 | BPF_OP(op) | BPF_K, d, 0, 0, i)
#define BPF_ALU32_IMM(op, d, i) INSN(BPF_ALU | BPF_OP(op) | BPF_K, d, 0, 0, i)
#define BPF_MOV64_REG(d, s) BPF_ALU64_REG(BPF_MOV, d, s)
#define BPF_MOV32_REG(d, s) BPF_ALU32_REG(BPF_MOV, d, s)
#define BPF_MOV64_IMM(d, i) BPF_ALU64_IMM(BPF_MOV, d, i)
#define BPF_MOV32_IMM(d, i) BPF_ALU32_IMM(BPF_MOV, d, i)
/* Zero-extension of a 32-bit result: to any engine a plain move. */
#define BPF_ZEXT_REG(d) BPF_MOV32_REG(d, d)
#define BPF_ENDIAN(order, d, bits) INSN(BPF_ALU | BPF_END | BPF_SRC(order), d, 0, 0, bits)
#define BPF_LD_IMM64(d, value) \
  INSN(BPF_LD | BPF_DW | BPF_IMM, d, 0, 0, (u32)(value)), INSN(0, 0, 0, 0, ((u64)(value)) >> 32)
#define BPF_LD_ABS(size, i) INSN(BPF_LD | BPF_SIZE(size) | BPF_ABS, 0, 0, 0, i)
#define BPF_LD_IND(size, s, i) INSN(BPF_LD | BPF_SIZE(size) | BPF_IND, 0, s, 0, i)
#define BPF_LDX_MEM(size, d, s, o) INSN(BPF_LDX | BPF_SIZE(size) | BPF_MEM, d, s, o, 0)
#define BPF_STX_MEM(size, d, s, o) INSN(BPF_STX | BPF_SIZE(size) | BPF_MEM, d, s, o, 0)
#define BPF_ST_MEM(size, d, o, i) INSN(BPF_ST | BPF_SIZE(size) | BPF_MEM, d, 0, o, i)
#define BPF_ATOMIC_OP(size, op, d, s, o) INSN(BPF_STX | BPF_SIZE(size) | BPF_ATOMIC, d, s, o, op)
#define BPF_STX_XADD(size, d, s, o) BPF_ATOMIC_OP(size, BPF_ADD, d, s, o)
#define BPF_JMP_REG(op, d, s, o) INSN(BPF_JMP | BPF_OP(op) | BPF_X, d, s, o, 0)
#define BPF_JMP_IMM(op, d, i, o) INSN(BPF_JMP | BPF_OP(op) | BPF_K, d, 0, o, i)
#define BPF_JMP32_REG(op, d, s, o) INSN(BPF_JMP32 | BPF_OP(op) | BPF_X, d, s, o, 0)
#define BPF_JMP32_IMM(op, d, i, o) INSN(BPF_JMP32 | BPF_OP(op) | BPF_K, d, 0, o, i)
#define BPF_JMP_A(o) INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define BPF_CALL_REL(target) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, target)
#define BPF_EXIT_INSN() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define __BPF_STMT(code, k) ((struct sock_filter)BPF_STMT(code, k))
#define __BPF_JUMP(code, k, jt, jf) ((struct sock_filter)BPF_JUMP(code, k, jt, jf))
#define BPF_CALL_1(name, type, arg) static __attribute__((unused)) u64 name(type arg)
