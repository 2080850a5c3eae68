/**
 * What only the running kernel can decide about an object: its types (CO-RE) and its configuration (`.kconfig`). The
 * kernel could do CO-RE itself since 5.17; done here it works before, and a missing type is said by its name.
 * Source: libbpf.c `bpf_object__resolve_externs`, `bpf_object__read_kconfig_file`, `get_kernel_version`.
 */
import { release } from "node:os";
import type { Btf } from "@ebplane/core/btf";
import { applyKconfig, type KernelConfig, parseKconfig, relocateCore } from "@ebplane/core/elf";
import { autoloaded, type CollectionSpec } from "@ebplane/core/object";
import { configText } from "../features/system.ts";
import { hasKernelSymbol, kernelBtf, modulesWith } from "./kernel-btf.ts";

/** The collection with the programs that will be loaded relocated to this kernel, and the map `.kconfig` filled. */
export function settle(spec: CollectionSpec, chosen: readonly string[] | undefined): CollectionSpec {
  const programs = chosen ?? autoloaded(spec).map((p) => p.name);
  const relocate = programs.some((name) => spec.programs.get(name)?.coreRelos?.length);
  const related = relocate ? relocateCore(spec, kernelBtf(), programs, moduleTypes) : spec;
  return spec.externs?.some((e) => e.kind === "kconfig") ? applyKconfig(related, kernelConfig()) : related;
}

const moduleTypes = (name: string): Btf[] => modulesWith(name).map(({ btf }) => btf);

let config: KernelConfig | undefined;

/** The running kernel's version and options; no options where it does not publish them. */
export function kernelConfig(): KernelConfig {
  return (config ??= {
    version: kernelVersion(release()),
    options: new Map([...parseKconfig(configText() ?? ""), ...virtualOptions()]),
  });
}

/** `KERNEL_VERSION` of a release as uname prints it. Sublevels above 255 count as 255, as the kernel's macro has it. */
export function kernelVersion(text: string): number {
  const [, major = "0", minor = "0", patch = "0"] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return (Number(major) << 16) | (Number(minor) << 8) | Math.min(Number(patch), 255);
}

/** Options that no configuration has: libbpf tells by them what the kernel can do. */
function* virtualOptions(): Generator<[string, string]> {
  const says = (yes: boolean) => (yes ? "y" : "n");
  yield ["LINUX_HAS_BPF_COOKIE", says(hasHelper("BPF_FUNC_get_attach_cookie"))];
  const wrapper = { x64: "__x64_sys_bpf", arm64: "__arm64_sys_bpf", s390x: "__s390x_sys_bpf" }[process.arch as string];
  yield ["LINUX_HAS_SYSCALL_WRAPPER", says(wrapper !== undefined && hasKernelSymbol(wrapper))];
}

function hasHelper(name: string): boolean {
  const btf = kernelBtf();
  const ids = btf.findAll("bpf_func_id");
  return ids.some((id) => {
    const type = btf.type(id);
    return type.kind === "enum" && type.values.some((v) => v.name === name);
  });
}
