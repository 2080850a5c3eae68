/**
 * Reading a large object, and CO-RE against this kernel's types; beside bpftool, whose libbpf does the same in C.
 *
 *     npx tsx --conditions=source bench/objects.ts
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseBtf } from "@ebplane/core/btf";
import { readElf, relocateCore } from "@ebplane/core/elf";

const HEAD = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_core_read.h>\n";
const LICENSE = 'char _license[] SEC("license") = "GPL";\n';

/** 200 programs, three shared subprograms, globals: about 1 MB with its debug info. */
function largeSource(): string {
  let text = `${HEAD}volatile __u32 acc;
static __attribute__((noinline)) int mix(__u32 x) { return x * 2654435761u ^ x >> 15 ^ acc; }
__attribute__((noinline)) int spread(__u32 x) { return mix(x) + mix(x + 1); }
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); __uint(max_entries, 64); } seen SEC(".maps");
`;
  for (let i = 0; i < 200; i++) {
    text += `SEC("xdp") int prog_${i}(struct xdp_md *ctx)\n{\n\t__u32 k = ctx->rx_queue_index;\n`;
    for (let j = 0; j < 20; j++) text += `\tacc = acc * ${i + 3} + k + ${j};\n`;
    text += `\t__u64 *v = bpf_map_lookup_elem(&seen, &k);\n\treturn v ? spread(*v) & 3 : mix(k) & 1;\n}\n`;
  }
  return text + LICENSE;
}

/** 500 relocations of struct task_struct's members. */
function coreSource(): string {
  const fields = [
    "pid",
    "tgid",
    "prio",
    "static_prio",
    "normal_prio",
    "exit_code",
    "personality",
    "flags",
    "ptrace",
    "policy",
  ];
  let text = `${HEAD}struct task_struct { ${fields.map((f) => `int ${f};`).join(" ")} } __attribute__((preserve_access_index));\nvolatile long acc;\n`;
  for (let i = 0; i < 50; i++) {
    text += `SEC("raw_tp/sys_enter") int prog_${i}(void *ctx)\n{\n\tstruct task_struct *t = (void *)bpf_get_current_task();\n`;
    for (let j = 0; j < fields.length; j++) text += `\tacc += BPF_CORE_READ(t, ${fields[j]});\n`;
    text += "\treturn 0;\n}\n";
  }
  return text + LICENSE;
}

function compile(source: string, path: string): void {
  const r = spawnSync(
    "clang",
    [
      "-O2",
      "-g",
      "-target",
      "bpf",
      "-mcpu=v3",
      `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`,
      "-x",
      "c",
      "-",
      "-c",
      "-o",
      path,
    ],
    { input: source },
  );
  if (r.status !== 0) throw new Error(`clang: ${r.stderr}`);
}

interface Timing {
  readonly min: number;
  readonly median: number;
}

function time(runs: number, body: () => void): Timing {
  const ms = Array.from({ length: runs }, () => {
    const start = performance.now();
    body();
    return performance.now() - start;
  }).sort((a, b) => a - b);
  return { min: ms[0]!, median: ms[runs >> 1]! };
}

const show = (what: string, { min, median }: Timing) =>
  console.log(`${what.padEnd(58)} ${min.toFixed(1).padStart(8)} ms  median ${median.toFixed(1)}`);

const dir = mkdtempSync(join(tmpdir(), "ebplane-bench-"));
try {
  const large = join(dir, "large.o");
  compile(largeSource(), large);
  const bytes = new Uint8Array(readFileSync(large));
  const cold = time(1, () => readElf(bytes));
  const spec = readElf(bytes);
  console.log(`object of ${bytes.length} bytes, ${spec.programs.size} programs`);
  show("readElf, first time in the process", cold);
  const ours = time(20, () => readElf(bytes));
  show("readElf", ours);
  // gen skeleton opens the object and prints it; --version alone is the process.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const process_ = time(10, () => spawnSync("bpftool", ["--version"], { env }));
  const theirs = time(10, () => spawnSync("bpftool", ["gen", "skeleton", large], { env, maxBuffer: 64 << 20 }));
  const open = { min: theirs.min - process_.min, median: theirs.median - process_.median };
  show("bpftool gen skeleton, less its start: libbpf's open", open);
  console.log(`ratio ${(ours.median / open.median).toFixed(2)}`);

  const vmlinux = "/sys/kernel/btf/vmlinux";
  if (existsSync(vmlinux)) {
    const types = new Uint8Array(readFileSync(vmlinux));
    show(
      "parseBtf of vmlinux",
      time(5, () => parseBtf(types)),
    );
    const core = join(dir, "core.o");
    compile(coreSource(), core);
    const waiting = readElf(new Uint8Array(readFileSync(core)));
    const relos = [...waiting.programs.values()].reduce((n, p) => n + (p.coreRelos?.length ?? 0), 0);
    const target = parseBtf(types);
    show(
      `CO-RE of ${relos} relocations, first time (names indexed)`,
      time(1, () => relocateCore(waiting, target)),
    );
    show(
      `CO-RE of ${relos} relocations`,
      time(20, () => relocateCore(waiting, target)),
    );
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
