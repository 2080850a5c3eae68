/**
 * What the running kernel can do, found out by asking it: the smallest program and map of each type. Version numbers
 * say little about distribution kernels. Each answer comes with its reason, for the operator who wanted it.
 * Source: libbpf `libbpf_probe_bpf_prog_type` and bpftool `feature probe` ask the same questions.
 */
import { BtfBuilder, type BtfKind } from "@ebplane/core/btf";
import { Errno, errnoName } from "@ebplane/core/errors";
import { encode, type InsnInit, OP_CALL, OP_EXIT } from "@ebplane/core/isa";
import {
  AttachType,
  attachTypeName,
  BPF_F_MMAPABLE,
  BPF_F_NO_PREALLOC,
  HELPERS,
  MapType,
  mapTypeName,
  ProgType,
  progTypeName,
} from "@ebplane/core/object";
import { btfLoad, type MapCreate, type ProgLoad, progLoad, tryMapCreate, tryProgAttach } from "../bpf/index.ts";
import { linkToNothing } from "../link/lacking.ts";
import { close, PAGE_SIZE } from "../sys/index.ts";
import { kernelBtf } from "../target/kernel-btf.ts";

/** `reason` is one line: how it was found out, or what stands in the way. */
export interface Answer {
  readonly supported: boolean;
  readonly reason: string;
}

const YES: Answer = { supported: true, reason: "the kernel took the smallest one" };
const EXIT: InsnInit = { opcode: OP_EXIT };
const RETURN_0: readonly InsnInit[] = [{ opcode: 0xb7 }, EXIT];

const { BPF_PROG_TYPE_TRACING: TRACING, BPF_PROG_TYPE_LSM: LSM, BPF_PROG_TYPE_EXT: EXT } = ProgType;

/** What a type's smallest program needs beside its code. */
const NEEDS: Readonly<Record<number, Partial<ProgLoad>>> = {
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK]: { expectedAttachType: AttachType.BPF_CGROUP_INET_SOCK_CREATE },
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR]: { expectedAttachType: AttachType.BPF_CGROUP_INET4_CONNECT },
  [ProgType.BPF_PROG_TYPE_CGROUP_DEVICE]: { expectedAttachType: AttachType.BPF_CGROUP_DEVICE },
  [ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL]: { expectedAttachType: AttachType.BPF_CGROUP_SYSCTL },
  [ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT]: { expectedAttachType: AttachType.BPF_CGROUP_GETSOCKOPT },
  [ProgType.BPF_PROG_TYPE_SK_LOOKUP]: { expectedAttachType: AttachType.BPF_SK_LOOKUP },
  [ProgType.BPF_PROG_TYPE_SK_REUSEPORT]: { expectedAttachType: AttachType.BPF_SK_REUSEPORT_SELECT },
  [ProgType.BPF_PROG_TYPE_NETFILTER]: { expectedAttachType: AttachType.BPF_NETFILTER },
  [ProgType.BPF_PROG_TYPE_SYSCALL]: { flags: 1 << 4 },
  [TRACING]: { expectedAttachType: AttachType.BPF_TRACE_FENTRY },
  [LSM]: { expectedAttachType: AttachType.BPF_LSM_MAC },
};

/** A function that every kernel with BTF can trace. */
const TRACED: Readonly<Record<number, string>> = { [TRACING]: "vfs_read", [LSM]: "bpf_lsm_file_open" };

/** Whether a program of this type loads. */
export function probeProgType(type: number): Answer {
  const { fd, log } = progLoad(smallest(type, RETURN_0));
  if (fd >= 0) {
    close(fd);
    return YES;
  }
  // These cannot be whole without something to attach to: the kernel says so only if it knows the type.
  if (type === ProgType.BPF_PROG_TYPE_STRUCT_OPS && (log !== "" || fd === -Errno.ENOTSUPP)) {
    return { supported: true, reason: "the kernel asks for the struct to implement" };
  }
  if (type === EXT && fd === -Errno.EINVAL && /target|btf_id/.test(log)) {
    return { supported: true, reason: "the kernel asks for the program to extend" };
  }
  return refused(fd, `program type ${progTypeName(type)}`, log);
}

function smallest(type: number, insns: readonly InsnInit[]): ProgLoad {
  const traced = TRACED[type];
  return {
    type,
    code: encode(insns),
    name: "probe",
    ...NEEDS[type],
    attachBtfId: traced === undefined ? 0 : kernelBtf().find(traced, "func"),
  };
}

function refused(result: number, what: string, log = ""): Answer {
  const said = log.split("\n").find((line) => line !== "" && !line.startsWith("processed "));
  switch (-result) {
    case Errno.EPERM:
      return { supported: false, reason: `${what}: not permitted (lockdown or missing capability)` };
    case Errno.EINVAL:
      return { supported: false, reason: said ? `${what}: ${said}` : `${what}: unknown to this kernel` };
    default:
      return { supported: false, reason: `${what}: ${errnoName(-result)}${said ? `: ${said}` : ""}` };
  }
}

