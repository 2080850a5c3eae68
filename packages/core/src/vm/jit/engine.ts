/**
 * The JIT as an engine of a machine: compiles a program, gives its module what it imports, and turns traps into
 * errors. Read `compile.ts` for the translation itself.
 *
 * A wasm trap leaves the machine usable: memory and maps stay as the program had left them.
 */

import { decode, type Insn, MAX_CALL_FRAMES, SLOT } from "../../isa/index.ts";
import { imageBytes, type RuntimeImage } from "../../maps/index.ts";
import { WASM_PAGE } from "../../mem/index.ts";
import { ProgType } from "../../object/index.ts";
import type { CheckedCode } from "../code.ts";
import type { EngineOptions, Resolved, Runner } from "../engine.ts";
import type { Env, HelperImpl, LoopHelper } from "../env.ts";
import { helperImpl } from "../helpers/index.ts";
import type { CallbackLoop } from "../interp.ts";
import { RunError } from "../interp-engine.ts";
import { CPU, SKB, XDP } from "../layout.ts";
import type { Machine } from "../machine.ts";
import { blind, bringsSecret } from "./blind.ts";
import { AREA, STACKS_SIZE, TRAP } from "./calls.ts";
import { type CompileOptions, compile } from "./compile.ts";
import type { MapFacts } from "./inline-maps.ts";
import { type Prebuilt, readPrebuilt } from "./link.ts";

export interface JitRunner extends Runner {
  /**
   * `run` without the translation of traps to errors, and with r0's low half as a signed number: wasm's own function,
   * for a loop that calls from JavaScript once a packet.
   */
  readonly entry: (ctx: number) => number;
  /** The module's bytes, for whoever wants to look at them. */
  readonly wasm: Uint8Array;
}

const prebuilts = new WeakMap<RuntimeImage, Prebuilt>();

function prebuiltOf(image: RuntimeImage): Prebuilt {
  let prebuilt = prebuilts.get(image);
  if (!prebuilt) prebuilts.set(image, (prebuilt = readPrebuilt(imageBytes(image))));
  return prebuilt;
}

/** Tables of programs by id, one a machine: tail calls go through them. */
const tables = new WeakMap<Machine, WebAssembly.Table>();

function tableOf(machine: Machine): WebAssembly.Table {
  let table = tables.get(machine);
  if (!table) tables.set(machine, (table = new WebAssembly.Table({ element: "anyfunc", initial: 16 })));
  return table;
}

/** Puts a program's main function where tail calls find it by its id. */
function enterTable(machine: Machine, id: number, main: WebAssembly.ExportValue | null): void {
  const table = tableOf(machine);
  if (id >= table.length) table.grow(Math.max(id + 1 - table.length, table.length));
  table.set(id, main);
}

/**
 * Compiles a program. Not `verified`, nothing is assumed about what its pointers reach: stack slots stay in memory and
 * calls check their depth. `fuel` counts loop turns and calls; without it neither costs anything.
 */
