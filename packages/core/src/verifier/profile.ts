/**
 * Profiles: what differs between kernel versions, as data. A verdict for a kernel that is not at hand is the same
 * analysis under that kernel's profile. When what came is kept elsewhere too: helpers and kfuncs, program, map and attach
 * types say in their own tables (`object/`) since which kernel they exist.
 *
 * What a profile's kernel knows of numbers is in `domain/`, by version (`domain/kernel.ts`); of 5.4, which has no ranges
 * of 32 bits, it says what 5.7 knows. docs/verifier-profiles.md is this table as text.
 */
import { EXTENSION_SINCE } from "../isa/index.ts";
import { AttachType, type Helper, MapType, ProgType, progTypeName } from "../object/index.ts";

export interface Profile {
  /** Kernel version, `major.minor`. */
  readonly kernel: string;
  /** `kernel` as a number that compares: 6.18 is 618. */
  readonly version: number;
}

export const PROFILE_NAMES = ["5.4", "5.10", "5.15", "6.1", "6.6", "6.12", "6.18"] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];
/** `major.minor` of a kernel. */
export type KernelVersion = `${number}.${number}`;

/** A version `major.minor` as a number that compares. */
export function versionNumber(version: string): number {
  let number = numbers.get(version);
  if (number === undefined) {
    const [major = "0", minor = "0"] = version.split(".");
    number = Number(major) * 100 + Number(minor);
    numbers.set(version, number);
  }
  return number;
}

/** The walk asks for versions at every other insn. */
const numbers = new Map<string, number>();

/** A rule that is younger than the oldest profile: the kernel that brought it, what it allows, and where it is decided. */
export interface Rule {
  readonly since: string;
  readonly what: string;
  readonly source: string;
  /** Older kernels whose stable releases have it, too: the newest of them is what a profile stands for. */
  readonly backports?: readonly ProfileName[];
}