/** Whether a map of this type can be made. */
export function probeMapType(type: number): Answer {
  let inner = -1;
  let btf = -1;
  try {
    if (type === MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS || type === MapType.BPF_MAP_TYPE_HASH_OF_MAPS) {
      inner = tryMapCreate({ type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 4, maxEntries: 1 });
    }
    let map = smallestMap(type);
    if (inner >= 0) map = { ...map, innerMapFd: inner };
    if (STORAGE.has(type)) {
      const builder = new BtfBuilder();
      const int = builder.int("int", 4, { encoding: "signed" });
      btf = btfLoad(builder.encode().bytes).fd;
      map = { ...map, btfFd: btf, btfKeyTypeId: int, btfValueTypeId: int };
    }
    const fd = tryMapCreate(map);
    if (fd >= 0) {
      close(fd);
      return YES;
    }
    // Without a value type of vmlinux it cannot be whole; a kernel that does not know it says EINVAL.
    if (type === MapType.BPF_MAP_TYPE_STRUCT_OPS && fd === -Errno.ENOTSUPP) {
      return { supported: true, reason: "the kernel asks for the struct to implement" };
    }
    return refused(fd, `map type ${mapTypeName(type)}`);
  } finally {
    if (inner >= 0) close(inner);
    if (btf >= 0) close(btf);
  }
}

/** Types that keep a value beside a kernel object: they exist only with BTF. */
const STORAGE = new Set<number>([
  MapType.BPF_MAP_TYPE_SK_STORAGE,
  MapType.BPF_MAP_TYPE_INODE_STORAGE,
  MapType.BPF_MAP_TYPE_TASK_STORAGE,
  MapType.BPF_MAP_TYPE_CGRP_STORAGE,
]);

function smallestMap(type: number): MapCreate {
  const map = { type, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0, name: "probe" };
  switch (type) {
    case MapType.BPF_MAP_TYPE_STACK_TRACE:
      return { ...map, valueSize: 8 };
    case MapType.BPF_MAP_TYPE_LPM_TRIE:
      return { ...map, keySize: 8, valueSize: 8, flags: BPF_F_NO_PREALLOC };
    case MapType.BPF_MAP_TYPE_CGROUP_STORAGE:
    case MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
      return { ...map, keySize: 8, valueSize: 8, maxEntries: 0 };
    case MapType.BPF_MAP_TYPE_QUEUE:
    case MapType.BPF_MAP_TYPE_STACK:
    case MapType.BPF_MAP_TYPE_BLOOM_FILTER:
      return { ...map, keySize: 0 };
    case MapType.BPF_MAP_TYPE_RINGBUF:
    case MapType.BPF_MAP_TYPE_USER_RINGBUF:
      return { ...map, keySize: 0, valueSize: 0, maxEntries: PAGE_SIZE };
    case MapType.BPF_MAP_TYPE_ARENA:
      return { ...map, keySize: 0, valueSize: 0, flags: BPF_F_MMAPABLE };
    case MapType.BPF_MAP_TYPE_STRUCT_OPS:
      // An id that is a type, but no struct_ops value.
      return { ...map, btfVmlinuxValueTypeId: 1 };
    default:
      if (STORAGE.has(type)) return { ...map, maxEntries: 0, flags: BPF_F_NO_PREALLOC };
      return map;
  }
}

/** The attach type that a type's smallest program is loaded for: what helpers it may call can hang on that. */
export function probedAttachType(type: number): number {
  return NEEDS[type]?.expectedAttachType ?? 0;
}

/**
 * Whether the smallest program of a type tells which helpers it may call: those of struct_ops may what each struct's own
 * code allows, those that extend another what that one may.
 */
export function tellsHelpers(type: number): boolean {
  return type !== ProgType.BPF_PROG_TYPE_STRUCT_OPS && type !== EXT;
}

/**
 * The helpers that programs of a type may call. The kernel refuses a call either because the type may not make it, or
 * for its arguments: only the first counts.
 */
export function probeHelpers(type: number): string[] {
  const names: string[] = [];
  for (const helper of HELPERS.values()) {
    const { fd, log } = progLoad(smallest(type, [{ opcode: OP_CALL, imm: helper.id }, ...RETURN_0]));
    if (fd >= 0) close(fd);
    else if (log === "" || NOT_FOR_TYPE.test(log)) continue;
    names.push(helper.name);
  }
  return names;
}

/** 6.8 and later, before it, a number that is no helper at all, and one that is asked after its arguments. */
const NOT_FOR_TYPE =
  /program of this type cannot use helper|unknown func |invalid func |func \S+ not supported for program type/;

