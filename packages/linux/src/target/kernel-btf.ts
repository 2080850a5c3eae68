/**
 * The running kernel's own types, and what programs name in them: functions to trace, kfuncs to call, variables.
 * Source: /sys/kernel/btf/vmlinux; libbpf `bpf_object__resolve_externs`, `find_attach_btf_id` for the names' prefixes.
 */
import { readdirSync, readFileSync } from "node:fs";
import { type Btf, type BtfKind, parseBtf } from "@ebplane/core/btf";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, type ProgramSpec, ProgType } from "@ebplane/core/object";

let kernel: Btf | undefined;

/** Parsed once, some 50 ms. @throws UnsupportedError where the kernel was built without BTF. */
export function kernelBtf(): Btf {
  if (kernel) return kernel;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync("/sys/kernel/btf/vmlinux");
  } catch {
    throw new UnsupportedError("kernel BTF", "this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF)", "5.4");
  }
  kernel = parseBtf(bytes);
  return kernel;
}

/** The kernel's id of what the program is attached to, for the types that say so at load; 0 for the others. */
export function attachBtfId(spec: ProgramSpec): number {
  const { attachTo } = spec;
  if (attachTo === undefined) return 0;
  const place = placeOf(spec, attachTo);
  if (!place) return 0;
  const id = kernelBtf().find(place.name, place.kind);
  if (id === undefined) {
    throw new UnsupportedError(attachTo, `program ${spec.name}: this kernel has no ${place.what} ${attachTo}`);
  }
  return id;
}

function placeOf(spec: ProgramSpec, name: string): { name: string; kind: BtfKind; what: string } | undefined {
  switch (spec.type) {
    case ProgType.BPF_PROG_TYPE_TRACING:
      if (spec.attachType === AttachType.BPF_TRACE_RAW_TP) {
        return { name: `btf_trace_${name}`, kind: "typedef", what: "tracepoint" };
      }
      if (spec.attachType === AttachType.BPF_TRACE_ITER)
        return { name: `bpf_iter_${name}`, kind: "func", what: "iterator" };
      return { name, kind: "func", what: "function" };
    case ProgType.BPF_PROG_TYPE_LSM:
      return { name: `bpf_lsm_${name}`, kind: "func", what: "LSM hook" };
    default:
      return undefined;
  }
}

/** The module that has a function, by the types of all that are loaded; undefined when none does. */
export function moduleWith(func: string, directory = "/sys/kernel/btf", base: Btf = kernelBtf()): string | undefined {
  return readdirSync(directory).find((module) => {
    if (module === "vmlinux") return false;
    return parseBtf(readFileSync(`${directory}/${module}`), base).find(func, "func") !== undefined;
  });
}

let symbols: Map<string, bigint> | undefined;

function kernelSymbols(): Map<string, bigint> {
  if (symbols) return symbols;
  symbols = new Map();
  for (const line of readFileSync("/proc/kallsyms", "latin1").split("\n")) {
    const [address, , symbol] = line.split(/[ \t]/, 3);
    if (symbol !== undefined) symbols.set(symbol, BigInt(`0x${address}`));
  }
  return symbols;
}

/** A symbol's address in the running kernel, or undefined: there is none, or addresses are hidden from this process. */
export function kernelSymbol(name: string): bigint | undefined {
  return kernelSymbols().get(name) || undefined;
}

/** Whether the running kernel has a symbol of this name, whatever its address. */
export function hasKernelSymbol(name: string): boolean {
  return kernelSymbols().has(name);
}
