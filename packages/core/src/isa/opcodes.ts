/**
 * The numbers of the eBPF instruction set, with the kernel's spelling.
 * Source: RFC 9669 sections 3 to 5; include/uapi/linux/bpf.h and bpf_common.h for names beyond the RFC.
 */

/** Instruction classes: the low 3 bits of an opcode. */
export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
export const BPF_JMP32 = 0x06;
export const BPF_ALU64 = 0x07;
export const CLASS_MASK = 0x07;

/** Source operand of ALU and JMP classes: bit 3. In the END operation it is the byte order. */
export const BPF_K = 0x00;
export const BPF_X = 0x08;
export const BPF_TO_LE = 0x00;
export const BPF_TO_BE = 0x08;

/** Arithmetic operations: the high 4 bits of an ALU or ALU64 opcode. */
export const BPF_ADD = 0x00;
export const BPF_SUB = 0x10;
export const BPF_MUL = 0x20;
export const BPF_DIV = 0x30;
export const BPF_OR = 0x40;
export const BPF_AND = 0x50;
export const BPF_LSH = 0x60;
export const BPF_RSH = 0x70;
export const BPF_NEG = 0x80;
export const BPF_MOD = 0x90;
export const BPF_XOR = 0xa0;
export const BPF_MOV = 0xb0;
export const BPF_ARSH = 0xc0;
export const BPF_END = 0xd0;
export const OP_MASK = 0xf0;

/** Jump operations: the high 4 bits of a JMP or JMP32 opcode. JCOND (may_goto) is the kernel's, not in the RFC. */
export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JGT = 0x20;
export const BPF_JGE = 0x30;
export const BPF_JSET = 0x40;
export const BPF_JNE = 0x50;
export const BPF_JSGT = 0x60;
export const BPF_JSGE = 0x70;
export const BPF_CALL = 0x80;
export const BPF_EXIT = 0x90;
export const BPF_JLT = 0xa0;
export const BPF_JLE = 0xb0;
export const BPF_JSLT = 0xc0;
export const BPF_JSLE = 0xd0;
export const BPF_JCOND = 0xe0;

/** Access sizes of load and store classes: bits 3 and 4. */
export const BPF_W = 0x00;
export const BPF_H = 0x08;
export const BPF_B = 0x10;
export const BPF_DW = 0x18;
export const SIZE_MASK = 0x18;

/** Modes of load and store classes: the high 3 bits. PROBE modes exist only inside the kernel. */
export const BPF_IMM = 0x00;
export const BPF_ABS = 0x20;
export const BPF_IND = 0x40;
export const BPF_MEM = 0x60;
export const BPF_MEMSX = 0x80;
export const BPF_ATOMIC = 0xc0;
export const MODE_MASK = 0xe0;

/** Atomic operations, in `imm`. The plain operation is the ALU's code; FETCH returns the old value in src. */
export const BPF_FETCH = 0x01;
export const BPF_XCHG = 0xe0 | BPF_FETCH;
export const BPF_CMPXCHG = 0xf0 | BPF_FETCH;
export const BPF_LOAD_ACQ = 0x100;
export const BPF_STORE_REL = 0x110;

/** lddw kinds, in `src` of its first slot. Source: RFC 9669 section 5.4. */
export const BPF_PSEUDO_MAP_FD = 1;
export const BPF_PSEUDO_MAP_VALUE = 2;
export const BPF_PSEUDO_BTF_ID = 3;
export const BPF_PSEUDO_FUNC = 4;
export const BPF_PSEUDO_MAP_IDX = 5;
export const BPF_PSEUDO_MAP_IDX_VALUE = 6;

/** Call kinds, in `src` of a call: 0 is a helper by number. */
export const BPF_PSEUDO_CALL = 1;
export const BPF_PSEUDO_KFUNC_CALL = 2;

/** mov with `off` 1 on ALU64 is an address-space cast of an arena pointer (the kernel's, not in the RFC). */
export const BPF_ADDR_SPACE_CAST = 1;

/** Whole opcodes that much code compares with. */
export const OP_LDDW = BPF_LD | BPF_IMM | BPF_DW; // 0x18
export const OP_CALL = BPF_JMP | BPF_CALL; // 0x85
export const OP_CALLX = BPF_JMP | BPF_CALL | BPF_X; // 0x8d
export const OP_EXIT = BPF_JMP | BPF_EXIT; // 0x95
export const OP_JA = BPF_JMP | BPF_JA; // 0x05
export const OP_GOTOL = BPF_JMP32 | BPF_JA; // 0x06
export const OP_MAY_GOTO = BPF_JMP | BPF_JCOND; // 0xe5

/** Registers: r0 result, r1-r5 arguments, r6-r9 kept over calls, r10 the read-only frame pointer. */
export const BPF_REG_FP = 10;
export const MAX_REG = 11;
export const STACK_SIZE = 512;
export const MAX_CALL_FRAMES = 8;
export const MAX_TAIL_CALLS = 33;
/** Bytes of one instruction slot. */
export const SLOT = 8;
