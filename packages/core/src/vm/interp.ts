/**
 * The interpreter: runs a prepared program one insn after the other over wasm memory.
 *
 * Registers are two Int32Arrays (low and high halves); 64-bit integers in JavaScript are either slower or allocate.
 * `execute` runs until the program ends or its fuel is used up, so one loop serves whole runs, budgets and stepping.
 * Addresses are the low half of a register: the verifier, or guard.ts, answers for the rest.
 * Read code.ts first. Source: RFC 9669; kernel/bpf/core.c 6.18 `___bpf_prog_run` for what the RFC leaves open.
 */
import { InternalError } from "../errors/index.ts";
import {
  BPF_CMPXCHG,
  BPF_FETCH,
  BPF_IND,
  BPF_LOAD_ACQ,
  BPF_STORE_REL,
  BPF_XCHG,
  MAX_CALL_FRAMES,
  MAX_REG,
  MODE_MASK,
  STACK_SIZE,
} from "../isa/index.ts";
import { type Code, sizeBytes } from "./code.ts";

/** Why `execute` came back. */
export const EXIT = 0;
export const OUT_OF_FUEL = 1;
export const FAULT = 2;

/** Iterations that may_goto grants to one call of a function. Source: include/linux/bpf.h BPF_MAX_LOOPS. */
export const MAY_GOTO_LIMIT = 8 * 1024 * 1024;

/** Reads arguments from r1-r5 and leaves the result in r0, all in the register halves given. */
export type HelperCall = (lo: Int32Array, hi: Int32Array) => void;

/** A callback that a helper runs many times (bpf_loop, bpf_for_each_map_elem …), as data, so that it can be copied. */
export interface CallbackLoop {
  /** First slot of the callback. */
  readonly fn: number;
  /** Low halves of the next call's r1-r5; the high halves are 0. */
  readonly args: Int32Array;
  /** Where the helper stands; it alone reads and writes it. */
  i: number;
  readonly n: number;
  /** The helper's own numbers (a map's address …). */
  readonly data: number[];
  /** The helper's r0 once the loop is over. */
  result: number;
  /** Takes the callback's r0 (low half) and sets `args` for another call, or answers false when the loop is over. */
  next: (this: CallbackLoop, r0: number) => boolean;
}

/** What the interpreter asks of its surroundings. */
export interface InterpEnv {
  /** The memory; replaced by its owner when it grows, so read again after every call. */
  readonly view: DataView;
  readonly shared: boolean;
  /** Legacy packet load: the value, or undefined when the packet is too short. `ctx` is r6. */
  loadPacket(ctx: number, offset: number, size: number): number | undefined;
  /** The program in a prog array's slot, or undefined. */
  tailCallTarget(map: number, index: number): Linked | undefined;
}

/** A program with its calls resolved: what `execute` runs. */
export interface Linked {
  readonly code: Code;
  /** By slot of the call insn. */
  readonly calls: readonly (HelperCall | undefined)[];
  /** By slot: starts a callback loop, or answers r0 at once (as a number, sign-extended). */
  readonly loops: readonly (((lo: Int32Array, hi: Int32Array) => CallbackLoop | number) | undefined)[];
  /** Helpers that callx may reach, by number. */
  readonly callByNumber: (id: number) => HelperCall | undefined;
}

const FRAME_INTS = 12;

/** What `Activation.save` gives. Opaque to others. */
export interface ActivationState {
  readonly prog: Linked;
  readonly pc: number;
  readonly depth: number;
  readonly tailCalls: number;
  readonly executed: number;
  readonly mayGoto: number;
  readonly lo: Int32Array;
  readonly hi: Int32Array;
  readonly saved: Int32Array;
  readonly savedProg: readonly Linked[];
  readonly loops: readonly (CallbackLoop | undefined)[];
}

