/**
 * The one helper table: all 211 helpers with number, name, argument and result types, licence, program types and the
 * kernel that brought them. Verifier, engines, compiler, loaders and printers read it; nobody keeps a second list.
 * It leaves out what only one reader needs: how the verifier checks an argument kind, how an engine runs a helper.
 *
 * Source: include/uapi/linux/bpf.h `___BPF_FUNC_MAPPER` (numbers); the `bpf_func_proto`s of net/core/filter.c,
 * kernel/bpf/helpers.c and kernel/trace/bpf_trace.c of Linux 6.12 (types, flags); which program types may call what and
 * which helpers need a GPL-compatible licence was asked of a running 6.18 kernel, one BPF_PROG_LOAD a pair.
 */
import { AttachType, ProgType } from "./prog-types.ts";

/**
 * What a helper expects in a register. `any` is an initialised scalar, or a pointer where pointers may leak; `scalar`
 * is a number only; `map` to `value` belong together (key and value sizes come from the map); `size` and `size0` (zero
 * allowed) bound the `mem` before them; `sock` is any socket type, BTF ones included, `sockCommon` only the mirrored
 * ones; `str` is a NUL-terminated string in a frozen read-only map; `btf` names a kernel struct.
 */
export type ArgKind =
  | "any"
  | "scalar"
  | "map"
  | "key"
  | "value"
  | "mem"
  | "size"
  | "size0"
  | "allocSize"
  | "ctx"
  | "lock"
  | "sockCommon"
  | "sock"
  | "btf"
  | "percpuBtf"
  | "ringbufMem"
  | "func"
  | "stack"
  | "str"
  | "timer"
  | "kptr"
  | "dynptr";

/** One argument, r1 to r5 in order. */
export interface HelperArg {
  readonly kind: ArgKind;
  /** NULL (the constant 0) is accepted too. */
  readonly orNull: boolean;
  /** How the helper uses the memory behind a pointer: `uninit` is written and need not be initialised before. */
  readonly access: "read" | "write" | "uninit";
  /** Bytes of a fixed-size `mem`, 0 where the next argument or the map says. */
  readonly size: number;
  /** The memory must be aligned to `size`. */
  readonly aligned: boolean;
  /** The helper takes over the reference in this register: it is gone after the call. */
  readonly releases: boolean;
  /** Kernel struct of a `btf` argument, dynptr kind (`local`, `ringbuf`) of a `dynptr`; "" for any. */
  readonly of: string;
}

/**
 * What r0 holds after the call. `int` is a scalar, `void` nothing that may be read; the others are pointers, NULL
 * possible with `orNull`: a map's value, a socket, ring buffer memory, dynptr data, a kernel struct by BTF.
 */
export interface HelperResult {
  readonly kind:
    | "int"
    | "void"
    | "value"
    | "socket"
    | "tcpSock"
    | "sockCommon"
    | "ringbufMem"
    | "dynptrMem"
    | "btf"
    | "memOrBtf";
  readonly orNull: boolean;
  /** Kernel struct of a `btf` result. */
  readonly of: string;
}

export interface Helper {
  /** The number in a call's imm. */
  readonly id: number;
  /** Without the `bpf_` prefix. */
  readonly name: string;
  readonly args: readonly HelperArg[];
  readonly result: HelperResult;
  /** Only programs under a GPL-compatible licence may call it. */
  readonly gplOnly: boolean;
  /** Packet pointers may be passed where memory is expected. */
  readonly packetAccess: boolean;
  /** Packet data may move: all packet pointers are invalid after the call. */
  readonly changesPacket: boolean;
  /** Only sleepable programs may call it. */
  readonly mightSleep: boolean;
  /** First kernel that has it. */
  readonly since: string;
  /** Program types that may call it; undefined for all. */
  readonly progTypes: ReadonlySet<number> | undefined;
}

/**
 * The rows: number, name, result, arguments, flags, first kernel, program types.
 *
 * An argument is its kind, then `?` for NULL allowed, `:r` `:w` `:u` for memory read, written, written without being
 * initialised (default read), `:a` for aligned, `#N` for a fixed size, `!` for a released reference, `@X` for the
 * struct or the dynptr kind. Flags: `g` GPL only, `p` packet memory allowed, `c` changes packet data, `s` might sleep.
 * Program types: `*` for all, `@group`, or the short name. Memory that a helper fills is `:w` even where the kernel's
 * own table forgets to say so (fib_lookup, sysctl_get_name, snprintf, d_path before 6.19).
 */
