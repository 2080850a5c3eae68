/**
 * What to write instead of what TypeScript programs have elsewhere: names of JavaScript's own, methods of arrays and of its
 * maps, texts. Each sentence ends a complaint.
 */
import { typeName } from "../check/index.ts";
import { type Expr, nameOf } from "../parse/index.ts";
import type { Val } from "./values.ts";

const WIDTH = "write u64(x), or u32(x) for the low 32 bits";
const WAITS = "nothing waits in a packet program: a bpfTimer in a map's value calls a function later";
const BYTES = "declare the bytes: struct({ data: bytes(16) }) makes them on the stack, a map keeps them";

/** By name, or by name and member where those differ. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "Math.floor": "/ of integers leaves no fraction: leave Math.floor out",
  "Math.trunc": "/ of integers leaves no fraction: leave Math.trunc out",
  "Math.round": "there are no fractions: add half of the divisor before dividing, (a + b / 2) / b",
  "Math.ceil": "there are no fractions: write (a + b - 1) / b",
  "Math.min": "write a < b ? a : b",
  "Math.max": "write a > b ? a : b",
  "Math.abs": "write x < 0 ? -x : x",
  "Math.pow": "multiply, or shift: 1 << n",
  "Math.random": "write getPrandomU32()",
  Math: "operators and ?: do it",
  Date: "write ktimeGetNs(): nanoseconds since the machine started",
  performance: "write ktimeGetNs(): nanoseconds since the machine started",
  console: 'write printk("length %d", x) under license("GPL"), or put a record into a ringBuffer',
  JSON: "hand a struct to user space: ring.output(record), which reads it by its type",
  BigInt: "write u64(x)",
  Number: WIDTH,
  parseInt: "texts are read in user space; helpers for a sysctl's: strtoul",
  parseFloat: "there are no fractions",
  String: "texts are made in user space: hand over the number",
  Boolean: "write x !== 0",
  Promise: WAITS,
  setTimeout: WAITS,
  setInterval: WAITS,
  queueMicrotask: WAITS,
  fetch: "a packet program cannot call out: put a record into a ringBuffer for user space",
  process: 'the build gives values: config("NAME", fallback)',
  Deno: 'the build gives values: config("NAME", fallback)',
  require: 'write import { … } from "ebplane/bpf"',
  Buffer: BYTES,
  ArrayBuffer: BYTES,
  Uint8Array: BYTES,
  Array: "arrayOf(u32, 16) is the type of one in a struct or a map",
  Object: "fields are known by name at compile time: write them out",
  Map: "write hash(Key, Value, { maxEntries }) at the top level",
  Set: "write hash(Key, u8, { maxEntries }) at the top level",
  Symbol: "there are no symbols",
  Error: "there are no exceptions: return a value",
  RegExp: "compare bytes",
  Infinity: "there are no fractions",
  NaN: "there are no fractions",
  globalThis: "import the name",
  arguments: "name the parameters",
  window: "import the name",
};

/** Instead of a name that JavaScript has and programs have not; undefined for others. */
export function elsewhere(name: string, member?: string): string | undefined {
  const own = member === undefined ? undefined : ELSEWHERE[`${name}.${member}`];
  return own ?? (Object.hasOwn(ELSEWHERE, name) ? ELSEWHERE[name] : undefined);
}

/** Instead of a method of JavaScript's maps and sets. */
const MAP_METHODS: Readonly<Record<string, string>> = {
  get: "write lookup(key), and test what it gives",
  has: "write lookup(key) !== undefined",
  set: "write update(key, value)",
  add: "write update(key, value)",
  clear: "delete the keys one by one",
  keys: "write forEach((key, value) => …)",
  values: "write forEach((key, value) => …)",
  entries: "write forEach((key, value) => …)",
  size: "count in a variable of your own",
};

export function mapMethod(name: string): string | undefined {
  return Object.hasOwn(MAP_METHODS, name) ? MAP_METHODS[name] : undefined;
}

/** Behind `a tuple has no function map`. */
export function methodAdvice(v: Val): string {
  if (v.k === "record" && v.tuple) {
    return ": a list of values is fixed at compile time: go over it with for…of, or keep what grows in a map";
  }
  if (v.k === "ref" && v.type.kind === "array") return ": go over it with for…of or range(n)";
  if (v.k === "string") return ": texts are not worked on: compare bytes (strncmp)";
  return "";
}

/** Behind `a cursor has no elements`, and where it is gone over. */
export function elementAdvice(v: Val): string {
  if (v.k === "cursor" || v.k === "ctx") {
    return ": take bytes through a header: packet.take(header({ first: u8 })), or take(bytes(16))";
  }
  if (v.k === "map") return ": write lookup(key), update(key, value), forEach((key, value) => …)";
  return "";
}

/** Of an operand that is a text: what the other side wants. */
export function textAdvice(text: Val, other: Val): string {
  const value = text.k === "string" ? text.value : "";
  if (/^\d+\.\d+\.\d+\.\d+$/.test(value)) return `write ip4("${value}")`;
  if (other.k === "string") return "texts are not compared or put together in a program: use numbers";
  return "compare bytes (strncmp), or use a number";
}

/** Instead of adding to what refers to a map's value. */
export function valueAdvice(target: Expr, v: Val): string | undefined {
  if (v.k !== "ref" || (v.type.kind !== "int" && v.type.kind !== "bool")) return undefined;
  const tested = v.nullable ? ", once it is tested" : "";
  return `${nameOf(target)} refers to a ${typeName(v.type)} in memory: write ${nameOf(target)}.value${tested}`;
}