export function jitEngine(machine: Machine, resolved: Resolved, options: EngineOptions = {}): JitRunner {
  const { memory, cpuBlock } = machine;
  const program = options.blind ? blinded(machine, resolved) : resolved;
  const code = checkedCode(program);
  const secrets = placeSecrets(machine, options.blind ? program.insns : []);
  const stack = memory.alloc(STACKS_SIZE, 2 * STACKS_SIZE);
  const area = memory.alloc(AREA.SIZE + 8, 16);
  const fuelWord = area + AREA.SIZE;
  const loops: CallbackLoop[] = [];
  const mapsByAddress = new Map<number, MapFacts>();
  for (const { map } of program.maps.values()) {
    mapsByAddress.set(map.addr, {
      address: map.addr,
      type: map.type,
      keySize: map.spec.keySize,
      valueSize: map.spec.valueSize,
      header: (field) => memory.u32[(map.addr + field) >>> 2]!,
    });
  }
  const env = {
    program,
    mapAt: (address: number) => mapsByAddress.get(address),
    resultHigh: cpuBlock + CPU.RESULT_HI,
    tailCalls: cpuBlock + CPU.TAIL_CALLS,
    trap: cpuBlock + CPU.TRAP,
    area,
    shared: memory.shared,
    packetFields: packetFields(program.spec.type),
    addressMax: memory.maximum,
  };
  const compileOptions: CompileOptions = {
    memory: { initial: 1, maximum: Math.ceil(memory.maximum / WASM_PAGE), shared: memory.shared },
    prebuilt: prebuiltOf(machine.runtime.image),
    stack,
    r0High: cpuBlock + CPU.R0_HI,
    verified: options.verified ?? false,
    secrets: secrets.places,
    inlineBatch: options.inlineBatch ?? true,
    fuel: options.fuel === undefined ? undefined : { word: fuelWord, amount: options.fuel },
  };
  const instantiate = (callOnly?: number) => {
    const { bytes, imports } = compile(code, env, { ...compileOptions, callOnly });
    const module = new WebAssembly.Module(bytes);
    const instance = new WebAssembly.Instance(module, { env: importsFor(machine, program, imports, area, loops) });
    return { bytes, exports: instance.exports };
  };
  const { bytes, exports } = instantiate();
  const run = exports.run as (ctx: number) => number;
  const batch = exports.batch as JitRunner["batch"];
  const callables = new Map<number, (...args: number[]) => number>();

  let id = 0;
  const fail = (error: unknown): never => {
    loops.length = 0;
    const reason = memory.view.getInt32(cpuBlock + CPU.TRAP, true);
    memory.view.setInt32(cpuBlock + CPU.TRAP, 0, true);
    throw trapError(error, reason, options.fuel);
  };
  return {
    wasm: bytes,
    entry: run,
    run(ctx) {
      try {
        return run(ctx) >>> 0;
      } catch (error) {
        return fail(error);
      }
    },
    batch(ctx, stride, count, verdicts) {
      try {
        batch(ctx, stride, count, verdicts);
      } catch (error) {
        fail(error);
      }
    },
    exceptionCallback: program.exceptionCallback,
    call(pc, args, high = 0) {
      let callable = callables.get(pc);
      if (!callable) callables.set(pc, (callable = instantiate(pc).exports.call as (...args: number[]) => number));
      try {
        return callable(args[0] ?? 0, args[1] ?? 0, args[2] ?? 0, args[3] ?? 0, args[4] ?? 0, high) >>> 0;
      } catch (error) {
        return fail(error);
      }
    },
    named(number) {
      id = number;
      enterTable(machine, id, exports.main!);
    },
    close() {
      if (id) enterTable(machine, id, null);
      memory.free(stack);
      memory.free(area);
      secrets.free();
    },
  };
}

const XDP_FIELDS: ReadonlySet<number> = new Set([XDP.DATA, XDP.DATA_END, XDP.DATA_META]);
const SKB_FIELDS: ReadonlySet<number> = new Set([SKB.DATA, SKB.DATA_END, SKB.DATA_META]);
const SKB_TYPES: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_SCHED_CLS,
  ProgType.BPF_PROG_TYPE_SCHED_ACT,
  ProgType.BPF_PROG_TYPE_CGROUP_SKB,
  ProgType.BPF_PROG_TYPE_LWT_XMIT,
  ProgType.BPF_PROG_TYPE_SK_SKB,
]);

function packetFields(progType: number): ReadonlySet<number> {
  if (progType === ProgType.BPF_PROG_TYPE_XDP) return XDP_FIELDS;
  return SKB_TYPES.has(progType) ? SKB_FIELDS : new Set();
}

/** The program with its constants hidden; what is known by slot moves along. */
function blinded(machine: Machine, program: Resolved): Resolved {
  const { code, moved } = blind(program.bytes, () => machine.host.random32());
  const move = <T>(bySlot: ReadonlyMap<number, T>) => new Map([...bySlot].map(([pc, x]) => [moved.get(pc)!, x]));
  const { maps, kfuncs, exceptionCallback: handler } = program;
  const exceptionCallback = handler === undefined ? undefined : moved.get(handler)!;
  return { ...program, bytes: code, insns: decode(code), maps: move(maps), kfuncs: move(kfuncs), exceptionCallback };
}

/** Puts the random words of a blinded program into memory. */
function placeSecrets({ memory }: Machine, insns: readonly Insn[]) {
  const places = new Map<number, number>();
  const secret = insns.filter(bringsSecret);
  if (!secret.length) return { places, free: () => {} };
  const start = memory.alloc(8 * secret.length, 16);
  secret.forEach((insn, i) => {
    places.set(insn.pc, start + 8 * i);
    memory.view.setInt32(start + 8 * i, insn.imm, true);
    memory.view.setInt32(start + 8 * i + 4, insn.imm2, true);
  });
  return { places, free: () => memory.free(start) };
}

/** Resolving has checked the code already. */
function checkedCode({ bytes, insns }: Resolved): CheckedCode {
  const slots = bytes.length / SLOT;
  const at: CheckedCode["at"][number][] = new Array(slots).fill(undefined);
  for (const insn of insns) at[insn.pc] = insn;
  return { slots, insns, at };
}

