/**
 * What a program section's name says: prog type, attach type, flags, and what to attach to.
 * Source: tools/lib/bpf/libbpf.c `section_defs` and `sec_def_matches` (libbpf 1.5); prefixes of before 1.0 for
 * networking types, because many published objects still use them (`xdp_pass`, `classifier_ingress`).
 */
import {
  AttachType as A,
  BPF_F_SLEEPABLE,
  BPF_F_XDP_HAS_FRAGS,
  ProgType as P,
  type ProgramSpec,
} from "../object/index.ts";

export interface SectionKind {
  readonly type: number;
  readonly attachType: number;
  /** `BPF_F_*` of program load. */
  readonly flags: number;
  /** What follows the slash where the section names a target (`kprobe/do_unlinkat`). */
  readonly attachTo: string | undefined;
  /** False for `?name`. */
  readonly autoload: boolean;
  /** How it matched: libbpf's table, an old prefix, or not at all (type 0, to be chosen by the user). */
  readonly match: "libbpf" | "legacy" | "none";
}

/** Name (`+`: alone or followed by `/target`), prog type, attach type, flags. */
const TABLE: readonly (readonly [name: string, type: number, attach: number, flags?: number])[] = [
  ["socket", P.BPF_PROG_TYPE_SOCKET_FILTER, 0],
  ["sk_reuseport/migrate", P.BPF_PROG_TYPE_SK_REUSEPORT, A.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE],
  ["sk_reuseport", P.BPF_PROG_TYPE_SK_REUSEPORT, A.BPF_SK_REUSEPORT_SELECT],
  ["kprobe+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["uprobe+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["uprobe.s+", P.BPF_PROG_TYPE_KPROBE, 0, BPF_F_SLEEPABLE],
  ["kretprobe+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["uretprobe+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["uretprobe.s+", P.BPF_PROG_TYPE_KPROBE, 0, BPF_F_SLEEPABLE],
  ["kprobe.multi+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_KPROBE_MULTI],
  ["kretprobe.multi+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_KPROBE_MULTI],
  ["kprobe.session+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_KPROBE_SESSION],
  ["uprobe.multi+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_UPROBE_MULTI],
  ["uretprobe.multi+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_UPROBE_MULTI],
  ["uprobe.session+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_UPROBE_SESSION],
  ["uprobe.multi.s+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_UPROBE_MULTI, BPF_F_SLEEPABLE],
  ["uretprobe.multi.s+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_UPROBE_MULTI, BPF_F_SLEEPABLE],
  ["uprobe.session.s+", P.BPF_PROG_TYPE_KPROBE, A.BPF_TRACE_UPROBE_SESSION, BPF_F_SLEEPABLE],
  ["ksyscall+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["kretsyscall+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["usdt+", P.BPF_PROG_TYPE_KPROBE, 0],
  ["usdt.s+", P.BPF_PROG_TYPE_KPROBE, 0, BPF_F_SLEEPABLE],
  ["tc/ingress", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_TCX_INGRESS],
  ["tc/egress", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_TCX_EGRESS],
  ["tcx/ingress", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_TCX_INGRESS],
  ["tcx/egress", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_TCX_EGRESS],
  ["tc", P.BPF_PROG_TYPE_SCHED_CLS, 0],
  ["classifier", P.BPF_PROG_TYPE_SCHED_CLS, 0],
  ["action", P.BPF_PROG_TYPE_SCHED_ACT, 0],
  ["netkit/primary", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_NETKIT_PRIMARY],
  ["netkit/peer", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_NETKIT_PEER],
  ["tracepoint+", P.BPF_PROG_TYPE_TRACEPOINT, 0],
  ["tp+", P.BPF_PROG_TYPE_TRACEPOINT, 0],
  ["raw_tracepoint+", P.BPF_PROG_TYPE_RAW_TRACEPOINT, 0],
  ["raw_tp+", P.BPF_PROG_TYPE_RAW_TRACEPOINT, 0],
  ["raw_tracepoint.w+", P.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0],
  ["raw_tp.w+", P.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0],
  ["tp_btf+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_RAW_TP],
  ["fentry+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_FENTRY],
  ["fmod_ret+", P.BPF_PROG_TYPE_TRACING, A.BPF_MODIFY_RETURN],
  ["fexit+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_FEXIT],
  ["fentry.s+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_FENTRY, BPF_F_SLEEPABLE],
  ["fmod_ret.s+", P.BPF_PROG_TYPE_TRACING, A.BPF_MODIFY_RETURN, BPF_F_SLEEPABLE],
  ["fexit.s+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_FEXIT, BPF_F_SLEEPABLE],
  ["freplace+", P.BPF_PROG_TYPE_EXT, 0],
  ["lsm+", P.BPF_PROG_TYPE_LSM, A.BPF_LSM_MAC],
  ["lsm.s+", P.BPF_PROG_TYPE_LSM, A.BPF_LSM_MAC, BPF_F_SLEEPABLE],
  ["lsm_cgroup+", P.BPF_PROG_TYPE_LSM, A.BPF_LSM_CGROUP],
  ["iter+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_ITER],
  ["iter.s+", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_ITER, BPF_F_SLEEPABLE],
  ["syscall", P.BPF_PROG_TYPE_SYSCALL, 0, BPF_F_SLEEPABLE],
  ["xdp.frags/devmap", P.BPF_PROG_TYPE_XDP, A.BPF_XDP_DEVMAP, BPF_F_XDP_HAS_FRAGS],
  ["xdp/devmap", P.BPF_PROG_TYPE_XDP, A.BPF_XDP_DEVMAP],
  ["xdp.frags/cpumap", P.BPF_PROG_TYPE_XDP, A.BPF_XDP_CPUMAP, BPF_F_XDP_HAS_FRAGS],
  ["xdp/cpumap", P.BPF_PROG_TYPE_XDP, A.BPF_XDP_CPUMAP],
  ["xdp.frags", P.BPF_PROG_TYPE_XDP, A.BPF_XDP, BPF_F_XDP_HAS_FRAGS],
  ["xdp", P.BPF_PROG_TYPE_XDP, A.BPF_XDP],
  ["perf_event", P.BPF_PROG_TYPE_PERF_EVENT, 0],
  ["lwt_in", P.BPF_PROG_TYPE_LWT_IN, 0],
  ["lwt_out", P.BPF_PROG_TYPE_LWT_OUT, 0],
  ["lwt_xmit", P.BPF_PROG_TYPE_LWT_XMIT, 0],
  ["lwt_seg6local", P.BPF_PROG_TYPE_LWT_SEG6LOCAL, 0],
  ["sockops", P.BPF_PROG_TYPE_SOCK_OPS, A.BPF_CGROUP_SOCK_OPS],
  ["sk_skb/stream_parser", P.BPF_PROG_TYPE_SK_SKB, A.BPF_SK_SKB_STREAM_PARSER],
  ["sk_skb/stream_verdict", P.BPF_PROG_TYPE_SK_SKB, A.BPF_SK_SKB_STREAM_VERDICT],
  ["sk_skb/verdict", P.BPF_PROG_TYPE_SK_SKB, A.BPF_SK_SKB_VERDICT],
  ["sk_skb", P.BPF_PROG_TYPE_SK_SKB, 0],
  ["sk_msg", P.BPF_PROG_TYPE_SK_MSG, A.BPF_SK_MSG_VERDICT],
  ["lirc_mode2", P.BPF_PROG_TYPE_LIRC_MODE2, A.BPF_LIRC_MODE2],
  ["flow_dissector", P.BPF_PROG_TYPE_FLOW_DISSECTOR, A.BPF_FLOW_DISSECTOR],
  ["cgroup_skb/ingress", P.BPF_PROG_TYPE_CGROUP_SKB, A.BPF_CGROUP_INET_INGRESS],
  ["cgroup_skb/egress", P.BPF_PROG_TYPE_CGROUP_SKB, A.BPF_CGROUP_INET_EGRESS],
  ["cgroup/skb", P.BPF_PROG_TYPE_CGROUP_SKB, 0],
  ["cgroup/sock_create", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET_SOCK_CREATE],
  ["cgroup/sock_release", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET_SOCK_RELEASE],
  ["cgroup/sock", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET_SOCK_CREATE],
  ["cgroup/post_bind4", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET4_POST_BIND],
  ["cgroup/post_bind6", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET6_POST_BIND],
  ["cgroup/bind4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_BIND],
  ["cgroup/bind6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_BIND],
  ["cgroup/connect4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_CONNECT],
  ["cgroup/connect6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_CONNECT],
  ["cgroup/connect_unix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_CONNECT],
  ["cgroup/sendmsg4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP4_SENDMSG],
  ["cgroup/sendmsg6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP6_SENDMSG],
  ["cgroup/sendmsg_unix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_SENDMSG],
  ["cgroup/recvmsg4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP4_RECVMSG],
  ["cgroup/recvmsg6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP6_RECVMSG],
  ["cgroup/recvmsg_unix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_RECVMSG],
  ["cgroup/getpeername4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_GETPEERNAME],
  ["cgroup/getpeername6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_GETPEERNAME],
  ["cgroup/getpeername_unix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_GETPEERNAME],
  ["cgroup/getsockname4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_GETSOCKNAME],
  ["cgroup/getsockname6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_GETSOCKNAME],
  ["cgroup/getsockname_unix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_GETSOCKNAME],
  ["cgroup/sysctl", P.BPF_PROG_TYPE_CGROUP_SYSCTL, A.BPF_CGROUP_SYSCTL],
  ["cgroup/getsockopt", P.BPF_PROG_TYPE_CGROUP_SOCKOPT, A.BPF_CGROUP_GETSOCKOPT],
  ["cgroup/setsockopt", P.BPF_PROG_TYPE_CGROUP_SOCKOPT, A.BPF_CGROUP_SETSOCKOPT],
  ["cgroup/dev", P.BPF_PROG_TYPE_CGROUP_DEVICE, A.BPF_CGROUP_DEVICE],
  ["struct_ops+", P.BPF_PROG_TYPE_STRUCT_OPS, 0],
  ["struct_ops.s+", P.BPF_PROG_TYPE_STRUCT_OPS, 0, BPF_F_SLEEPABLE],
  ["sk_lookup", P.BPF_PROG_TYPE_SK_LOOKUP, A.BPF_SK_LOOKUP],
  ["netfilter", P.BPF_PROG_TYPE_NETFILTER, A.BPF_NETFILTER],
];

/** Types that libbpf before 1.0 found by prefix alone, longest first. */
const LEGACY = TABLE.filter(([name]) => !name.includes("+") && name !== "tc" && name !== "syscall").sort(
  (a, b) => b[0].length - a[0].length,
);

const EXACT = new Map(TABLE.filter(([name]) => !name.endsWith("+")).map((row) => [row[0], row]));
const WITH_TARGET = new Map(TABLE.filter(([name]) => name.endsWith("+")).map((row) => [row[0].slice(0, -1), row]));

/** What the section's name says. An unknown name is type 0, as libbpf leaves it. */
export function sectionKind(section: string): SectionKind {
  const autoload = !section.startsWith("?");
  const name = autoload ? section : section.slice(1);
  const slash = name.indexOf("/");
  const exact = EXACT.get(name);
  if (exact) return kind(exact, undefined, autoload, "libbpf");
  const targeted = WITH_TARGET.get(slash < 0 ? name : name.slice(0, slash));
  if (targeted) return kind(targeted, slash < 0 ? undefined : name.slice(slash + 1), autoload, "libbpf");
  // Cilium's `tc/tail`.
  if (name.startsWith("tc/")) return kind(EXACT.get("tc")!, undefined, autoload, "legacy");
  const legacy = LEGACY.find(([prefix]) => name.startsWith(prefix));
  if (legacy) return kind(legacy, undefined, autoload, "legacy");
  return { type: 0, attachType: 0, flags: 0, attachTo: undefined, autoload, match: "none" };
}

/**
 * The section that makes libbpf load the program as what it is: its own where libbpf's table knows it so, else the
 * table's first name for it (iproute2's `2/1` and old `xdp_pass` become `tc` and `xdp`).
 */
export function libbpfSection(program: ProgramSpec): string {
  const own = sectionKind(program.section);
  const same = (type: number, attachType: number) => type === program.type && attachType === program.attachType;
  if (program.type === 0 || (own.match === "libbpf" && own.type === program.type)) return program.section;
  const row =
    TABLE.find(([, type, attach, flags = 0]) => same(type, attach) && flags === program.flags) ??
    TABLE.find(([, type, attach]) => same(type, attach));
  if (!row) return program.section;
  const name = row[0].replace("+", program.attachTo === undefined ? "" : `/${program.attachTo}`);
  return program.autoload === false ? `?${name}` : name;
}

function kind(
  [, type, attachType, flags = 0]: (typeof TABLE)[number],
  attachTo: string | undefined,
  autoload: boolean,
  match: SectionKind["match"],
): SectionKind {
  return { type, attachType, flags, attachTo: attachTo || undefined, autoload, match };
}

/** All rows, for listings: name, prog type, attach type, flags. */
export const SECTION_TABLE = TABLE;
