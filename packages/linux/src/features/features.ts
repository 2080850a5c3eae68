/** All that can be known of the running kernel, in one object: asked once, remembered, also for `ebplane features`. */
import { UnsupportedError } from "@ebplane/core/errors";
import {
  AttachType,
  attachTypeName,
  CGROUP_HOOKS,
  MapType,
  mapTypeName,
  ProgType,
  progTypeName,
} from "@ebplane/core/object";
import { type DeviceXdp, deviceXdpFeatures, listLinks, NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import { kernelBtf } from "../target/kernel-btf.ts";
import { type Answer, probeAttachType, probeHelpers, probeIsa, probeMapType, probeProgType } from "./probe.ts";
import { kernelConfig, type SystemState, systemState } from "./system.ts";

export interface KernelFeatures {
  readonly system: SystemState;
  /** By the short names: `xdp`, `lpm_trie`, `cgroup_inet4_connect`. */
  readonly progTypes: Readonly<Record<string, Answer>>;
  readonly mapTypes: Readonly<Record<string, Answer>>;
  readonly attachTypes: Readonly<Record<string, Answer>>;
  readonly isa: ReturnType<typeof probeIsa>;
  /** Options of the kernel's configuration that BPF and networking hang on; undefined where it is not told. */
  readonly config: Readonly<Record<string, string | null>> | undefined;
}

let features: KernelFeatures | undefined;

/** Some 30 ms the first time. @throws UnsupportedError, SysError where bpf(2) cannot be used at all. */
export function kernelFeatures(): KernelFeatures {
  features ??= {
    system: systemState(),
    progTypes: table(ProgType, progTypeName, probeProgType),
    mapTypes: table(MapType, mapTypeName, probeMapType),
    attachTypes: Object.fromEntries(
      ATTACH.map(([progType, type]) => [attachTypeName(progType, type) ?? "none", probeAttachType(progType, type)]),
    ),
    isa: probeIsa(),
    config: config(),
  };
  return features;
}

function table(
  types: Readonly<Record<string, number>>,
  name: (type: number) => string,
  probe: (type: number) => Answer,
): Record<string, Answer> {
  const known = Object.values(types).filter((type) => type !== 0);
  return Object.fromEntries(known.map((type) => [name(type), probe(type)]));
}

/** Which program type loads for an attach type, where loading tells whether the kernel has it. */
const ATTACH: readonly (readonly [progType: number, attachType: number])[] = [
  ...Object.values(CGROUP_HOOKS).map((name) => [cgroupProgType(name), AttachType[name]] as const),
  [ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP],
  [ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP_DEVMAP],
  [ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP_CPUMAP],
  [ProgType.BPF_PROG_TYPE_SCHED_CLS, AttachType.BPF_TCX_INGRESS],
  [ProgType.BPF_PROG_TYPE_SCHED_CLS, AttachType.BPF_TCX_EGRESS],
  [ProgType.BPF_PROG_TYPE_SCHED_CLS, AttachType.BPF_NETKIT_PRIMARY],
  [ProgType.BPF_PROG_TYPE_SK_LOOKUP, AttachType.BPF_SK_LOOKUP],
  [ProgType.BPF_PROG_TYPE_SK_REUSEPORT, AttachType.BPF_SK_REUSEPORT_SELECT],
  [ProgType.BPF_PROG_TYPE_SK_REUSEPORT, AttachType.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE],
  [ProgType.BPF_PROG_TYPE_SCHED_CLS, AttachType.BPF_NETKIT_PEER],
  [ProgType.BPF_PROG_TYPE_SK_SKB, AttachType.BPF_SK_SKB_STREAM_PARSER],
  [ProgType.BPF_PROG_TYPE_SK_SKB, AttachType.BPF_SK_SKB_STREAM_VERDICT],
  [ProgType.BPF_PROG_TYPE_SK_SKB, AttachType.BPF_SK_SKB_VERDICT],
  [ProgType.BPF_PROG_TYPE_SK_MSG, AttachType.BPF_SK_MSG_VERDICT],
  [ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR, AttachType.BPF_FLOW_DISSECTOR],
  [ProgType.BPF_PROG_TYPE_NETFILTER, AttachType.BPF_NETFILTER],
  [ProgType.BPF_PROG_TYPE_LIRC_MODE2, AttachType.BPF_LIRC_MODE2],
  [ProgType.BPF_PROG_TYPE_PERF_EVENT, AttachType.BPF_PERF_EVENT],
  [ProgType.BPF_PROG_TYPE_KPROBE, AttachType.BPF_TRACE_KPROBE_MULTI],
  [ProgType.BPF_PROG_TYPE_KPROBE, AttachType.BPF_TRACE_KPROBE_SESSION],
  [ProgType.BPF_PROG_TYPE_KPROBE, AttachType.BPF_TRACE_UPROBE_MULTI],
  [ProgType.BPF_PROG_TYPE_KPROBE, AttachType.BPF_TRACE_UPROBE_SESSION],
  [ProgType.BPF_PROG_TYPE_TRACING, AttachType.BPF_TRACE_RAW_TP],
  [ProgType.BPF_PROG_TYPE_TRACING, AttachType.BPF_TRACE_FENTRY],
  [ProgType.BPF_PROG_TYPE_TRACING, AttachType.BPF_TRACE_FEXIT],
  [ProgType.BPF_PROG_TYPE_TRACING, AttachType.BPF_MODIFY_RETURN],
  [ProgType.BPF_PROG_TYPE_TRACING, AttachType.BPF_TRACE_ITER],
  [ProgType.BPF_PROG_TYPE_LSM, AttachType.BPF_LSM_MAC],
];

function cgroupProgType(name: (typeof CGROUP_HOOKS)[keyof typeof CGROUP_HOOKS]): number {
  switch (name) {
    case "BPF_CGROUP_INET_INGRESS":
    case "BPF_CGROUP_INET_EGRESS":
      return ProgType.BPF_PROG_TYPE_CGROUP_SKB;
    case "BPF_CGROUP_INET_SOCK_CREATE":
    case "BPF_CGROUP_INET_SOCK_RELEASE":
    case "BPF_CGROUP_INET4_POST_BIND":
    case "BPF_CGROUP_INET6_POST_BIND":
      return ProgType.BPF_PROG_TYPE_CGROUP_SOCK;
    case "BPF_LSM_CGROUP":
      return ProgType.BPF_PROG_TYPE_LSM;
    case "BPF_CGROUP_SOCK_OPS":
      return ProgType.BPF_PROG_TYPE_SOCK_OPS;
    case "BPF_CGROUP_DEVICE":
      return ProgType.BPF_PROG_TYPE_CGROUP_DEVICE;
    case "BPF_CGROUP_SYSCTL":
      return ProgType.BPF_PROG_TYPE_CGROUP_SYSCTL;
    case "BPF_CGROUP_GETSOCKOPT":
    case "BPF_CGROUP_SETSOCKOPT":
      return ProgType.BPF_PROG_TYPE_CGROUP_SOCKOPT;
    default:
      return ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  }
}

const CONFIG = [
  "CONFIG_BPF",
  "CONFIG_BPF_SYSCALL",
  "CONFIG_BPF_JIT",
  "CONFIG_BPF_JIT_ALWAYS_ON",
  "CONFIG_DEBUG_INFO_BTF",
  "CONFIG_DEBUG_INFO_BTF_MODULES",
  "CONFIG_CGROUP_BPF",
  "CONFIG_BPF_EVENTS",
  "CONFIG_KPROBE_EVENTS",
  "CONFIG_UPROBE_EVENTS",
  "CONFIG_NET",
  "CONFIG_XDP_SOCKETS",
  "CONFIG_LWTUNNEL_BPF",
  "CONFIG_NET_ACT_BPF",
  "CONFIG_NET_CLS_BPF",
  "CONFIG_NET_CLS_ACT",
  "CONFIG_NET_SCH_INGRESS",
  "CONFIG_IPV6_SEG6_BPF",
  "CONFIG_BPF_STREAM_PARSER",
  "CONFIG_BPF_LSM",
  "CONFIG_VETH",
  "CONFIG_TUN",
  "CONFIG_HZ",
] as const;

function config(): Record<string, string | null> | undefined {
  const options = kernelConfig();
  return options && Object.fromEntries(CONFIG.map((name) => [name, options.get(name) ?? null]));
}

/** Helpers by program type: some 7,000 loads, two seconds; asked for one type at a time and remembered. */
const helpers = new Map<number, readonly string[]>();

export function kernelHelpers(progType: number): readonly string[] {
  let names = helpers.get(progType);
  if (!names) helpers.set(progType, (names = probeHelpers(progType)));
  return names;
}

/** The functions that the kernel's BTF offers to programs. Empty on kernels before 6.10, which do not mark them. */
export function kernelKfuncs(): string[] {
  const btf = kernelBtf();
  const names = new Set<string>();
  for (const id of btf.findAll("bpf_kfunc")) {
    const tag = btf.type(id);
    if (tag.kind === "declTag") names.add(btf.type(tag.type).name);
  }
  return [...names].sort();
}

export interface DeviceFeatures extends DeviceXdp {
  readonly name: string;
}

/** XDP by driver, for the devices of the calling thread's namespace. Empty where the kernel (before 6.3) cannot tell. */
export function deviceFeatures(): DeviceFeatures[] {
  let devices: DeviceXdp[];
  try {
    devices = deviceXdpFeatures();
  } catch (error) {
    if (error instanceof UnsupportedError) return [];
    throw error;
  }
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const names = new Map(listLinks(socket).map(({ index, name }) => [index, name]));
  return devices.map((device) => ({ ...device, name: names.get(device.ifindex) ?? `if${device.ifindex}` }));
}