/** Names are used in the code: `allows(profile, "uninitialisedStack")`. */
export const RULES = {
  globalFunctions: {
    since: "5.6",
    what: "global functions are verified once, by their BTF; before, every call is walked",
    source: "kernel/bpf/verifier.c check_func_call; kernel/bpf/btf.c btf_check_func_arg_match",
  },
  narrowPort: {
    since: "5.8",
    what: "bpf_sock_addr.user_port may be read by fewer than 4 bytes",
    source: "net/core/filter.c sock_addr_is_valid_access",
  },
  boundedSpills: {
    since: "5.10",
    what: "a number with a range keeps it over a spill to the stack; before, only constants do",
    source: "kernel/bpf/verifier.c check_stack_write_fixed_off, register_is_bounded",
  },
  linkedNumbers: {
    since: "5.10",
    what: "what is learnt of a number is learnt of its copies, too",
    source: "kernel/bpf/verifier.c find_equal_scalars",
  },
  tailCallsWithFunctions: {
    since: "5.10",
    what: "a program with functions of its own may tail call",
    source: "kernel/bpf/verifier.c check_map_func_compatibility (x86-64 JIT)",
  },
  legacyLoadsWithFunctions: {
    since: "5.10",
    what: "a program with functions of its own may have legacy packet loads",
    source: "kernel/bpf/verifier.c check_ld_abs, check_abnormal_return",
  },
  sleepable: {
    since: "5.10",
    what: "programs that may sleep (BPF_F_SLEEPABLE)",
    source: "kernel/bpf/syscall.c bpf_prog_load",
  },
  packetEndRemembered: {
    since: "5.11",
    what: "a packet pointer that was compared with data_end once need not be looked at again",
    source: "kernel/bpf/verifier.c is_pkt_ptr_branch_taken",
    backports: ["5.10"],
  },
  atomics: {
    since: EXTENSION_SINCE.atomics,
    what: "atomic operations beyond add, and those that fetch",
    source: "kernel/bpf/verifier.c check_atomic",
  },
  globalPointers: {
    since: "5.12",
    what: "global functions may have parameters that point to memory",
    source: "kernel/bpf/btf.c btf_prepare_func_args",
  },
  variableStack: {
    since: "5.12",
    what: "loads and stores at a variable offset of the stack",
    source: "kernel/bpf/verifier.c check_stack_read_var_off, check_stack_write_var_off",
    backports: ["5.10"],
  },
  bindResult: {
    since: "5.12",
    what: "bind hooks may return 0 to 3 (bit 1: no check of the capability); before, 0 or 1",
    source: "kernel/bpf/verifier.c check_return_code",
  },
  functionPointers: {
    since: EXTENSION_SINCE.functionPointers,
    what: "lddw of a function's address, for callbacks",
    source: "kernel/bpf/verifier.c check_ld_imm (BPF_PSEUDO_FUNC)",
  },
  kernelFunctions: {
    since: EXTENSION_SINCE.kernelFunctions,
    what: "calls of kernel functions",
    source: "kernel/bpf/verifier.c check_kfunc_call",
  },
  narrowSpills: {
    since: "5.16",
    what: "a number spilled with fewer than 8 bytes keeps its range",
    source: "kernel/bpf/verifier.c check_stack_write_fixed_off, coerce_reg_to_size",
    backports: ["5.10", "5.15"],
  },
  xdpFragments: {
    since: "5.18",
    what: "XDP programs that take several buffers (BPF_F_XDP_HAS_FRAGS)",
    source: "kernel/bpf/syscall.c bpf_prog_load",
  },
  sleepableProbes: {
    since: "6.0",
    what: "uprobes that may sleep",
    source: "kernel/bpf/verifier.c can_be_sleepable",
  },
  dynamicPerfMaps: {
    since: "6.1",
    what: "perf event programs may use hash maps that allocate while they run (BPF_F_NO_PREALLOC)",
    source: "kernel/bpf/verifier.c check_map_prog_compatibility",
  },
  sleepableDynamicMaps: {
    since: "6.1",
    what: "programs that may sleep may use hash maps that allocate while they run",
    source: "kernel/bpf/verifier.c check_map_prog_compatibility",
  },
  recordsAsKeys: {
    since: "6.2",
    what: "keys and values of maps may lie in ring buffer records and other memory, not only on the stack, in packets and in map values",
    source: "kernel/bpf/verifier.c map_key_value_types, mem_types",
  },
  typesForGpl: {
    since: "6.2",
    what: "structs of the kernel are read through their types by programs under a GPL-compatible licence only",
    source: "kernel/bpf/verifier.c check_ptr_to_btf_access",
  },
  equalIsNotNull: {
    since: "6.2",
    what: "a pointer that equals one which is not NULL is not NULL",
    source: "kernel/bpf/verifier.c check_cond_jmp_op (mark_ptr_not_null_reg)",
  },
  uninitialisedStack: {
    since: "6.3",
    what: "stack that nothing has written may be read: its bytes are unknown numbers",
    source: "kernel/bpf/verifier.c check_stack_read_fixed_off, check_stack_range_initialized (allow_uninit_stack)",
    backports: ["5.10", "5.15", "6.1"],
  },
  deviceBound: {
    since: "6.3",
    what: "XDP programs bound to a device, for its metadata (BPF_F_XDP_DEV_BOUND_ONLY)",
    source: "kernel/bpf/offload.c bpf_prog_dev_bound_init",
  },
  contextConstants: {
    since: "6.4",
    what: "a constant may be stored to a ctx field by one instruction (BPF_ST)",
    source: "kernel/bpf/verifier.c do_check",
  },
  anyLoop: {
    since: "6.6",
    what: "loops that are closed by falling through; before, only a jump may lead back",
    source: "kernel/bpf/verifier.c check_cfg, push_insn (loop_ok)",
  },
  linkedMoves32: {
    since: "6.4",
    what: "a 32-bit move of a number that fits 32 bits is a copy that stays linked",
    source: "kernel/bpf/verifier.c check_alu_op (is_src_reg_u32)",
  },
  sleepableLocks: {
    since: "6.6",
    what: "programs that may sleep may use maps with a bpf_spin_lock",
    source: "kernel/bpf/verifier.c check_map_prog_compatibility",
  },
  v4: {
    since: EXTENSION_SINCE.v4,
    what: "instructions of cpu v4: loads and moves with sign, signed division, bswap, gotol",
    source: "kernel/bpf/verifier.c check_alu_op, do_check",
  },
  zeroSpills: {
    since: "6.8",
    what: "a zero that is stored on the stack is remembered as a number is; before, as bytes that are zero, whatever part is loaded",
    source: "kernel/bpf/verifier.c check_stack_write_fixed_off (register_is_null)",
  },
  deeperStack: {
    since: "6.8",
    what: "stack below all that a path has used so far may be read; before, only what lies above something that was written",
    source: "kernel/bpf/verifier.c check_stack_access_within_bounds, grow_stack_state",
    backports: ["6.1", "6.6"],
  },
  linkedSpills: {
    since: "6.9",
    what: "a number that is stored on the stack is a copy that stays linked",
    source: "kernel/bpf/verifier.c check_stack_write_fixed_off (assign_scalar_id_before_mov)",
  },
  narrowFills: {
    since: "6.9",
    what: "part of a spilled number keeps its range and zeros; before, only as many bytes as were spilled do",
    source: "kernel/bpf/verifier.c check_stack_read_fixed_off (size <= spill_size)",
  },
  lazyGlobals: {
    since: "6.8",
    what: "global functions that nothing calls are not verified",
    source: "kernel/bpf/verifier.c do_check_subprogs",
  },
  argumentTags: {
    since: "6.8",
    what: "tags on parameters of global functions (arg:ctx, arg:nonnull, arg:trusted …)",
    source: "kernel/bpf/btf.c btf_prepare_func_args",
  },
  finerFrames: {
    since: "6.9",
    what: "each function's stack frame is rounded up to 16 bytes; before, to 32 and at least 32",
    source: "kernel/bpf/verifier.c round_up_stack_depth",
  },
  mayGoto: {
    since: EXTENSION_SINCE.mayGoto,
    what: "may_goto",
    source: "kernel/bpf/verifier.c check_cond_jmp_op (BPF_JCOND)",
  },
  arena: {
    since: EXTENSION_SINCE.arena,
    what: "arenas and casts to their address space",
    source: "kernel/bpf/verifier.c check_alu_op",
  },
  lsmResult: {
    since: "6.11",
    what: "LSM programs are held to the results of their hook (0 or an errno); before, they return anything",
    source: "kernel/bpf/verifier.c check_return_code, bpf_lsm_get_retval_range",
  },
  linksAtDistance: {
    since: "6.11",
    what: "a copy that a constant was added to stays linked to its original",
    source: "kernel/bpf/verifier.c adjust_reg_min_max_vals (BPF_ADD_CONST), sync_linked_regs",
  },
  privateStack: {
    since: "6.13",
    what: "large frames of tracing programs lie on a stack of their own",
    source: "kernel/bpf/verifier.c check_max_stack_depth, bpf_enable_priv_stack",
  },
  readsKeepSpills: {
    since: "6.14",
    what: "a helper that only reads stack memory leaves the numbers spilled there known",
    source: "kernel/bpf/verifier.c check_stack_range_initialized",
  },
  sureLookups: {
    since: "6.14",
    what: "a lookup in an array with a constant index inside of it is never NULL",
    source: "kernel/bpf/verifier.c get_constant_map_key",
  },
  loadAcquire: {
    since: EXTENSION_SINCE.loadAcquire,
    what: "load-acquire and store-release",
    source: "kernel/bpf/verifier.c check_atomic_load, check_atomic_store",
  },
  untypedCast: {
    since: "6.17",
    what: "bpf_rdonly_cast to void gives memory that may be read",
    source: "kernel/bpf/verifier.c check_special_kfunc",
  },
  splitSelections: {
    since: "6.18",
    what: "a number that is 0 or -1 is walked as both when a constant is masked with it (a stable release; not 6.18.2)",
    source: "kernel/bpf/verifier.c maybe_fork_scalars",
    backports: ["6.12"],
  },
  linksBackwards: {
    since: "6.18",
    what: "a copy that lies a constant below its original, or was moved in 32 bits, stays linked to it, too (a stable release; not 6.18.2)",
    source: "kernel/bpf/verifier.c adjust_reg_min_max_vals, sync_linked_regs",
  },
} as const satisfies Record<string, Rule>;
export type RuleName = keyof typeof RULES;

