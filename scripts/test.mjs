/** `npm test`: install, build, check (lint, types), and run every test. Arguments go to vitest. */
import { ensureInstalled, run } from "./run.mjs";

ensureInstalled();
run("build", process.execPath, ["scripts/build.mjs"]);
run("lint", process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]);
run("types", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.check.json"]);
run("types of packet programs", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.bpf.json"]);
run("test", process.execPath, [
  "node_modules/vitest/vitest.mjs",
  "run",
  "--reporter=default",
  "--reporter=./scripts/totals.mjs",
  ...process.argv.slice(2),
]);
