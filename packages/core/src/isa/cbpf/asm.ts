/**
 * The assembler of classic BPF in the paper's notation, as the kernel's bpf_asm reads it: `ldh [12]`,
 * `jeq #0x800, ip, drop`, `ld [x + 4]`, `ldx 4*([14]&0xf)`, `ret #-1`. Labels stand before an insn or on their own line.
 * Source: Documentation/networking/filter.rst 6.18, "bpf_asm".
 */
import { AsmError } from "../../errors/index.ts";
import { type ClassicInsn, SKF_AD_OFF, SkfAd } from "./insn.ts";

const EXTENSIONS: Readonly<Record<string, number>> = {
  len: -1,
  proto: SkfAd.PROTOCOL,
  type: SkfAd.PKTTYPE,
  ifidx: SkfAd.IFINDEX,
  nla: SkfAd.NLATTR,
  nlan: SkfAd.NLATTR_NEST,
  mark: SkfAd.MARK,
  queue: SkfAd.QUEUE,
  hatype: SkfAd.HATYPE,
  rxhash: SkfAd.RXHASH,
  cpu: SkfAd.CPU,
  vlan_tci: SkfAd.VLAN_TAG,
  vlan_avail: SkfAd.VLAN_TAG_PRESENT,
  vlan_tpid: SkfAd.VLAN_TPID,
  poff: SkfAd.PAY_OFFSET,
  rand: SkfAd.RANDOM,
};

const ALU: Readonly<Record<string, number>> = {
  add: 0x04,
  sub: 0x14,
  mul: 0x24,
  div: 0x34,
  mod: 0x94,
  or: 0x44,
  and: 0x54,
  xor: 0xa4,
  lsh: 0x64,
  rsh: 0x74,
};
/** Code, and whether true and false change places. */
const JUMPS: Readonly<Record<string, readonly [code: number, inverted: boolean]>> = {
  jeq: [0x15, false],
  jneq: [0x15, true],
  jne: [0x15, true],
  jgt: [0x25, false],
  jle: [0x25, true],
  jge: [0x35, false],
  jlt: [0x35, true],
  jset: [0x45, false],
};
const LOADS: Readonly<Record<string, number>> = { ld: 0x20, ldh: 0x28, ldb: 0x30 };

interface Pending extends ClassicInsn {
  readonly labels?: readonly [yes: string | undefined, no: string | undefined];
  readonly line: number;
}

