/**
 * Ctx layouts: what a program finds behind r1 at entry, by program type and attach type: fields with offset, size,
 * allowed access widths, and the fields that hold a pointer. Also the kernel's mirrored socket structs, which helpers
 * return pointers to. The verifier checks accesses with it, engines build ctx memory by it.
 * It leaves out the values (an engine's work) and struct pointers by BTF (tracing programs).
 *
 * Source: include/uapi/linux/bpf.h (structs); widths and readability were asked of a running Linux 6.18, one
 * BPF_PROG_LOAD per program type, offset, width and direction; pointer kinds: `*_is_valid_access` of net/core/filter.c.
 */
import { AttachType, ProgType } from "./prog-types.ts";

/**
 * What a load of the field yields: a number, or a pointer kind. `packet`, `packetMeta` and `packetEnd` carry the
 * packet's bounds; `socket` is a full socket, `sockCommon` any socket; `flowKeys` a struct bpf_flow_keys; `buffer` memory
 * whose size shows at attach; `btf` a trusted kernel struct.
 */
export type CtxValue =
  | "scalar"
  | "packet"
  | "packetMeta"
  | "packetEnd"
  | "socket"
  | "socketOrNull"
  | "sockCommonOrNull"
  | "flowKeys"
  | "buffer"
  | "btf";

export interface CtxField {
  readonly name: string;
  /** In bytes from the ctx's start. */
  readonly offset: number;
  readonly size: number;
  /** Bit set of access widths (1 | 2 | 4 | 8) that a load or a store may have; 0 for none. */
  readonly read: number;
  readonly write: number;
  /** Narrow accesses only at the field's first byte. */
  readonly baseOnly: boolean;
  readonly value: CtxValue;
  /** Kernel struct of a `btf` value. */
  readonly of: string;
}

export interface CtxLayout {
  /** Name of the UAPI struct. */
  readonly struct: string;
  /** Bytes from offset 0 that hold fields or padding; accesses end before it. */
  readonly size: number;
  readonly fields: readonly CtxField[];
}

/**
 * A row: offset, size, name, read widths, write widths, extra. Extra is the value's kind, `@` for base-only narrow
 * access. A struct's rows name all its fields; program types then hide some and make others writable.
 */
type Row = readonly [offset: number, size: number, name: string, read: string, write?: string, extra?: string];

