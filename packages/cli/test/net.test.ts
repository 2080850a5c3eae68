/** `ebplane net`: what ip(8) shows of it, and what it shows of ip's, in namespaces of the test's own. */
import { spawnSync } from "node:child_process";
import { kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMAND, ebplaneHere, type Outcome, ROOT } from "./ebplane.ts";

const skip = kernelSkipReason();

describe.skipIf(skip)(`ebplane net${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  let other: NetNs;
  beforeAll(() => {
    [ns, other] = [NetNs.create(), NetNs.create()];
  });
  afterAll(() => {
    ns.close();
    other.close();
  });

  const file = (of: NetNs): string => `/proc/self/fd/${of.fd}`;
  const net = (...args: string[]): Promise<Outcome> => ebplaneHere(["net", ...args, "--netns", file(ns)]);
  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await net(...args);
    if (code !== 0) throw new Error(`ebplane net ${args.join(" ")}: ${code}: ${stderr}`);
    return stdout;
  }
  const list = async <T>(what: string): Promise<T[]> =>
    Object.values(JSON.parse(await done(what, "list", "--json")) as Record<string, T[]>)[0]!;
  const ip = (...args: string[]): string => ns.spawnSync("ip", args).stdout;

  test("devices are made, changed, listed and removed", async () => {
    await done("link", "add", "v0", "veth", "--peer", "v1", "--mtu", "1400", "--queues", "2");
    await done("link", "add", "br0", "bridge");
    await done("link", "add", "vx0", "vxlan", "--vni", "42", "--remote", "10.0.0.9", "--local", "10.0.0.1");
    await done("link", "add", "m0", "macvlan", "--dev", "v1", "--mode", "private");
    await done("link", "set", "v0", "--up", "--master", "br0", "--mac", "02:00:00:00:00:77");
    await done("link", "set", "v1", "--up", "--name", "uplink");
    expect(ip("-d", "link", "show", "v0")).toMatch(/mtu 1400 .*master br0[\s\S]*02:00:00:00:00:77[\s\S]*bridge_slave/);
    expect(ip("-d", "link", "show", "vx0")).toContain("vxlan id 42 remote 10.0.0.9 local 10.0.0.1");
    expect(ip("-d", "link", "show", "m0")).toContain("macvlan mode private");
    interface Device {
      name: string;
      kind: string;
      mtu: number;
      up: boolean;
      rxQueues: number;
    }
    expect(await list<Device>("link")).toContainEqual(
      expect.objectContaining({ name: "uplink", kind: "veth", mtu: 1400, up: true, rxQueues: 2 }),
    );
    const text = await done("link");
    expect(text).toMatch(/v0 +veth +up +02:00:00:00:00:77 +1400 +uplink/);
    await done("link", "set", "v0", "--no-master");
    expect(ip("-d", "link", "show", "v0")).not.toContain("master");
    await done("link", "set", "uplink", "--to", file(other));
    expect(other.spawnSync("ip", ["link", "show", "uplink"]).status).toBe(0);
    expect(await done("link")).toMatch(/v0 +veth .* elsewhere/);
    for (const device of ["m0", "vx0", "br0"]) await done("link", "del", device);
    expect((await list<Device>("link")).map((d) => d.name)).toEqual(["lo", "v0"]);
  });

  test("addresses, neighbours, routes and rules are what ip sees", async () => {
    await done("addr", "add", "10.7.0.1/24", "v0");
    await done("addr", "add", "fd00:7::1/64", "v0");
    other.spawnSync("ip", ["link", "set", "uplink", "up"]);
    await done("neigh", "add", "10.7.0.9", "02:00:00:00:00:09", "v0");
    await done("route", "add", "10.8.0.0/16", "--via", "10.7.0.9", "--metric", "5", "--table", "100");
    await done("route", "add", "10.9.0.0/16", "--type", "blackhole");
    await done("route", "add", "fd00:8::/64", "--dev", "v0", "--encap", "seg6 encap fd00:5::1,fd00:5::2");
    await done("route", "add", "fd00:5::1/128", "--dev", "v0", "--encap", "seg6local End.DX6 nh6 fd00:7::9");
    await done("rule", "add", "77", "100", "--from", "10.7.0.0/24", "--mark", "3");
    expect(ip("addr", "show", "v0")).toMatch(/10\.7\.0\.1\/24[\s\S]*fd00:7::1\/64/);
    expect(ip("neigh")).toContain("10.7.0.9 dev v0 lladdr 02:00:00:00:00:09 PERMANENT");
    expect(ip("route", "show", "table", "100")).toContain("10.8.0.0/16 via 10.7.0.9 dev v0 proto static metric 5");
    expect(ip("route")).toContain("blackhole 10.9.0.0/16");
    expect(ip("-6", "route")).toMatch(/fd00:5::1 +encap seg6local action End\.DX6 nh6 fd00:7::9 dev v0/);
    expect(ip("rule")).toMatch(/77:\tfrom 10\.7\.0\.0\/24 fwmark 0x3 lookup 100/);
    const routes = await done("route");
    expect(routes).toMatch(/10\.8\.0\.0\/16 +10\.7\.0\.9 +v0 +unicast +static +5 +100/);
    expect(routes).toMatch(/fd00:8::\/64 .*seg6 mode encap segs \[ fd00:5::1 fd00:5::2 \]/);
    expect(await done("rule")).toMatch(/77 +ipv4 +10\.7\.0\.0\/24 +all +0x3 +100/);
    expect(await done("neigh")).toMatch(/10\.7\.0\.9 +02:00:00:00:00:09 +v0 +permanent/);
    expect(await done("addr")).toMatch(/10\.7\.0\.1\/24 +v0/);
    ns.spawnSync("tc", ["qdisc", "add", "dev", "v0", "clsact"]);
    expect(await done("qdisc")).toMatch(/v0 +clsact +ffff:/);
    await done("rule", "del", "77", "100", "--from", "10.7.0.0/24", "--mark", "3");
    await done("route", "del", "10.8.0.0/16", "--table", "100");
    await done("neigh", "del", "10.7.0.9", "v0");
    await done("addr", "del", "10.7.0.1/24", "v0");
    expect(ip("rule")).not.toContain("77:");
    expect(ip("route", "show", "table", "100")).toBe("");
  });

  test("changes are told as they happen, until Ctrl-C", async () => {
    const before = process.listenerCount("SIGINT");
    const watching = ebplaneHere(["net", "watch", "link", "address", "--netns", file(ns)]);
    // Ctrl-C is caught once it watches.
    await expect.poll(() => process.listenerCount("SIGINT"), { timeout: 20_000 }).toBeGreaterThan(before);
    ns.spawnSync("ip", ["link", "add", "w0", "type", "bridge"]);
    ns.spawnSync("ip", ["addr", "add", "10.6.0.1/24", "dev", "w0"]);
    ns.spawnSync("ip", ["link", "del", "w0"]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.emit("SIGINT");
    const { code, stdout } = await watching;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\+ link w0: down, mtu 1500, [0-9a-f:]{17}$/m);
    expect(stdout).toMatch(/^\+ addr 10\.6\.0\.1\/24, device \d+$/m);
    expect(stdout).toMatch(/^- link w0: /m);
    expect(await net("watch", "weather")).toMatchObject({ code: 2 });
  });

  test("a namespace with a name is one that ip netns knows", async () => {
    const name = `ebplane-net-${process.pid}`;
    const run = (...args: string[]) => ebplaneHere(["net", "ns", ...args]);
    expect(await run("add", name)).toMatchObject({ code: 0 });
    try {
      expect(ns.spawnSync("ip", ["netns", "list"]).stdout).toContain(name);
      expect((await run()).stdout).toContain(name);
      expect(await run("add", name)).toMatchObject({ code: 2 });
    } finally {
      await run("del", name);
    }
    expect((await run("list", "--json")).stdout).not.toContain(name);
  });

  test("everybody may look; what needs privileges says so in one line", () => {
    const nobody = { cwd: ROOT, uid: 65534, gid: 65534, encoding: "utf8" } as const;
    const run = (...args: string[]) => spawnSync(process.execPath, [COMMAND, "net", ...args], nobody);
    expect(run("link")).toMatchObject({ status: 0, stdout: expect.stringMatching(/^lo /m) });
    const { status, stderr } = run("link", "add", "x0", "bridge");
    expect(status).toBe(2);
    expect(stderr).toMatch(/^netlink link add x0 type bridge: EPERM[^\n]*\n$/);
  });

  test.each([
    [["link", "add", "x0", "wormhole"], "kind: expected veth, bridge"],
    [["link", "add", "x0", "veth"], "veth: expected --peer NAME"],
    [["link", "add", "x0", "vlan", "--dev", "lo", "--id", "5000"], "vlan: expected --id from 1 to 4094"],
    [["link", "set", "nope", "--up"], "device nope: there is none; there are lo"],
    [["link", "set", "lo"], "set: nothing to change"],
    [["link", "set", "lo", "--up", "--down"], "--up and --down exclude each other"],
    [["link", "set", "lo", "--mtu", "big"], "--mtu: expected a whole number, got big"],
    [["addr", "add", "10.0.0.300/24", "lo"], "10.0.0.300"],
    [["route", "add", "10.0.0.0/8", "--encap", "gre 1"], "--encap: expected ip, seg6 or seg6local"],
    [["route", "add", "fd00::/64", "--dev", "lo", "--encap", "seg6local End.Q"], "expected seg6local and one of End,"],
    [["route", "add", "10.0.0.0/8", "--via", "10.99.0.1"], "netlink route add 10.0.0.0/8: ENETUNREACH"],
    [["rule", "add", "x", "1"], "priority: expected a whole number"],
    [["route", "add", "10.0.0.0/8", "--type", "odd"], "--type: expected unicast"],
  ])("ebplane net %j is one line, exit 2", async (args, message) => {
    const { code, stdout, stderr } = await net(...args);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
