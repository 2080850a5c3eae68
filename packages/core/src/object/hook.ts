/**
 * Hooks: where programs are attached. One interface a kind, one text form for all, as the command writes them:
 *
 *     xdp:IFACE[:native|generic|offload] tcx:IFACE:ingress|egress          tc:IFACE:ingress|egress[:PRIORITY]
 *     cgroup:PATH:TYPE                   netns:flow_dissector|sk_lookup    netfilter:4|6:POINT[:PRIORITY]
 *     lwt:PREFIX:in|out|xmit|seg6local   raw_tp:NAME                       tracepoint:GROUP:NAME
 *     kprobe:FUNCTION[+OFFSET]           uprobe:PATH:FUNCTION[+OFFSET]     uprobe:PATH:OFFSET        trace[:TARGET]
 *     kprobe_multi:FUNCTION,…            uprobe_multi:PATH:PLACE,…         (k|u)retprobe, (k|u)retprobe_multi
 *     ksyscall:NAME                      kretsyscall:NAME                  (k|u)probe_session, as multi
 *     freplace:ID|PIN:FUNCTION
 *     netkit:IFACE:primary|peer          struct_ops:NAME                   perf_event:EVENT:PERIOD
 *     sockmap:MAP:parser|verdict|skb_verdict|msg
 *
 * A target says which it has; `sim` refuses the others with an UnsupportedError.
 */
import { ProgType } from "./prog-types.ts";

export interface XdpHook {
  readonly kind: "xdp";
  readonly iface: string;
  /** Asked-for XDP mode; `auto` tries native first and says in the link what it got. */
  readonly mode: "auto" | "native" | "generic" | "offload";
}

/** One of the programs already there, by its id or its link's. */
export type Anchor = { readonly program: number } | { readonly link: number };

/** Where among the programs of one hook: the end unless said otherwise. Not all kernels have it for all hooks. */
export interface Order {
  readonly before?: Anchor | "all";
  readonly after?: Anchor | "all";
  /** Refused with ESTALE unless the hook is at this revision. */
  readonly expectedRevision?: bigint;
}

/** tcx: many programs a device and direction, each a link of its own. */
export interface TcxHook {
  readonly kind: "tcx";
  readonly iface: string;
  readonly direction: "ingress" | "egress";
  readonly order?: Order;
}

/** netkit devices (Linux 6.7): the program is the device's own data path, in the order of mprog as tcx. */
export interface NetkitHook {
  readonly kind: "netkit";
  /** The primary device, for both ends. */
  readonly iface: string;
  readonly end: "primary" | "peer";
  readonly order?: Order;
}

/** cls_bpf on clsact in direct-action mode: kernels before 6.6. It stays when the process dies. */
export interface TcHook {
  readonly kind: "tc";
  readonly iface: string;
  readonly direction: "ingress" | "egress";
  /** Lower runs first; 1 when absent. */
  readonly priority?: number;
}

/** The attach points of a control group, by the short names of the attach types (`connect4`, `egress`). */
export const CGROUP_HOOKS = {
  ingress: "BPF_CGROUP_INET_INGRESS",
  egress: "BPF_CGROUP_INET_EGRESS",
  sock_create: "BPF_CGROUP_INET_SOCK_CREATE",
  sock_release: "BPF_CGROUP_INET_SOCK_RELEASE",
  sock_ops: "BPF_CGROUP_SOCK_OPS",
  device: "BPF_CGROUP_DEVICE",
  sysctl: "BPF_CGROUP_SYSCTL",
  getsockopt: "BPF_CGROUP_GETSOCKOPT",
  setsockopt: "BPF_CGROUP_SETSOCKOPT",
  bind4: "BPF_CGROUP_INET4_BIND",
  bind6: "BPF_CGROUP_INET6_BIND",
  post_bind4: "BPF_CGROUP_INET4_POST_BIND",
  post_bind6: "BPF_CGROUP_INET6_POST_BIND",
  connect4: "BPF_CGROUP_INET4_CONNECT",
  connect6: "BPF_CGROUP_INET6_CONNECT",
  connect_unix: "BPF_CGROUP_UNIX_CONNECT",
  sendmsg4: "BPF_CGROUP_UDP4_SENDMSG",
  sendmsg6: "BPF_CGROUP_UDP6_SENDMSG",
  sendmsg_unix: "BPF_CGROUP_UNIX_SENDMSG",
  recvmsg4: "BPF_CGROUP_UDP4_RECVMSG",
  recvmsg6: "BPF_CGROUP_UDP6_RECVMSG",
  recvmsg_unix: "BPF_CGROUP_UNIX_RECVMSG",
  getpeername4: "BPF_CGROUP_INET4_GETPEERNAME",
  getpeername6: "BPF_CGROUP_INET6_GETPEERNAME",
  getpeername_unix: "BPF_CGROUP_UNIX_GETPEERNAME",
  getsockname4: "BPF_CGROUP_INET4_GETSOCKNAME",
  getsockname6: "BPF_CGROUP_INET6_GETSOCKNAME",
  getsockname_unix: "BPF_CGROUP_UNIX_GETSOCKNAME",
  /** Security hooks for its processes (Linux 6.0): the program says which (section `lsm_cgroup/…`). */
  lsm: "BPF_LSM_CGROUP",
} as const;
export type CgroupHookType = keyof typeof CGROUP_HOOKS;

