import {
  AttachType,
  BPF_F_XDP_HAS_FRAGS,
  hookText,
  type Order,
  type ProgramSpec,
  ProgType,
} from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LinuxProgram } from "../bpf/index.ts";
import { setOffload } from "../link/index.ts";
import { addLink, deleteLink, getLink, type LinkInfo, setLink } from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { chainPrograms } from "../target/dispatcher.ts";
import { linuxTarget } from "../target/target.ts";
import { asmProgram, collectionOf, kernelLacks, kernelOlder, kernelSkipReason } from "../testing.ts";
import { type Attachment, findingText, preflight, requirementsOf, type System } from "./index.ts";
import { checkXdp } from "./xdp.ts";

const skip = kernelSkipReason();
const noTcx = kernelLacks("attachTypes", "tcx_ingress");
const noNetfilter = kernelLacks("progTypes", "netfilter");
const noFrags = kernelOlder("5.18");
const XDP = ProgType.BPF_PROG_TYPE_XDP;
const pass = asmProgram("pass", XDP, "r0 = 2\nexit");
const redirect = asmProgram("go", XDP, "r1 = 1\nr2 = 0\ncall 23\nexit");

test("what a program asks for is read off its code", () => {
  expect(requirementsOf(pass)).toMatchObject({ frags: false, redirects: false, growsHead: false });
  expect(requirementsOf(redirect)).toMatchObject({ redirects: true, helpers: new Set([23]) });
  expect(requirementsOf({ ...pass, flags: BPF_F_XDP_HAS_FRAGS }).frags).toBe(true);
});

/** Whether this kernel has bonds and vlans to try it on; a namespace of its own tells. */
function stackedSkip(): string | undefined {
  if (skip) return skip;
  using ns = NetNs.create();
  const made = ["bond", "dummy"].map((kind) => ns.spawnSync("ip", ["link", "add", `t${kind}`, "type", kind]));
  const vlan = ["link", "add", "link", "tdummy", "tvlan", "type", "vlan", "id", "7"];
  return [...made, ns.spawnSync("ip", vlan)].every(({ status }) => status === 0)
    ? undefined
    : "this kernel has no bond or vlan devices (those of scripts/kernels have)";
}
const noStacked = stackedSkip();

