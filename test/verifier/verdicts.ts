/** Our verdict and the running kernel's for the programs of a collection, and the count of how they agree. */
import { release } from "node:os";
import type { Btf } from "@ebplane/core/btf";
import { applyKconfig, type KernelConfig, relocateCore } from "@ebplane/core/elf";
import { VerifierError } from "@ebplane/core/errors";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { type ProfileName, profileOfRelease, verify } from "@ebplane/core/verifier";
import { cpuNumbersEnd, kernelAvailable, type LinuxTarget, linuxTarget, NetNs } from "@ebplane/linux";
import { kernelBtf } from "../../packages/linux/src/target/kernel-btf.ts";
import { settle } from "../../packages/linux/src/target/settle.ts";

export interface Verdict {
  /** `error`: the kernel failed before its verifier said a word (a map it does not make, a hook it lacks). */
  readonly verdict: "accept" | "reject" | "unsupported" | "error";
  readonly message: string;
}

let target: LinuxTarget | undefined;

/** The running kernel's verdict; `error` where there is no kernel to ask. */
export function theirs(spec: CollectionSpec, program: ProgramSpec): Verdict {
  if (!target) {
    const available = kernelAvailable();
    if (!available.ok) return { verdict: "error", message: available.reason };
    target = linuxTarget({ netns: NetNs.create().fd });
  }
  try {
    target.load(alone(spec, program), { programs: [program.name] }).close();
    return { verdict: "accept", message: "" };
  } catch (error) {
    return { verdict: error instanceof VerifierError ? "reject" : "error", message: (error as Error).message };
  }
}

/** A kernel as our verifier knows it. */
export interface Kernel {
  readonly profile: ProfileName;
  readonly btf: Btf;
  readonly config: KernelConfig;
  readonly cpus: number;
}

export const RUNNING_PROFILE = profileOfRelease(release());

/** Our verdict for the running kernel, or for another one. */
export function ours(spec: CollectionSpec, original: ProgramSpec, kernel?: Kernel): Verdict {
  const settled = kernel ? settledFor(alone(spec, original), kernel) : settle(alone(spec, original), [original.name]);
  const program = settled.programs.get(original.name)!;
  const { maps, license, btf, structOps } = settled;
  const report = verify(program, {
    maps,
    license,
    btf,
    structOps,
    kernelBtf: kernel ? kernel.btf : kernelBtf(),
    profile: kernel?.profile ?? RUNNING_PROFILE,
    cpus: kernel?.cpus ?? cpuNumbersEnd(),
  });
  return { verdict: report.verdict, message: `${report.pc}: [${report.rule}] ${report.message}` };
}

function settledFor(spec: CollectionSpec, kernel: Kernel): CollectionSpec {
  const names = [...spec.programs].filter(([, { coreRelos }]) => coreRelos?.length).map(([name]) => name);
  const related = names.length ? relocateCore(spec, kernel.btf, names) : spec;
  return spec.externs?.some((e) => e.kind === "kconfig") ? applyKconfig(related, kernel.config) : related;
}

function alone(spec: CollectionSpec, program: ProgramSpec): CollectionSpec {
  return { ...spec, programs: new Map([[program.name, program]]) };
}

/** Counts of `kernel …, ours …`, by where the programs are from. */
export class Tally {
  readonly rows = new Map<string, Map<string, number>>();

  /** Judges one program; answers a description where the two differ or ours cannot say. */
  add(where: string, name: string, spec: CollectionSpec, program: ProgramSpec): string | undefined {
    const kernel = theirs(spec, program);
    const own = ours(spec, program);
    const key = `kernel ${kernel.verdict}, ours ${own.verdict}`;
    let row = this.rows.get(where);
    if (!row) this.rows.set(where, (row = new Map()));
    row.set(key, (row.get(key) ?? 0) + 1);
    if (own.verdict !== "unsupported" && (kernel.verdict === own.verdict || kernel.verdict === "error"))
      return undefined;
    return `${name}: ${key}\n    ours:   ${own.message}\n    kernel: ${kernel.message}`;
  }

  count(where: string, key: string): number {
    return this.rows.get(where)?.get(key) ?? 0;
  }

  /** Of what the kernel accepts, the part that ours accepts; NaN when it accepts nothing. */
  accepted(where: string): number {
    const both = this.count(where, "kernel accept, ours accept");
    const refused =
      this.count(where, "kernel accept, ours reject") + this.count(where, "kernel accept, ours unsupported");
    return both / (both + refused);
  }

  print(): void {
    for (const [where, row] of this.rows) {
      const share = this.accepted(where);
      console.log(
        where,
        Object.fromEntries([...row].sort()),
        Number.isNaN(share) ? "" : `${(share * 100).toFixed(2)} %`,
      );
    }
  }
}
