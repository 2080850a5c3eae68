/**
 * The kernel's operations in programs (struct_ops): which of its structs a variable stands for, which program is which
 * member, and the map through which it is registered.
 *
 * The object's struct is its own reading of the kernel's: members are matched by name, as CO-RE would, so that an object
 * built against other headers loads. What the kernel's struct lacks may only be zero.
 * Source: libbpf `bpf_map__init_kern_struct_ops`; kernel/bpf/bpf_struct_ops.c.
 */
import { type Btf, type BtfMember, type BtfStruct, essentialName, resolve, sizeOf } from "@ebplane/core/btf";
import { viewOf } from "@ebplane/core/bytes";
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import {
  AttachType,
  type CollectionSpec,
  type Hook,
  hookText,
  type Link,
  type MapSpec,
  MapType,
  type StructOpsHook,
  type StructOpsSpec,
} from "@ebplane/core/object";
import { Cmd, cmdName, LinuxMap, tryLinkCreate, tryLinkUpdate, tryMapCreate } from "../bpf/index.ts";
import { BpfLink, PlainLink } from "../link/link.ts";
import { check, sysError } from "../sys/index.ts";
import type { LoadedBtf } from "./btf.ts";
import { findType } from "./kernel-btf.ts";
import type { ModuleFds } from "./module-fds.ts";

/** A variable of the object, as this kernel has its struct. */
export interface StructOpsPlan {
  readonly spec: StructOpsSpec;
  /** The kernel's name of the struct: `tcp_congestion_ops`. */
  readonly struct: string;
  readonly valueTypeId: number;
  /** As `StructOpsMember.object`. */
  readonly object: number;
  /** The map's value; the fds of programs are still 0 in it. */
  readonly value: Uint8Array;
  /** By program: where its fd goes, and what the verifier holds it against. */
  readonly members: ReadonlyMap<string, StructOpsMember>;
}

export interface StructOpsMember {
  /** Bytes into the value. */
  readonly at: number;
  readonly structId: number;
  /** The BTF object that has it: a module's, or 0 for the kernel's own. */
  readonly object: number;
  /** The member's number in the kernel's struct: the program's expected attach type. */
  readonly index: number;
}

/** Since when Linux has programs for it; what it can be without depends on its configuration. */
const STRUCT_SINCE: Readonly<Record<string, string>> = {
  tcp_congestion_ops: "5.6",
  hid_bpf_ops: "6.11",
  sched_ext_ops: "6.12",
  Qdisc_ops: "6.16",
};

/**
 * @throws UnsupportedError for a struct, or a member that is not zero, that this kernel lacks; RangeError where the
 * object's member has another size.
 */
export function planStructOps(spec: StructOpsSpec, btf: Btf): StructOpsPlan {
  const local = structAt(btf, spec.typeId);
  if (!local) throw new RangeError(`struct_ops ${spec.name}: expected a struct, got ${btf.type(spec.typeId).kind}`);
  const struct = essentialName(local.name);
  const found = findType(`bpf_struct_ops_${struct}`, "struct");
  const kernel = found?.in.btf;
  const structId = kernel?.find(struct, "struct");
  if (!found || !kernel || structId === undefined) {
    const why = `neither this kernel nor a loaded module takes programs for ${struct}`;
    const since = STRUCT_SINCE[struct];
    throw new UnsupportedError(struct, `struct_ops ${spec.name}: ${why}`, since);
  }
  const valueTypeId = found.type;
  const target = structAt(kernel, structId)!;
  const valueType = structAt(kernel, valueTypeId)!;
  const data = valueType.members.find((m) => resolve(kernel, m.type) === structId)!.bitOffset / 8;
  const value = new Uint8Array(valueType.size);
  const members = new Map<string, StructOpsMember>();
  for (const member of local.members) {
    const from = member.bitOffset / 8;
    const size = sizeOf(btf, member.type);
    const bytes = spec.data.subarray(from, from + size);
    const program = spec.programs.find((p) => p.offset === from)?.program;
    const index = target.members.findIndex((m) => m.name === member.name);
    const there = target.members[index];
    if (!there) {
      if (program === undefined && bytes.every((b) => b === 0)) continue;
      throw new UnsupportedError(member.name, `struct_ops ${spec.name}: this kernel's ${struct} has no ${member.name}`);
    }
    const at = data + there.bitOffset / 8;
    if (program !== undefined) {
      members.set(program, { at, structId, object: found.in.id, index });
      continue;
    }
    checkMember(spec, btf, member, kernel, there, size);
    value.set(bytes, at);
  }
  return { spec, struct, valueTypeId, object: found.in.id, value, members };
}

function checkMember(spec: StructOpsSpec, local: Btf, member: BtfMember, kernel: Btf, there: BtfMember, size: number) {
  const where = `struct_ops ${spec.name}: ${member.name}`;
  if (member.bitSize || there.bitSize) throw new UnsupportedError("bitfield", `${where}: is a bitfield`);
  const wanted = sizeOf(kernel, there.type);
  if (size !== wanted) throw new RangeError(`${where}: need ${wanted} bytes as this kernel's, have ${size}`);
  const pointer = local.type(resolve(local, member.type)).kind === "ptr";
  if (pointer && spec.data.subarray(member.bitOffset / 8, member.bitOffset / 8 + size).some((b) => b !== 0)) {
    throw new UnsupportedError("pointer", `${where}: a pointer can only be a program`);
  }
}

