import { unlinkSync } from "node:fs";
import { ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LinuxProgram, objPin } from "../bpf/index.ts";
import { detachedMount } from "../mem/index.ts";
import { addLink } from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { linuxTarget } from "../target/target.ts";
import { asmProgram, collectionOf, kernelSkipReason } from "../testing.ts";
import { listDeviceAttachments } from "./index.ts";

const skip = kernelSkipReason();

describe.skipIf(skip)(`listing attachments${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  let mount: number;
  beforeAll(() => {
    ns = NetNs.create();
    addLink(ns.route, { kind: "veth", name: "v0", peer: { name: "v1" } });
    mount = detachedMount("bpf");
  });
  afterAll(() => {
    ns.close();
    close(mount);
  });

  const spec = collectionOf([
    asmProgram("x", ProgType.BPF_PROG_TYPE_XDP, "r0 = 2\nexit"),
    asmProgram("t", ProgType.BPF_PROG_TYPE_SCHED_CLS, "r0 = 0\nexit"),
  ]);

  test("ours are listed, and bpftool lists them too", () => {
    const target = linuxTarget({ netns: ns.fd });
    using loaded = target.load(spec);
    const [x, t] = [loaded.programs.get("x")!, loaded.programs.get("t")!];
    using xdp = target.attach(x, { kind: "xdp", iface: "v0", mode: "native" });
    using tcx = target.attach(t, { kind: "tcx", iface: "v0", direction: "egress" });
    using _tc = target.attach(t, { kind: "tc", iface: "v0", direction: "ingress", priority: 3 });
    const ours = ns.run(listDeviceAttachments);
    expect(ours.map(({ ifindex: _, ...rest }) => rest)).toEqual([
      { iface: "v0", kind: "xdp", where: "native", progId: x.id, name: "x", linkId: xdp.id, priority: undefined },
      { iface: "v0", kind: "tc", where: "ingress", progId: t.id, name: "t", linkId: 0, priority: 3 },
      { iface: "v0", kind: "tcx", where: "egress", progId: t.id, name: "t", linkId: tcx.id, priority: undefined },
    ]);
    const theirs = ns.spawnSync("bpftool", ["-j", "net"]);
    if (theirs.status !== 0) return;
    const [{ xdp: xdps, tc }] = JSON.parse(theirs.stdout) as [
      { xdp: { devname: string; id: number }[]; tc: { id: number }[] },
    ];
    expect(xdps).toMatchObject([{ devname: "v0", id: x.id }]);
    expect(tc.map((f) => f.id)).toContain(t.id);
  });

  test("what ip and tc attached is listed", () => {
    using loaded = linuxTarget().load(spec);
    const pins = ["x", "t"].map((name) => {
      const path = `/proc/${process.pid}/fd/${mount}/${name}`;
      objPin((loaded.programs.get(name) as LinuxProgram).fd, path);
      return path;
    });
    const run = (...args: string[]) => {
      const { status, stderr } = ns.spawnSync(args[0]!, args.slice(1));
      expect({ args, status, stderr }).toMatchObject({ status: 0 });
    };
    run("ip", "link", "set", "dev", "v1", "xdpgeneric", "pinned", pins[0]!);
    run("tc", "qdisc", "add", "dev", "v1", "clsact");
    run("tc", "filter", "add", "dev", "v1", "egress", "prio", "9", "bpf", "da", "pinned", pins[1]!);
    for (const pin of pins) unlinkSync(pin);
    const list = ns.run(listDeviceAttachments).filter((a) => a.iface === "v1");
    expect(list).toMatchObject([
      { kind: "xdp", where: "generic", progId: loaded.programs.get("x")!.id, linkId: 0, name: "x" },
      { kind: "tc", where: "egress", progId: loaded.programs.get("t")!.id, priority: 9 },
    ]);
  });
});
