/**
 * CO-RE on a collection: every instruction that waits for the target's types gets its number. What the target does
 * not have becomes a call of an impossible helper, as libbpf does, so that only a program that would run it fails;
 * `poisoned` then says what was missing.
 * Source: tools/lib/bpf/relo_core.c `bpf_core_patch_insn`.
 */
import { type Btf, CORE_RELO, describeCoreRelo, essentialName, hasCandidates, resolveCoreRelo } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { BtfError } from "../errors/index.ts";
import * as isa from "../isa/index.ts";
import type { CollectionSpec, CoreReloc, ProgramSpec } from "../object/index.ts";

/** The helper number that libbpf poisons with: 0xbad2310 reads "bad relo". */
export const POISON_IMM = 195896080;

const SIZE_CODES: Record<number, number> = { 1: isa.BPF_B, 2: isa.BPF_H, 4: isa.BPF_W, 8: isa.BPF_DW };
const SIZES: Record<number, number> = { [isa.BPF_B]: 1, [isa.BPF_H]: 2, [isa.BPF_W]: 4, [isa.BPF_DW]: 8 };

/**
 * The collection with its CO-RE relocations done against `target` (the kernel's BTF, or one from a file).
 * @param only Programs to relocate, all when absent: what is not loaded need not fit the target.
 * @param more Types to be asked for a name that the target has none of: those of the kernel's modules.
 * @throws BtfError when types are ambiguous or an instruction is not what the relocation says.
 */
export function relocateCore(
  spec: CollectionSpec,
  target: Btf,
  only?: readonly string[],
  more: (name: string) => readonly Btf[] = () => [],
): CollectionSpec {
  const { btf } = spec;
  if (!btf) return spec;
  const programs = new Map<string, ProgramSpec>();
  const found = new Map<number, Btf>();
  const targetOf = (relo: CoreReloc): Btf => {
    const known = found.get(relo.typeId);
    if (known) return known;
    let has = target;
    const name = relo.kind === CORE_RELO.typeIdLocal ? "" : btf.type(relo.typeId).name;
    if (name && !hasCandidates(btf, target, relo.typeId)) {
      has = more(essentialName(name)).find((types) => hasCandidates(btf, types, relo.typeId)) ?? target;
    }
    found.set(relo.typeId, has);
    return has;
  };
  for (const [name, program] of spec.programs) {
    programs.set(name, only?.includes(name) === false ? program : relocateProgram(program, btf, targetOf));
  }
  return { ...spec, programs };
}

function relocateProgram(program: ProgramSpec, btf: Btf, targetOf: (relo: CoreReloc) => Btf): ProgramSpec {
  if (!program.coreRelos?.length) return program;
  const code = program.code.slice();
  const view = viewOf(code);
  const poisoned = new Map(program.poisoned);
  for (const relo of program.coreRelos) {
    const { pc } = relo;
    const fail = (why: string): never => {
      throw new BtfError(`program ${program.name} slot ${pc}: ${describeCoreRelo(btf, relo)}: ${why}`);
    };
    if ((pc + 1) * isa.SLOT > code.length) fail("is outside the program");
    const { expected, value, poison, sizes } = resolveCoreRelo(btf, targetOf(relo), relo);
    if (poison !== undefined) {
      poisonInsn(view, pc);
      poisoned.set(pc, poison);
      continue;
    }
    const at = pc * isa.SLOT;
    const opcode = code[at]!;
    switch (opcode & isa.CLASS_MASK) {
      case isa.BPF_ALU:
      case isa.BPF_ALU64:
        if (opcode & isa.BPF_X) fail("expected an instruction with a constant");
        checkPresent(BigInt(view.getInt32(at + 4, true)), expected, 32, fail);
        view.setInt32(at + 4, Number(BigInt.asIntN(32, value)), true);
        break;
      case isa.BPF_LDX:
      case isa.BPF_ST:
      case isa.BPF_STX: {
        checkPresent(BigInt(view.getInt16(at + 2, true)), expected, 16, fail);
        if (value > 0x7fffn) fail(`offset ${value} does not fit 16 bits`);
        if (sizes && !sizes.adjustable) {
          poisonInsn(view, pc);
          const why = `the field has ${sizes.target} bytes on the target, ${sizes.local} here, and its sign matters`;
          poisoned.set(pc, `${describeCoreRelo(btf, relo)}: ${why}`);
          break;
        }
        view.setInt16(at + 2, Number(value), true);
        if (sizes) {
          const now = SIZES[opcode & isa.SIZE_MASK]!;
          if (now !== sizes.local) fail(`expected a load or store of ${sizes.local} bytes, got ${now}`);
          const size = SIZE_CODES[sizes.target];
          if (size === undefined) return fail(`the field has ${sizes.target} bytes on the target, which no load has`);
          code[at] = (opcode & ~isa.SIZE_MASK) | size;
        }
        break;
      }
      case isa.BPF_LD:
        if (opcode !== isa.OP_LDDW || at + 2 * isa.SLOT > code.length) fail("expected lddw");
        checkPresent(
          isa.lddwValue({ imm: view.getInt32(at + 4, true), imm2: view.getInt32(at + 12, true) }),
          expected,
          64,
          fail,
        );
        view.setInt32(at + 4, isa.lddwImms(value).imm, true);
        view.setInt32(at + 12, isa.lddwImms(value).imm2, true);
        break;
      default:
        fail(`expected a move, a load or a store, got opcode 0x${opcode.toString(16)}`);
    }
  }
  return { ...program, code, coreRelos: [], ...(poisoned.size ? { poisoned } : {}) };
}

/** The compiler's number must stand there: else the relocation belongs to another instruction. */
function checkPresent(present: bigint, expected: bigint | undefined, bits: number, fail: (why: string) => never): void {
  if (expected === undefined) return;
  if (BigInt.asUintN(bits, present) !== BigInt.asUintN(bits, expected)) {
    fail(`expected the local value ${expected} in the instruction, got ${present}`);
  }
}

function poisonInsn(view: DataView, pc: number): void {
  const slots = view.getUint8(pc * isa.SLOT) === isa.OP_LDDW ? 2 : 1;
  for (let i = 0; i < slots; i++) {
    const at = (pc + i) * isa.SLOT;
    view.setUint32(at, isa.OP_CALL, true);
    view.setInt32(at + 4, POISON_IMM, true);
  }
}
