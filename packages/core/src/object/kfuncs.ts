/**
 * The one kfunc table: kernel functions that programs call by their BTF name (`call` with src 2), with argument and
 * result kinds, flags, program types and the kernel that brought them. Verifier, engines and listings read it.
 * It leaves out functions of modules that no network program calls (sched_ext, HID), and tests of the kernel's own.
 *
 * A program is never bound by number: the ids are those of one kernel's BTF. What an engine can run of them is
 * vm/helpers `KFUNCS`; the others are known by name and refused at load.
 * Source: names, parameters and program types were asked of a running Linux 6.18 (its BTF; one BPF_PROG_LOAD a pair);
 * flags: the `BTF_ID_FLAGS` of kernel/bpf/helpers.c, kernel/bpf/{arena,cpumask,crypto,map_iter,rqspinlock}.c,
 * net/core/{filter,xdp}.c, net/netfilter/nf_conntrack_bpf.c, net/ipv4/{bpf_tcp_ca,fou_bpf}.c, net/xfrm/xfrm_state_bpf.c.
 */
import { ProgType } from "./prog-types.ts";

/**
 * What a kfunc expects in a register. `scalar` is a number, `constant` one that is known at load; `mem` memory that may
 * be read and written, of a fixed size or bounded by the `size` or `constantSize` after it; `ctx` the program's own;
 * `dynptr` and `iter` (of kind `of`) are slots of the stack; `btf` a trusted pointer to the kernel struct `of`;
 * `object` what bpf_obj_new gave (or, with `refcounted`, one that holds a count); `listHead` … `resLock`, `workqueue`,
 * `taskWork` are fields of map values and objects; `callback` a function of the program; `str` a string in a frozen
 * read-only map; `unchecked` is not looked at, `hidden` is filled in by the kernel and passed as 0.
 */
export type KfuncArgKind =
  | "scalar"
  | "constant"
  | "mem"
  | "size"
  | "constantSize"
  | "ctx"
  | "dynptr"
  | "iter"
  | "btf"
  | "object"
  | "refcounted"
  | "listHead"
  | "listNode"
  | "rbRoot"
  | "rbNode"
  | "resLock"
  | "irqFlag"
  | "workqueue"
  | "taskWork"
  | "callback"
  | "map"
  | "str"
  | "arena"
  | "unchecked"
  | "hidden";

export interface KfuncArg {
  readonly kind: KfuncArgKind;
  /** NULL is accepted too. */
  readonly orNull: boolean;
  /** The slot (`dynptr`, `iter`, `irqFlag`) must not be in use, and is after the call. */
  readonly uninit: boolean;
  /** Bytes of a fixed-size `mem`, 0 where the next argument says. */
  readonly size: number;
  /** Kernel struct of `btf`, kind of an `iter`. */
  readonly of: string;
}

/**
 * What r0 holds. `mem` is memory of `size` bytes (0: as many as the `constantSize` argument says), read-only unless
 * `writable`; `btf` the kernel struct `of`; `object` memory of the program's type that argument 1 names;
 * `sameObject` of the type of argument 1; `listNode` and `rbNode` a node of the list or tree in argument 1;
 * `cast` memory of the kernel type that argument 2 names, read-only and never faulting; `kernCtx` the kernel's own
 * struct behind the ctx.
 */
export interface KfuncResult {
  readonly kind:
    | "void"
    | "scalar"
    | "mem"
    | "btf"
    | "object"
    | "sameObject"
    | "listNode"
    | "rbNode"
    | "cast"
    | "kernCtx"
    | "arena";
  readonly orNull: boolean;
  readonly size: number;
  readonly writable: boolean;
  readonly of: string;
}

export interface Kfunc {
  readonly name: string;
  readonly args: readonly KfuncArg[];
  readonly result: KfuncResult;
  /** r0 is a reference that must be given back. */
  readonly acquires: boolean;
  /** The reference in its first pointer argument is gone after the call. */
  readonly releases: boolean;
  /** Pointers must be trusted (referenced, or straight from the kernel), unmoved, and not NULL. */
  readonly trustedArgs: boolean;
  /** Pointers may also be under RCU. */
  readonly rcuArgs: boolean;
  /** Only between bpf_rcu_read_lock and bpf_rcu_read_unlock, or in programs that do not sleep. */
  readonly rcuProtected: boolean;
  /** Only sleepable programs may call it. */
  readonly mightSleep: boolean;
  /** Its part in an open-coded iterator. */
  readonly iter: "new" | "next" | "destroy" | undefined;
  /** r1 to r5 beyond its arguments survive the call. */
  readonly fastcall: boolean;
  /** Packet data may move. */
  readonly changesPacket: boolean;
  /** First kernel that has it. */
  readonly since: string;
  /** Program types that may call it; undefined for all. */
  readonly progTypes: ReadonlySet<number> | undefined;
}

