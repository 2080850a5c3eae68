/**
 * Tables that a kernel can be asked for entry by entry, each entry a program of its own: every helper at every hook, with
 * arguments that fit it and with every type of map it may be given; and every access to every ctx.
 */
import { encode, type InsnInit, lddwImms } from "@ebplane/core/isa";
import {
  AttachType,
  BPF_F_NO_PREALLOC,
  ctxLayout,
  HELPERS,
  type Helper,
  helperById,
  type MapSpec,
  MapType,
  type ProgramSpec,
  ProgType,
  type Reloc,
} from "@ebplane/core/object";

export interface Entry {
  readonly name: string;
  readonly program: ProgramSpec;
  readonly license: string;
}

/** Program type, attach type, and flags where the hook is one for programs that sleep. */
const HOOKS: readonly (readonly [type: string, attach: string, flags?: number])[] = [
  ["SOCKET_FILTER", ""],
  ["SCHED_CLS", ""],
  ["SCHED_ACT", ""],
  ["XDP", ""],
  ["XDP", "XDP_DEVMAP"],
  ["XDP", "XDP_CPUMAP"],
  ["CGROUP_SKB", "CGROUP_INET_INGRESS"],
  ["CGROUP_SKB", "CGROUP_INET_EGRESS"],
  ["LWT_IN", ""],
  ["LWT_OUT", ""],
  ["LWT_XMIT", ""],
  ["LWT_SEG6LOCAL", ""],
  ["SOCK_OPS", ""],
  ["SK_SKB", ""],
  ["SK_MSG", ""],
  ["FLOW_DISSECTOR", ""],
  ["SK_REUSEPORT", "SK_REUSEPORT_SELECT"],
  ["SK_REUSEPORT", "SK_REUSEPORT_SELECT_OR_MIGRATE"],
  ["SK_LOOKUP", "SK_LOOKUP"],
  ...["INET_SOCK_CREATE", "INET_SOCK_RELEASE", "INET4_POST_BIND", "INET6_POST_BIND"].map(
    (at) => ["CGROUP_SOCK", `CGROUP_${at}`] as const,
  ),
  ...[
    ...["INET4_BIND", "INET6_BIND", "INET4_CONNECT", "INET6_CONNECT", "UNIX_CONNECT"],
    ...["INET4_GETPEERNAME", "INET6_GETPEERNAME", "UNIX_GETPEERNAME"],
    ...["INET4_GETSOCKNAME", "INET6_GETSOCKNAME", "UNIX_GETSOCKNAME"],
    ...["UDP4_SENDMSG", "UDP6_SENDMSG", "UNIX_SENDMSG", "UDP4_RECVMSG", "UDP6_RECVMSG", "UNIX_RECVMSG"],
  ].map((at) => ["CGROUP_SOCK_ADDR", `CGROUP_${at}`] as const),
  ["CGROUP_SOCKOPT", "CGROUP_SETSOCKOPT"],
  ["CGROUP_SOCKOPT", "CGROUP_GETSOCKOPT"],
  ["CGROUP_SYSCTL", "CGROUP_SYSCTL"],
  ["CGROUP_DEVICE", "CGROUP_DEVICE"],
  ["NETFILTER", "NETFILTER"],
  ["KPROBE", ""],
  ["TRACEPOINT", ""],
  ["PERF_EVENT", ""],
  ["RAW_TRACEPOINT", ""],
  ["RAW_TRACEPOINT_WRITABLE", ""],
  ["SYSCALL", "", 1 << 4],
];

const hooks = HOOKS.map(([type, attach, flags = 0]) => ({
  name: [type, attach].filter(Boolean).join("/").toLowerCase(),
  type: (ProgType as Record<string, number>)[`BPF_PROG_TYPE_${type}`]!,
  attachType: attach === "" ? 0 : (AttachType as Record<string, number>)[`BPF_${attach}`]!,
  flags,
}));
type Place = (typeof hooks)[number];

const special: Readonly<Record<string, Partial<MapSpec>>> = {
  ringbuf: { keySize: 0, valueSize: 0, maxEntries: 4096 },
  user_ringbuf: { keySize: 0, valueSize: 0, maxEntries: 4096 },
  queue: { keySize: 0 },
  stack: { keySize: 0 },
  bloom_filter: { keySize: 0 },
  lpm_trie: { keySize: 8, flags: BPF_F_NO_PREALLOC },
  stack_trace: { valueSize: 80 },
  cgroup_storage: { keySize: 8, maxEntries: 0 },
  percpu_cgroup_storage: { keySize: 8, maxEntries: 0 },
};
const REFERENCES =
  /^(prog_array|perf_event_array|cgroup_array|.*_of_maps|devmap.*|cpumap|xskmap|sockmap|sockhash|reuseport_.*)$/;

