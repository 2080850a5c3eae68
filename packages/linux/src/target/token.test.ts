import { spawn } from "node:child_process";
import { UnsupportedError } from "@ebplane/core/errors";
import { describe, expect, onTestFinished, test } from "vitest";
import { BpfToken, delegateBpffs } from "../bpf/index.ts";
import { onDetachedMount } from "../mem/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";
import { kernelOlder, kernelSkipReason } from "../testing.ts";

const skip = kernelSkipReason() ?? (kernelOlder("6.9") ? "BPF tokens came with Linux 6.9" : undefined);

describe.skipIf(skip)(`BPF tokens${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("what was delegated to a user namespace is loaded there with a token, and refused without", async () => {
    const script = new URL("./testdata/token.ts", import.meta.url).pathname;
    const child = spawn("unshare", ["-Urmn", process.execPath, "--import", "tsx", "--conditions=source", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let said = "";
    child.stdout.on("data", (data) => (said += data));
    const ended = new Promise((resolve) => child.on("close", resolve));
    await expect.poll(() => said, { timeout: 60_000 }).toMatch(/^context \d+\n/);
    const pidfd = check("pidfd_open", syscall(NR.pidfd_open, child.pid!, 0));
    const context = check("pidfd_getfd", syscall(NR.pidfd_getfd, pidfd, Number(/\d+/.exec(said)![0]), 0));
    delegateBpffs(context, { commands: "any", maps: "any", programs: "any", attachTypes: "any" });
    close(context);
    close(pidfd);
    child.stdin.write("go\n");
    await ended;
    expect(said.trim().split("\n").slice(1)).toEqual([
      "bpf(MAP_CREATE): EPERM: map hits: run as root, or with CAP_BPF and CAP_NET_ADMIN",
      "2",
    ]);
  });

  test("the first user namespace has none", () => {
    onDetachedMount("bpf", (root) => {
      expect(() => BpfToken.create(`${root}/.`)).toThrow(UnsupportedError);
    });
  });
});