type Row = readonly [
  id: number,
  name: string,
  result: string,
  args: string,
  flags: string,
  since: string,
  types: string,
];
// biome-ignore format: a table
const ROWS: readonly Row[] = [
  [1, "map_lookup_elem", "value?", "map key", "p", "3.18", "*"],
  [2, "map_update_elem", "int", "map key value any", "p", "3.18", "*"],
  [3, "map_delete_elem", "int", "map key", "p", "3.18", "*"],
  [4, "probe_read", "int", "mem:u size0 any", "g", "4.1", "@trace"],
  [5, "ktime_get_ns", "int", "", "", "4.1", "*"],
  [6, "trace_printk", "int", "mem:r size", "g", "4.1", "*"],
  [7, "get_prandom_u32", "int", "", "", "4.1", "*"],
  [8, "get_smp_processor_id", "int", "", "", "4.1", "*"],
  [9, "skb_store_bytes", "int", "ctx any mem:r size any", "c", "4.1", "@tc lwt_xmit sk_skb"],
  [10, "l3_csum_replace", "int", "ctx any any any any", "c", "4.1", "@tc lwt_xmit"],
  [11, "l4_csum_replace", "int", "ctx any any any any", "c", "4.1", "@tc lwt_xmit"],
  [12, "tail_call", "void", "ctx map any", "c", "4.2", "*"],
  [13, "clone_redirect", "int", "ctx any any", "c", "4.2", "@tc lwt_xmit"],
  [14, "get_current_pid_tgid", "int", "", "", "4.2", "*"],
  [15, "get_current_uid_gid", "int", "", "", "4.2", "*"],
  [16, "get_current_comm", "int", "mem:u size", "", "4.2", "*"],
  [17, "get_cgroup_classid", "int", "ctx", "", "4.3", "*"],
  [18, "skb_vlan_push", "int", "ctx any any", "c", "4.3", "@tc"],
  [19, "skb_vlan_pop", "int", "ctx", "c", "4.3", "@tc"],
  [20, "skb_get_tunnel_key", "int", "ctx mem:u size any", "", "4.3", "@tc lwt_xmit"],
  [21, "skb_set_tunnel_key", "int", "ctx mem:r size any", "", "4.3", "@tc lwt_xmit"],
  [22, "perf_event_read", "int", "map any", "g", "4.3", "*"],
  [23, "redirect", "int", "any any", "", "4.4", "@tc xdp lwt_xmit"],
  [24, "get_route_realm", "int", "ctx", "", "4.4", "@tc @lwt"],
  [25, "perf_event_output", "int", "ctx map any mem:r size0", "g", "4.4", "@trace @tc @lwt socket_filter xdp cgroup_skb cgroup_sock sock_ops sk_skb cgroup_device sk_msg cgroup_sock_addr cgroup_sysctl cgroup_sockopt sk_lookup"],
  [26, "skb_load_bytes", "int", "ctx any mem:u size", "", "4.5", "@tc @lwt socket_filter cgroup_skb sk_skb sk_reuseport flow_dissector"],
  [27, "get_stackid", "int", "ctx map any", "g", "4.6", "@trace"],
  [28, "csum_diff", "int", "mem?:r size0 mem?:r size0 any", "p", "4.6", "@tc @lwt xdp"],
  [29, "skb_get_tunnel_opt", "int", "ctx mem:u size", "", "4.6", "@tc lwt_xmit"],
  [30, "skb_set_tunnel_opt", "int", "ctx mem:r size", "", "4.6", "@tc lwt_xmit"],
  [31, "skb_change_proto", "int", "ctx any any", "c", "4.8", "@tc"],
  [32, "skb_change_type", "int", "ctx any", "", "4.8", "@tc"],
  [33, "skb_under_cgroup", "int", "ctx map any", "", "4.8", "@tc @lwt"],
  [34, "get_hash_recalc", "int", "ctx", "", "4.8", "@tc @lwt"],
  [35, "get_current_task", "int", "", "g", "4.8", "*"],
  [36, "probe_write_user", "int", "any mem:r size", "g", "4.8", "tracing lsm syscall kprobe tracepoint raw_tracepoint raw_tracepoint_writable perf_event"],
  [37, "current_task_under_cgroup", "int", "map any", "", "4.9", "*"],
  [38, "skb_change_tail", "int", "ctx any any", "c", "4.9", "@tc lwt_xmit sk_skb"],
  [39, "skb_pull_data", "int", "ctx any", "c", "4.9", "@tc @lwt sk_skb"],
  [40, "csum_update", "int", "ctx any", "", "4.9", "@tc lwt_xmit"],
  [41, "set_hash_invalid", "int", "ctx", "", "4.9", "@tc lwt_xmit"],
  [42, "get_numa_node_id", "int", "", "", "4.10", "*"],
  [43, "skb_change_head", "int", "ctx any any", "c", "4.10", "@tc lwt_xmit sk_skb"],
  [44, "xdp_adjust_head", "int", "ctx any", "c", "4.10", "xdp"],
  [45, "probe_read_str", "int", "mem:u size0 any", "g", "4.11", "@trace"],
  [46, "get_socket_cookie", "int", "ctx", "", "4.12", "@tc socket_filter cgroup_skb cgroup_sock sock_ops sk_skb cgroup_sock_addr sk_reuseport tracing lsm syscall"],
  [47, "get_socket_uid", "int", "ctx", "", "4.12", "@tc socket_filter cgroup_skb sk_skb"],
  [48, "set_hash", "int", "ctx any", "", "4.13", "@tc"],
  [49, "setsockopt", "int", "ctx any any mem:r size", "", "4.13", "sock_ops cgroup_sock_addr cgroup_sockopt struct_ops"],
  [50, "skb_adjust_room", "int", "ctx any any any", "c", "4.13", "@tc sk_skb"],
  [51, "redirect_map", "int", "map any any", "", "4.14", "xdp"],
  [52, "sk_redirect_map", "int", "ctx map any any", "", "4.14", "sk_skb"],
  [53, "sock_map_update", "int", "ctx map key any", "p", "4.14", "sock_ops"],
  [54, "xdp_adjust_meta", "int", "ctx any", "c", "4.15", "xdp"],
  [55, "perf_event_read_value", "int", "map any mem:u size", "g", "4.15", "*"],
  [56, "perf_prog_read_value", "int", "ctx mem:u size", "g", "4.15", "perf_event"],
  [57, "getsockopt", "int", "ctx any any mem:u size", "", "4.15", "sock_ops cgroup_sock_addr cgroup_sockopt struct_ops"],
  [58, "override_return", "int", "ctx any", "g", "4.16", "kprobe"],
  [59, "sock_ops_cb_flags_set", "int", "ctx any", "", "4.16", "sock_ops"],
  [60, "msg_redirect_map", "int", "ctx map any any", "", "4.17", "sk_msg"],
  [61, "msg_apply_bytes", "int", "ctx any", "", "4.17", "sk_msg"],
  [62, "msg_cork_bytes", "int", "ctx any", "", "4.17", "sk_msg"],
  [63, "msg_pull_data", "int", "ctx any any any", "c", "4.17", "sk_msg"],
  [64, "bind", "int", "ctx mem:r size", "", "4.17", "cgroup_sock_addr"],
  [65, "xdp_adjust_tail", "int", "ctx any", "c", "4.18", "xdp"],
  [66, "skb_get_xfrm_state", "int", "ctx any mem:u size any", "", "4.18", "@tc"],
  [67, "get_stack", "int", "ctx mem:u size0 any", "g", "4.18", "@trace"],
  [68, "skb_load_bytes_relative", "int", "ctx any mem:u size any", "", "4.18", "@tc socket_filter cgroup_skb sk_reuseport"],
  [69, "fib_lookup", "int", "ctx mem:w size any", "g", "4.18", "@tc xdp"],
  [70, "sock_hash_update", "int", "ctx map key any", "p", "4.18", "sock_ops"],
  [71, "msg_redirect_hash", "int", "ctx map key any", "", "4.18", "sk_msg"],
  [72, "sk_redirect_hash", "int", "ctx map key any", "", "4.18", "sk_skb"],
  [73, "lwt_push_encap", "int", "ctx any mem:r size", "c", "4.18", "lwt_in lwt_xmit"],
  [74, "lwt_seg6_store_bytes", "int", "ctx any mem:r size", "c", "4.18", "lwt_seg6local"],
  [75, "lwt_seg6_adjust_srh", "int", "ctx any any", "c", "4.18", "lwt_seg6local"],
  [76, "lwt_seg6_action", "int", "ctx any mem:r size", "c", "4.18", "lwt_seg6local"],
  [77, "rc_repeat", "int", "ctx", "g", "4.18", "lirc_mode2"],
  [78, "rc_keydown", "int", "ctx any any any", "g", "4.18", "lirc_mode2"],
  [79, "skb_cgroup_id", "int", "ctx", "", "4.18", "@tc cgroup_skb"],
  [80, "get_current_cgroup_id", "int", "", "", "4.18", "*"],
  [81, "get_local_storage", "value", "map any", "", "4.19", "cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt"],
  [82, "sk_select_reuseport", "int", "ctx map key any", "", "4.19", "sk_reuseport"],
  [83, "skb_ancestor_cgroup_id", "int", "ctx any", "", "4.19", "@tc cgroup_skb"],
  [84, "sk_lookup_tcp", "socket?", "ctx mem:r size0 any any", "p", "4.20", "@tc xdp cgroup_skb sk_skb cgroup_sock_addr"],
  [85, "sk_lookup_udp", "socket?", "ctx mem:r size0 any any", "p", "4.20", "@tc xdp cgroup_skb sk_skb cgroup_sock_addr"],
  [86, "sk_release", "int", "sock!", "", "4.20", "@tc xdp cgroup_skb sk_skb cgroup_sock_addr sk_lookup"],
  [87, "map_push_elem", "int", "map value any", "p", "4.20", "*"],
  [88, "map_pop_elem", "int", "map value:u", "", "4.20", "*"],
  [89, "map_peek_elem", "int", "map value:u", "", "4.20", "*"],
  [90, "msg_push_data", "int", "ctx any any any", "c", "4.20", "sk_msg"],
  [91, "msg_pop_data", "int", "ctx any any any", "c", "5.0", "sk_msg"],
  [92, "rc_pointer_rel", "int", "ctx any any", "g", "5.0", "lirc_mode2"],
  [93, "spin_lock", "void", "lock", "", "5.1", "*"],
  [94, "spin_unlock", "void", "lock", "", "5.1", "*"],
  [95, "sk_fullsock", "socket?", "sockCommon", "", "5.1", "@tc cgroup_skb"],
  [96, "tcp_sock", "tcpSock?", "sockCommon", "", "5.1", "@tc cgroup_skb sock_ops cgroup_sockopt"],
  [97, "skb_ecn_set_ce", "int", "ctx", "", "5.1", "@tc cgroup_skb"],
  [98, "get_listener_sock", "socket?", "sockCommon", "", "5.1", "@tc cgroup_skb"],
  [99, "skc_lookup_tcp", "sockCommon?", "ctx mem:r size0 any any", "p", "5.2", "@tc xdp cgroup_skb sk_skb cgroup_sock_addr"],
  [100, "tcp_check_syncookie", "int", "sock mem:r size mem:r size", "gp", "5.2", "@tc xdp"],
  [101, "sysctl_get_name", "int", "ctx mem:w size any", "", "5.2", "cgroup_sysctl"],
  [102, "sysctl_get_current_value", "int", "ctx mem:u size", "", "5.2", "cgroup_sysctl"],
  [103, "sysctl_get_new_value", "int", "ctx mem:u size", "", "5.2", "cgroup_sysctl"],
  [104, "sysctl_set_new_value", "int", "ctx mem:r size", "", "5.2", "cgroup_sysctl"],
  [105, "strtol", "int", "mem:r size any mem:u:a#8", "", "5.2", "*"],
  [106, "strtoul", "int", "mem:r size any mem:u:a#8", "", "5.2", "*"],
  [107, "sk_storage_get", "value?", "map sock value? any", "", "5.2", "@tc cgroup_skb cgroup_sock sock_ops sk_msg cgroup_sock_addr cgroup_sockopt tracing struct_ops lsm syscall"],
  [108, "sk_storage_delete", "int", "map sock", "", "5.2", "@tc cgroup_skb sock_ops sk_msg cgroup_sock_addr cgroup_sockopt tracing struct_ops lsm syscall"],
  [109, "send_signal", "int", "any", "", "5.3", "*"],
  [110, "tcp_gen_syncookie", "int", "sock mem:r size mem:r size", "gp", "5.3", "@tc xdp"],
  [111, "skb_output", "int", "btf@sk_buff map any mem:r size0", "g", "5.5", "tracing lsm syscall"],
  [112, "probe_read_user", "int", "mem:u size0 any", "g", "5.5", "*"],
  [113, "probe_read_kernel", "int", "mem:u size0 any", "g", "5.5", "*"],
  [114, "probe_read_user_str", "int", "mem:u size0 any", "g", "5.5", "*"],
  [115, "probe_read_kernel_str", "int", "mem:u size0 any", "g", "5.5", "*"],
  [116, "tcp_send_ack", "int", "btf@tcp_sock any", "", "5.5", "struct_ops"],
  [117, "send_signal_thread", "int", "any", "", "5.6", "*"],
  [118, "jiffies64", "int", "", "", "5.6", "*"],
  [119, "read_branch_records", "int", "ctx mem?:w size0 any", "g", "5.7", "perf_event"],
  [120, "get_ns_current_pid_tgid", "int", "any any mem:u size", "", "5.7", "*"],
  [121, "xdp_output", "int", "btf@xdp_buff map any mem:r size0", "g", "5.7", "tracing lsm syscall"],
  [122, "get_netns_cookie", "int", "ctx?", "", "5.7", "@tc socket_filter cgroup_skb cgroup_sock sock_ops sk_msg cgroup_sock_addr cgroup_sockopt"],
  [123, "get_current_ancestor_cgroup_id", "int", "any", "", "5.7", "*"],
  [124, "sk_assign", "int", "ctx sock any", "", "5.7", "@tc sk_lookup"],
  [125, "ktime_get_boot_ns", "int", "", "", "5.8", "*"],
  [126, "seq_printf", "int", "btf@seq_file mem:r size mem?:r size0", "g", "5.8", "tracing"],
  [127, "seq_write", "int", "btf@seq_file mem:r size0", "g", "5.8", "tracing"],
  [128, "sk_cgroup_id", "int", "sock", "", "5.8", "cgroup_skb"],
  [129, "sk_ancestor_cgroup_id", "int", "sock any", "", "5.8", "cgroup_skb"],
  [130, "ringbuf_output", "int", "map mem:r size0 any", "", "5.8", "*"],
  [131, "ringbuf_reserve", "ringbufMem?", "map allocSize any", "", "5.8", "*"],
  [132, "ringbuf_submit", "void", "ringbufMem! any", "", "5.8", "*"],
  [133, "ringbuf_discard", "void", "ringbufMem! any", "", "5.8", "*"],
  [134, "ringbuf_query", "int", "map any", "", "5.8", "*"],
  [135, "csum_level", "int", "ctx any", "", "5.8", "@tc lwt_xmit"],
  [136, "skc_to_tcp6_sock", "btf?@tcp6_sock", "sock", "", "5.9", "@sk"],
  [137, "skc_to_tcp_sock", "btf?@tcp_sock", "sock", "", "5.9", "@sk"],
  [138, "skc_to_tcp_timewait_sock", "btf?@tcp_timewait_sock", "sock", "", "5.9", "@sk"],
  [139, "skc_to_tcp_request_sock", "btf?@tcp_request_sock", "sock", "", "5.9", "@sk"],
  [140, "skc_to_udp6_sock", "btf?@udp6_sock", "sock", "", "5.9", "@sk"],
  [141, "get_task_stack", "int", "btf@task_struct mem:u size0 any", "", "5.9", "*"],
  [142, "load_hdr_opt", "int", "ctx mem:w size any", "", "5.10", "sock_ops"],
  [143, "store_hdr_opt", "int", "ctx mem:r size any", "c", "5.10", "sock_ops"],
  [144, "reserve_hdr_opt", "int", "ctx any any", "", "5.10", "sock_ops"],
  [145, "inode_storage_get", "value?", "map btf?@inode value? any", "", "5.10", "lsm"],
  [146, "inode_storage_delete", "int", "map btf?@inode", "", "5.10", "lsm"],
  [147, "d_path", "int", "btf@path mem:w size0", "", "5.10", "tracing lsm syscall"],
  [148, "copy_from_user", "int", "mem:u size0 any", "s", "5.10", "*"],
  [149, "snprintf_btf", "int", "mem:w size mem:r size any", "", "5.10", "*"],
  [150, "seq_printf_btf", "int", "btf@seq_file mem:r size0 any", "g", "5.10", "tracing"],
  [151, "skb_cgroup_classid", "int", "ctx", "", "5.10", "@tc"],
  [152, "redirect_neigh", "int", "any mem?:r size0 any", "", "5.10", "@tc"],
  [153, "per_cpu_ptr", "memOrBtf?", "percpuBtf any", "", "5.10", "*"],
  [154, "this_cpu_ptr", "memOrBtf", "percpuBtf", "", "5.10", "*"],
  [155, "redirect_peer", "int", "any any", "", "5.10", "@tc"],
  [156, "task_storage_get", "value?", "map btf?@task_struct value? any", "", "5.11", "*"],
  [157, "task_storage_delete", "int", "map btf?@task_struct", "", "5.11", "*"],
  [158, "get_current_task_btf", "btf@task_struct", "", "g", "5.11", "*"],
  [159, "bprm_opts_set", "int", "btf@linux_binprm any", "", "5.11", "lsm"],
  [160, "ktime_get_coarse_ns", "int", "", "", "5.11", "@tc @lwt socket_filter xdp cgroup_skb cgroup_sock sock_ops sk_skb sk_msg cgroup_sock_addr sk_reuseport flow_dissector cgroup_sysctl struct_ops sk_lookup"],
  [161, "ima_inode_hash", "int", "btf@inode mem:u size", "s", "5.11", "lsm"],
  [162, "sock_from_file", "btf?@socket", "btf@file", "", "5.11", "tracing lsm syscall"],
  [163, "check_mtu", "int", "ctx any mem:w:a#4 any any", "g", "5.12", "@tc xdp"],
  [164, "for_each_map_elem", "int", "map func stack? any", "", "5.13", "*"],
  [165, "snprintf", "int", "mem?:w size0 str mem?:r size0", "g", "5.13", "*"],
  [166, "sys_bpf", "int", "any mem:r size", "s", "5.14", "syscall"],
  [167, "btf_find_by_name_kind", "int", "mem:r size any any", "s", "5.14", "syscall"],
  [168, "sys_close", "int", "any", "s", "5.14", "syscall"],
  [169, "timer_init", "int", "timer map any", "g", "5.15", "*"],
  [170, "timer_set_callback", "int", "timer func", "g", "5.15", "*"],
  [171, "timer_start", "int", "timer any any", "g", "5.15", "*"],
  [172, "timer_cancel", "int", "timer", "g", "5.15", "*"],
  [173, "get_func_ip", "int", "ctx", "g", "5.15", "kprobe tracing"],
  [174, "get_attach_cookie", "int", "ctx", "", "5.15", "kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm"],
  [175, "task_pt_regs", "btf@pt_regs", "btf@task_struct", "g", "5.15", "*"],
  [176, "get_branch_snapshot", "int", "mem:u size0", "g", "5.16", "*"],
  [177, "trace_vprintk", "int", "mem:r size mem?:r size0", "g", "5.16", "*"],
  [178, "skc_to_unix_sock", "btf?@unix_sock", "sock", "", "5.16", "@sk"],
  [179, "kallsyms_lookup_name", "int", "mem:r size0 any mem:u:a#8", "", "5.16", "syscall"],
  [180, "find_vma", "int", "btf@task_struct any func stack? any", "", "5.17", "*"],
  [181, "loop", "int", "scalar func stack? any", "", "5.17", "*"],
  [182, "strncmp", "int", "mem:r size str", "", "5.17", "*"],
  [183, "get_func_arg", "int", "ctx any mem:u:a#8", "", "5.17", "tracing lsm"],
  [184, "get_func_ret", "int", "ctx mem:u:a#8", "", "5.17", "tracing lsm"],
  [185, "get_func_arg_cnt", "int", "ctx", "", "5.17", "tracing lsm"],
  [186, "get_retval", "int", "", "", "5.18", "cgroup_sock cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt"],
  [187, "set_retval", "int", "any", "", "5.18", "cgroup_sock cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt"],
  [188, "xdp_get_buff_len", "int", "ctx", "", "5.18", "xdp tracing lsm syscall"],
  [189, "xdp_load_bytes", "int", "ctx any mem:u size", "", "5.18", "xdp"],
  [190, "xdp_store_bytes", "int", "ctx any mem:r size", "", "5.18", "xdp"],
  [191, "copy_from_user_task", "int", "mem:u size0 any btf@task_struct any", "gs", "5.18", "*"],
  [192, "skb_set_tstamp", "int", "ctx any any", "", "5.18", "@tc"],
  [193, "ima_file_hash", "int", "btf@file mem:u size", "s", "5.18", "lsm"],
  [194, "kptr_xchg", "btf?", "kptr btf?!", "", "5.19", "*"],
  [195, "map_lookup_percpu_elem", "value?", "map key any", "p", "5.19", "*"],
  [196, "skc_to_mptcp_sock", "btf?@mptcp_sock", "sockCommon", "", "5.19", "@sk"],
  [197, "dynptr_from_mem", "int", "mem:u size0 any dynptr:u@local", "", "5.19", "*"],
  [198, "ringbuf_reserve_dynptr", "int", "map any any dynptr:u@ringbuf", "", "5.19", "*"],
  [199, "ringbuf_submit_dynptr", "void", "dynptr!@ringbuf any", "", "5.19", "*"],
  [200, "ringbuf_discard_dynptr", "void", "dynptr!@ringbuf any", "", "5.19", "*"],
  [201, "dynptr_read", "int", "mem:u size0 dynptr:r any any", "", "5.19", "*"],
  [202, "dynptr_write", "int", "dynptr:r any mem:r size0 any", "", "5.19", "*"],
  [203, "dynptr_data", "dynptrMem?", "dynptr:r any allocSize", "", "5.19", "*"],
  [204, "tcp_raw_gen_syncookie_ipv4", "int", "mem:r#20 mem:r size0", "gp", "6.0", "@tc xdp"],
  [205, "tcp_raw_gen_syncookie_ipv6", "int", "mem:r#40 mem:r size0", "gp", "6.0", "@tc xdp"],
  [206, "tcp_raw_check_syncookie_ipv4", "int", "mem:r#20 mem:r#20", "gp", "6.0", "@tc xdp"],
  [207, "tcp_raw_check_syncookie_ipv6", "int", "mem:r#40 mem:r#20", "gp", "6.0", "@tc xdp"],
  [208, "ktime_get_tai_ns", "int", "", "", "6.1", "*"],
  [209, "user_ringbuf_drain", "int", "map func stack? any", "", "6.1", "*"],
  [210, "cgrp_storage_get", "value?", "map btf?@cgroup value? any", "", "6.2", "*"],
  [211, "cgrp_storage_delete", "int", "map btf?@cgroup", "", "6.2", "*"],
];

