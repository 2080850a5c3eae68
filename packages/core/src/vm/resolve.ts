/** From a ProgramSpec to what an engine takes: names become addresses and functions, or the load is refused. */
import { UnsupportedError } from "../errors/index.ts";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_KFUNC_CALL, OP_CALL, OP_LDDW } from "../isa/index.ts";
import type { VmMap } from "../maps/index.ts";
import { helperById, type ProgramSpec, relocate } from "../object/index.ts";
import { checkCode } from "./code.ts";
import type { Kfunc, Resolved } from "./engine.ts";
import type { HelperImpl, LoopHelper, Self } from "./env.ts";
import { helperImpl, KFUNCS, loopHelper } from "./helpers/index.ts";

/** tail_call: engines replace the running program themselves. */
export const TAIL_CALL = 12;

/**
 * @throws InsnError for malformed code, UnsupportedError for a helper, kfunc or lddw kind that is not there,
 * RangeError for a map name that `maps` lacks.
 */
export function resolve(spec: ProgramSpec, maps: ReadonlyMap<string, VmMap>): Resolved {
  const lddwMaps = new Map<number, { map: VmMap; offset: number | undefined }>();
  const kfuncs = new Map<number, Kfunc>();
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
      const impl = KFUNCS.get(reloc.name);
      if (impl) {
        kfuncs.set(reloc.pc, { name: reloc.name, impl });
        return BigInt(kfuncs.size - 1);
      }
      throw new UnsupportedError(
        `kfunc ${reloc.name}`,
        `program ${spec.name}, slot ${reloc.pc}: no kfunc named ${reloc.name}`,
      );
    }
    if (reloc.weak) return 0n;
    throw new UnsupportedError(
      `ksym ${reloc.name}`,
      `program ${spec.name}, slot ${reloc.pc}: there are no kernel variables, so no ${reloc.name}`,
    );
  });
  const { insns } = checkCode(bytes);
  const helpers = new Map<number, HelperImpl>();
  const self: Self = { runner: undefined };
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
  return { spec, bytes, insns, maps: lddwMaps, helpers, loops, self, kfuncs };
}