// biome-ignore format: a table
const SK_BUFF: readonly Row[] = [
  [0, 4, "len", "124"], [4, 4, "pkt_type", "124"], [8, 4, "mark", "124"], [12, 4, "queue_mapping", "124"],
  [16, 4, "protocol", "124"], [20, 4, "vlan_present", "124"], [24, 4, "vlan_tci", "124"], [28, 4, "vlan_proto", "124"],
  [32, 4, "priority", "124"], [36, 4, "ingress_ifindex", "124"], [40, 4, "ifindex", "124"], [44, 4, "tc_index", "124"],
  [48, 20, "cb", "1248"], [68, 4, "hash", "124"], [72, 4, "tc_classid", "124"],
  [76, 4, "data", "4", "", "packet"], [80, 4, "data_end", "4", "", "packetEnd"], [84, 4, "napi_id", "124"],
  [88, 4, "family", "124"], [92, 4, "remote_ip4", "4"], [96, 4, "local_ip4", "4"], [100, 16, "remote_ip6", "4"],
  [116, 16, "local_ip6", "4"], [132, 4, "remote_port", "124"], [136, 4, "local_port", "124"],
  [140, 4, "data_meta", "4", "", "packetMeta"], [144, 8, "flow_keys", "8", "", "flowKeys"], [152, 8, "tstamp", "8"],
  [160, 4, "wire_len", "124"], [164, 4, "gso_segs", "124"], [168, 8, "sk", "8", "", "sockCommonOrNull"],
  [176, 4, "gso_size", "124"], [180, 1, "tstamp_type", "1"], [184, 8, "hwtstamp", "8"],
];
// biome-ignore format: a table
const XDP_MD: readonly Row[] = [
  [0, 4, "data", "4", "", "packet"], [4, 4, "data_end", "4", "", "packetEnd"],
  [8, 4, "data_meta", "4", "", "packetMeta"], [12, 4, "ingress_ifindex", "4"], [16, 4, "rx_queue_index", "4"],
  [20, 4, "egress_ifindex", "4"],
];
// biome-ignore format: a table
const SOCK: readonly Row[] = [
  [0, 4, "bound_dev_if", "4"], [4, 4, "family", "124", "", "@"], [8, 4, "type", "124", "", "@"],
  [12, 4, "protocol", "124", "", "@"], [16, 4, "mark", "4"], [20, 4, "priority", "4"], [24, 4, "src_ip4", "124"],
  [28, 16, "src_ip6", "124"], [44, 4, "src_port", "124", "", "@"], [48, 2, "dst_port", "12"],
  [48, 4, "dst_port", "4"], [52, 4, "dst_ip4", "124"], [56, 16, "dst_ip6", "124"], [72, 4, "state", "124", "", "@"],
  [76, 4, "rx_queue_mapping", "124", "", "@"],
];
// biome-ignore format: a table
const TCP_SOCK: readonly Row[] = [
  [0, 4, "snd_cwnd", "4"], [4, 4, "srtt_us", "4"], [8, 4, "rtt_min", "4"], [12, 4, "snd_ssthresh", "4"],
  [16, 4, "rcv_nxt", "4"], [20, 4, "snd_nxt", "4"], [24, 4, "snd_una", "4"], [28, 4, "mss_cache", "4"],
  [32, 4, "ecn_flags", "4"], [36, 4, "rate_delivered", "4"], [40, 4, "rate_interval_us", "4"],
  [44, 4, "packets_out", "4"], [48, 4, "retrans_out", "4"], [52, 4, "total_retrans", "4"], [56, 4, "segs_in", "4"],
  [60, 4, "data_segs_in", "4"], [64, 4, "segs_out", "4"], [68, 4, "data_segs_out", "4"], [72, 4, "lost_out", "4"],
  [76, 4, "sacked_out", "4"], [80, 8, "bytes_received", "8"], [88, 8, "bytes_acked", "8"], [96, 4, "dsack_dups", "4"],
  [100, 4, "delivered", "4"], [104, 4, "delivered_ce", "4"], [108, 4, "icsk_retransmits", "4"],
];
// biome-ignore format: a table
const SOCK_OPS: readonly Row[] = [
  [0, 4, "op", "4"], [4, 4, "reply", "4", "4"], [8, 12, "args", "4"], [20, 4, "family", "4"],
  [24, 4, "remote_ip4", "4"], [28, 4, "local_ip4", "4"], [32, 16, "remote_ip6", "4"], [48, 16, "local_ip6", "4"],
  [64, 4, "remote_port", "4"], [68, 4, "local_port", "4"], [72, 4, "is_fullsock", "4"], [76, 4, "snd_cwnd", "4"],
  [80, 4, "srtt_us", "4"], [84, 4, "bpf_sock_ops_cb_flags", "4"], [88, 4, "state", "4"], [92, 4, "rtt_min", "4"],
  [96, 4, "snd_ssthresh", "4"], [100, 4, "rcv_nxt", "4"], [104, 4, "snd_nxt", "4"], [108, 4, "snd_una", "4"],
  [112, 4, "mss_cache", "4"], [116, 4, "ecn_flags", "4"], [120, 4, "rate_delivered", "4"],
  [124, 4, "rate_interval_us", "4"], [128, 4, "packets_out", "4"], [132, 4, "retrans_out", "4"],
  [136, 4, "total_retrans", "4"], [140, 4, "segs_in", "4"], [144, 4, "data_segs_in", "4"], [148, 4, "segs_out", "4"],
  [152, 4, "data_segs_out", "4"], [156, 4, "lost_out", "4"], [160, 4, "sacked_out", "4"],
  [164, 4, "sk_txhash", "4", "4"], [168, 8, "bytes_received", "8"], [176, 8, "bytes_acked", "8"],
  [184, 8, "sk", "8", "", "socketOrNull"], [192, 8, "skb_data", "8", "", "packet"],
  [200, 8, "skb_data_end", "8", "", "packetEnd"], [208, 4, "skb_len", "4"], [212, 4, "skb_tcp_flags", "124", "", "@"],
  [216, 8, "skb_hwtstamp", "8"],
];
// biome-ignore format: a table
const SK_MSG: readonly Row[] = [
  [0, 8, "data", "8", "", "packet"], [8, 8, "data_end", "8", "", "packetEnd"], [16, 4, "family", "4"],
  [20, 4, "remote_ip4", "4"], [24, 4, "local_ip4", "4"], [28, 16, "remote_ip6", "4"], [44, 16, "local_ip6", "4"],
  [60, 4, "remote_port", "4"], [64, 4, "local_port", "4"], [68, 4, "size", "4"], [72, 8, "sk", "8", "", "socket"],
];
// biome-ignore format: a table
const SOCK_ADDR: readonly Row[] = [
  [0, 4, "user_family", "4"], [4, 4, "user_ip4", "124", "4"], [8, 16, "user_ip6", "1248", "48"],
  [24, 4, "user_port", "124", "4"], [28, 4, "family", "4"], [32, 4, "type", "4"], [36, 4, "protocol", "4"],
  [40, 4, "msg_src_ip4", "124", "4"], [44, 16, "msg_src_ip6", "1248", "48"], [64, 8, "sk", "8", "", "socket"],
];
// biome-ignore format: a table
const SK_REUSEPORT: readonly Row[] = [
  [0, 8, "data", "8", "", "packet"], [8, 8, "data_end", "8", "", "packetEnd"], [16, 4, "len", "124"],
  [20, 4, "eth_protocol", "24"], [24, 4, "ip_protocol", "124"], [28, 4, "bind_inany", "124"], [32, 4, "hash", "4"],
  [40, 8, "sk", "8", "", "socket"], [48, 8, "migrating_sk", "8", "", "sockCommonOrNull"],
];
// biome-ignore format: a table
const SK_LOOKUP: readonly Row[] = [
  [0, 8, "sk", "8", "", "socketOrNull"], [8, 4, "family", "124"], [12, 4, "protocol", "124"],
  [16, 4, "remote_ip4", "124"], [20, 16, "remote_ip6", "124"], [36, 4, "remote_port", "124"],
  [40, 4, "local_ip4", "124"], [44, 16, "local_ip6", "124"], [60, 4, "local_port", "124"],
  [64, 4, "ingress_ifindex", "124"],
];
// biome-ignore format: a table
const SOCKOPT: readonly Row[] = [
  [0, 8, "sk", "8", "", "socket"], [8, 8, "optval", "8", "", "packet"], [16, 8, "optval_end", "8", "", "packetEnd"],
  [24, 4, "level", "4"], [28, 4, "optname", "4"], [32, 4, "optlen", "4", "4"], [36, 4, "retval", "4"],
];
const SYSCTL: readonly Row[] = [
  [0, 4, "write", "124"],
  [4, 4, "file_pos", "124", "4"],
];
const CGROUP_DEV: readonly Row[] = [
  [0, 4, "access_type", "124"],
  [4, 4, "major", "4"],
  [8, 4, "minor", "4"],
];
/** The first word is the writable buffer's pointer: only whole. */
const RAW_TP_WRITABLE: readonly Row[] = [
  [0, 8, "args", "8", "", "buffer"],
  [1, 95, "args", "124"],
  [8, 88, "args", "8"],
];
const NETFILTER: readonly Row[] = [
  [0, 8, "state", "8", "", "btf:nf_hook_state"],
  [8, 8, "skb", "8", "", "btf:sk_buff"],
];

