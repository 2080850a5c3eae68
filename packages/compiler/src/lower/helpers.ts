/**
 * The helpers as functions: `bpf_ktime_get_ns` is `ktimeGetNs()`. Arguments, results, program types and licence come
 * from the one helper table; here stands only what a program sees of them besides: names and types of numbers.
 */
import { HELPERS, type Helper, type HelperArg, helperById } from "@ebplane/core/object";
import { I32, type IntType, SCALARS, U32 } from "../check/index.ts";

export interface HelperForm {
  readonly helper: Helper;
  readonly result: IntType;
  /** By argument register; "" for a size that the memory before it gives. */
  readonly names: readonly string[];
  readonly types: readonly IntType[];
}

/**
 * Names of the arguments in order, without sizes; a number's type after a colon, u32 where none stands. A first word
 * `-> T` is the type of the result, i32 (0 or -errno) where none stands.
 */
const WORDS: Readonly<Record<string, string>> = {
  ktime_get_ns: "->u64",
  ktime_get_boot_ns: "->u64",
  ktime_get_coarse_ns: "->u64",
  ktime_get_tai_ns: "->u64",
  jiffies64: "->u64",
  get_prandom_u32: "->u32",
  get_smp_processor_id: "->u32",
  get_numa_node_id: "->u32",
  get_current_pid_tgid: "->u64",
  get_current_uid_gid: "->u64",
  get_current_task: "->u64",
  get_current_comm: "to",
  get_cgroup_classid: "->u32 ctx",
  get_route_realm: "->u32 ctx",
  get_hash_recalc: "->u32 ctx",
  get_socket_cookie: "->u64 ctx",
  get_socket_uid: "->u32 ctx",
  get_netns_cookie: "->u64 ctx",
  get_current_cgroup_id: "->u64",
  get_current_ancestor_cgroup_id: "->u64 level:i32",
  skb_cgroup_id: "->u64 ctx",
  skb_ancestor_cgroup_id: "->u64 ctx level:i32",
  skb_cgroup_classid: "->u64 ctx",
  sk_cgroup_id: "->u64 sk",
  sk_ancestor_cgroup_id: "->u64 sk level:i32",
  get_attach_cookie: "->u64 ctx",
  get_func_ip: "->u64 ctx",
  get_func_arg_cnt: "->u64 ctx",
  get_retval: "->i32",
  set_retval: "value:i32",
  xdp_get_buff_len: "->u64 ctx",
  csum_diff: "->i64 from to seed",
  csum_update: "->i64 ctx sum",
  csum_level: "ctx level:u64",
  ringbuf_query: "->u64 map flags:u64",
  redirect: "ifindex flags:u64",
  redirect_neigh: "ifindex params flags:u64",
  redirect_peer: "ifindex flags:u64",
  clone_redirect: "ctx ifindex flags:u64",
  redirect_map: "map key:u64 flags:u64",
  skb_store_bytes: "ctx offset from flags:u64",
  skb_load_bytes: "ctx offset to",
  skb_load_bytes_relative: "ctx offset to startHeader",
  xdp_load_bytes: "ctx offset to",
  xdp_store_bytes: "ctx offset from",
  l3_csum_replace: "ctx offset from:u64 to:u64 flags:u64",
  l4_csum_replace: "ctx offset from:u64 to:u64 flags:u64",
  skb_vlan_push: "ctx proto:be16 tci:u16",
  skb_vlan_pop: "ctx",
  skb_change_proto: "ctx proto:be16 flags:u64",
  skb_change_type: "ctx type",
  skb_change_tail: "ctx length flags:u64",
  skb_change_head: "ctx length flags:u64",
  skb_pull_data: "ctx length",
  skb_adjust_room: "ctx delta:i32 mode flags:u64",
  skb_get_tunnel_key: "ctx key flags:u64",
  skb_set_tunnel_key: "ctx key flags:u64",
  skb_get_tunnel_opt: "ctx to",
  skb_set_tunnel_opt: "ctx from",
  skb_get_xfrm_state: "ctx index to flags:u64",
  skb_under_cgroup: "ctx map index",
  skb_set_tstamp: "ctx tstamp:u64 type",
  skb_ecn_set_ce: "ctx",
  set_hash: "ctx hash",
  set_hash_invalid: "ctx",
  current_task_under_cgroup: "map index",
  xdp_adjust_head: "ctx delta:i32",
  xdp_adjust_tail: "ctx delta:i32",
  xdp_adjust_meta: "ctx delta:i32",
  fib_lookup: "ctx params flags",
  check_mtu: "ctx ifindex length delta:i32 flags:u64",
  perf_event_output: "ctx map flags:u64 data",
  sk_redirect_map: "ctx map key flags:u64",
  sk_redirect_hash: "ctx map key flags:u64",
  msg_redirect_map: "ctx map key flags:u64",
  msg_redirect_hash: "ctx map key flags:u64",
  sock_map_update: "ctx map key flags:u64",
  sock_hash_update: "ctx map key flags:u64",
  sk_select_reuseport: "ctx map key flags:u64",
  msg_apply_bytes: "ctx bytes",
  msg_cork_bytes: "ctx bytes",
  msg_pull_data: "ctx start end flags:u64",
  msg_push_data: "ctx start length flags:u64",
  msg_pop_data: "ctx start length flags:u64",
  setsockopt: "ctx level:i32 optname:i32 value",
  getsockopt: "ctx level:i32 optname:i32 to",
  sock_ops_cb_flags_set: "ctx flags:i32",
  load_hdr_opt: "ctx to flags:u64",
  store_hdr_opt: "ctx from flags:u64",
  reserve_hdr_opt: "ctx length flags:u64",
  bind: "ctx address",
  sk_lookup_tcp: "ctx tuple netns:u64 flags:u64",
  sk_lookup_udp: "ctx tuple netns:u64 flags:u64",
  skc_lookup_tcp: "ctx tuple netns:u64 flags:u64",
  sk_release: "sk",
  sk_fullsock: "sk",
  tcp_sock: "sk",
  get_listener_sock: "sk",
  sk_assign: "ctx sk flags:u64",
  sk_storage_get: "map sk value flags:u64",
  sk_storage_delete: "map sk",
  tcp_check_syncookie: "sk ip tcp",
  tcp_gen_syncookie: "->i64 sk ip tcp",
  tcp_raw_gen_syncookie_ipv4: "->i64 ip tcp",
  tcp_raw_gen_syncookie_ipv6: "->i64 ip tcp",
  tcp_raw_check_syncookie_ipv4: "ip tcp",
  tcp_raw_check_syncookie_ipv6: "ip tcp",
  lwt_push_encap: "ctx type header",
  lwt_seg6_store_bytes: "ctx offset from",
  lwt_seg6_adjust_srh: "ctx offset delta:i32",
  lwt_seg6_action: "ctx action param",
  sysctl_get_name: "ctx to flags:u64",
  sysctl_get_current_value: "ctx to",
  sysctl_get_new_value: "ctx to",
  sysctl_set_new_value: "ctx from",
  map_push_elem: "map value flags:u64",
  map_pop_elem: "map to",
  map_peek_elem: "map to",
  get_local_storage: "map flags:u64",
  probe_read: "to from:u64",
  probe_read_kernel: "to from:u64",
  probe_read_user: "to from:u64",
  probe_read_str: "to from:u64",
  probe_read_kernel_str: "to from:u64",
  probe_read_user_str: "to from:u64",
  get_stackid: "ctx map flags:u64",
  get_stack: "ctx to flags:u64",
  send_signal: "signal",
  send_signal_thread: "signal",
  override_return: "ctx value:u64",
  strncmp: "->i32 text wanted",
  dynptr_from_mem: "from flags:u64",
  ringbuf_reserve_dynptr: "map bytes flags:u64",
  ringbuf_submit_dynptr: "record flags:u64",
  ringbuf_discard_dynptr: "record flags:u64",
  dynptr_read: "to data offset flags:u64",
  dynptr_write: "data offset from flags:u64",
  dynptr_data: "data offset type",
  get_current_task_btf: "",
  skc_to_tcp_sock: "sk",
  skc_to_tcp6_sock: "sk",
  skc_to_tcp_timewait_sock: "sk",
  skc_to_tcp_request_sock: "sk",
  skc_to_udp6_sock: "sk",
  skc_to_unix_sock: "sk",
  skc_to_mptcp_sock: "sk",
  sock_from_file: "file",
  get_task_stack: "task to flags:u64",
  task_pt_regs: "task",
  task_storage_get: "map task value flags:u64",
  task_storage_delete: "map task",
  cgrp_storage_get: "map cgroup value flags:u64",
  cgrp_storage_delete: "map cgroup",
  seq_write: "seq from",
  strtol: "->i32 text flags:u64 to",
  strtoul: "->i32 text flags:u64 to",
};

