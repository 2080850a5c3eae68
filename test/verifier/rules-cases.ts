/**
 * Small programs, each at the edge of one rule: `rules/*.txt`, in assembly and C. A case's head is its title, the program's
 * type with attach type and flags (or `c` and the cpu version for clang), and the verdict with the rule, for 6.18.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readElf } from "@ebplane/core/elf";
import { AttachType, type CollectionSpec, type MapSpec, MapType, ProgType } from "@ebplane/core/object";
import { asmProgram, collectionOf } from "@ebplane/linux/testing";

export const DIR = fileURLToPath(new URL("rules/", import.meta.url));
const HEAD = fileURLToPath(new URL("wrong/head.h", import.meta.url));

type Row = readonly [
  type: keyof typeof MapType,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  flags?: number,
];
const MAPS: Readonly<Record<string, Row>> = {
  array: ["BPF_MAP_TYPE_ARRAY", 4, 8, 4],
  hash: ["BPF_MAP_TYPE_HASH", 4, 16, 10],
  big: ["BPF_MAP_TYPE_HASH", 8, 8, 10],
  ring: ["BPF_MAP_TYPE_RINGBUF", 0, 0, 4096],
  progs: ["BPF_MAP_TYPE_PROG_ARRAY", 4, 4, 4],
  socks: ["BPF_MAP_TYPE_SOCKMAP", 4, 4, 4],
  queue: ["BPF_MAP_TYPE_QUEUE", 0, 8, 4],
  dev: ["BPF_MAP_TYPE_DEVMAP", 4, 4, 4],
  cpu: ["BPF_MAP_TYPE_CPUMAP", 4, 4, 4],
  xsk: ["BPF_MAP_TYPE_XSKMAP", 4, 4, 4],
  percpu: ["BPF_MAP_TYPE_PERCPU_ARRAY", 4, 8, 4],
  lpm: ["BPF_MAP_TYPE_LPM_TRIE", 8, 8, 10, 1],
  readOnly: ["BPF_MAP_TYPE_ARRAY", 4, 8, 1, 1 << 7],
  writeOnly: ["BPF_MAP_TYPE_ARRAY", 4, 8, 1, 1 << 8],
  perf: ["BPF_MAP_TYPE_PERF_EVENT_ARRAY", 4, 4, 4],
  bloom: ["BPF_MAP_TYPE_BLOOM_FILTER", 0, 8, 4],
  traces: ["BPF_MAP_TYPE_STACK_TRACE", 4, 80, 4],
  storage: ["BPF_MAP_TYPE_CGROUP_STORAGE", 8, 8, 0],
  storage2: ["BPF_MAP_TYPE_CGROUP_STORAGE", 8, 8, 0],
};

export interface Case {
  readonly file: string;
  readonly title: string;
  readonly options: string;
  readonly expected: string;
  readonly source: string;
}

function read(file: string): Case[] {
  const parts = readFileSync(join(DIR, file), "utf8").split(/^== /m).slice(1);
  return parts.map((part) => {
    const end = part.indexOf("\n");
    const [title, options, expected] = part.slice(0, end).split(" | ");
    return { file, title: title!, options: options ?? "", expected: expected ?? "", source: part.slice(end + 1) };
  });
}

export const cases = readdirSync(DIR)
  .filter((file) => file.endsWith(".txt"))
  .flatMap(read);
export const inC = (c: Case): boolean => /^c\b/.test(c.options);
const objects = new Map<Case, CollectionSpec>();

/** One call of clang for each cpu version. */
export function build(): void {
  const dir = mkdtempSync(join(tmpdir(), "ebplane-rules-"));
  try {
    const cpuOf = (c: Case) => c.options.split(" ")[1] ?? "v3";
    for (const cpu of new Set(cases.filter(inC).map(cpuOf))) {
      const group = cases.filter((c) => inC(c) && cpuOf(c) === cpu);
      const files = group.map((c, i) => {
        writeFileSync(join(dir, `${cpu}-${i}.c`), c.source);
        return `${cpu}-${i}.c`;
      });
      const include = `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
      const flags = ["-O2", "-g", "-target", "bpf", `-mcpu=${cpu}`, include, "-include", HEAD, "-w", "-c"];
      const r = spawnSync("clang", [...flags, ...files], { cwd: dir, encoding: "utf8" });
      if (r.status !== 0) throw new Error(`clang: ${r.stderr}`);
      group.forEach((c, i) => {
        objects.set(c, readElf(readFileSync(join(dir, `${cpu}-${i}.o`))));
      });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function assembled(c: Case): CollectionSpec {
  const [type = "XDP", attach = "-", flags = "0"] = c.options.split(" ").filter(Boolean);
  const number = (ProgType as Record<string, number>)[`BPF_PROG_TYPE_${type}`]!;
  const attachType = attach === "-" ? 0 : (AttachType as Record<string, number>)[`BPF_${attach}`]!;
  const program = { ...asmProgram("prog", number, c.source), attachType, flags: Number(flags) };
  const maps = Object.entries(MAPS).filter(([name]) => c.source.includes(`map[${name}]`));
  const specs = maps.map(
    ([name, [kind, keySize, valueSize, maxEntries, mapFlags = 0]]): MapSpec => ({
      name,
      type: MapType[kind],
      keySize,
      valueSize,
      maxEntries,
      flags: mapFlags,
    }),
  );
  return { ...collectionOf([program], specs), license: c.source.includes("# licence: MIT") ? "MIT" : "GPL" };
}

/** A case as a collection; one in C once `build` has run. */
export function specOf(c: Case): CollectionSpec {
  return inC(c) ? objects.get(c)! : assembled(c);
}
