/**
 * `exec`: one program over one block of memory, the form of bpf_conformance's plug-ins. r1 is the memory's address and
 * r2 its length (both 0 without memory); the answer is the whole r0.
 */

import { fromHex } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import type { ProgramSpec } from "../object/index.ts";
import type { EngineName } from "./engines.ts";
import { Machine } from "./machine.ts";

export interface ExecOptions {
  readonly engine?: EngineName;
  /** Turns the bytes of an ELF object into its one program, when the program's hex is an ELF object. */
  readonly readElf?: (bytes: Uint8Array) => ProgramSpec;
}

/** Runs raw slots and answers r0, unsigned 64 bits. */
export function exec(code: Uint8Array, memory: Uint8Array, options: ExecOptions = {}): bigint {
  return execSpec(rawProgram(code), memory, options);
}

/**
 * The plug-in's contract on text: hex in (white space ignored), lower-case hex of r0 out.
 * @throws RangeError for text that is no hex, InsnError and UnsupportedError for programs that cannot run, ElfError for
 * an ELF object where none is expected.
 */
export function execPlugin(memoryHex: string, programHex: string, options: ExecOptions = {}): string {
  const bytes = fromHex(programHex);
  const memory = fromHex(memoryHex);
  const isElf = bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
  if (options.readElf) return execSpec(options.readElf(bytes), memory, options).toString(16);
  if (isElf) throw new ElfError("an ELF object where raw instructions were expected");
  return exec(bytes, memory, options).toString(16);
}

function execSpec(spec: ProgramSpec, memory: Uint8Array, { engine = "interp" }: ExecOptions): bigint {
  const machine = new Machine();
  const program = machine.load(spec, { engine });
  let address = 0;
  if (memory.length) {
    address = machine.memory.alloc(memory.length);
    machine.memory.u8.set(memory, address);
  }
  return machine.r0(program.runner.call(0, [address, memory.length]));
}

/** A ProgramSpec around raw slots: no relocs, no debug information. */
export function rawProgram(code: Uint8Array, type = 0, name = "raw"): ProgramSpec {
  return {
    name,
    section: ".text",
    type,
    attachType: 0,
    flags: 0,
    code,
    relocs: [],
    funcInfo: [],
    lineInfo: [],
  };
}
