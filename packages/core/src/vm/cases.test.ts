import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { fromHex, toHex } from "../bytes/index.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import { rawProgram } from "./exec.ts";
import { Machine } from "./machine.ts";
import { type EngineCase, parseCases } from "./testing/cases.ts";

const dir = join(import.meta.dirname, "testdata");
const cases = readdirSync(dir)
  .filter((f) => f.endsWith(".case"))
  .flatMap((file) => parseCases(readFileSync(join(dir, file), "utf8")).map((c) => ({ file, ...c })));

function run({ sections }: EngineCase, engine: EngineName): void {
  const machine = new Machine();
  const { code, relocs } = assemble(sections.get("asm")!);
  const program = machine.load({ ...rawProgram(code), relocs }, { engine });
  const bytes = fromHex(sections.get("mem") ?? "");
  const at = machine.memory.alloc(bytes.length || 1);
  machine.memory.u8.set(bytes, at);
  const r0 = machine.r0(program.runner.call(0, [at, bytes.length]));
  const result = sections.get("result");
  if (result !== undefined) expect(r0).toBe(BigInt.asUintN(64, BigInt(result)));
  const after = sections.get("after");
  if (after !== undefined) expect(toHex(machine.memory.u8.slice(at, at + bytes.length), " ")).toBe(after);
}

describe.each(Object.keys(ENGINES) as EngineName[])("on %s", (engine) => {
  test.each(cases)("$file:$line $name", (c) => {
    const error = c.sections.get("error");
    if (error === undefined) run(c, engine);
    else expect(() => run(c, engine)).toThrow(error);
  });
});
