/** The kinds of programs: what `xdp(…)`, `tc.ingress(…)`, `cgroupSockAddr.connect4(…)` … are to the kernel. */
import { AttachType as A, BPF_F_XDP_HAS_FRAGS, ctxLayout, ProgType as P } from "@ebplane/core/object";

export interface ProgramForm {
  readonly type: number;
  readonly attachType: number;
  /** ELF section, as libbpf reads it. */
  readonly section: string;
  /** The name of the context's type in `ebplane/bpf`. */
  readonly context: string;
  /** The first argument names what to attach to: it ends the section's name. */
  readonly target: boolean;
  /** `BPF_F_*` of load and section when the program handles packets of several fragments; undefined where none does. */
  readonly frags: { readonly section: string; readonly flags: number } | undefined;
}

/** Name as it is called, program type, attach type, section (`/` at the end: a target follows), context. */
type Row = readonly [name: string, type: number, attachType: number, section: string, context: string];

// biome-ignore format: a table
const ROWS: readonly Row[] = [
  ["xdp", P.BPF_PROG_TYPE_XDP, A.BPF_XDP, "xdp", "XdpContext"],
  ["xdp.devmap", P.BPF_PROG_TYPE_XDP, A.BPF_XDP_DEVMAP, "xdp/devmap", "XdpDevmapContext"],
  ["xdp.cpumap", P.BPF_PROG_TYPE_XDP, A.BPF_XDP_CPUMAP, "xdp/cpumap", "XdpContext"],
  ["tc.ingress", P.BPF_PROG_TYPE_SCHED_CLS, 0, "tc/ingress", "TcContext"],
  ["tc.egress", P.BPF_PROG_TYPE_SCHED_CLS, 0, "tc/egress", "TcContext"],
  ["tc.action", P.BPF_PROG_TYPE_SCHED_ACT, 0, "action", "TcContext"],
  ["netkit.primary", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_NETKIT_PRIMARY, "netkit/primary", "TcContext"],
  ["netkit.peer", P.BPF_PROG_TYPE_SCHED_CLS, A.BPF_NETKIT_PEER, "netkit/peer", "TcContext"],
  ["socketFilter", P.BPF_PROG_TYPE_SOCKET_FILTER, 0, "socket", "SocketFilterContext"],
  ["cgroupSkb.ingress", P.BPF_PROG_TYPE_CGROUP_SKB, A.BPF_CGROUP_INET_INGRESS, "cgroup_skb/ingress", "CgroupSkbContext"],
  ["cgroupSkb.egress", P.BPF_PROG_TYPE_CGROUP_SKB, A.BPF_CGROUP_INET_EGRESS, "cgroup_skb/egress", "CgroupSkbContext"],
  ["cgroupSock.create", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET_SOCK_CREATE, "cgroup/sock_create", "CgroupSockContext"],
  ["cgroupSock.release", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET_SOCK_RELEASE, "cgroup/sock_release", "CgroupSockContext"],
  ["cgroupSock.postBind4", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET4_POST_BIND, "cgroup/post_bind4", "PostBind4Context"],
  ["cgroupSock.postBind6", P.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET6_POST_BIND, "cgroup/post_bind6", "PostBind6Context"],
  ["cgroupSockAddr.bind4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_BIND, "cgroup/bind4", "SockAddr4Context"],
  ["cgroupSockAddr.bind6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_BIND, "cgroup/bind6", "SockAddr6Context"],
  ["cgroupSockAddr.connect4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_CONNECT, "cgroup/connect4", "SockAddr4Context"],
  ["cgroupSockAddr.connect6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_CONNECT, "cgroup/connect6", "SockAddr6Context"],
  ["cgroupSockAddr.connectUnix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_CONNECT, "cgroup/connect_unix", "SockAddrUnixContext"],
  ["cgroupSockAddr.sendmsg4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP4_SENDMSG, "cgroup/sendmsg4", "Sendmsg4Context"],
  ["cgroupSockAddr.sendmsg6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP6_SENDMSG, "cgroup/sendmsg6", "Sendmsg6Context"],
  ["cgroupSockAddr.sendmsgUnix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_SENDMSG, "cgroup/sendmsg_unix", "SockAddrUnixContext"],
  ["cgroupSockAddr.recvmsg4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP4_RECVMSG, "cgroup/recvmsg4", "SockAddr4Context"],
  ["cgroupSockAddr.recvmsg6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UDP6_RECVMSG, "cgroup/recvmsg6", "SockAddr6Context"],
  ["cgroupSockAddr.recvmsgUnix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_RECVMSG, "cgroup/recvmsg_unix", "SockAddrUnixContext"],
  ["cgroupSockAddr.getpeername4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_GETPEERNAME, "cgroup/getpeername4", "SockAddr4Context"],
  ["cgroupSockAddr.getpeername6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_GETPEERNAME, "cgroup/getpeername6", "SockAddr6Context"],
  ["cgroupSockAddr.getpeernameUnix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_GETPEERNAME, "cgroup/getpeername_unix", "SockAddrUnixContext"],
  ["cgroupSockAddr.getsockname4", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET4_GETSOCKNAME, "cgroup/getsockname4", "SockAddr4Context"],
  ["cgroupSockAddr.getsockname6", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_INET6_GETSOCKNAME, "cgroup/getsockname6", "SockAddr6Context"],
  ["cgroupSockAddr.getsocknameUnix", P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_GETSOCKNAME, "cgroup/getsockname_unix", "SockAddrUnixContext"],
  ["cgroupDevice", P.BPF_PROG_TYPE_CGROUP_DEVICE, A.BPF_CGROUP_DEVICE, "cgroup/dev", "CgroupDeviceContext"],
  ["cgroupSysctl", P.BPF_PROG_TYPE_CGROUP_SYSCTL, A.BPF_CGROUP_SYSCTL, "cgroup/sysctl", "CgroupSysctlContext"],
  ["cgroupSockopt.get", P.BPF_PROG_TYPE_CGROUP_SOCKOPT, A.BPF_CGROUP_GETSOCKOPT, "cgroup/getsockopt", "GetSockoptContext"],
  ["cgroupSockopt.set", P.BPF_PROG_TYPE_CGROUP_SOCKOPT, A.BPF_CGROUP_SETSOCKOPT, "cgroup/setsockopt", "SetSockoptContext"],
  ["sockOps", P.BPF_PROG_TYPE_SOCK_OPS, A.BPF_CGROUP_SOCK_OPS, "sockops", "SockOpsContext"],
  ["skMsg", P.BPF_PROG_TYPE_SK_MSG, A.BPF_SK_MSG_VERDICT, "sk_msg", "SkMsgContext"],
  ["skSkb.streamParser", P.BPF_PROG_TYPE_SK_SKB, A.BPF_SK_SKB_STREAM_PARSER, "sk_skb/stream_parser", "SkSkbContext"],
  ["skSkb.streamVerdict", P.BPF_PROG_TYPE_SK_SKB, A.BPF_SK_SKB_STREAM_VERDICT, "sk_skb/stream_verdict", "SkSkbContext"],
  ["skSkb.verdict", P.BPF_PROG_TYPE_SK_SKB, A.BPF_SK_SKB_VERDICT, "sk_skb/verdict", "SkSkbContext"],
  ["skLookup", P.BPF_PROG_TYPE_SK_LOOKUP, A.BPF_SK_LOOKUP, "sk_lookup", "SkLookupContext"],
  ["skReuseport", P.BPF_PROG_TYPE_SK_REUSEPORT, A.BPF_SK_REUSEPORT_SELECT, "sk_reuseport", "SkReuseportContext"],
  ["skReuseport.migrate", P.BPF_PROG_TYPE_SK_REUSEPORT, A.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, "sk_reuseport/migrate", "SkReuseportContext"],
  ["flowDissector", P.BPF_PROG_TYPE_FLOW_DISSECTOR, A.BPF_FLOW_DISSECTOR, "flow_dissector", "FlowDissectorContext"],
  ["lwt.in", P.BPF_PROG_TYPE_LWT_IN, 0, "lwt_in", "LwtContext"],
  ["lwt.out", P.BPF_PROG_TYPE_LWT_OUT, 0, "lwt_out", "LwtContext"],
  ["lwt.xmit", P.BPF_PROG_TYPE_LWT_XMIT, 0, "lwt_xmit", "LwtContext"],
  ["lwt.seg6local", P.BPF_PROG_TYPE_LWT_SEG6LOCAL, 0, "lwt_seg6local", "LwtContext"],
  ["netfilter", P.BPF_PROG_TYPE_NETFILTER, A.BPF_NETFILTER, "netfilter", "NetfilterContext"],
  ["tracepoint", P.BPF_PROG_TYPE_TRACEPOINT, 0, "tracepoint/", "TracepointContext"],
  ["rawTracepoint", P.BPF_PROG_TYPE_RAW_TRACEPOINT, 0, "raw_tracepoint/", "RawTracepointContext"],
  ["tpBtf", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_RAW_TP, "tp_btf/", "TracingContext"],
  ["iter", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_ITER, "iter/", "IteratorContext"],
  ["fentry", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_FENTRY, "fentry/", "TracingContext"],
  ["fexit", P.BPF_PROG_TYPE_TRACING, A.BPF_TRACE_FEXIT, "fexit/", "TracingContext"],
  ["kprobe", P.BPF_PROG_TYPE_KPROBE, 0, "kprobe/", "KprobeContext"],
  ["kretprobe", P.BPF_PROG_TYPE_KPROBE, 0, "kretprobe/", "KprobeContext"],
];

/** By the name that is called, with its namespace. */
export const PROGRAM_FORMS: ReadonlyMap<string, ProgramForm> = new Map(ROWS.map((row) => [row[0], formOf(row)]));

export const PROGRAM_NAMESPACES: ReadonlySet<string> = new Set(
  ROWS.flatMap(([name]) => (name.includes(".") ? [name.slice(0, name.indexOf("."))] : [])),
);

/** Names of the contexts' types, with one form that has it. */
export const CONTEXTS: ReadonlyMap<string, ProgramForm> = new Map(
  [...PROGRAM_FORMS.values()].reverse().map((f) => [f.context, f]),
);

function formOf([name, type, attachType, section, context]: Row): ProgramForm {
  const frags = name.startsWith("xdp")
    ? { section: section.replace("xdp", "xdp.frags"), flags: BPF_F_XDP_HAS_FRAGS }
    : undefined;
  return { type, attachType, section, context, target: section.endsWith("/"), frags };
}

/** A context's field that holds an address. */
interface Bound {
  readonly offset: number;
  readonly size: 4 | 8;
}

/** Where the context holds the packet's bounds; undefined for programs without direct packet access. */
export function packetFields(form: {
  readonly type: number;
  readonly attachType: number;
}): { readonly data: Bound; readonly end: Bound } | undefined {
  const fields = ctxLayout(form.type, form.attachType)?.fields ?? [];
  const data = fields.find((f) => f.value === "packet");
  const end = fields.find((f) => f.value === "packetEnd");
  return data && end && { data: data as Bound, end: end as Bound };
}
