/**
 * Bounds: that `size` bytes at a pointer lie inside what it points to, for every value that its offset may have. A
 * refusal says which bytes were asked for and which are known to be there.
 *
 * Source: kernel/bpf/verifier.c `check_mem_region_access`, `check_packet_access`, `__check_mem_access`.
 */
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, FLOW_KEYS_SIZE, MapType, ProgType } from "../../object/index.ts";
import { type Context, MAX_VAR_OFF, type MapRef } from "../context.ts";
import { AT_PKT_END, BUFFER, isPacket, Kind, kindName, type Reg } from "../domain/reg.ts";
import { S64_MIN, ZERO } from "../domain/scalar.ts";

export interface Region {
  readonly base: Reg;
  readonly register: number;
  readonly off: number;
  readonly size: number;
  readonly write: boolean;
  /** No bytes at all are fine too. */
  readonly zeroOk: boolean;
}

/** Bytes behind the base of a pointer with a fixed extent; undefined for others. */
export function regionSize(cx: Context, base: Reg): number | undefined {
  switch (base.kind) {
    case Kind.MAP_VALUE:
      return (base.obj as MapRef).spec.valueSize;
    case Kind.MAP_KEY:
      return (base.obj as MapRef).spec.keySize;
    case Kind.MEM:
      return base.num;
    case Kind.FLOW_KEYS:
      return FLOW_KEYS_SIZE;
    case Kind.CTX:
      return cx.ctxLayout?.size;
    default:
      return undefined;
  }
}

/** Proves the access or refuses. */
export function checkRegion(cx: Context, region: Region): void {
  const { base, register } = region;
  if (cx.strictAlign) checkAlignment(cx, region);
  if (isPacket(base)) {
    checkPacket(cx, region);
    return;
  }
  if (base.kind === Kind.MEM && base.flags & BUFFER) {
    checkBuffer(cx, region);
    return;
  }
  const size = regionSize(cx, base);
  if (size === undefined) {
    cx.reject("pointer-use", `r${register} (${kindName(base)}) cannot be used as memory`, { register });
  }
  if (base.kind === Kind.MAP_VALUE) checkMapFlags(cx, base.obj as MapRef, region);
  if (base.kind === Kind.FLOW_KEYS && !base.val.isConst) {
    cx.reject("unbounded", `r${register} (flow_keys) has a variable offset`, { register });
  }
  checkExtent(cx, region, size, "");
  if (base.kind === Kind.CTX) cx.reachCtx(base.off + region.off + Number(base.val.smax) + region.size);
  if (base.kind === Kind.MAP_VALUE) checkFields(cx, base.obj as MapRef, region);
}

/** How long a buffer is shows when the program is attached: the kernel then refuses one that reads beyond. */
function checkBuffer(cx: Context, { base, register, off }: Region): void {
  const at = base.off + off;
  if (at < 0) cx.reject("bounds", `r${register} (${kindName(base)}): offset ${at} is before the buffer`, { register });
  if (base.val.isConst && base.val.tnum.value === 0n) return;
  cx.reject("variable-offset", `r${register} (${kindName(base)}) has a variable offset`, { register });
}

/** Under BPF_F_STRICT_ALIGNMENT: packet data is taken to lie 2 bytes off, as behind an Ethernet header. */
function checkAlignment(cx: Context, { base, register, off, size }: Region): void {
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8) return;
  const shift = base.kind === Kind.PACKET ? 2 : 0;
  const { value, mask } = base.val.tnum;
  const low = BigInt(size - 1);
  if (((mask | (value + BigInt(base.off + off + shift))) & low) === 0n) return;
  cx.reject(
    "alignment",
    `the ${size}-byte access at r${register} (${kindName(base)}) is not ${size}-byte aligned, which strict alignment asks`,
    {
      register,
    },
  );
}

function checkMapFlags(cx: Context, map: MapRef, region: Region): void {
  const { flags, type } = map.spec;
  // kernel/bpf/devmap.c `dev_map_init_map` sets the flag itself.
  const devices = type === MapType.BPF_MAP_TYPE_DEVMAP || type === MapType.BPF_MAP_TYPE_DEVMAP_HASH;
  if (region.write && (devices || flags & BPF_F_RDONLY_PROG)) {
    cx.reject("read-only", `map ${map.name} may not be written by programs`, { register: region.register });
  }
  if (!region.write && flags & BPF_F_WRONLY_PROG) {
    cx.reject("write-only", `map ${map.name} may not be read by programs`, { register: region.register });
  }
}

/** The access, wherever in its range it falls, must miss every special field. */
function checkFields(cx: Context, map: MapRef, { base, register, off, size }: Region): void {
  const from = base.off + off + Number(base.val.smin);
  const to = base.off + off + Number(base.val.umax) + size;
  for (const field of map.fields) {
    if (to <= field.offset || from >= field.offset + field.size) continue;
    cx.reject(
      "special-field",
      `r${register} reaches the ${field.struct} at offset ${field.offset} of map ${map.name}'s value, which only its own functions may touch`,
      {
        register,
      },
    );
  }
}

