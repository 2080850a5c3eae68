import { describe, expect, test } from "vitest";
import { kernelSkipReason } from "../testing.ts";
import { compareVersions, KERNELS, kernelConfig, matrixText, supportMatrix } from "./index.ts";

const skip = kernelSkipReason();

test("versions compare by number", () => {
  expect(compareVersions("5.4", "5.15")).toBeLessThan(0);
  expect(compareVersions("6.18.44-fc", "6.18")).toBe(0);
  expect(compareVersions("6.1", "5.19")).toBeGreaterThan(0);
});

/** What a build may lack without the kernel telling it from what it never knew, by the option that leaves it out. */
const OPTION: Readonly<Record<string, string>> = {
  lirc_mode2: "CONFIG_BPF_LIRC_MODE2",
  netkit_primary: "CONFIG_NETKIT",
  netkit_peer: "CONFIG_NETKIT",
};

describe.skipIf(skip)(`the support matrix${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("what the running kernel takes is not newer than it by the tables, and what it lacks has a reason of its own", () => {
    const matrix = supportMatrix();
    const all = [...matrix.progTypes, ...matrix.mapTypes, ...matrix.attachTypes];
    expect(all.length).toBeGreaterThan(110);
    for (const { name, since, asked } of all) {
      if (asked?.supported)
        expect({ name, newer: compareVersions(since, matrix.release) > 0 }).toEqual({ name, newer: false });
      // What is old enough and missing was left out of this build, or is locked down.
      if (asked && !asked.supported && compareVersions(since, matrix.release) <= 0) {
        const option = OPTION[name];
        const leftOut = option !== undefined && !/[ym]/.test(kernelConfig()?.get(option) ?? "");
        const reason = leftOut ? /unknown to this kernel/ : /not permitted|built without it/;
        expect({ name, reason: asked.reason }).toEqual({ name, reason: expect.stringMatching(reason) });
      }
    }
  });

  test("it prints a column a kernel", () => {
    const text = matrixText(supportMatrix());
    expect(text).toContain(`| | since | ${KERNELS.join(" | ")} | asked |`);
    expect(text).toMatch(/\| ringbuf \| 5\.8 \| {2}\| ✓ \| ✓ \| ✓ \| ✓ \| ✓ \| ✓ \| ✓ \|/);
    expect(text).toMatch(/\| cgroup_inet_ingress \| 4\.10 \| ✓/);
  });
});
