/**
 * XDP frames and their `xdp_md` in a machine's memory: write a packet, run programs on it, read the packet back.
 *
 * A frame's buffer is laid out as the kernel's test run does it: 256 bytes of headroom, the data, and 320 bytes at the
 * end of a 4096-byte page that data may not enter. Source: net/bpf/test_run.c 6.18 `bpf_prog_test_run_xdp`.
 */
import type { Memory } from "../../mem/index.ts";
import { XDP, XDP_HEADROOM, XDP_PAGE, XDP_TAIL_RESERVED } from "../layout.ts";

/** What a frame carries besides its bytes. */
export interface XdpMeta {
  readonly ingressIfindex?: number;
  readonly rxQueueIndex?: number;
  readonly egressIfindex?: number;
  /** Bytes before the packet that `data_meta` points to; a multiple of 4, at most 252. */
  readonly metadata?: Uint8Array;
}

/**
 * `count` frames with one ctx each, in a row (`XDP.STRIDE` apart), and a verdict a frame: the ring that the batch
 * interface of a program takes. Owns its memory until `close`.
 */
export class XdpRing {
  readonly count: number;
  /** Address of the first ctx. */
  readonly ctx: number;
  /** Address of the first of `count` 32-bit verdicts. */
  readonly verdicts: number;
  /** Bytes that one frame can hold, headroom not counted. */
  readonly capacity: number;
  readonly #memory: Memory;
  readonly #frames: number;
  readonly #frameSize: number;
  #open = true;

  /** @param capacity at least this many bytes of data a frame; the default is the kernel's page (3,520 bytes). */
  constructor(memory: Memory, count = 1, capacity = XDP_PAGE - XDP_HEADROOM - XDP_TAIL_RESERVED) {
    this.#memory = memory;
    this.count = count;
    this.capacity = capacity;
    this.#frameSize = (XDP_HEADROOM + capacity + XDP_TAIL_RESERVED + 63) & ~63;
    this.ctx = memory.alloc(count * (XDP.STRIDE + 4) + count * this.#frameSize, 64);
    this.#frames = this.ctx + count * XDP.STRIDE;
    this.verdicts = this.#frames + count * this.#frameSize;
  }

  /**
   * Puts a packet (copied) into a frame, at the start of its data area, and makes its ctx anew. Answers the ctx.
   * @throws RangeError for a frame that is not there, or more bytes than it holds.
   */
  write(index: number, packet: Uint8Array, meta: XdpMeta = {}): number {
    if (!(index >= 0 && index < this.count)) {
      throw new RangeError(`xdp ring: expected a frame from 0 to ${this.count - 1}, got ${index}`);
    }
    if (packet.length > this.capacity) {
      throw new RangeError(`xdp ring: expected at most ${this.capacity} bytes, got ${packet.length}`);
    }
    const { u8, view } = this.#memory;
    const start = this.#frames + index * this.#frameSize;
    const data = start + XDP_HEADROOM;
    const metadata = meta.metadata;
    // As after an allocation of the kernel's test run: what head adjusts uncover is zero.
    u8.fill(0, start, data);
    u8.set(packet, data);
    if (metadata) u8.set(metadata, data - metadata.length);
    const ctx = this.ctxAt(index);
    view.setUint32(ctx + XDP.DATA, data, true);
    view.setUint32(ctx + XDP.DATA_END, data + packet.length, true);
    view.setUint32(ctx + XDP.DATA_META, data - (metadata?.length ?? 0), true);
    view.setUint32(ctx + XDP.INGRESS_IFINDEX, meta.ingressIfindex ?? 0, true);
    view.setUint32(ctx + XDP.RX_QUEUE_INDEX, meta.rxQueueIndex ?? 0, true);
    view.setUint32(ctx + XDP.EGRESS_IFINDEX, meta.egressIfindex ?? 0, true);
    view.setUint32(ctx + XDP.HARD_START, start, true);
    view.setUint32(ctx + XDP.FRAME_SIZE, XDP_HEADROOM + this.capacity, true);
    view.setUint32(ctx + XDP.FRAGS, 0, true);
    view.setUint32(ctx + XDP.FRAG_LIST, 0, true);
    return ctx;
  }

  ctxAt(index: number): number {
    return this.ctx + index * XDP.STRIDE;
  }

  /** The packet as it is now: a view into the memory, valid until the memory grows or the frame is written again. */
  packet(index = 0): Uint8Array {
    const { view, u8 } = this.#memory;
    const ctx = this.ctxAt(index);
    return u8.subarray(view.getUint32(ctx + XDP.DATA, true), view.getUint32(ctx + XDP.DATA_END, true));
  }

  /** The metadata before the packet: a view, as `packet`. */
  metadata(index = 0): Uint8Array {
    const { view, u8 } = this.#memory;
    const ctx = this.ctxAt(index);
    return u8.subarray(view.getUint32(ctx + XDP.DATA_META, true), view.getUint32(ctx + XDP.DATA, true));
  }

  /** Verdict of a frame after a batch. */
  verdict(index: number): number {
    return this.#memory.view.getUint32(this.verdicts + index * 4, true);
  }

  close(): void {
    if (this.#open) this.#memory.free(this.ctx);
    this.#open = false;
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
