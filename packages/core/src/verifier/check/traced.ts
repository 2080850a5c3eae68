/**
 * Programs that the kernel's own types describe: what they are attached to, and what each 8-byte argument of their ctx
 * is. Tracing, LSM and struct_ops programs get the arguments of a kernel function, iterators an object a call.
 *
 * Leaves out programs that trace another program: their types are that program's.
 * Source: kernel/bpf/btf.c `btf_ctx_access`, `raw_tp_null_args`; kernel/bpf/verifier.c `bpf_check_attach_target`;
 * `ctx_arg_info` of the kernel's iterators (kernel/bpf/*_iter.c, net/).
 */
import { type Btf, type BtfFuncProto, type BtfType, resolve, sizeOf } from "../../btf/index.ts";
import { BtfError } from "../../errors/index.ts";
import { AttachType, type ProgramSpec, ProgType, progTypeName } from "../../object/index.ts";
import { Refusal } from "../context.ts";
import { MAYBE_NULL, PERCPU, RDONLY, TRUSTED, USER } from "../domain/reg.ts";

/** The kernel function whose arguments the ctx holds. */
export interface Traced {
  readonly btf: Btf;
  /** As the object names it. */
  readonly name: string;
  readonly params: readonly { readonly name: string; readonly type: number }[];
  /** Type of its result, 0 for none. */
  readonly ret: number;
  readonly progType: number;
  readonly attachType: number;
  /** Pointer arguments are known to be alive. */
  readonly trusted: boolean;
  /** What the ctx's pointers are beyond their type, by index of the argument. */
  readonly special: ReadonlyMap<number, SpecialArgument>;
}

interface SpecialArgument {
  readonly kind: "struct" | "buffer";
  readonly flags: number;
}

/** What a load of the ctx brings. */
export type TracedValue =
  | { readonly kind: "scalar" }
  | { readonly kind: "struct"; readonly id: number; readonly flags: number }
  | { readonly kind: "buffer"; readonly flags: number }
  | { readonly kind: "none"; readonly why: string };

/** Arguments that a function may have at most, and so the ctx's size. */
const MAX_ARGUMENTS = 12;

const OBJECT: SpecialArgument = { kind: "struct", flags: MAYBE_NULL | TRUSTED };
const BUFFER: SpecialArgument = { kind: "buffer", flags: MAYBE_NULL };
const KEY: SpecialArgument = { kind: "buffer", flags: MAYBE_NULL | RDONLY };

/** The arguments of iterator programs after `meta`, by target. */
const ITERATORS: Readonly<Record<string, readonly [index: number, what: SpecialArgument][]>> = {
  bpf_map: [[1, OBJECT]],
  bpf_map_elem: [
    [2, KEY],
    [3, BUFFER],
  ],
  bpf_prog: [[1, OBJECT]],
  bpf_link: [[1, OBJECT]],
  bpf_sk_storage_map: [
    [2, OBJECT],
    [3, BUFFER],
  ],
  cgroup: [[1, OBJECT]],
  dmabuf: [[1, OBJECT]],
  ipv6_route: [[1, { kind: "struct", flags: MAYBE_NULL }]],
  kmem_cache: [[1, OBJECT]],
  ksym: [[1, { kind: "struct", flags: MAYBE_NULL }]],
  netlink: [[1, { kind: "struct", flags: MAYBE_NULL }]],
  sockmap: [
    [2, KEY],
    [3, { kind: "struct", flags: MAYBE_NULL }],
  ],
  task: [[1, OBJECT]],
  task_file: [
    [1, OBJECT],
    [3, OBJECT],
  ],
  task_vma: [
    [1, OBJECT],
    [2, OBJECT],
  ],
  tcp: [[1, OBJECT]],
  udp: [[1, OBJECT]],
  unix: [[1, OBJECT]],
};