const STRUCTS: ReadonlyMap<string, readonly Row[]> = new Map([
  ["__sk_buff", SK_BUFF],
  ["xdp_md", XDP_MD],
  ["bpf_sock", SOCK],
  ["bpf_sock_addr", SOCK_ADDR],
  ["bpf_sockopt", SOCKOPT],
]);

/** Structs behind the pointers that helpers and ctx fields give: bpf_sock, the part of it that any socket has, … */
export const SOCKET_LAYOUT = layout("bpf_sock", SOCK);
export const SOCK_COMMON_LAYOUT = layout("bpf_sock", SOCK, { hide: "type protocol mark priority" });
export const TCP_SOCK_LAYOUT = layout("bpf_tcp_sock", TCP_SOCK);
export const XDP_SOCK_LAYOUT = layout("bpf_xdp_sock", [[0, 4, "queue_id", "4"]]);
/** Bytes of struct bpf_flow_keys, readable and writable at any width by flow dissectors. */
export const FLOW_KEYS_SIZE = 56;

const MSG_SRC = "msg_src_ip4 msg_src_ip6";
const SKB_ADDRESSES = "family remote_ip4 local_ip4 remote_ip6 local_ip6 remote_port local_port";
const SKB_TC = layout("__sk_buff", SK_BUFF, {
  hide: `flow_keys ${SKB_ADDRESSES}`,
  write: "mark:4 queue_mapping:4 priority:4 tc_index:4 cb:1248 tc_classid:4 tstamp:8",
});
const SKB_LWT = layout("__sk_buff", SK_BUFF, {
  hide: `tc_classid ${SKB_ADDRESSES} data_meta flow_keys tstamp wire_len tstamp_type hwtstamp`,
  write: "mark:4 priority:4 cb:1248",
});

