/**
 * Links of the kernel, whoever made them, as hooks: for listings and for taking over what an earlier process pinned.
 * Source: include/uapi/linux/bpf.h `struct bpf_link_info`, `enum bpf_link_type`.
 */
import {
  AttachType,
  attachTypeName,
  CGROUP_HOOKS,
  type CgroupHookType,
  type Hook,
  NETFILTER_POINTS,
  ProgType,
  SOCKMAP_HOOKS,
} from "@ebplane/core/object";
import { fdById, type LinkInfo, linkInfo, mapInfo, objectIds } from "../bpf/index.ts";
import { close } from "../sys/index.ts";
import { ifname } from "./ifindex.ts";
import { SOCKMAP_TYPES } from "./sockets.ts";

const LINK_TYPES = [
  "unspec",
  "raw_tracepoint",
  "tracing",
  "cgroup",
  "iter",
  "netns",
  "xdp",
  "perf_event",
  "kprobe_multi",
  "struct_ops",
  "netfilter",
  "tcx",
  "uprobe_multi",
  "netkit",
  "sockmap",
  "tracing_multi",
] as const;

export interface LinkDescription {
  readonly id: number;
  /** The kernel's word for the kind of link. */
  readonly type: string;
  readonly progId: number;
  /** The device; 0 where there is none, or it is gone. */
  readonly ifindex: number;
  /** The hook in ebplane's words, as far as the kernel tells; undefined for kinds without. */
  readonly hook: Hook | undefined;
  /** What the kernel says beside: attach type, cgroup id, namespace inode. */
  readonly detail: string;
  /** Of tracing: the function, by BTF object (or program) and type; see `traceTarget`. */
  readonly traced?: { readonly object: number; readonly type: number };
}

/** `enum bpf_perf_event_type`: the hooks of events that have a name. */
const EVENT_KINDS = [undefined, "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint"] as const;
const RETURN = 1;

/** Every link in the system, by id. @throws SysError EPERM without CAP_SYS_ADMIN. */
export function listLinkObjects(): LinkDescription[] {
  return objectIds("link").flatMap((id) => {
    const fd = fdById("link", id);
    if (fd === undefined) return []; // Gone between the two questions.
    try {
      return describeLink(linkInfo(fd));
    } finally {
      close(fd);
    }
  });
}

/** Device names are those of the calling thread's network namespace. */
export function describeLink(info: LinkInfo): LinkDescription {
  const { data } = info;
  const type = LINK_TYPES[info.type] ?? `type ${info.type}`;
  const base = { id: info.id, type, progId: info.progId, ifindex: 0, hook: undefined, detail: "" };
  const u32 = (at: number): number => data.getUint32(at, true);
  switch (type) {
    case "xdp": {
      const iface = ifname(u32(0));
      return { ...base, ifindex: u32(0), hook: iface === undefined ? undefined : { kind: "xdp", iface, mode: "auto" } };
    }
    case "tcx": {
      const direction = u32(4) === AttachType.BPF_TCX_INGRESS ? "ingress" : "egress";
      const iface = ifname(u32(0));
      return { ...base, ifindex: u32(0), hook: iface === undefined ? undefined : { kind: "tcx", iface, direction } };
    }
    case "cgroup": {
      const detail = attachTypeName(ProgType.BPF_PROG_TYPE_CGROUP_SKB, u32(8)) ?? "";
      return { ...base, hook: cgroupHook(u32(8), data.getBigUint64(0, true)), detail };
    }
    case "netns": {
      const hook: Hook = { kind: "netns", type: u32(4) === AttachType.BPF_SK_LOOKUP ? "sk_lookup" : "flow_dissector" };
      return { ...base, hook, detail: `net:[${u32(0)}]` };
    }
    case "netfilter":
      return {
        ...base,
        hook: {
          kind: "netfilter",
          family: u32(0) === 2 ? 4 : 6,
          point: NETFILTER_POINTS[u32(4)] ?? "prerouting",
          priority: data.getInt32(8, true),
        },
      };
    case "tracing": {
      const detail = attachTypeName(ProgType.BPF_PROG_TYPE_TRACING, u32(0)) ?? "";
      return {
        ...base,
        hook: { kind: "trace" },
        detail,
        traced: detail === "" ? undefined : { object: u32(4), type: u32(8) },
      };
    }
    case "raw_tracepoint":
      return info.name === undefined ? base : { ...base, hook: { kind: "raw_tp", name: info.name } };
    case "perf_event":
      return { ...base, hook: eventHook(EVENT_KINDS[u32(0)], info.name, u32(20)) };
    case "kprobe_multi":
      return { ...base, detail: `${u32(8)} functions${u32(12) & RETURN ? ", at return" : ""}` };
    case "uprobe_multi":
      return { ...base, detail: `${u32(36)} places${u32(40) & RETURN ? ", at return" : ""}` };
    case "struct_ops":
      return { ...base, hook: { kind: "struct_ops", name: mapName(u32(0)) } };
    case "sockmap": {
      const type = SOCKMAP_HOOKS.find((name) => SOCKMAP_TYPES[name] === u32(4));
      // Without a map: the map is gone, and the link lives on, attached to nothing.
      if (type === undefined || u32(0) === 0) return base;
      return { ...base, hook: { kind: "sockmap", map: { id: u32(0), spec: { name: mapName(u32(0)) } }, type } };
    }
    case "netkit": {
      const end = u32(4) === AttachType.BPF_NETKIT_PRIMARY ? "primary" : "peer";
      const iface = ifname(u32(0));
      return { ...base, ifindex: u32(0), hook: iface === undefined ? undefined : { kind: "netkit", iface, end } };
    }
    default:
      return base;
  }
}

/** A tracepoint is named without its group, which stands open. */
function eventHook(kind: (typeof EVENT_KINDS)[number], name: string | undefined, offset: number): Hook | undefined {
  if (kind === undefined || name === undefined) return undefined;
  if (kind === "tracepoint") return { kind, group: "?", name };
  return kind === "uprobe" || kind === "uretprobe" ? { kind, path: name, offset } : { kind, function: name, offset };
}

/** The kernel keeps the first 15 characters. */
function mapName(id: number): string {
  const fd = fdById("map", id);
  if (fd === undefined) return `map ${id}`;
  try {
    return mapInfo(fd).name;
  } finally {
    close(fd);
  }
}

/** The kernel gives the cgroup's id, not its path: that stands in the path's place. */
function cgroupHook(attachType: number, id: bigint): Hook | undefined {
  const entry = Object.entries(CGROUP_HOOKS).find(([, name]) => AttachType[name] === attachType);
  return entry && { kind: "cgroup", path: `id ${id}`, type: entry[0] as CgroupHookType };
}
