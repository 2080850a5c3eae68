/**
 * Pruning as good as the kernel's: of the C programs of our own, and of a function called from two places, both
 * verifiers walk the same number of insns, to the insn.
 */
import { closeSync } from "node:fs";
import { readElf } from "@ebplane/core/elf";
import { type CollectionSpec, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { verify } from "@ebplane/core/verifier";
import { LinuxProgram, linuxTarget, parseVerifierLog } from "@ebplane/linux";
import { progLoad } from "@ebplane/linux/bpf";
import { asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { build } from "../../packages/core/test/objects/corpus.ts";
import { missingTool } from "../../packages/core/test/objects/tools.ts";

const skip = kernelSkipReason();

/** Insns that the kernel walks. */
function walkedByKernel(spec: CollectionSpec, name: string): number | undefined {
  using collection = linuxTarget().load(spec, { programs: [name] });
  const live = collection.programs.get(name);
  if (!(live instanceof LinuxProgram) || !live.request) throw new Error(`${name} was not loaded`);
  const { fd, log } = progLoad({ ...live.request, logLevel: 4 });
  if (fd >= 0) closeSync(fd);
  return parseVerifierLog(log).stats?.processed;
}

function walkedByUs(spec: CollectionSpec, program: ProgramSpec): number {
  const report = verify(program, { maps: spec.maps, license: spec.license, btf: spec.btf });
  expect(report.message).toBe("");
  return report.processed;
}

// Loops, calls, callbacks, spills, many branches; not those that the running kernel may not have the types for.
const CORPUS = [
  "xdp_parse",
  "hash_flows",
  "subprogs",
  "deep_calls",
  "callbacks",
  "nested_callback",
  "big",
  "arithmetic",
];

test.skipIf(skip ?? missingTool("clang"))("the C programs are walked in as many insns as the kernel walks", () => {
  for (const name of CORPUS) {
    const spec = readElf(build(name));
    for (const program of spec.programs.values()) {
      const ours = walkedByUs(spec, program);
      expect(`${name}: ${ours}`).toBe(`${name}: ${walkedByKernel(spec, program.name)}`);
    }
  }
});

/** Two call sites of a loop: states of one must neither prune nor keep from being saved those of the other. */
const TWO_SITES = `
  r6 = *(u32 *)(r1 +12)
  r7 = 0
  r1 = r6
  call walk
  r7 = r0
  r1 = r6
  call walk
  r0 += r7
  r0 &= 1
  exit
  walk: r0 = 0
  r2 = 0
  again: r3 = r1
  r3 &= 1
  r1 >>= 1
  if r3 == 0 goto even
  r0 += 1
  even: r0 += r2
  r2 += 1
  if r2 != 40 goto again
  exit`;

test.skipIf(skip)("states of a function are kept apart by where it was called", () => {
  const program = asmProgram("two_sites", ProgType.BPF_PROG_TYPE_XDP, TWO_SITES);
  const spec = collectionOf([program]);
  expect(walkedByUs(spec, program)).toBe(walkedByKernel(spec, program.name));
});