export interface CgroupHook {
  readonly kind: "cgroup";
  /** The cgroup2 directory. */
  readonly path: string;
  readonly type: CgroupHookType;
  readonly order?: Order;
}

/** Of the network namespace that the target works in. */
export interface NetnsHook {
  readonly kind: "netns";
  readonly type: "flow_dissector" | "sk_lookup";
}

export const NETFILTER_POINTS = ["prerouting", "input", "forward", "output", "postrouting"] as const;

export interface NetfilterHook {
  readonly kind: "netfilter";
  readonly family: 4 | 6;
  readonly point: (typeof NETFILTER_POINTS)[number];
  /** Lower runs first; 0 when absent. The kernel keeps the extremes for itself. */
  readonly priority?: number;
  /** Whole packets only: fragments are put together before. */
  readonly defrag?: boolean;
}

/** A route whose packets run through the program. It stays when the process dies. */
export interface LwtHook {
  readonly kind: "lwt";
  /** The route's destination. */
  readonly prefix: string;
  /** `seg6local`: the prefix is an SRv6 endpoint that runs the program (End.BPF). */
  readonly direction: "in" | "out" | "xmit" | "seg6local";
  readonly via?: string;
  readonly iface?: string;
  /** Bytes that an xmit program may push. */
  readonly headroom?: number;
}

/** On the sockets in a sockmap or sockhash. */
export interface SockmapHook {
  readonly kind: "sockmap";
  /** A live map of the target. Read off a text it is only what the text says: a name, file or id (as `name`). */
  readonly map: { readonly id: number; readonly spec: { readonly name: string } };
  /** `parser` and `verdict` go together; `skb_verdict` needs no parser; `msg` sees sendmsg. */
  readonly type: (typeof SOCKMAP_HOOKS)[number];
}

export const SOCKMAP_HOOKS = ["parser", "verdict", "skb_verdict", "msg"] as const;

/** On one socket: a filter of what it receives, or the choice within its SO_REUSEPORT group. */
export interface SocketHook {
  readonly kind: "socket";
  readonly fd: number;
  readonly type: "filter" | "reuseport";
}

/** What the program reads with `bpf_get_attach_cookie`: Linux 5.15 for events, 5.18 for `trace`, 6.10 for `raw_tp`. */
interface WithCookie {
  readonly cookie?: bigint;
}

export interface RawTracepointHook extends WithCookie {
  readonly kind: "raw_tp";
  readonly name: string;
}

export interface TracepointHook extends WithCookie {
  readonly kind: "tracepoint";
  readonly group: string;
  readonly name: string;
}

export interface KprobeHook extends WithCookie {
  readonly kind: "kprobe" | "kretprobe";
  /** Of the kernel, or `MODULE:FUNCTION`. */
  readonly function: string;
  /** Bytes into the function; 0 when absent. */
  readonly offset?: number;
}

/** A system call by its name, whatever this machine calls the function behind it. */
export interface KsyscallHook extends WithCookie {
  readonly kind: "ksyscall" | "kretsyscall";
  readonly syscall: string;
}

