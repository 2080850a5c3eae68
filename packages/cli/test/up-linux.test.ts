/** The example plane on the real kernel, in namespaces of the test's own, with real traffic. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { objectIds } from "@ebplane/linux";
import { addAddress, addLink, getLink, setLink } from "@ebplane/linux/netlink";
import { createTopology, kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { COMMAND, ROOT, scratchFolder } from "./ebplane.ts";
import { PATIENCE, ping, planeFile, programIds, serve, start, tcp, udp, up } from "./live-plane.ts";

const skip = kernelSkipReason();

/** The user and group `nobody`; only root can become it. */
const UNPRIVILEGED = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

test("without privileges one line says what is missing", () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [COMMAND, "up", "examples/edge/plane.yaml", "--target", "linux"],
    {
      cwd: ROOT,
      encoding: "utf8",
      ...UNPRIVILEGED,
    },
  );
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toMatch(/^--target linux: .*(not permitted|not Linux|koffi).*\n$/);
});

describe.skipIf(skip)(`ebplane up --target linux${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test(
    "real traffic passes or stops as the rules say, and Ctrl-C leaves nothing behind",
    async () => {
      using net = createTopology();
      await serve(net);
      net.client.spawnSync("ip", ["addr", "add", "203.0.113.66/32", "dev", "c0"]);
      net.edge.spawnSync("ip", ["route", "add", "203.0.113.0/24", "dev", "e0"]);
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(true);
      const running = up(net.edge, planeFile(), "--json");
      await running.says("is up");
      expect(running.stderr()).toMatch(/wan: attached to e0 in (native|generic) mode/);
      const attached = programIds(net.edge);
      expect(attached).toHaveLength(2);

      expect(ping(net.client, "10.2.0.2")).toBe(true);
      expect(ping(net.client, "fd00:2::2")).toBe(true);
      expect(tcp(net.client, "10.2.0.2", 80)).toBe(true);
      expect(tcp(net.client, "fd00:2::2", 80)).toBe(true);
      expect(udp(net.client, "10.2.0.2", 53)).toBe(true);
      expect(udp(net.client, "fd00:2::2", 53)).toBe(true);
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(false);
      expect(udp(net.client, "10.2.0.2", 54)).toBe(false);
      expect(ping(net.client, "10.2.0.2", "-I", "203.0.113.66")).toBe(false);

      const { code, stdout } = await running.stop("SIGINT");
      expect(code).toBe(0);
      expect(running.stderr()).toContain("is down: everything is detached");
      const report = JSON.parse(stdout) as {
        interfaces: {
          name: string;
          functions: {
            name: string;
            details: { label: string; packets: string }[];
            drops: { reason: string; packets: string }[];
          }[];
        }[];
      };
      const guard = report.interfaces[0]!.functions.find((f) => f.name === "guard")!;
      const hits = new Map(guard.details.map((d) => [d.label, Number(d.packets)]));
      expect(hits.get("ssh (drop)")).toBeGreaterThan(0);
      expect(hits.get("web (pass)")).toBeGreaterThan(3);
      expect(hits.get("blocked (drop)")).toBe(1);
      expect(guard.drops.map((d) => d.reason).sort()).toEqual(["default action", "rule"]);

      expect(programIds(net.edge)).toEqual([]);
      expect(objectIds("prog").filter((id) => attached.includes(id))).toEqual([]);
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(true);
    },
    2 * PATIENCE,
  );

  test(
    "SIGHUP puts changed rules into the running plane; a file with a mistake changes nothing",
    async () => {
      using net = createTopology();
      await serve(net);
      const file = planeFile();
      const text = readFileSync(file, "utf8");
      const running = up(net.edge, file);
      await running.says("is up");
      const before = programIds(net.edge);
      expect(before).toHaveLength(2);
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(false);
      writeFileSync(file, text.replace("name: ssh, action: drop", "name: ssh, action: pass"));
      running.child.kill("SIGHUP");
      await running.says("rules reloaded");
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(true);
      writeFileSync(file, text.replace("dport: 22", "dport: ssh"));
      running.child.kill("SIGHUP");
      await running.says("the running plane is unchanged");
      expect(running.stderr()).toContain("expected a port from 0 to 65535");
      expect(tcp(net.client, "10.2.0.2", 22)).toBe(true);
      expect(programIds(net.edge)).toEqual(before);
      const { code, stdout } = await running.stop("SIGTERM");
      expect(code).toBe(0);
      expect(stdout).toContain("ssh (pass)");
    },
    2 * PATIENCE,
  );

  test(
    "kill -9 leaves nothing behind",
    async () => {
      using net = createTopology();
      const running = up(net.edge, planeFile());
      await running.says("is up");
      await running.stop("SIGKILL");
      for (let i = 0; i < 50 && programIds(net.edge).length; i++) await new Promise((r) => setTimeout(r, 20));
      expect(programIds(net.edge)).toEqual([]);
    },
    2 * PATIENCE,
  );

  test(
    "where native mode is refused it is generic, with the kernel's reason",
    async () => {
      using net = createTopology({ mtu: 9000 });
      const running = up(net.edge, planeFile());
      await running.says("is up");
      expect(running.stderr()).toMatch(/wan: attached to e0 in generic mode: native mode was refused \(.*MTU.*\)/);
      expect(ping(net.client, "10.2.0.2")).toBe(true);
      expect((await running.stop("SIGINT")).code).toBe(0);
    },
    2 * PATIENCE,
  );

  test(
    "generic mode says so, and a device that is not there stops everything before it starts",
    async () => {
      using net = createTopology();
      const generic = up(
        net.edge,
        planeFile((t) => t.replace("device: e0,", "device: e0, mode: generic,")),
      );
      await generic.says("is up");
      expect(generic.stderr()).toContain("wan: attached to e0 in generic mode");
      expect((await generic.stop("SIGINT")).code).toBe(0);
      const bad = net.edge.spawnSync(
        process.execPath,
        [COMMAND, "up", planeFile((t) => t.replace("device: e1", "device: e7")), "--target", "linux"],
        { cwd: ROOT },
      );
      expect(bad.status).toBe(2);
      expect(bad.stderr).toContain("e7");
      expect(bad.stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(programIds(net.edge)).toEqual([]);
    },
    2 * PATIENCE,
  );
});

/** Two hosts in one subnet, and an edge between their wires: a0 — e0 (edge) e1 — b0. */
function twoHosts(): { a: NetNs; edge: NetNs; b: NetNs } {
  const [a, edge, b] = [NetNs.create(), NetNs.create(), NetNs.create()];
  onTestFinished(() => {
    for (const ns of [a, edge, b]) ns.close();
  });
  for (const [host, device, ip, port] of [
    [a, "a0", "10.9.0.1", "e0"],
    [b, "b0", "10.9.0.2", "e1"],
  ] as const) {
    addLink(host.route, { kind: "veth", name: device, peer: { name: port, netns: edge.fd } });
    setLink(host.route, getLink(host.route, device).index, { up: true });
    addAddress(host.route, getLink(host.route, device).index, `${ip}/24`);
    setLink(edge.route, getLink(edge.route, port).index, { up: true });
  }
  return { a, edge, b };
}

test.skipIf(skip)(
  "a plane in userspace carries live traffic between AF_XDP ports",
  async () => {
    const { a, edge } = twoHosts();
    const file = join(scratchFolder(), "plane.yaml");
    writeFileSync(
      file,
      `plane: wire
interfaces: { left: { xdp: east }, right: { xdp: west } }
functions:
  wall: { type: firewall, default: pass, rules: [{ action: drop, proto: icmp, icmpType: echo-request, dst: 10.9.0.9 }] }
  to-right: { type: forward, to: right }
  to-left: { type: forward, to: left }
chains: { east: [wall, to-right], west: [to-left] }
`,
    );
    const ports = ["--port", "left=afxdp:e0", "--port", "right=afxdp:e1", "--json"];
    const running = start(edge, [COMMAND, "up", file, ...ports]);
    await running.says("is up");
    expect(a.spawnSync("ping", ["-c3", "-i0.2", "-W2", "10.9.0.2"]).status).toBe(0);
    const { code, stdout } = await running.stop("SIGINT");
    expect(code).toBe(0);
    const { interfaces } = JSON.parse(stdout) as { interfaces: { name: string; redirected: { packets: string } }[] };
    for (const iface of interfaces) expect(Number(iface.redirected.packets), iface.name).toBeGreaterThanOrEqual(3);
  },
  2 * PATIENCE,
);
