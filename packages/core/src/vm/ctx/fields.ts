/** Fields of a ctx or a mirrored socket by their UAPI names, in memory laid out as object/ctx.ts says. */
import type { Memory } from "../../mem/index.ts";
import type { CtxField, CtxLayout } from "../../object/index.ts";

/** A number up to 4 bytes, a bigint of 8, words of anything longer (addresses, `cb`). */
export type FieldValue = number | bigint | readonly number[];

/** @throws RangeError for a name that the struct does not have. */
export function writeFields(
  memory: Memory,
  at: number,
  layout: CtxLayout,
  values: Readonly<Record<string, FieldValue>>,
): void {
  for (const [name, value] of Object.entries(values)) {
    const field = layout.fields.find((f) => f.name === name);
    if (!field) throw new RangeError(`${layout.struct}: no field named ${name}`);
    writeField(memory, at + field.offset, field, value);
  }
}

function writeField({ view }: Memory, at: number, { name, size }: CtxField, value: FieldValue): void {
  if (typeof value === "object") {
    if (value.length * 4 > size)
      throw new RangeError(`${name}: expected at most ${size / 4} words, got ${value.length}`);
    value.forEach((word, i) => void view.setInt32(at + 4 * i, word, true));
  } else if (size === 8) view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
  else if (size === 1) view.setUint8(at, Number(value));
  else if (size === 2) view.setUint16(at, Number(value), true);
  else view.setInt32(at, Number(BigInt.asIntN(32, BigInt(value))), true);
}

/** Every field that is a value and no pointer, also those that the program's type hides nothing of. */
export function readFields(memory: Memory, at: number, layout: CtxLayout): Record<string, FieldValue> {
  const { view } = memory;
  const out: Record<string, FieldValue> = {};
  for (const { name, offset, size, value } of layout.fields) {
    if (value !== "scalar" || name in out) continue;
    const place = at + offset;
    if (size === 8) out[name] = view.getBigUint64(place, true);
    else if (size === 1) out[name] = view.getUint8(place);
    else if (size === 2) out[name] = view.getUint16(place, true);
    else if (size === 4) out[name] = view.getUint32(place, true);
    else out[name] = Array.from({ length: size / 4 }, (_, i) => view.getUint32(place + 4 * i, true));
  }
  return out;
}
