/** The interpreter as an engine: binds calls to helper implementations and keeps one activation a program. */
import { BpfError, InternalError } from "../errors/index.ts";
import { BPF_PSEUDO_KFUNC_CALL, MAX_CALL_FRAMES, OP_CALL, STACK_SIZE } from "../isa/index.ts";
import { OP, prepare } from "./code.ts";
import type { Resolved, Runner } from "./engine.ts";
import type { Env, HelperImpl, LoopHelper } from "./env.ts";
import { helperImpl } from "./helpers/index.ts";
import { Activation, EXIT, execute, type HelperCall, type InterpEnv, type Linked, OUT_OF_FUEL } from "./interp.ts";
import { CPU } from "./layout.ts";
import type { Machine } from "./machine.ts";
import { TAIL_CALL } from "./resolve.ts";

/** Insns after which a run that nobody limited is given up: as many as fit in a double's integers is "never". */
const NO_LIMIT = 2 ** 31 - 1;

/** A run that cannot go on: an engine's last word on bytecode that no verifier let through. */
export class RunError extends BpfError {
  readonly pc: number;
  constructor(message: string, pc: number) {
    super("ERUN", `slot ${pc}: ${message}`);
    this.pc = pc;
  }
}

export interface InterpRunner extends Runner {
  readonly linked: Linked;
  readonly activation: Activation;
  readonly env: InterpEnv;
}

export function interpEngine(machine: Machine, program: Resolved): InterpRunner {
  const linked = linkProgram(machine, program);
  const stack = machine.memory.alloc(MAX_CALL_FRAMES * STACK_SIZE, 16);
  const env = interpEnv(machine);
  const activation = new Activation(linked, stack);
  const r0Hi = machine.cpuBlock + CPU.R0_HI;
  const finish = (): number => {
    try {
      for (;;) {
        const status = execute(activation, env, NO_LIMIT);
        if (status === EXIT) break;
        if (status !== OUT_OF_FUEL) throw new RunError(activation.fault, activation.pc);
      }
    } catch (error) {
      const { pc } = activation;
      // The next run must not find this one's calls.
      activation.reset(linked, 0, []);
      if (error instanceof RangeError) throw new RunError(`leaves the memory: ${error.message}`, pc);
      throw error;
    }
    machine.memory.view.setInt32(r0Hi, activation.hi[0]!, true);
    return activation.lo[0]! >>> 0;
  };
  const run = (ctx: number): number => {
    activation.begin(linked, ctx);
    return finish();
  };
  const call = (pc: number, args: readonly number[], high = 0): number => {
    activation.reset(linked, pc, args);
    activation.hi[1] = high;
    return finish();
  };
  return {
    linked,
    activation,
    env,
    run,
    call,
    exceptionCallback: program.exceptionCallback,
    batch: (ctx, stride, count, verdicts) => {
      for (let i = 0; i < count; i++) {
        const verdict = run(ctx + i * stride);
        env.view.setUint32(verdicts + i * 4, verdict, true);
      }
    },
    close: () => machine.memory.free(stack),
  };
}

export function interpEnv(machine: Machine): InterpEnv {
  const { memory } = machine;
  return {
    get view() {
      return memory.view;
    },
    shared: memory.shared,
    loadPacket: (ctx, offset, size) => machine.loadPacket(ctx, offset, size),
    tailCallTarget: (map, index) => {
      const target = machine.tailCallTarget(map, index);
      if (!target) return undefined;
      const { linked } = target.runner as Partial<InterpRunner>;
      if (!linked) throw new InternalError(`tail call from the interpreter into a ${target.engine} program`);
      return linked;
    },
  };
}

