import { execFileSync } from "node:child_process";
import { MapType } from "@ebplane/core/object";
import { expect, test } from "vitest";
import { tryMapCreate } from "../bpf/index.ts";
import { close } from "../sys/index.ts";
import { kernelSkipReason } from "../testing.ts";
import { memlockLimit, raiseMemlock } from "./index.ts";

const skip = kernelSkipReason();
const set = (bytes: string): void => void execFileSync("prlimit", [`--pid=${process.pid}`, `--memlock=${bytes}`]);

test.skipIf(skip)(`the limit of locked memory is lifted once${skip ? ` (skipped: ${skip})` : ""}`, () => {
  set("65536:");
  expect(memlockLimit()).toBe(65_536);
  expect(raiseMemlock()).toBe(true);
  expect(memlockLimit()).toBeGreaterThan(65_536);
  expect(raiseMemlock()).toBe(false);
});

// Before 5.11 this is what a fresh Debian 11 answers EPERM to.
test.skipIf(skip)("a map larger than the limit is made on kernels that charge it, too", () => {
  set("65536:");
  const fd = tryMapCreate({
    type: MapType.BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: 8,
    maxEntries: 100_000,
  });
  expect(fd).toBeGreaterThanOrEqual(0);
  close(fd);
});
