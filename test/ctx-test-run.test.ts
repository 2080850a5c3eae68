/**
 * The ctx of every program type that the kernel has a test run for, field by field: a program copies each field that it
 * may read into a map, changes each that it may write, and sim's test run must show what the kernel's shows: fields,
 * verdict, packet, ctx afterwards, or the errno.
 */
import { toHex } from "@ebplane/core/bytes";
import { SysError } from "@ebplane/core/errors";
import {
  AttachType,
  ctxLayout,
  type ProgramSpec,
  ProgType,
  type Target,
  type TestRunInput,
} from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";
import { kernelBtf } from "../packages/linux/src/target/kernel-btf.ts";

const skip = kernelSkipReason();
const T = ProgType;

/** Which of the kernel's counters and addresses no two machines agree on. */
const VOLATILE = new Set(["napi_id"]);

interface Dump {
  readonly program: ProgramSpec;
  readonly names: readonly string[];
}

/** Reads every field, then writes `n + 1` to the n-th writable word. */
function dump(type: number, attachType: number, verdict: number, write: boolean, flags = 0): Dump {
  const layout = ctxLayout(type, attachType)!;
  const lines = [
    "r6 = r1",
    "*(u32 *)(r10 - 4) = 0",
    "r1 = map[out]",
    "r2 = r10",
    "r2 += -4",
    "call bpf_map_lookup_elem",
    "if r0 == 0 goto done",
  ];
  const names: string[] = [];
  const packets = layout.fields.filter((f) => f.value.startsWith("packet"));
  for (const field of layout.fields) {
    if (field.value !== "scalar" || !field.read || VOLATILE.has(field.name)) continue;
    const width = [8, 4, 2, 1].find((w) => field.read & w && w <= field.size)!;
    for (let at = 0; at + width <= field.size; at += width) {
      lines.push(`r1 = *(u${width * 8} *)(r6 + ${field.offset + at})`, `*(u64 *)(r0 + ${names.length * 8}) = r1`);
      names.push(`${field.name}${field.size > width ? `+${at}` : ""}`);
    }
  }
  const data = packets.find((f) => f.value === "packet");
  const end = packets.find((f) => f.value === "packetEnd");
  if (data && end) {
    const load = (to: string, f: typeof data): string => `${to} = *(u${f.size * 8} *)(r6 + ${f.offset})`;
    lines.push(load("r1", data), load("r2", end), "r2 -= r1", `*(u64 *)(r0 + ${names.length * 8}) = r2`);
    names.push("data_end - data");
  }
  let n = 1;
  for (const field of write ? layout.fields : []) {
    const width = [4, 8].find((w) => field.write & w);
    if (!width) continue;
    for (let at = 0; at + width <= field.size; at += width, n++) {
      lines.push(`r1 = ${n}`, `*(u${width * 8} *)(r6 + ${field.offset + at}) = r1`);
    }
  }
  lines.push("done:", `r0 = ${verdict}`, "exit");
  return { program: asmProgram("p", type, lines.join("\n"), { attachType, flags }), names };
}

function outcome(target: Target, { program, names }: Dump, input: TestRunInput): string[] {
  using live = target.load(collectionOf([program], [arrayMap("out", 1, { valueSize: Math.max(8, names.length * 8) })]));
  try {
    const { verdict, packet, ctx } = live.programs.get("p")!.testRun(input);
    const value = live.maps.get("out")!.lookup(new Uint8Array(4))!;
    const view = new DataView(value.buffer, value.byteOffset);
    return [
      ...names.map((name, i) => `${name} ${view.getBigUint64(i * 8, true)}`),
      `verdict ${verdict}`,
      `packet ${toHex(packet)}`,
      `ctx ${ctx ? toHex(ctx) : ""}`,
    ];
  } catch (e) {
    if (!(e instanceof SysError)) throw e;
    return [e.code];
  }
}

function frame(dst: string, type: number, rest: readonly number[]): Uint8Array {
  return Uint8Array.from([...Buffer.from(dst, "hex"), 2, 0, 0, 0, 0, 2, type >> 8, type & 255, ...rest]);
}

/** Words at byte offsets of a zeroed struct. */
function struct(size: number, words: Readonly<Record<number, number>>): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  for (const [at, word] of Object.entries(words)) view.setUint32(Number(at), word, true);
  return new Uint8Array(view.buffer);
}

