import { UnsupportedError } from "@ebplane/core/errors";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { linkInfo } from "../bpf/index.ts";
import { BpfLink } from "../link/index.ts";
import { scratch } from "../mem/index.ts";
import { connectTcp, listenTcp } from "../netns/index.ts";
import { close, NR, syscall } from "../sys/index.ts";
import { congestionControl, createTopology, kernelSkipReason, type Topology } from "../testing.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
/** This run's own name for the congestion control: the kernel has one table of them for all. */
const NAME = `eb${process.pid.toString(36)}`;
const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;

describe.skipIf(skip)(`operations in programs${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let net: Topology;
  beforeAll(() => {
    net = createTopology();
  });
  afterAll(() => net.close());

  /** -errno, or 0 with the socket's congestion control set. */
  const setControl = (fd: number, name: string): number =>
    scratch((memory) =>
      syscall(NR.setsockopt, fd, IPPROTO_TCP, TCP_CONGESTION, memory.put(new TextEncoder().encode(name)), name.length),
    );

  /** Sends over a connection whose client uses our congestion control. */
  function transfer(): void {
    const listener = listenTcp(net.server, "10.2.0.2", 7000);
    const client = connectTcp(net.client, "10.2.0.2", 7000);
    try {
      expect(setControl(client, NAME)).toBe(0);
      scratch((memory) => {
        const { address, bytes } = memory.take(8000);
        expect(syscall(NR.sendto, client, address, bytes.length, 0, 0, 0)).toBe(8000);
      });
    } finally {
      close(client);
      close(listener);
    }
  }

  const hits = (maps: ReadonlyMap<string, { lookup(key: Uint8Array): Uint8Array | undefined }>): bigint =>
    new DataView(maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true);

  test.each([".struct_ops.link", ".struct_ops"])("a congestion control in %s carries a connection", (section) => {
    using loaded = linuxTarget().load(congestionControl(NAME, section));
    const cc = loaded.structOps.get("cc")!;
    expect(loaded.programs.size).toBe(3);
    expect(cc.plan.struct).toBe("tcp_congestion_ops");
    {
      using link = cc.attach();
      expect(link.hook).toEqual({ kind: "struct_ops", name: "cc" });
      transfer();
      expect(hits(loaded.maps)).toBeGreaterThan(0n);
      if (link instanceof BpfLink) expect(linkInfo(link.fd).type).toBe(9);
      using twin = linuxTarget().load(congestionControl(NAME, section));
      expect(() => twin.structOps.get("cc")!.attach()).toThrow("EEXIST: struct_ops");
    }
    const fd = connectTcp(net.client, "10.2.0.2", 7001);
    expect(setControl(fd, NAME)).toBe(-2);
    close(fd);
  });

  test("a link takes another struct of the same name in its place", () => {
    using loaded = linuxTarget().load(congestionControl(NAME, ".struct_ops.link"));
    using next = linuxTarget().load(congestionControl(NAME, ".struct_ops.link"));
    using link = loaded.structOps.get("cc")!.attach() as BpfLink<{ kind: "struct_ops"; name: string }>;
    if (!(link instanceof BpfLink)) {
      expect(() => next.structOps.get("cc")!.replace(link)).toThrow(
        new UnsupportedError(
          "struct_ops link",
          "struct_ops:cc: this kernel takes no struct in the place of another: close the link, then attach",
          "6.4",
        ),
      );
      return;
    }
    next.structOps.get("cc")!.replace(link);
    transfer();
    expect(hits(loaded.maps)).toBe(0n);
    expect(hits(next.maps)).toBeGreaterThan(0n);
  });

  test("what the kernel's struct lacks may be zero, and nothing else", () => {
    using loaded = linuxTarget().load(congestionControl(NAME, ".struct_ops.link", { extra: ["not_there"] }));
    expect(loaded.structOps.size).toBe(1);
    const spec = congestionControl(NAME, ".struct_ops.link", { extra: ["not_there"] });
    spec.structOps![0]!.data[24] = 1;
    expect(() => linuxTarget().load(spec)).toThrow(
      new UnsupportedError("not_there", "struct_ops cc: this kernel's tcp_congestion_ops has no not_there"),
    );
  });

  test("a struct that the kernel does not accept is refused in words; behind ? it waits to be asked for", () => {
    using short = linuxTarget().load(congestionControl(NAME, ".struct_ops.link", { programs: 1 }));
    expect(() => short.structOps.get("cc")!.attach()).toThrow(
      "bpf(MAP_UPDATE_ELEM): EINVAL: struct_ops cc (tcp_congestion_ops): the kernel needs more, or other, members",
    );
    using one = linuxTarget().load(congestionControl(NAME), { programs: ["cc_undo"] });
    expect([one.programs.size, one.structOps.size]).toEqual([1, 0]);
    using idle = linuxTarget().load(congestionControl(NAME, "?.struct_ops.link"));
    expect([idle.programs.size, idle.structOps.size]).toEqual([0, 0]);
    using asked = linuxTarget().load(congestionControl(NAME, "?.struct_ops.link"), { structOps: ["cc"] });
    expect([asked.programs.size, asked.structOps.size]).toEqual([3, 1]);
  });
});
