/** One insn of the walk: dispatches to its transfer and says where to go on. */
import { type Btf, resolve, sizeOf } from "../btf/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_LD,
  BPF_LDX,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  BPF_REG_FP,
  BPF_ST,
  CLASS_MASK,
  type Insn,
  jumpTarget,
  lddwValue,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LDDW,
  OP_MAY_GOTO,
} from "../isa/index.ts";
import { MapType } from "../object/index.ts";
import { calledPc } from "./cfg/cfg.ts";
import { nextPc } from "./cfg/program.ts";
import { checkNothingHeld, checkReturn } from "./check/exit.ts";
import { mapNamed, valueOffset } from "./check/maps.ts";
import { tracedRange } from "./check/traced.ts";
import type { Context, MapRef } from "./context.ts";
import { Kind, PERCPU, pointer, RDONLY, type Reg, scalarReg } from "./domain/reg.ts";
import { constScalar, UNKNOWN } from "./domain/scalar.ts";
import { previousVisit, widen } from "./prune.ts";
import { alu } from "./transfer/alu.ts";
import { call, exit } from "./transfer/call.ts";
import { checkResult } from "./transfer/callback.ts";
import { condJump } from "./transfer/jump.ts";
import { atomic, load, loadPacket, store } from "./transfer/memory.ts";
import { readReg } from "./transfer/registers.ts";

/** Walks the insn at `cx.pc`: the pc to go on at, or undefined when the path ends. */
export function step(cx: Context, insn: Insn): number | undefined {
  const problem = cx.program.problems.get(insn.pc);
  if (problem) cx.reject("encoding", problem);
  const next = nextPc(insn);
  const { opcode } = insn;
  switch (opcode & CLASS_MASK) {
    case BPF_ALU:
    case BPF_ALU64:
      alu(cx, insn);
      return next;
    case BPF_LDX:
      load(cx, insn);
      return next;
    case BPF_ST:
      store(cx, insn);
      return next;
    case 3:
      if ((opcode & MODE_MASK) === BPF_ATOMIC) atomic(cx, insn);
      else store(cx, insn);
      return next;
    case BPF_LD:
      if (opcode === OP_LDDW) {
        lddw(cx, insn);
        return next;
      }
      loadPacket(cx, insn);
      return outsidePacket(cx, next);
    default:
      return jump(cx, insn, next);
  }
}

function jump(cx: Context, insn: Insn, next: number): number | undefined {
  // Calls and exits count, too: states are saved by this measure.
  cx.jumps++;
  switch (insn.opcode) {
    case OP_CALL:
      return call(cx, insn, next);
    case OP_CALLX:
      return cx.unsupported("callx", "calls through a register are not checked");
    case OP_EXIT:
      return leave(cx);
    case OP_JA:
    case OP_GOTOL:
      return jumpTarget(insn);
    case OP_MAY_GOTO:
      return mayGoto(cx, jumpTarget(insn), next);
    default:
      return condJump(cx, insn, jumpTarget(insn), next);
  }
}

/**
 * A legacy load outside the packet ends its function with 0: in the program itself that is the end, in another function
 * the caller goes on, and that path is walked too.
 */
function outsidePacket(cx: Context, next: number): number {
  const { frame, frames } = cx.state;
  if (frame.callback) cx.reject("legacy-load", "a callback has no legacy packet loads (ld_abs, ld_ind)");
  if (frames.length === 1) return next;
  cx.push(next, cx.state.clone());
  cx.setReg(0, scalarReg(constScalar(0n)));
  return exit(cx)!;
}

/**
 * A loop that the machine itself ends after at most 8 million rounds: both leaving and one more round are walked, the
 * round with what changed since the last one forgotten.
 */
function mayGoto(cx: Context, target: number, next: number): number {
  const { state } = cx;
  // The state itself was saved just now: the round before is behind it.
  const before = previousVisit(state, cx.pc, state.parent?.parent);
  const round = cx.push(next, state.clone());
  round.mayGotoDepth++;
  if (before) widen(before, round);
  return target;
}

function leave(cx: Context): number | undefined {
  const back = exit(cx);
  if (back !== undefined) return back;
  const { callback } = cx.frame;
  if (callback) {
    checkNothingHeld(cx, "the callback ends");
    checkResult(cx, readReg(cx, 0), callback);
    return undefined;
  }
  if (!cx.traced || tracedRange(cx.traced) !== "void" || cx.root) readReg(cx, 0);
  checkNothingHeld(cx, "the program ends");
  checkReturn(cx);
  return undefined;
}

