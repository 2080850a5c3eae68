/**
 * Programs and maps that this kernel is too old for. It says EINVAL to a type or flag that it does not know, without a
 * word; here it is asked once more for the smallest of the kind, and the refusal names what is missing.
 */
import { UnsupportedError } from "@ebplane/core/errors";
import { decode, EXTENSION_SINCE, type Extension, extensionOf } from "@ebplane/core/isa";
import {
  attachTypeName,
  attachTypeSince,
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_SEGV_ON_FAULT,
  BPF_F_SLEEPABLE,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
  compareVersions,
  HELPERS,
  type MapSpec,
  MapType,
  mapTypeName,
  mapTypeSince,
  type ProgramSpec,
  ProgType,
  progTypeName,
  progTypeSince,
} from "@ebplane/core/object";
import { type ProgLoad, progLoad } from "../bpf/index.ts";
import { probeAttachType, probeMapType, probeProgType } from "../features/probe.ts";
import { close } from "../sys/index.ts";

/** A flag's bit, its name, and the kernel that brought it. */
type Flag = readonly [bit: number, name: string, since: string];

/** Source: the commits that added each to include/uapi/linux/bpf.h. */
const PROG_FLAGS: readonly Flag[] = [
  [BPF_F_SLEEPABLE, "sleepable programs", "5.10"],
  [BPF_F_XDP_HAS_FRAGS, "XDP programs on several buffers (xdp.frags)", "5.18"],
  [BPF_F_XDP_DEV_BOUND_ONLY, "XDP programs bound to a device", "6.3"],
];
const MAP_FLAGS: readonly Flag[] = [
  [BPF_F_MMAPABLE, "maps to be mapped", "5.5"],
  [BPF_F_INNER_MAP, "inner arrays of any size", "5.10"],
  [BPF_F_SEGV_ON_FAULT, "arenas without faults", "6.9"],
];

/** What does nearly the same on older kernels. */
const PROG_INSTEAD: Readonly<Record<number, string>> = {
  [ProgType.BPF_PROG_TYPE_NETFILTER]: "a sched_cls program at tc:IFACE:DIRECTION sees the same packets",
};
const MAP_INSTEAD: Readonly<Record<number, string>> = {
  [MapType.BPF_MAP_TYPE_RINGBUF]: "use a perf_event_array",
  [MapType.BPF_MAP_TYPE_USER_RINGBUF]: "use a queue, or an array to be mapped",
  [MapType.BPF_MAP_TYPE_BLOOM_FILTER]: "use a hash",
  [MapType.BPF_MAP_TYPE_TASK_STORAGE]: "use a hash by thread id",
  [MapType.BPF_MAP_TYPE_CGRP_STORAGE]: "use a hash by cgroup id",
  [MapType.BPF_MAP_TYPE_ARENA]: "use an array to be mapped (BPF_F_MMAPABLE)",
};

function instead(text: string | undefined): string {
  return text === undefined ? "" : `: ${text}`;
}

/** Why a program that was refused with EINVAL and no log cannot be here; undefined where its kind is known. */
export function lackingProgram(spec: ProgramSpec, load: ProgLoad): UnsupportedError | undefined {
  const { type } = spec;
  const what = `program ${spec.name}: this kernel has no`;
  if (!probeProgType(type).supported) {
    const name = progTypeName(type);
    return new UnsupportedError(name, `${what} ${name} programs${instead(PROG_INSTEAD[type])}`, progTypeSince(type));
  }
  const flag = PROG_FLAGS.find(([bit]) => missesFlag(load.flags, bit, (flags) => progLoad({ ...load, flags }).fd));
  if (flag) return new UnsupportedError(flag[1], `${what} ${flag[1]}`, flag[2]);
  const attachType = load.expectedAttachType ?? 0;
  const name = attachTypeName(type, attachType);
  if (attachType !== 0 && name !== undefined && !probeAttachType(type, attachType).supported) {
    const why = `${what} hook ${name} for ${progTypeName(type)} programs`;
    return new UnsupportedError(name, why, attachTypeSince(attachType));
  }
  return undefined;
}

/** The same for a map; `create` tries it with other flags. */
export function lackingMap(spec: MapSpec, create: (flags: number) => number): UnsupportedError | undefined {
  const what = `map ${spec.name}: this kernel has no`;
  if (!probeMapType(spec.type).supported) {
    const name = mapTypeName(spec.type);
    return new UnsupportedError(
      name,
      `${what} ${name} maps${instead(MAP_INSTEAD[spec.type])}`,
      mapTypeSince(spec.type),
    );
  }
  const flag = MAP_FLAGS.find(([bit]) => missesFlag(spec.flags, bit, create));
  return flag && new UnsupportedError(flag[1], `${what} ${flag[1]}`, flag[2]);
}

/** Whether it is this flag that is refused: without it, the rest goes. */
function missesFlag(flags: number | undefined, bit: number, attempt: (flags: number) => number): boolean {
  if (flags === undefined || (flags & bit) === 0) return false;
  const fd = attempt(flags & ~bit);
  if (fd < 0) return false;
  close(fd);
  return true;
}

/** How instructions that are younger than the oldest kernels in use are named to their user, newest first. */
const YOUNG: Readonly<Record<Extension, string>> = {
  loadAcquire: "load-acquire or store-release",
  mayGoto: "may_goto",
  arena: "a cast to an arena",
  v4: "instructions of cpu v4 (built with -mcpu=v3 it does not)",
  kernelFunctions: "kernel functions",
  functionPointers: "callbacks",
  atomics: "atomic operations beyond addition",
};

/**
 * What a refused program uses that kernels of this release do not have, newest first; undefined when nothing is known.
 * The log of an old kernel calls it reserved fields, an unknown opcode or a helper that is not for the type.
 */
export function youngerThan(release: string, spec: ProgramSpec, message: string): string | undefined {
  const helper = HELPERS.get(
    Number(/ func(?:tion)? \S*?#(\d+)|helper \S*?#(\d+)/.exec(message)?.slice(1).find(Boolean)),
  );
  if (helper && compareVersions(helper.since, release) > 0) {
    return `bpf_${helper.name} came with Linux ${helper.since}, this is ${release}`;
  }
  const used = new Set(decode(spec.code).map(extensionOf));
  const young = (Object.keys(YOUNG) as Extension[]).find(
    (extension) => used.has(extension) && compareVersions(EXTENSION_SINCE[extension], release) > 0,
  );
  return young && `it uses ${YOUNG[young]}: Linux ${EXTENSION_SINCE[young]}, this is ${release}`;
}
