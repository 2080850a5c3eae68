import { spawnSync } from "node:child_process";
import { assemble } from "@ebplane/core/asm";
import { AttachType, HELPERS, type Helper, helperAllowed, ProgType } from "@ebplane/core/object";
import { helperSince, versionNumber } from "@ebplane/core/verifier";
import { describe, expect, test } from "vitest";
import { progLoad } from "../bpf/index.ts";
import { addLink } from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { close } from "../sys/index.ts";
import { kernelOlder, kernelSkipReason } from "../testing.ts";
import { deviceFeatures, kernelConfig, kernelFeatures, kernelHelpers, kernelKfuncs, systemState } from "./index.ts";
import { probedAttachType, probeProgType, tellsHelpers } from "./probe.ts";

const skip = kernelSkipReason();

describe.skipIf(skip)(`features of the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("they agree with bpftool on everything both know", ({ skip: skipTest }) => {
    const { stdout, status } = spawnSync("bpftool", ["-j", "feature", "probe"], { encoding: "utf8" });
    if (status !== 0) skipTest("bpftool is not installed");
    const theirs = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
    const ours = kernelFeatures();
    let compared = 0;
    const compare = (section: string, suffix: string, table: Readonly<Record<string, { supported: boolean }>>) => {
      for (const [name, answer] of Object.entries(table)) {
        const known = theirs[section]![`have_${name}_${suffix}`];
        if (known === undefined) continue; // An older bpftool.
        expect({ name, supported: answer.supported }).toEqual({ name, supported: known });
        compared++;
      }
    };
    compare("program_types", "prog_type", ours.progTypes);
    compare("map_types", "map_type", ours.mapTypes);
    for (const [name, value] of Object.entries(ours.config ?? {})) {
      if (theirs.system_config![name] === undefined) continue;
      expect({ name, value }).toEqual({ name, value: theirs.system_config![name] });
      compared++;
    }
    const { system } = ours;
    expect(system.jit).toBe(theirs.system_config!.bpf_jit_enable);
    expect(system.jitHarden).toBe(theirs.system_config!.bpf_jit_harden);
    expect(system.unprivilegedDisabled).toBe(theirs.system_config!.unprivileged_bpf_disabled);
    expect(ours.isa.v3.supported).toBe(theirs.misc!.have_v3_isa_extension);
    expect(ours.isa.v2.supported).toBe(theirs.misc!.have_v2_isa_extension);
    expect(ours.isa.boundedLoops.supported).toBe(theirs.misc!.have_bounded_loops);
    expect(ours.isa.largePrograms.supported).toBe(theirs.misc!.have_large_insn_limit);
    // An older bpftool knows fewer helpers, and asks none of types that it cannot load.
    const known = new Set(Object.values(theirs.helpers!).flatMap((names) => names as string[]));
    for (const type of ["xdp", "sched_cls", "cgroup_skb", "lwt_xmit", "sk_lookup", "sock_ops", "sk_msg"] as const) {
      const number = ProgType[`BPF_PROG_TYPE_${type.toUpperCase()}` as keyof typeof ProgType];
      const asked = kernelHelpers(number).map((name) => `bpf_${name}`);
      const there = theirs.helpers![`${type}_available_helpers`] as string[];
      // Ours are among theirs. A bpftool older than Linux 6.8 does not know that kernel's words for a refusal and takes
      // more for available than is; the helper table is the judge of that (below).
      expect({ type, more: asked.filter((name) => known.has(name) && !there.includes(name)) }).toEqual({
        type,
        more: [],
      });
      compared += there.length;
    }
    expect(compared).toBeGreaterThan(400);
  });

  /** Helpers that this build or this boot keeps from every program, or a stable release took from some. */
  const withheld = (name: string, type: number): boolean =>
    (name === "probe_write_user" && systemState().lockdown !== "none") ||
    (name === "override_return" && kernelConfig()?.get("CONFIG_BPF_KPROBE_OVERRIDE") !== "y") ||
    // Only for programs that may sleep before 6.1, which the probe's do not.
    (name === "copy_from_user" && kernelOlder("6.1")) ||
    // A fix of 7.x that 6.1.192 and 6.12.117 have, and 6.18.44 not.
    (name === "skb_pull_data" && type === ProgType.BPF_PROG_TYPE_LWT_SEG6LOCAL);
  const running = versionNumber(systemState().release.split(".").slice(0, 2).join("."));
  const types = Object.entries(ProgType).filter(
    ([, type]) => type !== 0 && tellsHelpers(type) && (skip || probeProgType(type).supported),
  );

  test.each(types)("the helpers of %s are those that the helper table has for this version", (_, type) => {
    const inTable = (helper: Helper): boolean =>
      helperAllowed(helper, type, probedAttachType(type)) && helperSince(helper, type) <= running;
    const table = [...HELPERS.values()].filter((h) => inTable(h) && !withheld(h.name, type)).map((h) => h.name);
    const asked = kernelHelpers(type).filter((name) => !withheld(name, type));
    // The table ends with 6.18: a newer kernel may allow more.
    const compared = running > 618 ? asked.filter((name) => table.includes(name)) : asked;
    expect([...compared].sort()).toEqual(table.sort());
  });

  test("what a cgroup's program may call hangs on the attach type that it is loaded for", () => {
    for (const [type, attachType] of [
      [ProgType.BPF_PROG_TYPE_CGROUP_DEVICE, AttachType.BPF_CGROUP_DEVICE],
      [ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL, AttachType.BPF_CGROUP_SYSCTL],
      [ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, AttachType.BPF_CGROUP_INET4_CONNECT],
      [ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, AttachType.BPF_CGROUP_UDP4_RECVMSG],
    ] as const) {
      for (const at of type === ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR ? [attachType] : [0, attachType]) {
        const { code } = assemble("call bpf_get_retval\nr0 = 1\nexit");
        const { fd } = progLoad({ type, code, expectedAttachType: at });
        if (fd >= 0) close(fd);
        const helper = [...HELPERS.values()].find((h) => h.name === "get_retval")!;
        const allowed = helperAllowed(helper, type, at) && helperSince(helper, type) <= running;
        expect({ type, at, allowed }).toEqual({ type, at, allowed: fd >= 0 });
      }
    }
  });

  test("every refusal has a reason, in one line", () => {
    const { progTypes, mapTypes, attachTypes } = kernelFeatures();
    for (const answer of Object.values({ ...progTypes, ...mapTypes, ...attachTypes })) {
      expect(answer.reason).toMatch(/^[^\n]{5,}$/);
    }
    expect(progTypes.xdp).toEqual({ supported: true, reason: "the kernel took the smallest one" });
    expect(Object.keys(attachTypes).length).toBeGreaterThan(35);
  });

  test("devices tell what their driver can do", () => {
    using ns = NetNs.create();
    addLink(ns.route, { kind: "veth", name: "va", peer: { name: "vb" } });
    const devices = ns.run(deviceFeatures);
    if (devices.length === 0) return; // Before Linux 6.3.
    expect(devices.find((d) => d.name === "lo")!.features).toEqual([]);
    expect(devices.find((d) => d.name === "va")!.features).toEqual(
      expect.arrayContaining(["basic", "redirect", "rx-sg"]),
    );
  });

  test("kfuncs are listed where the kernel marks them", () => {
    const names = kernelKfuncs();
    if (names.length > 0) expect(names).toContain("bpf_rcu_read_lock");
  });
});
