/**
 * Loads and stores through pointers to typed objects: kernel structs by the kernel's BTF, and objects that the program
 * allocated by its own. A load of a kernel struct never faults (the engine or the kernel guards it), so it needs only a
 * member there; what matters is what it brings: a number, or a pointer that is trusted as far as the one it came
 * through. Sound because a pointer keeps its trust only through members listed as safe, and trust that rests on the RCU
 * read lock ends with it.
 *
 * Source: kernel/bpf/verifier.c `check_ptr_to_btf_access`, `check_ptr_to_map_access`, `mark_btf_ld_reg`, `in_rcu_cs`,
 * `is_trusted_reg`; net/netfilter/nf_conntrack_bpf.c and net/ipv4/bpf_tcp_ca.c, net/bpf/bpf_dummy_struct_ops.c for what may be written.
 */
import { resolve, sizeOf } from "../../btf/index.ts";
import { MapType, ProgType } from "../../object/index.ts";
import { type Member, memberAt } from "../check/kernel-types.ts";
import { isListed, SAFE_RCU, SAFE_RCU_OR_NULL, SAFE_TRUSTED, SAFE_TRUSTED_OR_NULL } from "../check/trusted-fields.ts";
import type { Context, MapRef } from "../context.ts";
import {
  ALLOC,
  Kind,
  kindName,
  MAYBE_NULL,
  NON_OWNING,
  PERCPU,
  pointer,
  RCU,
  type Reg,
  scalarReg,
  TRUSTED,
  UNTRUSTED,
  USER,
} from "../domain/reg.ts";
import { loadedScalar } from "../domain/scalar.ts";
import { mapRegs } from "../domain/state.ts";
import type { TypeRef } from "../domain/type-ref.ts";
import { allows } from "../profile.ts";

/** Objects under RCU stay alive here: the read lock or a spin lock is held, or the program does not sleep. */
export function inRcu(cx: Context): boolean {
  const { state } = cx;
  return state.rcuDepth > 0 || state.lock !== undefined || !maySleep(cx);
}

/** The code that is being walked may sleep. */
export function maySleep(cx: Context): boolean {
  return cx.sleepable || cx.state.sleeps;
}

const SAFE_FLAGS = ALLOC | TRUSTED | NON_OWNING;

/** The object is known to be alive and not NULL. */
export function isTrusted(r: Reg): boolean {
  if (r.ref) return true;
  switch (r.kind) {
    case Kind.SOCKET:
    case Kind.SOCK_COMMON:
    case Kind.TCP_SOCK:
    case Kind.XDP_SOCK:
      return (r.flags & ~SAFE_FLAGS) === 0;
    default:
      return (r.flags & SAFE_FLAGS) !== 0 && (r.flags & ~SAFE_FLAGS) === 0;
  }
}

/** The end of an RCU read section: what it kept alive may be gone. */
export function leaveRcu(cx: Context): void {
  mapRegs(cx.state, (r) =>
    r.flags & RCU ? pointer(r.kind, { ...r, flags: (r.flags & ~(RCU | MAYBE_NULL)) | UNTRUSTED }) : r,
  );
}

/** Refuses an access that no type makes right. */
function checkReach(cx: Context, register: number, base: Reg, at: number): TypeRef {
  const type = base.obj as TypeRef;
  if (!type.own) cx.structsUsed.add(type.name);
  const name = `r${register} (${kindName(base)})`;
  if (!type.own && !cx.gpl && allows(cx.profile, "typesForGpl")) {
    cx.reject(
      "licence",
      `struct ${type.name} of the kernel may only be read by programs under a GPL-compatible licence`,
      {
        register,
        fix: 'declare the licence "GPL"',
      },
    );
  }
  if (!base.val.isConst || base.val.tnum.value !== 0n) {
    cx.reject("variable-offset", `${name} has a variable offset: members are at constant ones`, { register });
  }
  if (at < 0) cx.reject("bounds", `${name}: offset ${at} is before the struct`, { register });
  if (base.flags & USER) {
    cx.reject("user-memory", `${name} points to memory of a process`, {
      register,
      fix: "copy it with bpf_probe_read_user or bpf_copy_from_user",
    });
  }
  if (base.flags & PERCPU) {
    cx.reject("per-cpu", `${name} is a per-CPU object: which CPU's is not said`, {
      register,
      fix: "use bpf_this_cpu_ptr or bpf_per_cpu_ptr first",
    });
  }
  if (!type.btf) {
    cx.unsupported("kernel-btf", `struct ${type.name} is described by the kernel's BTF, and none was given`, {
      register,
      fix: "give the kernel's BTF (/sys/kernel/btf/vmlinux, or a file)",
    });
  }
  return type;
}

