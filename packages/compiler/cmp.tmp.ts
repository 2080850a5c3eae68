/**
 * Programs written twice, in C and in the language: instructions and nanoseconds a run, `clang -O2 -mcpu=v3` against
 * ours. `npx tsx -C source bench/compiler/compare.ts [NAME…]`, as root.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { readElf } from "@ebplane/core/elf";
import type { CollectionSpec } from "@ebplane/core/object";
import { linuxTarget } from "@ebplane/linux";

const DIR = fileURLToPath(new URL("../../bench/compiler/programs/", import.meta.url));
const ROUNDS = 7;
const REPEAT = 200_000;

const wanted = process.argv.slice(2);
const names = readdirSync(DIR)
  .filter((f) => f.endsWith(".c"))
  .map((f) => f.slice(0, -2))
  .filter((n) => !wanted.length || wanted.includes(n));
const tmp = mkdtempSync(join(tmpdir(), "ebplane-bench-"));
const target = linuxTarget();
let logInsns = 0;
let logTime = 0;

/** A TCP packet to port 80, from an address that no map has. */
function packet(): Uint8Array {
  const p = new Uint8Array(64);
  const v = new DataView(p.buffer);
  v.setUint16(12, 0x0800);
  v.setUint8(14, 0x45);
  v.setUint16(16, 50);
  v.setUint8(22, 64);
  v.setUint8(23, 6);
  v.setUint32(26, 0x0a000001);
  v.setUint32(30, 0x0a000002);
  v.setUint16(34, 40000);
  v.setUint16(36, 80);
  v.setUint8(46, 0x50);
  return p;
}

function clang(name: string): CollectionSpec {
  const out = join(tmp, `${name}.o`);
  const flags = [
    "-O2",
    "-mcpu=v3",
    "-target",
    "bpf",
    "-g",
    `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`,
  ];
  execFileSync("clang", [...flags, "-c", join(DIR, `${name}.c`), "-o", out], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return readElf(readFileSync(out));
}

function ours(name: string): CollectionSpec {
  return compile({ entry: join(DIR, `${name}.bpf.ts`), files: (path) => read(path) }).spec;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

try {
  console.log(
    `${"program".padEnd(14)}${"clang".padStart(7)}${"ours".padStart(7)}${"ratio".padStart(7)}${"ns".padStart(8)}${"ns".padStart(8)}${"ratio".padStart(7)}`,
  );
  for (const name of names) {
    const specs = [clang(name), ours(name)];
    const loaded = specs.map((s) => target.load(s));
    const programs = loaded.map((c) => c.programs.get("prog")!);
    const times = [Infinity, Infinity];
    for (let r = 0; r < ROUNDS; r++) {
      for (const [k, p] of programs.entries()) {
        times[k] = Math.min(
          times[k]!,
          p.testRun({ packet: packet(), repeat: name === "ipip" ? 1 : REPEAT }).durationNs,
        );
      }
    }
    for (const c of loaded) c.close();
    const [a, b] = specs.map((s) => s.programs.get("prog")!.code.length / 8) as [number, number];
    logInsns += Math.log(b / a);
    logTime += Math.log(Math.max(1, times[1]!) / Math.max(1, times[0]!));
    const cells = [a, b, (b / a).toFixed(2)].map((x) => String(x).padStart(7)).join("");
    console.log(
      `${name.padEnd(14)}${cells}${String(times[0]).padStart(8)}${String(times[1]).padStart(8)}${(times[1]! / Math.max(1, times[0]!)).toFixed(2).padStart(7)}`,
    );
  }
  const mean = (log: number) => Math.exp(log / names.length).toFixed(3);
  console.log(`geometric mean: insns ${mean(logInsns)}, ns ${mean(logTime)}`);
} finally {
  rmSync(tmp, { recursive: true });
}
