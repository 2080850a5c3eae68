/**
 * Mutated sources: what the compiler must take or refuse, and never fail on. A seed gives the same mutants again.
 *
 *     npx tsx -C source packages/compiler/test/mutate.ts COUNT [SEED]
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { CompileError } from "@ebplane/core/errors";
import { seeded } from "./random/model.ts";
import { randomProgram } from "./random-program.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Every construct of the language is in one of these. */
const FOLDERS = ["../testdata/run/", "../../../examples/programs/", "../../../bench/compiler/programs/"].map(at);

function written(): string[] {
  const own = FOLDERS.flatMap((dir) =>
    readdirSync(dir)
      .filter((f) => f.endsWith(".bpf.ts"))
      .map((f) => readFileSync(dir + f, "utf8")),
  );
  const wrong = readFileSync(at("../testdata/wrong/programs.txt"), "utf8")
    .split(/^== .*\n/m)
    .slice(1);
  return [...own, ...wrong];
}

/** Words that a mutation may put in: the language's own, and what it refuses. */
const WORDS =
  `as async atomicAdd be16 bits break bytes case class config const continue copy ctx default do else equal export false
  for function header hash if import in let new null of parse peek range repeat return skip struct switch take table this throw true
  typeof u16 u32 u64 u8 undefined var while yield 0 1 -1 1n 0xffffffffffffffffn 65536 "x" ( ) { } [ ] => === !== && || ?? ?. ! ~ - + * / %
  << >> >>> ; , : . = += ++ \`x\` /x/`.split(/\s+/);

export interface Mutated {
  readonly compiled: number;
  readonly refused: number;
}

/** @throws Error with the source where compiling fails other than by refusing it. */
export function mutate(count: number, seed: number): Mutated {
  const sources = written();
  const rand = seeded(seed);
  const int = (n: number): number => Math.floor(rand() * n);
  let [compiled, refused] = [0, 0];
  for (let k = 0; k < count; k++) {
    const base = int(3) ? sources[int(sources.length)]! : randomProgram(seed + int(1000)).source;
    const tokens = base.split(/(\b|\s+)/);
    for (let m = 0; m <= int(3); m++) {
      const place = int(tokens.length);
      const kind = int(6);
      if (kind === 0) tokens.splice(place, 1 + int(3));
      else if (kind === 1) tokens.splice(place, 0, tokens[int(tokens.length)]!);
      else if (kind === 2) tokens[place] = tokens[int(tokens.length)]!;
      else if (kind === 3) tokens[place] = WORDS[int(WORDS.length)]!;
      else if (kind === 4) tokens.splice(place, 0, WORDS[int(WORDS.length)]!);
      else {
        const other = (place + 2) % tokens.length;
        [tokens[place], tokens[other]] = [tokens[other]!, tokens[place]!];
      }
    }
    const source = tokens.join("");
    try {
      compile({ entry: "m.bpf.ts", files: new Map([["m.bpf.ts", source]]) });
      compiled++;
    } catch (e) {
      if (!(e instanceof CompileError)) {
        throw new Error(`mutant ${k} of seed ${seed}: ${(e as Error).stack ?? e}\n${source}`, { cause: e });
      }
      refused++;
    }
  }
  return { compiled, refused };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [count = 50_000, seed = 1] = process.argv.slice(2).map(Number);
  // In portions, each from a seed of its own, so that a failure names a short run.
  const PORTION = 500;
  const total = { compiled: 0, refused: 0, failed: 0 };
  for (let done = 0; done < count; done += PORTION) {
    try {
      const r = mutate(Math.min(PORTION, count - done), seed + done);
      total.compiled += r.compiled;
      total.refused += r.refused;
    } catch (e) {
      total.failed++;
      console.log((e as Error).message);
    }
    if ((done + PORTION) % 5000 === 0) console.log(`${done + PORTION} done, ${total.failed} portions failed`);
  }
  console.log(`${total.compiled} compiled, ${total.refused} refused, ${total.failed} portions failed`);
  process.exitCode = total.failed ? 1 : 0;
}