function member(cx: Context, register: number, base: Reg, type: TypeRef, at: number, size: number): Member {
  const alloc = (base.flags & ALLOC) !== 0;
  if (alloc) refuseSpecial(cx, register, type, at, size);
  const found = memberAt(type.btf!, type.id, at, size, !alloc);
  if (found.kind === "none") {
    cx.reject("member", `r${register} (${kindName(base)}): ${found.why}`, { register });
  }
  return found;
}

function refuseSpecial(cx: Context, register: number, type: TypeRef, at: number, size: number): void {
  for (const field of cx.fieldsOf(type)) {
    if (at < field.offset + field.size && field.offset < at + size) {
      cx.reject(
        "special-field",
        `the ${field.struct} at offset ${field.offset} of struct ${type.name} is not to be accessed directly`,
        {
          register,
        },
      );
    }
  }
}

/** The value that a load through the pointer brings. */
export function loadTyped(cx: Context, register: number, base: Reg, off: number, size: number, signed: boolean): Reg {
  const at = base.off + off;
  const type = checkReach(cx, register, base, at);
  const found = member(cx, register, base, type, at, size);
  if (found.kind !== "pointer" || base.flags & ALLOC) return scalarReg(loadedScalar(size, signed));
  const flags = inherited(cx, base, type, found);
  const id = flags & MAYBE_NULL ? cx.newId() : 0;
  return pointer(Kind.BTF_ID, { flags, obj: cx.types.byId(found.id, type.own), id });
}

/** How far the pointer in the member may be trusted, from the pointer that it was read through. */
function inherited(cx: Context, base: Reg, type: TypeRef, found: Member & { kind: "pointer" }): number {
  if (base.flags & UNTRUSTED) return UNTRUSTED;
  const tag = found.tag === "user" ? USER : found.tag === "percpu" ? PERCPU : found.tag === "rcu" ? RCU : 0;
  const flags = tag | (found.untrusted ? UNTRUSTED : 0);
  const cleared = flags & ~(TRUSTED | RCU);
  if (!isTrusted(base) && (base.flags & RCU) === 0) return cleared;
  const { field } = found;
  if (isListed(SAFE_TRUSTED, type.name, field)) return flags | TRUSTED;
  if (isListed(SAFE_TRUSTED_OR_NULL, type.name, field)) return flags | TRUSTED | MAYBE_NULL;
  if (!inRcu(cx) || base.flags & MAYBE_NULL) return UNTRUSTED;
  if (isListed(SAFE_RCU, type.name, field)) return flags | RCU;
  const orNull = isListed(SAFE_RCU_OR_NULL, type.name, field);
  if (orNull) return (flags | RCU | MAYBE_NULL) & ~UNTRUSTED;
  if (flags & RCU) return flags | MAYBE_NULL;
  return flags & (PERCPU | USER) ? flags : cleared;
}

/** Members that a program type may write, by struct. Their offsets are the kernel's. */
const WRITABLE_CT: Readonly<Record<string, readonly string[]>> = { nf_conn: ["mark"], nf_conn___init: ["mark"] };
const WRITABLE_OPS: Readonly<Record<string, readonly string[]>> = {
  tcp_sock: [
    "sk_pacing_rate",
    "sk_pacing_status",
    "icsk_ca_priv",
    "pending",
    "snd_cwnd",
    "snd_cwnd_cnt",
    "snd_cwnd_stamp",
    "snd_ssthresh",
    "ecn_flags",
    "app_limited",
  ],
  bpf_dummy_ops_state: ["val"],
};

/** A store of `size` bytes through the pointer. */
export function storeTyped(cx: Context, register: number, base: Reg, off: number, size: number): void {
  const at = base.off + off;
  const type = checkReach(cx, register, base, at);
  if (base.flags & ALLOC && (base.flags & (UNTRUSTED | RCU)) === 0) {
    member(cx, register, base, type, at, size);
    return;
  }
  const P = ProgType;
  const ct =
    cx.progType === P.BPF_PROG_TYPE_XDP ||
    cx.progType === P.BPF_PROG_TYPE_SCHED_CLS ||
    cx.progType === P.BPF_PROG_TYPE_SCHED_ACT;
  const table = ct ? WRITABLE_CT : cx.progType === P.BPF_PROG_TYPE_STRUCT_OPS ? WRITABLE_OPS : {};
  const fields = Object.hasOwn(table, type.name) ? table[type.name]! : [];
  const struct = type.name === "nf_conn___init" ? cx.types.byName("nf_conn") : type;
  if (!(base.flags & UNTRUSTED) && struct.btf && fields.some((name) => coversMember(struct, name, at, size))) return;
  cx.reject("read-only", `r${register} (${kindName(base)}) may only be read`, { register });
}

