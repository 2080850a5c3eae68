/**
 * What the kernel asks of a program before it looks at any instruction: its type, its hook, its flags.
 * Source: kernel/bpf/syscall.c `bpf_prog_load`, kernel/bpf/verifier.c `can_be_sleepable`.
 */
import {
  AttachType,
  attachTypeName,
  attachTypeSince,
  BPF_F_ANY_ALIGNMENT,
  BPF_F_SLEEPABLE,
  BPF_F_STRICT_ALIGNMENT,
  BPF_F_TEST_REG_INVARIANTS,
  BPF_F_TEST_RND_HI32,
  BPF_F_TEST_STATE_FREQ,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
  type ProgramSpec,
  ProgType,
  progTypeName,
  progTypeSince,
} from "../../object/index.ts";
import { Refusal } from "../context.ts";
import { allows, type Profile, RULES, type RuleName, versionNumber } from "../profile.ts";

function refuseUnknown(type: number): void {
  if (type > ProgType.BPF_PROG_TYPE_UNSPEC && type <= ProgType.BPF_PROG_TYPE_NETFILTER) return;
  const message = type === 0 ? "the section's name says no program type" : `${type} is no program type`;
  refuse("program-type", message, "say which it is, with --type");
}

const T = ProgType;
const A = AttachType;
/** The attach types that the kernel loads a program type with. Source: kernel/bpf/syscall.c `bpf_prog_load_check_attach`. */
const ATTACH_AT_LOAD: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [
    T.BPF_PROG_TYPE_CGROUP_SOCK,
    [
      A.BPF_CGROUP_INET_SOCK_CREATE,
      A.BPF_CGROUP_INET_SOCK_RELEASE,
      A.BPF_CGROUP_INET4_POST_BIND,
      A.BPF_CGROUP_INET6_POST_BIND,
    ],
  ],
  [
    T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    [
      A.BPF_CGROUP_INET4_BIND,
      A.BPF_CGROUP_INET6_BIND,
      A.BPF_CGROUP_INET4_CONNECT,
      A.BPF_CGROUP_INET6_CONNECT,
      A.BPF_CGROUP_UNIX_CONNECT,
      A.BPF_CGROUP_INET4_GETPEERNAME,
      A.BPF_CGROUP_INET6_GETPEERNAME,
      A.BPF_CGROUP_UNIX_GETPEERNAME,
      A.BPF_CGROUP_INET4_GETSOCKNAME,
      A.BPF_CGROUP_INET6_GETSOCKNAME,
      A.BPF_CGROUP_UNIX_GETSOCKNAME,
      A.BPF_CGROUP_UDP4_SENDMSG,
      A.BPF_CGROUP_UDP6_SENDMSG,
      A.BPF_CGROUP_UNIX_SENDMSG,
      A.BPF_CGROUP_UDP4_RECVMSG,
      A.BPF_CGROUP_UDP6_RECVMSG,
      A.BPF_CGROUP_UNIX_RECVMSG,
    ],
  ],
  [T.BPF_PROG_TYPE_CGROUP_SKB, [A.BPF_CGROUP_INET_INGRESS, A.BPF_CGROUP_INET_EGRESS]],
  [T.BPF_PROG_TYPE_CGROUP_SOCKOPT, [A.BPF_CGROUP_SETSOCKOPT, A.BPF_CGROUP_GETSOCKOPT]],
  [T.BPF_PROG_TYPE_SK_LOOKUP, [A.BPF_SK_LOOKUP]],
  [T.BPF_PROG_TYPE_SK_REUSEPORT, [A.BPF_SK_REUSEPORT_SELECT, A.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE]],
  [T.BPF_PROG_TYPE_NETFILTER, [A.BPF_NETFILTER]],
  [T.BPF_PROG_TYPE_SYSCALL, [0]],
  [T.BPF_PROG_TYPE_EXT, [0]],
]);
/** Without an attach type these get their first one. Source: kernel/bpf/syscall.c `bpf_prog_load_fixup_attach_type`. */
const FIRST_ATTACH: ReadonlyMap<number, number> = new Map([
  [T.BPF_PROG_TYPE_CGROUP_SOCK, A.BPF_CGROUP_INET_SOCK_CREATE],
  [T.BPF_PROG_TYPE_SK_REUSEPORT, A.BPF_SK_REUSEPORT_SELECT],
]);
/** Their attach type decides what their first argument is, and is newer than the type itself. */
const ATTACH_BY_BTF: ReadonlySet<number> = new Set([T.BPF_PROG_TYPE_TRACING, T.BPF_PROG_TYPE_LSM]);
const KNOWN_FLAGS =
  BPF_F_STRICT_ALIGNMENT |
  BPF_F_ANY_ALIGNMENT |
  BPF_F_TEST_RND_HI32 |
  BPF_F_TEST_STATE_FREQ |
  BPF_F_SLEEPABLE |
  BPF_F_XDP_HAS_FRAGS |
  BPF_F_XDP_DEV_BOUND_ONLY |
  BPF_F_TEST_REG_INVARIANTS;

