import { readFileSync } from "node:fs";
import { compile } from "@ebplane/compiler";
import { CompileError, VerifierError } from "@ebplane/core/errors";
import { linuxTarget } from "@ebplane/linux";

const file = process.argv[2]!;
const target = linuxTarget();
try {
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
  console.log(r.receipt.programs);
  const c = target.load(r.spec);
  const { disassemble } = await import("@ebplane/core/asm");
  if (process.argv[3]) for (const [, p] of r.spec.programs) console.log(disassemble(p.code));
  for (const [n, p] of c.programs) console.log(n, p.testRun({ packet: new Uint8Array(64) }).verdict);
  c.close();
} catch (e) {
  if (e instanceof VerifierError) console.log(e.message, "\n", e.log.slice(-3000));
  else if (e instanceof CompileError) console.log(e.message);
  else throw e;
}