const IPV4 = frame("000000000000", 0x800, [
  0x45,
  0,
  0,
  40,
  0,
  0,
  0,
  0,
  64,
  6,
  0,
  0,
  10,
  1,
  2,
  3,
  10,
  4,
  5,
  6,
  ...Array(20).fill(7),
]);
const IPV6 = frame("333300000001", 0x86dd, [0x60, 0, 0, 0, 0, 20, 6, 64, ...Array.from({ length: 52 }, (_, i) => i)]);
const SKB_INPUTS: readonly [string, TestRunInput][] = [
  ["IPv4", { packet: IPV4 }],
  ["IPv6 to a group", { packet: IPV6 }],
  ["a broadcast", { packet: frame("ffffffffffff", 0x806, [1, 2, 3]) }],
  ["another host's", { packet: frame("020000000001", 0x1234, [1, 2, 3, 4]) }],
  ["a length for an EtherType", { packet: frame("020000000001", 60, [0xff, 0xff, 3, 4]) }],
  ["IPv4 without its header", { packet: frame("000000000000", 0x800, [0x45, 0]) }],
  ["IPv6 without its header", { packet: frame("000000000000", 0x86dd, [0x60, 0]) }],
  ["the shortest", { packet: new Uint8Array(14) }],
  ["one too short", { packet: new Uint8Array(13) }],
  ["the longest", { packet: new Uint8Array(3712) }],
  ["one too long", { packet: new Uint8Array(3713) }],
  ["an empty ctx", { packet: IPV4, ctx: new Uint8Array(0) }],
  ["a ctx of zeros", { packet: IPV4, ctx: struct(192, {}) }],
  ["a short ctx", { packet: IPV4, ctx: struct(12, { 8: 77 }) }],
  ["a long ctx", { packet: IPV4, ctx: struct(200, { 8: 77 }) }],
  ["a ctx beyond what is known", { packet: IPV4, ctx: struct(200, { 196: 1 }) }],
  [
    "every field that a ctx may set",
    {
      packet: IPV4,
      ctx: struct(192, {
        8: 1,
        32: 2,
        36: 3,
        40: 1,
        48: 4,
        52: 5,
        56: 6,
        60: 7,
        64: 8,
        152: 9,
        156: 10,
        160: 500,
        164: 11,
        176: 12,
        184: 13,
      }),
    },
  ],
  ...(
    [0, 4, 12, 16, 20, 24, 28, 44, 68, 72, 76, 80, 84, 88, 92, 96, 100, 116, 132, 136, 140, 144, 168, 172, 180] as const
  ).map((at): [string, TestRunInput] => [
    `a ctx that sets byte ${at}`,
    { packet: IPV4, ctx: struct(192, { [at]: 1 }) },
  ]),
  ["no such device", { packet: IPV4, ctx: struct(192, { 40: 4000 }) }],
  ["wire_len below the packet", { packet: IPV4, ctx: struct(192, { 160: 20 }) }],
  ["wire_len of the packet without its link header", { packet: IPV4, ctx: struct(192, { 160: 40 }) }],
  ["the largest wire_len", { packet: IPV4, ctx: struct(192, { 160: 65536 }) }],
  ["wire_len too large", { packet: IPV4, ctx: struct(192, { 160: 65537 }) }],
  ["gso_segs too large", { packet: IPV4, ctx: struct(192, { 164: 65536 }) }],
  ["gso_size of more than 16 bits", { packet: IPV4, ctx: struct(192, { 176: 65537 }) }],
];

