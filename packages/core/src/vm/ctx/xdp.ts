/**
 * XDP frames and their `xdp_md` in a machine's memory: write a packet, run programs on it, read the packet back.
 *
 * A frame's buffer is laid out as the kernel's test run does it: 256 bytes of headroom, the data, and 320 bytes at the
 * end of a 4096-byte page that data may not enter. Source: net/bpf/test_run.c 6.18 `bpf_prog_test_run_xdp`.
 */
import { concatBytes, FrameCopier } from "../../bytes/index.ts";
import type { Memory } from "../../mem/index.ts";
import { FRAG, XDP, XDP_HEADROOM, XDP_HINT, XDP_PAGE, XDP_TAIL_RESERVED } from "../layout.ts";

/** What a frame carries besides its bytes. */
export interface XdpMeta {
  readonly ingressIfindex?: number;
  readonly rxQueueIndex?: number;
  readonly egressIfindex?: number;
  /** Bytes before the packet that `data_meta` points to; a multiple of 4, at most 252. */
  readonly metadata?: Uint8Array;
  /** Bytes that are linear, where the packet goes on in fragments. Default as many as fit. */
  readonly linear?: number;
  /** What the device says of the frame; kfuncs answer ENODATA for what is left out, EOPNOTSUPP without any. */
  readonly hints?: XdpHints;
}

export interface XdpHints {
  readonly timestamp?: bigint;
  /** `type` is an enum xdp_rss_hash_type. */
  readonly hash?: { readonly value: number; readonly type: number };
  /** `proto` in host order. */
  readonly vlan?: { readonly proto: number; readonly tci: number };
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
  readonly #maxFrags: number;
  /** Fragment lists and pages of all frames. */
  readonly #frags: number;
  readonly #copier = new FrameCopier();
  #open = true;