function structAt(btf: Btf, id: number): BtfStruct | undefined {
  const type = btf.type(resolve(btf, id));
  return type.kind === "struct" ? type : undefined;
}

const BPF_F_LINK = 1 << 13;
/** The value's type is a module's. */
const BPF_F_VTYPE_BTF_OBJ_FD = 1 << 15;

/** The plans of what is to be loaded: those asked for by name, else all without a `?`. */
export function selectStructOps(spec: CollectionSpec, names: readonly string[] | undefined): StructOpsPlan[] {
  const all = spec.structOps ?? [];
  const chosen =
    names?.map((name) => {
      const found = all.find((s) => s.name === name);
      if (!found) throw new RangeError(`struct_ops ${name}: expected one of ${all.map((s) => s.name).join(", ")}`);
      return found;
    }) ?? all.filter((s) => !s.section.startsWith("?"));
  return chosen.map((s) => planStructOps(s, spec.btf!));
}

/**
 * Creates the map that its programs will be written to: one for links where the kernel has them (Linux 6.4), whatever
 * the section's name says, since only a link detaches itself.
 */
export function createStructOps(
  { spec, struct, valueTypeId, object, value }: StructOpsPlan,
  btf: LoadedBtf,
  modules: ModuleFds,
  tokenFd?: number,
): LinuxMap {
  const ofModule = object === 0 ? 0 : BPF_F_VTYPE_BTF_OBJ_FD;
  const plain: MapSpec = {
    name: spec.name,
    type: MapType.BPF_MAP_TYPE_STRUCT_OPS,
    keySize: 4,
    valueSize: value.length,
    maxEntries: 1,
    flags: BPF_F_LINK,
  };
  const create = (map: MapSpec): number =>
    tryMapCreate({
      ...map,
      flags: map.flags | ofModule,
      btfFd: btf.fd,
      btfVmlinuxValueTypeId: valueTypeId,
      valueTypeBtfFd: object === 0 ? undefined : modules.of(object),
      tokenFd,
    });
  const fd = create(plain);
  if (fd >= 0) return new LinuxMap(fd, plain);
  const map = { ...plain, flags: 0 };
  return new LinuxMap(check(cmdName(Cmd.MAP_CREATE), create(map), `struct_ops ${spec.name} (${struct})`), map);
}

/** A live struct of programs: loaded, to be attached. */
export class StructOps {
  readonly plan: StructOpsPlan;
  readonly map: LinuxMap;
  readonly #value: Uint8Array;
  #written = false;

  /** Takes over the map. `fdOf` gives the programs of the plan. */
  constructor(plan: StructOpsPlan, map: LinuxMap, fdOf: (program: string) => number) {
    this.plan = plan;
    this.map = map;
    this.#value = plan.value.slice();
    const view = viewOf(this.#value);
    for (const [program, { at }] of plan.members) view.setBigUint64(at, BigInt(fdOf(program)), true);
  }

  get #hasLink(): boolean {
    return (this.map.spec.flags & BPF_F_LINK) !== 0;
  }

  /** A map for links is made ready by this, once and for all; one without is registered. */
  #write(): void {
    if (this.#written && this.#hasLink) return;
    const { spec, struct } = this.plan;
    try {
      this.map.update(KEY, this.#value);
      this.#written = true;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      throw sysError(
        cmdName(Cmd.MAP_UPDATE_ELEM),
        error.errno,
        `struct_ops ${spec.name} (${struct}): ${why(error.errno)}`,
      );
    }
  }

  /**
   * Registers it with the kernel, until the link is closed.
   * @throws SysError EEXIST where the name in it is taken, EINVAL where the kernel misses a member.
   */
  attach(): Link<StructOpsHook> {
    const { spec, struct } = this.plan;
    const hook: StructOpsHook = { kind: "struct_ops", name: spec.name };
    this.#write();
    if (!this.#hasLink) {
      const { map } = this;
      return new PlainLink(hook, noProgram, () => map.delete(KEY));
    }
    const fd = tryLinkCreate(this.map.fd, 0, AttachType.BPF_STRUCT_OPS);
    if (fd < 0) {
      throw sysError(cmdName(Cmd.LINK_CREATE), -fd, `struct_ops:${spec.name} (${struct}): ${why(-fd)}`);
    }
    return new BpfLink(fd, hook, noProgram);
  }

  /** Puts this struct in the place of the one behind `link`, atomically; the kernel may ask for the same name in both. */
  replace(link: BpfLink<Hook>): void {
    if (!this.#hasLink) {
      const why = `${hookText(link.hook)}: this kernel takes no struct in the place of another: close the link, then attach`;
      throw new UnsupportedError("struct_ops link", why, "6.4");
    }
    this.#write();
    check(cmdName(Cmd.LINK_UPDATE), tryLinkUpdate(link.fd, this.map.fd), hookText(link.hook));
  }
}

const KEY = new Uint8Array(4);

function why(errno: number): string {
  if (errno === Errno.EEXIST) return "one of this name is registered already";
  if (errno === Errno.EINVAL) return "the kernel needs more, or other, members";
  return "not accepted";
}

function noProgram(): never {
  throw new UnsupportedError("update", "a struct_ops link takes another struct, not a program");
}
