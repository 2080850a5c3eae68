/**
 * What helpers call back: the bodies of `bpfLoop` and of a map's `forEach`, timers. Such a function is a subprogram of
 * its own; it sees nothing of the function around it but what it is handed as its state. Also spin locks, whose helpers
 * take a place in a map's value as timers do.
 */
import { HELPERS } from "@ebplane/core/object";
import { type MemType, NUMBER, U32, U64 } from "../check/index.ts";
import { constant, type Insn } from "../ir/index.ts";
import type { Expr } from "../parse/index.ts";
import { requireHelper } from "./allowed.ts";
import type { BuiltinTools, CallNode } from "./arguments.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer, toScalar } from "./convert.ts";
import { SPIN_LOCK, TIMER } from "./kernel.ts";
import type { MapDecl } from "./maps.ts";
import type { Place } from "./memory.ts";
import { callbackOf } from "./subprograms.ts";
import type { FnVal, Val, ValType } from "./values.ts";

const SPIN_LOCK_HELPER = 93;
const SPIN_UNLOCK_HELPER = 94;
const FOR_EACH = 164;
const TIMER_INIT = 169;
const TIMER_SET_CALLBACK = 170;
const TIMER_START = 171;
const TIMER_CANCEL = 172;
const LOOP = 181;

/** Whatever a callback does, memory and the state may be changed by it. */
const EVERYTHING = { map: true, writes: [0, 1, 2] } as const;

function functionArg(cx: Context, call: CallNode, k: number): FnVal {
  const e = call.args[k];
  const v = e && cx.expr(e);
  if (v?.k === "fn") return v;
  return refuse(cx, e?.at ?? call.at, `expected a function, got ${v ? describe(v) : "nothing"}`);
}

/** The state that is handed through, and how the callback sees it. */
function stateArg(cx: Context, call: CallNode, k: number): { address: Insn; types: ValType[] } {
  const e = call.args[k];
  if (!e) return { address: constant(0n), types: [] };
  const v = cx.expr(e);
  if (v.k !== "ref" || v.nullable) {
    return refuse(cx, e.at, `the state: expected a struct, got ${describe(v)}`);
  }
  if (v.region.kind !== "stack" && v.region.kind !== "any") {
    refuse(
      cx,
      e.at,
      "the state must be a struct on the stack: make one here, the function itself reaches maps and globals",
    );
  }
  return { address: pointer(cx, v), types: [refType(v.type)] };
}

function refType(type: MemType): ValType {
  return { k: "ref", type, region: { kind: "any" }, nullable: false };
}

/** `bpfLoop(n, (i, state) => …, state)`: how often it ran. */
function bpfLoop(cx: Context, call: CallNode): Val {
  needs(cx, "bpfLoop", LOOP, call.at);
  const e = call.args[0];
  const n = toScalar(cx, e ? cx.expr(e) : refuse(cx, call.at, "how often is missing"), U32, call.at);
  const run = functionArg(cx, call, 1);
  const { address, types } = stateArg(cx, call, 2);
  const callee = callbackOf(cx, run, [{ k: "int", type: { ...NUMBER, loose: false } }, ...types], 0, "stop", call.at);
  const r = cx.b.call(LOOP, [n, cx.b.func(callee), address, constant(0n)], EVERYTHING);
  return { k: "int", type: { ...U32, signed: true }, v: cx.b.zext(32, r) };
}

/** `map.forEach((key, value, state) => …, state)`: how many entries were visited. */
export function callForEach(cx: Context, map: MapDecl, self: Insn, call: CallNode): Val {
  needs(cx, "forEach", FOR_EACH, call.at);
  const run = functionArg(cx, call, 0);
  const { address, types } = stateArg(cx, call, 1);
  const given = [refType(U64), refType(map.key!), refType(map.value!), ...types];
  const callee = callbackOf(cx, run, given, 1, "stop", call.at);
  const r = cx.b.call(FOR_EACH, [self, cx.b.func(callee), address, constant(0n)], EVERYTHING);
  return { k: "int", type: { ...U32, signed: true }, v: cx.b.zext(32, r) };
}

// ---- places in a map's value ----

function needs(cx: Context, name: string, helper: number, at: number): void {
  requireHelper(cx, name, HELPERS.get(helper)!, at);
}

