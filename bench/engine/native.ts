/** Native engines through koffi: the gcc builds of the programs, and uBPF where its library is given. */
import { createRequire } from "node:module";
import { type CollectionSpec, type MapEntry, relocate } from "@ebplane/core/object";
import { buildNative } from "./build.ts";
import type { Timed } from "./engines.ts";
import type { BenchProgram } from "./programs.ts";

type Call = (...args: unknown[]) => number;
interface Library {
  func(prototype: string): Call;
  symbol(name: string, type: unknown): unknown;
}
interface Koffi {
  load(path: string): Library;
  address(pointer: unknown): bigint;
  types: Record<string, unknown>;
}

/** Where a program's ctx stands in the low page, and its packet. */
const PACKET_OFFSET = 256;

export interface Native {
  /** A gcc build: `out` calls the map functions, `in` has them inlined. */
  gcc(program: BenchProgram, build: "out" | "in"): Timed;
  ubpf?(program: BenchProgram, spec: CollectionSpec, how: "jit" | "interp"): Timed;
}

export function openNative(folder: string, programs: readonly BenchProgram[], ubpfPath: string | undefined): Native {
  const koffi = createRequire(import.meta.url)("koffi") as Koffi;
  const library = koffi.load(
    buildNative(
      folder,
      programs.map((p) => p.name),
    ),
  );
  const address = (name: string): bigint => koffi.address(library.symbol(name, koffi.types.void));
  const lowPage = library.func("uint64_t low_page(void)");
  const writeBytes = library.func("void write_bytes(uint64_t at, const uint8_t *bytes, uint32_t count)");
  const runNative = library.func(
    "double run_native(uint64_t program, uint64_t ctx, uint32_t count, _Out_ uint32_t *verdict)",
  );
  const update = library.func(
    "int64_t map_update(uint64_t map, const uint8_t *key, const uint8_t *value, uint64_t flags)",
  );
  const mapAt = library.func("uint64_t map_at(uint64_t maps, uint32_t index)");

  /** A packet with its ctx in a page of its own, below 4 GiB. */
  const place = (packet: Uint8Array): bigint => {
    const page = BigInt(lowPage());
    if (page === 0n) throw new Error("native: no memory below 4 GiB");
    const data = Number(page) + PACKET_OFFSET;
    const ctx = new Uint8Array(24);
    new DataView(ctx.buffer).setUint32(0, data, true);
    new DataView(ctx.buffer).setUint32(4, data + packet.length, true);
    new DataView(ctx.buffer).setUint32(8, data, true);
    writeBytes(page, ctx, ctx.length);
    writeBytes(data, packet, packet.length);
    return page;
  };
  const filled = new Map<string, bigint[]>();
  /** A program's maps with their contents; put there once, whoever runs it. */
  const fill = (program: BenchProgram, build: "out" | "in"): bigint[] => {
    const known = filled.get(`${program.name} ${build}`);
    if (known) return known;
    const names = MAPS[program.name] ?? [];
    const table = names.length ? address(`${program.name}_${build}_maps`) : 0n;
    const maps = names.map((name, i) => {
      const map = BigInt(mapAt(table, i));
      for (const { key, value } of program.contents[name] ?? ([] as MapEntry[])) {
        if (!(value instanceof Uint8Array)) throw new TypeError(`map ${name}: native maps hold bytes`);
        update(map, key, value, 0);
      }
      return map;
    });
    filled.set(`${program.name} ${build}`, maps);
    return maps;
  };
  const verdict = [0];
  const gcc: Native["gcc"] = (program, build) => {
    fill(program, build);
    const ctx = place(program.packet);
    const run = address(`${program.name}_${build}_prog`);
    return { time: (count) => runNative(run, ctx, count, verdict) as number, verdict: () => verdict[0]! };
  };
  if (!ubpfPath) return { gcc };

  const ubpf = koffi.load(ubpfPath);
  const create = ubpf.func("uint64_t ubpf_create(void)");
  const register = ubpf.func("int ubpf_register(uint64_t vm, uint32_t index, const char *name, uint64_t fn)");
  const load = ubpf.func("int ubpf_load(uint64_t vm, const uint8_t *code, uint32_t length, _Out_ uint64_t *error)");
  const compile = ubpf.func("uint64_t ubpf_compile(uint64_t vm, _Out_ uint64_t *error)");
  const bounds = ubpf.func("bool ubpf_toggle_bounds_check(uint64_t vm, bool enable)");
  const exec = koffi.address(ubpf.symbol("ubpf_exec", koffi.types.void));
  const runJit = library.func(
    "double run_ubpf_jit(uint64_t program, uint64_t ctx, uint32_t length, uint32_t count, _Out_ uint32_t *verdict)",
  );
  const runInterp = library.func(
    "double run_ubpf_interp(uint64_t exec, uint64_t vm, uint64_t ctx, uint32_t length, uint32_t count, _Out_ uint32_t *verdict)",
  );
  const CTX_LENGTH = 24;
  return {
    gcc,
    ubpf(program, spec, how) {
      const maps = new Map(fill(program, "out").map((map, i) => [MAPS[program.name]![i]!, map]));
      const bpf = [...spec.programs.values()][0]!;
      const code = relocate(bpf, (reloc) => maps.get(reloc.name)!);
      // uBPF knows only plain lddw.
      for (const { pc } of bpf.relocs) code[pc * 8 + 1]! &= 15;
      const vm = BigInt(create());
      register(vm, 1, "map_lookup", address("map_lookup"));
      register(vm, 2, "map_update", address("map_update"));
      bounds(vm, false);
      const error = [0n];
      if (load(vm, code, code.length, error) !== 0) throw new Error(`ubpf refuses ${program.name}`);
      const ctx = place(program.packet);
      const compiled = how === "jit" ? BigInt(compile(vm, error)) : 0n;
      if (how === "jit" && compiled === 0n) throw new Error(`ubpf does not compile ${program.name}`);
      return {
        time: (count) =>
          (how === "jit"
            ? runJit(compiled, ctx, CTX_LENGTH, count, verdict)
            : runInterp(exec, vm, ctx, CTX_LENGTH, count, verdict)) as number,
        verdict: () => verdict[0]!,
      };
    },
  };
}

/** Maps in the order of a program's `MAPS(…)`. */
const MAPS: Readonly<Record<string, readonly string[]>> = {
  l4lb: ["services", "ring", "servers", "counters"],
  hash_count: ["counts"],
  hash_update: ["seen"],
  lpm: ["routes"],
};