type LayoutRule = CtxLayout | ((attachType: number) => CtxLayout | undefined);

const BY_TYPE = new Map<number, LayoutRule>([
  [
    ProgType.BPF_PROG_TYPE_SOCKET_FILTER,
    layout("__sk_buff", SK_BUFF, {
      hide: `tc_classid data data_end ${SKB_ADDRESSES} data_meta flow_keys tstamp wire_len tstamp_type hwtstamp`,
      write: "cb:1248",
    }),
  ],
  [ProgType.BPF_PROG_TYPE_SCHED_CLS, SKB_TC],
  [ProgType.BPF_PROG_TYPE_SCHED_ACT, SKB_TC],
  [
    ProgType.BPF_PROG_TYPE_CGROUP_SKB,
    layout("__sk_buff", SK_BUFF, {
      hide: "tc_classid data_meta flow_keys wire_len tstamp_type",
      write: "mark:4 priority:4 cb:1248 tstamp:8",
    }),
  ],
  [ProgType.BPF_PROG_TYPE_LWT_IN, SKB_LWT],
  [ProgType.BPF_PROG_TYPE_LWT_OUT, SKB_LWT],
  [ProgType.BPF_PROG_TYPE_LWT_XMIT, SKB_LWT],
  [ProgType.BPF_PROG_TYPE_LWT_SEG6LOCAL, SKB_LWT],
  [
    ProgType.BPF_PROG_TYPE_SK_SKB,
    layout("__sk_buff", SK_BUFF, {
      hide: "mark tc_classid data_meta flow_keys tstamp wire_len tstamp_type hwtstamp",
      write: "priority:4 tc_index:4",
    }),
  ],
  [ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR, layout("__sk_buff", SK_BUFF, { only: "data data_end flow_keys" })],
  [ProgType.BPF_PROG_TYPE_XDP, xdpLayouts()],
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK, cgroupSockLayouts()],
  [ProgType.BPF_PROG_TYPE_SOCK_OPS, layout("bpf_sock_ops", SOCK_OPS)],
  [ProgType.BPF_PROG_TYPE_SK_MSG, layout("sk_msg_md", SK_MSG)],
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, sockAddrLayouts()],
  [ProgType.BPF_PROG_TYPE_SK_REUSEPORT, layout("sk_reuseport_md", SK_REUSEPORT)],
  [ProgType.BPF_PROG_TYPE_SK_LOOKUP, layout("bpf_sk_lookup", SK_LOOKUP)],
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT, sockoptLayouts()],
  [ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL, layout("bpf_sysctl", SYSCTL)],
  [ProgType.BPF_PROG_TYPE_CGROUP_DEVICE, layout("bpf_cgroup_dev_ctx", CGROUP_DEV)],
  [ProgType.BPF_PROG_TYPE_NETFILTER, layout("bpf_nf_ctx", NETFILTER)],
  [ProgType.BPF_PROG_TYPE_KPROBE, opaque("pt_regs", 0, 168, "")],
  [ProgType.BPF_PROG_TYPE_TRACEPOINT, opaque("tracepoint", 8, 8192, "")],
  [ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT, opaque("bpf_raw_tracepoint_args", 0, 96, "")],
  [ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, layout("bpf_raw_tracepoint_args", RAW_TP_WRITABLE)],
  [ProgType.BPF_PROG_TYPE_SYSCALL, opaque("syscall", 0, 0xffff, "1248")],
  [
    ProgType.BPF_PROG_TYPE_PERF_EVENT,
    layout("bpf_perf_event_data", [
      [0, 168, "regs", "8"],
      [168, 8, "sample_period", "1248"],
      [176, 8, "addr", "1248"],
    ]),
  ],
]);

