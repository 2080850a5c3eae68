/** A plane that is pinned on the real kernel, in namespaces of the test's own, with real traffic. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createTopology, kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { ebplaneHere } from "./ebplane.ts";
import { ping, planeFile, programIds, serve, tcp, up } from "./live-plane.ts";

const skip = kernelSkipReason();

describe.skipIf(skip)(`ebplane up --target linux --pin${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("kill -9 leaves the plane forwarding, and the next up goes on with it without losing a packet", async () => {
    using net = createTopology();
    await serve(net);
    const file = planeFile();
    const text = readFileSync(file, "utf8").replace("plane: edge", `plane: edge${process.pid}`);
    writeFileSync(file, text);
    const name = `edge${process.pid}`;
    const { inode } = net.edge;
    onTestFinished(() => void rmSync(`/sys/fs/bpf/ebplane/planes/${name}@${inode}`, { recursive: true, force: true }));
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
    const flood = net.client.spawn("ping", ["-i", "0.01", "-W", "1", "10.2.0.2"]);
    let pinged = "";
    flood.stdout!.on("data", (data) => (pinged += data));
    const done = new Promise((resolve) => flood.on("close", resolve));
    const second = up(net.edge, file, "--pin", "--json");
    await second.says("is up");
    expect(second.stderr()).toContain(`plane ${name} was in the kernel: its rules' counters and tables go on`);
    expect(second.stderr()).toContain("wan: goes on, attached to e0 in native mode");
    flood.kill("SIGINT");
    await done;
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(pinged) ?? [];
    expect(Number(received)).toBeGreaterThan(50);
    expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1); // The last one may be on its way.
    expect(tcp(net.client, "10.2.0.2", 22)).toBe(true);
    const where = ["--netns", `/proc/self/fd/${net.edge.fd}`];
    const down = () => ebplaneHere(["down", name, ...where]);
    expect(await down()).toMatchObject({
      code: 2,
      stderr: `plane ${name}: another process runs it; stop that one first\n`,
    });
    const { code, stdout } = await second.stop("SIGINT");
    expect(code).toBe(0);
    // The first run's packets are among them.
    expect(report(stdout)[0]).toBeGreaterThan(Number(received) + 1);
    expect(programIds(net.edge)).toHaveLength(2);
    expect((await ebplaneHere(["list", ...where])).stdout).toMatch(new RegExp(`xdp:e0:native .* plane ${name}\n`));

    expect(await down()).toMatchObject({ code: 0, stderr: `plane ${name} is down: everything is detached\n` });
    expect(await down()).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`plane ${name}: is not pinned`),
    });
    for (let i = 0; i < 50 && programIds(net.edge).length; i++) await new Promise((r) => setTimeout(r, 20));
    expect(programIds(net.edge)).toEqual([]);
  }, 120_000);
});