/** The address of a lock or a timer. */
function placeArg(cx: Context, call: CallNode, tools: BuiltinTools, type: MemType, what: string): Insn {
  const e: Expr | undefined = call.args[0];
  if (!e) return refuse(cx, call.at, `${what} is missing`);
  const p: Place = tools.place(e);
  if (p.type !== type)
    return refuse(cx, e.at, `expected a field of type ${what}, got ${describe({ k: "type", type: p.type })}`);
  if (p.region.kind === "stack") refuse(cx, e.at, `a ${what} lives in the value of a map`);
  return pointer(cx, { ...p, k: "ref", nullable: false });
}

function lock(helper: number, name: string) {
  return (cx: Context, call: CallNode, tools: BuiltinTools): Val => {
    needs(cx, name, helper, call.at);
    cx.b.call(helper, [placeArg(cx, call, tools, SPIN_LOCK, "bpfSpinLock")], { map: true });
    return { k: "void" };
  };
}

function mapArg(cx: Context, call: CallNode, k: number): MapDecl {
  const e = call.args[k];
  const v = e && cx.expr(e);
  if (v?.k === "map" && v.map.key && v.map.value) return v.map;
  return refuse(cx, e?.at ?? call.at, `expected the map that the timer is in, got ${v ? describe(v) : "nothing"}`);
}

function status(cx: Context, v: Insn): Val {
  return { k: "int", type: { ...U32, signed: true }, v: cx.b.zext(32, v) };
}

/** `timerInit(v.timer, map, clock)` */
function timerInit(cx: Context, call: CallNode, tools: BuiltinTools): Val {
  needs(cx, "timerInit", TIMER_INIT, call.at);
  const timer = placeArg(cx, call, tools, TIMER, "bpfTimer");
  const map = mapArg(cx, call, 1);
  const clock = call.args[2] ? toScalar(cx, cx.expr(call.args[2]), U32, call.at) : constant(1n);
  return status(cx, cx.b.call(TIMER_INIT, [timer, cx.b.map(map.name), clock], { map: true }));
}

/** `timerSetCallback(v.timer, map, (key, value) => …)` */
function timerSetCallback(cx: Context, call: CallNode, tools: BuiltinTools): Val {
  needs(cx, "timerSetCallback", TIMER_SET_CALLBACK, call.at);
  const timer = placeArg(cx, call, tools, TIMER, "bpfTimer");
  const map = mapArg(cx, call, 1);
  const run = functionArg(cx, call, 2);
  const callee = callbackOf(cx, run, [refType(U64), refType(map.key!), refType(map.value!)], 1, "nothing", call.at);
  return status(cx, cx.b.call(TIMER_SET_CALLBACK, [timer, cx.b.func(callee)], { map: true }));
}

/** `timerStart(v.timer, ns, flags)` */
function timerStart(cx: Context, call: CallNode, tools: BuiltinTools): Val {
  needs(cx, "timerStart", TIMER_START, call.at);
  const timer = placeArg(cx, call, tools, TIMER, "bpfTimer");
  const ns = toScalar(cx, call.args[1] ? cx.expr(call.args[1]) : { k: "undef" }, U64, call.at);
  const flags = call.args[2] ? toScalar(cx, cx.expr(call.args[2]), U64, call.at) : constant(0n);
  return status(cx, cx.b.call(TIMER_START, [timer, ns, flags], { map: true }));
}

function timerCancel(cx: Context, call: CallNode, tools: BuiltinTools): Val {
  needs(cx, "timerCancel", TIMER_CANCEL, call.at);
  return status(cx, cx.b.call(TIMER_CANCEL, [placeArg(cx, call, tools, TIMER, "bpfTimer")], { map: true }));
}

/** By the name that is called. */
export const CALLBACKS: ReadonlyMap<string, (cx: Context, call: CallNode, tools: BuiltinTools) => Val> = new Map([
  ["bpfLoop", bpfLoop],
  ["spinLock", lock(SPIN_LOCK_HELPER, "spinLock")],
  ["spinUnlock", lock(SPIN_UNLOCK_HELPER, "spinUnlock")],
  ["timerInit", timerInit],
  ["timerSetCallback", timerSetCallback],
  ["timerStart", timerStart],
  ["timerCancel", timerCancel],
]);