/** The kernel of this profile has the rule. */
export function allows(profile: Profile, rule: RuleName): boolean {
  const { since, backports }: Rule = RULES[rule];
  return profile.version >= versionNumber(since) || backports?.includes(profile.kernel as ProfileName) === true;
}

/**
 * Kernels that forget where the packet is at a tail call, which may have moved it, also where it fails: 6.13 and the stable
 * releases of 6.12, until stable releases of 6.18 kept it again.
 * Source: net/core/filter.c bpf_helper_changes_pkt_data of 6.12.y and 6.13 to 6.18.2; Debian's 6.12.117 and a 6.18.44.
 */
export function forgetsAtTailCall({ version }: Profile): boolean {
  return version >= versionNumber("6.12") && version < versionNumber("6.18");
}

/** Ctx fields that are younger than the oldest profile. Source: include/uapi/linux/bpf.h of the versions. */
export const FIELD_SINCE: Readonly<Record<string, string>> = {
  "__sk_buff.gso_size": "5.7",
  "__sk_buff.hwtstamp": "5.16",
  "__sk_buff.tstamp_type": "5.18",
  "xdp_md.egress_ifindex": "5.8",
  "bpf_sock.rx_queue_mapping": "5.8",
  "bpf_sock_ops.skb_data": "5.10",
  "bpf_sock_ops.skb_data_end": "5.10",
  "bpf_sock_ops.skb_len": "5.10",
  "bpf_sock_ops.skb_tcp_flags": "5.10",
  "bpf_sock_ops.skb_hwtstamp": "6.2",
  "sk_msg_md.sk": "5.8",
  "bpf_sk_lookup.ingress_ifindex": "5.17",
  "sk_reuseport_md.sk": "5.14",
  "sk_reuseport_md.migrating_sk": "5.14",
};