/** The ctx of a program type at an attach type; undefined where the type has none that is described here. */
export function ctxLayout(progType: number, attachType: number): CtxLayout | undefined {
  const rule = BY_TYPE.get(progType);
  return typeof rule === "function" ? rule(attachType) : rule;
}

/** The name of a field that a layout hides: one of its struct that other program types, or other hooks, have. */
export function hiddenField(ctx: CtxLayout, offset: number): string | undefined {
  const rows = STRUCTS.get(ctx.struct);
  return rows?.find(([at, size]) => at <= offset && offset < at + size)?.[2];
}

/** The field that an access of `size` bytes at `offset` may touch, undefined when it may not. Misaligned never may. */
export function ctxAccess(ctx: CtxLayout, offset: number, size: number, write: boolean): CtxField | undefined {
  if (offset % size !== 0) return undefined;
  for (const field of ctx.fields) {
    if (offset < field.offset || offset + size > field.offset + field.size) continue;
    if (((write ? field.write : field.read) & size) === 0) continue;
    if (field.baseOnly && offset !== field.offset) continue;
    return field;
  }
  return undefined;
}

interface LayoutChange {
  /** Names that this program type may not touch. */
  readonly hide?: string;
  /** The only names that it may touch. */
  readonly only?: string;
  /** `name:widths` that it may write. */
  readonly write?: string;
}

function layout(struct: string, rows: readonly Row[], change: LayoutChange = {}): CtxLayout {
  const hidden = new Set(change.hide?.split(" "));
  const only = change.only === undefined ? undefined : new Set(change.only.split(" "));
  const writes = new Map(change.write?.split(" ").map((w) => w.split(":") as [string, string]));
  const fields = rows
    .filter((row) => !hidden.has(row[2]) && (!only || only.has(row[2])))
    .map(([offset, size, name, read, write = "", extra = ""]): CtxField => {
      const [value, of = ""] = extra.split(":") as [string, string?];
      return {
        name,
        offset,
        size,
        read: widths(read),
        write: widths(writes.get(name) ?? write),
        baseOnly: extra === "@",
        value: extra === "" || extra === "@" ? "scalar" : (value as CtxValue),
        of,
      };
    });
  return { struct, size: Math.max(0, ...rows.map((row) => row[0] + row[1])), fields };
}

/** A ctx of plain bytes from `offset` up to `size`. */
function opaque(struct: string, offset: number, size: number, write: string): CtxLayout {
  const row: Row = [offset, size - offset, struct, "1248", write];
  return layout(struct, [row]);
}

function widths(text: string): number {
  let set = 0;
  for (const digit of text) set |= Number(digit);
  return set;
}

/** egress_ifindex exists only for programs that run on a devmap entry. */
function xdpLayouts(): LayoutRule {
  const plain = layout("xdp_md", XDP_MD, { hide: "egress_ifindex" });
  const devmap = layout("xdp_md", XDP_MD);
  return (attachType) => (attachType === AttachType.BPF_XDP_DEVMAP ? devmap : plain);
}

function cgroupSockLayouts(): LayoutRule {
  const create = layout("bpf_sock", SOCK, {
    hide: "src_ip4 src_ip6 src_port",
    write: "bound_dev_if:4 mark:4 priority:4",
  });
  const bind4 = layout("bpf_sock", SOCK, { hide: "bound_dev_if mark priority src_ip6" });
  const bind6 = layout("bpf_sock", SOCK, { hide: "bound_dev_if mark priority src_ip4" });
  return (attachType) => {
    if (attachType === AttachType.BPF_CGROUP_INET4_POST_BIND) return bind4;
    return attachType === AttachType.BPF_CGROUP_INET6_POST_BIND ? bind6 : create;
  };
}

