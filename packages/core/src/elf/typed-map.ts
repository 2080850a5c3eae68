/** Live maps by their BTF types: objects in place of bytes. The interfaces that `generateTypes` writes fit these. */
import { type Btf, type BtfValue, decodeValue, encodeValue, sizeOf } from "../btf/index.ts";
import { type BpfMap, type Collection, isPerCpu } from "../object/index.ts";

export interface TypedMap<K, V> {
  readonly map: BpfMap;
  /** The value, of a per-CPU map one a CPU; undefined on a miss. */
  get(key: K): V | undefined;
  set(key: K, value: V, flags?: number): void;
  delete(key: K): boolean;
  entries(): IterableIterator<[K, V]>;
}

/**
 * The collection's maps with typed access, for `typedMaps<FlowMaps>(collection)`. A map without key or value type takes
 * and gives bytes.
 */
export function typedMaps<M>(collection: Collection): M {
  const out: Record<string, TypedMap<never, never>> = {};
  for (const [name, map] of collection.maps) out[name] = typedMap(map, collection.spec.btf);
  return out as M;
}

/** One map; `btf` is the one that its spec's type ids refer to. */
export function typedMap<K, V>(map: BpfMap, btf: Btf | undefined): TypedMap<K, V> {
  const { keyTypeId = 0, valueTypeId = 0, type } = map.spec;
  const encode = (id: number, value: unknown): Uint8Array =>
    btf && id ? encodeValue(btf, id, value as BtfValue) : (value as Uint8Array);
  const decode = (id: number, bytes: Uint8Array): unknown => (btf && id ? decodeValue(btf, id, bytes) : bytes);
  const size = btf && valueTypeId ? sizeOf(btf, valueTypeId) : map.spec.valueSize;
  // The kernel pads each CPU's value to 8 bytes.
  const stride = Math.ceil(size / 8) * 8;
  const perCpu = isPerCpu(type);
  const decodeAll = (bytes: Uint8Array): unknown =>
    perCpu
      ? Array.from({ length: bytes.length / stride }, (_, i) =>
          decode(valueTypeId, bytes.slice(i * stride, i * stride + size)),
        )
      : decode(valueTypeId, bytes);
  const encodeAll = (value: unknown): Uint8Array => {
    if (!perCpu) return encode(valueTypeId, value);
    const values = value as readonly unknown[];
    const out = new Uint8Array(values.length * stride);
    values.forEach((v, i) => {
      out.set(encode(valueTypeId, v), i * stride);
    });
    return out;
  };
  return {
    map,
    get(key) {
      const bytes = map.lookup(encode(keyTypeId, key));
      return bytes === undefined ? undefined : (decodeAll(bytes) as V);
    },
    set(key, value, flags) {
      map.update(encode(keyTypeId, key), encodeAll(value), flags);
    },
    delete: (key) => map.delete(encode(keyTypeId, key)),
    *entries() {
      for (const [key, value] of map.entries()) yield [decode(keyTypeId, key) as K, decodeAll(value) as V];
    },
  };
}
