/**
 * Functions that helpers call back. A loop over a callback is walked round by round: at each visit of the call one
 * path goes on behind it, another through the callback and back to the call, until a round adds nothing. Sound because
 * both "no more rounds" and "one more round" are walked from every state that reaches the call. A timer's callback runs
 * later, from nothing but the map that holds it: it is walked once, as a program of its own.
 *
 * Source: kernel/bpf/verifier.c `push_callback_call`, `prepare_func_exit`, `set_*_callback_state`.
 */
import { type Insn, MAX_CALL_FRAMES } from "../../isa/index.ts";
import { type Helper, MapType } from "../../object/index.ts";
import type { CallFacts } from "../check/arguments.ts";
import type { Context, MapRef } from "../context.ts";
import { isPointer, Kind, pointer, type Reg, scalarReg, TRUSTED } from "../domain/reg.ts";
import { UNKNOWN } from "../domain/scalar.ts";
import { type Callback, Frame, State } from "../domain/state.ts";
import { previousVisit, widen } from "../prune.ts";

const ITERABLE: ReadonlySet<number> = new Set([
  MapType.BPF_MAP_TYPE_HASH,
  MapType.BPF_MAP_TYPE_PERCPU_HASH,
  MapType.BPF_MAP_TYPE_LRU_HASH,
  MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH,
  MapType.BPF_MAP_TYPE_ARRAY,
  MapType.BPF_MAP_TYPE_PERCPU_ARRAY,
]);

/** Queues the walk of the callback of this call. */
export function pushCallback(cx: Context, insn: Insn, helper: Helper, facts: CallFacts): void {
  switch (helper.name) {
    case "loop": {
      const rounds = cx.reg(1);
      cx.markPrecise(rounds.node);
      const { frame } = cx;
      if (BigInt(frame.callbackDepth) < rounds.val.umax)
        walkCallback(cx, insn, helper.name, facts.callback, [scalarReg(UNKNOWN), cx.reg(3)]);
      frame.callbackDepth = 0;
      return;
    }
    case "for_each_map_elem": {
      const map = facts.map!;
      if (!ITERABLE.has(map.spec.type)) {
        cx.reject("map-helper", `bpf_for_each_map_elem does not work on map ${map.name}`, { register: 1 });
      }
      const args = [...elementOf(map), cx.reg(3)];
      walkCallback(cx, insn, helper.name, facts.callback, args);
      cx.frame.callbackDepth = 0;
      return;
    }
    case "user_ringbuf_drain":
      walkCallback(cx, insn, helper.name, facts.callback, [pointer(Kind.DYNPTR), cx.reg(3)]);
      cx.frame.callbackDepth = 0;
      return;
    case "find_vma": {
      const vma = pointer(Kind.BTF_ID, { obj: cx.types.byName("vm_area_struct") });
      const task = pointer(Kind.BTF_ID, { flags: TRUSTED, obj: cx.types.byName("task_struct") });
      walkCallback(cx, insn, helper.name, facts.callback, [task, vma, cx.reg(4)]);
      cx.frame.callbackDepth = 0;
      return;
    }
    case "timer_set_callback":
      walkLater(cx, insn, helper.name, facts.callback, cx.reg(1).obj as MapRef, false);
      return;
    default:
      cx.unsupported("callback", `the callback of bpf_${helper.name} is not checked yet`);
  }
}

/** What a callback on a map's element gets: the map, the key, the value. */
function elementOf(map: MapRef): Reg[] {
  return [
    pointer(Kind.MAP_PTR, { obj: map }),
    pointer(Kind.MAP_KEY, { obj: map }),
    pointer(Kind.MAP_VALUE, { obj: map }),
  ];
}

/** Queues one more round of a callback that runs within the call. */
export function walkCallback(cx: Context, insn: Insn, name: string, target: number, args: readonly Reg[]): void {
  if (cx.state.frames.length >= MAX_CALL_FRAMES) {
    cx.reject("call-depth", `calls are nested more than ${MAX_CALL_FRAMES} deep`);
  }
  const state = cx.push(target, cx.state.clone());
  const caller = state.frame;
  caller.callbackDepth++;
  state.unrolled++;
  const callback: Callback = { name, async: false, retMin: 0, retMax: 1 };
  state.frames.push(entered(new Frame(insn.pc, target, callback), args, state.frames.length));
}

function entered(frame: Frame, args: readonly Reg[], depth: number): Frame {
  args.forEach((arg, i) => {
    frame.regs[i + 1] = arg;
  });
  frame.regs[10] = pointer(Kind.STACK, { num: depth });
  return frame;
}

/** Walks an asynchronous callback once for each map: its arguments never say more. `sleeps`: it may, whatever its program. */
export function walkLater(cx: Context, insn: Insn, name: string, target: number, map: MapRef, sleeps: boolean): void {
  const key = `${target} ${map.name}`;
  if (cx.asyncWalked.has(key)) return;
  cx.asyncWalked.add(key);
  const state = new State();
  state.sleeps = sleeps;
  const callback: Callback = { name, async: true, retMin: 0, retMax: 0 };
  state.frames.push(entered(new Frame(insn.pc, target, callback), elementOf(map), 0));
  cx.push(target, state);
}

/** Leaves a callback: back to the call, to decide on another round. */
export function leaveCallback(cx: Context, callee: Frame, callback: Callback): number {
  const { state } = cx;
  const r0 = callee.regs[0]!;
  checkResult(cx, r0, callback);
  const depth = state.frames.length - 1;
  const lost = state.refs.find((r) => r.frame >= depth);
  if (lost) {
    cx.reject("reference", `the callback ends without releasing the reference that instruction ${lost.pc} acquired`, {
      fix: "release it inside the callback",
    });
  }
  state.frames.pop();
  const before = previousVisit(state, callee.callsite, state.parent);
  if (before) widen(before, state);
  return callee.callsite;
}

/** A callback's result must be a number in its range. */
export function checkResult(cx: Context, r0: Reg, callback: Callback): void {
  const { retMin, retMax } = callback;
  const wanted = retMin === retMax ? String(retMin) : `${retMin} to ${retMax}`;
  if (isPointer(r0) || r0.kind === Kind.NOT_INIT) {
    cx.reject("return-value", `the callback must return a number: ${wanted}`, { register: 0 });
  }
  cx.markPrecise(r0.node);
  if (r0.val.smin < BigInt(retMin) || r0.val.smax > BigInt(retMax)) {
    cx.reject("return-value", `the callback's result is not known to be ${wanted}`, {
      register: 0,
      fix: `return only ${wanted}`,
    });
  }
}
