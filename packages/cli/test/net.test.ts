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

  test("qdiscs, classes, filters, next hops and what bridges know: tc, ip and bridge see them, and we list theirs", async () => {
    const tc = (line: string): string => ns.spawnSync("tc", line.split(" ")).stdout;
    await done("link", "add", "w0", "veth", "--peer", "w1");
    for (const name of ["w0", "w1"]) await done("link", "set", name, "--up");
    await done("addr", "add", "10.70.0.1/24", "w0");
    await done("link", "add", "br1", "bridge", "--set", "priority=100", "--set", "stp=true");
    expect(ip("-d", "link", "show", "br1")).toMatch(/stp_state 1 priority 100 /);
    await done("link", "set", "w1", "--master", "br1");

    await done("qdisc", "add", "w0", "htb", "--handle", "1:", "--set", "params.default=5");
    await done(
      "class",
      "add",
      "w0",
      "htb",
      "--handle",
      "1:5",
      "--set",
      "params.rate=125000",
      "--set",
      "params.ceil=250000",
    );
    await done("qdisc", "add", "w0", "pfifo", "--parent", "1:5", "--handle", "5:", "--set", "params.limit=77");
    expect(tc("class show dev w0")).toMatch(/class htb 1:5 root leaf 5: prio 0 rate 1Mbit ceil 2Mbit/);
    expect(await done("qdisc")).toMatch(/w0 +htb +1: +root +default 5, .*\n(.*\n)*w0 +pfifo +5: +1:5 +limit 77/);
    expect(await done("class")).toMatch(/w0 +htb +1:5 .* rate 125000, ceil 250000/);
    await done("class", "change", "w0", "htb", "--handle", "1:5", "--set", "params.rate=500000");
    expect(tc("class show dev w0")).toContain("rate 4Mbit");
    tc("filter add dev w0 parent 1: protocol ip prio 9 u32 match ip dst 10.9.0.0/16 classid 1:5");
    expect(await done("filter")).toMatch(/w0 +1: +9 +ip +u32 +80000800 +classId 65541, .*terminal/);
    await done("filter", "del", "w0", "1:", "--priority", "9", "--protocol", "ip");
    expect(tc("filter show dev w0")).toBe("");
    await done("qdisc", "del", "w0");

    await done("nexthop", "add", "1", "--via", "10.70.0.2", "--dev", "w0");
    await done("nexthop", "add", "2", "--via", "10.70.0.3", "--dev", "w0");
    await done("nexthop", "add", "3", "--group", "1*3,2");
    expect(ip("nexthop")).toContain("id 3 group 1,3/2");
    await done("route", "add", "10.71.0.0/16", "--nhid", "3");
    await done(
      "route",
      "add",
      "10.72.0.0/16",
      "--nexthop",
      "10.70.0.2*2",
      "--nexthop",
      "10.70.0.3",
      "--set",
      "mtu=1300",
    );
    expect(ip("route", "show", "10.72.0.0/16")).toMatch(/mtu 1300 *\n.*via 10.70.0.2 dev w0 weight 2 *\n.*10.70.0.3/);
    const text = await done("route");
    expect(text).toMatch(/10.71.0.0\/16 +next hop 3/);
    expect(text).toMatch(/10.72.0.0\/16 +10.70.0.2\*2, 10.70.0.3 /);
    expect(await done("nexthop")).toMatch(/3 +1\*3, 2/);
    await done("nexthop", "del", "3");
    expect(ip("route", "show", "10.71.0.0/16")).toBe("");
    await done("rule", "add", "300", "77", "--set", "ipProto=6", "--set", "dport.start=80", "--set", "dport.end=90");
    expect(ip("rule")).toMatch(/300:.*ipproto tcp dport 80-90 lookup 77/);
    await done("rule", "del", "300", "77");

    await done("fdb", "add", "02:00:00:00:00:55", "w1", "--master");
    await done("proxy", "add", "10.70.0.99", "w0");
    expect(ns.spawnSync("bridge", ["fdb", "show", "dev", "w1"]).stdout).toContain(
      "02:00:00:00:00:55 master br1 permanent",
    );
    expect(await done("fdb")).toMatch(/02:00:00:00:00:55 +w1 +master +permanent/);
    expect(ip("neigh", "show", "proxy")).toContain("10.70.0.99 dev w0");
    expect(await done("proxy")).toMatch(/10.70.0.99 +w0/);
    for (const device of ["br1", "w0"]) await done("link", "del", device);
  });

  test.each([
    [["qdisc", "add", "lo", "wfq"], "kind: expected one of clsact, ingress, noqueue"],
    [["qdisc", "add", "lo", "pfifo", "--set", "size=3"], "--set: pfifo has params, got size"],
    [["qdisc", "add", "lo", "pfifo", "--handle", "x"], "expected a handle such as 1: or 1:5, got x"],
    [["class", "add", "lo", "htb"], "class: expected --handle MAJOR:MINOR"],
    [["filter", "add", "lo", "ingress", "matchall", "--action", "eat"], "--action: expected drop, pass, redirect:DEV"],
    [["filter", "add", "lo", "ingress", "matchall", "--protocol", "ipx"], "--protocol: expected all, ip, ipv6, arp"],
    [["nexthop", "add", "1", "--group", "a"], "--group: expected ID or ID*SHARE, got a"],
    [["route", "add", "10.0.0.0/8", "--nexthop", "*3"], "--nexthop: expected ADDRESS, got *3"],
    [["route", "add", "10.0.0.0/8", "--dev", "lo", "--set", "speed=3"], "--set: route has mtu, window"],
    [
      ["link", "add", "x0", "bridge", "--set", "priority=lots"],
      "priority: expected a whole number from 0 to 65535, got lots",
    ],
  ] as const)("ebplane net %j is one line, exit 2, too", async (args, message) => {
    const { code, stdout, stderr } = await net(...args);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

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
    [["link", "add", "x0", "wormhole"], "kind: expected one of bareudp, bond, bridge"],
    [["link", "add", "x0", "veth"], "veth: expected --peer NAME"],
    [["link", "add", "x0", "vlan", "--dev", "lo", "--id", "5000"], "vlan: expected --id from 1 to 4094"],
    [["link", "set", "nope", "--up"], "device nope: there is none; there are lo"],
    [["link", "set", "lo"], "set: nothing to change"],
    [["link", "set", "lo", "--up", "--down"], "--up and --down exclude each other"],
    [["link", "set", "lo", "--mtu", "big"], "--mtu: expected a whole number, got big"],
    [["addr", "add", "10.0.0.300/24", "lo"], "10.0.0.300"],
    [["route", "add", "10.0.0.0/8", "--encap", "gre 1"], "--encap: expected ip, mpls, seg6 or seg6local"],
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
