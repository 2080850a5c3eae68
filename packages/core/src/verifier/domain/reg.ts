/**
 * What a register, or a spilled register on the stack, holds: a kind with flags, and for pointers a fixed offset plus
 * a variable one. A Reg is immutable: states share them freely.
 *
 * `node` carries precision. Two states may be treated as equal although a number differs, when no later check ever
 * looked at it; when a check does look, it marks the number's node, and with it all numbers it was computed from, so
 * every saved state that holds one of them knows. This does the work of the kernel's backwards walk over the insns
 * (`mark_chain_precision`) by following data flow instead.
 */
import { type Scalar, UNKNOWN, ZERO } from "./scalar.ts";

export const Kind = {
  NOT_INIT: 0,
  SCALAR: 1,
  CTX: 2,
  MAP_PTR: 3,
  MAP_VALUE: 4,
  MAP_KEY: 5,
  STACK: 6,
  PACKET: 7,
  PACKET_META: 8,
  PACKET_END: 9,
  FLOW_KEYS: 10,
  SOCKET: 11,
  SOCK_COMMON: 12,
  TCP_SOCK: 13,
  XDP_SOCK: 14,
  BTF_ID: 15,
  MEM: 16,
  FUNC: 17,
  DYNPTR: 18,
  ARENA: 19,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** The pointer may be NULL: it must be compared with 0 before use. */
export const MAYBE_NULL = 1;
/** The memory may not be written. */
export const RDONLY = 2;
/** Ring buffer memory: exactly what reserve returned, to be submitted. */
export const RINGBUF = 4;
/** A kernel object that is known to be alive. */
export const TRUSTED = 8;
/** Alive while the RCU read lock is held. */
export const RCU = 16;
/** The object may be gone: loads through it are guarded, it may not be passed on. */
export const UNTRUSTED = 32;
/** An object of the program's own type, from bpf_obj_new or a kptr. */
export const ALLOC = 64;
/** In a tree or list that the program does not own this reference to. */
export const NON_OWNING = 128;
/** A per-CPU variable: to be passed to bpf_per_cpu_ptr. */
export const PERCPU = 256;
/** Memory of a process, which the kernel's side of an address cannot read. */
export const USER = 512;
/** Data of a packet's dynptr: gone when packet data may have moved. */
export const PACKET_SLICE = 2048;
/** Memory whose size is not known before it is attached: any offset from 0 up. */
export const BUFFER = 1024;

/** A number's place in the flow of data. */
export interface Node {
  /** A check looks at it. */
  precise: boolean;
  /** A check that the walk from here came to by itself does: all that counts for what a loop may forget. See `follow`. */
  walked: boolean;
  /** What the number was computed from; undefined once `walked`, since then all of it is. */
  from: Node | undefined;
  also: Node | undefined;
  /** Numbers of the same place one round later in a loop, for which this one's walk stands. */
  later: Node[] | undefined;
}

export function node(from?: Node, also?: Node): Node {
  return { precise: false, walked: false, from, also, later: undefined };
}

/** Marks a number as looked at, with everything that it came from. */
export function markPrecise(start: Node | undefined): void {
  if (!start || start.walked) return;
  const work = [start];
  for (let n = work.pop(); n; n = work.pop()) {
    if (n.walked) continue;
    const { from, also, later } = n;
    n.precise = n.walked = true;
    n.from = n.also = n.later = undefined;
    if (from && !from.walked) work.push(from);
    if (also && !also.walked) work.push(also);
    if (later) for (const follower of later) markFollowing(follower);
  }
}

/** Marks a number as looked at by what another one's walk came to. */
function markFollowing(start: Node): void {
  const work = [start];
  for (let n = work.pop(); n; n = work.pop()) {
    if (n.precise) continue;
    n.precise = true;
    if (n.from) work.push(n.from);
    if (n.also) work.push(n.also);
    if (n.later) work.push(...n.later);
    n.later = undefined;
  }
}

/**
 * In a loop that is being walked `follower` stands at the place of `leader` and is not walked itself: it is looked at when
 * `leader` is. The kernel learns of what is looked at from now on only at the loop's end (`propagate_backedges`): until
 * then a round may forget such a number, here as there.
 */
export function follow(leader: Node | undefined, follower: Node | undefined): void {
  if (!leader || !follower || leader === follower) return;
  if (leader.walked) markPrecise(follower);
  else if (leader.precise) markFollowing(follower);
  else if (leader.later) leader.later.push(follower);
  else leader.later = [follower];
}

/** Packet ranges below zero: the pointer is known to be past the end, or not before it. */
export const BEYOND_PKT_END = -2;
export const AT_PKT_END = -1;

/** Set in the id of a number that is another number plus `off`: added in 64 bits, or in 32 and zero-extended. */
export const ADD_CONST64 = 0x4000_0000;
export const ADD_CONST32 = 0x2000_0000;
export const ADD_CONST = ADD_CONST64 | ADD_CONST32;

export class Reg {
  readonly kind: Kind;
  readonly flags: number;
  /** The number, or a pointer's variable offset. */
  readonly val: Scalar;
  /** A pointer's fixed offset; a number's distance from the one it shares its id with. */
  readonly off: number;
  /** Same id: same unknown number, same NULL check, same packet base. 0 for none. */
  readonly id: number;
  /** The reference that this pointer holds or depends on, 0 for none. */
  readonly ref: number;
  /** Packet pointers: bytes known to be readable from the base. STACK: frame. MEM: size. FUNC: its first pc. */
  readonly num: number;
  /** Map pointers and values: the map. BTF_ID: the struct (`TypeRef`). MEM of a dynptr's data: the dynptr's id. */
  readonly obj: unknown;
  readonly node: Node | undefined;

  constructor(
    kind: Kind,
    flags: number,
    val: Scalar,
    off: number,
    id: number,
    ref: number,
    num: number,
    obj: unknown,
    n: Node | undefined,
  ) {
    this.kind = kind;
    this.flags = flags;
    this.val = val;
    this.off = off;
    this.id = id;
    this.ref = ref;
    this.num = num;
    this.obj = obj;
    this.node = n;
  }
}

export const NOT_INIT = new Reg(Kind.NOT_INIT, 0, UNKNOWN, 0, 0, 0, 0, undefined, undefined);

/** A number that comes from nowhere tracked, or from the numbers of `from` and `also`. */
export function scalarReg(val: Scalar, from?: Node, also?: Node): Reg {
  return new Reg(Kind.SCALAR, 0, val, 0, 0, 0, 0, undefined, node(from, also));
}

/** The same number with a node of its own, so that what is looked at from now on is told apart from what was before. */
export function freshNode(r: Reg): Reg {
  if (r.kind !== Kind.SCALAR || !r.node) return r;
  return new Reg(r.kind, r.flags, r.val, r.off, r.id, r.ref, r.num, r.obj, node(r.node));
}

export function unknownReg(): Reg {
  return scalarReg(UNKNOWN);
}

/** A number with an id (and for ADD_CONST a distance), sharing `n`. */
export function linkedScalar(val: Scalar, id: number, off: number, n: Node | undefined): Reg {
  return new Reg(Kind.SCALAR, 0, val, off, id, 0, 0, undefined, n);
}

export interface PointerInit {
  readonly flags?: number;
  readonly val?: Scalar;
  readonly off?: number;
  readonly id?: number;
  readonly ref?: number;
  readonly num?: number;
  readonly obj?: unknown;
}

export function pointer(kind: Kind, init: PointerInit = {}): Reg {
  const { flags = 0, val = ZERO, off = 0, id = 0, ref = 0, num = 0, obj } = init;
  return new Reg(kind, flags, val, off, id, ref, num, obj, undefined);
}

/** The same with some fields changed. */
export function changed(r: Reg, init: PointerInit): Reg {
  return new Reg(
    r.kind,
    init.flags ?? r.flags,
    init.val ?? r.val,
    init.off ?? r.off,
    init.id ?? r.id,
    init.ref ?? r.ref,
    init.num ?? r.num,
    "obj" in init ? init.obj : r.obj,
    r.node,
  );
}

export function isPointer(r: Reg): boolean {
  return r.kind > Kind.SCALAR;
}

/** The constant 0, which also serves as NULL. */
export function isNull(r: Reg): boolean {
  return r.kind === Kind.SCALAR && r.val.isConst && r.val.tnum.value === 0n;
}

export function isPacket(r: Reg): boolean {
  return r.kind === Kind.PACKET || r.kind === Kind.PACKET_META;
}

const NAMES: Readonly<Record<Kind, string>> = {
  [Kind.NOT_INIT]: "?",
  [Kind.SCALAR]: "scalar",
  [Kind.CTX]: "ctx",
  [Kind.MAP_PTR]: "map_ptr",
  [Kind.MAP_VALUE]: "map_value",
  [Kind.MAP_KEY]: "map_key",
  [Kind.STACK]: "fp",
  [Kind.PACKET]: "pkt",
  [Kind.PACKET_META]: "pkt_meta",
  [Kind.PACKET_END]: "pkt_end",
  [Kind.FLOW_KEYS]: "flow_keys",
  [Kind.SOCKET]: "sock",
  [Kind.SOCK_COMMON]: "sock_common",
  [Kind.TCP_SOCK]: "tcp_sock",
  [Kind.XDP_SOCK]: "xdp_sock",
  [Kind.BTF_ID]: "ptr_",
  [Kind.MEM]: "mem",
  [Kind.FUNC]: "func",
  [Kind.DYNPTR]: "dynptr_ptr",
  [Kind.ARENA]: "arena",
};

/** The kind as the kernel's log writes it. */
export function logName(r: Reg): string {
  const flags = r.flags;
  const prefix =
    (flags & RDONLY ? "rdonly_" : "") +
    (flags & RINGBUF ? "ringbuf_" : "") +
    (flags & PERCPU ? "percpu_" : "") +
    (flags & USER ? "user_" : "") +
    (flags & ALLOC ? "alloc_" : "") +
    (flags & NON_OWNING ? "non_own_ref_" : "") +
    (flags & UNTRUSTED ? "untrusted_" : "") +
    (flags & TRUSTED ? "trusted_" : "") +
    (flags & RCU ? "rcu_" : "");
  const name = r.kind === Kind.BTF_ID ? `ptr_${String(r.obj)}` : NAMES[r.kind];
  return `${prefix}${name}${flags & MAYBE_NULL ? "_or_null" : ""}`;
}

const WORDS: Partial<Record<Kind, string>> = {
  [Kind.SCALAR]: "number",
  [Kind.MAP_PTR]: "map",
  [Kind.MAP_VALUE]: "map value",
  [Kind.MAP_KEY]: "map key",
  [Kind.STACK]: "stack pointer",
  [Kind.PACKET]: "packet",
  [Kind.PACKET_META]: "packet metadata",
  [Kind.PACKET_END]: "end of the packet",
  [Kind.FLOW_KEYS]: "flow keys",
  [Kind.SOCKET]: "socket",
  [Kind.SOCK_COMMON]: "socket",
  [Kind.TCP_SOCK]: "TCP socket",
  [Kind.XDP_SOCK]: "AF_XDP socket",
  [Kind.MEM]: "memory",
  [Kind.FUNC]: "function",
  [Kind.DYNPTR]: "dynptr",
  [Kind.ARENA]: "arena memory",
};

/** The kind in plain words: `map value`, `read-only memory`, `kernel's struct sock`. */
export function kindName(r: Reg): string {
  const { kind, flags } = r;
  const prefix = (flags & RDONLY ? "read-only " : "") + (flags & PERCPU ? "per-CPU " : "");
  if (kind === Kind.MEM && flags & RINGBUF) return `${prefix}ring buffer record`;
  if (kind === Kind.BTF_ID) return `${prefix}${logName({ ...r, flags: 0 } as Reg).replace(/^ptr_/, "struct ")}`;
  return `${prefix}${WORDS[kind] ?? NAMES[kind]}`;
}
