/**
 * The section `.ebplane.contents`: initial entries of maps for which libbpf's format has no place. A sequence of
 * records: u32 length of the map's name, of the key, of the value, then those bytes; all little-endian, unpadded.
 */
import { concatBytes, viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import type { CollectionSpec, MapEntry } from "../object/index.ts";
import { holdsArenaData, isDataSection } from "./data.ts";

export const CONTENTS_SECTION = ".ebplane.contents";

/** The section's bytes, or undefined when no map needs it. */
export function encodeContents(spec: CollectionSpec): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (const map of spec.maps.values()) {
    if (isDataSection(map) || holdsArenaData(map)) continue;
    for (const { key, value } of map.contents ?? []) {
      if (!(value instanceof Uint8Array)) continue;
      const name = new TextEncoder().encode(map.name);
      const head = new Uint8Array(12);
      const view = viewOf(head);
      view.setUint32(0, name.length, true);
      view.setUint32(4, key.length, true);
      view.setUint32(8, value.length, true);
      parts.push(head, name, key, value);
    }
  }
  return parts.length ? concatBytes(parts) : undefined;
}

/** Entries by map name. @throws ElfError for a record that is cut off. */
export function decodeContents(data: Uint8Array): Map<string, MapEntry[]> {
  const view = viewOf(data);
  const out = new Map<string, MapEntry[]>();
  let at = 0;
  while (at < data.length) {
    const where = { section: CONTENTS_SECTION, offset: at };
    if (at + 12 > data.length) throw new ElfError(`need 12 bytes, have ${data.length - at}`, where);
    const lengths = [0, 4, 8].map((o) => view.getUint32(at + o, true)) as [number, number, number];
    const need = lengths[0] + lengths[1] + lengths[2];
    if (at + 12 + need > data.length) throw new ElfError(`need ${need} bytes, have ${data.length - at - 12}`, where);
    at += 12;
    const [name, key, value] = lengths.map((length) => data.slice(at, (at += length))) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const map = new TextDecoder().decode(name);
    out.set(map, [...(out.get(map) ?? []), { key, value }]);
  }
  return out;
}
