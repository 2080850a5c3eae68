/** Small changes to encoded BTF that keep every id, string and byte that they do not mean. */
import { viewOf } from "../bytes/index.ts";
import { parseBtf } from "./parse.ts";
import type { Btf, BtfFunc } from "./types.ts";

export interface BtfPatch {
  readonly id: number;
  /** Of a DATASEC. */
  readonly size?: number;
  /** Of a DATASEC: byte offset of the variable at an index. */
  readonly offsets?: ReadonlyMap<number, number>;
  /** Of a FUNC. */
  readonly linkage?: BtfFunc["linkage"];
}

const LINKAGE = { static: 0, global: 1, extern: 2 } as const;

/** A copy of `btf` with the patches. Ids must be its own, not the base's. */
export function patchBtf(btf: Btf, patches: readonly BtfPatch[]): Btf {
  if (!patches.length) return btf;
  const bytes = btf.bytes.slice();
  const view = viewOf(bytes);
  const little = btf.byteOrder === "little";
  for (const { id, size, offsets, linkage } of patches) {
    const at = btf.typeOffset(id);
    if (size !== undefined) view.setUint32(at + 8, size, little);
    for (const [i, offset] of offsets ?? []) view.setUint32(at + 12 + i * 12 + 4, offset, little);
    if (linkage !== undefined) {
      const info = view.getUint32(at + 4, little);
      view.setUint32(at + 4, ((info & 0xffff0000) | LINKAGE[linkage]) >>> 0, little);
    }
  }
  return parseBtf(bytes, btf.base);
}
