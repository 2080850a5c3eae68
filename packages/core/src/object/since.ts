/**
 * Which kernel brought what: program, map and attach types. (Helpers and kfuncs say it in their own tables.)
 * Source: the commits that added each to include/uapi/linux/bpf.h, first release that has it; up to 4.20 also listed
 * in bcc's docs/kernel-versions.md.
 */
import { MapType, type MapTypeName } from "./map-types.ts";
import { AttachType, type AttachTypeName, ProgType, type ProgTypeName } from "./prog-types.ts";

export const PROG_TYPE_SINCE: Readonly<Record<Exclude<ProgTypeName, "BPF_PROG_TYPE_UNSPEC">, string>> = {
  BPF_PROG_TYPE_SOCKET_FILTER: "3.19",
  BPF_PROG_TYPE_KPROBE: "4.1",
  BPF_PROG_TYPE_SCHED_CLS: "4.1",
  BPF_PROG_TYPE_SCHED_ACT: "4.1",
  BPF_PROG_TYPE_TRACEPOINT: "4.7",
  BPF_PROG_TYPE_XDP: "4.8",
  BPF_PROG_TYPE_PERF_EVENT: "4.9",
  BPF_PROG_TYPE_CGROUP_SKB: "4.10",
  BPF_PROG_TYPE_CGROUP_SOCK: "4.10",
  BPF_PROG_TYPE_LWT_IN: "4.10",
  BPF_PROG_TYPE_LWT_OUT: "4.10",
  BPF_PROG_TYPE_LWT_XMIT: "4.10",
  BPF_PROG_TYPE_SOCK_OPS: "4.13",
  BPF_PROG_TYPE_SK_SKB: "4.14",
  BPF_PROG_TYPE_CGROUP_DEVICE: "4.15",
  BPF_PROG_TYPE_SK_MSG: "4.17",
  BPF_PROG_TYPE_RAW_TRACEPOINT: "4.17",
  BPF_PROG_TYPE_CGROUP_SOCK_ADDR: "4.17",
  BPF_PROG_TYPE_LWT_SEG6LOCAL: "4.18",
  BPF_PROG_TYPE_LIRC_MODE2: "4.18",
  BPF_PROG_TYPE_SK_REUSEPORT: "4.19",
  BPF_PROG_TYPE_FLOW_DISSECTOR: "4.20",
  BPF_PROG_TYPE_CGROUP_SYSCTL: "5.2",
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: "5.2",
  BPF_PROG_TYPE_CGROUP_SOCKOPT: "5.3",
  BPF_PROG_TYPE_TRACING: "5.5",
  BPF_PROG_TYPE_STRUCT_OPS: "5.6",
  BPF_PROG_TYPE_EXT: "5.6",
  BPF_PROG_TYPE_LSM: "5.7",
  BPF_PROG_TYPE_SK_LOOKUP: "5.9",
  BPF_PROG_TYPE_SYSCALL: "5.14",
  BPF_PROG_TYPE_NETFILTER: "6.4",
};

export const MAP_TYPE_SINCE: Readonly<Record<Exclude<MapTypeName, "BPF_MAP_TYPE_UNSPEC">, string>> = {
  BPF_MAP_TYPE_HASH: "3.19",
  BPF_MAP_TYPE_ARRAY: "3.19",
  BPF_MAP_TYPE_PROG_ARRAY: "4.2",
  BPF_MAP_TYPE_PERF_EVENT_ARRAY: "4.3",
  BPF_MAP_TYPE_PERCPU_HASH: "4.6",
  BPF_MAP_TYPE_PERCPU_ARRAY: "4.6",
  BPF_MAP_TYPE_STACK_TRACE: "4.6",
  BPF_MAP_TYPE_CGROUP_ARRAY: "4.8",
  BPF_MAP_TYPE_LRU_HASH: "4.10",
  BPF_MAP_TYPE_LRU_PERCPU_HASH: "4.10",
  BPF_MAP_TYPE_LPM_TRIE: "4.11",
  BPF_MAP_TYPE_ARRAY_OF_MAPS: "4.12",
  BPF_MAP_TYPE_HASH_OF_MAPS: "4.12",
  BPF_MAP_TYPE_DEVMAP: "4.14",
  BPF_MAP_TYPE_SOCKMAP: "4.14",
  BPF_MAP_TYPE_CPUMAP: "4.15",
  BPF_MAP_TYPE_XSKMAP: "4.18",
  BPF_MAP_TYPE_SOCKHASH: "4.18",
  BPF_MAP_TYPE_CGROUP_STORAGE: "4.19",
  BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: "4.19",
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: "4.20",
  BPF_MAP_TYPE_QUEUE: "4.20",
  BPF_MAP_TYPE_STACK: "4.20",
  BPF_MAP_TYPE_SK_STORAGE: "5.2",
  BPF_MAP_TYPE_DEVMAP_HASH: "5.4",
  BPF_MAP_TYPE_STRUCT_OPS: "5.6",
  BPF_MAP_TYPE_RINGBUF: "5.8",
  BPF_MAP_TYPE_INODE_STORAGE: "5.10",
  BPF_MAP_TYPE_TASK_STORAGE: "5.11",
  BPF_MAP_TYPE_BLOOM_FILTER: "5.16",
  BPF_MAP_TYPE_USER_RINGBUF: "6.1",
  BPF_MAP_TYPE_CGRP_STORAGE: "6.2",
  BPF_MAP_TYPE_ARENA: "6.9",
};

