/**
 * Every kind of attachment, loaded, attached, detached and closed many times: fds, mappings and threads of this process,
 * and the programs, maps and links of this run in the kernel, are as many after as before. EBPLANE_CYCLES sets how many
 * (CI: 5; 10,000 of each of the 19 kinds take an hour: `-t` runs one kind).
 */
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { AttachType, type Hook, MapType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fdById, linkInfo, mapInfo, objectIds, progInfo } from "../bpf/index.ts";
import { addAddress, addLink, addRoute, getLink, setLink } from "../netlink/index.ts";
import { bindUdp, NetNs } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { arrayMap, asmProgram, collectionOf, congestionControl, kernelLacks, kernelSkipReason } from "../testing.ts";
import { processResources } from "../testing-resources.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
const CYCLES = Number(process.env.EBPLANE_CYCLES ?? 5);
const T = ProgType;
const A = AttachType;
/** In the names of this run's programs and maps. */
const TAG = `y${process.pid.toString(36)}`;
const CGROUP_ROOT = readFileSync("/proc/self/mounts", "utf8")
  .split("\n")
  .map((line) => line.split(" "))
  .find(([, , type]) => type === "cgroup2")?.[1];
const CGROUP = `${CGROUP_ROOT}/ebplane-cycles-${process.pid}`;

interface Kind {
  readonly type: number;
  readonly verdict?: number;
  readonly more?: Partial<ProgramSpec>;
  readonly hook: Hook;
}

const KINDS: Readonly<Record<string, Kind>> = {
  "xdp native": { type: T.BPF_PROG_TYPE_XDP, verdict: 2, hook: { kind: "xdp", iface: "v0", mode: "native" } },
  "xdp generic": { type: T.BPF_PROG_TYPE_XDP, verdict: 2, hook: { kind: "xdp", iface: "v0", mode: "generic" } },
  tcx: { type: T.BPF_PROG_TYPE_SCHED_CLS, verdict: -1, hook: { kind: "tcx", iface: "v0", direction: "ingress" } },
  "clsact with cls_bpf": {
    type: T.BPF_PROG_TYPE_SCHED_CLS,
    verdict: -1,
    hook: { kind: "tc", iface: "v0", direction: "egress" },
  },
  cgroup: {
    type: T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    verdict: 1,
    more: { attachType: A.BPF_CGROUP_INET4_CONNECT },
    hook: { kind: "cgroup", path: CGROUP, type: "connect4" },
  },
  "flow dissector": { type: T.BPF_PROG_TYPE_FLOW_DISSECTOR, hook: { kind: "netns", type: "flow_dissector" } },
  sk_lookup: {
    type: T.BPF_PROG_TYPE_SK_LOOKUP,
    verdict: 1,
    more: { attachType: A.BPF_SK_LOOKUP },
    hook: { kind: "netns", type: "sk_lookup" },
  },
  netfilter: {
    type: T.BPF_PROG_TYPE_NETFILTER,
    verdict: 1,
    more: { attachType: A.BPF_NETFILTER },
    hook: { kind: "netfilter", family: 4, point: "forward", priority: -77 },
  },
  lwt: {
    type: T.BPF_PROG_TYPE_LWT_XMIT,
    hook: { kind: "lwt", prefix: "10.77.0.0/16", direction: "xmit", iface: "v0" },
  },
  "raw tracepoint": { type: T.BPF_PROG_TYPE_RAW_TRACEPOINT, hook: { kind: "raw_tp", name: "sched_process_exec" } },
  tracepoint: {
    type: T.BPF_PROG_TYPE_TRACEPOINT,
    hook: { kind: "tracepoint", group: "sched", name: "sched_process_exec" },
  },
  "BTF tracepoint": {
    type: T.BPF_PROG_TYPE_TRACING,
    more: { attachType: A.BPF_TRACE_RAW_TP, attachTo: "sched_process_exec" },
    hook: { kind: "trace" },
  },
  uprobe: { type: T.BPF_PROG_TYPE_KPROBE, hook: { kind: "uprobe", path: "/bin/true", offset: 0x2000 } },
  uprobe_multi: {
    type: T.BPF_PROG_TYPE_KPROBE,
    more: { attachType: A.BPF_TRACE_UPROBE_MULTI },
    hook: { kind: "uprobe_multi", path: "/bin/true", offsets: [0x2000, 0x2004] },
  },
  "perf event": {
    type: T.BPF_PROG_TYPE_PERF_EVENT,
    hook: { kind: "perf_event", event: "cpu-clock", period: 1_000_000_000 },
  },
};

/** Programs and maps with our tag, and links to such programs. */
function inTheKernel(): string[] {
  const named = (kind: "prog" | "map", info: (fd: number) => { id: number; name: string }) =>
    objectIds(kind).flatMap((id) => ask(kind, id, (fd) => (info(fd).name.includes(TAG) ? [id] : [])) ?? []);
  const programs = named("prog", progInfo);
  const links = objectIds("link").filter((id) => ask("link", id, (fd) => programs.includes(linkInfo(fd).progId)));
  return [
    ...programs.map((id) => `program ${id}`),
    ...named("map", mapInfo).map((id) => `map ${id}`),
    ...links.map((id) => `link ${id}`),
  ];
}