/** One activation: registers, call stack, place. Reused over runs; `reset` starts anew. */
export class Activation {
  prog: Linked;
  /** Register file halves: r0-r10, then the constants of the program that runs. */
  lo: Int32Array;
  hi: Int32Array;
  pc = 0;
  depth = 0;
  tailCalls = 0;
  /** Why the last `execute` answered FAULT. */
  fault = "";
  /** Insns executed since `reset`. */
  executed = 0;
  /** Per frame: r6-r9 low and high, return slot, may_goto's count of the *caller*. */
  readonly saved = new Int32Array(MAX_CALL_FRAMES * FRAME_INTS);
  readonly savedProg: Linked[] = [];
  readonly loops: (CallbackLoop | undefined)[] = new Array(MAX_CALL_FRAMES).fill(undefined);
  mayGoto = MAY_GOTO_LIMIT;
  /** Lowest address of the 8 stacks; frame n has its r10 at `stack + (n + 1) * 512`. */
  readonly stack: number;
  readonly #files = new Map<Code, { lo: Int32Array; hi: Int32Array }>();

  constructor(prog: Linked, stack: number) {
    this.prog = prog;
    this.stack = stack;
    const file = this.#file(prog.code);
    this.lo = file.lo;
    this.hi = file.hi;
  }

  /** Places the activation at the start of a function with up to five 32-bit arguments. */
  reset(prog: Linked, pc: number, args: readonly number[]): void {
    this.enter(prog);
    this.pc = pc;
    this.depth = 0;
    this.tailCalls = 0;
    this.executed = 0;
    this.mayGoto = MAY_GOTO_LIMIT;
    this.loops.fill(undefined);
    const { lo, hi } = this;
    for (let i = 0; i < MAX_REG; i++) lo[i] = hi[i] = 0;
    for (let i = 0; i < args.length; i++) lo[i + 1] = args[i]!;
    lo[10] = this.stack + STACK_SIZE;
  }

  /**
   * `reset` to the program's start for code that reads no register before writing it: only r1 and r10 are set.
   * Nothing of a call or loop is left over after a run that ended by itself.
   */
  begin(prog: Linked, ctx: number): void {
    if (this.prog !== prog) this.enter(prog);
    this.pc = 0;
    this.depth = 0;
    this.tailCalls = 0;
    this.executed = 0;
    this.mayGoto = MAY_GOTO_LIMIT;
    const { lo, hi } = this;
    lo[1] = ctx;
    hi[1] = 0;
    lo[10] = this.stack + STACK_SIZE;
    hi[10] = 0;
  }

  /** Makes `prog` the one that runs; registers are carried over. */
  enter(prog: Linked): void {
    if (this.prog === prog) return;
    const file = this.#file(prog.code);
    file.lo.set(this.lo.subarray(0, MAX_REG));
    file.hi.set(this.hi.subarray(0, MAX_REG));
    this.prog = prog;
    this.lo = file.lo;
    this.hi = file.hi;
  }

  /** All of the activation's state as data; `restore` puts it back. The memory is not part of it. */
  save(): ActivationState {
    const copy = (loop: CallbackLoop | undefined): CallbackLoop | undefined =>
      loop && { ...loop, args: loop.args.slice(), data: loop.data.slice() };
    return {
      prog: this.prog,
      pc: this.pc,
      depth: this.depth,
      tailCalls: this.tailCalls,
      executed: this.executed,
      mayGoto: this.mayGoto,
      lo: this.lo.slice(0, MAX_REG),
      hi: this.hi.slice(0, MAX_REG),
      saved: this.saved.slice(),
      savedProg: this.savedProg.slice(),
      loops: this.loops.map(copy),
    };
  }

  restore(state: ActivationState): void {
    this.enter(state.prog);
    this.pc = state.pc;
    this.depth = state.depth;
    this.tailCalls = state.tailCalls;
    this.executed = state.executed;
    this.mayGoto = state.mayGoto;
    this.lo.set(state.lo);
    this.hi.set(state.hi);
    this.saved.set(state.saved);
    this.savedProg.splice(0, this.savedProg.length, ...state.savedProg);
    state.loops.forEach((loop, i) => {
      this.loops[i] = loop && { ...loop, args: loop.args.slice(), data: loop.data.slice() };
    });
  }