export interface UprobeHook extends WithCookie {
  readonly kind: "uprobe" | "uretprobe";
  /** The executable or library; without a slash it is looked for where the system keeps them. */
  readonly path: string;
  /** Bytes into the file, or into the function where one is named. */
  readonly offset: number;
  readonly function?: string;
  /** One process, or all. */
  readonly pid?: number;
}

/** Many functions by one link (Linux 5.18): the program is loaded for it (section `kprobe.multi/…`). */
export interface KprobeMultiHook {
  /** A session (Linux 6.13) runs at entry and, where that answered 0, at return. */
  readonly kind: "kprobe_multi" | "kretprobe_multi" | "kprobe_session";
  /** Names, or patterns with `*` and `?` of the functions that can be traced. */
  readonly functions: readonly string[];
  /** One a function, which are then no patterns. */
  readonly cookies?: readonly bigint[];
}

/** Many places of one file by one link (Linux 6.6; section `uprobe.multi/…`). */
export interface UprobeMultiHook {
  /** A session is of Linux 6.13. */
  readonly kind: "uprobe_multi" | "uretprobe_multi" | "uprobe_session";
  readonly path: string;
  /** Bytes into the file. */
  readonly offsets: readonly number[];
  /** Functions of the file, patterns too, after the offsets. */
  readonly functions?: readonly string[];
  /** One a place, offsets first; functions are then no patterns. */
  readonly cookies?: readonly bigint[];
  /** One process, or all. */
  readonly pid?: number;
}

/** Software counters of the kernel: the program runs each time one has counted `period` more. */
export interface PerfEventHook {
  readonly kind: "perf_event";
  readonly event: (typeof PERF_EVENTS)[number];
  readonly period: number;
  /** One process on all CPUs, or one CPU (0 when neither is said). */
  readonly pid?: number;
  readonly cpu?: number;
}

/** In the order of `enum perf_sw_ids`. */
export const PERF_EVENTS = ["cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations"] as const;

/** fentry, fexit, fmod_ret, tp_btf, lsm and iterators: what they are attached to was said at load. */
export interface TraceHook extends WithCookie {
  readonly kind: "trace";
  /** What that is, for texts: of an attached program the function as the kernel knows it. */
  readonly target?: string;
  /** What an iterator walks over, for those that must be told or can be narrowed down. */
  readonly over?: IterOver;
}

export type IterOver =
  /** A live map of the target, for `bpf_map_elem` and `bpf_sk_storage_map`. */
  | { readonly map: { readonly id: number; readonly spec: { readonly name: string } } }
  /** A cgroup2 directory, for `cgroup` (Linux 6.1): with its descendants unless `only`. */
  | { readonly cgroup: string; readonly only?: boolean }
  /** A thread, or the threads of a process, for `task`, `task_file` and `task_vma` (Linux 6.1). */
  | { readonly tid: number }
  | { readonly pid: number };

/**
 * In the place of a global function of a loaded program: for a program of type ext that was loaded for that function
 * (section `freplace/…`), or for one of the same prototype elsewhere (Linux 5.10).
 */
export interface FreplaceHook {
  readonly kind: "freplace";
  /** The program by its id, or by its file in bpffs. */
  readonly program: number | string;
  readonly function: string;
}

/** The kernel's own operations in programs, such as a TCP congestion control: attached as a whole, by its map. */
export interface StructOpsHook {
  readonly kind: "struct_ops";
  /** The variable of `.struct_ops` that says which program is which operation. */
  readonly name: string;
}

export type Hook =
  | XdpHook
  | TcxHook
  | NetkitHook
  | TcHook
  | CgroupHook
  | NetnsHook
  | NetfilterHook
  | LwtHook
  | SockmapHook
  | SocketHook
  | RawTracepointHook
  | TracepointHook
  | KprobeHook
  | KsyscallHook
  | UprobeHook
  | KprobeMultiHook
  | UprobeMultiHook
  | PerfEventHook
  | TraceHook
  | FreplaceHook
  | StructOpsHook;