  /**
   * @param capacity bytes of linear data a frame holds; the default is the kernel's page (3,520 bytes).
   * @param maxFrags pages of 4,096 bytes that a longer packet may go on in, for programs that take fragments.
   */
  constructor(memory: Memory, count = 1, capacity = XDP_PAGE - XDP_HEADROOM - XDP_TAIL_RESERVED, maxFrags = 0) {
    this.#memory = memory;
    this.count = count;
    this.capacity = capacity;
    this.#maxFrags = maxFrags;
    this.#frameSize = (XDP_HEADROOM + capacity + XDP_TAIL_RESERVED + 63) & ~63;
    const fragBytes = maxFrags * (FRAG.SIZE + XDP_PAGE);
    this.ctx = memory.alloc(count * (XDP.STRIDE + 4 + this.#frameSize + fragBytes), 64);
    this.#frames = this.ctx + count * XDP.STRIDE;
    this.verdicts = this.#frames + count * this.#frameSize;
    this.#frags = this.verdicts + count * 4;
  }

  /**
   * Puts a packet (copied) into a frame, at the start of its data area, and makes its ctx anew. Answers the ctx.
   * @throws RangeError for a frame that is not there, or more bytes than it holds.
   */
  write(index: number, packet: Uint8Array, meta: XdpMeta = {}): number {
    if (!(index >= 0 && index < this.count)) {
      throw new RangeError(`xdp ring: expected a frame from 0 to ${this.count - 1}, got ${index}`);
    }
    const room = this.capacity + this.#maxFrags * XDP_PAGE;
    if (packet.length > room) throw new RangeError(`xdp ring: expected at most ${room} bytes, got ${packet.length}`);
    const linear = Math.min(packet.length, this.capacity, meta.linear ?? packet.length);
    if (packet.length - linear > this.#maxFrags * XDP_PAGE) {
      const pages = `${this.#maxFrags} fragments`;
      throw new RangeError(`xdp ring: expected at most ${pages}, got ${packet.length - linear} bytes for them`);
    }
    const { u8, view } = this.#memory;
    const start = this.#frames + index * this.#frameSize;
    const data = start + XDP_HEADROOM;
    const metadata = meta.metadata;
    // As after an allocation of the kernel's test run: what head adjusts uncover is zero.
    u8.fill(0, start, data);
    u8.set(linear < packet.length ? packet.subarray(0, linear) : packet, data);
    if (metadata) u8.set(metadata, data - metadata.length);
    const ctx = this.ctxAt(index);
    view.setUint32(ctx + XDP.DATA, data, true);
    view.setUint32(ctx + XDP.DATA_END, data + linear, true);
    view.setUint32(ctx + XDP.DATA_META, data - (metadata?.length ?? 0), true);
    view.setUint32(ctx + XDP.INGRESS_IFINDEX, meta.ingressIfindex ?? 0, true);
    view.setUint32(ctx + XDP.RX_QUEUE_INDEX, meta.rxQueueIndex ?? 0, true);
    view.setUint32(ctx + XDP.EGRESS_IFINDEX, meta.egressIfindex ?? 0, true);
    view.setUint32(ctx + XDP.HARD_START, start, true);
    view.setUint32(ctx + XDP.FRAME_SIZE, XDP_HEADROOM + this.capacity, true);
    view.setUint32(ctx + XDP.FRAGS, 0, true);
    view.setUint32(ctx + XDP.FRAG_LIST, 0, true);
    view.setUint32(ctx + XDP.HINTS, 0, true);
    if (meta.hints) this.#writeHints(ctx, meta.hints);
    if (linear < packet.length) this.#writeFrags(index, ctx, packet.subarray(linear));
    return ctx;
  }

  /**
   * `write` for live traffic: the packet is named by its place in other memory, nothing is made for it, and headroom keeps
   * what was there before, as in a driver's ring. Answers the ctx.
   * @throws RangeError for more bytes than a frame holds.
   */
  copyIn(
    index: number,
    from: Uint8Array,
    at: number,
    length: number,
    ingressIfindex: number,
    rxQueueIndex = 0,
  ): number {
    if (length > this.capacity)
      throw new RangeError(`xdp ring: expected at most ${this.capacity} bytes, got ${length}`);
    const start = this.#frames + index * this.#frameSize;
    const data = start + XDP_HEADROOM;
    const ctx = this.ctxAt(index);
    const { u8, u32: words } = this.#memory;
    this.#copier.copy(u8, data, from, at, length);
    const w = ctx >> 2;
    words[w + (XDP.DATA >> 2)] = data;
    words[w + (XDP.DATA_END >> 2)] = data + length;
    words[w + (XDP.DATA_META >> 2)] = data;
    words[w + (XDP.INGRESS_IFINDEX >> 2)] = ingressIfindex;
    words[w + (XDP.RX_QUEUE_INDEX >> 2)] = rxQueueIndex;
    words[w + (XDP.EGRESS_IFINDEX >> 2)] = 0;
    words[w + (XDP.HARD_START >> 2)] = start;
    words[w + (XDP.FRAME_SIZE >> 2)] = XDP_HEADROOM + this.capacity;
    words[w + (XDP.FRAGS >> 2)] = 0;
    words[w + (XDP.FRAG_LIST >> 2)] = 0;
    words[w + (XDP.HINTS >> 2)] = 0;
    return ctx;
  }

  /** Address of a frame's first byte as the program left it. */
  dataAt(index: number): number {
    return this.#memory.u32[(this.ctxAt(index) + XDP.DATA) >>> 2]!;
  }

  #writeHints(ctx: number, { timestamp, hash, vlan }: XdpHints): void {
    const { view } = this.#memory;
    let bits: number = XDP_HINT.ANY;
    if (timestamp !== undefined) {
      bits |= XDP_HINT.TIMESTAMP;
      view.setBigUint64(ctx + XDP.HINT_TIMESTAMP, timestamp, true);
    }
    if (hash) {
      bits |= XDP_HINT.HASH;
      view.setUint32(ctx + XDP.HINT_HASH, hash.value, true);
      view.setUint32(ctx + XDP.HINT_HASH_TYPE, hash.type, true);
    }
    if (vlan) {
      bits |= XDP_HINT.VLAN;
      view.setUint16(ctx + XDP.HINT_VLAN, vlan.proto, false);
      view.setUint16(ctx + XDP.HINT_VLAN + 2, vlan.tci, true);
    }
    view.setUint32(ctx + XDP.HINTS, bits, true);
  }

  /** The packet beyond its linear part, a page a fragment. */
  #writeFrags(index: number, ctx: number, rest: Uint8Array): void {
    const { u8, view } = this.#memory;
    const list = this.#frags + index * this.#maxFrags * (FRAG.SIZE + XDP_PAGE);
    const pages = list + this.#maxFrags * FRAG.SIZE;
    let count = 0;
    for (let at = 0; at < rest.length; at += XDP_PAGE, count++) {
      const page = pages + count * XDP_PAGE;
      const part = rest.subarray(at, at + XDP_PAGE);
      u8.set(part, page);
      view.setUint32(list + count * FRAG.SIZE + FRAG.ADDRESS, page, true);
      view.setUint32(list + count * FRAG.SIZE + FRAG.LENGTH, part.length, true);
      view.setUint32(list + count * FRAG.SIZE + FRAG.ROOM, XDP_PAGE, true);
    }
    view.setUint32(ctx + XDP.FRAGS, count, true);
    view.setUint32(ctx + XDP.FRAG_LIST, list, true);
  }

  ctxAt(index: number): number {
    return this.ctx + index * XDP.STRIDE;
  }

  /**
   * The packet as it is now: a view into the memory, valid until the memory grows or the frame is written again. Of a
   * packet in fragments, a copy.
   */
  packet(index = 0): Uint8Array {
    const { view, u8 } = this.#memory;
    const ctx = this.ctxAt(index);
    const linear = u8.subarray(view.getUint32(ctx + XDP.DATA, true), view.getUint32(ctx + XDP.DATA_END, true));
    const frags = view.getUint32(ctx + XDP.FRAGS, true);
    if (!frags) return linear;
    const list = view.getUint32(ctx + XDP.FRAG_LIST, true);
    const parts = [linear];
    for (let i = 0; i < frags; i++) {
      const at = view.getUint32(list + i * FRAG.SIZE + FRAG.ADDRESS, true);
      parts.push(u8.subarray(at, at + view.getUint32(list + i * FRAG.SIZE + FRAG.LENGTH, true)));
    }
    return concatBytes(parts);
  }

  /** Bytes of the packet before its fragments. */
  linearLength(index = 0): number {
    const { u32 } = this.#memory;
    const ctx = this.ctxAt(index) >>> 2;
    return u32[ctx + (XDP.DATA_END >> 2)]! - u32[ctx + (XDP.DATA >> 2)]!;
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