/**
 * Helpers that work on more map types since some kernel; check/maps.ts says what 6.18 allows.
 * Source: kernel/bpf/verifier.c `check_map_func_compatibility` of the versions.
 */
export const MAP_BROADENED: readonly { readonly since: string; readonly helper: string; readonly maps: string }[] = [
  { since: "5.7", helper: "sk_select_reuseport", maps: "sockmap sockhash" },
  { since: "5.8", helper: "map_lookup_elem", maps: "sockmap sockhash" },
  { since: "5.10", helper: "map_update_elem", maps: "sockmap sockhash" },
  { since: "6.4", helper: "kptr_xchg", maps: "sk_storage inode_storage task_storage cgrp_storage" },
];

/**
 * Map types that programs which sleep may use since some kernel, those that always could left out.
 * Source: kernel/bpf/verifier.c `check_map_prog_compatibility` of the versions.
 */
export const SLEEPER_MAPS: readonly { readonly since: string; readonly maps: string }[] = [
  { since: "5.12", maps: "percpu_hash percpu_array lru_percpu_hash array_of_maps hash_of_maps ringbuf" },
  { since: "5.17", maps: "inode_storage sk_storage task_storage" },
  { since: "6.9", maps: "queue stack" },
];

const NETWORK =
  "socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb " +
  "flow_dissector sk_reuseport sk_lookup";
