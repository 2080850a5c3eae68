/** Which maps stand for sections of global data. */
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