describe.skipIf(noStacked)(`preflight of bonds and vlans${noStacked ? ` (skipped: ${noStacked})` : ""}`, () => {
  let ns: NetNs;
  const ip = (...args: string[]): void => {
    const { status, stderr } = ns.spawnSync("ip", args);
    if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
  };
  beforeAll(() => {
    ns = NetNs.create();
    for (const n of ["a", "b"]) ip("link", "add", `${n}0`, "type", "veth", "peer", "name", `${n}1`);
    ip("link", "add", "bond0", "type", "bond", "mode", "active-backup");
    for (const n of ["a0", "b0"]) ip("link", "set", n, "master", "bond0");
    ip("link", "add", "link", "a1", "a1.7", "type", "vlan", "id", "7");
    for (const n of ["bond0", "a0", "b0", "a1", "b1", "a1.7"]) ip("link", "set", n, "up");
  });
  afterAll(() => ns.close());

  test("what is said is what the kernel does", () => {
    const target = linuxTarget({ netns: ns.fd });
    using loaded = target.load(collectionOf([pass]));
    const program = loaded.programs.get("pass")!;
    const xdp = (iface: string, mode: "auto" | "native" | "generic") => ({ kind: "xdp", iface, mode }) as const;
    /** The errors that preflight has of a hook, and whether attaching worked. */
    const tried = (iface: string, mode: "auto" | "native" | "generic"): [string[], string] => {
      const hook = xdp(iface, mode);
      const said = ns.run(() => preflight([{ program: pass, hook }])).filter((f) => f.severity === "error");
      let how: string;
      try {
        using link = target.attach(program, hook);
        how = link.mode;
      } catch (error) {
        how = /: (E[A-Z]+)/.exec((error as Error).message)![1]!;
      }
      return [said.map(findingText), how];
    };
    expect(tried("a1.7", "generic")).toEqual([[], "generic"]);
    expect(tried("a1.7", "auto")).toEqual([[], "generic"]);
    expect(tried("a1.7", "native")).toEqual([
      ["error: xdp:a1.7:native: a vlan device has no native XDP; attach to the device below, or take generic mode"],
      "EOPNOTSUPP",
    ]);
    // Bonds have native XDP since 5.15: of the kernel's own answer, preflight's must be the same.
    const [said, how] = tried("bond0", "native");
    expect(said.length === 0).toBe(how === "native");
    if (how !== "native") return;
    {
      using _ = target.attach(program, xdp("bond0", "native"));
      expect(tried("a0", "native")).toEqual([
        [
          expect.stringMatching(
            /^error: xdp:a0:native: bond0, a bond device above a0 has program \d+, and the kernel allows one of the two/,
          ),
        ],
        "EEXIST",
      ]);
    }
    {
      using _ = target.attach(program, xdp("a0", "native"));
      expect(tried("bond0", "native")).toEqual([
        [
          `error: xdp:bond0:native: its port a0 has program ${program.id}, and a bond hands its program to every port; detach it (ebplane detach xdp:a0), or take generic mode`,
        ],
        expect.stringMatching(/^(EEXIST|EOPNOTSUPP)$/),
      ]);
    }
    ip("link", "add", "bond1", "type", "bond", "mode", "balance-tlb");
    expect(tried("bond1", "native")).toEqual([
      ["error: xdp:bond1:native: the driver of bond1 has no native XDP; take generic mode, at a third of the speed"],
      "EOPNOTSUPP",
    ]);
    ip("link", "add", "bond2", "type", "bond", "mode", "active-backup");
    expect(tried("bond2", "native")[1]).toBe("native");
    expect(tried("bond2", "native")[0]).toEqual([]);
  });
});

/** Devices that this kernel does not have, as another one tells of them. */
test("a vlan has no native XDP of its own, a bond has, and a bond's program keeps others off its ports", () => {
  const link = (index: number, name: string, more: Partial<LinkInfo> = {}): LinkInfo => ({
    index,
    name,
    kind: undefined,
    options: undefined,
    port: undefined,
    mac: undefined,
    mtu: 1500,
    flags: 1,
    up: true,
    carrier: true,
    operState: 6,
    master: undefined,
    link: undefined,
    peerNetnsId: undefined,
    rxQueues: 1,
    txQueues: 1,
    xdp: undefined,
    stats: undefined,
    ...more,
  });
  const eth0 = link(2, "eth0", { master: 4 });
  const vlan = link(3, "eth0.100", { kind: "vlan", link: 2 });
  const bond = link(4, "bond0", { kind: "bond" });
  const native = ["basic", "redirect", "ndo-xmit", "rx-sg", "ndo-xmit-sg"] as const;
  const check = (
    device: LinkInfo,
    mode: "auto" | "native" | "generic",
    above: Partial<LinkInfo> = {},
    release = "6.18.0",
  ): string[] => {
    const devices = new Map([eth0, vlan, { ...bond, ...above }].map((d) => [d.name, d]));
    const drivers = [...devices.values()].map(({ index: ifindex, name, kind }) => ({
      ifindex,
      name,
      features: kind === "vlan" ? [] : native,
      zeroCopySegments: 0,
    }));
    const hook = { kind: "xdp", iface: device.name, mode } as const;
    return checkXdp({ program: pass, hook }, hook, device, devices, drivers, release).map(findingText);
  };
  expect(check(vlan, "native")).toEqual([
    "error: xdp:eth0.100:native: a vlan device has no native XDP; attach to the device below, or take generic mode",
  ]);
  expect(check(vlan, "auto")).toEqual([
    expect.stringMatching(/^warning: xdp:eth0\.100: a vlan device has no native XDP/),
  ]);
  expect(check(vlan, "generic")).toEqual([]);
  expect(check(bond, "native")).toEqual([]);
  expect(check(eth0, "native")).toEqual([]);
  expect(check(eth0, "native", { xdp: { mode: "native", progId: 77 } })).toEqual([
    "error: xdp:eth0:native: bond0, a bond device above eth0 has program 77, and the kernel allows one of the two; detach it (ebplane detach xdp:bond0), or attach to bond0",
  ]);
  expect(check(eth0, "native", { xdp: { mode: "generic", progId: 77 } }, "5.10.0")).toEqual([]);
  expect(check(bond, "native", {}, "5.10.0")).toEqual([
    "error: xdp:bond0:native: bonds have native XDP since Linux 5.15; take generic mode, at a third of the speed",
  ]);
});