export const ATTACH_TYPE_SINCE: Readonly<Record<AttachTypeName, string>> = {
  BPF_CGROUP_INET_INGRESS: "4.10",
  BPF_CGROUP_INET_EGRESS: "4.10",
  BPF_CGROUP_INET_SOCK_CREATE: "4.10",
  BPF_CGROUP_SOCK_OPS: "4.13",
  BPF_SK_SKB_STREAM_PARSER: "4.14",
  BPF_SK_SKB_STREAM_VERDICT: "4.14",
  BPF_CGROUP_DEVICE: "4.15",
  BPF_SK_MSG_VERDICT: "4.17",
  BPF_CGROUP_INET4_BIND: "4.17",
  BPF_CGROUP_INET6_BIND: "4.17",
  BPF_CGROUP_INET4_CONNECT: "4.17",
  BPF_CGROUP_INET6_CONNECT: "4.17",
  BPF_CGROUP_INET4_POST_BIND: "4.17",
  BPF_CGROUP_INET6_POST_BIND: "4.17",
  BPF_CGROUP_UDP4_SENDMSG: "4.18",
  BPF_CGROUP_UDP6_SENDMSG: "4.18",
  BPF_LIRC_MODE2: "4.18",
  BPF_FLOW_DISSECTOR: "4.20",
  BPF_CGROUP_SYSCTL: "5.2",
  BPF_CGROUP_UDP4_RECVMSG: "5.2",
  BPF_CGROUP_UDP6_RECVMSG: "5.2",
  BPF_CGROUP_GETSOCKOPT: "5.3",
  BPF_CGROUP_SETSOCKOPT: "5.3",
  BPF_TRACE_RAW_TP: "5.5",
  BPF_TRACE_FENTRY: "5.5",
  BPF_TRACE_FEXIT: "5.5",
  BPF_MODIFY_RETURN: "5.7",
  BPF_LSM_MAC: "5.7",
  BPF_TRACE_ITER: "5.8",
  BPF_CGROUP_INET4_GETPEERNAME: "5.8",
  BPF_CGROUP_INET6_GETPEERNAME: "5.8",
  BPF_CGROUP_INET4_GETSOCKNAME: "5.8",
  BPF_CGROUP_INET6_GETSOCKNAME: "5.8",
  BPF_XDP_DEVMAP: "5.8",
  BPF_CGROUP_INET_SOCK_RELEASE: "5.9",
  BPF_XDP_CPUMAP: "5.9",
  BPF_SK_LOOKUP: "5.9",
  BPF_XDP: "5.9",
  BPF_SK_SKB_VERDICT: "5.13",
  BPF_SK_REUSEPORT_SELECT: "5.14",
  BPF_SK_REUSEPORT_SELECT_OR_MIGRATE: "5.14",
  BPF_PERF_EVENT: "5.15",
  BPF_TRACE_KPROBE_MULTI: "5.18",
  BPF_LSM_CGROUP: "6.0",
  BPF_STRUCT_OPS: "6.4",
  BPF_NETFILTER: "6.4",
  BPF_TCX_INGRESS: "6.6",
  BPF_TCX_EGRESS: "6.6",
  BPF_TRACE_UPROBE_MULTI: "6.6",
  BPF_CGROUP_UNIX_CONNECT: "6.7",
  BPF_CGROUP_UNIX_SENDMSG: "6.7",
  BPF_CGROUP_UNIX_RECVMSG: "6.7",
  BPF_CGROUP_UNIX_GETPEERNAME: "6.7",
  BPF_CGROUP_UNIX_GETSOCKNAME: "6.7",
  BPF_NETKIT_PRIMARY: "6.7",
  BPF_NETKIT_PEER: "6.7",
  BPF_TRACE_KPROBE_SESSION: "6.10",
  BPF_TRACE_UPROBE_SESSION: "6.13",
};

/** The kernel that brought a type, by its number; undefined for one that is not in the tables. */
export function progTypeSince(type: number): string | undefined {
  return sinceOf(ProgType, PROG_TYPE_SINCE, type);
}

export function mapTypeSince(type: number): string | undefined {
  return sinceOf(MapType, MAP_TYPE_SINCE, type);
}

export function attachTypeSince(type: number): string | undefined {
  return sinceOf(AttachType, ATTACH_TYPE_SINCE, type);
}

function sinceOf(numbers: Readonly<Record<string, number>>, since: Readonly<Record<string, string>>, type: number) {
  const name = Object.keys(numbers).find((key) => numbers[key] === type);
  return name === undefined ? undefined : since[name];
}

/** Compares kernel versions by their first two numbers: negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [a1 = 0, a2 = 0] = a.split(/[.-]/).map(Number);
  const [b1 = 0, b2 = 0] = b.split(/[.-]/).map(Number);
  return a1 - b1 || a2 - b2;
}
