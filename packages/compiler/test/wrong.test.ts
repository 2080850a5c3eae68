/**
 * Wrong programs and what the compiler says of them: `testdata/wrong/programs.txt` has the programs (after a first line
 * of imports), `expected.txt` every complaint of each. `UPDATE=1` rewrites the latter.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { CompileError } from "@ebplane/core/errors";
import { expect, test } from "vitest";
import { randomProgram, seeded } from "./random-program.ts";

const DIR = fileURLToPath(new URL("../testdata/wrong/", import.meta.url));
const IMPORTS = `import { array, arrayOf, be16, bytes, config, ETH_P_IP, ethernet, fibLookup, hash, i32, ip4, ipv4, ktimeGetNs, range, ringBuffer, skbLoadBytes, struct, subprog, table, u8, u32, u64, udp, xdp, type Infer, type Packet } from "ebplane/bpf";`;

function sections(text: string): Map<string, string> {
  const parts = text.split(/^== (.*)\n/m).slice(1);
  return new Map(parts.flatMap((p, k) => (k % 2 ? [] : [[p, parts[k + 1]!.trimEnd()] as const])));
}

function complaints(source: string): string {
  try {
    compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", `${IMPORTS}\n${source}\n`]]) });
    return "compiles";
  } catch (e) {
    if (e instanceof CompileError) return e.message;
    throw e;
  }
}

const programs = sections(readFileSync(`${DIR}programs.txt`, "utf8"));
if (process.env.UPDATE) {
  const text = [...programs].map(([title, source]) => `== ${title}\n${complaints(source)}\n`).join("");
  writeFileSync(`${DIR}expected.txt`, text);
}
const expected = sections(readFileSync(`${DIR}expected.txt`, "utf8"));

test("there are at least 60 wrong programs, and none compiles", () => {
  expect(programs.size).toBeGreaterThanOrEqual(60);
  expect([...expected.values()].filter((e) => e === "compiles")).toEqual([]);
});

test.each([...programs])("refuses %s", (title, source) => {
  expect(complaints(source)).toBe(expected.get(title));
});

test("a mutated source compiles or is refused, and never makes the compiler fail", () => {
  const count = Number(process.env.EBPLANE_MUTATIONS ?? 150);
  const seed = Number(process.env.EBPLANE_RANDOM_SEED ?? 1);
  const rand = seeded(seed);
  const int = (n: number) => Math.floor(rand() * n);
  let refused = 0;
  for (let k = 0; k < count; k++) {
    const tokens = randomProgram(seed + int(1000)).source.split(/(\b|\s+)/);
    for (let m = 0; m <= int(3); m++) {
      const at = int(tokens.length);
      const r = int(4);
      if (r === 0) tokens.splice(at, 1 + int(3));
      else if (r === 1) tokens.splice(at, 0, tokens[int(tokens.length)]!);
      else if (r === 2) tokens[at] = tokens[int(tokens.length)]!;
      else [tokens[at], tokens[(at + 2) % tokens.length]] = [tokens[(at + 2) % tokens.length]!, tokens[at]!];
    }
    const source = tokens.join("");
    try {
      compile({ entry: "m.bpf.ts", files: new Map([["m.bpf.ts", source]]) });
    } catch (e) {
      if (!(e instanceof CompileError))
        throw new Error(`mutation ${k} of seed ${seed}: ${String(e)}\n${source}`, { cause: e });
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(count / 4);
});
