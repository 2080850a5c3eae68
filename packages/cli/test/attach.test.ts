/** Attaching, listing and detaching on the real kernel, in namespaces of the test's own. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { AttachType, MapType, ProgType } from "@ebplane/core/object";
import {
  arrayMap,
  asmProgram,
  collectionOf,
  congestionControl,
  createTopology,
  kernelSkipReason,
  NetNs,
  type Topology,
} from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { COMMAND, ebplaneHere, type Outcome, ROOT, scratchFolder } from "./ebplane.ts";
import { kernelObject } from "./kernel-object.ts";

const skip = kernelSkipReason();
const RECORDS = "/sys/fs/bpf/ebplane/attached";

/** The command, on a namespace's hooks. */
function ebplane(ns: NetNs, ...args: string[]): Promise<Outcome> {
  const where = ["attach", "detach", "list"].includes(args[0]!) && !args.includes("--netns");
  return ebplaneHere([...args, ...(where ? ["--netns", `/proc/self/fd/${ns.fd}`] : [])]);
}

async function done(ns: NetNs, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ebplane(ns, ...args);
  if (code !== 0) throw new Error(`ebplane ${args.join(" ")}: ${code}: ${stderr}`);
  return stdout;
}

interface Entry {
  readonly hook: string;
  readonly program: string;
  readonly linkId: number;
  readonly progId: number;
  readonly owner: string;
  readonly by: string;
}

/** What `list` shows, without what tests beside this one attach to the whole system. */
async function listed(ns: NetNs): Promise<Entry[]> {
  const { attachments } = JSON.parse(await done(ns, "list", "--json")) as {
    attachments: (Entry & { netns: number | null })[];
  };
  return attachments.filter((a) => /^(xdp|tcx|tc|netns|lwt):/.test(a.hook) && [null, ns.inode].includes(a.netns));
}

const records = (ns: NetNs): string[] =>
  existsSync(RECORDS) ? readdirSync(RECORDS).filter((name) => name.includes(`@${ns.inode}@`)) : [];

/** The topology, and the object's file; what the namespaces leave in bpffs goes with the test. */
function setUp(): { net: Topology; edge: NetNs; object: string } {
  const net = createTopology();
  const { edge } = net;
  onTestFinished(() => {
    for (const name of records(edge)) rmSync(join(RECORDS, name), { recursive: true, force: true });
    net.close();
  });
  const object = join(scratchFolder(), "all.o");
  writeFileSync(object, kernelObject());
  return { net, edge, object };
}

const ping = (net: Topology): boolean => net.client.spawnSync("ping", ["-c1", "-W1", "10.2.0.2"]).status === 0;

