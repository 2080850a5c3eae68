import { BPF_F_XDP_HAS_FRAGS, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setOffload } from "../link/index.ts";
import { addLink, getLink, setLink } from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { linuxTarget } from "../target/target.ts";
import { asmProgram, collectionOf, kernelSkipReason } from "../testing.ts";
import { type Attachment, findingText, preflight, requirementsOf } from "./index.ts";

const skip = kernelSkipReason();
const XDP = ProgType.BPF_PROG_TYPE_XDP;
const pass = asmProgram("pass", XDP, "r0 = 2\nexit");
const redirect = asmProgram("go", XDP, "r1 = 1\nr2 = 0\ncall 23\nexit");

test("what a program asks for is read off its code", () => {
  expect(requirementsOf(pass)).toMatchObject({ frags: false, redirects: false, growsHead: false });
  expect(requirementsOf(redirect)).toMatchObject({ redirects: true, helpers: new Set([23]) });
  expect(requirementsOf({ ...pass, flags: BPF_F_XDP_HAS_FRAGS }).frags).toBe(true);
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
      "error: xdp:eth9:native: there is no device eth9 in this network namespace; one of lo, a1, a0, b1, b0, br0",
    ]);
  });

  test("an MTU that needs frags is refused for a program without, as the kernel would", () => {
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
      `error: xdp:a0:native: program ${loaded.programs.get("pass")!.id} is attached in native mode, and XDP takes one; detach it (ebplane detach xdp:a0), or chain both`,
    ]);
  });

  test("redirects: the target must take them, and the sender must finish its checksums", () => {
    const attachment = { program: redirect, hook: xdp("a0"), redirectsTo: ["b0"] };
    ns.run(() => setOffload("b1", "gro", false));
    expect(check(attachment)).toEqual([
      "warning: b0: a veth takes native redirects only when its peer has native XDP or GRO: redirected packets would vanish; attach a program to the peer, or ethtool -K PEER gro on",
      "warning: a0: a veth's peer leaves checksums open (CHECKSUM_PARTIAL), and native redirects lose them; ethtool -K a1 tx off",
    ]);
    ns.run(() => {
      setOffload("b1", "gro", true);
      setOffload("a1", "txChecksum", false);
    });
    expect(check(attachment)).toEqual([]);
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
});
