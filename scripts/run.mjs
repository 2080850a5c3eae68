/** What the scripts share: running a step, installing when node_modules is not there. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Runs one step with the terminal handed through; a failing step ends the script with its exit code. */
export function run(step, command, args, env = {}) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...env } });
  if (error) console.error(`${step}: ${error.message}`);
  if (status !== 0) {
    console.error(`${step} failed`);
    process.exit(status ?? 1);
  }
}

/** Installs the locked dependencies when they are missing or the lock file has changed since. */
export function ensureInstalled() {
  const stamp = `${ROOT}node_modules/.ebplane-installed`;
  const lock = readFileSync(`${ROOT}package-lock.json`, "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  console.error("installing dependencies (npm ci)");
  // npm runs through a shell on every platform where its entry is a script; npm sets its own path for children.
  const npm = process.env.npm_execpath;
  if (npm) run("install", process.execPath, [npm, "ci", "--no-fund", "--no-audit", "--loglevel=error"]);
  else run("install", "npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"]);
  writeFileSync(stamp, lock);
}
