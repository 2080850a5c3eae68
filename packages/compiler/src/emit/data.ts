/** Constant data: where each object lies in `.rodata`, and the map that holds them all. Only what is used is there. */
import { BPF_F_RDONLY_PROG, type MapSpec, MapType, type VariableSpec } from "@ebplane/core/object";
import { type DataObject, RODATA } from "../ir/index.ts";

export class DataSection {
  /** Bytes so far. */
  size = 0;
  private readonly offsets = new Map<DataObject, number>();

  /** Bytes from the start of the section; given when an object is first asked for. */
  place(object: DataObject): number {
    let offset = this.offsets.get(object);
    if (offset === undefined) {
      offset = Math.ceil(this.size / object.align) * object.align;
      this.offsets.set(object, offset);
      this.size = offset + object.bytes.length;
    }
    return offset;
  }

  map(): MapSpec {
    const value = new Uint8Array(this.size);
    for (const [object, offset] of this.offsets) value.set(object.bytes, offset);
    return {
      name: RODATA,
      type: MapType.BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: this.size,
      maxEntries: 1,
      flags: BPF_F_RDONLY_PROG,
      frozen: true,
      contents: [{ key: new Uint8Array(4), value }],
    };
  }

  /** By name; of objects of one name the first. */
  variables(): Map<string, VariableSpec> {
    const out = new Map<string, VariableSpec>();
    for (const [{ name, bytes }, offset] of this.offsets) {
      if (!out.has(name))
        out.set(name, { name, map: RODATA, offset, size: bytes.length, typeId: 0, linkage: "static" });
    }
    return out;
  }
}
