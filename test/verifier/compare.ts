/** Our verdict beside the running kernel's, for generated programs. */

import { closeSync } from "node:fs";
import { type MapSpec, type ProgramSpec, relocate } from "@ebplane/core/object";
import { type VerifierReport, type VerifyEnv, verify } from "@ebplane/core/verifier";
import { cpuNumbersEnd, progLoad, tryMapCreate } from "@ebplane/linux/bpf";
import { RUNNING_PROFILE } from "./verdicts.ts";

export interface KernelMaps {
  readonly fds: ReadonlyMap<string, number>;
  close(): void;
}

/** Creates the maps in the kernel. @throws Error when it refuses one. */
export function kernelMaps(specs: readonly MapSpec[]): KernelMaps {
  const fds = new Map<string, number>();
  for (const spec of specs) {
    const fd = tryMapCreate(spec);
    if (fd < 0) throw new Error(`map ${spec.name}: the kernel answers ${fd}`);
    fds.set(spec.name, fd);
  }
  return {
    fds,
    close() {
      for (const fd of fds.values()) closeSync(fd);
    },
  };
}

export interface Comparison {
  readonly kernel: "accept" | "reject";
  readonly report: VerifierReport;
  /** The kernel's log of a refusal; with `log` of its whole walk, every state of it. */
  readonly log: string;
}

/** `log`: asks both for their logs, ours with insns as it writes them. Ours judges by the profile of the running kernel. */
export function compare(
  program: ProgramSpec,
  maps: ReadonlyMap<string, MapSpec>,
  kernel: KernelMaps,
  log?: VerifyEnv["log"],
): Comparison {
  const profile = RUNNING_PROFILE;
  const report = verify(program, { maps, license: "GPL", profile, cpus: cpuNumbersEnd(), ...(log && { log }) });
  return { report, ...ask(program, kernel, log ? 2 : undefined) };
}

/** The running kernel's verdict; the log is that of `ProgLoad.logLevel`. */
export function ask(program: ProgramSpec, kernel: KernelMaps, logLevel?: number): Omit<Comparison, "report"> {
  const code = relocate(program, (reloc) => BigInt(kernel.fds.get(reloc.name)!));
  const { fd, log } = progLoad({ type: program.type, code, license: "GPL", flags: program.flags, logLevel });
  if (fd >= 0) closeSync(fd);
  return { kernel: fd >= 0 ? "accept" : "reject", log };
}