/** Groups of program types that the rows use. */
const GROUPS: Readonly<Record<string, string>> = {
  "@sk":
    "socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg " +
    "cgroup_sock_addr flow_dissector sk_lookup tracing struct_ops lsm syscall",
  "@trace": "kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm syscall",
  "@tc": "sched_cls sched_act",
  "@lwt": "lwt_in lwt_out lwt_xmit lwt_seg6local",
};

/**
 * Helpers whose arguments differ by program type: the kernel has another prototype under the same number.
 * Source: the `*_func_proto` functions of net/core/filter.c and kernel/trace/bpf_trace.c.
 */
const VARIANTS: readonly { readonly name: string; readonly types: string; readonly args: string }[] = [
  {
    name: "get_cgroup_classid",
    types:
      "socket_filter kprobe tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops sk_skb cgroup_device sk_msg " +
      "raw_tracepoint raw_tracepoint_writable cgroup_sock_addr sk_reuseport flow_dissector cgroup_sysctl " +
      "cgroup_sockopt tracing struct_ops lsm sk_lookup syscall netfilter",
    args: "",
  },
  { name: "setsockopt", types: "cgroup_sockopt struct_ops lsm tracing", args: "sock any any mem:r size" },
  { name: "getsockopt", types: "cgroup_sockopt struct_ops lsm tracing", args: "sock any any mem:u size" },
  { name: "get_socket_cookie", types: "sk_reuseport", args: "sock" },
  { name: "get_socket_cookie", types: "tracing lsm syscall", args: "btf?@sock_common" },
  { name: "sk_storage_get", types: "cgroup_sock", args: "map ctx value? any" },
  { name: "sk_storage_get", types: "tracing syscall", args: "map btf?@sock_common value? any" },
  { name: "sk_storage_delete", types: "tracing syscall", args: "map btf?@sock_common" },
  { name: "xdp_get_buff_len", types: "tracing lsm syscall", args: "btf@xdp_buff" },
  { name: "sk_assign", types: "sk_lookup", args: "ctx sock? any" },
];