/**
 * An argument is its kind, then `?` for NULL allowed, `:u` for an unused slot, `#N` a fixed size, `@X` the struct or
 * iterator. A result likewise, `:w` for writable. Flags: `a` acquires, `r` releases, `t` trusted arguments, `u` RCU
 * arguments, `p` RCU protected, `s` might sleep, `N` `X` `D` iterator new, next, destroy, `f` fastcall, `c` changes
 * packet data. Program types: `*` for all, `@group`, or the short name.
 */
type Row = readonly [name: string, result: string, args: string, flags: string, since: string, types: string];
// biome-ignore format: a table
const ROWS: readonly Row[] = [
  // Packets.
  ["bpf_dynptr_from_skb", "scalar", "ctx scalar dynptr:u", "t", "6.4", "@skb"],
  ["bpf_dynptr_from_skb_meta", "scalar", "ctx scalar dynptr:u", "t", "6.18", "sched_cls sched_act"],
  ["bpf_dynptr_from_xdp", "scalar", "ctx scalar dynptr:u", "", "6.4", "xdp"],
  ["bpf_xdp_pull_data", "scalar", "ctx scalar", "c", "6.18", "xdp"],
  ["bpf_xdp_metadata_rx_timestamp", "scalar", "ctx mem#8", "t", "6.3", "xdp"],
  ["bpf_xdp_metadata_rx_hash", "scalar", "ctx mem#4 mem#4", "t", "6.3", "xdp"],
  ["bpf_xdp_metadata_rx_vlan_tag", "scalar", "ctx mem#2 mem#2", "t", "6.8", "xdp"],
  // Dynptrs.
  ["bpf_dynptr_slice", "mem?", "dynptr scalar mem? constantSize", "", "6.4", "*"],
  ["bpf_dynptr_slice_rdwr", "mem?:w", "dynptr scalar mem? constantSize", "", "6.4", "*"],
  ["bpf_dynptr_adjust", "scalar", "dynptr scalar scalar", "", "6.5", "*"],
  ["bpf_dynptr_is_null", "scalar", "dynptr", "", "6.5", "*"],
  ["bpf_dynptr_is_rdonly", "scalar", "dynptr", "", "6.5", "*"],
  ["bpf_dynptr_size", "scalar", "dynptr", "", "6.5", "*"],
  ["bpf_dynptr_clone", "scalar", "dynptr dynptr:u", "", "6.5", "*"],
  ["bpf_dynptr_copy", "scalar", "dynptr scalar dynptr scalar scalar", "", "6.16", "*"],
  ["bpf_dynptr_memset", "scalar", "dynptr scalar scalar scalar", "", "6.17", "*"],
  ["bpf_probe_read_kernel_dynptr", "scalar", "dynptr scalar scalar unchecked", "", "6.16", "*"],
  ["bpf_probe_read_kernel_str_dynptr", "scalar", "dynptr scalar scalar unchecked", "", "6.16", "*"],
  ["bpf_probe_read_user_dynptr", "scalar", "dynptr scalar scalar unchecked", "", "6.16", "*"],
  ["bpf_probe_read_user_str_dynptr", "scalar", "dynptr scalar scalar unchecked", "", "6.16", "*"],
  ["bpf_copy_from_user_dynptr", "scalar", "dynptr scalar scalar unchecked", "s", "6.16", "*"],
  ["bpf_copy_from_user_str_dynptr", "scalar", "dynptr scalar scalar unchecked", "s", "6.16", "*"],
  ["bpf_copy_from_user_task_dynptr", "scalar", "dynptr scalar scalar unchecked btf@task_struct", "ts", "6.16", "*"],
  ["bpf_copy_from_user_task_str_dynptr", "scalar", "dynptr scalar scalar unchecked btf@task_struct", "ts", "6.16", "*"],
  ["bpf_copy_from_user_str", "scalar", "mem size unchecked scalar", "s", "6.12", "*"],
  ["bpf_copy_from_user_task_str", "scalar", "mem size unchecked btf@task_struct scalar", "s", "6.15", "*"],
  // Connection tracking.
  ["bpf_xdp_ct_lookup", "btf?@nf_conn", "ctx mem size mem size", "a", "5.18", "sched_cls xdp"],
  ["bpf_skb_ct_lookup", "btf?@nf_conn", "ctx mem size mem size", "a", "5.18", "sched_cls xdp"],
  ["bpf_xdp_ct_alloc", "btf?@nf_conn___init", "ctx mem size mem size", "a", "6.0", "sched_cls xdp"],
  ["bpf_skb_ct_alloc", "btf?@nf_conn___init", "ctx mem size mem size", "a", "6.0", "sched_cls xdp"],
  ["bpf_ct_insert_entry", "btf?@nf_conn", "btf@nf_conn___init", "ar", "6.0", "sched_cls xdp"],
  ["bpf_ct_release", "void", "btf@nf_conn", "r", "5.18", "sched_cls xdp"],
  ["bpf_ct_set_timeout", "void", "btf@nf_conn___init scalar", "t", "6.0", "sched_cls xdp"],
  ["bpf_ct_change_timeout", "scalar", "btf@nf_conn scalar", "t", "6.0", "sched_cls xdp"],
  ["bpf_ct_set_status", "scalar", "btf@nf_conn___init scalar", "t", "6.0", "sched_cls xdp"],
  ["bpf_ct_change_status", "scalar", "btf@nf_conn scalar", "t", "6.0", "sched_cls xdp"],
  ["bpf_ct_set_nat_info", "scalar", "btf@nf_conn___init mem#16 scalar scalar", "t", "6.1", "sched_cls xdp"],
  // Tunnels, IPsec, sockets. The two of fou are in a module.
  ["bpf_skb_set_fou_encap", "scalar", "ctx mem#4 scalar", "t", "6.4", "sched_cls"],
  ["bpf_skb_get_fou_encap", "scalar", "ctx mem#4", "t", "6.4", "sched_cls"],
  ["bpf_xdp_get_xfrm_state", "btf?@xfrm_state", "ctx mem size", "a", "6.8", "xdp"],
  ["bpf_xdp_xfrm_state_release", "void", "btf@xfrm_state", "r", "6.8", "xdp"],
  ["bpf_sk_assign_tcp_reqsk", "scalar", "ctx btf@sock mem size", "t", "6.9", "sched_cls"],
  ["bpf_sock_addr_set_sun_path", "scalar", "ctx mem size", "", "6.7", "@cgroup"],
  ["bpf_sock_ops_enable_tx_tstamp", "scalar", "ctx scalar", "t", "6.15", "@cgroup"],
  ["bpf_sock_destroy", "scalar", "btf@sock_common", "t", "6.5", "tracing"],
  // Congestion control.
  ["tcp_reno_ssthresh", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["tcp_reno_cong_avoid", "void", "btf@sock scalar scalar", "", "5.13", "struct_ops"],
  ["tcp_reno_undo_cwnd", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["tcp_slow_start", "scalar", "btf@tcp_sock scalar", "", "5.13", "struct_ops"],
  ["tcp_cong_avoid_ai", "void", "btf@tcp_sock scalar scalar", "", "5.13", "struct_ops"],
  ["cubictcp_init", "void", "btf@sock", "", "5.13", "struct_ops"],
  ["cubictcp_recalc_ssthresh", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["cubictcp_cong_avoid", "void", "btf@sock scalar scalar", "", "5.13", "struct_ops"],
  ["cubictcp_state", "void", "btf@sock scalar", "", "5.13", "struct_ops"],
  ["cubictcp_cwnd_event", "void", "btf@sock scalar", "", "5.13", "struct_ops"],
  ["cubictcp_acked", "void", "btf@sock btf@ack_sample", "", "5.13", "struct_ops"],
  ["bbr_init", "void", "btf@sock", "", "5.13", "struct_ops"],
  ["bbr_main", "void", "btf@sock scalar scalar btf@rate_sample", "", "5.13", "struct_ops"],
  ["bbr_sndbuf_expand", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["bbr_undo_cwnd", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["bbr_cwnd_event", "void", "btf@sock scalar", "", "5.13", "struct_ops"],
  ["bbr_ssthresh", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["bbr_min_tso_segs", "scalar", "btf@sock", "", "5.13", "struct_ops"],
  ["bbr_set_state", "void", "btf@sock scalar", "", "5.13", "struct_ops"],
  // Casts, locks, exceptions.
  ["bpf_cast_to_kern_ctx", "kernCtx", "ctx", "f", "6.2", "*"],
  ["bpf_rdonly_cast", "cast", "unchecked constant", "f", "6.2", "*"],
  ["bpf_rcu_read_lock", "void", "", "", "6.2", "*"],
  ["bpf_rcu_read_unlock", "void", "", "", "6.2", "*"],
  ["bpf_preempt_disable", "void", "", "", "6.10", "*"],
  ["bpf_preempt_enable", "void", "", "", "6.10", "*"],
  ["bpf_local_irq_save", "void", "irqFlag:u", "", "6.14", "*"],
  ["bpf_local_irq_restore", "void", "irqFlag", "", "6.14", "*"],
  ["bpf_res_spin_lock", "scalar", "resLock", "", "6.15", "*"],
  ["bpf_res_spin_unlock", "void", "resLock", "", "6.15", "*"],
  ["bpf_res_spin_lock_irqsave", "scalar", "resLock irqFlag:u", "", "6.15", "*"],
  ["bpf_res_spin_unlock_irqrestore", "void", "resLock irqFlag", "", "6.15", "*"],
  ["bpf_throw", "void", "scalar", "", "6.7", "@generic"],
  // Objects, lists, trees.
  ["bpf_obj_new_impl", "object?", "constant hidden", "a", "6.2", "@generic"],
  ["bpf_obj_drop_impl", "void", "object hidden", "r", "6.2", "@generic"],
  ["bpf_percpu_obj_new_impl", "object?", "constant hidden", "a", "6.7", "@generic"],
  ["bpf_percpu_obj_drop_impl", "void", "object hidden", "r", "6.7", "@generic"],
  ["bpf_refcount_acquire_impl", "sameObject?", "refcounted hidden", "au", "6.4", "@generic"],
  ["bpf_list_push_front_impl", "scalar", "listHead listNode hidden scalar", "", "6.4", "@generic"],
  ["bpf_list_push_back_impl", "scalar", "listHead listNode hidden scalar", "", "6.4", "@generic"],
  ["bpf_list_pop_front", "listNode?", "listHead", "a", "6.2", "@generic"],
  ["bpf_list_pop_back", "listNode?", "listHead", "a", "6.2", "@generic"],
  ["bpf_list_front", "listNode?", "listHead", "", "6.16", "@generic"],
  ["bpf_list_back", "listNode?", "listHead", "", "6.16", "@generic"],
  ["bpf_rbtree_add_impl", "scalar", "rbRoot rbNode callback hidden scalar", "", "6.4", "@generic"],
  ["bpf_rbtree_remove", "rbNode?", "rbRoot rbNode", "a", "6.3", "@generic"],
  ["bpf_rbtree_first", "rbNode?", "rbRoot", "", "6.3", "@generic"],
  ["bpf_rbtree_root", "rbNode?", "rbRoot", "", "6.16", "@generic"],
  ["bpf_rbtree_left", "rbNode?", "rbRoot rbNode", "", "6.16", "@generic"],
  ["bpf_rbtree_right", "rbNode?", "rbRoot rbNode", "", "6.16", "@generic"],
  // Maps, work queues, arenas.
  ["bpf_map_sum_elem_count", "scalar", "btf@bpf_map", "t", "6.6", "*"],
  ["bpf_wq_init", "scalar", "workqueue map scalar", "", "6.10", "*"],
  ["bpf_wq_set_callback_impl", "scalar", "workqueue callback scalar hidden", "", "6.10", "*"],
  ["bpf_wq_start", "scalar", "workqueue scalar", "", "6.10", "*"],
  ["bpf_task_work_schedule_signal_impl", "scalar", "btf@task_struct taskWork map callback hidden", "t", "6.18", "*"],
  ["bpf_task_work_schedule_resume_impl", "scalar", "btf@task_struct taskWork map callback hidden", "t", "6.18", "*"],
  ["bpf_arena_alloc_pages", "arena", "map arena scalar scalar scalar", "ts", "6.9", "*"],
  ["bpf_arena_free_pages", "void", "map arena scalar", "ts", "6.9", "*"],
  ["bpf_arena_reserve_pages", "scalar", "map arena scalar", "ts", "6.17", "*"],
  // Iterators.
  ["bpf_iter_num_new", "scalar", "iter:u@num scalar scalar", "N", "6.4", "*"],
  ["bpf_iter_num_next", "mem?#4", "iter@num", "X", "6.4", "*"],
  ["bpf_iter_num_destroy", "void", "iter@num", "D", "6.4", "*"],
  ["bpf_iter_bits_new", "scalar", "iter:u@bits unchecked scalar", "N", "6.11", "*"],
  ["bpf_iter_bits_next", "mem?#4", "iter@bits", "X", "6.11", "*"],
  ["bpf_iter_bits_destroy", "void", "iter@bits", "D", "6.11", "*"],
  ["bpf_iter_task_new", "scalar", "iter:u@task btf?@task_struct scalar", "Ntp", "6.7", "*"],
  ["bpf_iter_task_next", "btf?@task_struct", "iter@task", "X", "6.7", "*"],
  ["bpf_iter_task_destroy", "void", "iter@task", "D", "6.7", "*"],
  ["bpf_iter_task_vma_new", "scalar", "iter:u@task_vma btf@task_struct scalar", "Nu", "6.7", "*"],
  ["bpf_iter_task_vma_next", "btf?@vm_area_struct", "iter@task_vma", "X", "6.7", "*"],
  ["bpf_iter_task_vma_destroy", "void", "iter@task_vma", "D", "6.7", "*"],
  ["bpf_iter_css_new", "scalar", "iter:u@css btf@cgroup_subsys_state scalar", "Ntp", "6.7", "*"],
  ["bpf_iter_css_next", "btf?@cgroup_subsys_state", "iter@css", "X", "6.7", "*"],
  ["bpf_iter_css_destroy", "void", "iter@css", "D", "6.7", "*"],
  ["bpf_iter_css_task_new", "scalar", "iter:u@css_task btf@cgroup_subsys_state scalar", "Nt", "6.7", "*"],
  ["bpf_iter_css_task_next", "btf?@task_struct", "iter@css_task", "X", "6.7", "*"],
  ["bpf_iter_css_task_destroy", "void", "iter@css_task", "D", "6.7", "*"],
  ["bpf_iter_kmem_cache_new", "scalar", "iter:u@kmem_cache", "Ns", "6.13", "*"],
  ["bpf_iter_kmem_cache_next", "btf?@kmem_cache", "iter@kmem_cache", "Xs", "6.13", "*"],
  ["bpf_iter_kmem_cache_destroy", "void", "iter@kmem_cache", "Ds", "6.13", "*"],
  ["bpf_iter_dmabuf_new", "scalar", "iter:u@dmabuf", "Ns", "6.16", "*"],
  ["bpf_iter_dmabuf_next", "btf?@dma_buf", "iter@dmabuf", "Xs", "6.16", "*"],
  ["bpf_iter_dmabuf_destroy", "void", "iter@dmabuf", "Ds", "6.16", "*"],
  // Text.
  ["bpf_strcmp", "scalar", "unchecked unchecked", "", "6.17", "*"],
  ["bpf_strcasecmp", "scalar", "unchecked unchecked", "", "6.18", "*"],
  ["bpf_strchr", "scalar", "unchecked scalar", "", "6.17", "*"],
  ["bpf_strchrnul", "scalar", "unchecked scalar", "", "6.17", "*"],
  ["bpf_strnchr", "scalar", "unchecked scalar scalar", "", "6.17", "*"],
  ["bpf_strrchr", "scalar", "unchecked scalar", "", "6.17", "*"],
  ["bpf_strlen", "scalar", "unchecked", "", "6.17", "*"],
  ["bpf_strnlen", "scalar", "unchecked scalar", "", "6.17", "*"],
  ["bpf_strspn", "scalar", "unchecked unchecked", "", "6.17", "*"],
  ["bpf_strcspn", "scalar", "unchecked unchecked", "", "6.17", "*"],
  ["bpf_strstr", "scalar", "unchecked unchecked", "", "6.17", "*"],
  ["bpf_strnstr", "scalar", "unchecked unchecked scalar", "", "6.17", "*"],
  ["bpf_stream_vprintk_impl", "scalar", "scalar str mem size hidden", "t", "6.17", "*"],
  // Tasks, cgroups, keys, signals.
  ["bpf_task_acquire", "btf?@task_struct", "btf@task_struct", "au", "6.2", "@generic"],
  ["bpf_task_release", "void", "btf@task_struct", "r", "6.2", "@generic"],
  ["bpf_task_from_pid", "btf?@task_struct", "scalar", "a", "6.2", "@generic"],
  ["bpf_task_from_vpid", "btf?@task_struct", "scalar", "a", "6.13", "@generic"],
  ["bpf_task_get_cgroup1", "btf?@cgroup", "btf@task_struct scalar", "au", "6.8", "@generic"],
  ["bpf_task_under_cgroup", "scalar", "btf@task_struct btf@cgroup", "u", "6.5", "@generic"],
  ["bpf_cgroup_acquire", "btf?@cgroup", "btf@cgroup", "au", "6.2", "@generic"],
  ["bpf_cgroup_release", "void", "btf@cgroup", "r", "6.2", "@generic"],
  ["bpf_cgroup_ancestor", "btf?@cgroup", "btf@cgroup scalar", "au", "6.2", "@generic"],
  ["bpf_cgroup_from_id", "btf?@cgroup", "scalar", "a", "6.4", "@generic"],
  ["bpf_cgroup_read_xattr", "scalar", "btf@cgroup str dynptr", "u", "6.17", "*"],
  ["bpf_lookup_user_key", "btf?@bpf_key", "scalar scalar", "as", "6.1", "@generic"],
  ["bpf_lookup_system_key", "btf?@bpf_key", "scalar", "a", "6.1", "@generic"],
  ["bpf_key_put", "void", "btf@bpf_key", "r", "6.1", "@generic"],
  ["bpf_send_signal_task", "scalar", "btf@task_struct scalar scalar scalar", "t", "6.13", "@generic"],
  ["bpf_get_task_exe_file", "btf?@file", "btf@task_struct", "at", "6.12", "lsm"],
  ["bpf_put_file", "void", "btf@file", "r", "6.12", "lsm"],
  ["bpf_path_d_path", "scalar", "btf@path mem size", "t", "6.12", "lsm"],
  ["bpf_get_file_xattr", "scalar", "btf@file str dynptr", "ts", "6.8", "lsm"],
  ["bpf_get_dentry_xattr", "scalar", "btf@dentry str dynptr", "ts", "6.12", "lsm"],
  ["bpf_set_dentry_xattr", "scalar", "btf@dentry str dynptr scalar", "ts", "6.15", "lsm"],
  ["bpf_remove_dentry_xattr", "scalar", "btf@dentry str", "ts", "6.15", "lsm"],
  ["bpf_session_is_return", "scalar", "", "", "6.10", "kprobe"],
  ["bpf_session_cookie", "mem#8:w", "", "", "6.10", "kprobe"],
  ["bpf_get_kmem_cache", "btf?@kmem_cache", "scalar", "", "6.13", "*"],
  // CPU masks.
  ["bpf_cpumask_create", "btf?@bpf_cpumask", "", "a", "6.3", "@mask"],
  ["bpf_cpumask_release", "void", "btf@bpf_cpumask", "r", "6.3", "@mask"],
  ["bpf_cpumask_acquire", "btf@bpf_cpumask", "btf@bpf_cpumask", "at", "6.3", "@mask"],
  ["bpf_cpumask_first", "scalar", "btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_first_zero", "scalar", "btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_first_and", "scalar", "btf@cpumask btf@cpumask", "u", "6.5", "@mask"],
  ["bpf_cpumask_set_cpu", "void", "scalar btf@bpf_cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_clear_cpu", "void", "scalar btf@bpf_cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_test_cpu", "scalar", "scalar btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_test_and_set_cpu", "scalar", "scalar btf@bpf_cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_test_and_clear_cpu", "scalar", "scalar btf@bpf_cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_setall", "void", "btf@bpf_cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_clear", "void", "btf@bpf_cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_and", "scalar", "btf@bpf_cpumask btf@cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_or", "void", "btf@bpf_cpumask btf@cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_xor", "void", "btf@bpf_cpumask btf@cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_equal", "scalar", "btf@cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_intersects", "scalar", "btf@cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_subset", "scalar", "btf@cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_empty", "scalar", "btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_full", "scalar", "btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_copy", "void", "btf@bpf_cpumask btf@cpumask", "u", "6.3", "@mask"],
  ["bpf_cpumask_any_distribute", "scalar", "btf@cpumask", "u", "6.5", "@mask"],
  ["bpf_cpumask_any_and_distribute", "scalar", "btf@cpumask btf@cpumask", "u", "6.5", "@mask"],
  ["bpf_cpumask_weight", "scalar", "btf@cpumask", "u", "6.8", "@mask"],
  ["bpf_cpumask_populate", "scalar", "btf@cpumask mem size", "u", "6.15", "@mask"],
  // Cryptography.
  ["bpf_crypto_ctx_create", "btf?@bpf_crypto_ctx", "mem size mem#4", "as", "6.10", "syscall"],
  ["bpf_crypto_ctx_acquire", "btf?@bpf_crypto_ctx", "btf@bpf_crypto_ctx", "au", "6.10", "syscall"],
  ["bpf_crypto_ctx_release", "void", "btf@bpf_crypto_ctx", "r", "6.10", "syscall"],
  ["bpf_crypto_encrypt", "scalar", "btf@bpf_crypto_ctx dynptr dynptr dynptr?", "u", "6.10", "@tc xdp"],
  ["bpf_crypto_decrypt", "scalar", "btf@bpf_crypto_ctx dynptr dynptr dynptr?", "u", "6.10", "@tc xdp"],
];

const GROUPS: Readonly<Record<string, string>> = {
  "@tc": "sched_cls sched_act",
  "@skb":
    "socket_filter sched_cls sched_act tracepoint perf_event cgroup_skb cgroup_sock lwt_in lwt_out lwt_xmit sock_ops " +
    "sk_skb cgroup_device cgroup_sock_addr lwt_seg6local cgroup_sysctl cgroup_sockopt tracing lsm netfilter",
  "@cgroup": "cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr cgroup_sysctl cgroup_sockopt",
  "@generic":
    "sched_cls tracepoint xdp perf_event cgroup_skb cgroup_sock sock_ops cgroup_device cgroup_sock_addr " +
    "cgroup_sysctl cgroup_sockopt tracing lsm struct_ops syscall",
  "@mask": "tracepoint perf_event tracing lsm struct_ops syscall",
};

/** All of them by name. */
export const KFUNCS: ReadonlyMap<string, Kfunc> = new Map(ROWS.map((row) => [row[0], parseRow(row)]));

/** The row of `bpf_dynptr_from_xdp`; undefined for a name that is no kfunc of the table. */
export function kfuncByName(name: string): Kfunc | undefined {
  return KFUNCS.get(name);
}

/** True when programs of this type may call it. */
export function kfuncAllowed(kfunc: Kfunc, progType: number): boolean {
  return kfunc.progTypes?.has(progType) ?? true;
}

function parseRow([name, result, args, flags, since, types]: Row): Kfunc {
  const has = (flag: string): boolean => flags.includes(flag);
  return {
    name,
    args: args.split(" ").filter(Boolean).map(parseArg),
    result: parseResult(result),
    acquires: has("a"),
    releases: has("r"),
    trustedArgs: has("t"),
    rcuArgs: has("u"),
    rcuProtected: has("p"),
    mightSleep: has("s"),
    iter: has("N") ? "new" : has("X") ? "next" : has("D") ? "destroy" : undefined,
    fastcall: has("f"),
    changesPacket: has("c"),
    since,
    progTypes: parseTypes(types),
  };
}

function parseArg(text: string): KfuncArg {
  const [, kind, rest] = /^([a-zA-Z]+)(.*)$/.exec(text)!;
  return {
    kind: kind as KfuncArgKind,
    orNull: rest!.includes("?"),
    uninit: rest!.includes(":u"),
    size: Number(/#(\d+)/.exec(rest!)?.[1] ?? 0),
    of: /@(\w+)/.exec(rest!)?.[1] ?? "",
  };
}

function parseResult(text: string): KfuncResult {
  const { kind, orNull, size, of } = parseArg(text);
  return { kind: kind as unknown as KfuncResult["kind"], orNull, size, of, writable: text.includes(":w") };
}

function parseTypes(text: string): ReadonlySet<number> | undefined {
  if (text === "*") return undefined;
  const names = text.split(" ").flatMap((word) => (GROUPS[word] ?? word).split(" "));
  return new Set(names.map((name) => (ProgType as Record<string, number>)[`BPF_PROG_TYPE_${name.toUpperCase()}`]!));
}
