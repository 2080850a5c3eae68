/** The example plane on the real kernel, in namespaces of the test's own, with real traffic. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { objectIds } from "@ebplane/linux";
import { addAddress, addLink, getLink, setLink } from "@ebplane/linux/netlink";
import { createTopology, kernelSkipReason, NetNs, type Topology } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { COMMAND, ROOT, scratchFolder } from "./ebplane.ts";

const skip = kernelSkipReason();

/** The example with the topology's devices and server addresses. */
function planeFile(change: (text: string) => string = (t) => t): string {
  const text = readFileSync(join(ROOT, "examples/edge/plane.yaml"), "utf8")
    .replace("wan: { xdp", "wan: { device: e0, xdp")
    .replace("lan: { xdp", "lan: { device: e1, xdp")
    .replace("10.0.0.0/24", "10.2.0.0/24")
    .replace("2001:db8:2::/64", "fd00:2::/64");
  const file = join(scratchFolder(), "plane.yaml");
  writeFileSync(file, change(text));
  return file;
}

interface Running {
  readonly child: ChildProcess;
  readonly stderr: () => string;
  /** Sends the signal and answers exit code and stdout. */
  stop(signal: NodeJS.Signals): Promise<{ code: number | null; stdout: string }>;
  /** Until stderr holds the text. */
  says(text: string): Promise<void>;
}

const up = (edge: NetNs, file: string, ...args: string[]): Running =>
  start(edge, [COMMAND, "up", file, "--target", "linux", ...args]);

function start(ns: NetNs, args: readonly string[]): Running {
  const child = ns.spawn(process.execPath, args, { cwd: ROOT });
  let stderr = "";
  let stdout = "";
  child.stderr!.on("data", (data) => (stderr += data));
  child.stdout!.on("data", (data) => (stdout += data));
  const exited = new Promise<number | null>((resolve) => child.on("close", resolve));
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    child,
    stderr: () => stderr,
    async stop(signal) {
      child.kill(signal);
      return { code: await exited, stdout };
    },
    async says(text) {
      const deadline = Date.now() + 60_000;
      while (!stderr.includes(text)) {
        if (Date.now() > deadline || child.exitCode !== null)
          throw new Error(`expected "${text}", got: ${stderr}${stdout}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

const PYTHON_SERVER = `
import socket, threading, sys
def tcp(family, ip, port):
    s = socket.socket(family, socket.SOCK_STREAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ip, port)); s.listen()
    while True:
        c, _ = s.accept(); c.sendall(b"hello"); c.close()
def udp(family, ip, port):
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind((ip, port))
    while True:
        data, peer = s.recvfrom(2000); s.sendto(data, peer)
for family, ip in ((socket.AF_INET, "10.2.0.2"), (socket.AF_INET6, "fd00:2::2")):
    for port in (22, 80): threading.Thread(target=tcp, args=(family, ip, port), daemon=True).start()
    for port in (53, 54): threading.Thread(target=udp, args=(family, ip, port), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
`;

async function serve(net: Topology): Promise<void> {
  const child = net.server.spawn("python3", ["-c", PYTHON_SERVER]);
  onTestFinished(() => void child.kill("SIGKILL"));
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once("data", () => resolve());
    child.on("error", reject);
  });
  // The threads bind right after; the first connection may be early.
  await new Promise((resolve) => setTimeout(resolve, 100));
}

const ping = (ns: NetNs, ip: string, ...args: string[]): boolean =>
  ns.spawnSync("ping", ["-c1", "-W1", ...args, ip]).status === 0;

function python(ns: NetNs, code: string): boolean {
  return ns.spawnSync("python3", ["-c", `import socket\n${code}`]).status === 0;
}
const tcp = (ns: NetNs, ip: string, port: number): boolean =>
  python(ns, `s = socket.create_connection(("${ip}", ${port}), 0.7)\nassert s.recv(10) == b"hello"`);
const udp = (ns: NetNs, ip: string, port: number): boolean => {
  const family = ip.includes(":") ? "socket.AF_INET6" : "socket.AF_INET";
  return python(
    ns,
    `s = socket.socket(${family}, socket.SOCK_DGRAM); s.settimeout(0.7)\ns.sendto(b"query", ("${ip}", ${port}))\nassert s.recv(10) == b"query"`,
  );
};

/** Ids of the XDP programs on the devices of a namespace. */
function programIds(ns: NetNs): number[] {
  const { stdout } = ns.spawnSync("ip", ["-d", "link", "show"]);
  return [...stdout.matchAll(/prog\/xdp id (\d+)/g)].map(([, id]) => Number(id));
}

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
  test("real traffic passes or stops as the rules say, and Ctrl-C leaves nothing behind", async () => {
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
  }, 120_000);

  test("SIGHUP puts changed rules into the running plane; a file with a mistake changes nothing", async () => {
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
  }, 120_000);

  test("kill -9 leaves nothing behind", async () => {
    using net = createTopology();
    const running = up(net.edge, planeFile());
    await running.says("is up");
    await running.stop("SIGKILL");
    for (let i = 0; i < 50 && programIds(net.edge).length; i++) await new Promise((r) => setTimeout(r, 20));
    expect(programIds(net.edge)).toEqual([]);
  }, 120_000);

  test("where native mode is refused it is generic, with the kernel's reason", async () => {
    using net = createTopology({ mtu: 9000 });
    const running = up(net.edge, planeFile());
    await running.says("is up");
    expect(running.stderr()).toMatch(/wan: attached to e0 in generic mode: native mode was refused \(.*MTU.*\)/);
    expect(ping(net.client, "10.2.0.2")).toBe(true);
    expect((await running.stop("SIGINT")).code).toBe(0);
  }, 120_000);

  test("generic mode says so, and a device that is not there stops everything before it starts", async () => {
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
  }, 120_000);
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
  120_000,
);
