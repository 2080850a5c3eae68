import { existsSync } from "node:fs";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NetNs } from "../netns/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, collectionOf, countingProgram, kernelLacks, kernelSkipReason } from "../testing.ts";
import { readExecutable } from "./executable.ts";
import { listLinkObjects } from "./index.ts";

const skip = kernelSkipReason();
const T = ProgType;

const entryOffset = (path: string): number => readExecutable(path).entry!;

describe.skipIf(skip)(`programs on functions and events${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  beforeAll(() => {
    ns = NetNs.create();
  });
  afterAll(() => ns.close());

  const hitsOf = (maps: ReadonlyMap<string, { lookup(key: Uint8Array): Uint8Array | undefined }>): number =>
    Number(new DataView(maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true));

  test("tracepoints fire, a probe that the kernel lacks is refused with its reason", () => {
    using loaded = linuxTarget().load(
      collectionOf(
        [
          countingProgram("raw", T.BPF_PROG_TYPE_RAW_TRACEPOINT, 0),
          countingProgram("tp", T.BPF_PROG_TYPE_TRACEPOINT, 0),
          countingProgram("probe", T.BPF_PROG_TYPE_KPROBE, 0),
        ],
        [arrayMap("hits")],
      ),
    );
    const busy = (): number => {
      const before = hitsOf(loaded.maps);
      expect(ns.spawnSync("true").status).toBe(0);
      return hitsOf(loaded.maps) - before;
    };
    const get = (name: string) => loaded.programs.get(name)!;
    const target = linuxTarget();
    {
      using _ = target.attach(get("raw"), { kind: "raw_tp", name: "sched_process_exec" });
      expect(busy()).toBeGreaterThan(0);
    }
    {
      using _ = target.attach(get("tp"), { kind: "tracepoint", group: "sched", name: "sched_process_exec" });
      expect(busy()).toBeGreaterThan(0);
    }
    expect(busy()).toBe(0);
    expect(() => target.attach(get("raw"), { kind: "raw_tp", name: "nothing" })).toThrow(
      new RangeError("raw_tp:nothing: this kernel has no such tracepoint"),
    );
    expect(() => target.attach(get("tp"), { kind: "tracepoint", group: "a", name: "b" })).toThrow(RangeError);
    if (existsSync("/sys/bus/event_source/devices/kprobe/type")) {
      target.attach(get("probe"), { kind: "kprobe", function: "tcp_v4_connect" }).close();
    } else {
      expect(() => target.attach(get("probe"), { kind: "kprobe", function: "tcp_v4_connect" })).toThrow(
        new UnsupportedError("kprobe", "kprobe:tcp_v4_connect: this kernel was built without kprobes"),
      );
    }
  });

  test("a user probe fires where the executable begins, of all processes or of one", () => {
    using loaded = linuxTarget().load(
      collectionOf([countingProgram("probe", T.BPF_PROG_TYPE_KPROBE, 0)], [arrayMap("hits")]),
    );
    const probe = loaded.programs.get("probe")!;
    const hook = { kind: "uprobe", path: "/bin/true", offset: entryOffset("/bin/true") } as const;
    {
      using link = linuxTarget().attach(probe, hook);
      for (let i = 0; i < 3; i++) expect(ns.spawnSync("/bin/true").status).toBe(0);
      expect(hitsOf(loaded.maps)).toBeGreaterThanOrEqual(3);
      expect(() => link.update(probe)).toThrow("uprobe:/bin/true");
    }
    const before = hitsOf(loaded.maps);
    {
      using _ = linuxTarget().attach(probe, { ...hook, pid: process.pid });
      ns.spawnSync("/bin/true");
      using _ret = linuxTarget().attach(probe, { ...hook, kind: "uretprobe" });
    }
    ns.spawnSync("/bin/true");
    expect(hitsOf(loaded.maps)).toBe(before);
    expect(() => linuxTarget().attach(probe, { ...hook, path: "/no/such" })).toThrow(
      "perf_event_open: ENOENT: uprobe:/no/such:",
    );
  });

  const noMulti = kernelLacks("attachTypes", "trace_uprobe_multi");
  test.skipIf(noMulti)("one link probes many places of a file; many kernel functions only where the kernel can", () => {
    const multi = (name: string, attachType: number) =>
      countingProgram(name, T.BPF_PROG_TYPE_KPROBE, 0, { attachType });
    using loaded = linuxTarget().load(
      collectionOf(
        [
          multi("user", AttachType.BPF_TRACE_UPROBE_MULTI),
          multi("kernel", AttachType.BPF_TRACE_KPROBE_MULTI),
          countingProgram("single", T.BPF_PROG_TYPE_KPROBE, 0),
        ],
        [arrayMap("hits")],
      ),
    );
    const [user, kernel, single] = ["user", "kernel", "single"].map((name) => loaded.programs.get(name)!);
    const target = linuxTarget();
    const [one, two] = ["/bin/true", "/bin/false"];
    const hook = { kind: "uprobe_multi", path: one, offsets: [entryOffset(one)] } as const;
    {
      using link = target.attach(user!, hook);
      for (let i = 0; i < 3; i++) ns.spawnSync(one);
      ns.spawnSync(two);
      const hits = hitsOf(loaded.maps);
      expect(hits).toBeGreaterThanOrEqual(3);
      expect(listLinkObjects().find((l) => l.id === link.id)).toMatchObject({ type: "uprobe_multi" });
      using _ = target.attach(user!, { ...hook, offsets: [entryOffset(one), entryOffset(one) + 4], pid: process.pid });
      ns.spawnSync(one);
      expect(hitsOf(loaded.maps) - hits).toBeGreaterThanOrEqual(1);
    }
    expect(() => target.attach(user!, { ...hook, path: "/no/such" })).toThrow(
      /^bpf\(LINK_CREATE\): ENOENT: uprobe_multi:\/no\/such:\d+: there is no such file$/,
    );
    expect(() => target.attach(user!, { ...hook, pid: 0x7ffffff0 })).toThrow("there is no process 2147483632");
    expect(() => target.attach(user!, { ...hook, offsets: [] })).toThrow("uprobe_multi: expected at least one offset");
    expect(() => target.attach(single!, hook)).toThrow(
      "program single: uprobe_multi needs a program that is loaded for it (section uprobe.multi/…)",
    );
    const functions = { kind: "kprobe_multi", functions: ["tcp_v4_connect", "tcp_v6_connect"] } as const;
    try {
      target.attach(kernel!, functions).close();
    } catch (error) {
      expect(error).toEqual(
        new UnsupportedError(
          "kprobe_multi",
          "kprobe_multi:tcp_v4_connect,tcp_v6_connect: this kernel was built without fprobe (CONFIG_FPROBE)",
        ),
      );
    }
  });

  test("a software counter runs its program, of one process or of one CPU", () => {
    using loaded = linuxTarget().load(
      collectionOf([countingProgram("sample", T.BPF_PROG_TYPE_PERF_EVENT, 0)], [arrayMap("hits")]),
    );
    const sample = loaded.programs.get("sample")!;
    const busy = (until = 20): number => {
      const before = hitsOf(loaded.maps);
      const end = performance.now() + until;
      while (performance.now() < end && (until === 20 || hitsOf(loaded.maps) === before));
      return hitsOf(loaded.maps) - before;
    };
    {
      using _ = linuxTarget().attach(sample, {
        kind: "perf_event",
        event: "cpu-clock",
        period: 500_000,
        pid: process.pid,
      });
      // An emulated CPU's clock may come late.
      expect(busy(5000)).toBeGreaterThan(0);
    }
    expect(busy()).toBe(0);
    {
      using _ = linuxTarget().attach(sample, { kind: "perf_event", event: "context-switches", period: 1 });
      for (let i = 0; i < 50; i++) ns.spawnSync("/bin/true");
      expect(hitsOf(loaded.maps)).toBeGreaterThan(0);
    }
    expect(() =>
      linuxTarget().attach(sample, { kind: "perf_event", event: "cpu-clock", period: 1, cpu: 4000 }),
    ).toThrow("perf_event_open: ");
  });
});