const CGROUP = "cgroup_sock cgroup_sock_addr cgroup_device cgroup_sysctl cgroup_sockopt";
const RAW = "raw_tracepoint raw_tracepoint_writable";
const PROBES = `kprobe tracepoint ${RAW} perf_event`;
/** Had a list of helpers of their own before they took over everybody's. */
const CONTROL = "cgroup_device cgroup_sysctl cgroup_sockopt";

/**
 * Helpers that more program types may call since some kernel; the table in `object/helpers.ts` says what 6.18 allows.
 * Source: the `*_func_proto` functions of net/core/filter.c, kernel/bpf/helpers.c, kernel/bpf/cgroup.c and
 * kernel/trace/bpf_trace.c of 27 versions from 5.4 to 6.18 (test/verifier/profile-sources.test.ts reads them again).
 * No tree of 5.5, 5.13, 5.16, 5.18, 6.7, 6.15, 6.16 and 6.17 was at hand: what such a one brought stands at the next.
 */
export const BROADENED: readonly { readonly since: string; readonly helpers: string; readonly types: string }[] = [
  {
    since: "5.7",
    helpers: "get_current_pid_tgid get_current_comm get_cgroup_classid perf_event_output get_current_cgroup_id",
    types: "cgroup_sock cgroup_sock_addr",
  },
  { since: "5.7", helpers: "get_socket_cookie", types: "cgroup_sock" },
  { since: "5.7", helpers: "perf_event_read_value", types: `tracepoint ${RAW} perf_event` },
  {
    since: "5.8",
    helpers: "get_current_task probe_read_user probe_read_kernel probe_read_user_str probe_read_kernel_str",
    types: `${NETWORK} ${CGROUP} sk_msg`,
  },
  { since: "5.8", helpers: "skb_change_head", types: "sched_cls sched_act" },
  {
    since: "5.8",
    helpers: "skb_ancestor_cgroup_id sk_lookup_tcp sk_lookup_udp sk_release skc_lookup_tcp",
    types: "cgroup_skb",
  },
  {
    since: "5.8",
    helpers:
      "get_current_pid_tgid get_current_uid_gid get_cgroup_classid get_current_cgroup_id sk_storage_get " +
      "sk_storage_delete get_current_ancestor_cgroup_id",
    types: "sk_msg",
  },
  { since: "5.8", helpers: "perf_event_output", types: `sk_msg ${CONTROL}` },
  { since: "5.8", helpers: "setsockopt getsockopt", types: "cgroup_sock_addr" },
  {
    since: "5.8",
    helpers:
      "ktime_get_ns get_prandom_u32 get_smp_processor_id tail_call get_numa_node_id spin_lock spin_unlock jiffies64",
    types: CONTROL,
  },
  { since: "5.9", helpers: "sk_storage_get", types: "cgroup_sock" },
  { since: "5.9", helpers: "jiffies64", types: PROBES },
  {
    since: "5.10",
    helpers: "skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock skc_to_udp6_sock",
    types:
      "socket_filter sched_cls sched_act xdp cgroup_skb lwt_in lwt_out lwt_xmit lwt_seg6local sock_ops sk_skb sk_msg " +
      "flow_dissector sk_lookup cgroup_sock_addr",
  },
  { since: "5.10", helpers: "skb_adjust_room", types: "sk_skb" },
  { since: "5.11", helpers: "sk_storage_get sk_storage_delete", types: "tracing" },
  { since: "5.11", helpers: "spin_lock spin_unlock", types: "lsm" },
  { since: "5.12", helpers: "get_socket_cookie", types: "tracing lsm" },
  { since: "5.14", helpers: "get_socket_cookie", types: "sk_reuseport" },
  { since: "5.14", helpers: "get_current_ancestor_cgroup_id", types: "tracing lsm" },
  { since: "5.14", helpers: "get_current_ancestor_cgroup_id task_storage_get task_storage_delete", types: PROBES },
  { since: "5.15", helpers: "get_current_task_btf", types: `${NETWORK} ${CGROUP} sk_msg` },
  { since: "5.15", helpers: "get_netns_cookie", types: "sock_ops sk_msg cgroup_sockopt" },
  { since: "5.15", helpers: "setsockopt getsockopt", types: "cgroup_sockopt" },
  { since: "5.15", helpers: "spin_lock spin_unlock", types: `${PROBES} tracing syscall` },
  {
    since: "6.1",
    helpers: "strtol strtoul",
    types: `${NETWORK} sk_msg cgroup_sock cgroup_sock_addr cgroup_device cgroup_sockopt ${PROBES} tracing lsm syscall`,
  },
  // Before, only programs that may sleep had it: tracing and LSM ones.
  { since: "6.1", helpers: "copy_from_user", types: PROBES },
  { since: "6.1", helpers: "get_retval set_retval", types: "cgroup_sock cgroup_sock_addr" },
  {
    since: "6.1",
    helpers: "get_current_pid_tgid get_current_comm get_cgroup_classid get_current_ancestor_cgroup_id",
    types: CONTROL,
  },
  { since: "6.4", helpers: "get_current_cgroup_id get_current_ancestor_cgroup_id", types: NETWORK },
  { since: "6.10", helpers: "get_current_pid_tgid", types: `${NETWORK} netfilter` },
  { since: "6.10", helpers: "get_ns_current_pid_tgid", types: `${NETWORK} ${CGROUP} sk_msg netfilter` },
  { since: "6.10", helpers: "get_attach_cookie", types: RAW },
  { since: "6.12", helpers: "current_task_under_cgroup", types: CGROUP },
  { since: "6.13", helpers: "get_netns_cookie", types: "sched_cls sched_act" },
  {
    since: "6.18",
    helpers:
      "copy_from_user copy_from_user_task find_vma get_branch_snapshot get_task_stack perf_event_read " +
      "perf_event_read_value send_signal send_signal_thread task_storage_get task_storage_delete",
    types: `${NETWORK} ${CGROUP} sk_msg netfilter`,
  },
  { since: "6.18", helpers: "current_task_under_cgroup get_current_comm", types: `${NETWORK} sk_msg netfilter` },
  { since: "6.18", helpers: "get_current_uid_gid", types: `${NETWORK} netfilter` },
  {
    since: "6.18",
    helpers: "get_cgroup_classid",
    types:
      `socket_filter xdp cgroup_skb sock_ops sk_skb flow_dissector sk_reuseport sk_lookup ${PROBES} tracing lsm syscall ` +
      "netfilter",
  },
  { since: "6.18", helpers: "get_netns_cookie", types: "socket_filter cgroup_skb" },
];