describe.skipIf(skip)(`preflight${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  beforeAll(() => {
    ns = NetNs.create();
    addLink(ns.route, { kind: "veth", name: "a0", peer: { name: "a1" } });
    addLink(ns.route, { kind: "veth", name: "b0", peer: { name: "b1" } });
    addLink(ns.route, { kind: "bridge", name: "br0" });
    for (const name of ["a0", "a1", "b0", "b1", "br0"]) setLink(ns.route, getLink(ns.route, name).index, { up: true });
  });
  afterAll(() => ns.close());

  const check = (attachment: Attachment): string[] =>
    ns
      .run(() => preflight([attachment]))
      .filter((f) => !["jit", "memlock"].includes(f.place))
      .map(findingText);
  const xdp = (iface: string, mode: "auto" | "native" | "generic" = "native") =>
    ({ kind: "xdp", iface, mode }) as const;

  test("nothing stands in the way of a plain program on a veth", () => {
    expect(check({ program: pass, hook: xdp("a0") })).toEqual([]);
  });

  test("a missing device is named, with those there are", () => {
    expect(check({ program: pass, hook: xdp("eth9") })).toEqual([
      expect.stringMatching(
        /^error: xdp:eth9:native: there is no device eth9 in this network namespace; one of lo, (\w+, )*a1, a0, b1, b0, br0$/, // Tunnels leave devices in each.
      ),
    ]);
  });

  test.skipIf(noFrags)("an MTU that needs frags is refused for a program without, as the kernel would", () => {
    const { index } = getLink(ns.route, "a0");
    setLink(ns.route, getLink(ns.route, "a1").index, { mtu: 9000 });
    setLink(ns.route, index, { mtu: 9000 });
    expect(check({ program: pass, hook: xdp("a0") })).toEqual([
      "error: xdp:a0:native: MTU 9000 needs packets of several buffers, and the program is without frags; mark the program xdp.frags, or set an MTU of 3506 or less",
    ]);
    const target = linuxTarget({ netns: ns.fd });
    using loaded = target.load(collectionOf([pass, { ...pass, name: "frags", flags: BPF_F_XDP_HAS_FRAGS }]));
    expect(() => target.attach(loaded.programs.get("pass")!, xdp("a0"))).toThrow("ERANGE");
    expect(check({ program: loaded.programs.get("frags")!.spec, hook: xdp("a0") })).toEqual([]);
    target.attach(loaded.programs.get("frags")!, xdp("a0")).close();
    for (const mtu of [3506, 3507]) {
      setLink(ns.route, index, { mtu });
      setLink(ns.route, getLink(ns.route, "a1").index, { mtu });
      const allowed = mtu === 3506;
      expect(check({ program: pass, hook: xdp("a0") }).length).toBe(allowed ? 0 : 1);
      if (allowed) target.attach(loaded.programs.get("pass")!, xdp("a0")).close();
      else expect(() => target.attach(loaded.programs.get("pass")!, xdp("a0"))).toThrow("ERANGE");
    }
    for (const name of ["a0", "a1"]) setLink(ns.route, getLink(ns.route, name).index, { mtu: 1500 });
  });

  test.skipIf(noFrags)("every program of a chain is looked at: one without frags is enough for a large MTU", () => {
    const frags = { ...pass, name: "frags", flags: BPF_F_XDP_HAS_FRAGS };
    for (const name of ["a0", "a1"]) setLink(ns.route, getLink(ns.route, name).index, { mtu: 9000 });
    const target = linuxTarget({ netns: ns.fd });
    using loaded = target.load(collectionOf([pass, frags, { ...frags, name: "more" }]));
    const live = (name: string) => loaded.programs.get(name) as LinuxProgram;
    const attach = (...names: string[]): void => {
      using chain = chainPrograms(names.map((name) => ({ program: live(name) })));
      target.attach(chain, xdp("a0")).close();
    };
    expect(check({ program: frags, chained: [{ ...frags, name: "more" }], hook: xdp("a0") })).toEqual([]);
    attach("frags", "more");
    expect(check({ program: frags, chained: [pass], hook: xdp("a0") })).toEqual([
      "error: xdp:a0:native: MTU 9000 needs packets of several buffers, and pass is without frags; mark each program of the chain xdp.frags, or set an MTU of 3506 or less",
    ]);
    expect(() => attach("frags", "pass")).toThrow("ERANGE");
    for (const name of ["a0", "a1"]) setLink(ns.route, getLink(ns.route, name).index, { mtu: 1500 });
    // What the second program asks for counts as well.
    const lost = check({ program: pass, chained: [redirect], hook: xdp("a0"), redirectsTo: ["c0"] });
    expect(lost[0]).toMatch(/^error: c0: there is no such device to redirect to/);
    const writes = asmProgram("writes", XDP, "call bpf_probe_write_user\nr0 = 2\nexit");
    const system: System = { release: "6.18.0", jit: 1, lockdown: "integrity", memlock: 0 };
    const told = ns.run(() => preflight([{ program: pass, chained: [writes], hook: xdp("a0") }], system));
    expect(told.map(findingText)).toEqual([
      "error: xdp:a0:native: program writes writes other processes' memory (bpf_probe_write_user), which lockdown=integrity forbids; boot without lockdown, or leave that out",
    ]);
  });

  test("before 5.18 a large MTU is no matter of the program's", () => {
    const eth0: LinkInfo = { ...ns.run(() => getLink(ns.route, "a0")), mtu: 9000 };
    const hook = xdp("a0");
    const said = checkXdp({ program: pass, hook }, hook, eth0, new Map([["a0", eth0]]), [], "5.10.0");
    expect(said.map(findingText)).toEqual([
      "error: xdp:a0:native: MTU 9000 needs packets of several buffers, and the program is without frags; set an MTU of 3506 or less, or take generic mode (several buffers need Linux 5.18)",
    ]);
  });

  test("a bridge has no native XDP: an error when native is asked for, else a warning", () => {
    expect(check({ program: pass, hook: xdp("br0") })[0]).toMatch(
      /^error: xdp:br0:native: a bridge device has no native XDP; /,
    );
    expect(check({ program: pass, hook: xdp("br0", "auto") })[0]).toMatch(/^warning: xdp:br0: /);
    expect(check({ program: pass, hook: xdp("br0", "generic") })).toEqual([]);
  });

  test("a device that is taken is refused with who has it", () => {
    const target = linuxTarget({ netns: ns.fd });
    using loaded = target.load(collectionOf([pass]));
    using _ = target.attach(loaded.programs.get("pass")!, xdp("a0"));
    expect(check({ program: pass, hook: xdp("a0") })).toEqual([
      `error: xdp:a0:native: program ${loaded.programs.get("pass")!.id} is attached in native mode, and XDP takes one; detach it (ebplane detach xdp:a0), or chain both (--join)`,
    ]);
  });

  test("redirects: the target must take them, and the sender must finish its checksums", () => {
    const attachment = { program: redirect, hook: xdp("a0"), redirectsTo: ["b0"] };
    ns.run(() => setOffload("b1", "gro", false));
    expect(check(attachment)).toEqual([
      kernelOlder("5.13")
        ? "warning: b0: a veth takes native redirects only when its peer has native XDP: redirected packets would vanish; attach a program to the peer"
        : "warning: b0: a veth takes native redirects only when its peer has native XDP or GRO: redirected packets would vanish; attach a program to the peer, or ethtool -K PEER gro on",
      "warning: a0: a veth's peer leaves checksums open (CHECKSUM_PARTIAL), and native redirects lose them; ethtool -K a1 tx off",
    ]);
    ns.run(() => {
      setOffload("b1", "gro", true);
      setOffload("a1", "txChecksum", false);
    });
    // Before 5.13 GRO does not give a veth the queues for it.
    expect(check(attachment).length).toBe(kernelOlder("5.13") ? 1 : 0);
    expect(check({ ...attachment, redirectsTo: ["c0"] })[0]).toMatch(
      /^error: c0: there is no such device to redirect to/,
    );
  });

  test("encapsulation must fit the headroom and the next device's MTU", () => {
    expect(check({ program: pass, hook: xdp("a0"), encapsulation: 300 })[0]).toMatch(/the headroom is 256/);
    expect(check({ program: pass, hook: xdp("a0"), encapsulation: 50, redirectsTo: ["b0"] })).toEqual([
      "warning: b0: packets of MTU 1500 and 50 more bytes are larger than its MTU 1500; set the MTU of a0 to 1450, or clamp the MSS",
    ]);
  });

  test.skipIf(noTcx)(
    "neighbours that are not there and places that are taken are told before the kernel's errno",
    () => {
      const target = linuxTarget({ netns: ns.fd });
      const cls = ["one", "two"].map((name) => asmProgram(name, ProgType.BPF_PROG_TYPE_SCHED_CLS, "r0 = -1\nexit"));
      using loaded = target.load(collectionOf(cls));
      const [one, two] = [loaded.programs.get("one")!, loaded.programs.get("two")!];
      const tcx = { kind: "tcx", iface: "a0", direction: "ingress" } as const;
      using link = target.attach(one, tcx);
      const ordered = (order: Order) => check({ program: cls[1]!, hook: { ...tcx, order } });
      expect(ordered({ before: { link: link.id } })).toEqual([]);
      expect(ordered({ before: { link: 4_000_000 } })).toEqual([
        `error: tcx:a0:ingress: link 4000000 is not attached there, to be next to; name one of those there: ${link.id}`,
      ]);
      expect(ordered({ after: { program: 4_000_000 } })).toEqual([
        `error: tcx:a0:ingress: program 4000000 is not attached there, to be next to; name one of those there: ${one.id}`,
      ]);
      expect(() => target.attach(two, { ...tcx, order: { before: { link: 4_000_000 } } })).toThrow();
      expect(ordered({ expectedRevision: 77n })).toEqual([
        "error: tcx:a0:ingress: the hook is at revision 2, expected 77; look at it anew, and decide again",
      ]);
      const tc = { kind: "tc", iface: "b0", direction: "ingress" } as const;
      using _filter = target.attach(one, tc);
      expect(check({ program: cls[1]!, hook: tc })).toEqual([
        "error: tc:b0:ingress: filter one has priority 1; choose another priority, or replace it",
      ]);
      expect(check({ program: cls[1]!, hook: { ...tc, priority: 2 } })).toEqual([]);
      expect(() => target.attach(two, tc)).toThrow("EEXIST");
    },
  );

  test.skipIf(noNetfilter)("a netfilter priority that is taken is told with who has it", () => {
    const target = linuxTarget({ netns: ns.fd });
    const program = asmProgram("accept", ProgType.BPF_PROG_TYPE_NETFILTER, "r0 = 1\nexit", {
      attachType: AttachType.BPF_NETFILTER,
    });
    using loaded = target.load(collectionOf([program]));
    const accept = loaded.programs.get("accept")!;
    // A priority of this test alone: netfilter links of other namespaces are listed, too.
    const hook = {
      kind: "netfilter",
      family: 4,
      point: "forward",
      priority: -1000 - (process.pid % 100_000),
    } as const;
    expect(check({ program, hook })).toEqual([]);
    using link = target.attach(accept, hook);
    expect(check({ program, hook })).toEqual([
      `warning: ${hookText(hook)}: link ${link.id} has priority ${hook.priority}, here or in another network namespace; choose another priority if attaching fails with EBUSY`,
    ]);
    expect(() => target.attach(accept, hook)).toThrow("EBUSY");
    expect(check({ program, hook: { ...hook, priority: hook.priority - 1 } })).toEqual([]);
    expect(check({ program, hook: { ...hook, family: 6 } })).toEqual([]);
  });

  test.skipIf(kernelOlder("5.15"))(
    "a program on the device above stands in the way of one below, as in the kernel",
    () => {
      const target = linuxTarget({ netns: ns.fd });
      using loaded = target.load(collectionOf([pass]));
      const program = loaded.programs.get("pass")!;
      const below = getLink(ns.route, "a0").index;
      addLink(ns.route, { kind: "macvlan", name: "mv0", link: below });
      setLink(ns.route, getLink(ns.route, "b0").index, { master: getLink(ns.route, "br0").index });
      try {
        for (const [upper, kind, lower] of [
          ["mv0", "macvlan", "a0"],
          ["br0", "bridge", "b0"],
        ] as const) {
          using _ = target.attach(program, xdp(upper, "generic"));
          expect(check({ program: pass, hook: xdp(lower) })).toEqual([
            `error: xdp:${lower}:native: ${upper}, a ${kind} device above ${lower} has program ${program.id}, and the kernel allows one of the two; detach it (ebplane detach xdp:${upper}), or attach to ${upper}`,
          ]);
          expect(() => target.attach(program, xdp(lower))).toThrow("EEXIST");
        }
        expect(check({ program: pass, hook: xdp("mv0") }).join()).toMatch(
          /a macvlan device has no native XDP; attach to the dev/,
        );
      } finally {
        deleteLink(ns.route, getLink(ns.route, "mv0").index);
        setLink(ns.route, getLink(ns.route, "b0").index, { master: 0 });
      }
    },
  );

  test("what the system forbids is told with the remedy: locked memory, locked-down helpers, an interpreter", () => {
    const system: System = { release: "6.18.0", jit: 1, lockdown: "none", memlock: 65536 };
    const told = (program: ProgramSpec, change: Partial<System>) =>
      ns.run(() => preflight([{ program, hook: xdp("a0") }], { ...system, ...change })).map(findingText);
    expect(told(pass, {})).toEqual([]);
    expect(told(pass, { release: "5.4.0" })).toEqual([
      "error: memlock: this kernel charges maps to RLIMIT_MEMLOCK, which is 65536 bytes; raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
    ]);
    expect(told(pass, { jit: 0 })).toEqual([expect.stringContaining("warning: jit: the kernel's JIT is off")]);
    const reads = asmProgram(
      "reads",
      XDP,
      "r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_probe_read_kernel\nr0 = 2\nexit",
    );
    expect(told(reads, { lockdown: "integrity" })).toEqual([]);
    expect(told(reads, { lockdown: "confidentiality" })).toEqual([
      "error: xdp:a0:native: it reads kernel memory, which lockdown=confidentiality forbids; boot with lockdown=integrity or less",
    ]);
    const writes = asmProgram("writes", XDP, "call bpf_probe_write_user\nr0 = 2\nexit");
    expect(told(writes, { lockdown: "integrity" })).toEqual([
      "error: xdp:a0:native: it writes other processes' memory (bpf_probe_write_user), which lockdown=integrity forbids; boot without lockdown, or leave that out",
    ]);
  });
});
