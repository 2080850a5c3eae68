/**
 * Wrong programs and what the compiler says of them: `testdata/wrong/programs.txt` has the programs (after a first line
 * of imports), `expected.txt` every complaint of each. `UPDATE=1` rewrites the latter.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { CompileError } from "@ebplane/core/errors";
import { expect, test } from "vitest";
import { mutate } from "./mutate.ts";

const DIR = fileURLToPath(new URL("../testdata/wrong/", import.meta.url));
const IMPORTS = `import { address, array, arrayOf, arrayOfMaps, asm, be16, bpfLoop, bpfSpinLock, bpfTimer, bytes, config, ctRelease, dynptrData, dynptrFromXdp, dynptrSlice, ETH_P_IP, ethernet, fibLookup, getCurrentTaskBtf, hash, header, i32, ip4, ipv4, kernelStruct, ktimeGetNs, license, pointerTo, printk, progArray, range, repeat, restoreParsed, ringBuffer, ringbufReserveDynptr, ringbufSubmitDynptr, saveParsed, skbLoadBytes, skLookupTcp, spinLock, struct, subprog, table, tc, timerCancel, tuple, u32, u64, u8, udp, udpPort, xdp, xdpCtLookup, xdpMetadataRxTimestamp, type Infer, type Packet } from "ebplane/bpf";`;

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
  const { compiled, refused } = mutate(150, 1);
  expect(compiled + refused).toBe(150);
  expect(Math.min(compiled, refused)).toBeGreaterThan(5);
});