/** Helpers that a version's stable releases took from a program type. Source: as asked of 6.1.192 and 6.12.117. */
export const WITHDRAWN: readonly {
  readonly kernels: readonly ProfileName[];
  readonly helper: string;
  readonly type: string;
}[] = [{ kernels: ["6.1", "6.12"], helper: "skb_pull_data", type: "lwt_seg6local" }];

/** The profile's kernel has the helper no more for programs of this type. */
export function withdrawn(profile: Profile, helper: Helper, progType: number): boolean {
  return WITHDRAWN.some(
    ({ kernels, helper: name, type }) =>
      name === helper.name && type === progTypeName(progType) && kernels.some((kernel) => kernel === profile.kernel),
  );
}

/**
 * Helpers of BPF_PROG_TYPE_CGROUP_SOCK_ADDR that more of its hooks may call since some kernel; before 5.11 only connect4
 * and connect6. Source: net/core/filter.c `sock_addr_func_proto`.
 */
export const HOOKS_BROADENED: readonly { readonly since: string; readonly helpers: string; readonly hooks: string }[] =
  [
    { since: "5.11", helpers: "setsockopt getsockopt", hooks: "INET4_BIND INET6_BIND" },
    {
      since: "5.12",
      helpers: "setsockopt getsockopt",
      hooks:
        "UDP4_RECVMSG UDP6_RECVMSG UDP4_SENDMSG UDP6_SENDMSG INET4_GETPEERNAME INET6_GETPEERNAME INET4_GETSOCKNAME " +
        "INET6_GETSOCKNAME",
    },
    { since: "6.13", helpers: "setsockopt getsockopt", hooks: "UNIX_GETPEERNAME UNIX_GETSOCKNAME" },
  ];