/** Helpers that a program type has at some attach types only. Source: asked of Linux 6.18. */
const ONLY_AT: readonly {
  readonly name: string;
  readonly type: number;
  readonly attachTypes: readonly number[];
}[] = [
  {
    name: "bind",
    type: ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    attachTypes: [AttachType.BPF_CGROUP_INET4_CONNECT, AttachType.BPF_CGROUP_INET6_CONNECT],
  },
  {
    name: "get_func_ip",
    type: ProgType.BPF_PROG_TYPE_TRACING,
    attachTypes: [AttachType.BPF_TRACE_FENTRY, AttachType.BPF_TRACE_FEXIT, AttachType.BPF_MODIFY_RETURN],
  },
  ...["get_retval", "set_retval"].map((name) => ({
    name,
    type: ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    attachTypes: [
      AttachType.BPF_CGROUP_INET4_BIND,
      AttachType.BPF_CGROUP_INET6_BIND,
      AttachType.BPF_CGROUP_INET4_CONNECT,
      AttachType.BPF_CGROUP_INET6_CONNECT,
      AttachType.BPF_CGROUP_UDP4_SENDMSG,
      AttachType.BPF_CGROUP_UDP6_SENDMSG,
      AttachType.BPF_CGROUP_UNIX_CONNECT,
      AttachType.BPF_CGROUP_UNIX_SENDMSG,
    ],
  })),
  // Loaded without their attach type these are taken for ingress, which has no return value to change.
  ...["get_retval", "set_retval"].flatMap((name) => [
    { name, type: ProgType.BPF_PROG_TYPE_CGROUP_DEVICE, attachTypes: [AttachType.BPF_CGROUP_DEVICE] },
    { name, type: ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL, attachTypes: [AttachType.BPF_CGROUP_SYSCTL] },
  ]),
  ...["setsockopt", "getsockopt"].map((name) => ({
    name,
    type: ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT,
    attachTypes: [AttachType.BPF_CGROUP_SETSOCKOPT],
  })),
  ...["seq_printf", "seq_write", "seq_printf_btf"].map((name) => ({
    name,
    type: ProgType.BPF_PROG_TYPE_TRACING,
    attachTypes: [AttachType.BPF_TRACE_ITER],
  })),
];