const md = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);
const big = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i * 7 + (i >> 8));
const XDP_INPUTS: readonly [string, TestRunInput][] = [
  ["a packet", { packet: IPV4 }],
  ["a packet of a page", { packet: big(3520) }],
  ["a packet of more than a page", { packet: big(3521) }],
  ["a jumbo", { packet: big(9000) }],
  ["the longest", { packet: big(3520 + 17 * 4096) }],
  ["one too long", { packet: big(3521 + 17 * 4096) }],
  ["a ctx of zeros", { packet: IPV4, ctx: md(0, 0, 0, 0, 0, 0) }],
  ["a ctx", { packet: IPV4, ctx: md(0, 54, 0, 1, 0, 0) }],
  ["a ctx with a queue", { packet: IPV4, ctx: md(0, 54, 0, 1, 0, 0) }],
  ["metadata", { packet: IPV4, ctx: md(8, 54, 0, 0, 0, 0) }],
  ["metadata and nothing else", { packet: IPV4, ctx: md(8, 8, 0, 0, 0, 0) }],
  ["metadata beyond the linear part", { packet: IPV4, ctx: md(12, 8, 0, 0, 0, 0) }],
  ["as much metadata as there may be", { packet: big(600), ctx: md(216, 600, 0, 0, 0, 0) }],
  ["too much metadata", { packet: big(600), ctx: md(220, 600, 0, 0, 0, 0) }],
  ["a short linear part", { packet: big(9000), ctx: md(0, 100, 0, 0, 0, 0) }],
  ["a linear part below a link header", { packet: big(100), ctx: md(0, 10, 0, 0, 0, 0) }],
  ["metadata and a short linear part", { packet: big(9000), ctx: md(8, 100, 0, 0, 0, 0) }],
  ["metadata and a page", { packet: big(9000), ctx: md(8, 9000, 0, 0, 0, 0) }],
  ["metadata and a page less its metadata", { packet: big(9000), ctx: md(8, 3520, 0, 0, 0, 0) }],
  ["a linear part longer than the packet", { packet: big(100), ctx: md(0, 101, 0, 0, 0, 0) }],
  ["a short ctx", { packet: IPV4, ctx: md(0, 54) }],
  ["no such device", { packet: IPV4, ctx: md(0, 54, 0, 4000, 0, 0) }],
];

const lookup = (words: Readonly<Record<number, number>>, size = 72): TestRunInput => ({
  packet: new Uint8Array(0),
  ctx: struct(size, words),
});
const LOOKUP_INPUTS: readonly [string, TestRunInput][] = [
  ["IPv4", lookup({ 8: 2, 12: 6, 16: 0x0100007f, 20: 5, 36: 0x5000, 40: 0x0200007f, 44: 6, 60: 8080 })],
  [
    "IPv6",
    lookup({
      8: 10,
      12: 17,
      16: 5,
      20: 1,
      24: 2,
      28: 3,
      32: 4,
      36: 0x5000,
      40: 6,
      44: 5,
      48: 6,
      52: 7,
      56: 8,
      60: 65535,
    }),
  ],
  ["more than 16 bits", lookup({ 8: 0x10002, 12: 0x20006, 36: 0x39999, 60: 1 })],
  ["no family", lookup({})],
  ["a port too large", lookup({ 8: 2, 60: 65536 })],
  ["a cookie", lookup({ 0: 1, 8: 2 })],
  ["an ifindex", lookup({ 8: 2, 64: 1 })],
  ["a short ctx", lookup({ 8: 2 }, 16)],
  ["a long ctx", lookup({ 8: 2, 76: 1 }, 80)],
  ["a packet", { packet: IPV4, ctx: struct(72, { 8: 2 }) }],
  ["no ctx", { packet: new Uint8Array(0) }],
];

const TYPES: readonly [
  name: string,
  type: number,
  attach: number,
  verdict: number,
  flags: number,
  typeof SKB_INPUTS,
][] = [
  ["sched_cls", T.BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, SKB_INPUTS],
  ["sched_act", T.BPF_PROG_TYPE_SCHED_ACT, 0, 0, 0, SKB_INPUTS.slice(0, 3)],
  ["socket_filter", T.BPF_PROG_TYPE_SOCKET_FILTER, 0, 1, 0, SKB_INPUTS],
  ["cgroup_skb", T.BPF_PROG_TYPE_CGROUP_SKB, AttachType.BPF_CGROUP_INET_INGRESS, 1, 0, SKB_INPUTS],
  ["lwt_in", T.BPF_PROG_TYPE_LWT_IN, 0, 0, 0, SKB_INPUTS],
  ["lwt_out", T.BPF_PROG_TYPE_LWT_OUT, 0, 0, 0, SKB_INPUTS.slice(0, 3)],
  ["lwt_xmit", T.BPF_PROG_TYPE_LWT_XMIT, 0, 0, 0, SKB_INPUTS.slice(0, 3)],
  ["xdp", T.BPF_PROG_TYPE_XDP, 0, 2, 0, XDP_INPUTS],
  ["xdp with fragments", T.BPF_PROG_TYPE_XDP, 0, 2, 1 << 5, XDP_INPUTS],
  ["sk_lookup", T.BPF_PROG_TYPE_SK_LOOKUP, AttachType.BPF_SK_LOOKUP, 1, 0, LOOKUP_INPUTS],
];

