/**
 * A plane that is pinned on the real kernel, in namespaces of the test's own, with real traffic: it comes up, forwards, outlives its
 * process, is adopted, replaced and taken down. This is what to run on another kernel first (CONTRIBUTING.md).
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createTopology, kernelSkipReason, type Topology } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { ebplaneHere } from "./ebplane.ts";
import { PATIENCE, ping, planeFile, programIds, type Running, serve, tcp, up } from "./live-plane.ts";

const skip = kernelSkipReason();

/** Runs something while packets flow every 10 ms: all but the last one must come back. */
async function unharmed(net: Topology, body: () => Promise<Running>): Promise<{ running: Running; received: number }> {
  const flood = net.client.spawn("ping", ["-i", "0.01", "-W", "1", "10.2.0.2"]);
  let pinged = "";
  flood.stdout!.on("data", (data) => (pinged += data));
  const done = new Promise((resolve) => flood.on("close", resolve));
  const running = await body();
  flood.kill("SIGINT");
  await done;
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(pinged) ?? [];
  expect(Number(received)).toBeGreaterThan(50);
  expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1); // The last one may be on its way.
  return { running, received: Number(received) };
}

describe.skipIf(skip)(`ebplane up --target linux --pin${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test(
    "kill -9 leaves the plane forwarding, and the next up goes on with it without losing a packet",
    async () => {
      using net = createTopology();
      await serve(net);
      const file = planeFile();
      const text = readFileSync(file, "utf8").replace("plane: edge", `plane: edge${process.pid}`);
      writeFileSync(file, text);
      const name = `edge${process.pid}`;
      const { inode } = net.edge;
      onTestFinished(
        () => void rmSync(`/sys/fs/bpf/ebplane/planes/${name}@${inode}`, { recursive: true, force: true }),
      );
      const report = (stdout: string) =>
        (JSON.parse(stdout) as { interfaces: { seen: { packets: string } }[] }).interfaces.map((i) =>
          Number(i.seen.packets),
        );
      const first = up(net.edge, file, "--pin");
      await first.says("is up; Ctrl-C leaves it running");
      expect(ping(net.client, "10.2.0.2")).toBe(true);
      await first.stop("SIGKILL");
      const left = programIds(net.edge);
      expect(left).toHaveLength(2);
      expect(ping(net.client, "10.2.0.2")).toBe(true);
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(false);

      writeFileSync(file, text.replace("name: ssh, action: drop", "name: ssh, action: pass"));
      const second = await unharmed(net, async () => {
        const again = up(net.edge, file, "--pin", "--json");
        await again.says("is up");
        return again;
      });
      const { received } = second;
      expect(second.running.stderr()).toContain(
        `plane ${name} was in the kernel: its rules' counters and tables go on`,
      );
      expect(second.running.stderr()).toContain("wan: goes on, attached to e0 in native mode");
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(true);
      const where = ["--netns", `/proc/self/fd/${net.edge.fd}`];
      const down = () => ebplaneHere(["down", name, ...where]);
      expect(await down()).toMatchObject({
        code: 2,
        stderr: `plane ${name}: another process runs it; stop that one first\n`,
      });
      const { code, stdout } = await second.running.stop("SIGINT");
      expect(code).toBe(0);
      // The first run's packets are among them.
      expect(report(stdout)[0]).toBeGreaterThan(received + 1);
      expect(programIds(net.edge)).toHaveLength(2);
      expect((await ebplaneHere(["list", ...where])).stdout).toMatch(new RegExp(`xdp:e0:native .* plane ${name}\n`));

      // Another chain is another program: it takes the place of the one that is attached.
      writeFileSync(file, text.replace("[protocols-in, wire-in, guard]", "[wire-in, guard]"));
      const { running: third } = await unharmed(net, async () => {
        const other = up(net.edge, file, "--pin");
        await other.says("is up");
        return other;
      });
      expect(third.stderr()).toContain(`plane ${name} was in the kernel: its code differs`);
      expect(programIds(net.edge)).toHaveLength(2);
      expect(programIds(net.edge)).not.toEqual(left);
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(false);
      expect((await third.stop("SIGINT")).code).toBe(0);

      expect(await down()).toMatchObject({ code: 0, stderr: `plane ${name} is down: everything is detached\n` });
      expect(await down()).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`plane ${name}: is not pinned`),
      });
      for (let i = 0; i < 50 && programIds(net.edge).length; i++) await new Promise((r) => setTimeout(r, 20));
      expect(programIds(net.edge)).toEqual([]);
      expect(existsSync(`/sys/fs/bpf/ebplane/planes/${name}@${inode}`)).toBe(false);
      expect(net.edge.spawnSync("tc", ["qdisc", "show"]).stdout).not.toContain("clsact");
    },
    3 * PATIENCE,
  );
});