/** What helpers of the kinds that the language has no names for are called by. */
const BY_KIND: Readonly<Record<string, string>> = { ctx: "ctx", map: "map", key: "key", value: "value", sock: "sk" };

export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
}

/** The memory before it says how many bytes. */
export function isSize(arg: HelperArg): boolean {
  return arg.kind === "size" || arg.kind === "size0";
}

/** The program does not pass it: a size, or the place of the dynptr that the call makes. */
export function isFilledIn(arg: HelperArg): boolean {
  return isSize(arg) || (arg.kind === "dynptr" && arg.access === "uninit");
}

function formOf(helper: Helper): HelperForm {
  const words = (WORDS[helper.name] ?? "").split(" ").filter(Boolean);
  const result = words[0]?.startsWith("->") ? typeNamed(words.shift()!.slice(2)) : I32;
  const names: string[] = [];
  const types: IntType[] = [];
  for (const [k, arg] of helper.args.entries()) {
    const [name, type] = isFilledIn(arg) ? [""] : (words.shift() ?? BY_KIND[arg.kind] ?? `arg${k + 1}`).split(":");
    names.push(name!);
    types.push(type ? typeNamed(type) : U32);
  }
  return { helper, result, names, types };
}

function typeNamed(name: string): IntType {
  return SCALARS.get(name) as IntType;
}

