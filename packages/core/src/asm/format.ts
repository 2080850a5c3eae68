/**
 * One instruction as text, in the kernel verifier's notation or in LLVM's. What no notation has a word for (unused
 * fields that are not zero, unknown opcodes) becomes `.insn …` with every field, so that text keeps all bits.
 * Source: kernel/bpf/disasm.c for the kernel's words; LLVM BPFInstrInfo.td for LLVM's.
 */
import * as isa from "../isa/index.ts";
import { helperName } from "../object/index.ts";

/**
 * `kernel` is what the verifier's log prints, opcode in front (`(b7) r0 = 1`); `llvm` is what llvm-objdump prints.
 * Both assemble back to the same bytes.
 */
export type Notation = "kernel" | "llvm";

/** What an instruction's numbers stand for; each absent or undefined answer prints the number. */
export interface Symbols {
  /** Name in place of an lddw's or a call's reference, without kind: `map[…]` is added. */
  readonly reference?: (insn: isa.Insn) => string | undefined;
  /** Label in place of a distance. */
  readonly label?: (target: number) => string | undefined;
}

const ALU_OPS: Record<number, string> = {
  [isa.BPF_ADD]: "+=",
  [isa.BPF_SUB]: "-=",
  [isa.BPF_MUL]: "*=",
  [isa.BPF_DIV]: "/=",
  [isa.BPF_OR]: "|=",
  [isa.BPF_AND]: "&=",
  [isa.BPF_LSH]: "<<=",
  [isa.BPF_RSH]: ">>=",
  [isa.BPF_MOD]: "%=",
  [isa.BPF_XOR]: "^=",
  [isa.BPF_MOV]: "=",
  [isa.BPF_ARSH]: "s>>=",
};

const JMP_OPS: Record<number, string> = {
  [isa.BPF_JEQ]: "==",
  [isa.BPF_JGT]: ">",
  [isa.BPF_JGE]: ">=",
  [isa.BPF_JSET]: "&",
  [isa.BPF_JNE]: "!=",
  [isa.BPF_JSGT]: "s>",
  [isa.BPF_JSGE]: "s>=",
  [isa.BPF_JLT]: "<",
  [isa.BPF_JLE]: "<=",
  [isa.BPF_JSLT]: "s<",
  [isa.BPF_JSLE]: "s<=",
};

const FETCH_NAMES: Record<number, string> = {
  [isa.BPF_ADD]: "add",
  [isa.BPF_AND]: "and",
  [isa.BPF_OR]: "or",
  [isa.BPF_XOR]: "xor",
};

const SIZE_NAMES: Record<number, string> = {
  [isa.BPF_B]: "8",
  [isa.BPF_H]: "16",
  [isa.BPF_W]: "32",
  [isa.BPF_DW]: "64",
};

/** The instruction in one line, without pc. */
export function formatInsn(insn: isa.Insn, notation: Notation = "kernel", symbols: Symbols = {}): string {
  const text = body(insn, notation, symbols) ?? raw(insn);
  if (notation === "llvm") return text;
  return `(${insn.opcode.toString(16).padStart(2, "0")}) ${text}`;
}

function body(i: isa.Insn, notation: Notation, symbols: Symbols): string | undefined {
  if (i.dst >= isa.MAX_REG || (i.src >= isa.MAX_REG && usesSource(i))) return undefined;
  switch (i.opcode & isa.CLASS_MASK) {
    case isa.BPF_ALU:
    case isa.BPF_ALU64:
      return alu(i);
    case isa.BPF_JMP:
    case isa.BPF_JMP32:
      return branch(i, notation, symbols);
    case isa.BPF_LD:
      return i.opcode === isa.OP_LDDW ? lddw(i, notation, symbols) : packetLoad(i, notation);
    case isa.BPF_LDX:
      return load(i, notation);
    default:
      return store(i, notation);
  }
}

function usesSource(i: isa.Insn): boolean {
  return i.opcode !== isa.OP_LDDW && i.opcode !== isa.OP_CALL;
}

function raw(i: isa.Insn): string {
  const fields = (["dst", "src", "off", "imm", "imm2"] as const).filter((f) => i[f] !== 0).map((f) => `${f}=${i[f]}`);
  return [".insn", `0x${i.opcode.toString(16).padStart(2, "0")}`, ...fields].join(" ");
}