/** Binds every call insn to a function over the register halves. */
export function linkProgram(env: Env, program: Resolved): Linked {
  const code = prepare(program.bytes);
  const calls: (HelperCall | undefined)[] = new Array(code.slots).fill(undefined);
  const loops: Linked["loops"][number][] = new Array(code.slots).fill(undefined);
  for (const insn of code.insns) {
    if (insn.opcode !== OP_CALL || code.op[insn.pc] !== OP_CALL) continue;
    if (insn.src === BPF_PSEUDO_KFUNC_CALL) {
      const kfunc = program.kfuncs.get(insn.pc)!;
      if (kfunc.loop) {
        code.op[insn.pc] = OP.CALL_LOOP;
        loops[insn.pc] = bindLoop(env, kfunc.loop);
      } else calls[insn.pc] = bindCall(env, kfunc.impl);
    } else if (insn.imm === TAIL_CALL) code.op[insn.pc] = OP.TAIL_CALL;
    else {
      const loop = program.loops.get(insn.imm);
      if (loop) {
        code.op[insn.pc] = OP.CALL_LOOP;
        loops[insn.pc] = bindLoop(env, loop);
      } else calls[insn.pc] = bindCall(env, program.helpers.get(insn.imm)!);
    }
  }
  const byNumber = new Map<number, HelperCall | undefined>();
  const callByNumber = (id: number): HelperCall | undefined => {
    if (!byNumber.has(id)) {
      const impl = helperImpl(id, program.spec.type, program.self);
      byNumber.set(id, impl && bindCall(env, impl));
    }
    return byNumber.get(id);
  };
  return { code, calls, loops, callByNumber };
}

/** A call over register halves of an implementation that takes numbers; the common shapes without a spread. */
export function bindCall(env: Env, impl: HelperImpl): HelperCall {
  if (impl.runtime && impl.args === "ii") {
    const f = env.runtime.exports[impl.runtime] as (a: number, b: number) => number;
    if (impl.ret === "u") {
      return (lo, hi) => {
        lo[0] = f(lo[1]!, lo[2]!);
        hi[0] = 0;
      };
    }
    return (lo, hi) => {
      const r = f(lo[1]!, lo[2]!);
      lo[0] = r;
      hi[0] = r >> 31;
    };
  }
  const call = bindArgs(env, impl);
  const high = env.cpuBlock + CPU.RESULT_HI;
  switch (impl.ret) {
    case "i":
      return (lo, hi) => {
        const r = call(lo, hi) | 0;
        lo[0] = r;
        hi[0] = r >> 31;
      };
    case "u":
      return (lo, hi) => {
        lo[0] = call(lo, hi);
        hi[0] = 0;
      };
    case "w":
      return (lo, hi) => {
        lo[0] = call(lo, hi);
        hi[0] = env.memory.view.getInt32(high, true);
      };
    case "v":
      return (lo, hi) => {
        call(lo, hi);
        lo[0] = 0;
        hi[0] = 0;
      };
  }
}

function bindArgs(env: Env, { args, fn }: HelperImpl): (lo: Int32Array, hi: Int32Array) => number {
  switch (args) {
    case "":
      return () => fn(env);
    case "i":
      return (lo) => fn(env, lo[1]!);
    case "ii":
      return (lo) => fn(env, lo[1]!, lo[2]!);
    case "iii":
      return (lo) => fn(env, lo[1]!, lo[2]!, lo[3]!);
    case "iiii":
      return (lo) => fn(env, lo[1]!, lo[2]!, lo[3]!, lo[4]!);
    case "iiiii":
      return (lo) => fn(env, lo[1]!, lo[2]!, lo[3]!, lo[4]!, lo[5]!);
    case "iiiw":
      return (lo, hi) => fn(env, lo[1]!, lo[2]!, lo[3]!, lo[4]!, hi[4]!);
  }
  return (lo, hi) => {
    const values: number[] = [];
    for (let i = 0; i < args.length; i++) {
      values.push(lo[i + 1]!);
      if (args[i] === "w") values.push(hi[i + 1]!);
    }
    return fn(env, ...values);
  };
}

function bindLoop(env: Env, { args, start }: LoopHelper): Linked["loops"][number] {
  return (lo, hi) => {
    const values: number[] = [];
    for (let i = 0; i < args.length; i++) {
      values.push(lo[i + 1]!);
      if (args[i] === "w") values.push(hi[i + 1]!);
    }
    return start(env, ...(values as [number, number, number, number, number]));
  };
}
