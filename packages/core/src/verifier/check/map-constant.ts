/** Constants from frozen read-only maps (`.rodata`): their loads are known numbers, so that dead branches are seen. */
import { BPF_F_RDONLY_PROG, MapType } from "../../object/index.ts";
import type { MapRef } from "../context.ts";
import type { Reg } from "../domain/reg.ts";

/** The `size` bytes at `base + off` as an unsigned number; undefined unless the map can never change. */
export function constantInMap(map: MapRef, base: Reg, off: number, size: number): bigint | undefined {
  const { spec } = map;
  const constant = spec.frozen && spec.flags & BPF_F_RDONLY_PROG && spec.type === MapType.BPF_MAP_TYPE_ARRAY;
  if (!constant || spec.maxEntries !== 1 || !base.val.isConst) return undefined;
  const value = spec.contents?.[0]?.value;
  const at = base.off + off + Number(base.val.tnum.value);
  if (value !== undefined && !(value instanceof Uint8Array)) return undefined;
  let number = 0n;
  for (let i = size - 1; i >= 0; i--) number = (number << 8n) | BigInt(value?.[at + i] ?? 0);
  return number;
}