function checkExtent(cx: Context, region: Region, size: number, note: string): void {
  const { base, register } = region;
  const v = base.val;
  const at = base.off + region.off;
  if (v === ZERO && within(at, region, size)) return;
  const what = `r${register} (${kindName(base)})`;
  if (v.smin === S64_MIN || v.smin + BigInt(at) < 0n) {
    if (v.smin === S64_MIN || v.smin < 0n) {
      cx.reject(
        "negative-offset",
        `${what}: the offset may be negative (${v.smin === S64_MIN ? "it has no lower bound" : v.smin + BigInt(at)})`,
        {
          register,
          fix: "check that the index is not negative, or use an unsigned comparison",
        },
      );
    }
    cx.reject("bounds", `${bytes(region.size)} at offset ${at} of ${what}, which begins at 0`, { register });
  }
  const least = at + Number(v.smin);
  if (!within(least, region, size)) {
    cx.reject("bounds", `${bytes(region.size)} at offset ${least} of ${what}, which has ${bytes(size)}${note}`, {
      register,
    });
  }
  if (v.umax >= BigInt(MAX_VAR_OFF)) {
    cx.reject("unbounded", `${what}: the offset has no upper bound`, {
      register,
      fix: `compare the index with a limit so that offset + ${region.size} stays within ${bytes(size)}, or mask it`,
    });
  }
  const most = at + Number(v.umax);
  if (!within(most, region, size)) {
    cx.reject("bounds", `${bytes(region.size)} at offset ${most} of ${what}, which has ${bytes(size)}${note}`, {
      register,
      fix: `limit the index: offset + ${region.size} may be at most ${size}`,
    });
  }
}

function within(at: number, region: Region, size: number): boolean {
  const ok = region.size > 0 || (region.size === 0 && region.zeroOk);
  return at >= 0 && ok && at + region.size <= size;
}

function bytes(n: number): string {
  return n === 1 ? "1 byte" : `${n} bytes`;
}

/** Program types that may touch packet bytes directly, and those that may write them. */
const T = ProgType;
const PACKET_READERS: ReadonlySet<number> = new Set([
  T.BPF_PROG_TYPE_LWT_IN,
  T.BPF_PROG_TYPE_LWT_OUT,
  T.BPF_PROG_TYPE_LWT_SEG6LOCAL,
  T.BPF_PROG_TYPE_SK_REUSEPORT,
  T.BPF_PROG_TYPE_FLOW_DISSECTOR,
  T.BPF_PROG_TYPE_CGROUP_SKB,
]);
const PACKET_WRITERS: ReadonlySet<number> = new Set([
  T.BPF_PROG_TYPE_SCHED_CLS,
  T.BPF_PROG_TYPE_SCHED_ACT,
  T.BPF_PROG_TYPE_XDP,
  T.BPF_PROG_TYPE_LWT_XMIT,
  T.BPF_PROG_TYPE_SK_SKB,
  T.BPF_PROG_TYPE_SK_MSG,
  T.BPF_PROG_TYPE_CGROUP_SOCKOPT,
]);

/** Why this program type may not access packet memory so; undefined when it may. */
export function packetProblem(cx: Context, write: boolean): string | undefined {
  if (PACKET_WRITERS.has(cx.progType)) return undefined;
  if (PACKET_READERS.has(cx.progType)) return write ? "this program type may only read packet data" : undefined;
  return "this program type may not access packet data";
}

/**
 * Packet bytes: a comparison with data_end (or of data_meta with data) has proven `num` bytes from the base that this
 * pointer's id stands for; the variable part is common to all pointers of that id.
 */
function checkPacket(cx: Context, region: Region): void {
  const { base, register, size } = region;
  // Who may not read packet data has no ctx field that would give a pointer to it.
  const problem = region.write ? packetProblem(cx, true) : undefined;
  if (problem) cx.reject("packet-access", problem, { register });
  const at = base.off + region.off;
  const what = `r${register} (${kindName(base)})`;
  const end = base.kind === Kind.PACKET_META ? "data" : "data_end";
  if (base.val.smin < 0n) {
    cx.reject("negative-offset", `${what}: the offset may be negative`, {
      register,
      fix: "check that the index is not negative, or use an unsigned comparison",
    });
  }
  const proven = base.num;
  if (proven <= AT_PKT_END || at < 0 || at + size > proven || (size === 0 && !region.zeroOk)) {
    const known =
      proven <= 0 ? `no comparison with ${end} covers it` : `the comparison with ${end} covers only ${bytes(proven)}`;
    const where = base.val.isConst && base.id === 0 ? "" : " behind its variable part";
    cx.reject(
      "packet-bounds",
      `${bytes(size)} at offset ${at}${where} of the ${kindName(base)} (r${register}): ${known}`,
      {
        register,
        fix: `compare the pointer + ${at + size} with ${end} before this access, and leave when it is beyond`,
      },
    );
  }
}