/** wasm's own traps and ours in the words of RunError; anything that a helper threw passes through. */
function trapError(error: unknown, reason: number, fuel: number | undefined): unknown {
  if (reason === TRAP.FUEL) return new RunError(`insn budget: more than ${fuel} loop turns and calls`, 0);
  if (reason === TRAP.DEPTH) return new RunError(`call depth: expected at most ${MAX_CALL_FRAMES} frames`, 0);
  if (error instanceof WebAssembly.RuntimeError) return new RunError(`leaves the memory: ${error.message}`, 0);
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return new RunError(`call depth: ${error.message}`, 0);
  }
  return error;
}

type NumberFn = (...args: number[]) => number;

function importsFor(
  machine: Machine,
  program: Resolved,
  names: readonly string[],
  area: number,
  loops: CallbackLoop[],
): Record<string, WebAssembly.ImportValue> {
  const { memory, cpuBlock } = machine;
  const env: Record<string, WebAssembly.ImportValue> = { ...machine.runtime.env, table: tableOf(machine) };
  const publish = (loop: CallbackLoop): void => {
    for (let i = 0; i < 5; i++) memory.view.setInt32(area + AREA.ARGS + 4 * i, loop.args[i]!, true);
  };
  for (const name of names) {
    const number = Number(/\d+$/.exec(name)?.[0]);
    if (name.startsWith("callx")) env[name] = callByNumber(machine, program, number);
    else if (name.startsWith("h")) env[name] = bind(machine, program.helpers.get(number)!);
    else if (name.startsWith("k")) env[name] = bind(machine, program.kfuncs.get(number)!.impl!);
    else if (name === "loadPacket") {
      env[name] = (ctx: number, offset: number, size: number): number => {
        const value = machine.loadPacket(ctx, offset, size);
        memory.view.setInt32(cpuBlock + CPU.RESULT_HI, value === undefined ? 1 : 0, true);
        return value ?? 0;
      };
    } else if (name === "loopNext") {
      env[name] = (r0: number): number => {
        const loop = loops[loops.length - 1]!;
        if (loop.next(r0)) {
          publish(loop);
          return 1;
        }
        loops.pop();
        memory.view.setInt32(area + AREA.RESULT, loop.result, true);
        return 0;
      };
    } else if (name.startsWith("loop")) {
      const loop = name.startsWith("loopk") ? program.kfuncs.get(number)!.loop! : program.loops.get(number)!;
      const start = bindLoop(machine, loop);
      env[name] = (...args: number[]): number => {
        const loop = start(...args);
        if (typeof loop === "number") {
          memory.view.setInt32(area + AREA.RESULT, loop, true);
          return 0;
        }
        loops.push(loop);
        publish(loop);
        return 1;
      };
    }
  }
  return env;
}

/** An implementation as an import: by number of parameters, so that V8 sees no spread in the common ones. */
function bind(env: Env, { args, fn }: HelperImpl): NumberFn {
  let count = args.length;
  for (const letter of args) if (letter === "w") count++;
  switch (count) {
    case 0:
      return () => fn(env);
    case 1:
      return (a) => fn(env, a!);
    case 2:
      return (a, b) => fn(env, a!, b!);
    case 3:
      return (a, b, c) => fn(env, a!, b!, c!);
    case 4:
      return (a, b, c, d) => fn(env, a!, b!, c!, d!);
    case 5:
      return (a, b, c, d, f) => fn(env, a!, b!, c!, d!, f!);
    default:
      return (...all) => fn(env, ...all);
  }
}

function bindLoop(env: Env, { start }: LoopHelper): (...args: number[]) => CallbackLoop | number {
  return (...args) => start(env, ...(args as [number, number, number, number, number]));
}

/** callx: the helper's number is known at run time only. Parameters: register, then r1-r5, each as two halves. */
function callByNumber(machine: Machine, program: Resolved, pc: number): NumberFn {
  const high = machine.cpuBlock + CPU.RESULT_HI;
  return (...halves) => {
    const [id, idHigh] = halves as [number, number];
    const impl = idHigh === 0 ? helperImpl(id, program.spec.type) : undefined;
    if (!impl) throw new RunError("callx: the register holds no helper's number", pc);
    const args: number[] = [];
    for (let i = 0; i < impl.args.length; i++) {
      args.push(halves[2 + 2 * i]!);
      if (impl.args[i] === "w") args.push(halves[3 + 2 * i]!);
    }
    const r = impl.fn(machine, ...args) | 0;
    if (impl.ret !== "w") machine.memory.view.setInt32(high, impl.ret === "i" ? r >> 31 : 0, true);
    return impl.ret === "v" ? 0 : r;
  };
}
