import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bindUdp, receiveUdp } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { linuxTarget } from "../target/target.ts";
import {
  arrayMap,
  asmProgram,
  collectionOf,
  countingProgram,
  createTopology,
  kernelLacks,
  kernelOlder,
  kernelSkipReason,
  type Topology,
} from "../testing.ts";
import {
  BPF_F_TEST_XDP_LIVE_FRAMES,
  enableStats,
  type LinuxMap,
  type LinuxProgram,
  progInfo,
  progLoad,
  readIterator,
} from "./index.ts";

const skip = kernelSkipReason();
const T = ProgType;
const frame = new Uint8Array(64).fill(1);

describe.skipIf(skip)(`running programs${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let net: Topology;
  beforeAll(() => {
    net = createTopology();
  });
  afterAll(() => net.close());

  test("maps that the code does not name stay with the program where they are bound to it", () => {
    using loaded = linuxTarget().load(collectionOf([], [arrayMap("kept")]));
    const map = loaded.maps.get("kept") as LinuxMap;
    const { code } = asmProgram("p", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit");
    const { fd } = progLoad({ type: T.BPF_PROG_TYPE_XDP, code, fdArray: [map.fd], bindFds: true });
    // Kernels before 6.14 refuse what they do not know: EINVAL, or E2BIG of a longer attr.
    if (fd < 0) return expect([-22, -7]).toContain(fd);
    expect(progInfo(fd).mapIds).toEqual([map.id]);
    close(fd);
  });

  test("a run shows the verdict, the changed packet and the ctx", () => {
    const text = `
      r6 = r1
      r2 = -14
      call 44
      r2 = *(u32 *)(r6 + 0)
      r3 = *(u32 *)(r6 + 4)
      r4 = r2
      r4 += 1
      if r4 > r3 goto out
      *(u8 *)(r2 + 0) = 0xab
    out:
      r0 = 3
      exit`;
    using loaded = linuxTarget().load(collectionOf([asmProgram("p", T.BPF_PROG_TYPE_XDP, text)]));
    const ctx = new Uint8Array(24);
    new DataView(ctx.buffer).setUint32(4, frame.length, true);
    const p = loaded.programs.get("p")!;
    if (kernelOlder("5.15")) {
      expect(() => p.testRun({ packet: frame, ctx })).toThrow(
        new UnsupportedError("test_run ctx", "p: this kernel's test run takes no ctx for xdp programs", "5.15"),
      );
    }
    const result = p.testRun({ packet: frame, ctx: kernelOlder("5.15") ? undefined : ctx });
    expect(result.verdict).toBe(3);
    expect(result.packet.length).toBe(78);
    expect(result.packet[0]).toBe(0xab);
    expect(result.packet.slice(14)).toEqual(frame);
    if (result.ctx) expect(new DataView(result.ctx.buffer).getUint32(4, true)).toBe(78);
    // Of XDP's packets 5.10 looks at the size of the buffer only.
    if (kernelOlder("6.1")) return;
    expect(() => p.testRun({ packet: new Uint8Array(13) })).toThrow("bpf(PROG_TEST_RUN): EINVAL: p");
  });

  test.each([
    ["sched_cls", T.BPF_PROG_TYPE_SCHED_CLS, 0, 2],
    ["socket_filter", T.BPF_PROG_TYPE_SOCKET_FILTER, 0, 7],
    ["cgroup_skb", T.BPF_PROG_TYPE_CGROUP_SKB, 1, 1],
    ["lwt_in", T.BPF_PROG_TYPE_LWT_IN, 0, 2],
    ["flow_dissector", T.BPF_PROG_TYPE_FLOW_DISSECTOR, 0, 1],
    ...(kernelLacks("progTypes", "netfilter") ? [] : ([["netfilter", T.BPF_PROG_TYPE_NETFILTER, 45, 1]] as const)),
  ] as const)("a %s program runs on an skb", (name, type, attachType, verdict) => {
    using loaded = linuxTarget().load(collectionOf([asmProgram(name, type, `r0 = ${verdict}\nexit`, { attachType })]));
    const packet = new Uint8Array(64);
    packet.set([8, 0, 0x45], 12);
    expect(loaded.programs.get(name)!.testRun({ packet, repeat: 3 }).verdict).toBe(
      // A dissector's own verdict since 6.1; before, whether it was BPF_OK.
      name === "flow_dissector" && kernelOlder("6.1") ? 0 : verdict,
    );
  });

  test("a type that cannot run is refused in words", () => {
    using loaded = linuxTarget().load(
      collectionOf([asmProgram("s", T.BPF_PROG_TYPE_SOCK_OPS, "r0 = 1\nexit", { attachType: 3 })]),
    );
    expect(() => loaded.programs.get("s")!.testRun({ packet: frame })).toThrow(
      "the kernel has no test run for sock_ops programs",
    );
  });

  test("live frames go through the devices", async () => {
    const { client, edge, server } = net;
    const target = linuxTarget({ netns: edge.fd });
    const text = `r1 = ${target.ifindex("e1")}\nr2 = 0\ncall 23\nexit`;
    using loaded = target.load(
      collectionOf([
        asmProgram("go", T.BPF_PROG_TYPE_XDP, text),
        asmProgram("pass", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit"),
      ]),
    );
    using receiver = linuxTarget({ netns: server.fd }).load(
      collectionOf([asmProgram("pass", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit")]),
    );
    // A veth takes native frames when its peer runs XDP.
    using _ = linuxTarget({ netns: server.fd }).attach(receiver.programs.get("pass")!, {
      kind: "xdp",
      iface: "s0",
      mode: "native",
    });
    const udp = bindUdp(server, "10.2.0.2", 5000);
    const packet = Uint8Array.from([
      ...[2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 1, 8, 0],
      ...[0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2],
      ...[0x13, 0x89, 0x13, 0x88, 0, 13, 0, 0, 1, 2, 3, 4, 5],
    ]);
    const view = new DataView(packet.buffer);
    let sum = 0;
    for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
    view.setUint16(24, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
    const ctx = new Uint8Array(24);
    new DataView(ctx.buffer).setUint32(4, packet.length, true);
    new DataView(ctx.buffer).setUint32(12, target.ifindex("e0"), true);
    const go = loaded.programs.get("go") as LinuxProgram;
    const run = () => edge.run(() => go.testRun({ packet, ctx, repeat: 5, flags: BPF_F_TEST_XDP_LIVE_FRAMES }));
    if (kernelOlder("5.18")) {
      expect(run).toThrow(new UnsupportedError("live frames", "go: this kernel's test run has no live frames", "5.18"));
      close(udp);
      return;
    }
    run();
    const got: Uint8Array[] = [];
    await expect
      .poll(() => {
        for (let data = receiveUdp(udp); data; data = receiveUdp(udp)) got.push(data);
        return got.length;
      })
      .toBe(5);
    expect(got[0]).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    close(udp);
    expect(client.spawnSync("true").status).toBe(0);
  });

  test("run statistics count while they are on", () => {
    using loaded = linuxTarget().load(collectionOf([countingProgram("p", T.BPF_PROG_TYPE_XDP, 2)], [arrayMap("hits")]));
    const p = loaded.programs.get("p") as LinuxProgram;
    expect(p.info()).toMatchObject({ name: "p", type: T.BPF_PROG_TYPE_XDP, gplCompatible: true, runCount: 0n });
    const stats = enableStats();
    p.testRun({ packet: frame, repeat: 100 });
    close(stats);
    const { runCount, runTimeNs, mapIds, verifiedInsns } = p.info();
    expect(runCount).toBe(100n);
    expect(runTimeNs).toBeGreaterThan(0n);
    expect(mapIds).toEqual([loaded.maps.get("hits")!.id]);
    if (!kernelOlder("5.16")) expect(verifiedInsns).toBeGreaterThan(0);
  });

  test("an iterator's program writes what is read from it", () => {
    const text = `
      r6 = *(u64 *)(r1 + 0)
      r1 = *(u64 *)(r6 + 0)
      *(u64 *)(r10 - 8) = 0x0a78
      r2 = r10
      r2 += -8
      r3 = 2
      call 127
      r0 = 0
      exit`;
    const spec = asmProgram("it", T.BPF_PROG_TYPE_TRACING, text, {
      attachType: AttachType.BPF_TRACE_ITER,
      attachTo: "bpf_map",
    });
    using loaded = linuxTarget().load(collectionOf([spec], []));
    using link = linuxTarget().attach(loaded.programs.get("it")!, { kind: "trace" });
    const text2 = new TextDecoder().decode(readIterator((link as unknown as { fd: number }).fd));
    expect(text2).toMatch(/^(x\n)+$/);
  });
});
