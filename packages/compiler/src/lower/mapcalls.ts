/** Maps: how they are declared, and what programs do with them. */
import { MapType } from "@ebplane/core/object";
import { BOOL, type InnerMapType, type MemType, sizeOf, U32, U64 } from "../check/index.ts";
import { constant, type Insn } from "../ir/index.ts";
import { mapMethod } from "./advice.ts";
import { arg, type BuiltinTools, type CallNode, constantOf, flag, memoryArgType, options } from "./arguments.ts";
import { callForEach } from "./callbacks.ts";
import { memoryArg } from "./calls.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer, toScalar } from "./convert.ts";
import { MAP_FORMS, type MapDecl } from "./maps.ts";
import { allocate, readPlace } from "./memory.ts";
import { RINGBUF_DISCARD, RINGBUF_RESERVE, RINGBUF_SUBMIT } from "./reservations.ts";
import type { ProgramDecl, Val } from "./values.ts";

const LOOKUP = 1;
const UPDATE = 2;
const DELETE = 3;
const TAIL_CALL = 12;
const PERF_EVENT_OUTPUT = 25;
const REDIRECT_MAP = 51;
const PUSH = 87;
const POP = 88;
const PEEK = 89;
const RINGBUF_OUTPUT = 130;
const LOOKUP_PERCPU = 195;
/** Index of the CPU at hand, in a perf event array. */
const BPF_F_CURRENT_CPU = 0xffff_ffffn;

export function makeMap(cx: Context, name: string, call: CallNode): Val {
  const form = MAP_FORMS.get(name)!;
  let next = 0;
  const key = form.takes.startsWith("key") ? memoryArgType(cx, call, next++) : form.key;
  const value = form.takes.endsWith("value") ? memoryArgType(cx, call, next++) : undefined;
  const inner = form.holds === "maps" ? innerMap(cx, call, next++) : undefined;
  const allowed = [...(form.unsized ? [] : ["maxEntries"]), "flags", "pinned", ...(form.holds ? [form.holds] : [])];
  const o = options(cx, call.args[next], allowed);
  const max = o.get("maxEntries");
  if (!max && !form.unsized) return refuse(cx, call.at, `${name} needs { maxEntries: … }`);
  const maxEntries = max ? Number(constantOf(cx, max, "maxEntries", call.at)) : 0;
  if (max && (maxEntries < 1 || maxEntries > 0xffffffff)) {
    refuse(cx, call.at, `maxEntries: expected 1 or more, got ${maxEntries}`);
  }
  const flags = o.get("flags");
  const map: MapDecl = {
    name: "",
    at: call.at,
    type: form.type,
    key,
    value,
    keySize: key ? sizeOf(key) : 0,
    valueSize: value ? sizeOf(value) : form.valueSize,
    maxEntries,
    flags: form.flags | (flags ? Number(constantOf(cx, flags, "flags", call.at)) : 0),
    pinned: flag(o.get("pinned")),
    inner,
    slots: slotsOf(cx, form.holds && o.get(form.holds), inner, maxEntries, call.at),
  };
  return { k: "map", map };
}

/** The map that stands for those that a map holds. */
function innerMap(cx: Context, call: CallNode, k: number): InnerMapType {
  const v = arg(cx, call, k, "the map that it holds");
  if (v.k !== "map") return refuse(cx, call.args[k]!.at, `expected a map (array(u32, { … }) …), got ${describe(v)}`);
  if (v.map.inner) refuse(cx, call.args[k]!.at, "maps are held by maps only one deep");
  return {
    kind: "map",
    name: v.map.value ? describe({ k: "type", type: v.map.value }).replace("the type ", "") : "maps",
    map: v.map,
  };
}

function slotsOf(
  cx: Context,
  v: Val | undefined,
  inner: InnerMapType | undefined,
  most: number,
  at: number,
): (MapDecl | ProgramDecl)[] {
  if (!v) return [];
  if (v.k !== "record" || !v.tuple)
    return refuse(cx, at, `expected what the slots hold in brackets, got ${describe(v)}`);
  if (v.fields.size > most) refuse(cx, at, `${v.fields.size} are more than the ${most} slots`);
  return [...v.fields.values()].map((slot) => {
    if (!inner)
      return slot.k === "program" ? slot.program : refuse(cx, at, `expected a program, got ${describe(slot)}`);
    if (slot.k !== "map") return refuse(cx, at, `expected a map, got ${describe(slot)}`);
    const like = inner.map as MapDecl;
    if (slot.map.type !== like.type || slot.map.keySize !== like.keySize || slot.map.valueSize !== like.valueSize) {
      refuse(cx, at, `the map ${slot.map.name} is not like those that this one holds`);
    }
    return slot.map;
  });
}

/** The calls that one map has, by name, with what they take. */
interface Call {
  readonly cx: Context;
  readonly map: MapDecl;
  readonly call: CallNode;
  readonly tools: BuiltinTools;
  /** The map itself, in a register. */
  readonly self: () => Insn;
}

