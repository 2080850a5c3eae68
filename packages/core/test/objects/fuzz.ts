/**
 * Damaged objects. Each mutant of a valid one must give a result or an ElfError or BtfError, within time and memory.
 *
 *     npx tsx --conditions=source packages/core/test/objects/fuzz.ts [mutants] [seed]
 */
import { disassemble } from "@ebplane/core/asm";
import { dumpC } from "@ebplane/core/btf";
import {
  generateTypes,
  getVariable,
  linkObjects,
  pruneReport,
  readElf,
  relocateCore,
  writeElf,
} from "@ebplane/core/elf";
import { BtfError, ElfError } from "@ebplane/core/errors";
import { build, CORPUS } from "./corpus.ts";

export const MAX_MS = 1000;
export const MAX_BYTES = 256 << 20;

/** mulberry32: a small generator whose whole state is the seed. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Section {
  readonly header: number;
  readonly offset: number;
  readonly size: number;
  readonly name: string;
}

function sectionsOf(object: Uint8Array): Section[] {
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  const table = Number(view.getBigUint64(40, true));
  const field = (i: number, at: number) => Number(view.getBigUint64(table + i * 64 + at, true));
  const names = field(view.getUint16(62, true), 24);
  return Array.from({ length: view.getUint16(60, true) }, (_, i) => {
    let name = "";
    for (let at = names + view.getUint32(table + i * 64, true); object[at]; at++)
      name += String.fromCharCode(object[at]!);
    return { header: table + i * 64, offset: field(i, 24), size: field(i, 32), name };
  });
}

const EXTREMES = [0, 1, 2, 7, 8, 0x7f, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff];

/** A copy with one to four damages. */
export function mutate(object: Uint8Array, next: (below: number) => number): Uint8Array {
  let out = object.slice();
  const sections = sectionsOf(object);
  const count = 1 + next(4);
  for (let n = 0; n < count; n++) {
    const view = new DataView(out.buffer);
    const section = sections[next(sections.length)]!;
    const inSection = () => section.offset + next(Math.max(1, section.size));
    const put32 = (at: number) => {
      if (at + 4 <= out.length) view.setUint32(at, EXTREMES[next(EXTREMES.length)]! + next(3), true);
    };
    switch (next(10)) {
      case 0: // ELF header
        out[next(64)] = next(256);
        break;
      case 1: // a field of a section header
        put32(section.header + next(16) * 4);
        break;
      case 2: // any byte
      case 3:
        out[inSection()] = next(256);
        break;
      case 4: // any aligned word
      case 5:
        put32(section.offset + next(Math.max(1, section.size >> 2)) * 4);
        break;
      case 6: // one bit
        out[inSection()]! ^= 1 << next(8);
        break;
      case 7: {
        // BTF, where the structure is richest
        const btf = sections.filter((s) => s.name.startsWith(".BTF"));
        if (btf.length) {
          const s = btf[next(btf.length)]!;
          put32(s.offset + next(Math.max(1, s.size >> 2)) * 4);
        }
        break;
      }
      case 8: {
        // symbols and relocations
        const linking = sections.filter((s) => s.name === ".symtab" || s.name.startsWith(".rel"));
        if (linking.length) {
          const s = linking[next(linking.length)]!;
          put32(s.offset + next(Math.max(1, s.size >> 2)) * 4);
        }
        break;
      }
      case 9:
        if (next(4) === 0) out = out.slice(0, next(out.length));
        else {
          // one part over another
          const from = next(out.length);
          out.copyWithin(next(out.length), from, Math.min(out.length, from + next(64)));
        }
        break;
    }
    if (out.length < 128) break;
  }
  return out;
}

/** Everything that handles an object that was read. */
function useAll(bytes: Uint8Array): void {
  const spec = readElf(bytes);
  for (const p of spec.programs.values()) {
    disassemble(p.code, { relocs: p.relocs, funcInfo: p.funcInfo, lineInfo: p.lineInfo, labels: true });
    pruneReport(spec, p);
  }
  // A variable of gigabytes in .bss is fine until someone asks for its value.
  for (const [name, v] of spec.variables!) if (v.size < 1 << 20) getVariable(spec, name);
  if (spec.btf) {
    relocateCore(spec, spec.btf);
    dumpC(spec.btf);
    generateTypes(spec);
  }
  if (spec.byteOrder === "little") {
    writeElf(spec);
    linkObjects([{ name: "mutant.o", bytes }]);
  }
}

export interface FuzzResult {
  readonly accepted: number;
  readonly refused: number;
  readonly slowestMs: number;
  readonly failures: readonly string[];
}

/** Runs `count` mutants; `failures` says seed and number of each that broke a rule. */
export function fuzz(count: number, seed: number): FuzzResult {
  const objects = CORPUS.map((name) => build(name)).map((b) => new Uint8Array(b));
  let accepted = 0;
  let refused = 0;
  let slowestMs = 0;
  const failures: string[] = [];
  for (let i = 0; i < count; i++) {
    const next = random(seed + i);
    const which = next(objects.length);
    const mutant = mutate(objects[which]!, next);
    const place = `mutant ${i} of seed ${seed} (${CORPUS[which]})`;
    // Time of the processor, not of the wall: tests share the machine.
    const start = process.cpuUsage();
    const before = process.memoryUsage().arrayBuffers;
    try {
      useAll(mutant);
      accepted++;
    } catch (e) {
      if (e instanceof ElfError || e instanceof BtfError) refused++;
      else failures.push(`${place}: ${(e as Error).stack}`);
    }
    const bytes = process.memoryUsage().arrayBuffers - before;
    if (bytes > MAX_BYTES) failures.push(`${place}: ${bytes} bytes`);
    const used = process.cpuUsage(start);
    const ms = (used.user + used.system) / 1000;
    slowestMs = Math.max(slowestMs, ms);
    if (ms > MAX_MS) failures.push(`${place}: ${ms.toFixed(0)} ms`);
  }
  return { accepted, refused, slowestMs, failures };
}

if (process.argv[1]?.endsWith("fuzz.ts")) {
  const seed = Number(process.argv[3] ?? Date.now() % 1e9);
  const { failures, ...rest } = fuzz(Number(process.argv[2] ?? 200_000), seed);
  for (const f of failures.slice(0, 20)) console.log(f);
  console.log({ seed, ...rest, failures: failures.length });
  process.exitCode = failures.length ? 1 : 0;
}
