/**
 * Programs in the place of others' functions, and with them libxdp's dispatcher, beside xdp-loader. Both need a kernel that
 * patches programs (`scripts/kernels/run.sh 6.12 npx vitest run packages/linux/src/target/libxdp.test.ts`).
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readElf } from "@ebplane/core/elf";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, type BpfMap, type CollectionSpec, ProgType } from "@ebplane/core/object";
import { afterAll, describe, expect, test } from "vitest";
import { ensureBpffs, LinuxProgram } from "../bpf/index.ts";
import { getLink } from "../netlink/index.ts";
import { asmProgram, collectionOf, createTopology, kernelSkipReason } from "../testing.ts";
import { joinLibxdp, leaveLibxdp, libxdpOn } from "./libxdp.ts";
import { linuxProgram } from "./load.ts";
import { linuxTarget } from "./target.ts";

/** Why nothing can be patched here, as loading says it. */
function noPatching(): string | undefined {
  const attachType = AttachType.BPF_TRACE_FENTRY;
  const probe = asmProgram("p", ProgType.BPF_PROG_TYPE_TRACING, "r0 = 0\nexit", {
    attachType,
    attachTo: "tcp_connect",
  });
  try {
    linuxTarget()
      .load(collectionOf([probe]))
      .close();
    return undefined;
  } catch (error) {
    if (error instanceof UnsupportedError) return error.message;
    throw error;
  }
}

const PRELUDE = `
#define SEC(name) __attribute__((section(name), used))
char _license[] SEC("license") = "GPL";
struct xdp_md { unsigned data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
unsigned long long hits;
`;

const skip = kernelSkipReason() ?? noPatching();