  /** Begins a call: false when there is no frame left. */
  push(target: number, loop: CallbackLoop | undefined): boolean {
    if (this.depth >= MAX_CALL_FRAMES - 1) {
      this.fault = `call depth: expected at most ${MAX_CALL_FRAMES} frames`;
      return false;
    }
    const { saved, lo, hi } = this;
    const at = this.depth * FRAME_INTS;
    for (let r = 0; r < 4; r++) {
      saved[at + r] = lo[6 + r]!;
      saved[at + 4 + r] = hi[6 + r]!;
    }
    saved[at + 8] = this.pc;
    saved[at + 9] = this.mayGoto;
    this.savedProg[this.depth] = this.prog;
    this.depth++;
    this.loops[this.depth] = loop;
    this.mayGoto = MAY_GOTO_LIMIT;
    lo[10] = this.stack + (this.depth + 1) * STACK_SIZE;
    hi[10] = 0;
    this.pc = target;
    return true;
  }

  /** Ends a call; a callback's loop goes round again while it wants to. */
  pop(): void {
    const loop = this.loops[this.depth];
    const { saved } = this;
    const at = (this.depth - 1) * FRAME_INTS;
    this.enter(this.savedProg[this.depth - 1]!);
    const { lo, hi } = this;
    if (loop) {
      if (loop.next(lo[0]!)) {
        this.#arguments(loop);
        this.mayGoto = MAY_GOTO_LIMIT;
        this.pc = loop.fn;
        return;
      }
      lo[0] = loop.result;
      hi[0] = loop.result >> 31;
      this.loops[this.depth] = undefined;
    }
    for (let r = 0; r < 4; r++) {
      lo[6 + r] = saved[at + r]!;
      hi[6 + r] = saved[at + 4 + r]!;
    }
    this.pc = saved[at + 8]!;
    this.mayGoto = saved[at + 9]!;
    this.depth--;
    lo[10] = this.stack + (this.depth + 1) * STACK_SIZE;
    hi[10] = 0;
  }

  /** Begins a callback loop whose `args` are set. */
  startLoop(loop: CallbackLoop): boolean {
    if (!this.push(loop.fn, loop)) return false;
    this.#arguments(loop);
    return true;
  }

  #arguments(loop: CallbackLoop): void {
    for (let i = 0; i < 5; i++) {
      this.lo[i + 1] = loop.args[i]!;
      this.hi[i + 1] = 0;
    }
  }

  #file(code: Code): { lo: Int32Array; hi: Int32Array } {
    let file = this.#files.get(code);
    if (!file) {
      file = {
        lo: new Int32Array(MAX_REG + code.poolLo.length),
        hi: new Int32Array(MAX_REG + code.poolLo.length),
      };
      file.lo.set(code.poolLo, MAX_REG);
      file.hi.set(code.poolHi, MAX_REG);
      this.#files.set(code, file);
    }
    return file;
  }
}

/** Scratch for 64-bit division: dividend, divisor; the result replaces the dividend. */
const wide = new Int32Array(4);
const wideU = new BigUint64Array(wide.buffer);
const wideS = new BigInt64Array(wide.buffer);

/**
 * Runs from the activation's place until the program ends (EXIT: r0 holds its result), `fuel` insns are done
 * (OUT_OF_FUEL: call again to go on) or it cannot go on (FAULT: see `a.fault`, `a.pc` is the insn that failed).
 * @throws RangeError when an unverified program leaves the memory.
 */