function lddw(cx: Context, insn: Insn): void {
  if (insn.dst === BPF_REG_FP) cx.reject("frame-pointer", "r10, the frame pointer, is read-only", { register: 10 });
  switch (insn.src) {
    case 0:
      cx.setReg(insn.dst, scalarReg(constScalar(lddwValue(insn))));
      return;
    case BPF_PSEUDO_MAP_FD:
    case BPF_PSEUDO_MAP_IDX: {
      const map = mapOf(cx, insn);
      cx.setReg(insn.dst, pointer(Kind.MAP_PTR, { obj: map }));
      return;
    }
    case BPF_PSEUDO_MAP_VALUE:
    case BPF_PSEUDO_MAP_IDX_VALUE: {
      const map = mapOf(cx, insn);
      const off = valueOffset(cx, insn);
      const arena = map.spec.type === MapType.BPF_MAP_TYPE_ARENA;
      cx.setReg(insn.dst, arena ? scalarReg(UNKNOWN) : pointer(Kind.MAP_VALUE, { obj: map, off }));
      return;
    }
    case BPF_PSEUDO_FUNC:
      checkCallback(cx, calledPc(insn));
      cx.setReg(insn.dst, pointer(Kind.FUNC, { num: calledPc(insn) }));
      return;
    case BPF_PSEUDO_BTF_ID:
      cx.setReg(insn.dst, kernelVariable(cx, insn));
      return;
    default:
      cx.reject("encoding", `lddw kind ${insn.src} is unknown`);
  }
}

/** The address of a kernel variable, by its type. Source: kernel/bpf/verifier.c `check_pseudo_btf_id`. */
function kernelVariable(cx: Context, insn: Insn): Reg {
  const reloc = cx.relocAt.get(insn.pc);
  if (reloc?.kind !== "ksym")
    return cx.reject("ksym", "the instruction loads a kernel variable, but no relocation says which");
  const { kernel } = cx.types;
  if (!kernel) {
    return cx.unsupported("kernel-btf", `the type of the kernel's ${reloc.name} is in its BTF, and none was given`, {
      fix: "give the kernel's BTF (/sys/kernel/btf/vmlinux, or a file)",
    });
  }
  const id = kernel.find(reloc.name, "var");
  const variable = id === undefined ? undefined : kernel.type(id);
  if (variable?.kind !== "var") {
    if (kernel.find(reloc.name, "func") !== undefined) return pointer(Kind.MEM, { flags: RDONLY });
    // A weak function that this kernel lacks has the address 0; of what has no type only the kernel knows the address.
    const missing = reloc.weak && cx.types.program?.find(reloc.name, "func") !== undefined;
    return scalarReg(missing ? constScalar(0n) : UNKNOWN);
  }
  const type = resolve(kernel, variable.type);
  const { kind } = kernel.type(type);
  if (isPerCpu(kernel, id!)) return pointer(Kind.BTF_ID, { flags: PERCPU, obj: cx.types.byId(type) });
  if (kind === "struct" || kind === "union") return pointer(Kind.BTF_ID, { obj: cx.types.byId(type) });
  return pointer(Kind.MEM, { flags: RDONLY, num: sizeOf(kernel, type) });
}

const perCpuVariables = new WeakMap<Btf, Set<number>>();

/** The variable lies in the kernel's per-CPU section. */
function isPerCpu(kernel: Btf, id: number): boolean {
  let found = perCpuVariables.get(kernel);
  if (!found) {
    found = new Set();
    for (const name of [".data..percpu", ".data..percpu..hot"]) {
      const section = kernel.find(name, "datasec");
      const type = section === undefined ? undefined : kernel.type(section);
      if (type?.kind === "datasec") for (const v of type.vars) found.add(v.type);
    }
    perCpuVariables.set(kernel, found);
  }
  return found.has(id);
}

/** A function whose address is taken is walked with what its helper passes: BTF must say that it is static. */
function checkCallback(cx: Context, target: number): void {
  const callee = cx.signatures.get(target);
  if (!callee) {
    cx.reject("callback", "a function whose address is taken must be described by BTF (func_info)", {
      fix: "build with -g, and load with the object's BTF",
    });
  }
  if (callee.global || target === 0) {
    cx.reject("callback", `${callee.name} is called back and must be a static function`, { fix: "declare it static" });
  }
}

function mapOf(cx: Context, insn: Insn): MapRef {
  const map = mapNamed(cx, insn);
  cx.mapsUsed.add(map.name);
  return map;
}