function alu(i: isa.Insn): string | undefined {
  const wide = (i.opcode & isa.CLASS_MASK) === isa.BPF_ALU64;
  const reg = wide ? "r" : "w";
  const fromReg = (i.opcode & isa.BPF_X) !== 0;
  const op = i.opcode & isa.OP_MASK;
  if (op === isa.BPF_END) {
    if (i.src || i.off || ![16, 32, 64].includes(i.imm) || (wide && fromReg)) return undefined;
    return `r${i.dst} = ${wide ? "bswap" : fromReg ? "be" : "le"}${i.imm} r${i.dst}`;
  }
  if (op === isa.BPF_NEG) return fromReg || i.src || i.off || i.imm ? undefined : `${reg}${i.dst} = -${reg}${i.dst}`;
  let word = ALU_OPS[op];
  if (word === undefined) return undefined;
  if (i.off) {
    if (op === isa.BPF_MOV && fromReg) return extendingMove(i, wide);
    if (i.off !== 1 || (op !== isa.BPF_DIV && op !== isa.BPF_MOD)) return undefined;
    word = `s${word}`;
  }
  if (fromReg) return i.imm ? undefined : `${reg}${i.dst} ${word} ${reg}${i.src}`;
  return i.src ? undefined : `${reg}${i.dst} ${word} ${i.imm}`;
}

function extendingMove(i: isa.Insn, wide: boolean): string | undefined {
  if (wide && i.off === isa.BPF_ADDR_SPACE_CAST) {
    return `r${i.dst} = addr_space_cast(r${i.src}, ${i.imm >>> 16}, ${i.imm & 0xffff})`;
  }
  if (i.imm || (i.off !== 8 && i.off !== 16 && (i.off !== 32 || !wide))) return undefined;
  const reg = wide ? "r" : "w";
  return `${reg}${i.dst} = (s${i.off})${reg}${i.src}`;
}

function branch(i: isa.Insn, notation: Notation, symbols: Symbols): string | undefined {
  const narrow = (i.opcode & isa.CLASS_MASK) === isa.BPF_JMP32;
  switch (i.opcode) {
    case isa.OP_CALL:
      return call(i, notation, symbols);
    case isa.OP_CALLX:
      return i.src || i.off || i.imm ? undefined : `callx r${i.dst}`;
    case isa.OP_EXIT:
      return i.dst || i.src || i.off || i.imm ? undefined : "exit";
    case isa.OP_JA:
      return i.dst || i.src || i.imm ? undefined : `goto ${target(i, i.off, notation, symbols)}`;
    case isa.OP_GOTOL:
      return i.dst || i.src || i.off ? undefined : `gotol ${target(i, i.imm, notation, symbols)}`;
    case isa.OP_MAY_GOTO:
      return i.dst || i.src || i.imm ? undefined : `may_goto ${target(i, i.off, notation, symbols)}`;
  }
  const word = JMP_OPS[i.opcode & isa.OP_MASK];
  if (word === undefined) return undefined;
  const reg = narrow ? "w" : "r";
  let operand: string;
  if (i.opcode & isa.BPF_X) {
    if (i.imm) return undefined;
    operand = `${reg}${i.src}`;
  } else {
    if (i.src) return undefined;
    operand = notation === "kernel" ? `0x${(i.imm >>> 0).toString(16)}` : `${i.imm}`;
  }
  return `if ${reg}${i.dst} ${word} ${operand} goto ${target(i, i.off, notation, symbols)}`;
}

function target(i: isa.Insn, distance: number, notation: Notation, symbols: Symbols): string {
  return symbols.label?.(i.pc + 1 + distance) ?? `${notation === "kernel" ? "pc" : ""}${signed(distance)}`;
}

function call(i: isa.Insn, notation: Notation, symbols: Symbols): string | undefined {
  if (i.dst) return undefined;
  if (i.src === isa.BPF_PSEUDO_CALL) {
    return i.off ? undefined : `call ${symbols.label?.(i.pc + 1 + i.imm) ?? `pc${signed(i.imm)}`}`;
  }
  if (i.src === isa.BPF_PSEUDO_KFUNC_CALL) {
    const name = i.imm || i.off ? undefined : symbols.reference?.(i);
    return `call kfunc[${name ?? `id:${i.imm}${i.off ? `:${i.off}` : ""}`}]`;
  }
  if (i.src || i.off) return undefined;
  const name = notation === "kernel" ? helperName(i.imm) : undefined;
  return name ? `call ${name}#${i.imm}` : `call ${i.imm}`;
}

function lddw(i: isa.Insn, notation: Notation, symbols: Symbols): string | undefined {
  if (i.off) return undefined;
  const name = symbols.reference?.(i);
  const set = (value: string) => `r${i.dst} = ${value}`;
  switch (i.src) {
    case 0: {
      const value = isa.lddwValue(i);
      return set(notation === "kernel" ? `0x${value.toString(16)}` : `${BigInt.asIntN(64, value)} ll`);
    }
    case isa.BPF_PSEUDO_MAP_FD:
    case isa.BPF_PSEUDO_MAP_IDX:
      if (i.imm2) return undefined;
      return set(`map[${name ?? `${i.src === isa.BPF_PSEUDO_MAP_FD ? "fd" : "idx"}:${i.imm}`}]`);
    case isa.BPF_PSEUDO_MAP_VALUE:
      return set(name ? `map[${name}` : `map[fd:${i.imm}][0]${signed(i.imm2)}`);
    case isa.BPF_PSEUDO_MAP_IDX_VALUE:
      return set(`map[idx:${i.imm}][0]${signed(i.imm2)}`);
    case isa.BPF_PSEUDO_BTF_ID:
      return set(name ? `ksym[${name}]` : `btf_id[${i.imm}:${i.imm2}]`);
    case isa.BPF_PSEUDO_FUNC:
      if (i.imm2) return undefined;
      return set(`subprog[${symbols.label?.(i.pc + 1 + i.imm) ?? signed(i.imm)}]`);
  }
  return undefined;
}