/** `through` is the pointer to a map that a map held. */
export function callMap(
  cx: Context,
  map: MapDecl,
  name: string,
  call: CallNode,
  tools: BuiltinTools,
  through?: Insn,
): Val {
  if (!map.name) refuse(cx, call.at, "give the map a name: export const name = …");
  const c: Call = { cx, map, call, tools, self: () => through ?? cx.b.map(map.name) };
  const known = methodsOf(map);
  const method = known.get(name);
  if (method) return method(c);
  const names = [...known.keys()].join(", ");
  const instead = mapMethod(name);
  if (instead && known.has("lookup")) refuse(cx, call.at, `this map has no ${name}: ${instead}`);
  return refuse(cx, call.at, `this map has no ${name}: it has ${names || "no calls of its own, helpers take it"}`);
}

type Method = (c: Call) => Val;

const KEYED: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["lookup", lookup],
  ["update", update],
  ["delete", remove],
  ["forEach", forEach],
]);
const INDEXED: ReadonlyMap<string, Method> = new Map([...KEYED].filter(([name]) => name !== "delete"));
const perCpu = (methods: ReadonlyMap<string, Method>) => new Map([...methods, ["lookupCpu", lookupCpu] as const]);
const REDIRECT: ReadonlyMap<string, Method> = new Map([["redirect", redirect]]);
const QUEUE: ReadonlyMap<string, Method> = new Map([
  ["push", push],
  ["pop", take(POP)],
  ["peek", take(PEEK)],
]);

const T = MapType;
const METHODS = new Map<number, ReadonlyMap<string, Method>>([
  [T.BPF_MAP_TYPE_HASH, KEYED],
  [T.BPF_MAP_TYPE_LRU_HASH, KEYED],
  [T.BPF_MAP_TYPE_LPM_TRIE, new Map([...KEYED].filter(([name]) => name !== "forEach"))],
  [T.BPF_MAP_TYPE_PERCPU_HASH, perCpu(KEYED)],
  [T.BPF_MAP_TYPE_LRU_PERCPU_HASH, perCpu(KEYED)],
  [T.BPF_MAP_TYPE_ARRAY, INDEXED],
  [T.BPF_MAP_TYPE_PERCPU_ARRAY, perCpu(INDEXED)],
  [T.BPF_MAP_TYPE_ARRAY_OF_MAPS, new Map([["lookup", lookup]])],
  [T.BPF_MAP_TYPE_HASH_OF_MAPS, new Map([["lookup", lookup]])],
  [T.BPF_MAP_TYPE_DEVMAP, REDIRECT],
  [T.BPF_MAP_TYPE_DEVMAP_HASH, REDIRECT],
  [T.BPF_MAP_TYPE_CPUMAP, REDIRECT],
  [T.BPF_MAP_TYPE_XSKMAP, REDIRECT],
  [T.BPF_MAP_TYPE_PROG_ARRAY, new Map([["tailCall", tailCall]])],
  [T.BPF_MAP_TYPE_PERF_EVENT_ARRAY, new Map([["output", perfOutput]])],
  [T.BPF_MAP_TYPE_QUEUE, QUEUE],
  [T.BPF_MAP_TYPE_STACK, QUEUE],
  [
    T.BPF_MAP_TYPE_BLOOM_FILTER,
    new Map([
      ["add", push],
      ["has", has],
    ]),
  ],
  [
    T.BPF_MAP_TYPE_RINGBUF,
    new Map([
      ["reserve", reserve],
      ["submit", submit],
      ["discard", discard],
      ["output", output],
    ]),
  ],
]);

function methodsOf(map: MapDecl): ReadonlyMap<string, Method> {
  return METHODS.get(map.type) ?? new Map();
}

function memory({ cx, call, tools }: Call, type: MemType, k: number, what: string): Insn {
  const e = call.args[k];
  return e ? memoryArg(cx, e, type, what, tools) : refuse(cx, call.at, `${what} is missing`);
}

function flags({ cx, call }: Call, k: number, wide: boolean): Insn {
  const e = call.args[k];
  return e ? toScalar(cx, cx.expr(e), wide ? U64 : U32, e.at) : constant(0n);
}

function status(c: Call, v: Insn): Val {
  return { k: "int", type: { ...U32, signed: true }, v: c.cx.b.zext(32, v) };
}

// ---- keys and values ----

function lookup(c: Call): Val {
  const { map, cx } = c;
  const key = memory(c, map.key!, 0, "the key");
  const address = cx.b.call(LOOKUP, [c.self(), key], { pure: true });
  const name = map.inner ? (map.inner.map as MapDecl).name : map.name;
  const type = map.inner ?? map.value!;
  return { k: "ref", type, address, off: 0, region: { kind: "map", name }, nullable: true };
}

function lookupCpu(c: Call): Val {
  const { map, cx, call } = c;
  const key = memory(c, map.key!, 0, "the key");
  const cpu = toScalar(cx, arg(cx, call, 1, "the CPU"), U32, call.at);
  const address = cx.b.call(LOOKUP_PERCPU, [c.self(), key, cpu], { pure: true });
  return { k: "ref", type: map.value!, address, off: 0, region: { kind: "map", name: map.name }, nullable: true };
}

