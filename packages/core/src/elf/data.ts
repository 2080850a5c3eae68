/** Which maps stand for sections of global data: array maps of their own, and the arena for `__arena` variables. */
import { type MapSpec, MapType } from "../object/index.ts";

const DATA_NAME = /^\.(?:rodata|data|bss)(?:\.|$)/;

/** True for a section's name that libbpf makes an array map of: `.rodata`, `.data.x`, `.bss` … */
export function isDataSectionName(name: string): boolean {
  return DATA_NAME.test(name);
}

/** True for the array map of one value that holds such a section. */
export function isDataSection(map: MapSpec): boolean {
  return isDataSectionName(map.name) && map.type === MapType.BPF_MAP_TYPE_ARRAY && map.maxEntries === 1;
}

/** The section of variables that lie in the object's arena (clang's `__attribute__((address_space(1)))`). */
export const ARENA_SECTION = ".addr_space.1";

/** True for an arena that begins with the bytes of `.addr_space.1`. */
export function holdsArenaData(map: MapSpec): boolean {
  return map.type === MapType.BPF_MAP_TYPE_ARENA && map.contents?.[0]?.value instanceof Uint8Array;
}