const BY_ID = new Map<number, Helper>();
const BY_NAME = new Map<string, Helper>();
for (const row of ROWS) {
  const helper = parseRow(row);
  BY_ID.set(helper.id, helper);
  BY_NAME.set(helper.name, helper);
}
const BY_TYPE = new Map<number, Map<number, Helper>>();
for (const { name, types, args } of VARIANTS) {
  const helper: Helper = { ...BY_NAME.get(name)!, args: parseArgs(args) };
  for (const type of parseTypes(types)!) {
    let variants = BY_TYPE.get(type);
    if (!variants) BY_TYPE.set(type, (variants = new Map()));
    variants.set(helper.id, helper);
  }
}

/** All helpers by number. */
export const HELPERS: ReadonlyMap<number, Helper> = BY_ID;

/** The helper of a number, with the arguments that `progType` has; undefined for a number that no kernel has. */
export function helperById(id: number, progType?: number): Helper | undefined {
  const variant = progType === undefined ? undefined : BY_TYPE.get(progType)?.get(id);
  return variant ?? BY_ID.get(id);
}

/** The number of the last helper: the list is closed, newer functions are kfuncs. */
export const MAX_HELPER_ID = ROWS.length;

/** `bpf_map_lookup_elem` for 1; undefined for a number that is no helper's. */
export function helperName(id: number): string | undefined {
  const helper = BY_ID.get(id);
  return helper && `bpf_${helper.name}`;
}

