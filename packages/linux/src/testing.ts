/**
 * For tests that need the kernel: whether to skip, and why. Under EBPLANE_REQUIRE_KERNEL=1 (CI as root) a missing
 * kernel is a failure, so that such tests cannot vanish unseen.
 */
import { kernelAvailable } from "./available.ts";
import { kernelFeatures } from "./features/index.ts";

/**
 * The reason to skip kernel tests, or undefined to run them. With vitest:
 * `const skip = kernelSkipReason(); test.skipIf(skip)("…", …)`.
 * @throws Error when the kernel is required and not available.
 */
export function kernelSkipReason(): string | undefined {
  const kernel = kernelAvailable();
  if (kernel.ok) return undefined;
  if (process.env.EBPLANE_REQUIRE_KERNEL === "1") {
    throw new Error(`EBPLANE_REQUIRE_KERNEL=1, but ${kernel.reason}`);
  }
  return kernel.reason;
}

/**
 * Why this kernel does not have something, by its own answer to a probe: the reason to skip what needs it. Undefined
 * where it does, or where kernel tests are skipped anyway.
 */
export function kernelLacks(what: "progTypes" | "mapTypes" | "attachTypes", name: string): string | undefined {
  if (!kernelAvailable().ok) return undefined;
  const answer = kernelFeatures()[what][name];
  if (!answer) throw new RangeError(`${what}: no probe for ${name}`);
  return answer.supported ? undefined : answer.reason;
}

export { NetNs } from "./netns/index.ts";
export { createTopology, type Topology, type TopologyOptions, traffic } from "./netns/topology.ts";
export { kernelOlder } from "./sys/index.ts";
export {
  arrayMap,
  asmProgram,
  COUNT_HIT,
  collectionOf,
  congestionControl,
  countingProgram,
  structOpsOf,
} from "./testing-programs.ts";
