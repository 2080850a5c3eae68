/** `ebplane prog run` and `prog log`: a loaded program on bytes of one's own, and what programs print. */
import { closeSync, readSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { fromHex, toHex } from "@ebplane/core/bytes";
import { verdictName } from "@ebplane/core/object";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { readBytes } from "../input.ts";
import { requireKernel } from "../kernel.ts";
import { WHICH_PROGRAM, withProgram } from "../kernel-objects.ts";
import { wholeNumber, wholeNumberIfAny } from "../options.ts";
import { print, printJson } from "../output.ts";

interface RunOptions {
  readonly packet?: string;
  readonly data?: string;
  readonly ctx?: string;
  readonly repeat?: string;
  readonly cpu?: string;
  readonly json?: boolean;
}

export function registerProgRun(prog: Command): void {
  prog
    .command("run <prog>")
    .description(`runs a loaded program by BPF_PROG_TEST_RUN: ${WHICH_PROGRAM}`)
    .option("--packet <hex>", "the packet's bytes")
    .option("--data <file>", "the packet from a file")
    .option("--ctx <hex>", "the ctx in front of it")
    .option("--repeat <number>", "runs; the time is their mean")
    .option("--cpu <number>", "where (raw tracepoints)")
    .option("--json", "one JSON document")
    .action(async (which: string, options: RunOptions) => {
      if (options.packet !== undefined && options.data !== undefined)
        throw new UsageError("--packet and --data exclude each other");
      const packet = options.data === undefined ? hex(options.packet ?? "", "--packet") : readBytes(options.data);
      const ctx = options.ctx === undefined ? undefined : hex(options.ctx, "--ctx");
      const repeat = wholeNumberIfAny(options.repeat, "--repeat");
      const cpu = wholeNumberIfAny(options.cpu, "--cpu");
      await withProgram(which, (_fd, info, program) => {
        const result = program.testRun({ packet, ctx, repeat, cpu });
        const verdict = verdictName(info.type, result.verdict);
        if (options.json) {
          const { verdict: value, ...rest } = result;
          printJson({ id: info.id, name: info.name, verdict, value, ...rest });
          return;
        }
        print(`${info.name}: ${verdict} (${result.verdict}), ${result.durationNs} ns a run`);
        if (result.packet.length) print(`packet ${toHex(result.packet)}`);
        if (result.ctx?.length) print(`ctx ${toHex(result.ctx)}`);
      });
    });

  prog
    .command("log")
    .description("what programs print with bpf_printk, all of the system's, as it comes, until Ctrl-C")
    .option("--count <number>", "end after as many lines")
    .option("--seconds <number>", "end after this time")
    .action(async ({ count, seconds }: { count?: string; seconds?: string }) => {
      const most = count === undefined ? Number.POSITIVE_INFINITY : wholeNumber(count, "--count");
      const time = seconds === undefined ? Number.POSITIVE_INFINITY : wholeNumber(seconds, "--seconds") * 1000;
      await requireKernel("prog log");
      await follow(most, performance.now() + time);
    });
}

function hex(text: string, option: string): Uint8Array {
  try {
    return fromHex(text.replace(/^0x/, ""));
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`);
  }
}

/** Prints the trace pipe's lines. Whoever reads it takes them from other readers. */
async function follow(most: number, until: number): Promise<void> {
  const { openTracePipe } = await import("@ebplane/linux/bpf");
  const fd = openTracePipe();
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  try {
    const buffer = new Uint8Array(1 << 16);
    let rest = "";
    let shown = 0;
    while (!stop.signal.aborted && shown < most && performance.now() < until) {
      const text = read(fd, buffer);
      if (text === undefined) {
        await setTimeout(50, undefined, { signal: stop.signal }).catch(() => {});
        continue;
      }
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line !== "" && shown++ < most) print(line);
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** What is there now, or undefined. */
function read(fd: number, buffer: Uint8Array): string | undefined {
  try {
    return new TextDecoder().decode(buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, null)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}