function update(c: Call): Val {
  const { map, cx } = c;
  const key = memory(c, map.key!, 0, "the key");
  const value = memory(c, map.value!, 1, "the value");
  const f = flags(c, 2, false);
  return status(c, cx.b.call(UPDATE, [c.self(), key, value, f], { map: map.name }));
}

function remove(c: Call): Val {
  const key = memory(c, c.map.key!, 0, "the key");
  return status(c, c.cx.b.call(DELETE, [c.self(), key], { map: c.map.name }));
}

function forEach(c: Call): Val {
  return callForEach(c.cx, c.map, c.self(), c.call);
}

// ---- queues, stacks, bloom filters ----

function push(c: Call): Val {
  const value = memory(c, c.map.value!, 0, "the value");
  return status(c, c.cx.b.call(PUSH, [c.self(), value, flags(c, 1, true)], { map: c.map.name }));
}

/** The value, or undefined where there is none. */
function take(helper: number): Method {
  return (c) => {
    const { cx } = c;
    const into = allocate(cx, "a value", c.map.value!);
    const r = cx.b.call(helper, [c.self(), into.address], { map: c.map.name, writes: [1] });
    return { k: "opt", flag: cx.b.cmp("eq", 64, r, constant(0n)), inner: readPlace(cx, into) };
  };
}

function has(c: Call): Val {
  const value = memory(c, c.map.value!, 0, "the value");
  const r = c.cx.b.call(PEEK, [c.self(), value], {});
  return { k: "int", type: BOOL, v: c.cx.b.cmp("eq", 64, r, constant(0n)) };
}

// ---- programs, devices, sockets ----

function tailCall(c: Call): Val {
  const { cx, call, map } = c;
  const index = toScalar(cx, arg(cx, call, 1, "the index"), U32, call.at);
  const first = map.slots[0] as ProgramDecl | undefined;
  if (first && cx.program && first.type !== cx.program.type) {
    refuse(cx, call.at, "the array holds programs of another type: a tail call stays within one");
  }
  if (map.slots.length && index.op === "const" && index.value >= BigInt(map.maxEntries)) {
    refuse(cx, call.at, `index ${index.value} is outside the array: it has ${map.maxEntries} slots`);
  }
  if (!cx.ctx) refuse(cx, call.at, "there is no context here: take ctx as a parameter");
  if (cx.frames.some((f) => f.exits.some((e) => e.leave))) {
    refuse(
      cx,
      call.at,
      "a tail call cannot leave a loop of so many rounds: note it down, break, and call after the loop",
    );
  }
  cx.b.call(TAIL_CALL, [cx.ctx!, c.self(), index], {});
  return { k: "void" };
}

function redirect(c: Call): Val {
  const { cx, call } = c;
  const key = toScalar(cx, arg(cx, call, 0, "the key"), U32, call.at);
  const r = cx.b.call(REDIRECT_MAP, [c.self(), key, flags(c, 1, true)], {});
  return { k: "int", type: U32, v: cx.b.zext(32, r) };
}

// ---- events ----

function record({ cx, call }: Call, k: number, name: string): Val & { k: "ref" } {
  const v = arg(cx, call, k, "the value");
  if (v.k === "ref" && !v.nullable) return v;
  const how = v.k === "ref" ? ": test it first" : "";
  return refuse(cx, call.at, `${name}: expected a struct, got ${describe(v)}${how}`);
}

function perfOutput(c: Call): Val {
  const { cx, call } = c;
  if (arg(cx, call, 0, "ctx").k !== "ctx" || !cx.ctx) refuse(cx, call.at, "output: expected ctx and the value");
  const v = record(c, 1, "output");
  const where = call.args[2] ? flags(c, 2, true) : constant(BPF_F_CURRENT_CPU);
  const size = constant(BigInt(sizeOf(v.type)));
  return status(c, cx.b.call(PERF_EVENT_OUTPUT, [cx.ctx!, c.self(), where, pointer(cx, v), size], {}));
}

function reserve(c: Call): Val {
  const type = memoryArgType(c.cx, c.call, 0);
  const size = constant(BigInt(sizeOf(type)));
  const address = c.cx.b.call(RINGBUF_RESERVE, [c.self(), size, flags(c, 1, true)], {});
  return { k: "ref", type, address, off: 0, region: { kind: "map", name: c.map.name }, nullable: true };
}

function submit(c: Call): Val {
  c.cx.b.call(RINGBUF_SUBMIT, [pointer(c.cx, record(c, 0, "submit")), flags(c, 1, true)], {});
  return { k: "void" };
}

function discard(c: Call): Val {
  c.cx.b.call(RINGBUF_DISCARD, [pointer(c.cx, record(c, 0, "discard")), flags(c, 1, true)], {});
  return { k: "void" };
}

function output(c: Call): Val {
  const v = record(c, 0, "output");
  const size = constant(BigInt(sizeOf(v.type)));
  return status(c, c.cx.b.call(RINGBUF_OUTPUT, [c.self(), pointer(c.cx, v), size, flags(c, 1, true)], {}));
}
