/**
 * Writes the generated sources (`*.generated.ts`, not in git): each script in `scripts/generate/` makes its own, and
 * writes nothing when it is up to date.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const dir = new URL("./generate/", import.meta.url);
for (const name of readdirSync(dir).sort()) {
  if (!name.endsWith(".mjs")) continue;
  const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(name, dir))], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
