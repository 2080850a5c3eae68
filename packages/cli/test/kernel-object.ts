/** An object with a program for every kind of hook, all counting their runs in one map: for tests of attaching. */
import { writeElf } from "@ebplane/core/elf";
import { AttachType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { arrayMap, asmProgram, COUNT_HIT, collectionOf } from "@ebplane/linux/testing";

/** Adds 1 to the first u64 of the array `hits` and returns `verdict`. */
function counting(name: string, type: number, verdict: number, section: string, attachType = 0): ProgramSpec {
  return asmProgram(name, type, `${COUNT_HIT}\nr0 = ${verdict}\nexit`, { section, attachType });
}

const TC_ACT_UNSPEC = -1;

/** The object's bytes. Program names are those of the hooks' kinds. */
export function kernelObject(): Uint8Array {
  const t = ProgType;
  const a = AttachType;
  const programs = [
    counting("xdp_pass", t.BPF_PROG_TYPE_XDP, 2, "xdp"),
    counting("xdp_drop", t.BPF_PROG_TYPE_XDP, 1, "xdp"),
    counting("classify", t.BPF_PROG_TYPE_SCHED_CLS, TC_ACT_UNSPEC, "tc"),
    counting("route_out", t.BPF_PROG_TYPE_LWT_OUT, 0, "lwt_out"),
    counting("egress", t.BPF_PROG_TYPE_CGROUP_SKB, 1, "cgroup_skb/egress", a.BPF_CGROUP_INET_EGRESS),
    counting("lookup", t.BPF_PROG_TYPE_SK_LOOKUP, 1, "sk_lookup", a.BPF_SK_LOOKUP),
    counting("dissect", t.BPF_PROG_TYPE_FLOW_DISSECTOR, 0, "flow_dissector", a.BPF_FLOW_DISSECTOR),
    counting("filter", t.BPF_PROG_TYPE_NETFILTER, 1, "netfilter", a.BPF_NETFILTER),
    counting("raw", t.BPF_PROG_TYPE_RAW_TRACEPOINT, 0, "raw_tp/sched_switch"),
    counting("point", t.BPF_PROG_TYPE_TRACEPOINT, 0, "tp/sched/sched_switch"),
  ];
  return writeElf(collectionOf(programs, [arrayMap("hits")]));
}
