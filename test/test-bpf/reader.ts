/**
 * Reads the tables of the kernel's lib/test_bpf.c, at test time and out of a tree beside the checkout: the part of the
 * file that holds the tables and what fills them is compiled as a program of our own (host.h in front, dump.h behind)
 * that prints them. Nothing of the kernel's text is kept.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

interface Entry {
  readonly descr: string;
  readonly code: Uint8Array;
}

/** An entry of the main table. */
export interface TableTest extends Entry {
  /** Classic instructions; eBPF otherwise. */
  readonly classic: boolean;
  readonly noData: boolean;
  /** The checker must refuse it. */
  readonly mustFail: boolean;
  readonly fragment: boolean;
  /** The data is plain memory instead of a packet. */
  readonly largeMemory: boolean;
  /** A function of the kernel's wrote its instructions. */
  readonly filled: boolean;
  readonly data: Uint8Array;
  readonly frag: Uint8Array;
  readonly runs: readonly { readonly size: number; readonly result: number }[];
}

/** An entry of the table of tail calls. `offset` of a marked move counts entries from this one. */
export interface TailCallTest extends Entry {
  readonly needsState: boolean;
  readonly resultInState: boolean;
  readonly result: number;
}

export interface Tables {
  readonly tests: readonly TableTest[];
  readonly tailCalls: readonly TailCallTest[];
}

const here = dirname(fileURLToPath(import.meta.url));

/** Kernel sources: of the environment, else where scripts/install-test-tools.sh puts the few files that tests read. */
export const sourceTree = process.env.EBPLANE_LINUX_SRC ?? "/var/cache/ebplane-tests/linux";

/** Why the tables cannot be read, or undefined. */
export function unreadable(tree: string): string | undefined {
  try {
    readFileSync(join(tree, "lib/test_bpf.c"));
  } catch {
    return `no lib/test_bpf.c in ${tree}`;
  }
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
  } catch {
    return "no C compiler named cc";
  }
  return undefined;
}

/** @throws Error naming the text that a part should begin or end with, when the file has another form. */
function between(text: string, first: string, end: string): string {
  const from = text.indexOf(first);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`test_bpf.c: expected "${from < 0 ? first : end}"`);
  return text.slice(from, to);
}

/** @throws Error when the file has another form than expected or does not compile, with the compiler's words. */
export function readTables(tree: string): Tables {
  const text = readFileSync(join(tree, "lib/test_bpf.c"), "utf8");
  const parts = [
    readFileSync(join(here, "host.h"), "utf8"),
    between(text, "#define MAX_SUBTESTS", "static struct net_device"),
    between(text, "struct tail_call_test {", "static void __init destroy_tail_call_tests"),
    readFileSync(join(here, "dump.h"), "utf8"),
  ];
  const folder = mkdtempSync(join(tmpdir(), "ebplane-test-bpf-"));
  try {
    const source = join(folder, "tables.c");
    const program = join(folder, "tables");
    writeFileSync(source, parts.join("\n"));
    execFileSync("cc", ["-w", "-O0", "-fwrapv", "-o", program, source], { stdio: ["ignore", "ignore", "pipe"] });
    return split(execFileSync(program, { maxBuffer: 1 << 30 }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function split(dump: Buffer): Tables {
  const tests: TableTest[] = [];
  const tailCalls: TailCallTest[] = [];
  for (let at = 0; at < dump.length; ) {
    const end = dump.indexOf(10, at);
    const head = JSON.parse(dump.toString("utf8", at, end));
    at = end + 1;
    const take = (bytes: number): Uint8Array => Uint8Array.from(dump.subarray(at, (at += bytes)));
    const entry = { ...head, code: take(head.insns), data: take(head.data), frag: take(head.frag) };
    if (head.tailCall) tailCalls.push(entry);
    else tests.push(entry);
  }
  return { tests, tailCalls };
}