/** The bytes lie inside of the member of that name, in the struct or one nested in it. */
function coversMember(type: TypeRef, name: string, at: number, size: number): boolean {
  const btf = type.btf!;
  const work: [id: number, start: number, depth: number][] = [[type.id, 0, 0]];
  for (let next = work.pop(); next; next = work.pop()) {
    const [id, start, depth] = next;
    const struct = btf.type(resolve(btf, id));
    if (struct.kind !== "struct" && struct.kind !== "union") continue;
    for (const m of struct.members) {
      const from = start + (m.bitOffset >> 3);
      if (m.name !== name) {
        if (depth < 6) work.push([m.type, from, depth + 1]);
        continue;
      }
      if (at >= from && at + size <= from + sizeOf(btf, m.type)) return true;
    }
  }
  return false;
}

/** The kernel's struct of a map, by map type. Source: `map_btf_id` of the map types' `bpf_map_ops`. */
const MAP_STRUCTS: ReadonlyMap<number, string> = new Map([
  ...["ARRAY", "PERCPU_ARRAY", "PROG_ARRAY", "PERF_EVENT_ARRAY", "CGROUP_ARRAY", "ARRAY_OF_MAPS"].map(
    (name): [number, string] => [mapType(name), "bpf_array"],
  ),
  ...["HASH", "PERCPU_HASH", "LRU_HASH", "LRU_PERCPU_HASH", "HASH_OF_MAPS"].map((name): [number, string] => [
    mapType(name),
    "bpf_htab",
  ]),
  [MapType.BPF_MAP_TYPE_LPM_TRIE, "lpm_trie"],
  [MapType.BPF_MAP_TYPE_STACK_TRACE, "bpf_stack_map"],
  [MapType.BPF_MAP_TYPE_QUEUE, "bpf_queue_stack"],
  [MapType.BPF_MAP_TYPE_STACK, "bpf_queue_stack"],
  [MapType.BPF_MAP_TYPE_RINGBUF, "bpf_ringbuf_map"],
  [MapType.BPF_MAP_TYPE_USER_RINGBUF, "bpf_ringbuf_map"],
  [MapType.BPF_MAP_TYPE_SOCKMAP, "bpf_stab"],
  [MapType.BPF_MAP_TYPE_SOCKHASH, "bpf_shtab"],
  [MapType.BPF_MAP_TYPE_DEVMAP, "bpf_dtab"],
  [MapType.BPF_MAP_TYPE_DEVMAP_HASH, "bpf_dtab"],
  [MapType.BPF_MAP_TYPE_CPUMAP, "bpf_cpu_map"],
  [MapType.BPF_MAP_TYPE_XSKMAP, "xsk_map"],
  [MapType.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, "reuseport_array"],
  [MapType.BPF_MAP_TYPE_SK_STORAGE, "bpf_local_storage_map"],
  [MapType.BPF_MAP_TYPE_INODE_STORAGE, "bpf_local_storage_map"],
  [MapType.BPF_MAP_TYPE_TASK_STORAGE, "bpf_local_storage_map"],
  [MapType.BPF_MAP_TYPE_CGRP_STORAGE, "bpf_local_storage_map"],
  [MapType.BPF_MAP_TYPE_CGROUP_STORAGE, "bpf_cgroup_storage_map"],
  [MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, "bpf_cgroup_storage_map"],
  [MapType.BPF_MAP_TYPE_BLOOM_FILTER, "bpf_bloom_filter"],
  [MapType.BPF_MAP_TYPE_ARENA, "bpf_arena"],
]);

function mapType(name: string): number {
  return (MapType as Record<string, number>)[`BPF_MAP_TYPE_${name}`]!;
}

/** A load of the kernel's own struct of a map. */
export function loadMap(cx: Context, register: number, base: Reg, off: number, size: number, signed: boolean): Reg {
  const map = base.obj as MapRef;
  const type = cx.types.byName(MAP_STRUCTS.get(map.spec.type) ?? "bpf_map");
  const at = pointer(Kind.BTF_ID, { obj: type, val: base.val, off: base.off });
  return loadTyped(cx, register, at, off, size, signed);
}