/** The number of `bpf_map_lookup_elem`, or undefined. */
export function helperByName(name: string): number | undefined {
  return name.startsWith("bpf_") ? BY_NAME.get(name.slice(4))?.id : undefined;
}

/** True when programs of this type (and attach type, where that matters) may call the helper. */
export function helperAllowed(helper: Helper, progType: number, attachType: number): boolean {
  if (helper.progTypes && !helper.progTypes.has(progType)) return false;
  for (const rule of ONLY_AT) {
    if (rule.type === progType && rule.name === helper.name && !rule.attachTypes.includes(attachType)) return false;
  }
  return true;
}

/** Licences that the kernel counts as GPL compatible. Source: include/linux/license.h `license_is_gpl_compatible`. */
const GPL_COMPATIBLE: ReadonlySet<string> = new Set([
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
]);

/** True when a program under this licence may call GPL-only helpers. The comparison is exact, as in the kernel. */
export function isGplCompatible(license: string): boolean {
  return GPL_COMPATIBLE.has(license);
}

function parseRow([id, name, result, args, flags, since, types]: Row): Helper {
  const [kind, of = ""] = result.split("@") as [string, string?];
  return {
    id,
    name,
    args: parseArgs(args),
    result: { kind: kind.replace("?", "") as HelperResult["kind"], orNull: kind.endsWith("?"), of },
    gplOnly: flags.includes("g"),
    packetAccess: flags.includes("p"),
    changesPacket: flags.includes("c"),
    mightSleep: flags.includes("s"),
    since,
    progTypes: parseTypes(types),
  };
}

function parseArgs(text: string): HelperArg[] {
  return text.split(" ").filter(Boolean).map(parseArg);
}

function parseArg(text: string): HelperArg {
  const [, kind, rest] = /^([a-zA-Z]+(?:0(?![0-9]))?)(.*)$/.exec(text)!;
  const access = rest!.includes(":u") ? "uninit" : rest!.includes(":w") ? "write" : "read";
  return {
    kind: kind as ArgKind,
    orNull: rest!.includes("?"),
    access,
    size: Number(/#(\d+)/.exec(rest!)?.[1] ?? 0),
    aligned: rest!.includes(":a"),
    releases: rest!.includes("!"),
    of: /@(\w+)/.exec(rest!)?.[1] ?? "",
  };
}

function parseTypes(text: string): ReadonlySet<number> | undefined {
  if (text === "*") return undefined;
  const names = text.split(" ").flatMap((word) => (GROUPS[word] ?? word).split(" "));
  return new Set(names.map((name) => (ProgType as Record<string, number>)[`BPF_PROG_TYPE_${name.toUpperCase()}`]!));
}