describe.skipIf(skip).each(TYPES)(
  `the ctx of %s${skip ? ` (skipped: ${skip})` : ""}`,
  (_, type, attach, verdict, flags, inputs) => {
    const programs = [dump(type, attach, verdict, false, flags), dump(type, attach, verdict, true, flags)];

    test.each(inputs)("%s", (_, input) => {
      for (const program of programs) {
        const kernel = outcome(linuxTarget(), program, input);
        for (const engine of ["interp", "jit"] as const) {
          expect(outcome(new SimTarget({ engine }), program, input), engine).toEqual(kernel);
        }
      }
    });
  },
);

/** Programs that read and write what the generic ones cannot: flow keys behind a pointer, arguments without a layout. */
const FLOW = `
r6 = *(u64 *)(r1 + 144)
r2 = *(u32 *)(r1 + 76)
r3 = *(u32 *)(r1 + 80)
r3 -= r2
r4 = *(u16 *)(r6 + 0)
*(u16 *)(r6 + 12) = r4
r4 = *(u16 *)(r6 + 2)
*(u16 *)(r6 + 14) = r4
r4 = *(u16 *)(r6 + 10)
*(u16 *)(r6 + 4) = r4
*(u32 *)(r6 + 16) = r3
r4 = *(u32 *)(r6 + 48)
*(u32 *)(r6 + 20) = r4
*(u16 *)(r6 + 0) = NHOFF
*(u16 *)(r6 + 2) = THOFF
r2 = 0
r3 = r10
r3 += -8
r4 = 4
call bpf_skb_load_bytes
*(u32 *)(r6 + 24) = r0
r4 = *(u32 *)(r10 - 8)
*(u32 *)(r6 + 28) = r4
r0 = 129
exit`;
const flow = (nhoff: number, thoff: number): ProgramSpec =>
  asmProgram("p", T.BPF_PROG_TYPE_FLOW_DISSECTOR, FLOW.replace("NHOFF", `${nhoff}`).replace("THOFF", `${thoff}`), {
    attachType: AttachType.BPF_FLOW_DISSECTOR,
  });
const SUM = "r0 = *(u64 *)(r1 + 0)\nr2 = *(u64 *)(r1 + 8)\nr0 += r2\nexit";
const SYSCALL = "r0 = *(u64 *)(r1 + 0)\n*(u32 *)(r1 + 4) = 7\nr0 += 1\nexit";
const syscall = asmProgram("p", T.BPF_PROG_TYPE_SYSCALL, SYSCALL, { flags: 1 << 4 });
const rawTp = asmProgram("p", T.BPF_PROG_TYPE_RAW_TRACEPOINT, SUM);
const still = (type: number, flags = 0): ProgramSpec => asmProgram("p", type, "r0 = 3\nexit", { flags });
const sometimes = asmProgram(
  "p",
  T.BPF_PROG_TYPE_RAW_TRACEPOINT,
  "r0 = *(u64 *)(r1 + 0)\nif r0 == 5 goto out\nr0 = *(u64 *)(r1 + 40)\nout:\nexit",
);
const DYNPTR =
  "r2 = 0\nr3 = r10\nr3 += -16\ncall kfunc[bpf_dynptr_from_skb]\nr1 = r10\nr1 += -16\ncall kfunc[bpf_dynptr_is_rdonly]\nr0 &= 1\nexit";
