/** Small programs for kernel tests, from assembly text. */
import { assemble } from "@ebplane/core/asm";
import { type CollectionSpec, type MapSpec, MapType, type ProgramSpec } from "@ebplane/core/object";

/** A program of the kernel's assembly notation; maps are written `map[name]` and `map[name][0]+0`. */
export function asmProgram(name: string, type: number, text: string, more: Partial<ProgramSpec> = {}): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(text, { file: `${name}.s` });
  return { name, section: "test", type, attachType: 0, flags: 0, code, relocs, funcInfo: [], lineInfo, ...more };
}

export function collectionOf(programs: readonly ProgramSpec[], maps: readonly MapSpec[] = []): CollectionSpec {
  return {
    programs: new Map(programs.map((p) => [p.name, p])),
    maps: new Map(maps.map((m) => [m.name, m])),
    license: "GPL",
    byteOrder: "little",
  };
}

/** An array of `maxEntries` u64. */
export function arrayMap(name: string, maxEntries = 1, more: Partial<MapSpec> = {}): MapSpec {
  return { name, type: MapType.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8, maxEntries, flags: 0, ...more };
}

/** Adds 1 to the first u64 of the array `hits`, then returns `verdict`. */
export function countingProgram(name: string, type: number, verdict: number, more?: Partial<ProgramSpec>): ProgramSpec {
  const text = `
    r1 = map[hits][0]+0
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    r0 = ${verdict}
    exit`;
  return asmProgram(name, type, text, more);
}