export function execute(a: Activation, env: InterpEnv, fuel: number): number {
  let { lo, hi } = a;
  let prog = a.prog;
  let { op, dst, src, off, imm } = prog.code;
  let mem = env.view;
  let pc = a.pc;
  const start = fuel;
  for (;;) {
    if (--fuel < 0) {
      a.pc = pc;
      a.executed += start;
      return OUT_OF_FUEL;
    }
    const i = pc++;
    const d = dst[i]!;
    const s = src[i]!;
    switch (op[i]) {
      // ---- 64-bit arithmetic
      case 0x0f: {
        const l = (lo[d]! + lo[s]!) | 0;
        hi[d] = hi[d]! + hi[s]! + (l >>> 0 < lo[s]! >>> 0 ? 1 : 0);
        lo[d] = l;
        break;
      }
      case 0x1f: {
        const x = lo[d]!;
        const y = lo[s]!;
        hi[d] = hi[d]! - hi[s]! - (x >>> 0 < y >>> 0 ? 1 : 0);
        lo[d] = x - y;
        break;
      }
      case 0x2f: {
        const x = lo[d]!;
        const y = lo[s]!;
        hi[d] = mulHigh(x, y) + Math.imul(x, hi[s]!) + Math.imul(hi[d]!, y);
        lo[d] = Math.imul(x, y);
        break;
      }
      case 0x3f:
        if ((lo[s]! | hi[s]!) === 0) lo[d] = hi[d] = 0;
        else if ((hi[d]! | hi[s]!) === 0) lo[d] = (lo[d]! >>> 0) / (lo[s]! >>> 0);
        else {
          loadWide(lo[d]!, hi[d]!, lo[s]!, hi[s]!);
          wideU[0] = wideU[0]! / wideU[1]!;
          lo[d] = wide[0]!;
          hi[d] = wide[1]!;
        }
        break;
      case 0x9f:
        if ((lo[s]! | hi[s]!) === 0) break;
        if ((hi[d]! | hi[s]!) === 0) lo[d] = (lo[d]! >>> 0) % (lo[s]! >>> 0);
        else {
          loadWide(lo[d]!, hi[d]!, lo[s]!, hi[s]!);
          wideU[0] = wideU[0]! % wideU[1]!;
          lo[d] = wide[0]!;
          hi[d] = wide[1]!;
        }
        break;
      case 257: // sdiv64: storing into 64 bits wraps INT64_MIN / -1
        if ((lo[s]! | hi[s]!) === 0) lo[d] = hi[d] = 0;
        else {
          loadWide(lo[d]!, hi[d]!, lo[s]!, hi[s]!);
          wideS[0] = wideS[0]! / wideS[1]!;
          lo[d] = wide[0]!;
          hi[d] = wide[1]!;
        }
        break;
      case 259: // smod64
        if ((lo[s]! | hi[s]!) === 0) break;
        loadWide(lo[d]!, hi[d]!, lo[s]!, hi[s]!);
        wideS[0] = wideS[0]! % wideS[1]!;
        lo[d] = wide[0]!;
        hi[d] = wide[1]!;
        break;
      case 0x4f:
        lo[d] = lo[d]! | lo[s]!;
        hi[d] = hi[d]! | hi[s]!;
        break;
      case 0x5f:
        lo[d] = lo[d]! & lo[s]!;
        hi[d] = hi[d]! & hi[s]!;
        break;
      case 0xaf:
        lo[d] = lo[d]! ^ lo[s]!;
        hi[d] = hi[d]! ^ hi[s]!;
        break;
      case 0x6f: {
        const k = lo[s]! & 63;
        if (k > 31) {
          hi[d] = lo[d]! << (k - 32);
          lo[d] = 0;
        } else if (k) {
          hi[d] = (hi[d]! << k) | (lo[d]! >>> (32 - k));
          lo[d] = lo[d]! << k;
        }
        break;
      }
      case 0x7f: {
        const k = lo[s]! & 63;
        if (k > 31) {
          lo[d] = hi[d]! >>> (k - 32);
          hi[d] = 0;
        } else if (k) {
          lo[d] = (lo[d]! >>> k) | (hi[d]! << (32 - k));
          hi[d] = hi[d]! >>> k;
        }
        break;
      }
      case 0xcf: {
        const k = lo[s]! & 63;
        if (k > 31) {
          lo[d] = hi[d]! >> (k - 32);
          hi[d] = hi[d]! >> 31;
        } else if (k) {
          lo[d] = (lo[d]! >>> k) | (hi[d]! << (32 - k));
          hi[d] = hi[d]! >> k;
        }
        break;
      }
      case 0x87: {
        const l = -lo[d]! | 0;
        hi[d] = l === 0 ? -hi[d]! : ~hi[d]!;
        lo[d] = l;
        break;
      }
      case 0xbf:
        lo[d] = lo[s]!;
        hi[d] = hi[s]!;
        break;
      case 262:
        lo[d] = (lo[s]! << 24) >> 24;
        hi[d] = lo[d]! >> 31;
        break;
      case 263:
        lo[d] = (lo[s]! << 16) >> 16;
        hi[d] = lo[d]! >> 31;
        break;
      case 264:
        lo[d] = lo[s]!;
        hi[d] = lo[d]! >> 31;
        break;
      case 0x18: // lddw
        lo[d] = lo[s]!;
        hi[d] = hi[s]!;
        pc++;
        break;

      // ---- 32-bit arithmetic: the high half of the result is zero
      case 0x0c:
        lo[d] = lo[d]! + lo[s]!;
        hi[d] = 0;
        break;
      case 0x1c:
        lo[d] = lo[d]! - lo[s]!;
        hi[d] = 0;
        break;
      case 0x2c:
        lo[d] = Math.imul(lo[d]!, lo[s]!);
        hi[d] = 0;
        break;
      case 0x3c:
        lo[d] = lo[s] === 0 ? 0 : (lo[d]! >>> 0) / (lo[s]! >>> 0);
        hi[d] = 0;
        break;
      case 0x9c:
        if (lo[s] !== 0) lo[d] = (lo[d]! >>> 0) % (lo[s]! >>> 0);
        hi[d] = 0;
        break;
      case 256: // sdiv32
        lo[d] = lo[s] === 0 ? 0 : lo[d]! / lo[s]!;
        hi[d] = 0;
        break;
      case 258: // smod32
        if (lo[s] !== 0) lo[d] = lo[d]! % lo[s]!;
        hi[d] = 0;
        break;
      case 0x4c:
        lo[d] = lo[d]! | lo[s]!;
        hi[d] = 0;
        break;
      case 0x5c:
        lo[d] = lo[d]! & lo[s]!;
        hi[d] = 0;
        break;
      case 0xac:
        lo[d] = lo[d]! ^ lo[s]!;
        hi[d] = 0;
        break;
      case 0x6c:
        lo[d] = lo[d]! << lo[s]!;
        hi[d] = 0;
        break;
      case 0x7c:
        lo[d] = lo[d]! >>> lo[s]!;
        hi[d] = 0;
        break;
      case 0xcc:
        lo[d] = lo[d]! >> lo[s]!;
        hi[d] = 0;
        break;
      case 0x84:
        lo[d] = -lo[d]!;
        hi[d] = 0;
        break;
      case 0xbc:
        lo[d] = lo[s]!;
        hi[d] = 0;
        break;
      case 260:
        lo[d] = (lo[s]! << 24) >> 24;
        hi[d] = 0;
        break;
      case 261:
        lo[d] = (lo[s]! << 16) >> 16;
        hi[d] = 0;
        break;

      // ---- byte order
      case 265:
        lo[d] = lo[d]! & 0xffff;
        hi[d] = 0;
        break;
      case 266:
        hi[d] = 0;
        break;
      case 267:
        break;
      case 268:
        lo[d] = ((lo[d]! & 0xff) << 8) | ((lo[d]! >>> 8) & 0xff);
        hi[d] = 0;
        break;
      case 269:
        lo[d] = swap32(lo[d]!);
        hi[d] = 0;
        break;
      case 270: {
        const l = swap32(lo[d]!);
        lo[d] = swap32(hi[d]!);
        hi[d] = l;
        break;
      }

      // ---- loads
      case 0x61:
        lo[d] = mem.getInt32((lo[s]! + off[i]!) >>> 0, true);
        hi[d] = 0;
        break;
      case 0x69:
        lo[d] = mem.getUint16((lo[s]! + off[i]!) >>> 0, true);
        hi[d] = 0;
        break;
      case 0x71:
        lo[d] = mem.getUint8((lo[s]! + off[i]!) >>> 0);
        hi[d] = 0;
        break;
      case 0x79: {
        const at = (lo[s]! + off[i]!) >>> 0;
        lo[d] = mem.getInt32(at, true);
        hi[d] = mem.getInt32(at + 4, true);
        break;
      }
      case 0x81:
        lo[d] = mem.getInt32((lo[s]! + off[i]!) >>> 0, true);
        hi[d] = lo[d]! >> 31;
        break;
      case 0x89:
        lo[d] = mem.getInt16((lo[s]! + off[i]!) >>> 0, true);
        hi[d] = lo[d]! >> 31;
        break;
      case 0x91:
        lo[d] = mem.getInt8((lo[s]! + off[i]!) >>> 0);
        hi[d] = lo[d]! >> 31;
        break;

      // ---- stores
      case 0x63:
        mem.setInt32((lo[d]! + off[i]!) >>> 0, lo[s]!, true);
        break;
      case 0x6b:
        mem.setInt16((lo[d]! + off[i]!) >>> 0, lo[s]!, true);
        break;
      case 0x73:
        mem.setInt8((lo[d]! + off[i]!) >>> 0, lo[s]!);
        break;
      case 0x7b: {
        const at = (lo[d]! + off[i]!) >>> 0;
        // The high half first: an access that leaves the memory must not write half of its value.
        mem.setInt32(at + 4, hi[s]!, true);
        mem.setInt32(at, lo[s]!, true);
        break;
      }
      case 275:
        atomic(a, env, i);
        break;

      // ---- jumps: off holds the target slot
      case 0x05:
        pc = off[i]!;
        break;
      case 0x1d:
        if (lo[d] === lo[s] && hi[d] === hi[s]) pc = off[i]!;
        break;
      case 0x5d:
        if (lo[d] !== lo[s] || hi[d] !== hi[s]) pc = off[i]!;
        break;
      case 0x4d:
        if ((lo[d]! & lo[s]!) | (hi[d]! & hi[s]!)) pc = off[i]!;
        break;
      case 0x2d:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 > lo[s]! >>> 0 : hi[d]! >>> 0 > hi[s]! >>> 0) pc = off[i]!;
        break;
      case 0x3d:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 >= lo[s]! >>> 0 : hi[d]! >>> 0 > hi[s]! >>> 0) pc = off[i]!;
        break;
      case 0xad:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 < lo[s]! >>> 0 : hi[d]! >>> 0 < hi[s]! >>> 0) pc = off[i]!;
        break;
      case 0xbd:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 <= lo[s]! >>> 0 : hi[d]! >>> 0 < hi[s]! >>> 0) pc = off[i]!;
        break;
      case 0x6d:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 > lo[s]! >>> 0 : hi[d]! > hi[s]!) pc = off[i]!;
        break;
      case 0x7d:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 >= lo[s]! >>> 0 : hi[d]! > hi[s]!) pc = off[i]!;
        break;
      case 0xcd:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 < lo[s]! >>> 0 : hi[d]! < hi[s]!) pc = off[i]!;
        break;
      case 0xdd:
        if (hi[d] === hi[s] ? lo[d]! >>> 0 <= lo[s]! >>> 0 : hi[d]! < hi[s]!) pc = off[i]!;
        break;
      case 0x1e:
        if (lo[d] === lo[s]) pc = off[i]!;
        break;
      case 0x5e:
        if (lo[d] !== lo[s]) pc = off[i]!;
        break;
      case 0x4e:
        if (lo[d]! & lo[s]!) pc = off[i]!;
        break;
      case 0x2e:
        if (lo[d]! >>> 0 > lo[s]! >>> 0) pc = off[i]!;
        break;
      case 0x3e:
        if (lo[d]! >>> 0 >= lo[s]! >>> 0) pc = off[i]!;
        break;
      case 0xae:
        if (lo[d]! >>> 0 < lo[s]! >>> 0) pc = off[i]!;
        break;
      case 0xbe:
        if (lo[d]! >>> 0 <= lo[s]! >>> 0) pc = off[i]!;
        break;
      case 0x6e:
        if (lo[d]! > lo[s]!) pc = off[i]!;
        break;
      case 0x7e:
        if (lo[d]! >= lo[s]!) pc = off[i]!;
        break;
      case 0xce:
        if (lo[d]! < lo[s]!) pc = off[i]!;
        break;
      case 0xde:
        if (lo[d]! <= lo[s]!) pc = off[i]!;
        break;
      case 0xe5: // may_goto
        if (a.mayGoto === 0) pc = off[i]!;
        else a.mayGoto--;
        break;

      // ---- calls
      case 0x85:
        a.pc = i; // for who catches what a helper throws
        prog.calls[i]!(lo, hi);
        mem = env.view;
        break;
      case 0x8d: {
        const call = hi[d] === 0 ? prog.callByNumber(lo[d]!) : undefined;
        if (!call) {
          a.pc = i;
          a.executed += start - fuel;
          a.fault = `callx: r${d} holds no helper's number`;
          return FAULT;
        }
        call(lo, hi);
        mem = env.view;
        break;
      }
      case 271: // call of a subprogram
        a.pc = pc;
        if (!a.push(off[i]!, undefined)) {
          a.pc = i;
          a.executed += start - fuel;
          return FAULT;
        }
        pc = a.pc;
        break;
      case 272: {
        a.pc = pc;
        const loop = prog.loops[i]!(lo, hi);
        if (typeof loop === "number") {
          lo[0] = loop;
          hi[0] = loop >> 31;
        } else if (!a.startLoop(loop)) {
          a.pc = i;
          a.executed += start - fuel;
          return FAULT;
        }
        pc = a.pc;
        mem = env.view;
        break;
      }
      case 273: {
        const next = a.tailCalls < 33 ? env.tailCallTarget(lo[2]!, lo[3]!) : undefined;
        if (next) {
          a.tailCalls++;
          a.enter(next);
          ({ lo, hi, prog } = a);
          ({ op, dst, src, off, imm } = prog.code);
          a.mayGoto = MAY_GOTO_LIMIT;
          pc = 0;
        } else {
          lo[0] = -2; // ENOENT
          hi[0] = -1;
        }
        break;
      }
      case 276: // legacy packet load: beyond the packet it ends the function with 0, as exit does
      case 0x95:
        if (op[i] === 276) {
          const opcode = prog.code.at[i]!.opcode;
          const at = (imm[i]! + ((opcode & MODE_MASK) === BPF_IND ? lo[s]! : 0)) | 0;
          const value = env.loadPacket(lo[6]!, at, sizeBytes(opcode));
          lo[0] = value ?? 0;
          hi[0] = 0;
          if (value !== undefined) break;
        }
        if (a.depth === 0) {
          a.pc = i;
          a.executed += start - fuel;
          return EXIT;
        }
        a.pop();
        if (a.prog !== prog) {
          ({ lo, hi, prog } = a);
          ({ op, dst, src, off, imm } = prog.code);
        }
        pc = a.pc;
        break;
      default:
        throw new InternalError(`interpreter: no case for ${op[i]} at slot ${i}`);
    }
  }
}

