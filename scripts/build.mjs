/** Builds everything: generated sources, then each package's dist (`tsc -b`, incremental). */
import { run } from "./run.mjs";

run("generate", process.execPath, ["scripts/generate.mjs"]);
run("build", process.execPath, ["node_modules/typescript/bin/tsc", "-b"]);
