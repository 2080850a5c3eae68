import { readFileSync, writeFileSync } from "node:fs";
import { compile } from "@ebplane/compiler";
import { writeElf } from "@ebplane/core/elf";

const r = compile({
  entry: process.argv[2]!,
  files: (p) => {
    try {
      return readFileSync(p, "utf8");
    } catch {
      return undefined;
    }
  },
});
writeFileSync(process.argv[3]!, writeElf(r.spec));