/** The text form of a hook, as messages and listings write it. */
export function hookText(hook: Hook): string {
  switch (hook.kind) {
    case "xdp":
      return `xdp:${hook.iface}${hook.mode === "auto" ? "" : `:${hook.mode}`}`;
    case "tcx":
      return `tcx:${hook.iface}:${hook.direction}`;
    case "netkit":
      return `netkit:${hook.iface}:${hook.end}`;
    case "tc":
      return `tc:${hook.iface}:${hook.direction}${hook.priority === undefined ? "" : `:${hook.priority}`}`;
    case "cgroup":
      return `cgroup:${hook.path}:${hook.type}`;
    case "netns":
      return `netns:${hook.type}`;
    case "netfilter":
      return `netfilter:${hook.family}:${hook.point}${hook.priority === undefined ? "" : `:${hook.priority}`}`;
    case "lwt":
      return `lwt:${hook.prefix}:${hook.direction}`;
    case "sockmap":
      return `sockmap:${hook.map.spec.name}:${hook.type}`;
    case "socket":
      return `socket:${hook.fd}:${hook.type}`;
    case "raw_tp":
      return `raw_tp:${hook.name}`;
    case "tracepoint":
      return `tracepoint:${hook.group}:${hook.name}`;
    case "kprobe":
    case "kretprobe":
      return `${hook.kind}:${placeText(hook.function, hook.offset)}`;
    case "ksyscall":
    case "kretsyscall":
      return `${hook.kind}:${hook.syscall}`;
    case "uprobe":
    case "uretprobe":
      return `${hook.kind}:${hook.path}:${hook.function === undefined ? hook.offset : placeText(hook.function, hook.offset)}`;
    case "kprobe_multi":
    case "kretprobe_multi":
    case "kprobe_session":
      return `${hook.kind}:${hook.functions.join(",")}`;
    case "uprobe_multi":
    case "uretprobe_multi":
    case "uprobe_session":
      return `${hook.kind}:${hook.path}:${[...hook.offsets, ...(hook.functions ?? [])].join(",")}`;
    case "perf_event":
      return `perf_event:${hook.event}:${hook.period}`;
    case "trace":
      return hook.target === undefined ? "trace" : `trace:${hook.target}`;
    case "freplace":
      return `freplace:${hook.program}:${hook.function}`;
    case "struct_ops":
      return `struct_ops:${hook.name}`;
  }
}

function placeText(name: string, offset = 0): string {
  return offset === 0 ? name : `${name}+0x${offset.toString(16)}`;
}

const NUMBER = /^(?:0x[0-9a-f]+|\d+)$/i;

/** `FUNCTION[+OFFSET]`. Undefined for anything else. */
export function parsePlace(text: string): { readonly function: string; readonly offset?: number } | undefined {
  const [, name, offset] = /^([^+,]+)(?:\+(0x[0-9a-f]+|\d+))?$/i.exec(text) ?? [];
  if (name === undefined) return undefined;
  return offset === undefined ? { function: name } : { function: name, offset: Number(offset) };
}

/** `PATH:FUNCTION[+OFFSET]` or `PATH:OFFSET`. */
export function parseFilePlace(text: string): Pick<UprobeHook, "path" | "function" | "offset"> | undefined {
  const [, path, rest = ""] = /^(.+):([^:]+)$/.exec(text) ?? [];
  if (path === undefined) return undefined;
  if (NUMBER.test(rest)) return { path, offset: Number(rest) };
  const place = parsePlace(rest);
  return place && { path, offset: 0, ...place };
}

/** `PATH:PLACE,…`, each place an offset, a function or a pattern. */
export function parseFilePlaces(text: string): Pick<UprobeMultiHook, "path" | "offsets" | "functions"> | undefined {
  const [, path, rest = ""] = /^(.+):([^:]+)$/.exec(text) ?? [];
  const places = rest.split(",");
  if (path === undefined || places.includes("")) return undefined;
  const functions = places.filter((place) => !NUMBER.test(place));
  const offsets = places.filter((place) => NUMBER.test(place)).map(Number);
  return functions.length ? { path, offsets, functions } : { path, offsets };
}

/**
 * A hook from its text form. One on a socket has none; that on a socket map has the map's name, still to be found.
 * @throws RangeError that says what is expected.
 */
