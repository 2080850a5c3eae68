/** XDP test runs: `xdp_md` in and out, metadata, packets that go on in fragments. Source: `bpf_prog_test_run_xdp`. */
import { concatBytes } from "../bytes/index.ts";
import { Errno } from "../errors/index.ts";
import type { TestRunResult } from "../object/index.ts";
import { XDP, XDP_FRAME_STRUCT, XDP_HEADROOM, XDP_PAGE, XDP_TAIL_RESERVED, XdpRing } from "../vm/index.ts";
import { checkFrame, ctxAfter, ctxOf, refuse, type TestRun, timed } from "./test-run.ts";

/** sizeof(struct xdp_md). */
const XDP_MD = 24;
/** What the headroom leaves beside the struct xdp_frame at its start. */
const MAX_METADATA = XDP_HEADROOM - XDP_FRAME_STRUCT;
/** Packets come from the loopback device unless the ctx says otherwise. */
const LOOPBACK = 1;
/** Data that one page holds beside its headroom and the skb_shared_info at its end. */
const PAGE_DATA = XDP_PAGE - XDP_HEADROOM - XDP_TAIL_RESERVED;
/** Source: MAX_SKB_FRAGS. */
const MAX_FRAGS = 17;

export function runXdp(run: TestRun): TestRunResult {
  const { packet, ctx } = run.input;
  checkFrame(packet);
  const md = ctx && xdpMd(ctxOf(ctx, XDP_MD), packet.length, run);
  const metadata = packet.subarray(0, md?.metadata ?? 0);
  const data = packet.subarray(metadata.length);
  const linear = Math.min(md?.linear ?? data.length, PAGE_DATA);
  const frags = Math.ceil((data.length - linear) / XDP_PAGE);
  if (frags > MAX_FRAGS) refuse(Errno.ENOMEM, `expected at most ${MAX_FRAGS} fragments, got ${frags}`);
  using ring = new XdpRing(run.machine.memory, 1, PAGE_DATA, frags);
  const at = ring.write(0, data, {
    ingressIfindex: md?.ingressIfindex || LOOPBACK,
    rxQueueIndex: md?.rxQueueIndex,
    metadata,
    linear,
  });
  const { verdict, durationNs } = timed(run, at);
  // The metadata is a part of what comes back.
  const after = concatBytes([ring.metadata(), ring.packet()]);
  const out = md && xdpMdAfter(md.given, ring.metadata().length, ring.linearLength());
  return { verdict, packet: after, ctx: out && ctxAfter(out), durationNs };
}

interface Given {
  readonly given: DataView;
  readonly metadata: number;
  readonly linear: number;
  readonly ingressIfindex: number;
  readonly rxQueueIndex: number;
}

/** What a given `xdp_md` asks for: data_meta, data and data_end are offsets into the input. */
function xdpMd(given: DataView, size: number, run: TestRun): Given {
  const word = (at: number): number => given.getUint32(at, true);
  const metadata = word(XDP.DATA);
  const end = word(XDP.DATA_END);
  if (word(XDP.DATA_META) !== 0) refuse(Errno.EINVAL, `ctx: data_meta must be 0, got ${word(XDP.DATA_META)}`);
  if (end > size) refuse(Errno.EINVAL, `ctx: data_end must be at most ${size}, got ${end}`);
  if (metadata > end || metadata % 4 || metadata > MAX_METADATA) {
    refuse(Errno.EINVAL, `ctx: data must be a multiple of 4 up to ${Math.min(end, MAX_METADATA)}, got ${metadata}`);
  }
  if (word(XDP.EGRESS_IFINDEX) !== 0) refuse(Errno.EINVAL, "ctx: egress_ifindex must be 0");
  const ingressIfindex = word(XDP.INGRESS_IFINDEX);
  const rxQueueIndex = word(XDP.RX_QUEUE_INDEX);
  if (!ingressIfindex && rxQueueIndex) refuse(Errno.EINVAL, "ctx: rx_queue_index needs an ingress_ifindex");
  if (ingressIfindex && !run.hasDevice(ingressIfindex)) refuse(Errno.ENODEV, `ctx: no device ${ingressIfindex}`);
  return { given, metadata, linear: end - metadata, ingressIfindex, rxQueueIndex };
}

function xdpMdAfter(given: DataView, metadata: number, linear: number): DataView {
  given.setUint32(XDP.DATA, metadata, true);
  given.setUint32(XDP.DATA_END, metadata + linear, true);
  return given;
}