/** Tracepoint arguments that may be NULL (1) or an errno as a pointer (2), a hex digit an argument, the first one last. */
const TRACEPOINT_ARGUMENTS: Readonly<Record<string, number>> = {
  sched_pi_setprio: 0x10,
  sched_process_wait: 0x1,
  sched_stick_numa: 0x100,
  sched_swap_numa: 0x100,
  cachefiles_lookup: 0x201,
  fib_table_lookup: 0x100,
  posix_lock_inode: 0x10,
  fcntl_setlk: 0x10,
  locks_remove_posix: 0x10,
  flock_lock_inode: 0x10,
  break_lease_noblock: 0x10,
  break_lease_block: 0x10,
  break_lease_unblock: 0x10,
  generic_delete_lease: 0x10,
  time_out_leases: 0x10,
  ext4_mballoc_discard: 0x10,
  ext4_mballoc_free: 0x10,
  mm_khugepaged_scan_pmd: 0x10,
  mm_collapse_huge_page_isolate: 0x1,
  mm_khugepaged_scan_file: 0x10,
  mm_khugepaged_collapse_file: 0x10,
  mm_page_alloc: 0x1,
  mm_page_pcpu_drain: 0x1,
  mm_page_alloc_zone_locked: 0x1,
  netfs_failure: 0x10,
  device_pm_callback_start: 0x10,
  qdisc_dequeue: 0x1000,
  rxrpc_recvdata: 0x1,
  rxrpc_resend: 0x10,
  signal_generate: 0x20,
  signal_deliver: 0x20,
  kfree_skb: 0x1000,
  xs_stream_read_data: 0x1,
  xprt_reserve_cong: 0x10,
  xprt_release_cong: 0x10,
  xprt_get_cong: 0x10,
  xprt_put_cong: 0x10,
  tcp_send_reset: 0x11,
  tmigr_update_events: 0x1,
  writeback_dirty_folio: 0x10,
  folio_wait_writeback: 0x10,
  mr_integ_alloc: 0x2000,
  bpf_testmod_test_read: 0x0,
};

/** LSM hooks whose arguments may be about to be freed. Source: kernel/bpf/bpf_lsm.c `untrusted_lsm_hooks`. */
const UNTRUSTED_HOOKS: ReadonlySet<string> = new Set([
  "bpf_map_free",
  "bpf_prog_free",
  "file_alloc_security",
  "file_free_security",
  "sk_alloc_security",
  "sk_free_security",
  "task_free",
]);

function fail(verdict: "reject" | "unsupported", message: string, fix?: string): never {
  throw new Refusal(verdict, verdict === "reject" ? "attach-target" : "kernel-btf", message, 0, undefined, fix);
}

/** Members of struct_ops tables that programs implement. */
export interface StructOpsMember {
  readonly struct: string;
  readonly member: string;
}

/** What a program of these types is attached to; undefined for types whose ctx has a fixed layout. Throws Refusal. */
export function tracedBy(
  program: ProgramSpec,
  kernel: Btf | undefined,
  implementing: StructOpsMember | undefined,
): Traced | undefined {
  const T = ProgType;
  const { type, attachType, attachTo } = program;
  const raw = type === T.BPF_PROG_TYPE_RAW_TRACEPOINT && attachType === AttachType.BPF_TRACE_RAW_TP;
  const typed = [T.BPF_PROG_TYPE_TRACING, T.BPF_PROG_TYPE_LSM, T.BPF_PROG_TYPE_STRUCT_OPS] as number[];
  if (!typed.includes(type) || raw) return undefined;
  if (!kernel) {
    fail(
      "unsupported",
      `${progTypeName(type)} programs are typed by the kernel's BTF, and none was given`,
      "give the kernel's BTF (/sys/kernel/btf/vmlinux, or a file)",
    );
  }
  if (type === T.BPF_PROG_TYPE_STRUCT_OPS) return structOps(program, kernel, implementing);
  if (!attachTo)
    fail(
      "reject",
      `the program does not say what it is attached to`,
      "name it in the section, as in fentry/tcp_connect",
    );
  const base = { btf: kernel, name: attachTo, progType: type, attachType };
  if (type === T.BPF_PROG_TYPE_LSM) {
    const proto = functionProto(kernel, `bpf_lsm_${attachTo}`, "LSM hook", attachTo);
    return {
      ...base,
      params: proto.params,
      ret: proto.ret,
      trusted: !UNTRUSTED_HOOKS.has(attachTo),
      special: new Map(),
    };
  }
  if (attachType === AttachType.BPF_TRACE_RAW_TP) {
    const id = kernel.find(`btf_trace_${attachTo}`, "typedef");
    const pointer = id === undefined ? undefined : kernel.type(resolve(kernel, id));
    const proto = pointer?.kind === "ptr" ? kernel.type(resolve(kernel, pointer.type)) : undefined;
    if (proto?.kind !== "funcProto") fail("reject", `this kernel has no tracepoint ${attachTo}`);
    // The first parameter is the tracepoint's own data.
    return { ...base, params: proto.params.slice(1), ret: 0, trusted: true, special: new Map() };
  }
  if (attachType === AttachType.BPF_TRACE_ITER) {
    const proto = functionProto(kernel, `bpf_iter_${attachTo}`, "iterator", attachTo);
    const special = new Map<number, SpecialArgument>(ITERATORS[attachTo] ?? []);
    return { ...base, params: proto.params, ret: proto.ret, trusted: true, special };
  }
  const proto = functionProto(kernel, attachTo, "function", attachTo);
  return { ...base, params: proto.params, ret: proto.ret, trusted: false, special: new Map() };
}

