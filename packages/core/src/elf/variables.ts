/**
 * Values that are decided before anything is loaded: global variables, and the kernel configuration's externs. Each
 * function returns a changed copy of the collection.
 */
import { type BtfValue, decodeValue, encodeValue, resolve, typeText } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import type { CollectionSpec, ExternSpec, MapSpec, VariableSpec } from "../object/index.ts";
import { KCONFIG_MAP } from "./externs.ts";

/** The variable's initial value by its type; the bytes where the object has no BTF. */
export function getVariable(spec: CollectionSpec, name: string): BtfValue {
  const v = variable(spec, name);
  const data = spec.maps.get(v.map)?.contents?.[0]?.value;
  // Without contents all is zero; a section of gigabytes is not made for that.
  const bytes = data instanceof Uint8Array ? data.slice(v.offset, v.offset + v.size) : new Uint8Array(v.size);
  return spec.btf && v.typeId ? decodeValue(spec.btf, v.typeId, bytes) : bytes;
}

/**
 * A collection whose variables start with these values; bytes are taken as they are.
 * @throws RangeError for a name that is not there or a value that does not fit.
 */
export function setVariables(spec: CollectionSpec, values: Readonly<Record<string, BtfValue>>): CollectionSpec {
  const maps = new Map(spec.maps);
  for (const [name, value] of Object.entries(values)) {
    const v = variable(spec, name);
    const bytes = value instanceof Uint8Array ? value : typed(spec, v, value);
    if (bytes.length !== v.size)
      throw new RangeError(`variable ${name}: expected ${v.size} bytes, got ${bytes.length}`);
    const map = maps.get(v.map)!;
    const data = dataOf(map).slice();
    data.set(bytes, v.offset);
    maps.set(v.map, withValue(map, data));
  }
  return { ...spec, maps };
}

/** One variable of a collection that is being prepared. */
export interface TypedVariable<T> {
  get(): T;
  /** @throws RangeError for a value that does not fit. */
  set(value: T): void;
}

export interface VariableEdit<V> {
  /** By name: `variables.mode.set(2)`. `V` is what `ebplane types` writes as `…Variables`. */
  readonly variables: { readonly [K in keyof V]: TypedVariable<V[K]> };
  /** The collection with what was set so far. */
  readonly spec: CollectionSpec;
}

/** A collection's variables as objects, to be set before `spec` is loaded. */
export function editVariables<V = Record<string, BtfValue>>(original: CollectionSpec): VariableEdit<V> {
  let spec = original;
  const variables: Record<string, TypedVariable<BtfValue>> = {};
  for (const name of original.variables?.keys() ?? []) {
    variables[name] = {
      get: () => getVariable(spec, name),
      set: (value) => {
        spec = setVariables(spec, { [name]: value });
      },
    };
  }
  return {
    variables: variables as VariableEdit<V>["variables"],
    get spec() {
      return spec;
    },
  };
}

function variable(spec: CollectionSpec, name: string): VariableSpec {
  const v = spec.variables?.get(name);
  if (v) return v;
  const names = [...(spec.variables?.keys() ?? [])];
  throw new RangeError(
    `variable ${JSON.stringify(name)}: expected ${names.length ? `one of ${names.join(", ")}` : "none, the object has no variables"}`,
  );
}

function typed(spec: CollectionSpec, v: VariableSpec, value: BtfValue): Uint8Array {
  if (!spec.btf || !v.typeId)
    throw new RangeError(`variable ${v.name}: has no type, so its value must be ${v.size} bytes`);
  try {
    return encodeValue(spec.btf, v.typeId, value);
  } catch (e) {
    if (e instanceof RangeError || e instanceof TypeError) e.message = `variable ${v.name}: ${e.message}`;
    throw e;
  }
}

function dataOf(map: MapSpec): Uint8Array {
  const value = map.contents?.[0]?.value;
  return value instanceof Uint8Array ? value : new Uint8Array(map.valueSize);
}

function withValue(map: MapSpec, value: Uint8Array): MapSpec {
  return { ...map, contents: [{ key: new Uint8Array(map.keySize), value }] };
}

/** What a kernel's configuration says. */
export interface KernelConfig {
  /** As `KERNEL_VERSION(a, b, c)` makes it. */
  readonly version: number;
  /** `CONFIG_HZ` → `250`, `CONFIG_X` → `y`, text with its quotes; see `parseKconfig`. */
  readonly options: ReadonlyMap<string, string>;
}

/** The options of a kernel's `.config` (also /proc/config.gz, unpacked). */
export function parseKconfig(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const line of text.split("\n")) {
    const m = /^(CONFIG_\w+)=(.+?)\s*$/.exec(line);
    if (m) options.set(m[1]!, m[2]!);
  }
  return options;
}

/**
 * Fills the map `.kconfig`. Source: libbpf.c `set_kcfg_value_tri`, `_num`, `_str`.
 * @throws ElfError for an extern that is not weak and that the configuration does not have, or that has another type.
 */
export function applyKconfig(spec: CollectionSpec, config: KernelConfig): CollectionSpec {
  const map = spec.maps.get(KCONFIG_MAP);
  if (!map) return spec;
  const data = dataOf(map).slice();
  for (const e of spec.externs ?? []) {
    if (e.kind !== "kconfig") continue;
    const text = e.name === "LINUX_KERNEL_VERSION" ? String(config.version) : config.options.get(e.name);
    if (text === undefined) {
      if (e.weak) continue;
      throw new ElfError(`extern ${e.name} is not in the kernel's configuration`, { section: KCONFIG_MAP });
    }
    setExtern(spec, e, text, data);
  }
  return { ...spec, maps: new Map(spec.maps).set(KCONFIG_MAP, withValue(map, data)) };
}

function setExtern(spec: CollectionSpec, extern: ExternSpec, text: string, data: Uint8Array): void {
  const btf = spec.btf!;
  const type = btf.type(resolve(btf, extern.typeId));
  const fail = (): never => {
    throw new ElfError(`extern ${extern.name}: ${text} is no ${typeText(btf, extern.typeId)}`, {
      section: KCONFIG_MAP,
    });
  };
  if (text === "y" || text === "n" || text === "m") {
    if (type.kind === "enum" && type.name === "libbpf_tristate") {
      viewOf(data).setInt32(extern.offset, { n: 0, y: 1, m: 2 }[text], true);
    } else if (type.kind === "int" && type.size === 1 && type.encoding === "bool" && text !== "m") {
      data[extern.offset] = text === "y" ? 1 : 0;
    } else if (type.kind === "int" && type.size === 1) data[extern.offset] = text.charCodeAt(0);
    else fail();
    return;
  }
  if (text.startsWith('"')) {
    if (type.kind !== "array" || !text.endsWith('"') || text.length < 2) fail();
    const bytes = new TextEncoder().encode(text.slice(1, -1));
    const room = type.kind === "array" ? type.length : 0;
    // libbpf cuts a string that is too long and keeps a zero at its end.
    data.set(bytes.subarray(0, Math.max(0, room - 1)), extern.offset);
    return;
  }
  if (!/^-?(?:0[xX][0-9a-fA-F]+|\d+)$/.test(text) || type.kind !== "int" || type.encoding === "bool") fail();
  const value = text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
  try {
    data.set(encodeValue(btf, extern.typeId, value), extern.offset);
  } catch {
    fail();
  }
}
