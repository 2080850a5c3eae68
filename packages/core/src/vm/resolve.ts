/** From a ProgramSpec to what an engine takes: names become addresses and functions, or the load is refused. */
import type { Btf } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { UnsupportedError } from "../errors/index.ts";
import {
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_MOV,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_X,
  OP_CALL,
  OP_LDDW,
  SLOT,
} from "../isa/index.ts";
import { exceptionCallback, helperById, kfuncByName, type ProgramSpec, relocate } from "../object/index.ts";
import { checkCode } from "./code.ts";
import type { BoundKfunc, ProgramMap, Resolved } from "./engine.ts";
import type { HelperImpl, LoopHelper, Self } from "./env.ts";
import { helperImpl, kfuncImpl, loopHelper } from "./helpers/index.ts";

const OP_MOV64_X = BPF_ALU64 | BPF_MOV | BPF_X;
const OP_MOV32_X = BPF_ALU | BPF_MOV | BPF_X;

/** tail_call: engines replace the running program themselves. */
export const TAIL_CALL = 12;

/**
 * @throws InsnError for malformed code, UnsupportedError for a helper, kfunc or lddw kind that is not there,
 * RangeError for a map name that `maps` lacks.
 */
export function resolve(spec: ProgramSpec, maps: ReadonlyMap<string, ProgramMap>, btf?: Btf): Resolved {
  const self: Self = { runner: undefined, progType: spec.type, btf };
  const lddwMaps = new Map<number, { map: ProgramMap; offset: number | undefined }>();
  const kfuncs = new Map<number, BoundKfunc>();
  const relocated = new Set<number>();
  const bytes = relocate(spec, (reloc) => {
    relocated.add(reloc.pc);
    if (reloc.kind === "map" || reloc.kind === "mapValue") {
      const map = maps.get(reloc.name);
      if (!map) throw new RangeError(`program ${spec.name}, slot ${reloc.pc}: no map named ${reloc.name}`);
      if (reloc.kind === "map") {
        lddwMaps.set(reloc.pc, { map, offset: undefined });
        return BigInt(map.addr);
      }
      lddwMaps.set(reloc.pc, { map, offset: reloc.offset });
      return BigInt(map.valueAddr(reloc.offset));
    }
    if (reloc.kind === "kfunc") {
      const bound = kfuncImpl(reloc.name, self);
      if (bound) {
        kfuncs.set(reloc.pc, bound);
        return BigInt(kfuncs.size - 1);
      }
      throw new UnsupportedError(
        `kfunc ${reloc.name}`,
        `program ${spec.name}, slot ${reloc.pc}: ${kfuncByName(reloc.name) ? `kfunc ${reloc.name} is not available in userspace` : `no kfunc named ${reloc.name}`}`,
      );
    }
    if (reloc.weak) return 0n;
    throw new UnsupportedError(
      `ksym ${reloc.name}`,
      `program ${spec.name}, slot ${reloc.pc}: there are no kernel variables, so no ${reloc.name}`,
    );
  });
  castsToMoves(bytes);
  const { insns } = checkCode(bytes);
  const helpers = new Map<number, HelperImpl>();
  const loops = new Map<number, LoopHelper>();
  for (const insn of insns) {
    if (insn.opcode === OP_LDDW && insn.src && insn.src !== BPF_PSEUDO_FUNC && !relocated.has(insn.pc)) {
      throw new UnsupportedError(
        `lddw kind ${insn.src}`,
        `program ${spec.name}, slot ${insn.pc}: lddw of kind ${insn.src} needs a reloc that says which map or variable is meant`,
      );
    }
    if (insn.opcode !== OP_CALL || insn.src === BPF_PSEUDO_CALL) continue;
    if (insn.src === BPF_PSEUDO_KFUNC_CALL) {
      if (!kfuncs.has(insn.pc))
        throw new UnsupportedError(
          "kfunc",
          `program ${spec.name}, slot ${insn.pc}: a kfunc call needs a reloc with its name`,
        );
      continue;
    }
    if (insn.imm === TAIL_CALL) continue;
    const impl = helperImpl(insn.imm, spec.type, self);
    const loop = loopHelper(insn.imm);
    if (impl) helpers.set(insn.imm, impl);
    else if (loop) loops.set(insn.imm, loop);
    else {
      const name = helperById(insn.imm)?.name;
      const helper = name ? `helper bpf_${name}` : `helper ${insn.imm}`;
      throw new UnsupportedError(
        helper,
        `program ${spec.name}, slot ${insn.pc}: ${helper} is not available in userspace`,
      );
    }
  }
  const exception = exceptionCallback(spec, btf);
  if (exception?.problem !== undefined)
    throw new UnsupportedError("exception callback", `program ${spec.name}: ${exception.problem}`);
  return { spec, bytes, insns, maps: lddwMaps, helpers, loops, self, kfuncs, exceptionCallback: exception?.pc };
}

/**
 * An arena's pointers are wasm addresses inside of programs (helpers/arena.ts), so address-space casts cut to 32 bits:
 * engines get the plain 32-bit move. A cast that is malformed is left for `checkCode` to refuse.
 */
function castsToMoves(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  for (let at = 0; at + SLOT <= bytes.length; at += bytes[at] === OP_LDDW ? 2 * SLOT : SLOT) {
    const imm = view.getInt32(at + 4, true);
    if (bytes[at] !== OP_MOV64_X || view.getInt16(at + 2, true) !== BPF_ADDR_SPACE_CAST) continue;
    if (imm !== 1 && imm !== 0x10000) continue;
    bytes[at] = OP_MOV32_X;
    view.setInt16(at + 2, 0, true);
    view.setInt32(at + 4, 0, true);
  }
}