export function parseHook(text: string): Hook {
  const at = text.indexOf(":");
  const kind = at < 0 ? text : text.slice(0, at);
  const rest = at < 0 ? "" : text.slice(at + 1);
  const wrong = (form: string): never => {
    throw new RangeError(`hook ${JSON.stringify(text)}: expected ${form}`);
  };
  switch (kind) {
    case "xdp": {
      const [, iface, mode = "auto"] =
        /^([^:]+)(?::(native|generic|offload))?$/.exec(rest) ?? wrong("xdp:IFACE[:native|generic]");
      return { kind, iface: iface!, mode: mode as XdpHook["mode"] };
    }
    case "tcx": {
      const [, iface, direction] = /^([^:]+):(ingress|egress)$/.exec(rest) ?? wrong("tcx:IFACE:ingress|egress");
      return { kind, iface: iface!, direction: direction as TcxHook["direction"] };
    }
    case "tc": {
      const [, iface, direction, priority] =
        /^([^:]+):(ingress|egress)(?::(\d{1,5}))?$/.exec(rest) ?? wrong("tc:IFACE:ingress|egress[:PRIORITY]");
      const hook: TcHook = { kind, iface: iface!, direction: direction as TcHook["direction"] };
      return priority === undefined ? hook : { ...hook, priority: Number(priority) };
    }
    case "netkit": {
      const [, iface, end] = /^([^:]+):(primary|peer)$/.exec(rest) ?? wrong("netkit:IFACE:primary|peer");
      return { kind, iface: iface!, end: end as NetkitHook["end"] };
    }
    case "cgroup": {
      const [, path, type] = /^(.+):(\w+)$/.exec(rest) ?? wrong("cgroup:PATH:TYPE");
      if (!Object.hasOwn(CGROUP_HOOKS, type!)) wrong(`a type of ${Object.keys(CGROUP_HOOKS).join(", ")}`);
      return { kind, path: path!, type: type as CgroupHookType };
    }
    case "netns": {
      if (rest !== "flow_dissector" && rest !== "sk_lookup") return wrong("netns:flow_dissector|sk_lookup");
      return { kind, type: rest };
    }
    case "netfilter": {
      const [, family, point, priority] =
        /^(4|6):(\w+)(?::(-?\d+))?$/.exec(rest) ?? wrong("netfilter:4|6:POINT[:PRIORITY]");
      if (!(NETFILTER_POINTS as readonly string[]).includes(point!)) wrong(`a point of ${NETFILTER_POINTS.join(", ")}`);
      const hook: NetfilterHook = {
        kind,
        family: family === "4" ? 4 : 6,
        point: point as NetfilterHook["point"],
      };
      return priority === undefined ? hook : { ...hook, priority: Number(priority) };
    }
    case "lwt": {
      const [, prefix, direction] =
        /^(.+):(in|out|xmit|seg6local)$/.exec(rest) ?? wrong("lwt:PREFIX:in|out|xmit|seg6local");
      return { kind, prefix: prefix!, direction: direction as LwtHook["direction"] };
    }
    case "sockmap": {
      const [, map, type] = /^(.+):(\w+)$/.exec(rest) ?? wrong(`sockmap:MAP:${SOCKMAP_HOOKS.join("|")}`);
      const known = SOCKMAP_HOOKS.find((name) => name === type) ?? wrong(`a type of ${SOCKMAP_HOOKS.join(", ")}`);
      return { kind, map: { id: 0, spec: { name: map! } }, type: known };
    }
    case "raw_tp":
      return { kind, name: rest || wrong("raw_tp:NAME") };
    case "tracepoint": {
      const [, group, name] = /^([^:]+):([^:]+)$/.exec(rest) ?? wrong("tracepoint:GROUP:NAME");
      return { kind, group: group!, name: name! };
    }
    case "kprobe":
    case "kretprobe":
      return { kind, ...(parsePlace(rest) ?? wrong(`${kind}:FUNCTION[+OFFSET]`)) };
    case "ksyscall":
    case "kretsyscall":
      return { kind, syscall: rest || wrong(`${kind}:NAME`) };
    case "uprobe":
    case "uretprobe":
      return { kind, ...(parseFilePlace(rest) ?? wrong(`${kind}:PATH:FUNCTION[+OFFSET] or ${kind}:PATH:OFFSET`)) };
    case "kprobe_multi":
    case "kretprobe_multi":
    case "kprobe_session":
      return { kind, functions: /^[^,]+(,[^,]+)*$/.test(rest) ? rest.split(",") : wrong(`${kind}:FUNCTION,…`) };
    case "uprobe_multi":
    case "uretprobe_multi":
    case "uprobe_session":
      return { kind, ...(parseFilePlaces(rest) ?? wrong(`${kind}:PATH:PLACE,…, a place an offset or a function`)) };
    case "perf_event": {
      const [, event, period] = /^([\w-]+):([1-9]\d*)$/.exec(rest) ?? wrong("perf_event:EVENT:PERIOD");
      const known = PERF_EVENTS.find((name) => name === event) ?? wrong(`an event of ${PERF_EVENTS.join(", ")}`);
      return { kind, event: known, period: Number(period) };
    }
    case "trace":
      return rest ? { kind, target: rest } : { kind };
    case "freplace": {
      const [, program, name] = /^(.+):([^:]+)$/.exec(rest) ?? wrong("freplace:ID:FUNCTION or freplace:PIN:FUNCTION");
      return { kind, program: /^\d+$/.test(program!) ? Number(program) : program!, function: name! };
    }
    case "struct_ops":
      return { kind, name: rest || wrong("struct_ops:NAME") };
    default:
      return wrong(
        "xdp, tcx, netkit, tc, cgroup, netns, netfilter, lwt, sockmap, raw_tp, tracepoint, kprobe, uprobe, ksyscall, kprobe_multi, uprobe_multi, perf_event, trace, freplace or struct_ops, then :…",
      );
  }
}