/** A map of each type that can be made by numbers alone. */
export const TABLE_MAPS: readonly MapSpec[] = Object.entries(MapType).flatMap(([full, type]): MapSpec[] => {
  const name = full.slice("BPF_MAP_TYPE_".length).toLowerCase();
  // Storages and struct_ops need BTF, an arena its pages, a map of maps the inner one.
  if (/^(unspec|struct_ops|arena|.*_of_maps|(sk|inode|task|cgrp)_storage)$/.test(name)) return [];
  const valueSize = REFERENCES.test(name) ? 4 : 8;
  return [{ name, type, keySize: 4, valueSize, maxEntries: 4, flags: 0, ...special[name] }];
});

const EXIT: InsnInit = { opcode: 0x95 };
const set = (dst: number, imm: number): InsnInit => ({ opcode: 0xb7, dst, imm });
const move = (dst: number, src: number): InsnInit => ({ opcode: 0xbf, dst, src });
const add = (dst: number, imm: number): InsnInit => ({ opcode: 0x07, dst, imm });

function programOf(place: Place, insns: readonly InsnInit[], relocs: readonly Reloc[] = []): ProgramSpec {
  const { type, attachType, flags } = place;
  return {
    name: "entry",
    section: "",
    type,
    attachType,
    flags,
    code: encode(insns),
    relocs,
    funcInfo: [],
    lineInfo: [],
  };
}

/** What a call of the helper looks like whose arguments are right as far as they can be made of ctx, map and stack. */
function callOf(helper: Helper, map: string | undefined): { insns: InsnInit[]; relocs: Reloc[] } {
  const insns: InsnInit[] = [move(6, 1), set(0, 0)];
  const relocs: Reloc[] = [];
  for (let at = -8; at >= -96; at -= 8) insns.push({ opcode: 0x7b, dst: 10, src: 0, off: at });
  helper.args.forEach((arg, i) => {
    const r = i + 1;
    if (arg.kind === "map" && map !== undefined) {
      // No helper takes two maps: every insn so far has one slot.
      relocs.push({ pc: insns.length, kind: "map", name: map });
      insns.push({ opcode: 0x18, dst: r, src: 1, ...lddwImms(0n) });
    } else if (arg.kind === "ctx") insns.push(move(r, 6));
    else if (arg.kind === "any" || arg.kind === "scalar") insns.push(set(r, 0));
    else if (arg.kind === "size" || arg.kind === "size0" || arg.kind === "allocSize") insns.push(set(r, 8));
    else if (arg.kind === "key") insns.push(move(r, 10), add(r, -8));
    else insns.push(move(r, 10), add(r, -96));
  });
  insns.push({ opcode: 0x85, imm: helper.id }, set(0, 1), EXIT);
  return { insns, relocs };
}

/** Every helper at every hook; those that take a map, with each type of map. */
export function* helperTable(): Generator<Entry> {
  for (const place of hooks) {
    for (const id of HELPERS.keys()) {
      const helper = helperById(id, place.type)!;
      const maps = helper.args.some(({ kind }) => kind === "map") ? TABLE_MAPS.map(({ name }) => name) : [undefined];
      for (const map of maps) {
        const { insns, relocs } = callOf(helper, map);
        const name = [place.name, helper.name, map].filter(Boolean).join(" ");
        yield { name, program: programOf(place, insns, relocs), license: "GPL" };
      }
    }
  }
}

const SIZES = [
  [1, 0x10],
  [2, 0x08],
  [4, 0x00],
  [8, 0x18],
] as const;

/** Loads and stores of 1 to 8 bytes over each ctx and a little around it. */
export function* ctxTable(): Generator<Entry> {
  for (const place of hooks) {
    const end = Math.min(ctxLayout(place.type, place.attachType)?.size ?? 200, 260) + 8;
    for (let off = -4; off < end; off++) {
      for (const [size, code] of SIZES) {
        if (size > 1 && off % 2 !== 0) continue;
        for (const [way, insns] of [
          ["load", [{ opcode: 0x61 | code, dst: 2, src: 1, off }]],
          ["signed", [{ opcode: 0x81 | code, dst: 2, src: 1, off }]],
          ["store", [set(2, 0), { opcode: 0x63 | code, dst: 1, src: 2, off }]],
          ["constant", [{ opcode: 0x62 | code, dst: 1, off }]],
        ] as const) {
          if ((way === "signed" && (size === 8 || off % 4 !== 0)) || (way === "constant" && off % 4 !== 0)) continue;
          const name = `${place.name} ${way} ${off}+${size}`;
          yield { name, program: programOf(place, [...insns, set(0, 1), EXIT]), license: "GPL" };
        }
      }
    }
  }
}