describe.skipIf(skip)(`programs in the place of others' functions${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const directory = mkdtempSync(join(tmpdir(), "ebplane-libxdp-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  function compile(name: string, body: string): { file: string; spec: CollectionSpec } {
    const file = join(directory, `${name}.o`);
    const args = ["-O2", "-g", "-target", "bpf", "-x", "c", "-c", "-", "-o", file];
    const { status, stderr } = spawnSync("clang", args, { input: PRELUDE + body, encoding: "utf8" });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    return { file, spec: readElf(readFileSync(file)) };
  }

  const packet = new Uint8Array(64);
  const hitsOf = (maps: ReadonlyMap<string, BpfMap>): number => {
    const value = maps.get(".bss")!.lookup(new Uint8Array(4))!;
    return Number(new DataView(value.buffer).getBigUint64(0, true));
  };

  test("a function is replaced, and traced, as long as the link lives", () => {
    const { spec } = compile(
      "entry",
      `__attribute__((noinline)) int hole(struct xdp_md *ctx) { volatile int ret = 2; return ctx ? ret : 0; }
       SEC("xdp") int entry(struct xdp_md *ctx) { return hole(ctx); }`,
    );
    const other = compile(
      "other",
      `SEC("freplace/hole") int instead(struct xdp_md *ctx) { return 1; }
       SEC("?freplace/none") int wrong(struct xdp_md *ctx) { return 1; }
       SEC("?fentry/hole") int seen(void *ctx) { hits++; return 0; }`,
    ).spec;
    const target = linuxTarget();
    using loaded = target.load(spec);
    const entry = linuxProgram(loaded.programs.get("entry")!);
    const verdict = () => entry.testRun({ packet }).verdict;
    expect(() => target.load(other)).toThrow("program instead: extends another one: name it and its function");
    const wrong = { programs: ["wrong"], targetProgram: entry };
    expect(() => target.load(other, wrong)).toThrow(
      `program ${entry.id} (entry): no function none; it has hole, entry`,
    );
    using tracing = target.load(other, { programs: ["seen"], targetProgram: entry });
    {
      using _ = target.attach(tracing.programs.get("seen")!);
      expect(verdict()).toBe(2);
      expect(hitsOf(tracing.maps)).toBe(1);
    }
    using replacing = target.load(other, { targetProgram: entry });
    const instead = replacing.programs.get("instead")!;
    const hook = { kind: "freplace", program: entry.id, function: "hole" } as const;
    {
      using _ = target.attach(instead, hook);
      expect(verdict()).toBe(1);
      using again = target.load(other, { targetProgram: entry });
      expect(() => target.attach(again.programs.get("instead")!, hook)).toThrow(
        `EBUSY: freplace:${entry.id}:hole: another program replaces this function already, or traces it`,
      );
    }
    expect(verdict()).toBe(2);
    // One that was loaded for this program replaces the same function of another.
    using second = target.load(spec);
    const there = linuxProgram(second.programs.get("entry")!);
    using _ = target.attach(instead, { ...hook, program: there.id });
    expect([verdict(), there.testRun({ packet }).verdict]).toEqual([2, 1]);
    expect(() => target.attach(instead, { ...hook, program: 0x7fffffff })).toThrow("there is no such program");
  });

  test("libxdp's dispatcher is joined, left and made as xdp-loader does it", ({ skip: skipTest }) => {
    using net = createTopology();
    const loader = (...args: string[]) => net.edge.spawnSync("xdp-loader", args);
    if (loader("help").error) skipTest("xdp-loader is not installed");
    ensureBpffs();
    const pass = (name: string) => compile(name, `SEC("xdp") int ${name}(struct xdp_md *ctx) { hits++; return 2; }`);
    const theirs = pass("theirs");
    // As XDP_RUN_CONFIG of libxdp's headers writes it.
    const configured = `
      struct { int (*priority)[90]; int (*XDP_PASS)[1]; int (*XDP_TX)[1]; } _last SEC(".xdp_run_config");
      SEC("xdp") int last(struct xdp_md *ctx) { hits++; return 2; }`;
    const ours = pass("ours").spec;
    const names = (): string[] => {
      const out = loader("status").stdout.split("\n");
      return out.flatMap((line) => /=>\s+\d+\s+(\w+)/.exec(line)?.[1] ?? []);
    };
    const { index } = getLink(net.edge.route, "e0");
    const members = () => net.edge.run(() => libxdpOn(index)?.members.map((m) => `${m.priority} ${m.name}`));
    const traffic = () => expect(net.client.spawnSync("ping", ["-c1", "-W2", "10.2.0.2"]).status).toBe(0);
    const joinHere = (spec: CollectionSpec, name: string, priority?: number) =>
      net.edge.run(() => joinLibxdp(spec, name, { kind: "xdp", iface: "e0", mode: "auto" }, { priority }));

    expect(loader("load", "-m", "native", "e0", theirs.file)).toMatchObject({ status: 0 });
    expect(names()).toEqual(["theirs"]);
    expect(members()).toEqual(["50 theirs"]);
    {
      using joined = joinHere(ours, "ours", 10);
      expect(names()).toEqual(["ours", "theirs"]);
      traffic();
      expect(hitsOf(joined.maps)).toBeGreaterThan(0);
      using last = joinHere(compile("last", configured).spec, "last");
      traffic();
      expect(hitsOf(last.maps)).toBeGreaterThan(0);
      expect(members()).toEqual(["10 ours", "50 theirs", "90 last"]);
      expect(net.edge.run(() => libxdpOn(index))!.members[2]!.chainCallActions).toEqual(["XDP_PASS", "XDP_TX"]);
      const id = linuxProgram(joined.programs.get("ours")!).id;
      expect(net.edge.run(() => leaveLibxdp(index, id))).toBe(true);
      expect(net.edge.run(() => leaveLibxdp(index, id))).toBe(false);
      const before = hitsOf(joined.maps);
      traffic();
      expect(hitsOf(joined.maps)).toBe(before);
    }
    // It stays when what loaded it is closed; xdp-loader takes it away.
    expect(names()).toEqual(["theirs", "last"]);
    expect(loader("unload", "e0", "--all")).toMatchObject({ status: 0 });
    expect(getLink(net.edge.route, "e0").xdp).toBeUndefined();

    // The other way round: ours first, theirs joins, and we take away the last one.
    const first = joinHere(ours, "ours", 10);
    const id = linuxProgram(first.programs.get("ours")!).id;
    first.close();
    expect(names()).toEqual(["ours"]);
    expect(loader("load", "-m", "native", "e0", theirs.file)).toMatchObject({ status: 0 });
    expect(names()).toEqual(["ours", "theirs"]);
    traffic();
    expect(loader("unload", "e0", "-i", String(id))).toMatchObject({ status: 0 });
    const rest = net.edge.run(() => libxdpOn(index))!.members;
    expect(rest.map((m) => m.name)).toEqual(["theirs"]);
    expect(net.edge.run(() => leaveLibxdp(index, rest[0]!.program))).toBe(true);
    expect(getLink(net.edge.route, "e0").xdp).toBeUndefined();

    // What cannot be a member, and what is no dispatcher.
    const untyped = collectionOf([asmProgram("plain", ProgType.BPF_PROG_TYPE_XDP, "r0 = 2\nexit")]);
    expect(() => joinHere(untyped, "plain")).toThrow("program plain: has no types; libxdp's dispatcher calls it by");
    const target = linuxTarget({ netns: net.edge.fd });
    using alone = target.load(ours);
    using _ = target.attach(alone.programs.get("ours")!, { kind: "xdp", iface: "e0", mode: "native" });
    expect(() => joinHere(ours, "ours")).toThrow(
      /^xdp:e0: program \d+ is attached to this interface, and is no dispatcher/,
    );
    expect(alone.programs.get("ours")).toBeInstanceOf(LinuxProgram);
  });
});
