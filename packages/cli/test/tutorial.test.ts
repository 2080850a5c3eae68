/**
 * docs/tutorial.md as its reader does it: its files written, its commands run in order, in a network and mount namespace of
 * its own. What a command prints must have the lines that the tutorial shows, but for numbers; `…` stands for more lines, or for the rest of one.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { COMMAND, ROOT, scratchFolder } from "./ebplane.ts";

const TEXT = readFileSync(join(ROOT, "docs/tutorial.md"), "utf8");
const tools = ["ip", "ping", "bpftool", "unshare"];
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const missing = tools.find((t) => spawnSync("which", [t], { env }).status !== 0);
const skip = kernelSkipReason() ?? (missing && `${missing} is not installed`);

interface Step {
  readonly command: string;
  readonly shown: readonly string[];
}

function steps(): Step[] {
  const out: { command: string; shown: string[] }[] = [];
  for (const [, block] of TEXT.matchAll(/^```console\n([\s\S]*?)^```$/gm)) {
    for (const line of block!.trimEnd().split("\n")) {
      if (line.startsWith("$ ")) out.push({ command: line.slice(2), shown: [] });
      else out.at(-1)!.shown.push(line);
    }
  }
  return out;
}

/** A line as it is compared: numbers and the room between words are the machine's. */
function plain(line: string): string {
  return line
    .replace(/\d+(?:[\s.]\d+)*/g, "N")
    .replace(/\s+/g, " ")
    .trim();
}

const MARK = "@@step";

test.skipIf(skip)(
  "every command of the tutorial does what it shows",
  () => {
    const folder = scratchFolder();
    for (const [, name, text] of TEXT.matchAll(/^```ts\n\/\/ (\S+)\n([\s\S]*?)^```$/gm)) {
      writeFileSync(join(folder, name!), `// ${name}\n${text}`);
    }
    const all = steps();
    const script = [
      // Names of namespaces and pins are this test's alone.
      "mount -t tmpfs none /run",
      "mount -t bpf bpf /sys/fs/bpf",
      `ebplane() { "${process.execPath}" "${COMMAND}" "$@"; }`,
      `EXAMPLES="${join(ROOT, "examples")}"`,
      ...all.flatMap(({ command }, k) => [`echo "${MARK} ${k}"`, `${command} 2>&1`]),
    ].join("\n");
    const { stdout, stderr } = spawnSync("unshare", ["--mount", "--net", "bash", "-c", script], {
      cwd: folder,
      env,
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    const outputs = stdout.split(new RegExp(`^${MARK} \\d+\\n`, "m")).slice(1);
    expect(outputs.length).toBe(all.length);
    const wrong = all.flatMap(({ command, shown }, k) => {
      const printed = outputs[k]!.split("\n").map(plain);
      let at = 0;
      for (const line of shown) {
        if (line === "…") continue;
        const cut = line.endsWith("…") ? plain(line.slice(0, -1)) : undefined;
        const found = printed.findIndex(
          (p, n) => n >= at && (cut === undefined ? p === plain(line) : p.startsWith(cut)),
        );
        if (found < 0) return [`$ ${command}\n${outputs[k]}does not have: ${line}`];
        at = found + 1;
      }
      const more = printed.filter((l) => l !== "").length - shown.length;
      return more > 0 && !shown.includes("…")
        ? [`$ ${command}\n${outputs[k]}has ${more} lines that are not shown`]
        : [];
    });
    expect(wrong).toEqual([]);
    expect(all.length).toBeGreaterThan(15);
  },
  60_000,
);