describe.skipIf(skip)(`ebplane attach, list and detach${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test.each([
    ["xdp:e0", "xdp_pass", "xdp:e0:native"],
    ["xdp:e0:generic", "xdp_pass", "xdp:e0:generic"],
    ["tcx:e0:ingress", "classify", "tcx:e0:ingress"],
    ["tc:e0:egress", "classify", "tc:e0:egress:1"],
    ["tc:e0:ingress:7", "classify", "tc:e0:ingress:7"],
    ["netns:sk_lookup", "lookup", "netns:sk_lookup"],
    ["netns:flow_dissector", "dissect", "netns:flow_dissector"],
  ])("%s: %s stays attached, is listed, and detaching leaves nothing", async (hook, program, text) => {
    const { edge, object } = setUp();
    const answer = JSON.parse(await done(edge, "attach", `${object}#${program}`, hook, "--json")) as {
      progId: number;
      maps: { name: string; pin: string }[];
    };
    const entry = { hook: text, program, progId: answer.progId, owner: "ebplane" };
    expect(await listed(edge)).toMatchObject([entry]);
    expect(answer.maps).toMatchObject([{ name: "hits", pin: expect.stringContaining(RECORDS) }]);
    expect(existsSync(answer.maps[0]!.pin)).toBe(true);
    expect(await done(edge, "detach", hook)).toBe(`${text}: ${program} is detached\n`);
    expect(await listed(edge)).toEqual([]);
    expect(records(edge)).toEqual([]);
    expect(edge.spawnSync("tc", ["qdisc", "show", "dev", "e0"]).stdout).not.toContain("clsact");
  });

  test("a program sees the traffic after the command has ended, and its map is there to read", async () => {
    const { net, edge, object } = setUp();
    const args = [COMMAND, "attach", `${object}#xdp_pass`, "xdp:e0", "--json"];
    const answer = JSON.parse(edge.spawnSync(process.execPath, args, { cwd: ROOT }).stdout) as {
      maps: { pin: string }[];
    };
    expect(ping(net)).toBe(true);
    const { entries } = JSON.parse(await done(edge, "map", "dump", answer.maps[0]!.pin, "--json")) as {
      entries: { key: string; value: string }[];
    };
    expect(entries).toHaveLength(1);
    expect(Number.parseInt(entries[0]!.value.slice(0, 2), 16)).toBeGreaterThan(0);
    await done(edge, "attach", `${object}#xdp_drop`, "xdp:e0", "--replace");
    expect(ping(net)).toBe(false);
    expect(await listed(edge)).toMatchObject([{ program: "xdp_drop", owner: "ebplane" }]);
    await done(edge, "detach", "xdp:e0");
    expect(ping(net)).toBe(true);
  });

  test("several XDP programs are one chain: the next runs when the one before passed", async () => {
    const { net, edge, object } = setUp();
    const other = join(scratchFolder(), "other.o");
    writeFileSync(other, kernelObject());
    const answer = JSON.parse(
      await done(edge, "attach", `${object}#xdp_pass`, "xdp:e0", "--next", `${other}#xdp_pass`, "--json"),
    ) as { program: string; maps: { name: string; pin: string }[] };
    expect(answer.program).toBe("xdp_pass, then xdp_pass");
    expect(answer.maps.map((m) => m.name)).toEqual(["hits", "hits_2"]);
    expect(ping(net)).toBe(true);
    const hits = async (i: number): Promise<number> => {
      const dump = JSON.parse(await done(edge, "map", "dump", answer.maps[i]!.pin, "--json"));
      return Number.parseInt(dump.entries[0].value.slice(0, 2), 16);
    };
    expect(await hits(0)).toBeGreaterThan(0);
    expect(await hits(1)).toBeGreaterThan(0);
    expect(await listed(edge)).toMatchObject([{ hook: "xdp:e0:native", program: "ebplane_chain", owner: "ebplane" }]);
    await done(edge, "attach", `${object}#xdp_pass`, "xdp:e0", "--replace", "--next", `${other}#xdp_drop`);
    expect(ping(net)).toBe(false);
    await done(edge, "detach", "xdp:e0");
    expect(ping(net)).toBe(true);
    expect(records(edge)).toEqual([]);
    expect(await ebplane(edge, "attach", `${object}#classify`, "tcx:e0:ingress", "--next", other)).toMatchObject({
      code: 2,
      stderr: "--next: only xdp programs are chained\n",
    });
  });

  test("programs join a chain by priority and leave it one by one; list shows the order", async () => {
    const { net, edge, object } = setUp();
    const attach = async (program: string, ...options: string[]) =>
      JSON.parse(await done(edge, "attach", `${object}#${program}`, "xdp:e0", ...options, "--json")) as {
        joined?: number;
        linkId: number;
        maps: { name: string; id: number; pin: string }[];
      };
    const hits = async ({ maps }: Awaited<ReturnType<typeof attach>>): Promise<number> => {
      const dump = JSON.parse(await done(edge, "map", "dump", maps[0]!.pin, "--json"));
      return Number.parseInt(dump.entries[0].value.slice(0, 2), 16);
    };
    const chain = async () => {
      const { attachments } = JSON.parse(await done(edge, "list", "--json")) as {
        attachments: { hook: string; chain: { name: string; priority: number; chainCallActions: string[] }[] }[];
      };
      return attachments
        .filter((a) => a.hook.startsWith("xdp:e0"))
        .flatMap((a) => a.chain.map((m) => `${m.priority} ${m.name} ${m.chainCallActions.join(" ")}`));
    };
    // The first is an attachment as any other; others join it.
    const first = await attach("xdp_pass", "--join");
    expect(first).not.toHaveProperty("joined");
    expect(await chain()).toEqual(["50 xdp_pass XDP_PASS"]);
    const early = await attach("xdp_pass", "--join", "--priority", "10", "--chain-call", "XDP_PASS,XDP_DROP");
    expect(early).toMatchObject({ joined: 2, linkId: first.linkId });
    expect(ping(net)).toBe(true);
    expect(await hits(first)).toBeGreaterThan(0);
    expect(await hits(early)).toBeGreaterThan(0);
    const drop = await attach("xdp_drop", "--join", "--priority", "20");
    expect(drop.joined).toBe(3);
    expect(ping(net)).toBe(false);
    const before = await hits(first);
    expect(await hits(drop)).toBeGreaterThan(0);
    expect(await hits(first)).toBe(before);
    expect(await chain()).toEqual(["10 xdp_pass XDP_PASS XDP_DROP", "20 xdp_drop XDP_PASS", "50 xdp_pass XDP_PASS"]);
    expect(await done(edge, "list")).toMatch(
      /xdp:e0:native +ebplane_chain .*\n +#1 priority 10, next on XDP_PASS, XDP_DROP +xdp_pass\n +#2 priority 20, next on XDP_PASS +xdp_drop\n +#3/,
    );
    // Out goes one, by name; of two of a name, by place. Its own map goes, the others' stay.
    expect(await done(edge, "detach", "xdp:e0", "--prog", "xdp_drop")).toBe(
      "xdp:e0:native: xdp_drop has left the chain\n",
    );
    expect(existsSync(drop.maps[0]!.pin)).toBe(false);
    expect(existsSync(first.maps[0]!.pin)).toBe(true);
    expect(ping(net)).toBe(true);
    expect(await ebplane(edge, "detach", "xdp:e0", "--prog", "xdp_pass")).toMatchObject({
      code: 2,
      stderr: "xdp:e0:native: several programs are named xdp_pass: choose by place: #1, #2\n",
    });
    await done(edge, "detach", "xdp:e0", "--prog", "#1");
    expect(await chain()).toEqual(["50 xdp_pass XDP_PASS"]);
    expect(existsSync(early.maps[0]!.pin)).toBe(false);
    const rest = await hits(first);
    expect(ping(net)).toBe(true);
    expect(await hits(first)).toBeGreaterThan(rest);
    await done(edge, "detach", "xdp:e0", "--prog", "xdp_pass");
    expect(await listed(edge)).toEqual([]);
    expect(records(edge)).toEqual([]);
  });

  test("a chain stays what it was when a program cannot join it", async () => {
    const { net, edge, object } = setUp();
    const join = (...options: string[]) =>
      ebplane(edge, "attach", `${object}#xdp_pass`, "xdp:e0", "--join", ...options);
    for (let i = 0; i < 10; i++) expect(await join()).toMatchObject({ code: 0 });
    expect(await join()).toMatchObject({ code: 2, stderr: "chain: expected at most 10 programs\n" });
    expect(ping(net)).toBe(true);
    await done(edge, "detach", "xdp:e0", "--prog", "#10");
    expect(await join("--chain-call", "XDP_NO")).toMatchObject({
      code: 2,
      stderr: "--chain-call: expected XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT, got XDP_NO\n",
    });
    await done(edge, "detach", "xdp:e0");
    // Somebody else's program is not joined.
    const pin = `/sys/fs/bpf/ebplane-join-${edge.inode}`;
    onTestFinished(() => rmSync(pin, { force: true, recursive: true }));
    await done(edge, "prog", "load", object, pin);
    edge.spawnSync("bpftool", ["net", "attach", "xdp", "pinned", `${pin}/xdp_pass`, "dev", "e0"]);
    expect(await join()).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^xdp:e0:native: program \d+ \(xdp_pass\) was not attached by ebplane/),
    });
  });

  test("a program that is loaded already is attached, by its file and by its id", async () => {
    const { net, edge, object } = setUp();
    const pin = `/sys/fs/bpf/ebplane-live-${edge.inode}`;
    onTestFinished(() => rmSync(pin, { force: true, recursive: true }));
    await done(edge, "prog", "load", object, pin);
    const { progId } = JSON.parse(await done(edge, "attach", `${pin}/xdp_drop`, "xdp:e0", "--json"));
    expect(await listed(edge)).toMatchObject([
      { hook: "xdp:e0:native", program: "xdp_drop", progId, owner: "ebplane" },
    ]);
    expect(ping(net)).toBe(false);
    await done(edge, "detach", "xdp:e0");
    await done(edge, "attach", `id:${progId}`, "xdp:e0:generic");
    expect(await listed(edge)).toMatchObject([{ hook: "xdp:e0:generic", progId }]);
    expect(await ebplane(edge, "attach", `${pin}/maps/hits`, "xdp:e0")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is a map\n$/),
    });
    expect(await ebplane(edge, "attach", "id:4000000000", "tcx:e0:ingress")).toMatchObject({
      code: 2,
      stderr: "prog id 4000000000: does not exist\n",
    });
  });

  test("programs on a socket map: attached, listed with the map's name, and detached", async () => {
    const { edge } = setUp();
    const name = `so${process.pid.toString(36)}`;
    const object = join(scratchFolder(), "sockets.o");
    const sk = (program: string, type: number, attachType: number, section: string) =>
      asmProgram(program, type, "r0 = 1\nexit", { attachType, section });
    writeFileSync(
      object,
      writeElf(
        collectionOf(
          [
            sk("on_send", ProgType.BPF_PROG_TYPE_SK_MSG, AttachType.BPF_SK_MSG_VERDICT, "sk_msg"),
            sk("parse", ProgType.BPF_PROG_TYPE_SK_SKB, AttachType.BPF_SK_SKB_STREAM_PARSER, "sk_skb/stream_parser"),
            sk("decide", ProgType.BPF_PROG_TYPE_SK_SKB, AttachType.BPF_SK_SKB_STREAM_VERDICT, "sk_skb/stream_verdict"),
          ],
          [arrayMap(name, 4, { type: MapType.BPF_MAP_TYPE_SOCKMAP })],
        ),
      ),
    );
    const ours = async (): Promise<Entry[]> =>
      (JSON.parse(await done(edge, "list", "--json")) as { attachments: Entry[] }).attachments.filter((a) =>
        a.hook.startsWith(`sockmap:${name}:`),
      );
    // The object's own map, and then a live one by file, id and name.
    const { maps } = JSON.parse(await done(edge, "attach", `${object}#on_send`, `sockmap:${name}:msg`, "--json"));
    expect(maps).toMatchObject([{ name, pin: expect.stringContaining(RECORDS) }]);
    const reuse = ["--reuse", `${name}=${maps[0].id}`];
    await done(edge, "attach", `${object}#parse`, `sockmap:${maps[0].pin}:parser`, ...reuse);
    await done(edge, "attach", `${object}#decide`, `sockmap:${maps[0].id}:verdict`, ...reuse);
    expect((await ours()).map((a) => [a.hook, a.program, a.owner]).sort()).toEqual([
      [`sockmap:${name}:msg`, "on_send", "ebplane"],
      [`sockmap:${name}:parser`, "parse", "ebplane"],
      [`sockmap:${name}:verdict`, "decide", "ebplane"],
    ]);
    expect(await ebplane(edge, "attach", `${object}#parse`, `sockmap:${name}x:parser`)).toMatchObject({
      code: 2,
      stderr: `map ${name}x: no map has this name (ebplane map list)\n`,
    });
    expect(await ebplane(edge, "attach", `${object}#on_send`, `sockmap:${name}:send`)).toMatchObject({
      code: 2,
      stderr: `hook "sockmap:${name}:send": expected a type of parser, verdict, skb_verdict, msg\n`,
    });
    await done(edge, "detach", `sockmap:${maps[0].id}:verdict`);
    await done(edge, "detach", `sockmap:${name}:parser`);
    // What bpftool attaches has no link.
    const pin = `/sys/fs/bpf/ebplane-sock-${edge.inode}`;
    onTestFinished(() => rmSync(pin, { force: true, recursive: true }));
    await done(edge, "prog", "load", object, pin);
    const bpftool = ["prog", "attach", "pinned", `${pin}/parse`, "sk_skb_stream_parser", "id", String(maps[0].id)];
    expect(edge.spawnSync("bpftool", bpftool)).toMatchObject({ status: 0 });
    const both = (await ours()).map((a) => [a.hook, a.owner, a.hook.endsWith("parser") ? a.by : ""]).sort();
    expect(both).toEqual([
      [`sockmap:${name}:msg`, "ebplane", ""],
      [`sockmap:${name}:parser`, "other", "program"],
    ]);
    await done(edge, "detach", `sockmap:${name}:parser`);
    await done(edge, "detach", `sockmap:${name}:msg`);
    expect(await ours()).toEqual([]);
  });

  test("what another namespace has at a hook of the same name is left alone", async () => {
    const [here, there] = [setUp(), setUp()];
    for (const { edge, object } of [here, there]) await done(edge, "attach", `${object}#xdp_pass`, "xdp:e0");
    await done(here.edge, "attach", `${here.object}#xdp_drop`, "xdp:e0", "--replace");
    expect(await listed(here.edge)).toMatchObject([{ program: "xdp_drop" }]);
    await done(here.edge, "detach", "xdp:e0");
    expect(await listed(there.edge)).toMatchObject([{ program: "xdp_pass" }]);
  });

  test("a program of the whole system is found again by its tracepoint's name", async () => {
    const { edge, object } = setUp();
    // sys_exit, so that a run beside this one at another tracepoint is left alone.
    const { linkId } = JSON.parse(await done(edge, "attach", `${object}#raw`, "raw_tp:sys_exit", "--json")) as {
      linkId: number;
    };
    onTestFinished(() => {
      for (const name of existsSync(RECORDS) ? readdirSync(RECORDS) : []) {
        if (name.startsWith(`${linkId}@`)) rmSync(join(RECORDS, name), { recursive: true, force: true });
      }
    });
    const all = JSON.parse(await done(edge, "list", "--json")) as { attachments: Entry[] };
    expect(all.attachments.find((a) => a.linkId === linkId)).toMatchObject({ hook: "raw_tp:sys_exit", program: "raw" });
    await done(edge, "detach", "raw_tp:sys_exit", "--link", String(linkId));
    const after = JSON.parse(await done(edge, "list", "--json")) as { attachments: Entry[] };
    expect(after.attachments.filter((a) => a.linkId === linkId)).toEqual([]);
  });

  test("beside xdp-loader's programs, and with them, as members of libxdp's dispatcher", async ({ skip: skipTest }) => {
    const { net, edge } = setUp();
    const folder = scratchFolder();
    const compile = async (name: string): Promise<string> => {
      const source = join(folder, `${name}.bpf.ts`);
      const object = join(folder, `${name}.o`);
      writeFileSync(
        source,
        `import { percpuArray, u64, xdp, XDP_PASS } from "ebplane/bpf";
        export const seen = percpuArray(u64, { maxEntries: 1 });
        export const ${name} = xdp((ctx) => { const n = seen.lookup(0); if (n) n.value += u64(1); return XDP_PASS; });`,
      );
      await done(edge, "build", source, "-o", object);
      return object;
    };
    const [first, second] = [await compile("first"), await compile("second")];
    const made = await ebplane(edge, "attach", first, "xdp:e0", "--libxdp");
    if (/patch|libxdp1/.test(made.stderr)) skipTest(made.stderr.trim());
    expect(made).toMatchObject({ code: 0, stdout: expect.stringContaining("1 programs in one chain") });
    const names = async () => (await listed(edge)).map((a) => [a.hook, a.program, a.by]);
    expect(await names()).toEqual([["xdp:e0:native", "first", "libxdp"]]);
    expect((await ebplane(edge, "attach", second, "xdp:e0")).stderr).toContain("or chain both (--join)");
    await done(edge, "attach", second, "xdp:e0", "--join", "--priority", "10");
    expect(await names()).toEqual([
      ["xdp:e0:native", "second", "libxdp"],
      ["xdp:e0:native", "first", "libxdp"],
    ]);
    expect(ping(net)).toBe(true);
    const { error, stdout } = edge.spawnSync("xdp-loader", ["status"]);
    if (!error) expect(stdout).toMatch(/=> +10 +second(.|\n)*=> +50 +first/);
    await done(edge, "detach", "xdp:e0", "--prog", "second");
    expect(await names()).toEqual([["xdp:e0:native", "first", "libxdp"]]);
    await done(edge, "detach", "xdp:e0");
    expect(await names()).toEqual([]);
  });

  test("without a hook it is the one that the section names, with a cookie where asked", async () => {
    const { edge, object } = setUp();
    const answer = JSON.parse(await done(edge, "attach", `${object}#point`, "--cookie", "7", "--json"));
    expect(answer.hook).toBe("tracepoint:sched:sched_switch");
    const { attachments } = JSON.parse(await done(edge, "list", "--json"));
    expect(attachments.find((a: Entry) => a.linkId === answer.linkId)).toMatchObject({ program: "point" });
    await done(edge, "detach", "--link", String(answer.linkId));
    const refused = (...args: string[]) => ebplane(edge, "attach", ...args);
    expect(await refused(object)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`several programs, name one as ${object}#NAME: raw, point`),
    });
    expect(await refused(`${object}#xdp_pass`)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("name a hook: no section of xdp_pass names one"),
    });
    expect(await refused(`${object}#xdp_pass`, "xdp:e0", "--cookie", "7")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--cookie belongs to probes and tracing, got xdp:e0"),
    });
  });

  test("a congestion control is registered until it is detached", async () => {
    const { edge } = setUp();
    const name = `ec${process.pid.toString(36)}`;
    const object = join(scratchFolder(), "cc.o");
    writeFileSync(object, writeElf(congestionControl(name)));
    const available = (): string => readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "latin1");
    const text = await done(edge, "attach", object, "struct_ops:cc");
    const link = /^struct_ops:cc: cc is attached \(struct_ops, link (\d+)\)/.exec(text)?.[1];
    expect(link).toBeDefined();
    expect(available()).toContain(name);
    const { attachments } = JSON.parse(await done(edge, "list", "--json")) as { attachments: Entry[] };
    expect(attachments.find((a) => a.linkId === Number(link))).toMatchObject({
      hook: "struct_ops:cc",
      owner: "ebplane",
    });
    expect(await ebplane(edge, "attach", object, "struct_ops:none")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no struct_ops named none; it has cc"),
    });
    await done(edge, "detach", "--link", link!);
    expect(available()).not.toContain(name);
  });

  test("a control group's program is listed with the group's path", async () => {
    const { edge, object } = setUp();
    const mount = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "));
    const root = mount.find(([, , type]) => type === "cgroup2")?.[1];
    if (root === undefined) return; // No cgroup2 here: nothing to attach to.
    const group = join(root, `ebplane-cli-${process.pid}`);
    mkdirSync(group);
    onTestFinished(() => rmdirSync(group));
    const hook = `cgroup:${group}:egress`;
    await done(edge, "attach", object, hook);
    const ours = async (): Promise<Entry[]> =>
      (JSON.parse(await done(edge, "list", "--json")) as { attachments: Entry[] }).attachments.filter(
        (a) => a.hook === hook,
      );
    expect(await ours()).toMatchObject([{ program: "egress", owner: "ebplane" }]);
    await done(edge, "detach", hook);
    expect(await ours()).toEqual([]);
  });

  test("a program goes on a route, on a new one and on one that is there, which detaching gives back", async () => {
    const { edge, object } = setUp();
    const routes = (): string => edge.spawnSync("ip", ["route", "show", "10.77.0.0/16"]).stdout.trim();
    await done(edge, "attach", object, "lwt:10.77.0.0/16:out", "--dev", "e0");
    expect(routes()).toMatch(/^10\.77\.0\.0\/16 +encap bpf out route_out:\d+ dev e0/);
    expect(await listed(edge)).toMatchObject([{ hook: "lwt:10.77.0.0/16:out", program: "route_out" }]);
    await done(edge, "detach", "lwt:10.77.0.0/16:out");
    expect(routes()).toBe("");
    edge.spawnSync("ip", ["route", "add", "10.77.0.0/16", "via", "10.2.0.2", "dev", "e1"]);
    const before = routes();
    expect(await ebplane(edge, "attach", object, "lwt:10.77.0.0/16:out", "--dev", "e0")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("the route is there already, via 10.2.0.2 dev e1"),
    });
    await done(edge, "attach", object, "lwt:10.77.0.0/16:out");
    expect(routes()).toContain("encap bpf");
    await done(edge, "detach", "lwt:10.77.0.0/16:out");
    expect(routes().replace("proto static", "").trim()).toBe(before);
  });

  test("what ip, tc and bpftool attached is listed and detached", async () => {
    const { edge, object } = setUp();
    const run = (...args: string[]): void => {
      const { status, stderr } = edge.spawnSync(args[0]!, args.slice(1));
      if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
    };
    const pin = `/sys/fs/bpf/ebplane-test-${edge.inode}`;
    onTestFinished(() => rmSync(pin, { force: true }));
    await done(edge, "attach", object, "tcx:e1:ingress");
    const { progId } = (await listed(edge))[0]!;
    run("bpftool", "prog", "pin", "id", String(progId), pin);
    await done(edge, "detach", "tcx:e1:ingress");
    await done(edge, "attach", `${object}#xdp_pass`, "xdp:e1");
    const xdpId = (await listed(edge))[0]!.progId;
    run("bpftool", "prog", "pin", "id", String(xdpId), `${pin}-x`);
    onTestFinished(() => rmSync(`${pin}-x`, { force: true }));
    await done(edge, "detach", "xdp:e1");

    run("bpftool", "net", "attach", "xdpgeneric", "id", String(xdpId), "dev", "e0");
    run("tc", "qdisc", "add", "dev", "e0", "clsact");
    run("tc", "filter", "add", "dev", "e0", "ingress", "protocol", "ip", "bpf", "da", "pinned", pin);
    run("tc", "filter", "add", "dev", "e0", "ingress", "bpf", "da", "pinned", pin);
    expect(await listed(edge)).toMatchObject([
      { hook: "xdp:e0:generic", progId: xdpId, owner: "other", by: "xdp" },
      { hook: "tc:e0:ingress:49151", progId, owner: "other" },
      { hook: "tc:e0:ingress:49152", progId, owner: "other" },
    ]);
    expect(await ebplane(edge, "detach", "tc:e0:ingress")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("2 programs are attached"),
    });
    await done(edge, "detach", "tc:e0:ingress:49152");
    await done(edge, "detach", "xdp:e0");
    await done(edge, "detach", "tc:e0:ingress", "--all");
    expect(await listed(edge)).toEqual([]);
    // Not our clsact: it stays.
    expect(edge.spawnSync("tc", ["qdisc", "show", "dev", "e0"]).stdout).toContain("clsact");
    // And what ebplane attaches, they see.
    await done(edge, "attach", `${object}#xdp_pass`, "xdp:e0");
    expect(edge.spawnSync("ip", ["-d", "link", "show", "e0"]).stdout).toMatch(/prog\/xdp id \d+ name xdp_pass/);
  });

  test("a record whose device is gone says so and is cleared by its link", async () => {
    const { edge, object } = setUp();
    edge.spawnSync("ip", ["link", "add", "t0", "type", "veth", "peer", "name", "t1"]);
    const { linkId } = JSON.parse(await done(edge, "attach", `${object}#xdp_pass`, "xdp:t0", "--json")) as {
      linkId: number;
    };
    edge.spawnSync("ip", ["link", "del", "t0"]);
    expect(await done(edge, "list")).toMatch(new RegExp(`xdp:t0 .* ${linkId} +ebplane, gone`));
    await done(edge, "detach", "--link", String(linkId));
    expect(records(edge)).toEqual([]);
  });

  // util-linux's unshare mounts afresh what it unshares: without propagation, nothing of this is seen outside.
  const withoutBpffs = (edge: NetNs, flags: readonly string[], line: string) =>
    edge.spawnSync("unshare", ["-m", ...flags, "sh", "-ec", `umount -a -t bpf; ${line}`], { cwd: ROOT });

  test("where a mount would not last, one line names the remedy, and nothing is attached", async () => {
    const { edge, object } = setUp();
    const line = `exec ${process.execPath} ${COMMAND} attach ${object}#xdp_pass xdp:e0`;
    const { status, stderr } = withoutBpffs(edge, [], line);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^\/sys\/fs\/bpf: expected a bpffs, .*mount -t bpf bpf \/sys\/fs\/bpf.*\n$/);
    expect(await listed(edge)).toEqual([]);
  });

  test("a bpffs that is missing is mounted, once by two commands at once", () => {
    const { edge, object } = setUp();
    const attach = (hook: string) => `${process.execPath} ${COMMAND} attach ${object}#classify ${hook}`;
    const line = `${attach("tcx:e0:ingress")} & ${attach("tcx:e0:egress")}; wait $!; grep -c " /sys/fs/bpf bpf " /proc/mounts; ls ${RECORDS}`;
    // As process 1 of its own system the shell's mounts last as long as the system does.
    const { status, stdout, stderr } = withoutBpffs(edge, ["--pid", "--fork", "--mount-proc"], line);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const [mounts, ...kept] = stdout.trim().split("\n").slice(-3);
    expect(mounts).toBe("1");
    expect(kept.map((name) => name.split("@")[2]!).sort()).toEqual(["tcx:e0:egress", "tcx:e0:ingress"]);
  });

  test("another namespace is reached by its file", async () => {
    const { net, edge, object } = setUp();
    using other = NetNs.create();
    const file = `/proc/${process.pid}/fd/${edge.fd}`;
    await done(other, "attach", `${object}#xdp_pass`, "xdp:e0", "--netns", file);
    expect(await listed(other)).toEqual([]);
    expect(await listed(edge)).toMatchObject([{ hook: "xdp:e0:native", owner: "ebplane" }]);
    await done(other, "detach", "xdp:e0", "--netns", file);
    expect(await listed(edge)).toEqual([]);
    expect(ping(net)).toBe(true);
  });

  test.each([
    [["attach", "OBJ#xdp_pass", "xdp:nodev0"], "there is no device nodev0"],
    [["attach", "OBJ", "xdp:e0"], "several programs, name one as"],
    [["attach", "OBJ#nothing", "xdp:e0"], "no program named nothing; it has xdp_pass"],
    [["attach", "OBJ#classify", "xdp:e0"], "xdp needs type xdp, got sched_cls"],
    [["attach", "OBJ", "eth0"], 'hook "eth0": expected xdp, tcx, netkit'],
    [["attach", "OBJ", "lwt:10.0.0.0/40:out", "--dev", "e0"], "10.0.0.0/40"],
    [["attach", "OBJ", "lwt:10.99.0.0/16:out"], "expected a device or a gateway"],
    [["attach", "OBJ", "tcx:e0:ingress", "--dev", "e0"], "--via, --dev and --headroom belong to lwt hooks"],
    [["attach", "OBJ", "tcx:e0:ingress", "--bound"], "--bound belongs to xdp hooks"],
    [["attach", "OBJ#xdp_pass", "xdp:e0:generic", "--bound"], "can't attach device-bound programs in generic mode"],
    [["attach", "OBJ", "tcx:e0:ingress", "--replace"], "--replace: nothing is attached to tcx:e0:ingress"],
    [["attach", "OBJ", "tcx:e0:ingress", "--reuse", "hits=/sys/fs/bpf/no-such"], "/sys/fs/bpf/no-such: does not exist"],
    [["attach", "OBJ", "tcx:e0:ingress", "--map", "hits=/no/such.json"], "/no/such.json: no such file"],
    [["attach", "OBJ#point", "tracepoint:no:such"], "this kernel has no such tracepoint"],
    [["attach", "OBJ#egress", "cgroup:/no/such:egress"], "cgroup /no/such: no such directory"],
    [["attach", "OBJ#lookup", "netns:sk_lookup", "--netns", "no-such-name"], "no such file"],
    [["detach", "xdp:e0"], "xdp:e0: nothing is attached there"],
    [["detach"], "name a hook, or --link ID"],
    [["detach", "--link", "x"], "--link: expected a whole number, got x"],
    [["detach", "--link", "4000000000"], "nothing is attached there"],
  ])("ebplane %j is one line, exit 2, and attaches nothing", async (args, message) => {
    const { edge, object } = setUp();
    const { code, stdout, stderr } = await ebplane(edge, ...args.map((a) => a.replace("OBJ", object)));
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(await listed(edge)).toEqual([]);
    expect(records(edge)).toEqual([]);
  });
});
