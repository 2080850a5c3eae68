/** `ebplane batch`: commands from a file, one a line, in one process. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { readBytes } from "../input.ts";
import { note } from "../output.ts";

/** `run` is the command's own main. */
export function registerBatch(program: Command, run: (argv: readonly string[]) => Promise<void>): void {
  program
    .command("batch <file>")
    .description("run the commands of a file (- for stdin), one a line without `ebplane`; # begins a comment")
    .option("--keep-going", "go on after a line that fails")
    .action(async (file: string, { keepGoing }: { keepGoing?: boolean }) => {
      const text = file === "-" ? readFileSync(0, "utf8") : new TextDecoder().decode(readBytes(file));
      let worst = 0;
      for (const [i, line] of text.split("\n").entries()) {
        const where = `${file === "-" ? "stdin" : file}:${i + 1}`;
        const words = wordsOf(line, where);
        if (words.length === 0) continue;
        if (words[0] === "batch") throw new UsageError(`${where}: a batch in a batch`);
        process.exitCode = 0;
        await run([process.argv[0]!, process.argv[1]!, ...words]);
        const code = Number(process.exitCode ?? 0);
        worst = Math.max(worst, code);
        if (code !== 0) note(`${where}: exit ${code}`);
        if (code !== 0 && !keepGoing) break;
      }
      process.exitCode = worst;
    });
}

/** Words as a shell splits them, with quotes and without anything else. */
function wordsOf(line: string, where: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (const c of line) {
    if (quote !== undefined) {
      if (c === quote) quote = undefined;
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (/\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === "#" && word === undefined) {
      break;
    } else word = (word ?? "") + c;
  }
  if (quote !== undefined) throw new UsageError(`${where}: a quote ${quote} without its end`);
  if (word !== undefined) words.push(word);
  return words;
}
