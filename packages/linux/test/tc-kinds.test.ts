/**
 * Every queueing discipline, class, filter and action that this kernel has, made by tc(8) in one namespace and by us in
 * another: what tc prints of both is the same, and so is what we read of both.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type ClassSpec,
  deleteClass,
  deleteQdisc,
  type FilterSpec,
  getLink,
  listClasses,
  listFilters,
  listQdiscs,
  type QdiscSpec,
  removeFilter,
  setClass,
  setFilter,
  setQdisc,
} from "../src/netlink/index.ts";
import { NetNs } from "../src/netns/index.ts";
import { kernelSkipReason } from "../src/testing.ts";

const skip = kernelSkipReason();

type Spec<S> = S extends S ? Omit<S, "index" | "parent" | "handle" | "priority"> : never;

const QDISCS: readonly (readonly [words: string, spec: Spec<QdiscSpec>])[] = [
  ["clsact", { kind: "clsact" }],
  ["ingress", { kind: "ingress" }],
  ["noqueue", { kind: "noqueue" }],
  ["mq", { kind: "mq" }],
  ["pfifo limit 77", { kind: "pfifo", params: { limit: 77 } }],
  ["bfifo limit 5000", { kind: "bfifo", params: { limit: 5000 } }],
  [
    "fq limit 900 flow_limit 50 quantum 3000 nopacing",
    { kind: "fq", limit: 900, flowLimit: 50, quantum: 3000, pacing: false },
  ],
  ["fq maxrate 1mbit", { kind: "fq", maxRate: 125000 }],
  [
    "fq_codel limit 500 target 3ms interval 50ms quantum 300 noecn flows 256",
    { kind: "fq_codel", limit: 500, target: 3000, interval: 50000, quantum: 300, ecn: false, flows: 256 },
  ],
  ["codel limit 90 target 4ms", { kind: "codel", limit: 90, target: 4000 }],
  ["tbf rate 1mbit burst 1600 limit 3000", { kind: "tbf", params: { rate: 125000, limit: 3000, burst: 1600 } }],
  ["htb default 12", { kind: "htb", params: { rateToQuantum: 10, default: 0x12 } }],
  ["prio bands 4", { kind: "prio", params: { bands: 4, priomap: [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1] } }],
  [
    "netem delay 20ms 4ms limit 500 loss 25% duplicate 50%",
    {
      kind: "netem",
      delay: 20_000_000n,
      jitter: 4_000_000n,
      params: { latency: 312500, jitter: 62500, limit: 500, gap: 0, loss: 0.25, duplicate: 0.5 },
    },
  ],
  [
    "netem rate 1mbit corrupt 10%",
    {
      kind: "netem",
      params: { limit: 1000 } as never,
      rate: { rate: 125000 } as never,
      corrupt: { probability: 0.1, correlation: 0 },
    },
  ],
  [
    "cake bandwidth 10mbit diffserv4 dual-srchost nat rtt 50ms",
    {
      kind: "cake",
      rate: 1_250_000n,
      diffserv: "diffserv4",
      flowMode: "dual-srchost",
      nat: true,
      rtt: 50000,
      target: 2500,
    },
  ],
];

const CLASSES: readonly (readonly [words: string, spec: Spec<ClassSpec>])[] = [
  ["htb rate 1mbit burst 1600 cburst 1600", { kind: "htb", params: { rate: 125000 } }],
  [
    "htb rate 1mbit ceil 2mbit burst 2000 cburst 4000 prio 3 quantum 1500",
    { kind: "htb", params: { rate: 125000, ceil: 250000, burst: 2000, ceilBurst: 4000, prio: 3, quantum: 1500 } },
  ],
];

const gact = (action: "shot" | "ok" | "pipe") => ({ kind: "gact", params: { action } as never }) as const;

const FILTERS: readonly (readonly [words: string, spec: Spec<FilterSpec> | ((to: number) => Spec<FilterSpec>)])[] = [
  ["matchall action drop", { kind: "matchall", actions: [gact("shot")] }],
  [
    "matchall action mirred egress redirect dev t0",
    (ifindex) => ({
      kind: "matchall",
      actions: [{ kind: "mirred", params: { action: "stolen", direction: "egress redirect", ifindex } as never }],
    }),
  ],
  [
    "matchall action mirred egress mirror dev t0 pipe action drop",
    (ifindex) => ({
      kind: "matchall",
      actions: [
        { kind: "mirred", params: { action: "pipe", direction: "egress mirror", ifindex } as never },
        gact("shot"),
      ],
    }),
  ],
  [
    "u32 match ip dst 10.0.0.0/8 classid 1:3",
    {
      kind: "u32",
      protocol: 0x800,
      classId: 0x10003,
      selector: { terminal: true, keys: [{ value: 0x0a000000, mask: 0xff000000, offset: 16 }] },
    },
  ],
  [
    "u32 match ip dst 10.0.0.0/8 match u32 0x06000000 0xff000000 at 8 classid 1:3 action pass",
    {
      kind: "u32",
      protocol: 0x800,
      classId: 0x10003,
      selector: {
        terminal: true,
        keys: [
          { value: 0x0a000000, mask: 0xff000000, offset: 16 },
          { value: 0x06000000, mask: 0xff000000, offset: 8 },
        ],
      },
      actions: [gact("ok")],
    },
  ],
  [
    "flower dst_mac 02:00:00:00:00:01 dst_ip 10.0.0.0/24 ip_proto tcp dst_port 80 action drop",
    {
      kind: "flower",
      protocol: 0x800,
      etherType: 0x800,
      ethDst: "02:00:00:00:00:01",
      dst: "10.0.0.0",
      dstMask: "255.255.255.0",
      ipProto: 6,
      tcpDst: 80,
      actions: [gact("shot")],
    },
  ],
  [
    "flower src_ip fd00::/16 ip_proto udp src_port 53 action pass",
    {
      kind: "flower",
      protocol: 0x86dd,
      etherType: 0x86dd,
      src: "fd00::",
      srcMask: "ffff::",
      ipProto: 17,
      udpSrc: 53,
      actions: [gact("ok")],
    },
  ],
];
const PROTOCOLS: Readonly<Record<number, string>> = { 2048: "ip", 34525: "ipv6" };

describe.skipIf(skip)(`qdiscs, classes and filters beside tc(8)${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let theirs: NetNs;
  let ours: NetNs;
  let index: number;
  let to: number;
  const tried = new Set<string>();
  const lacking = new Set<string>();
  beforeAll(() => {
    [theirs, ours] = [NetNs.create(), NetNs.create()];
    for (const ns of [theirs, ours]) {
      for (const args of ["add d0 numtxqueues 4 type veth peer name d1", "add t0 type veth peer name t1"]) {
        ns.spawnSync("ip", ["link", ...args.split(" ")]);
      }
    }
    index = getLink(ours.route, "d0").index;
    to = getLink(ours.route, "t0").index;
    expect(getLink(theirs.route, "d0").index).toBe(index);
  });
  afterAll(() => {
    theirs.close();
    ours.close();
  });

  const tc = (ns: NetNs, line: string) => ns.spawnSync("tc", line.split(" "));
  const shown = (ns: NetNs, line: string): unknown => {
    const { stdout } = tc(ns, `-j -d ${line}`);
    // tc prints what a kernel says beside the document.
    return JSON.parse(stdout.replace(/^[^[]*/, "") || "[]", (key, value) =>
      ["installed", "last_used", "first_used", "dev"].includes(key) ? undefined : value,
    );
  };
  /** Whether the kernel has no such kind; then ours must be refused as well. */
  const lacks = (kind: string, { status, stderr }: ReturnType<typeof tc>, make: () => void): boolean => {
    if (status === 0) return false;
    expect(stderr).toMatch(/unknown|not found|Failed to load|No such file|not supported|Specified/i);
    lacking.add(kind);
    expect(make).toThrow(/ENOENT|EOPNOTSUPP/);
    return true;
  };

  test.each(QDISCS)("qdisc %s", (words, spec) => {
    const own = spec.kind === "clsact" || spec.kind === "ingress";
    const handle = own ? undefined : 0x70000;
    const place = own ? "" : handle ? " root handle 7:" : " root";
    const make = () => setQdisc(ours.route, { ...spec, index, handle } as QdiscSpec);
    if (lacks(spec.kind, tc(theirs, `qdisc add dev d0${place} ${words}`), make)) return;
    make();
    tried.add(spec.kind);
    try {
      const own = (ns: NetNs) => listQdiscs(ns.route).filter((q) => q.index === index && q.kind === spec.kind);
      const { kind, ...asked } = spec;
      if (!words.includes("corrupt"))
        expect(own(ours)[0]).toMatchObject({ kind, options: expect.objectContaining(close(asked)) });
      expect(shown(ours, "qdisc show dev d0")).toEqual(shown(theirs, "qdisc show dev d0"));
      expect(own(ours)).toEqual(own(theirs));
      expect(make).toThrow("EEXIST");
    } finally {
      tc(theirs, `qdisc del dev d0${place || ` ${spec.kind}`}`);
      deleteQdisc(ours.route, { index, kind: spec.kind, handle });
    }
    expect(listQdiscs(ours.route).filter((q) => q.index === index && q.kind === spec.kind && q.handle)).toEqual([]);
  });

  test.each(CLASSES)("class %s", (words, spec) => {
    const qdisc = tc(theirs, "qdisc add dev d0 root handle 1: htb");
    const add = () => setQdisc(ours.route, { kind: "htb", index, handle: 0x10000 });
    if (lacks("htb", qdisc, add)) return;
    add();
    expect(tc(theirs, `class add dev d0 parent 1: classid 1:5 ${words}`)).toMatchObject({ status: 0, stderr: "" });
    setClass(ours.route, { ...spec, index, parent: 0x10000, handle: 0x10005 });
    tried.add("class htb");
    try {
      expect(shown(ours, "class show dev d0")).toEqual(shown(theirs, "class show dev d0"));
      expect(listClasses(ours.route, index)).toEqual(listClasses(theirs.route, index));
      expect(listClasses(ours.route, index)).toMatchObject([
        { kind: "htb", handle: 0x10005, options: { params: spec.params } },
      ]);
      setClass(
        ours.route,
        { kind: "htb", index, parent: 0x10000, handle: 0x10005, params: { rate: 500000 } },
        "change",
      );
      expect(listClasses(ours.route, index)).toMatchObject([{ options: { params: { rate: 500000, ceil: 500000 } } }]);
      deleteClass(ours.route, { index, handle: 0x10005 });
      expect(listClasses(ours.route, index)).toEqual([]);
    } finally {
      tc(theirs, "qdisc del dev d0 root");
      deleteQdisc(ours.route, { index });
    }
  });

  test.each(FILTERS)("filter %s", (words, made) => {
    for (const ns of [theirs, ours]) tc(ns, "qdisc add dev d0 clsact");
    try {
      const spec = typeof made === "function" ? made(to) : made;
      const full = { ...spec, index, parent: "ingress", priority: 9 } as FilterSpec;
      const protocol = PROTOCOLS[full.protocol ?? 0] ?? "all";
      const make = () => setFilter(ours.route, full);
      const line = `filter add dev d0 ingress protocol ${protocol} prio 9 ${words}`;
      if (lacks(spec.kind, tc(theirs, line), make)) return;
      make();
      tried.add(spec.kind);
      for (const a of "actions" in spec ? (spec.actions ?? []) : []) tried.add(a.kind);
      expect(shown(ours, "filter show dev d0 ingress")).toEqual(shown(theirs, "filter show dev d0 ingress"));
      const read = (ns: NetNs) =>
        listFilters(ns.route, index, "ingress").map((f) =>
          JSON.parse(JSON.stringify(f).replace(/"index":\d+,"cap/g, '"cap')),
        );
      expect(read(ours)).toEqual(read(theirs));
      const { kind, protocol: _, ...asked } = spec;
      expect(listFilters(ours.route, index, "ingress").at(-1)).toMatchObject({
        kind,
        priority: 9,
        options: close(asked),
      });
      removeFilter(ours.route, { ...full, kind });
      expect(listFilters(ours.route, index, "ingress")).toEqual([]);
    } finally {
      for (const ns of [theirs, ours]) tc(ns, "qdisc del dev d0 clsact");
    }
  });

  test("enough was there to compare", () => {
    console.log(`compared: ${[...tried].join(" ")}; not here: ${[...lacking].filter((k) => !tried.has(k)).join(" ")}`);
    expect(tried.size).toBeGreaterThanOrEqual(5);
  });
});

/** Fractions as near as 32 bits have them. */
function close(value: unknown): never {
  // codel counts in units of 1,024 ns: a microsecond may be lost.
  if (typeof value === "number" && value >= 1000) return expect.closeTo(value, -0.5) as never;
  if (typeof value === "number" && !Number.isInteger(value)) return expect.closeTo(value, 6) as never;
  if (Array.isArray(value)) return value.map(close) as never;
  if (value === null || typeof value !== "object") return value as never;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, close(v)])) as never;
}
