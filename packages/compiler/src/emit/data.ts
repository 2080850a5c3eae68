/** Global data: where each object lies in its section, and the maps that hold them. Only what is used is there. */
import { BPF_F_RDONLY_PROG, type MapSpec, MapType, type VariableSpec } from "@ebplane/core/object";
import { BSS, type DataObject, RODATA, type Section } from "../ir/index.ts";

interface Laid {
  size: number;
  readonly offsets: Map<DataObject, number>;
}

export class DataSections {
  private readonly sections = new Map<Section, Laid>();

  /** Bytes from the start of the object's section; given when it is first asked for. */
  place(object: DataObject): number {
    let s = this.sections.get(object.section);
    if (!s) this.sections.set(object.section, (s = { size: 0, offsets: new Map() }));
    let offset = s.offsets.get(object);
    if (offset === undefined) {
      offset = Math.ceil(s.size / object.align) * object.align;
      s.offsets.set(object, offset);
      s.size = offset + object.bytes.length;
    }
    return offset;
  }

  maps(): MapSpec[] {
    return [...this.sections].map(([name, { size, offsets }]) => {
      const value = new Uint8Array(size);
      for (const [object, offset] of offsets) value.set(object.bytes, offset);
      const constant = name === RODATA;
      return {
        name,
        type: MapType.BPF_MAP_TYPE_ARRAY,
        keySize: 4,
        valueSize: size,
        maxEntries: 1,
        flags: constant ? BPF_F_RDONLY_PROG : 0,
        ...(constant ? { frozen: true } : {}),
        ...(name === BSS ? {} : { contents: [{ key: new Uint8Array(4), value }] }),
      };
    });
  }

  /** By name; of objects of one name the first. */
  variables(typeId: (object: DataObject) => number): Map<string, VariableSpec> {
    const out = new Map<string, VariableSpec>();
    for (const [map, { offsets }] of this.sections) {
      for (const [object, offset] of offsets) {
        const { name, bytes, section } = object;
        const linkage = section === RODATA ? "static" : "global";
        if (!out.has(name)) out.set(name, { name, map, offset, size: bytes.length, typeId: typeId(object), linkage });
      }
    }
    return out;
  }
}
