/**
 * One program on one packet, as BPF_PROG_TEST_RUN does it: no device, no verdict carried out. What the kernel refuses
 * with an errno is refused with the same one. Source: kernel 6.18 net/bpf/test_run.c.
 *
 * Has: XDP (with `xdp_md` in and out) and the skb types that see the link header (sched_cls, sched_act).
 */
import { concatBytes } from "../bytes/index.ts";
import { Errno, errnoName, SysError, UnsupportedError } from "../errors/index.ts";
import { ProgType, progTypeName, type TestRunInput, type TestRunResult } from "../object/index.ts";
import { type Machine, SkbBuffer, type VmProgram, XDP, XdpRing } from "../vm/index.ts";

const ETH_HLEN = 14;
/** sizeof(struct xdp_md). */
const XDP_MD = 24;
/** The most metadata that fits its length field, a multiple of 4. */
const MAX_METADATA = 252;
/** Data that one page holds beside its headroom and the skb_shared_info at its end. */
const PAGE_DATA = 3520;

export function testRun(machine: Machine, vm: VmProgram, input: TestRunInput): TestRunResult {
  if (input.packet.length < ETH_HLEN) {
    refuse(Errno.EINVAL, `expected a frame of at least ${ETH_HLEN} bytes, got ${input.packet.length}`);
  }
  switch (vm.spec.type) {
    case ProgType.BPF_PROG_TYPE_XDP:
      return runXdp(machine, vm, input);
    case ProgType.BPF_PROG_TYPE_SCHED_CLS:
    case ProgType.BPF_PROG_TYPE_SCHED_ACT:
      return runSkb(machine, vm, input);
    default:
      throw new UnsupportedError("test run", `sim cannot test-run programs of type ${progTypeName(vm.spec.type)} yet`);
  }
}

function runXdp(machine: Machine, vm: VmProgram, { packet, ctx, repeat = 1 }: TestRunInput): TestRunResult {
  const md = ctx && xdpMd(ctx, packet.length);
  const metadata = packet.subarray(0, md?.metadata ?? 0);
  const data = packet.subarray(metadata.length);
  using ring = new XdpRing(machine.memory, 1, Math.max(data.length, PAGE_DATA));
  const at = ring.write(0, data, { ingressIfindex: md?.ingressIfindex, rxQueueIndex: md?.rxQueueIndex, metadata });
  const { verdict, durationNs } = timed(vm, at, repeat);
  // The metadata is a part of what comes back.
  const after = concatBytes([ring.metadata(), ring.packet()]);
  return { verdict, packet: after, ctx: ctx && xdpMdAfter(ctx, ring.metadata().length, after.length), durationNs };
}

function runSkb(machine: Machine, vm: VmProgram, { packet, ctx, repeat = 1 }: TestRunInput): TestRunResult {
  if (ctx) throw new UnsupportedError("test run", "sim takes no __sk_buff for a test run yet");
  using skb = new SkbBuffer(machine.memory);
  const at = skb.write(packet, { ifindex: 1 });
  const { verdict, durationNs } = timed(vm, at, repeat);
  return { verdict, packet: skb.packet(), ctx: undefined, durationNs };
}

/** Runs on the same ctx each time: what a program does to the packet adds up, as in the kernel. */
function timed(vm: VmProgram, ctx: number, repeat: number): { verdict: number; durationNs: number } {
  const started = performance.now();
  let verdict = 0;
  for (let i = 0; i < repeat; i++) verdict = vm.run(ctx);
  return { verdict, durationNs: ((performance.now() - started) * 1e6) / Math.max(1, repeat) };
}

/** What a given `xdp_md` asks for: data_meta, data and data_end are offsets into the input. */
function xdpMd(ctx: Uint8Array, size: number): { metadata: number; ingressIfindex: number; rxQueueIndex: number } {
  const bytes = new Uint8Array(XDP_MD);
  bytes.set(ctx.subarray(0, XDP_MD));
  // Fields that this kernel does not know must be 0.
  if (ctx.subarray(XDP_MD).some((b) => b !== 0)) refuse(Errno.E2BIG, `ctx: expected at most ${XDP_MD} bytes`);
  const view = new DataView(bytes.buffer);
  const word = (at: number): number => view.getUint32(at, true);
  const metadata = word(XDP.DATA);
  if (word(XDP.DATA_META) !== 0) refuse(Errno.EINVAL, `ctx: data_meta must be 0, got ${word(XDP.DATA_META)}`);
  if (word(XDP.DATA_END) !== size) refuse(Errno.EINVAL, `ctx: data_end must be ${size}, got ${word(XDP.DATA_END)}`);
  if (metadata > size || metadata % 4 || metadata > MAX_METADATA) {
    refuse(Errno.EINVAL, `ctx: data must be a multiple of 4 up to ${MAX_METADATA}, got ${metadata}`);
  }
  if (word(XDP.EGRESS_IFINDEX) !== 0) refuse(Errno.EINVAL, "ctx: egress_ifindex must be 0");
  const ingressIfindex = word(XDP.INGRESS_IFINDEX);
  const rxQueueIndex = word(XDP.RX_QUEUE_INDEX);
  if (!ingressIfindex && rxQueueIndex) refuse(Errno.EINVAL, "ctx: rx_queue_index needs an ingress_ifindex");
  return { metadata, ingressIfindex, rxQueueIndex };
}

function xdpMdAfter(ctx: Uint8Array, metadata: number, size: number): Uint8Array {
  const out = ctx.slice();
  const view = new DataView(out.buffer);
  view.setUint32(XDP.DATA, metadata, true);
  view.setUint32(XDP.DATA_END, size, true);
  return out;
}

function refuse(errno: number, why: string): never {
  throw new SysError("test run", errno, errnoName(errno), why);
}