function packetLoad(i: isa.Insn, notation: Notation): string | undefined {
  const size = i.opcode & isa.SIZE_MASK;
  if (i.dst || i.off || size === isa.BPF_DW) return undefined;
  const type = `u${SIZE_NAMES[size]}`;
  switch (i.opcode & isa.MODE_MASK) {
    case isa.BPF_ABS:
      return i.src ? undefined : `r0 = *(${type} *)skb[${i.imm}]`;
    case isa.BPF_IND:
      if (notation === "kernel") return `r0 = *(${type} *)skb[r${i.src} + ${i.imm}]`;
      return `r0 = *(${type} *)skb[r${i.src}${i.imm ? ` ${signedSpaced(i.imm)}` : ""}]`;
  }
  return undefined;
}

function load(i: isa.Insn, notation: Notation): string | undefined {
  const mode = i.opcode & isa.MODE_MASK;
  const size = i.opcode & isa.SIZE_MASK;
  if (i.imm || (mode !== isa.BPF_MEM && (mode !== isa.BPF_MEMSX || size === isa.BPF_DW))) return undefined;
  const type = `${mode === isa.BPF_MEM ? "u" : "s"}${SIZE_NAMES[size]}`;
  return `r${i.dst} = *(${type} *)${address(i.src, i.off, notation)}`;
}

function store(i: isa.Insn, notation: Notation): string | undefined {
  const mode = i.opcode & isa.MODE_MASK;
  const type = `u${SIZE_NAMES[i.opcode & isa.SIZE_MASK]}`;
  const to = address(i.dst, i.off, notation);
  const immediate = (i.opcode & isa.CLASS_MASK) === isa.BPF_ST;
  if (mode === isa.BPF_MEM) {
    if (immediate) return i.src ? undefined : `*(${type} *)${to} = ${i.imm}`;
    return i.imm ? undefined : `*(${type} *)${to} = r${i.src}`;
  }
  return mode === isa.BPF_ATOMIC && !immediate ? atomic(i, notation, type) : undefined;
}

function atomic(i: isa.Insn, notation: Notation, type: string): string | undefined {
  if (i.imm === isa.BPF_LOAD_ACQ) return `r${i.dst} = load_acquire((${type} *)${address(i.src, i.off, notation)})`;
  const to = address(i.dst, i.off, notation);
  if (i.imm === isa.BPF_STORE_REL) return `store_release((${type} *)${to}, r${i.src})`;
  const wide = type === "u64";
  if (!wide && type !== "u32") return undefined;
  const plain = FETCH_NAMES[i.imm & ~isa.BPF_FETCH];
  if (plain !== undefined && !(i.imm & isa.BPF_FETCH)) return `lock *(${type} *)${to} ${ALU_OPS[i.imm]} r${i.src}`;
  const kernel = notation === "kernel";
  const reg = wide || kernel ? "r" : "w";
  const src = `${reg}${i.src}`;
  if (plain !== undefined) {
    return `${src} = atomic${kernel && wide ? "64" : ""}_fetch_${plain}((${type} *)${to}, ${src})`;
  }
  const llvmSuffix = wide ? "_64" : "32_32";
  const llvmAddress = `r${i.dst} ${signedSpaced(i.off)}`;
  if (i.imm === isa.BPF_XCHG) {
    if (!kernel) return `${src} = xchg${llvmSuffix}(${llvmAddress}, ${src})`;
    return `${src} = atomic${wide ? "64" : ""}_xchg((${type} *)${to}, ${src})`;
  }
  if (i.imm === isa.BPF_CMPXCHG) {
    if (!kernel) return `${reg}0 = cmpxchg${llvmSuffix}(${llvmAddress}, ${reg}0, ${src})`;
    return `r0 = atomic${wide ? "64" : ""}_cmpxchg((${type} *)${to}, r0, ${src})`;
  }
  return undefined;
}

function address(reg: number, off: number, notation: Notation): string {
  return `(r${reg} ${notation === "kernel" ? signed(off) : signedSpaced(off)})`;
}

function signed(n: number): string {
  return n < 0 ? String(n) : `+${n}`;
}

function signedSpaced(n: number): string {
  return n < 0 ? `- ${-n}` : `+ ${n}`;
}
