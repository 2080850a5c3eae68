/** Holds a case's run against what the case expects. */
import { toHex } from "../../bytes/index.ts";
import type { EngineName } from "../engines.ts";
import type { EngineCase } from "./cases.ts";
import { runCase } from "./run-case.ts";

/** One run of one case. */
export interface Judgement {
  /** What was computed (r0 and memory), or the error that came. */
  readonly got: string;
  /** What is wrong with it; undefined when it is as the case says. */
  readonly failure: string | undefined;
}

/** Runs a case on an engine. One without an expectation of its own must answer as on the interpreter. */
export function judgeCase(c: EngineCase, engine: EngineName): Judgement {
  const error = c.sections.get("error");
  let run: ReturnType<typeof runCase>;
  try {
    run = runCase(c, engine);
  } catch (e) {
    const expected = error !== undefined && e instanceof Error && e.message.includes(error);
    return {
      got: `${e}`,
      failure: expected ? undefined : `expected ${error === undefined ? "no error" : `the error ${error}`}`,
    };
  }
  const { r0 } = run;
  const after = toHex(run.after, " ");
  const fields = c.sections.get("fields");
  const got = `r0 ${r0}, memory ${after}${run.fields ? `, ${run.fields}` : ""}`;
  const result = c.sections.get("result");
  const bytes = c.sections.get("after");
  const reference = () => (result === undefined && bytes === undefined ? runCase(c, "interp").r0 : r0);
  if (error !== undefined) return { got, failure: `expected the error ${error}` };
  if (result !== undefined && r0 !== BigInt.asUintN(64, BigInt(result))) return { got, failure: `expected ${result}` };
  if (bytes !== undefined && after !== bytes) return { got, failure: `expected memory ${bytes}` };
  if (fields !== undefined && run.fields !== fields) return { got, failure: `expected ${fields}` };
  const out = c.sections.get("out");
  const value = out === undefined ? undefined : firstWord(run.maps);
  if (out !== undefined && value !== BigInt.asUintN(64, BigInt(out))) {
    return { got: `${got}, map value ${BigInt.asIntN(64, value ?? 0n)}`, failure: `expected map value ${out}` };
  }
  if (reference() !== r0) return { got, failure: `expected ${reference()} as on interp` };
  return { got, failure: undefined };
}

/** The first 8 bytes of the first map's first value. */
function firstWord(maps: ReadonlyMap<string, readonly Uint8Array[]>): bigint | undefined {
  const value = [...maps.values()][0]?.[0];
  return value && new DataView(value.buffer, value.byteOffset).getBigUint64(0, true);
}
