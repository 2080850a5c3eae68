import { disassemble } from "@ebplane/core/asm";
import { build } from "/work/main/packages/core/src/vm/testing/generate.ts";
import { differential, engineRunner, kernelRunner } from "/work/main/test/differential.ts";

const seed = Number(process.argv[2]),
  count = Number(process.argv[3]);
const which = (process.argv[4] ?? "kernel,interp,jit").split(",");
const t = Date.now();
const rs = which.map((w) => (w === "kernel" ? kernelRunner() : engineRunner(w as any)));
const r = differential(rs, seed, count, 4);
for (const d of r.differences) {
  console.log(`== seed ${d.seed} ${d.between}`);
  const lines = disassemble(build(d.program).code)
    .filter((l) => l.pc >= 30)
    .map((l) => `${l.pc}: ${l.text}`)
    .filter((l) => !/r10 -\d+\) = -?\d{7,}/.test(l) && !/^\d+: \(7b\) \*\(u64 \*\)\(r9 \+1[23456]/.test(l));
  console.log(lines.join("\n"));
  const o = Object.entries(d.outcomes) as any;
  for (const f of ["refused", "verdict", "packet", "vals", "hash"]) {
    const v = o.map(([n, x]: any) => `${n}=(${String(x[f]).length / 2}) ${x[f]}`);
    if (new Set(o.map(([n, x]: any) => String(x[f]))).size > 1) console.log(f, v.join("\n   "));
  }
}
console.log({ accepted: r.accepted, refused: r.refused, insns: r.insns / r.accepted, ms: Date.now() - t });
for (const [k, v] of [...r.reasons].sort((a, b) => b[1] - a[1]).slice(0, 15)) console.log(v, k);
for (const x of rs) x.close();