function ask<R>(kind: "prog" | "map" | "link", id: number, body: (fd: number) => R): R | undefined {
  const fd = fdById(kind, id);
  if (fd === undefined) return undefined;
  try {
    return body(fd);
  } finally {
    close(fd);
  }
}

describe.skipIf(skip)(`${CYCLES} attachments of each kind${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  beforeAll(() => {
    mkdirSync(CGROUP);
    ns = NetNs.create();
    addLink(ns.route, { kind: "veth", name: "v0", peer: { name: "v1" } });
    for (const name of ["v0", "v1"]) setLink(ns.route, getLink(ns.route, name).index, { up: true });
    addAddress(ns.route, getLink(ns.route, "v0").index, "10.76.0.1/24");
    addRoute(ns.route, { dst: "10.77.0.0/16", oif: getLink(ns.route, "v0").index });
  });
  afterAll(() => {
    ns.close();
    rmdirSync(CGROUP);
  });

  /** Runs the cycle often, after a few rounds that let everything lazy come to be. */
  async function leavesNothing(cycle: () => void): Promise<void> {
    for (let i = 0; i < 3; i++) cycle();
    const before = processResources();
    for (let i = 0; i < CYCLES; i++) cycle();
    expect(processResources()).toEqual(before);
    // Freed a grace period after the last user.
    await expect.poll(inTheKernel, { timeout: 10_000, interval: 100 }).toEqual([]);
  }

  const options = { timeout: 3_600_000 };
  const LACKING: Readonly<Record<string, string | undefined>> = {
    tcx: kernelLacks("attachTypes", "tcx_ingress"),
    netfilter: kernelLacks("progTypes", "netfilter"),
    uprobe_multi: kernelLacks("attachTypes", "trace_uprobe_multi"),
  };
  test.each(Object.keys(KINDS).filter((name) => !LACKING[name]))("%s", options, async (name) => {
    const { type, verdict = 0, more, hook } = KINDS[name]!;
    const target = linuxTarget({ netns: ns.fd });
    const program = asmProgram(TAG, type, `r1 = map[${TAG}][0]+0\nr0 = ${verdict}\nexit`, more);
    const spec = collectionOf([program], [arrayMap(TAG)]);
    await leavesNothing(() => {
      using loaded = target.load(spec);
      using _ = target.attach(loaded.programs.get(TAG)!, hook);
    });
  });

  test("socket filter and reuseport", options, async () => {
    const fds = [1, 2].map(() => bindUdp(ns, "10.76.0.1", 7000, { reusePort: true }));
    const spec = collectionOf(
      [
        asmProgram(`${TAG}f`, T.BPF_PROG_TYPE_SOCKET_FILTER, "r0 = -1\nexit"),
        asmProgram(`${TAG}r`, T.BPF_PROG_TYPE_SK_REUSEPORT, "r0 = 1\nexit", { attachType: A.BPF_SK_REUSEPORT_SELECT }),
      ],
      [],
    );
    await leavesNothing(() => {
      using loaded = linuxTarget().load(spec);
      const hook = { kind: "socket", fd: fds[0]! } as const;
      using _f = linuxTarget().attach(loaded.programs.get(`${TAG}f`)!, { ...hook, type: "filter" });
      using _r = linuxTarget().attach(loaded.programs.get(`${TAG}r`)!, { ...hook, type: "reuseport" });
    });
    for (const fd of fds) close(fd);
  });

  test("sockmap", options, async () => {
    const map = arrayMap(TAG, 4, { type: MapType.BPF_MAP_TYPE_SOCKMAP });
    const verdict = asmProgram(TAG, T.BPF_PROG_TYPE_SK_SKB, "r0 = 1\nexit", {
      attachType: A.BPF_SK_SKB_STREAM_VERDICT,
    });
    await leavesNothing(() => {
      using loaded = linuxTarget().load(collectionOf([verdict], [map]));
      const hook = { kind: "sockmap", map: loaded.maps.get(TAG)!, type: "verdict" } as const;
      using _ = linuxTarget().attach(loaded.programs.get(TAG)!, hook);
    });
  });

  test("struct_ops", options, async () => {
    const spec = congestionControl(`y${process.pid.toString(36)}`);
    await leavesNothing(() => {
      using loaded = linuxTarget().load(spec);
      using _ = loaded.structOps.get("cc")!.attach();
    });
  });

  test("namespaces with a veth pair between them", options, async () => {
    await leavesNothing(() => {
      using a = NetNs.create();
      using b = NetNs.create();
      addLink(a.route, { kind: "veth", name: "x0", peer: { name: "x1", netns: b.fd } });
      expect(getLink(b.route, "x1").kind).toBe("veth");
    });
  });
});
