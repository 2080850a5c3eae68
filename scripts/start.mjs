/** `npm start`: install, build, and run the main job: the example plane on `sim` over real captured traffic. No root. */
import { ensureInstalled, run } from "./run.mjs";

ensureInstalled();
console.error("building");
run("build", process.execPath, ["scripts/build.mjs"]);
run("start", process.execPath, [
  "packages/cli/bin/ebplane.js",
  "up",
  "examples/edge/plane.yaml",
  "--out",
  "out",
  ...process.argv.slice(2),
]);