function functionProto(kernel: Btf, name: string, what: string, said: string): BtfFuncProto {
  const id = kernel.find(name, "func");
  const func = id === undefined ? undefined : kernel.type(id);
  const proto = func?.kind === "func" ? kernel.type(func.type) : undefined;
  if (proto?.kind !== "funcProto") fail("reject", `this kernel has no ${what} ${said}`);
  return proto;
}

/** Functions of a struct that programs cannot implement. Source: net/ipv4/bpf_tcp_ca.c `unsupported_ops`. */
const UNSUPPORTED_MEMBERS = new Set(["tcp_congestion_ops.get_info"]);

function structOps(program: ProgramSpec, kernel: Btf, implementing: StructOpsMember | undefined): Traced {
  if (!implementing)
    fail(
      "unsupported",
      "no struct_ops variable of the object names this program: which member it implements is not known",
    );
  const { struct, member } = implementing;
  const id = kernel.find(struct, "struct");
  const type = id === undefined ? undefined : kernel.type(id);
  if (type?.kind !== "struct") fail("reject", `this kernel has no struct ${struct} to implement`);
  const found = type.members.find((m) => m.name === member);
  const pointer = found && kernel.type(resolve(kernel, found.type));
  const proto = pointer?.kind === "ptr" ? kernel.type(resolve(kernel, pointer.type)) : undefined;
  if (proto?.kind !== "funcProto") fail("reject", `struct ${struct} of this kernel has no function ${member}`);
  if (UNSUPPORTED_MEMBERS.has(`${struct}.${member}`))
    fail("reject", `the kernel takes no program as ${struct}.${member}`);
  const special = new Map<number, SpecialArgument>();
  const stub = stubOf(kernel, struct, member);
  stub?.params.forEach(({ name }, i) => {
    if (name.endsWith("__nullable")) special.set(i, OBJECT);
  });
  return {
    btf: kernel,
    name: `${struct}.${member}`,
    params: proto.params,
    ret: proto.ret,
    progType: program.type,
    attachType: program.attachType,
    trusted: true,
    special,
  };
}

/** The stub function that says which arguments may be NULL, `struct__member`. */
function stubOf(kernel: Btf, struct: string, member: string): BtfFuncProto | undefined {
  const id = kernel.find(`${struct}__${member}`, "func");
  const func = id === undefined ? undefined : kernel.type(id);
  const proto = func?.kind === "func" ? kernel.type(func.type) : undefined;
  return proto?.kind === "funcProto" ? proto : undefined;
}

/** What `size` bytes at `off` of the ctx are. */
export function tracedAccess(traced: Traced, off: number, size: number): TracedValue {
  const { btf, params, attachType, progType } = traced;
  if (off < 0 || off >= 8 * MAX_ARGUMENTS || off % size) return none(`offset ${off} is outside of the arguments`);
  if (off % 8) return none(`offset ${off} is not a multiple of 8: each argument begins at one`);
  const index = argumentAt(traced, off);
  if (index > params.length) return none(`${traced.name} has no argument ${index + 1}`);
  if (index === params.length) return resultAccess(traced, index, size);
  const param = params[index]!;
  const id = resolve(btf, param.type);
  const type = btf.type(id);
  if (isNumber(type) || type.kind === "struct") return { kind: "scalar" };
  if (type.kind !== "ptr") return none(`argument ${index + 1} of ${traced.name} is neither a number nor a pointer`);
  if (size !== 8) return none(`argument ${index + 1} of ${traced.name} is a pointer: only all 8 bytes can be read`);
  const special = traced.special.get(index);
  if (special?.kind === "buffer") return { kind: "buffer", flags: special.flags };
  const target = btf.type(resolve(btf, type.type));
  if (target.kind === "void" || target.kind === "int") return { kind: "scalar" };
  if (target.kind !== "struct" && target.kind !== "union") {
    return none(`argument ${index + 1} of ${traced.name} points to no struct`);
  }
  const to = resolve(btf, type.type);
  if (special) return { kind: "struct", id: to, flags: special.flags };
  let flags = traced.trusted ? TRUSTED : 0;
  if (param.name.endsWith("__nullable")) flags |= MAYBE_NULL;
  if (progType === ProgType.BPF_PROG_TYPE_TRACING && attachType === AttachType.BPF_TRACE_RAW_TP) {
    const digit = Math.floor((TRACEPOINT_ARGUMENTS[traced.name] ?? 0) / 16 ** index) & 15;
    if (digit & 2) return { kind: "scalar" };
    if (digit & 1) flags |= MAYBE_NULL;
  }
  const tag = btf.type(type.type);
  if (tag.kind === "typeTag" && tag.name === "user") flags |= USER;
  if (tag.kind === "typeTag" && tag.name === "percpu") flags |= PERCPU;
  return { kind: "struct", id: to, flags };
}

