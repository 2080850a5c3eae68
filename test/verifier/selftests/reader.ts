/**
 * Reads the kernel's own verifier tests at test time: `tools/testing/selftests/bpf/verifier/*.c` of a source tree become
 * collections, `progs/verifier_*.c` objects. Nothing of the kernel's text is kept: a C program of ours includes the
 * kernel's file, and prints each table entry as a line of JSON.
 *
 * Leaves out: what the tests expect (the running kernel is asked), the unprivileged halves, program array contents.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Btf, type BtfType, encodeBtf, parseBtf } from "@ebplane/core/btf";
import { BPF_PSEUDO_MAP_VALUE, SLOT } from "@ebplane/core/isa";
import {
  BPF_F_ANY_ALIGNMENT,
  BPF_F_RDONLY_PROG,
  BPF_F_STRICT_ALIGNMENT,
  BPF_F_WRONLY_PROG,
  type CollectionSpec,
  type FuncInfo,
  type MapSpec,
  MapType,
  type ProgramSpec,
  ProgType,
  type Reloc,
} from "@ebplane/core/object";

export interface SelfTest {
  readonly name: string;
  /** One program, with the maps and types that it needs. */
  readonly spec: CollectionSpec;
}

const TESTS = "tools/testing/selftests/bpf";
const LIBBPF = "tools/lib/bpf";
const COMPILERS = ["clang-19", "clang-18", "clang-16", "clang"];

/** Entries of `struct bpf_test` as the C program prints them. */
interface Entry {
  readonly name: string;
  readonly type: number;
  readonly attach: number;
  readonly flags: number;
  readonly kfunc: string;
  readonly code: string;
  readonly maps: Readonly<Record<string, readonly number[]>>;
  readonly kfuncs: readonly { readonly at: number; readonly name: string }[];
  readonly funcs: readonly (readonly [pc: number, type: number])[];
  readonly types: readonly number[];
  readonly strings: string;
}

/** Maps by the name of the field that lists where they are used. */
const FIELDS = [
  "map_hash_8b",
  "map_hash_48b",
  "map_hash_16b",
  "map_array_48b",
  "map_sockmap",
  "map_sockhash",
  "map_xskmap",
  "map_stacktrace",
  "prog1",
  "prog2",
  "map_in_map",
  "cgroup_storage",
  "percpu_cgroup_storage",
  "map_spin_lock",
  "map_array_ro",
  "map_array_wo",
  "map_array_small",
  "sk_storage_map",
  "map_event_output",
  "map_reuseport_array",
  "map_ringbuf",
  "map_timer",
  "map_kptr",
];

const HARNESS = `
#define main kernels_main
#include "test_verifier.c"
#undef main
static void text(const char *s) {
  putchar('"');
  for (; s && *s; s++) { if (*s == '"' || *s == '\\\\') putchar('\\\\'); putchar(*s < ' ' ? ' ' : *s); }
  putchar('"');
}
static void places(const char *name, const int *at, int *any) {
  if (!*at) return;
  printf("%s\\"%s\\":[", *any ? "," : "", name); *any = 1;
  for (int i = 0; i < MAX_FIXUPS && at[i]; i++) printf("%s%d", i ? "," : "", at[i]);
  printf("]");
}
int main(void) {
  for (unsigned n = 0; n < sizeof(tests) / sizeof(tests[0]); n++) {
    struct bpf_test *t = &tests[n];
    struct bpf_insn *insns = t->insns;
    int length = MAX_INSNS, any = 0;
    if (t->fill_helper) {
      t->fill_insns = calloc(1000000, sizeof(struct bpf_insn));
      t->fill_helper(t);
      insns = t->fill_insns;
      length = t->prog_len;
    } else while (length > 1 && !insns[length - 1].code && !insns[length - 1].imm) length--;
    printf("{\\"name\\":"); text(t->descr);
    printf(",\\"type\\":%d,\\"attach\\":%d,\\"flags\\":%d,\\"kfunc\\":", t->prog_type, t->expected_attach_type, t->flags);
    text(t->kfunc);
    printf(",\\"code\\":\\"");
    for (int i = 0; i < length * 8; i++) printf("%02x", ((unsigned char *)insns)[i]);
    printf("\\",\\"maps\\":{");
${FIELDS.map((field) => `    places("${field}", t->fixup_${field}, &any);`).join("\n")}
    printf("},\\"kfuncs\\":[");
    for (int i = 0; i < MAX_FIXUPS && t->fixup_kfunc_btf_id[i].kfunc; i++) {
      printf("%s{\\"at\\":%d,\\"name\\":", i ? "," : "", t->fixup_kfunc_btf_id[i].insn_idx);
      text(t->fixup_kfunc_btf_id[i].kfunc); printf("}");
    }
    printf("],\\"funcs\\":[");
    for (int i = 0; i < t->func_info_cnt; i++)
      printf("%s[%d,%d]", i ? "," : "", t->func_info[i].insn_off, t->func_info[i].type_id);
    printf("],\\"types\\":[");
    int words = t->func_info_cnt || t->btf_types[0] || t->btf_types[1] ? MAX_BTF_TYPES : 0;
    for (int i = 0; i < words && t->btf_types[i] != BTF_END_RAW; i++) printf("%s%u", i ? "," : "", t->btf_types[i]);
    printf("],\\"strings\\":\\"");
    for (int i = 0; i < MAX_BTF_STRINGS; i++) printf("%02x", (unsigned char)t->btf_strings[i]);
    printf("\\"}\\n");
  }
  return 0;
}
`;