const hooksBroadened = new Map<string, number>(
  HOOKS_BROADENED.flatMap(({ since, helpers, hooks }) =>
    helpers.split(" ").flatMap((helper) =>
      hooks.split(" ").map((hook): [string, number] => {
        const attachType = (AttachType as Record<string, number>)[`BPF_CGROUP_${hook}`]!;
        return [`${helper} ${attachType}`, versionNumber(since)];
      }),
    ),
  ),
);

const broadened = new Map<string, number>();
for (const { since, helpers, types } of BROADENED) {
  for (const helper of helpers.split(" ")) {
    for (const type of types.split(" ")) {
      const number = (ProgType as Record<string, number>)[`BPF_PROG_TYPE_${type.toUpperCase()}`]!;
      const key = `${helper} ${number}`;
      broadened.set(key, Math.max(versionNumber(since), broadened.get(key) ?? 0));
    }
  }
}

/** The version since which programs of this type may call the helper: its own, or the later one that widened it. */
export function helperSince(helper: Helper, progType: number, attachType = 0): number {
  const own = Math.max(versionNumber(helper.since), broadened.get(`${helper.name} ${progType}`) ?? 0);
  if (progType !== ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR) return own;
  return Math.max(own, hooksBroadened.get(`${helper.name} ${attachType}`) ?? 0);
}

const mapTypeOf = (name: string): number => (MapType as Record<string, number>)[`BPF_MAP_TYPE_${name.toUpperCase()}`]!;
const sleeperMaps = new Map(
  SLEEPER_MAPS.flatMap(({ since, maps }) =>
    maps.split(" ").map((name): [number, number] => [mapTypeOf(name), versionNumber(since)]),
  ),
);
const mapHelpers = new Map(
  MAP_BROADENED.flatMap(({ since, helper, maps }) =>
    maps.split(" ").map((name): [string, number] => [`${helper} ${mapTypeOf(name)}`, versionNumber(since)]),
  ),
);

/** The version since which programs that may sleep may use maps of a type; 0 when they always could. */
export function sleeperMapSince(mapType: number): number {
  return sleeperMaps.get(mapType) ?? 0;
}

/** The version since which a helper (its name without `bpf_`) works on maps of a type; 0 when it always did. */
export function mapHelperSince(helper: string, mapType: number): number {
  return mapHelpers.get(`${helper} ${mapType}`) ?? 0;
}

/** `6.6` for 606. */
export function versionText(version: number): string {
  return `${Math.floor(version / 100)}.${version % 100}`;
}

export const DEFAULT_PROFILE: Profile = { kernel: "6.18", version: 618 };

/** The newest profile that is not newer than a kernel's release as uname prints it (`6.1.0-56-amd64`). */
export function profileOfRelease(release: string): ProfileName {
  const running = versionNumber(/^\d+\.\d+/.exec(release)?.[0] ?? DEFAULT_PROFILE.kernel);
  return PROFILE_NAMES.findLast((name) => versionNumber(name) <= running) ?? PROFILE_NAMES[0];
}

/**
 * The profile of a version: one of the names, or one between. Of kernels younger than the youngest nothing more is known.
 * @throws RangeError for what is no version, or one older than the oldest.
 */
export function profileOf(kernel: KernelVersion): Profile {
  const version = versionNumber(kernel);
  if (!/^\d+\.\d{1,2}$/.test(kernel) || version < versionNumber(PROFILE_NAMES[0])) {
    throw new RangeError(`profile: expected a kernel from ${PROFILE_NAMES[0]} on, as 6.1, got ${kernel}`);
  }
  return version > DEFAULT_PROFILE.version ? DEFAULT_PROFILE : { kernel, version };
}