function none(why: string): TracedValue {
  return { kind: "none", why };
}

/** Structs passed by value take as many 8-byte words as they have. */
function argumentAt({ btf, params }: Traced, off: number): number {
  let at = 0;
  for (let i = 0; i < params.length; i++) {
    at += (bytesOf(btf, params[i]!.type) + 7) & ~7;
    if (off < at) return i;
  }
  return params.length + Math.floor((off - at) / 8);
}

function bytesOf(btf: Btf, id: number): number {
  try {
    return sizeOf(btf, id) || 8;
  } catch (error) {
    if (!(error instanceof BtfError)) throw error;
    return 8;
  }
}

function isNumber(type: BtfType): boolean {
  return (type.kind === "int" && type.size <= 8) || type.kind === "enum" || type.kind === "enum64";
}

/** Behind the last argument lies the function's result, for programs that run after it. */
function resultAccess(traced: Traced, index: number, size: number): TracedValue {
  const { attachType, btf, ret } = traced;
  const after: readonly number[] = [
    AttachType.BPF_LSM_MAC,
    AttachType.BPF_LSM_CGROUP,
    AttachType.BPF_TRACE_FEXIT,
    AttachType.BPF_MODIFY_RETURN,
  ];
  if (!after.includes(attachType) || ret === 0) return none(`${traced.name} has no argument ${index + 1}`);
  const type = btf.type(resolve(btf, ret));
  if (isNumber(type)) return { kind: "scalar" };
  if (type.kind !== "ptr" || size !== 8) return none(`the result of ${traced.name} is no number`);
  const id = resolve(btf, type.type);
  const target = btf.type(id);
  if (target.kind === "void" || target.kind === "int") return { kind: "scalar" };
  return target.kind === "struct"
    ? { kind: "struct", id, flags: 0 }
    : none(`the result of ${traced.name} points to no struct`);
}

/** Range that the result must be in; undefined for any, "void" where r0 is not looked at. */
export function tracedRange(traced: Traced): readonly [min: number, max: number] | "void" | undefined {
  const { progType, attachType, btf, ret } = traced;
  const A = AttachType;
  if (progType === ProgType.BPF_PROG_TYPE_STRUCT_OPS) return ret === 0 ? "void" : undefined;
  if (progType === ProgType.BPF_PROG_TYPE_LSM) {
    if (attachType === A.BPF_LSM_CGROUP) return ret === 0 ? [1, 1] : [0, 1];
    if (ret === 0) return "void";
    const type = btf.type(resolve(btf, ret));
    if (type.kind === "int" && type.encoding === "bool") return [0, 1];
    return BOOLEAN_HOOKS.has(traced.name) ? [0, 1] : [-4095, 0];
  }
  switch (attachType) {
    case A.BPF_TRACE_FENTRY:
    case A.BPF_TRACE_FEXIT:
      return [0, 0];
    case A.BPF_TRACE_ITER:
      return [0, 1];
    default:
      return undefined;
  }
}

/** LSM hooks that answer yes or no. Source: kernel/bpf/bpf_lsm.c `bool_lsm_hooks`. */
const BOOLEAN_HOOKS: ReadonlySet<string> = new Set(["audit_rule_known", "inode_xattr_skipcap"]);
