/** Runs the built command as a user would, and holds scratch folders for tests. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished, vi } from "vitest";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const COMMAND = join(ROOT, "packages/cli/bin/ebplane.js");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs to its end in the repository's root. */
export function ebplane(args: readonly string[], input?: string): Outcome {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [COMMAND, ...args], {
    cwd: ROOT,
    input: input ?? "",
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (error) throw error;
  return { code: status, stdout, stderr };
}

/** As `ebplane`, with its JSON answer. */
export function ebplaneJson<T>(args: readonly string[]): Outcome & { readonly json: T } {
  const outcome = ebplane([...args, "--json"]);
  try {
    return { ...outcome, json: JSON.parse(outcome.stdout) as T };
  } catch {
    throw new Error(`no JSON from ebplane ${args.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
  }
}

/** A folder that is gone after the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ebplane-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** As `ebplane`, in this process: a hundred runs in the time of one process each. Not for two at once. */
export async function ebplaneHere(args: readonly string[]): Promise<Outcome> {
  const { main } = await import("../src/main.ts");
  const text = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((data) => {
      text[name] += typeof data === "string" ? data : Buffer.from(data).toString();
      return true;
    }),
  );
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    await main([process.execPath, COMMAND, ...args]);
    return { code: Number(process.exitCode ?? 0), ...text };
  } finally {
    process.exitCode = before;
    for (const spy of spies) spy.mockRestore();
  }
}
