import { expect, test } from "vitest";
import { AttachType, BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS, ProgType } from "../object/index.ts";
import { SECTION_TABLE, sectionKind } from "./index.ts";

test.each([
  ["xdp", "BPF_PROG_TYPE_XDP", "BPF_XDP", 0, undefined, "libbpf"],
  ["xdp.frags/devmap", "BPF_PROG_TYPE_XDP", "BPF_XDP_DEVMAP", BPF_F_XDP_HAS_FRAGS, undefined, "libbpf"],
  ["tcx/egress", "BPF_PROG_TYPE_SCHED_CLS", "BPF_TCX_EGRESS", 0, undefined, "libbpf"],
  ["cgroup/connect4", "BPF_PROG_TYPE_CGROUP_SOCK_ADDR", "BPF_CGROUP_INET4_CONNECT", 0, undefined, "libbpf"],
  ["lsm.s/file_open", "BPF_PROG_TYPE_LSM", "BPF_LSM_MAC", BPF_F_SLEEPABLE, "file_open", "libbpf"],
  ["uprobe//bin/bash:readline+8", "BPF_PROG_TYPE_KPROBE", undefined, 0, "/bin/bash:readline+8", "libbpf"],
  ["kprobe", "BPF_PROG_TYPE_KPROBE", undefined, 0, undefined, "libbpf"],
  ["xdp_filter", "BPF_PROG_TYPE_XDP", "BPF_XDP", 0, undefined, "legacy"],
  ["classifier_from_lxc", "BPF_PROG_TYPE_SCHED_CLS", undefined, 0, undefined, "legacy"],
  ["cgroup_skb/ingress_v2", "BPF_PROG_TYPE_CGROUP_SKB", "BPF_CGROUP_INET_INGRESS", 0, undefined, "legacy"],
  ["from-container", "BPF_PROG_TYPE_UNSPEC", undefined, 0, undefined, "none"],
  ["kprobes", "BPF_PROG_TYPE_UNSPEC", undefined, 0, undefined, "none"],
] as const)("%s", (section, type, attach, flags, attachTo, match) => {
  expect(sectionKind(section)).toEqual({
    type: ProgType[type],
    attachType: attach ? AttachType[attach] : 0,
    flags,
    attachTo,
    autoload: true,
    match,
  });
  expect(sectionKind(`?${section}`)).toMatchObject({ type: ProgType[type], autoload: false });
});

test("every program type of the kernel but the unspecified has a section", () => {
  const types = new Set(SECTION_TABLE.map(([, type]) => type));
  expect(Object.entries(ProgType).filter(([, n]) => n && !types.has(n))).toEqual([]);
});
