/** The same rtnetlink requests to a kernel's namespace and to one of sim's: the same answers, and the same state after each. */
import { SimNetwork } from "@ebplane/core/sim";
import { expect, test } from "vitest";
import { NetNs } from "../src/netns/index.ts";
import { kernelOlder, kernelSkipReason } from "../src/testing.ts";
import { outcome, STEPS, stateOf } from "./network-steps.ts";

const skip = kernelSkipReason() ?? (kernelOlder("6.18") ? "sim answers as Linux 6.18 does" : undefined);

/** Without link-local addresses, which sim does not make. */
function quietNamespace(): NetNs {
  const ns = NetNs.create();
  for (const which of ["default", "all"]) ns.sysctl(`ipv6/conf/${which}/addr_gen_mode`, "1");
  return ns;
}

test.skipIf(skip)(`sim's network answers each request as the kernel does${skip ? ` (skipped: ${skip})` : ""}`, () => {
  using a = quietNamespace();
  using b = quietNamespace();
  const network = new SimNetwork();
  const [simA, simB] = [network.root, network.createNetns()];
  const differences: string[] = [];
  /** The kernel makes some of an IPv6 address's routes a little later, in a worker of its own: what differs is asked again. */
  const both = (label: string): void => {
    const until = Date.now() + 2000;
    let found = compare(label);
    while (found.length && Date.now() < until) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      found = compare(label);
    }
    differences.push(...found);
  };
  const compare = (label: string): string[] => {
    const differences: string[] = [];
    for (const [name, sim, kernel] of [
      ["here", stateOf(simA), stateOf(a)],
      ["there", stateOf(simB), stateOf(b)],
    ] as const) {
      for (const kind of Object.keys(kernel) as (keyof typeof kernel)[]) {
        const [ours, theirs] = [sim[kind], kernel[kind]].map((items) => items.map((item) => JSON.stringify(item)));
        for (const item of theirs!)
          if (!ours!.includes(item)) differences.push(`${label}: ${name}: only the kernel has ${item}`);
        for (const item of ours!)
          if (!theirs!.includes(item)) differences.push(`${label}: ${name}: only sim has ${item}`);
      }
    }
    return differences;
  };
  both("at the start");
  for (const [label, run] of STEPS) {
    const [sim, kernel] = [outcome(() => run(simA, simB)), outcome(() => run(a, b))].map((o) => JSON.stringify(o));
    if (sim !== kernel) differences.push(`${label}: the kernel answers ${kernel}, sim ${sim}`);
    both(`after ${label}`);
  }
  expect(differences).toEqual([]);
  expect(stateOf(a).links.length).toBe(1);
});