/** Arguments that only other constructs of the language pass. */
const OWN = new Set(["func", "lock", "timer", "kptr", "ringbufMem", "percpuBtf"]);
/** Helpers that have a form of their own: methods of maps, tail calls. */
// biome-ignore format: a list
const METHODS = new Set(["map_lookup_elem", "map_update_elem", "map_delete_elem", "tail_call", "redirect_map", "ringbuf_output", "ringbuf_reserve", "ringbuf_submit", "ringbuf_discard", "map_push_elem", "map_pop_elem", "map_peek_elem", "map_lookup_percpu_elem", "for_each_map_elem", "loop", "trace_printk", "seq_printf", "spin_lock", "spin_unlock"]);
const RESULTS = new Set(["int", "void", "value", "socket", "tcpSock", "sockCommon", "btf", "dynptrMem"]);

const FORMS = new Map<string, HelperForm>();
for (const helper of HELPERS.values()) {
  if (METHODS.has(helper.name) || !RESULTS.has(helper.result.kind)) continue;
  if (helper.args.some((a) => OWN.has(a.kind))) continue;
  FORMS.set(camelCase(helper.name), formOf(helper));
}

/** Helpers that a program calls by their names. */
export function helperForms(): ReadonlyMap<string, HelperForm> {
  return FORMS;
}

/** The helper that a name of `ebplane/bpf` stands for, with the arguments that the program type has. */
export function helperForm(name: string, progType?: number): HelperForm | undefined {
  const form = FORMS.get(name);
  if (!form || progType === undefined) return form;
  const helper = helperById(form.helper.id, progType)!;
  return helper === form.helper ? form : formOf(helper);
}

/** Helpers that take the context and leave it, and the packet, as they are. Every other may change both. */
// biome-ignore format: a list
const READERS = new Set(["check_mtu", "fib_lookup", "get_attach_cookie", "get_cgroup_classid", "get_func_arg_cnt", "get_func_ip", "get_netns_cookie", "get_route_realm", "get_socket_cookie", "get_socket_uid", "get_stack", "get_stackid", "perf_event_output", "sk_lookup_tcp", "sk_lookup_udp", "skb_ancestor_cgroup_id", "skb_cgroup_classid", "skb_cgroup_id", "skb_get_tunnel_key", "skb_get_tunnel_opt", "skb_get_xfrm_state", "skb_load_bytes", "skb_load_bytes_relative", "skb_under_cgroup", "skc_lookup_tcp", "xdp_get_buff_len", "xdp_load_bytes"]);

/** It may change bytes of the packet and numbers of the context, where they are. */
export function changesContext(helper: Helper): boolean {
  return (helper.args.some((a) => a.kind === "ctx") && !READERS.has(helper.name)) || helper.name === "set_retval";
}

/** No memory, no state: the call may go when nobody wants its result. */
export const PURE = new Set([
  "ktime_get_ns",
  "ktime_get_boot_ns",
  "ktime_get_coarse_ns",
  "jiffies64",
  "get_smp_processor_id",
]);
