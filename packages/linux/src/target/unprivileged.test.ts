import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { kernelSkipReason } from "../testing.ts";

const skip = kernelSkipReason();
const NOBODY = 65_534;

describe.skipIf(skip)(`without privileges${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("one clear line says what is missing", ({ skip: skipTest }) => {
    const script = new URL("./testdata/unprivileged.ts", import.meta.url).pathname;
    const { stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "--conditions=source", script], {
      uid: NOBODY,
      gid: NOBODY,
      encoding: "utf8",
      env: { ...process.env, HOME: "/tmp" },
    });
    if (/EACCES: permission denied/.test(stderr)) skipTest("the checkout is not readable to nobody");
    expect(stdout.trim().split("\n")).toEqual([
      '{"ok":false,"reason":"bpf(2) is not permitted: run as root or with CAP_BPF and CAP_NET_ADMIN"}',
      "bpf(MAP_CREATE): EPERM: map hits: run as root, or with CAP_BPF and CAP_NET_ADMIN",
      "bpf(PROG_LOAD): EPERM: program p (xdp): run as root, or with CAP_BPF and CAP_NET_ADMIN",
    ]);
  });
});