/** @throws AsmError with line and column for the first mistake. */
export function assembleClassic(text: string): ClassicInsn[] {
  const labels = new Map<string, number>();
  const insns: Pending[] = [];
  text
    .replace(/\/\*[\s\S]*?\*\//g, (c) => c.replace(/[^\n]/g, " "))
    .split("\n")
    .forEach((raw, i) => {
      let line = raw.replace(/;.*/, "");
      for (let m = /^\s*([A-Za-z_]\w*):/.exec(line); m; m = /^\s*([A-Za-z_]\w*):/.exec(line)) {
        if (labels.has(m[1]!)) throw new AsmError(`label ${m[1]} is there already`, i + 1, raw.indexOf(m[1]!) + 1);
        labels.set(m[1]!, insns.length);
        line = " ".repeat(m[0].length) + line.slice(m[0].length);
      }
      if (line.trim()) insns.push(statement(line, i + 1));
    });
  return insns.map((insn, pc) => {
    if (!insn.labels) return { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k };
    const distance = (label: string | undefined): number => {
      if (label === undefined) return 0;
      const target = labels.get(label);
      if (target === undefined) throw new AsmError(`no label ${label}`, insn.line, 1);
      const d = target - pc - 1;
      if (d < 0 || (insn.code !== 0x05 && d > 255)) {
        throw new AsmError(`label ${label} is ${d} insns away, expected 0 to 255`, insn.line, 1);
      }
      return d;
    };
    const [yes, no] = insn.labels;
    if (insn.code === 0x05) return { code: insn.code, jt: 0, jf: 0, k: distance(yes) };
    return { code: insn.code, jt: distance(yes), jf: distance(no), k: insn.k };
  });
}

function statement(source: string, line: number): Pending {
  const m = /^\s*(\w+)\s*(.*?)\s*$/.exec(source)!;
  const [, name, rest] = m as unknown as [string, string, string];
  const col = source.indexOf(name) + 1;
  const fail = (expected: string): never => {
    throw new AsmError(`${name}: expected ${expected}, got ${JSON.stringify(rest)}`, line, col + name.length + 1);
  };
  const insn = (code: number, k = 0): Pending => ({ code, jt: 0, jf: 0, k: k >>> 0, line });
  const load = LOADS[name];
  if (load !== undefined) {
    const extension = /^#?([a-z_]+)$/.exec(rest);
    if (extension && EXTENSIONS[extension[1]!] !== undefined) {
      const number = EXTENSIONS[extension[1]!]!;
      return number < 0 ? insn(0x80) : insn(load, SKF_AD_OFF + number);
    }
    const at = /^\[\s*(?:(x|%x)\s*\+\s*)?([+-]?\w+)\s*\]$/.exec(rest);
    if (at) return insn(at[1] ? load + 0x20 : load, number(at[2]!, fail));
    const memory = /^M\[(\w+)\]$/.exec(rest);
    if (name === "ld" && memory) return insn(0x60, number(memory[1]!, fail));
    if (name === "ld" && rest.startsWith("#")) return insn(0x00, number(rest.slice(1), fail));
    return fail("[k], [x + k], M[k], #k or an extension");
  }
  if (name === "ldi") return insn(0x00, number(rest.replace(/^#/, ""), fail));
  if (name === "ldxi") return insn(0x01, number(rest.replace(/^#/, ""), fail));
  if (name === "ldx" || name === "ldxb") {
    const header = /^4\s*\*\s*\(\s*\[(\w+)\]\s*&\s*0xf\s*\)$/.exec(rest);
    if (header) return insn(0xb1, number(header[1]!, fail));
    const memory = /^M\[(\w+)\]$/.exec(rest);
    if (memory) return insn(0x61, number(memory[1]!, fail));
    if (rest === "len" || rest === "#len") return insn(0x81);
    if (rest.startsWith("#")) return insn(0x01, number(rest.slice(1), fail));
    return fail("M[k], #k, len or 4*([k]&0xf)");
  }
  if (name === "st" || name === "stx") {
    const memory = /^M\[(\w+)\]$/.exec(rest);
    return memory ? insn(name === "st" ? 0x02 : 0x03, number(memory[1]!, fail)) : fail("M[k]");
  }
  const alu = ALU[name];
  if (alu !== undefined) {
    if (/^%?x$/.test(rest)) return insn(alu | 8);
    return rest.startsWith("#") ? insn(alu, number(rest.slice(1), fail)) : fail("#k or x");
  }
  if (name === "neg") return insn(0x84);
  if (name === "tax") return insn(0x07);
  if (name === "txa") return insn(0x87);
  if (name === "ret") {
    if (/^%?a$/.test(rest)) return insn(0x16);
    return rest.startsWith("#") ? insn(0x06, number(rest.slice(1), fail)) : fail("#k or a");
  }
  if (name === "jmp" || name === "ja") return { ...insn(0x05), labels: [rest, undefined] };
  const jump = JUMPS[name];
  if (jump) {
    const [code, inverted] = jump;
    const parts = rest.split(/\s*,\s*/);
    const [operand, first, second] = parts as [string, string?, string?];
    if (!first || parts.length > 3 || (inverted && second))
      fail("#k or x, a label, and for what is not inverted another");
    const isX = /^%?x$/.test(operand);
    if (!isX && !operand.startsWith("#")) fail("#k or x");
    const base = isX ? insn(code | 8) : insn(code, number(operand.slice(1), fail));
    return { ...base, labels: inverted ? [undefined, first] : [first, second] };
  }
  throw new AsmError(`no instruction ${name}`, line, col);
}

function number(text: string, fail: (expected: string) => never): number {
  const negative = text.startsWith("-");
  const digits = text.replace(/^[+-]/, "");
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (!Number.isInteger(value) || value > 0xffffffff) fail("a number of 32 bits");
  return negative ? -value : value;
}