/** Why the tests cannot be read, or undefined. */
export function unreadable(tree: string): string | undefined {
  try {
    readdirSync(join(tree, TESTS, "verifier"));
  } catch {
    return `no ${TESTS}/verifier in ${tree} (EBPLANE_LINUX_SRC names a tree of kernel sources)`;
  }
  return spawnSync("cc", ["--version"]).status === 0 ? undefined : "no C compiler named cc";
}

/** Every entry of `verifier/*.c`. @throws Error with the compiler's words. */
export function readTable(tree: string): SelfTest[] {
  const work = mkdtempSync(join(tmpdir(), "ebplane-selftests-"));
  try {
    mkdirSync(join(work, "verifier"));
    const files = readdirSync(join(tree, TESTS, "verifier")).filter((name) => name.endsWith(".c"));
    const includes = files.map((name) => `#include "${join(tree, TESTS, "verifier", name)}"`);
    writeFileSync(join(work, "verifier/tests.h"), `#ifdef FILL_ARRAY\n${includes.join("\n")}\n#endif\n`);
    writeFileSync(join(work, "autoconf.h"), "");
    writeFileSync(join(work, "harness.c"), HARNESS);
    const dirs = [work, TESTS, "tools/include/uapi", "tools/include", "tools/lib"].flatMap((dir) => [
      "-I",
      dir === work ? work : join(tree, dir),
    ]);
    // What only the kernel's own main() calls stays unresolved: it is never run.
    const loose = ["-Wl,--unresolved-symbols=ignore-all", "-Wl,-z,lazy", "-no-pie"];
    const out = join(work, "harness");
    const flags = ["-w", "-O0", "-g0", "-DHAVE_GENHDR", "-Du32=__u32", "-Du64=__u64", ...dirs];
    const compiled = spawnSync("cc", [...flags, join(work, "harness.c"), "-o", out, ...loose], { encoding: "utf8" });
    if (compiled.status !== 0) throw new Error(`the kernel's test_verifier.c: ${compiled.stderr.slice(0, 2000)}`);
    const lines = execFileSync(out, { encoding: "utf8", maxBuffer: 1 << 30 })
      .trim()
      .split("\n");
    return lines.map((line) => collection(JSON.parse(line) as Entry));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const NEEDS_EFFICIENT_ACCESS = 1;
const STRICT = 2;

function collection(entry: Entry): SelfTest {
  const code = new Uint8Array(Buffer.from(entry.code, "hex"));
  const type = entry.type || ProgType.BPF_PROG_TYPE_SOCKET_FILTER;
  const maps = new Map<string, MapSpec>();
  const relocs: Reloc[] = [];
  for (const [field, places] of Object.entries(entry.maps)) {
    maps.set(field, mapOf(field));
    for (const pc of places) {
      const offset = new DataView(code.buffer).getInt32((pc + 1) * SLOT + 4, true);
      const value = code[pc * SLOT + 1]! >> 4 === BPF_PSEUDO_MAP_VALUE;
      relocs.push(value ? { pc, kind: "mapValue", name: field, offset } : { pc, kind: "map", name: field });
    }
  }
  for (const { at, name } of entry.kfuncs) relocs.push({ pc: at, kind: "kfunc", name, weak: false });
  relocs.sort((a, b) => a.pc - b.pc);
  const own = entry.types.length ? rawBtf(entry) : undefined;
  const funcInfo: FuncInfo[] = own
    ? entry.funcs.map(([pc, typeId]) => ({ pc, typeId, name: nameOf(own, typeId) }))
    : [];
  const alignment =
    entry.flags & STRICT ? BPF_F_STRICT_ALIGNMENT : entry.flags & NEEDS_EFFICIENT_ACCESS ? BPF_F_ANY_ALIGNMENT : 0;
  const program: ProgramSpec = {
    name: "test",
    section: "",
    type,
    attachType: entry.attach,
    flags: alignment | (entry.flags & ~(STRICT | NEEDS_EFFICIENT_ACCESS)),
    ...(entry.kfunc && { attachTo: entry.kfunc }),
    code,
    relocs,
    funcInfo,
    lineInfo: [],
  };
  const typed = [...maps.values()].some((map) => map.valueTypeId);
  const btf = own ?? (typed ? mapTypes() : undefined);
  const spec: CollectionSpec = {
    programs: new Map([["test", program]]),
    maps,
    license: "GPL",
    byteOrder: "little",
    ...(btf && { btf }),
  };
  return { name: entry.name, spec };
}

function nameOf(btf: Btf, id: number): string {
  const type = id < btf.length ? btf.type(id) : undefined;
  return type && "name" in type ? type.name : "";
}

function rawBtf({ types, strings }: Entry): Btf | undefined {
  const text = Buffer.from(strings, "hex");
  const bytes = Buffer.alloc(24 + types.length * 4 + text.length);
  bytes.writeUInt16LE(0xeb9f, 0);
  bytes[2] = 1;
  bytes.writeUInt32LE(24, 4);
  bytes.writeUInt32LE(types.length * 4, 12);
  bytes.writeUInt32LE(types.length * 4, 16);
  bytes.writeUInt32LE(text.length, 20);
  types.forEach((word, i) => {
    bytes.writeUInt32LE(word, 24 + i * 4);
  });
  text.copy(bytes, 24 + types.length * 4);
  return parseBtf(new Uint8Array(bytes));
}

const INT = 1;
const LOCK = 3;
const TIMER = 5;
const KPTRS = 12;

let types: Btf | undefined;

/** Types of the maps that hold a lock, a timer or kernel pointers. */
function mapTypes(): Btf {
  const member = (name: string, type: number, byte: number) => ({ name, type, bitOffset: byte * 8, bitSize: 0 });
  const struct = (name: string, size: number, members: readonly ReturnType<typeof member>[]): BtfType => ({
    kind: "struct",
    name,
    size,
    members,
  });
  const tagged = (name: string, type: number): BtfType => ({ kind: "typeTag", name, type, attribute: false });
  const list: BtfType[] = [
    { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" },
    struct("bpf_spin_lock", 4, [member("val", INT, 0)]),
    struct("val", 8, [member("cnt", INT, 0), member("l", 2, 4)]),
    struct("bpf_timer", 16, []),
    struct("timer", 16, [member("t", 4, 0)]),
    struct("prog_test_ref_kfunc", 0, []),
    struct("prog_test_member", 0, []),
    tagged("kptr_untrusted", 6),
    { kind: "ptr", name: "", type: 8 },
    tagged("kptr", 6),
    { kind: "ptr", name: "", type: 10 },
    struct("btf_ptr", 24, [member("ptr", 9, 0), member("ptr", 11, 8), member("ptr", 14, 16)]),
    tagged("kptr", 7),
    { kind: "ptr", name: "", type: 13 },
  ];
  types ??= parseBtf(encodeBtf(list).bytes);
  return types;
}

function mapOf(name: string): MapSpec {
  const T = MapType;
  const map = (type: number, keySize: number, valueSize: number, maxEntries = 1, flags = 0): MapSpec => ({
    name,
    type,
    keySize,
    valueSize,
    maxEntries,
    flags,
  });
  switch (name) {
    case "map_hash_8b":
      return map(T.BPF_MAP_TYPE_HASH, 8, 8, 1, 1);
    case "map_hash_48b":
      return map(T.BPF_MAP_TYPE_HASH, 8, 48, 1, 1);
    case "map_hash_16b":
      return map(T.BPF_MAP_TYPE_HASH, 8, 16, 1, 1);
    case "map_array_48b":
      return map(T.BPF_MAP_TYPE_ARRAY, 4, 48);
    case "map_sockmap":
      return map(T.BPF_MAP_TYPE_SOCKMAP, 4, 4);
    case "map_sockhash":
      return map(T.BPF_MAP_TYPE_SOCKHASH, 4, 4);
    case "map_xskmap":
      return map(T.BPF_MAP_TYPE_XSKMAP, 4, 4);
    case "map_stacktrace":
      return map(T.BPF_MAP_TYPE_STACK_TRACE, 4, 8);
    case "prog1":
      return map(T.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4);
    case "prog2":
      return map(T.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 8);
    case "map_in_map":
      return { ...map(T.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4), inner: map(T.BPF_MAP_TYPE_ARRAY, 4, 4) };
    case "cgroup_storage":
      return map(T.BPF_MAP_TYPE_CGROUP_STORAGE, 16, 64, 0);
    case "percpu_cgroup_storage":
      return map(T.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, 16, 64, 0);
    case "map_spin_lock":
      return { ...map(T.BPF_MAP_TYPE_ARRAY, 4, 8), keyTypeId: INT, valueTypeId: LOCK };
    case "map_array_ro":
      return map(T.BPF_MAP_TYPE_ARRAY, 4, 48, 1, BPF_F_RDONLY_PROG);
    case "map_array_wo":
      return map(T.BPF_MAP_TYPE_ARRAY, 4, 48, 1, BPF_F_WRONLY_PROG);
    case "map_array_small":
      return map(T.BPF_MAP_TYPE_ARRAY, 4, 1);
    case "sk_storage_map":
      return { ...map(T.BPF_MAP_TYPE_SK_STORAGE, 4, 8, 0, 1), keyTypeId: INT, valueTypeId: LOCK };
    case "map_event_output":
      return map(T.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4);
    case "map_reuseport_array":
      return map(T.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8);
    case "map_ringbuf":
      return map(T.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
    case "map_timer":
      return { ...map(T.BPF_MAP_TYPE_ARRAY, 4, 16), keyTypeId: INT, valueTypeId: TIMER };
    case "map_kptr":
      return { ...map(T.BPF_MAP_TYPE_ARRAY, 4, 24), keyTypeId: INT, valueTypeId: KPTRS };
    default:
      throw new TypeError(`no map ${name}`);
  }
}

/**
 * Compiles `progs/` whose name matches, as the kernel's Makefile does, into `out`; answers the objects' paths. What the
 * installed clang does not compile is left out.
 */
export function buildProgs(tree: string, pattern: RegExp, vmlinux: string, out: string): string[] {
  const clang = COMPILERS.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (!clang) throw new Error("no clang");
  const progs = join(tree, TESTS, "progs");
  // The tree's own libbpf headers; the generated list of helpers is the installed libbpf's.
  const headers = join(out, "bpf");
  mkdirSync(headers);
  for (const name of readdirSync(join(tree, LIBBPF)).filter((file) => file.endsWith(".h"))) {
    symlinkSync(join(tree, LIBBPF, name), join(headers, name));
  }
  symlinkSync("/usr/include/bpf/bpf_helper_defs.h", join(headers, "bpf_helper_defs.h"));
  const flags = [
    "-g",
    "-O2",
    "-mcpu=v3",
    "-target",
    "bpf",
    "-mlittle-endian",
    "-D__TARGET_ARCH_x86",
    "-w",
    "-std=gnu11",
  ];
  const dirs = [vmlinux, out, join(tree, "tools/include/uapi"), join(tree, TESTS), "/usr/include/x86_64-linux-gnu"];
  const built: string[] = [];
  for (const file of readdirSync(progs).sort()) {
    if (!file.endsWith(".c") || !pattern.test(file)) continue;
    const object = join(out, file.replace(/\.c$/, ".o"));
    const args = [...flags, ...dirs.flatMap((dir) => ["-I", dir]), "-c", join(progs, file), "-o", object];
    if (spawnSync(clang, args, { cwd: progs, stdio: "ignore" }).status === 0) built.push(object);
  }
  return built;
}
