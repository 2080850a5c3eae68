import { readFileSync } from "node:fs";
import { compile } from "@ebplane/compiler";
import { disassemble } from "@ebplane/core/asm";
import { CompileError } from "@ebplane/core/errors";

const file = process.argv[2]!;
try {
  const t0 = performance.now();
  const r = compile({
    entry: file,
    files: (p) => {
      try {
        return readFileSync(p, "utf8");
      } catch {
        return undefined;
      }
    },
  });
  const t1 = performance.now();
  if (process.argv[3] === "-t") {
    for (let i = 0; i < 20; i++)
      compile({
        entry: file,
        files: (p) => {
          try {
            return readFileSync(p, "utf8");
          } catch {
            return undefined;
          }
        },
      });
    const t2 = performance.now();
    console.log("cold", t1 - t0, "warm", (t2 - t1) / 20);
  }
  for (const [n, ir] of r.ir) console.log(ir);
  console.log(r.receipt);
} catch (e) {
  if (e instanceof CompileError) console.log(e.message);
  else throw e;
}