const writable = (type: number, attachType = 0): ProgramSpec => asmProgram("p", type, DYNPTR, { attachType });
const nothing = new Uint8Array(0);
const OTHERS: readonly [string, ProgramSpec, TestRunInput][] = [
  ["flow keys", flow(14, 34), { packet: IPV4 }],
  ["flow keys beyond the packet", flow(100, 2000), { packet: IPV4 }],
  ["flow keys before the packet", flow(3, 2), { packet: IPV4 }],
  ["flow keys out of order", flow(40, 20), { packet: IPV4 }],
  ["flow keys, repeated", flow(14, 34), { packet: IPV4, repeat: 3 }],
  ["flow keys with flags", flow(14, 34), { packet: IPV4, ctx: struct(56, { 48: 5 }) }],
  ["flow keys with a field set", flow(14, 34), { packet: IPV4, ctx: struct(56, { 4: 5 }) }],
  ["flow keys with a label", flow(14, 34), { packet: IPV4, ctx: struct(56, { 52: 5 }) }],
  ["flow keys of too short a frame", flow(14, 34), { packet: IPV4.subarray(0, 13) }],
  ["flow keys of the longest frame", flow(14, 34), { packet: big(4096) }],
  ["flow keys of a longer frame", flow(14, 34), { packet: big(4097) }],
  ["a packet's dynptr at tc", writable(T.BPF_PROG_TYPE_SCHED_CLS), { packet: IPV4 }],
  ["a packet's dynptr in a cgroup", writable(T.BPF_PROG_TYPE_CGROUP_SKB), { packet: IPV4 }],
  ["a packet's dynptr in a socket filter", writable(T.BPF_PROG_TYPE_SOCKET_FILTER), { packet: IPV4 }],
  ["a packet's dynptr before a route", writable(T.BPF_PROG_TYPE_LWT_IN), { packet: IPV4 }],
  ["a packet's dynptr after a route", writable(T.BPF_PROG_TYPE_LWT_XMIT), { packet: IPV4 }],
  ["a raw tracepoint", rawTp, { packet: nothing, ctx: struct(16, { 0: 5, 8: 6 }) }],
  ["a raw tracepoint with a packet", rawTp, { packet: IPV4, ctx: struct(16, { 0: 5, 8: 6 }) }],
  ["a raw tracepoint with 13 arguments", rawTp, { packet: nothing, ctx: struct(104, { 0: 5 }) }],
  ["a raw tracepoint, repeated", rawTp, { packet: nothing, ctx: struct(16, { 0: 5 }), repeat: 2 }],
  ["a raw tracepoint that reaches beyond its ctx", rawTp, { packet: nothing, ctx: struct(12, { 0: 5 }) }],
  ["a raw tracepoint without its ctx", rawTp, { packet: nothing }],
  ["a raw tracepoint that reaches nothing", still(T.BPF_PROG_TYPE_RAW_TRACEPOINT), { packet: nothing }],
  ["a raw tracepoint that reaches further on one path", sometimes, { packet: nothing, ctx: struct(16, { 0: 5 }) }],
  ["the same with all that it may reach", sometimes, { packet: nothing, ctx: struct(48, { 0: 5 }) }],
  ["a syscall program that writes beyond its ctx", syscall, { packet: nothing, ctx: struct(4, { 0: 5 }) }],
  ["a syscall program whose ctx ends where its reach does", syscall, { packet: nothing, ctx: struct(8, { 0: 5 }) }],
  ["a syscall program without its ctx", syscall, { packet: nothing }],
  ["a syscall program that reaches nothing", still(T.BPF_PROG_TYPE_SYSCALL, 1 << 4), { packet: nothing }],
  ["a syscall program", syscall, { packet: nothing, ctx: struct(16, { 0: 5 }) }],
  ["a syscall program with a packet", syscall, { packet: IPV4, ctx: struct(16, { 0: 5 }) }],
];

test.skipIf(skip).each(OTHERS)(`%s${skip ? ` (skipped: ${skip})` : ""}`, (_, program, input) => {
  const kernel = outcome(linuxTarget(), { program, names: [] }, input);
  for (const engine of ["interp", "jit"] as const) {
    expect(outcome(new SimTarget({ engine }), { program, names: [] }, input), engine).toEqual(kernel);
  }
});

