/**
 * The running kernel's own types, and what programs name in them: functions to trace, kfuncs to call, variables.
 * Source: /sys/kernel/btf/vmlinux; libbpf `bpf_object__resolve_externs`, `find_attach_btf_id` for the names' prefixes.
 */
import { readFileSync } from "node:fs";
import { type Btf, type BtfKind, parseBtf } from "@ebplane/core/btf";
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { btfBytes, btfInfo, objectIds } from "../bpf/index.ts";

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

/** Types of the kernel or of a module of it. */
export interface KernelTypes {
  /** The module; "" for the kernel itself. */
  readonly module: string;
  /** The kernel's id of the BTF object; 0 for the kernel itself. */
  readonly id: number;
  readonly btf: Btf;
}

const modules = new Map<number, KernelTypes>();
let vmlinuxBytes: Buffer | undefined;

/**
 * The types of the loaded modules that could have `name`, each on top of the kernel's own: a module's strings are its own
 * where the kernel's have no such text, so that most are passed over unparsed. Empty where the caller may not walk over
 * BTF objects (CAP_SYS_ADMIN), and before Linux 5.11, whose modules have no types.
 */
export function modulesWith(name: string): KernelTypes[] {
  let ids: number[];
  try {
    ids = objectIds("btf");
  } catch (error) {
    if (error instanceof SysError && error.errno === Errno.EPERM) return [];
    throw error;
  }
  vmlinuxBytes ??= readFileSync("/sys/kernel/btf/vmlinux");
  const text = `\0${name}\0`;
  const anywhere = vmlinuxBytes.includes(text, 0, "latin1");
  return ids.flatMap((id) => {
    const known = modules.get(id);
    if (known) return [known];
    const info = btfInfo(id);
    if (!info?.kernel || info.name === "vmlinux") return [];
    const bytes = btfBytes(id);
    if (
      !bytes ||
      !(anywhere || Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(text, 0, "latin1"))
    ) {
      return [];
    }
    const types = { module: info.name, id, btf: parseBtf(bytes, kernelBtf()) };
    modules.set(id, types);
    return [types];
  });
}

/** A type of the kernel, else of a loaded module. */
export function findType(name: string, kind: BtfKind): { readonly in: KernelTypes; readonly type: number } | undefined {
  const own = kernelBtf().find(name, kind);
  if (own !== undefined) return { in: { module: "", id: 0, btf: kernelBtf() }, type: own };
  for (const types of modulesWith(name)) {
    const type = ownType(types.btf, name, kind);
    if (type !== undefined) return { in: types, type };
  }
  return undefined;
}

/** A module's own, not one of the kernel's below it. */
function ownType(btf: Btf, name: string, kind: BtfKind): number | undefined {
  return btf
    .names()
    .get(name)
    ?.find((id) => btf.type(id).kind === kind);
}

/** `MODULE:FUNCTION` as libbpf has it, or a plain name. */
function findFunction(name: string): ReturnType<typeof findType> {
  const [, module, func] = /^([^:]+):(.+)$/.exec(name) ?? [];
  if (module === undefined) return findType(name, "func");
  if (module === "vmlinux") return findType(func!, "func");
  const types = modulesWith(func!).find((t) => t.module === module);
  const type = types && ownType(types.btf, func!, "func");
  return types && type !== undefined ? { in: types, type } : undefined;
}

/** The kernel's id of what the program is attached to, and the BTF object that has it (0: its own). */
export interface AttachPlace {
  readonly type: number;
  readonly object: number;
}

/** For the types of program that say at load what they are attached to; undefined for the others. */
export function attachPlace(spec: ProgramSpec): AttachPlace | undefined {
  const { attachTo } = spec;
  if (attachTo === undefined) return undefined;
  const place = placeOf(spec, attachTo);
  if (!place) return undefined;
  const found = place.kind === "func" ? findFunction(place.name) : findType(place.name, place.kind);
  if (found === undefined) {
    const where = place.what === "function" ? ", nor has a module that is loaded (modprobe it)" : "";
    throw new UnsupportedError(attachTo, `program ${spec.name}: this kernel has no ${place.what} ${attachTo}${where}`);
  }
  return { type: found.type, object: found.in.id };
}

/** The name of what a tracing link is on; undefined where it is gone. `object` is a BTF object's id, or a program's. */
export function traceTarget({ object, type }: { readonly object: number; readonly type: number }): string | undefined {
  if (type === 0) return undefined;
  const info = object === 0 ? undefined : btfInfo(object);
  if (object !== 0 && !info?.kernel) return undefined;
  const own = info === undefined || info.name === "vmlinux";
  const bytes = own ? undefined : btfBytes(object);
  const btf = own ? kernelBtf() : bytes && parseBtf(bytes, kernelBtf());
  if (!btf || type >= btf.length) return undefined;
  const { name } = btf.type(type);
  const short = name.replace(/^(btf_trace_|bpf_lsm_|bpf_iter_)/, "");
  return own ? short : `${info.name}:${short}`;
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

/**
 * The module that would have a kernel function, for those that programs of the network call: what to load when no loaded
 * one has it. Source: the `MODULE_LICENSE` units of the files that the kfunc table names.
 */
const HOMES: readonly (readonly [RegExp, string])[] = [
  [/^bpf_ct_set_nat_info$/, "nf_nat"],
  [/^bpf_((xdp|skb)_ct_|ct_)/, "nf_conntrack"],
  [/^bpf_xdp_flow_lookup$/, "nf_flow_table"],
  [/^bpf_skb_[gs]et_fou_encap$/, "fou"],
  [/^bpf_skb_[gs]et_xfrm_info$/, "xfrm_interface"],
  [/^bbr_/, "tcp_bbr"],
  [/^cubictcp_/, "tcp_cubic"],
  [/^dctcp_/, "tcp_dctcp"],
];

/** How the kernel could be made to have a function that it lacks; "" where nothing is known. */
export function moduleHint(func: string): string {
  const module = HOMES.find(([names]) => names.test(func))?.[1];
  return module === undefined ? "" : `: modprobe ${module}, which has it where the kernel was built with it`;
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