/** What programs for these attach types are attached to at load, by name and kind in the kernel's BTF. */
const PLACES: Readonly<Record<number, readonly [string, BtfKind]>> = {
  [AttachType.BPF_TRACE_RAW_TP]: ["btf_trace_sched_switch", "typedef"],
  [AttachType.BPF_TRACE_ITER]: ["bpf_iter_task", "func"],
  [AttachType.BPF_MODIFY_RETURN]: ["security_file_open", "func"],
};

/** Programs load for these on kernels without them, too: a link to nothing tells. */
const BY_LINK = new Set<number>([
  AttachType.BPF_TCX_INGRESS,
  AttachType.BPF_TCX_EGRESS,
  AttachType.BPF_NETKIT_PRIMARY,
  AttachType.BPF_NETKIT_PEER,
  AttachType.BPF_PERF_EVENT,
  AttachType.BPF_TRACE_KPROBE_MULTI,
  AttachType.BPF_TRACE_KPROBE_SESSION,
  AttachType.BPF_TRACE_UPROBE_MULTI,
  AttachType.BPF_TRACE_UPROBE_SESSION,
]);

/** As those, but links are newer (6.10): attached to a map that is none. */
const BY_ATTACH = new Set<number>([
  AttachType.BPF_SK_SKB_STREAM_PARSER,
  AttachType.BPF_SK_SKB_STREAM_VERDICT,
  AttachType.BPF_SK_SKB_VERDICT,
  AttachType.BPF_SK_MSG_VERDICT,
]);

/** As those, and attached without naming the type: a kernel that has it refuses to load for another type's. */
const BY_STRICTNESS = new Set<number>([
  AttachType.BPF_SK_REUSEPORT_SELECT,
  AttachType.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
]);

/** Whether the kernel knows this attach type, in the types that have attach types at load. */
export function probeAttachType(progType: number, attachType: number): Answer {
  const place = PLACES[attachType];
  const load = {
    ...smallest(progType, RETURN_0),
    expectedAttachType: attachType,
    ...(place && { attachBtfId: kernelBtf().find(...place) }),
  };
  const what = `attach type ${attachTypeName(progType, attachType) ?? attachType}`;
  const { fd, log } = progLoad(load);
  if (fd < 0) {
    // Some types must not return 0: that complaint comes from a verifier that knows the attach type.
    if (/R0|At program exit/.test(log)) return { supported: true, reason: "the verifier knows it" };
    return refused(fd, what, log);
  }
  const said = attached(fd, attachType);
  close(fd);
  if (said === -Errno.EINVAL) return { supported: false, reason: `${what}: unknown to this kernel` };
  if (said === -Errno.EOPNOTSUPP) return { supported: false, reason: `${what}: this kernel was built without it` };
  if (BY_STRICTNESS.has(attachType)) {
    const other = progLoad({ ...load, expectedAttachType: AttachType.BPF_XDP }).fd;
    if (other >= 0) {
      close(other);
      return { supported: false, reason: `${what}: unknown to this kernel` };
    }
  }
  return YES;
}

/** What the kernel says to the program at a place that does not exist; 0 where loading has told already. */
function attached(fd: number, attachType: number): number {
  if (BY_LINK.has(attachType)) return linkToNothing(fd, attachType);
  return BY_ATTACH.has(attachType) ? tryProgAttach(-1, fd, attachType) : 0;
}

/** Instruction set and verifier, by a program that only newer ones take. */
export function probeIsa(): Readonly<Record<"largePrograms" | "boundedLoops" | "v2" | "v3" | "v4", Answer>> {
  const ask = (insns: readonly InsnInit[]): Answer => {
    const { fd, log } = progLoad(smallest(ProgType.BPF_PROG_TYPE_SOCKET_FILTER, insns));
    if (fd < 0) return refused(fd, "the program that uses it", log);
    close(fd);
    return YES;
  };
  const many: InsnInit[] = Array.from({ length: 4097 }, () => ({ opcode: 0xb7 }));
  return {
    largePrograms: ask([...many, EXIT]),
    boundedLoops: ask([{ opcode: 0xb7, imm: 10 }, { opcode: 0x17, imm: 1 }, { opcode: 0x55, off: -2 }, EXIT]),
    v2: ask([{ opcode: 0xb7 }, { opcode: 0xb5, imm: 1, off: 0 }, EXIT]), // jle
    v3: ask([{ opcode: 0xb7 }, { opcode: 0x16, imm: 1, off: 0 }, EXIT]), // jmp32
    v4: ask([{ opcode: 0xb7 }, { opcode: 0xbf, dst: 0, src: 0, off: 8 }, { opcode: 0xb7 }, EXIT]), // sign-extending mov
  };
}