const NETFILTER = `
r6 = r1
r7 = *(u64 *)(r6 + 0)
r8 = *(u8 *)(r7 + 0)
r9 = *(u8 *)(r7 + 1)
r8 <<= 8
r8 |= r9
r1 = *(u64 *)(r7 + 8)
if r1 == 0 goto noin
r8 |= 65536
noin:
r1 = *(u64 *)(r7 + 16)
if r1 == 0 goto noout
r8 |= 131072
noout:
r1 = *(u64 *)(r7 + 32)
if r1 == 0 goto nonet
r8 |= 262144
nonet:
r1 = *(u64 *)(r6 + 8)
r2 = 0
r3 = r10
r3 += -16
call kfunc[bpf_dynptr_from_skb]
r1 = r10
r1 += -16
call kfunc[bpf_dynptr_size]
r9 = r0
r1 = r10
r1 += -16
call kfunc[bpf_dynptr_is_rdonly]
r9 <<= 8
r9 |= r0
*(u64 *)(r10 - 24) = 0
r1 = r10
r1 += -24
r2 = 8
r3 = r10
r3 += -16
r4 = 3
r5 = 0
call bpf_dynptr_read
r1 = r10
r1 += -16
r2 = 1
r3 = r10
r3 += -24
r4 = 4
r5 = 0
call bpf_dynptr_write
r9 <<= 8
r0 &= 255
r9 |= r0
*(u32 *)(r10 - 28) = 0
r1 = map[out]
r2 = r10
r2 += -28
call bpf_map_lookup_elem
if r0 == 0 goto done
*(u64 *)(r0 + 0) = r8
*(u64 *)(r0 + 8) = r9
r1 = *(u64 *)(r10 - 24)
*(u64 *)(r0 + 16) = r1
done:
r0 = 1
exit`;
const filter: Dump = {
  program: asmProgram("p", T.BPF_PROG_TYPE_NETFILTER, NETFILTER, { attachType: AttachType.BPF_NETFILTER }),
  names: ["state", "dynptr", "bytes"],
};
const hook = (n: number, pf: number, size = 48): Uint8Array => struct(size, { 0: n | (pf << 8) });
const FILTERED: readonly [string, TestRunInput][] = [
  ["no ctx", { packet: IPV4 }],
  ["the shortest", { packet: big(20) }],
  ["one too short", { packet: big(19) }],
  ["the longest", { packet: big(3712) }],
  ["one too long", { packet: big(3713) }],
  ...[0, 1, 2, 3, 4, 5, 255].flatMap((n): [string, TestRunInput][] => [
    [`IPv4 at hook ${n}`, { packet: IPV4, ctx: hook(n, 2), repeat: 2 }],
    [`IPv6 at hook ${n}`, { packet: IPV6, ctx: hook(n, 10) }],
  ]),
  ["IPv4 for IPv6", { packet: IPV4, ctx: hook(0, 10) }],
  ["IPv6 for IPv4", { packet: IPV6, ctx: hook(0, 2) }],
  ["IPv6 sent as IPv4", { packet: IPV6, ctx: hook(3, 2) }],
  ["IPv6 without its header", { packet: IPV6.subarray(0, 53), ctx: hook(0, 10) }],
  ["IPv4 without its header", { packet: IPV4.subarray(0, 33), ctx: hook(0, 2) }],
  ["neither", { packet: frame("000000000000", 0x806, Array(40).fill(1)), ctx: hook(0, 2) }],
  ["a family that has no hooks", { packet: IPV4, ctx: hook(0, 7) }],
  ["a ctx of zeros", { packet: IPV4, ctx: hook(0, 0) }],
  ["a short ctx", { packet: IPV4, ctx: hook(4, 2, 4) }],
  ["a long ctx", { packet: IPV4, ctx: hook(4, 2, 64) }],
  ["a ctx beyond what is known", { packet: IPV4, ctx: struct(56, { 0: 0x204, 52: 1 }) }],
  ...[8, 16, 24, 32, 40].map((at): [string, TestRunInput] => [
    `a ctx that sets byte ${at}`,
    { packet: IPV4, ctx: struct(48, { 0: 0x204, [at]: 1 }) },
  ]),
];

test.skipIf(skip).each(FILTERED)(`netfilter: %s${skip ? ` (skipped: ${skip})` : ""}`, (_, input) => {
  const kernel = outcome(linuxTarget(), filter, input);
  for (const engine of ["interp", "jit"] as const) {
    expect(outcome(new SimTarget({ engine, kernelBtf }), filter, input), engine).toEqual(kernel);
  }
});

test.skipIf(skip)(`netfilter: what is only in the kernel is refused${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const text = "r1 = *(u64 *)(r1 + 8)\nr0 = *(u64 *)(r1 + 0)\nr0 = 1\nexit";
  const program = asmProgram("p", T.BPF_PROG_TYPE_NETFILTER, text, { attachType: AttachType.BPF_NETFILTER });
  expect(() => outcome(new SimTarget({ kernelBtf }), { program, names: [] }, { packet: IPV4 })).toThrow(
    "program p reads struct sk_buff of the kernel: there is none in userspace",
  );
});