/** Program types that a kind of hook takes; kinds that are not here leave the answer to the kernel. */
export const HOOK_PROG_TYPES: Readonly<Partial<Record<Hook["kind"], readonly number[]>>> = {
  xdp: [ProgType.BPF_PROG_TYPE_XDP],
  tcx: [ProgType.BPF_PROG_TYPE_SCHED_CLS],
  tc: [ProgType.BPF_PROG_TYPE_SCHED_CLS],
  netkit: [ProgType.BPF_PROG_TYPE_SCHED_CLS],
  netfilter: [ProgType.BPF_PROG_TYPE_NETFILTER],
  netns: [ProgType.BPF_PROG_TYPE_SK_LOOKUP, ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR],
  lwt: [
    ProgType.BPF_PROG_TYPE_LWT_IN,
    ProgType.BPF_PROG_TYPE_LWT_OUT,
    ProgType.BPF_PROG_TYPE_LWT_XMIT,
    ProgType.BPF_PROG_TYPE_LWT_SEG6LOCAL,
  ],
  sockmap: [ProgType.BPF_PROG_TYPE_SK_SKB, ProgType.BPF_PROG_TYPE_SK_MSG],
  raw_tp: [ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT, ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE],
  tracepoint: [ProgType.BPF_PROG_TYPE_TRACEPOINT],
  trace: [ProgType.BPF_PROG_TYPE_TRACING, ProgType.BPF_PROG_TYPE_LSM],
  freplace: [ProgType.BPF_PROG_TYPE_EXT],
  perf_event: [ProgType.BPF_PROG_TYPE_PERF_EVENT],
  kprobe: [ProgType.BPF_PROG_TYPE_KPROBE],
  kretprobe: [ProgType.BPF_PROG_TYPE_KPROBE],
  ksyscall: [ProgType.BPF_PROG_TYPE_KPROBE],
  kretsyscall: [ProgType.BPF_PROG_TYPE_KPROBE],
  uprobe: [ProgType.BPF_PROG_TYPE_KPROBE],
  uretprobe: [ProgType.BPF_PROG_TYPE_KPROBE],
  kprobe_multi: [ProgType.BPF_PROG_TYPE_KPROBE],
  kretprobe_multi: [ProgType.BPF_PROG_TYPE_KPROBE],
  kprobe_session: [ProgType.BPF_PROG_TYPE_KPROBE],
  uprobe_multi: [ProgType.BPF_PROG_TYPE_KPROBE],
  uretprobe_multi: [ProgType.BPF_PROG_TYPE_KPROBE],
  uprobe_session: [ProgType.BPF_PROG_TYPE_KPROBE],
};