/** High 32 bits of the product of two unsigned 32-bit numbers, up to a multiple of 2^32. */
function mulHigh(x: number, y: number): number {
  const x0 = x & 0xffff;
  const x1 = x >>> 16;
  const y0 = y & 0xffff;
  const y1 = y >>> 16;
  const p01 = Math.imul(x0, y1) >>> 0;
  const p10 = Math.imul(x1, y0) >>> 0;
  const mid = (Math.imul(x0, y0) >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
  return Math.imul(x1, y1) + (p01 >>> 16) + (p10 >>> 16) + (mid >>> 16);
}

function swap32(x: number): number {
  return (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24);
}

function loadWide(xl: number, xh: number, yl: number, yh: number): void {
  wide[0] = xl;
  wide[1] = xh;
  wide[2] = yl;
  wide[3] = yh;
}

/** All of BPF_ATOMIC. On shared memory and an aligned address the operations are JavaScript's Atomics. */
function atomic(a: Activation, env: InterpEnv, i: number): void {
  const { code } = a.prog;
  const { lo, hi } = a;
  const d = code.dst[i]!;
  const s = code.src[i]!;
  const kind = code.imm[i]!;
  const size = sizeBytes(code.at[i]!.opcode);
  const base = kind === BPF_LOAD_ACQ ? s : d;
  const at = (lo[base]! + code.off[i]!) >>> 0;
  const view = env.view;
  if (kind === BPF_LOAD_ACQ) {
    if (size === 8) {
      const value = load64(env, at);
      setRegister(a, d, value);
    } else {
      lo[d] = size === 4 ? load32(env, at) : size === 2 ? view.getUint16(at, true) : view.getUint8(at);
      hi[d] = 0;
    }
    return;
  }
  if (kind === BPF_STORE_REL) {
    if (size === 8) store64(env, at, register(a, s));
    else if (size === 4) store32(env, at, lo[s]!);
    else if (size === 2) view.setInt16(at, lo[s]!, true);
    else view.setInt8(at, lo[s]!);
    return;
  }
  if (size === 4) {
    const old = kind === BPF_CMPXCHG ? cmpxchg32(env, at, lo[0]!, lo[s]!) : modify32(env, at, kind, lo[s]!);
    const result = kind === BPF_CMPXCHG ? 0 : kind & BPF_FETCH ? s : -1;
    if (result >= 0) {
      lo[result] = old;
      hi[result] = 0;
    }
  } else {
    const operand = register(a, s);
    const old = kind === BPF_CMPXCHG ? cmpxchg64(env, at, register(a, 0), operand) : modify64(env, at, kind, operand);
    const result = kind === BPF_CMPXCHG ? 0 : kind & BPF_FETCH ? s : -1;
    if (result >= 0) setRegister(a, result, old);
  }
}

function register(a: Activation, r: number): bigint {
  wide[0] = a.lo[r]!;
  wide[1] = a.hi[r]!;
  return wideU[0]!;
}

function setRegister(a: Activation, r: number, value: bigint): void {
  wideU[0] = value;
  a.lo[r] = wide[0]!;
  a.hi[r] = wide[1]!;
}

function isAtomic(env: InterpEnv, at: number, size: number): boolean {
  return env.shared && at % size === 0;
}

function load32(env: InterpEnv, at: number): number {
  return isAtomic(env, at, 4) ? Atomics.load(new Int32Array(env.view.buffer), at >> 2) : env.view.getInt32(at, true);
}

function store32(env: InterpEnv, at: number, value: number): void {
  if (isAtomic(env, at, 4)) Atomics.store(new Int32Array(env.view.buffer), at >> 2, value);
  else env.view.setInt32(at, value, true);
}

function load64(env: InterpEnv, at: number): bigint {
  if (isAtomic(env, at, 8)) return Atomics.load(new BigUint64Array(env.view.buffer), at >>> 3);
  return env.view.getBigUint64(at, true);
}

function store64(env: InterpEnv, at: number, value: bigint): void {
  if (isAtomic(env, at, 8)) Atomics.store(new BigUint64Array(env.view.buffer), at >>> 3, value);
  else env.view.setBigUint64(at, value, true);
}

function cmpxchg32(env: InterpEnv, at: number, expected: number, value: number): number {
  if (isAtomic(env, at, 4)) return Atomics.compareExchange(new Int32Array(env.view.buffer), at >> 2, expected, value);
  const old = env.view.getInt32(at, true);
  if (old === expected) env.view.setInt32(at, value, true);
  return old;
}

function cmpxchg64(env: InterpEnv, at: number, expected: bigint, value: bigint): bigint {
  if (isAtomic(env, at, 8)) {
    return Atomics.compareExchange(new BigUint64Array(env.view.buffer), at >>> 3, expected, value);
  }
  const old = env.view.getBigUint64(at, true);
  if (old === expected) env.view.setBigUint64(at, value, true);
  return old;
}

/** add, or, and, xor, xchg on 4 bytes: answers what was there. */
function modify32(env: InterpEnv, at: number, kind: number, x: number): number {
  for (;;) {
    const old = load32(env, at);
    const value =
      kind === BPF_XCHG ? x : kind < 0x40 ? old + x : kind < 0x50 ? old | x : kind < 0xa0 ? old & x : old ^ x;
    if (cmpxchg32(env, at, old, value | 0) === old) return old;
  }
}

function modify64(env: InterpEnv, at: number, kind: number, x: bigint): bigint {
  for (;;) {
    const old = load64(env, at);
    const value =
      kind === BPF_XCHG ? x : kind < 0x40 ? old + x : kind < 0x50 ? old | x : kind < 0xa0 ? old & x : old ^ x;
    if (cmpxchg64(env, at, old, BigInt.asUintN(64, value)) === old) return old;
  }
}