function sockAddrLayouts(): LayoutRule {
  const A = AttachType;
  const ip4 = layout("bpf_sock_addr", SOCK_ADDR, { hide: `user_ip6 ${MSG_SRC}` });
  const ip6 = layout("bpf_sock_addr", SOCK_ADDR, { hide: `user_ip4 ${MSG_SRC}` });
  const unix = layout("bpf_sock_addr", SOCK_ADDR, { hide: `user_ip4 user_ip6 ${MSG_SRC}` });
  const send4 = layout("bpf_sock_addr", SOCK_ADDR, { hide: "user_ip6 msg_src_ip6" });
  const send6 = layout("bpf_sock_addr", SOCK_ADDR, { hide: "user_ip4 msg_src_ip4" });
  const byAttach = new Map<number, CtxLayout>([
    [A.BPF_CGROUP_UDP4_SENDMSG, send4],
    [A.BPF_CGROUP_UDP6_SENDMSG, send6],
  ]);
  const four = [
    A.BPF_CGROUP_INET4_BIND,
    A.BPF_CGROUP_INET4_CONNECT,
    A.BPF_CGROUP_UDP4_RECVMSG,
    A.BPF_CGROUP_INET4_GETPEERNAME,
    A.BPF_CGROUP_INET4_GETSOCKNAME,
  ];
  const six = [
    A.BPF_CGROUP_INET6_BIND,
    A.BPF_CGROUP_INET6_CONNECT,
    A.BPF_CGROUP_UDP6_RECVMSG,
    A.BPF_CGROUP_INET6_GETPEERNAME,
    A.BPF_CGROUP_INET6_GETSOCKNAME,
  ];
  for (const attachType of four) byAttach.set(attachType, ip4);
  for (const attachType of six) byAttach.set(attachType, ip6);
  return (attachType) => byAttach.get(attachType) ?? unix;
}

function sockoptLayouts(): LayoutRule {
  const get = layout("bpf_sockopt", SOCKOPT, { write: "optlen:4 retval:4" });
  const set = layout("bpf_sockopt", SOCKOPT, { hide: "retval", write: "level:4 optname:4 optlen:4" });
  return (attachType) => (attachType === AttachType.BPF_CGROUP_SETSOCKOPT ? set : get);
}

/** The kernel's own struct behind a program type's ctx. Source: include/linux/bpf_types.h, `get_kern_ctx_btf_id`. */
const KERNEL_CTX: ReadonlyMap<number, string> = new Map([
  ...[
    "SOCKET_FILTER",
    "SCHED_CLS",
    "SCHED_ACT",
    "CGROUP_SKB",
    "LWT_IN",
    "LWT_OUT",
    "LWT_XMIT",
    "LWT_SEG6LOCAL",
    "SK_SKB",
  ].map((name): [number, string] => [(ProgType as Record<string, number>)[`BPF_PROG_TYPE_${name}`]!, "sk_buff"]),
  [ProgType.BPF_PROG_TYPE_XDP, "xdp_buff"],
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK, "sock"],
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "bpf_sock_addr_kern"],
  [ProgType.BPF_PROG_TYPE_SOCK_OPS, "bpf_sock_ops_kern"],
  [ProgType.BPF_PROG_TYPE_SK_MSG, "sk_msg"],
  [ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR, "bpf_flow_dissector"],
  [ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL, "bpf_sysctl_kern"],
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT, "bpf_sockopt_kern"],
  [ProgType.BPF_PROG_TYPE_SK_REUSEPORT, "sk_reuseport_kern"],
  [ProgType.BPF_PROG_TYPE_SK_LOOKUP, "bpf_sk_lookup_kern"],
  [ProgType.BPF_PROG_TYPE_NETFILTER, "bpf_nf_ctx"],
  [ProgType.BPF_PROG_TYPE_PERF_EVENT, "bpf_perf_event_data_kern"],
]);

export function kernelCtx(progType: number): string | undefined {
  return KERNEL_CTX.get(progType);
}