function refuse(rule: string, message: string, fix?: string): never {
  throw new Refusal("reject", rule, message, 0, undefined, fix);
}

export function checkLoadable(program: ProgramSpec, profile: Profile): void {
  refuseUnknown(program.type);
  checkKnown(program, profile);
  checkSleepable(program);
  const { type, flags } = program;
  if (flags & ~KNOWN_FLAGS) {
    refuse("program-flags", `the kernel knows no flag 0x${((flags & ~KNOWN_FLAGS) >>> 0).toString(16)} of programs`);
  }
  const allowed = ATTACH_AT_LOAD.get(type);
  const attach = program.attachType || (FIRST_ATTACH.get(type) ?? 0);
  if (allowed && !allowed.includes(attach)) {
    const names = allowed.map((a) => attachTypeName(type, a) ?? `${a}`);
    const given = attachTypeName(type, program.attachType);
    const several = names.length > 4 ? `${names.slice(0, 3).join(", ")} …` : names.join(" or ");
    refuse(
      "attach-type",
      `${progTypeName(type)} programs are not loaded ${given ? `for ${given}` : "without an attach type"}`,
      `the section's name says which: ${several}`,
    );
  }
}

/** What a program asks of its kernel before any instruction: its type, its hook, its flags. */
function checkKnown({ type, attachType, flags }: ProgramSpec, profile: Profile): void {
  const need = (since: string | undefined, what: string): void => {
    if (since === undefined || versionNumber(since) <= profile.version) return;
    refuse("profile", `${what} came with Linux ${since}, the profile is ${profile.kernel}`);
  };
  const rule = (name: RuleName): void => {
    if (!allows(profile, name)) need(RULES[name].since, RULES[name].what);
  };
  need(progTypeSince(type), `${progTypeName(type)} programs`);
  // Kernels before the two reuseport hooks do not look at the attach type there.
  const looksAt = ATTACH_AT_LOAD.has(type) && type !== T.BPF_PROG_TYPE_EXT && type !== T.BPF_PROG_TYPE_SK_REUSEPORT;
  if (looksAt || ATTACH_BY_BTF.has(type)) {
    need(attachTypeSince(attachType), `attach type ${attachTypeName(type, attachType) ?? attachType}`);
  }
  if (flags & BPF_F_SLEEPABLE) rule(type === ProgType.BPF_PROG_TYPE_KPROBE ? "sleepableProbes" : "sleepable");
  if (flags & BPF_F_XDP_HAS_FRAGS) rule("xdpFragments");
  if (flags & BPF_F_XDP_DEV_BOUND_ONLY) rule("deviceBound");
}

/** Which programs may, and must, be loaded as ones that sleep. Source: kernel/bpf/verifier.c `can_be_sleepable`. */
function checkSleepable({ type, attachType, flags }: ProgramSpec): void {
  const sleepable = (flags & BPF_F_SLEEPABLE) !== 0;
  if (type === T.BPF_PROG_TYPE_SYSCALL) {
    if (!sleepable) refuse("sleep", "syscall programs are loaded as ones that may sleep (BPF_F_SLEEPABLE)");
    return;
  }
  if (!sleepable) return;
  const always: readonly number[] = [T.BPF_PROG_TYPE_LSM, T.BPF_PROG_TYPE_KPROBE, T.BPF_PROG_TYPE_STRUCT_OPS];
  const traced: readonly number[] = [
    AttachType.BPF_TRACE_FENTRY,
    AttachType.BPF_TRACE_FEXIT,
    AttachType.BPF_MODIFY_RETURN,
    AttachType.BPF_TRACE_ITER,
  ];
  if (always.includes(type) || (type === T.BPF_PROG_TYPE_TRACING && traced.includes(attachType))) return;
  refuse("sleep", "programs of this type may not sleep: they are loaded without BPF_F_SLEEPABLE");
}
