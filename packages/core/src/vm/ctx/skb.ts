/**
 * A packet with its `__sk_buff` in a machine's memory, for tc, cgroup, socket filter and LWT programs.
 *
 * The head buffer has room in front and behind for what helpers may add. As at tc, data begins with the link header;
 * where the kernel pulls it off (cgroup, LWT), `linkHeader` is false and data begins at the network header.
 * Source: net/bpf/test_run.c 6.18 `bpf_prog_test_run_skb`, net/core/filter.c `bpf_convert_ctx_access`.
 */
import type { Memory } from "../../mem/index.ts";
import { SOCKET_LAYOUT } from "../../object/index.ts";
import { SKB, SKB_MAX_LENGTH } from "../layout.ts";

/** What a packet carries besides its bytes. */
export interface SkbMeta {
  readonly pktType?: number;
  readonly mark?: number;
  readonly priority?: number;
  readonly queueMapping?: number;
  readonly ifindex?: number;
  readonly ingressIfindex?: number;
  readonly hash?: number;
  readonly tcIndex?: number;
  readonly tstamp?: bigint;
  readonly hwtstamp?: bigint;
  readonly cb?: readonly number[];
  /** EtherType in host order; taken from the packet where absent. */
  readonly protocol?: number;
  readonly vlan?: { readonly proto: number; readonly tci: number };
  /** Default the frame's length. */
  readonly wireLen?: number;
  readonly gsoSegs?: number;
  readonly gsoSize?: number;
  /** Address of a struct bpf_sock (`SocketBuffer`), 0 for none; the ctx's addresses and ports are taken from it. */
  readonly socket?: number;
  /** False where the program's data begins at the network header. Default true. */
  readonly linkHeader?: boolean;
  /** Bytes that are linear; the rest is not. Default all. */
  readonly linear?: number;
}

const HEADROOM = 512;
const ETH_HLEN = 14;

/**
 * What the kernel takes a frame for: its EtherType, or for a length field one of the two LLC forms.
 * Source: net/ethernet/eth.c `eth_type_trans`.
 */
function etherType(frame: Uint8Array): number {
  const type = (frame[12]! << 8) | frame[13]!;
  if (type >= 0x600) return type;
  const ETH_P_802_3 = 1;
  const ETH_P_802_2 = 4;
  return frame[14] === 0xff && frame[15] === 0xff ? ETH_P_802_3 : ETH_P_802_2;
}

/** One packet. Owns its memory until `close`. */
export class SkbBuffer {
  readonly ctx: number;
  readonly #memory: Memory;
  readonly #head: number;
  readonly #tail: number;
  #open = true;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.ctx = memory.alloc(SKB.STRIDE + HEADROOM + 2 * SKB_MAX_LENGTH, 64);
    this.#head = this.ctx + SKB.STRIDE;
    // Bytes that are not linear wait behind the head buffer.
    this.#tail = this.#head + HEADROOM + SKB_MAX_LENGTH;
  }

  /**
   * Puts a frame (copied, from its Ethernet header on) into the buffer and makes the ctx anew. Answers the ctx.
   * @throws RangeError for a frame without an Ethernet header or longer than a kernel's largest skb.
   */
  write(frame: Uint8Array, meta: SkbMeta = {}): number {
    if (frame.length < ETH_HLEN || frame.length > SKB_MAX_LENGTH) {
      throw new RangeError(`skb: expected ${ETH_HLEN} to ${SKB_MAX_LENGTH} bytes, got ${frame.length}`);
    }
    const { u8, view } = this.#memory;
    const { ctx } = this;
    u8.fill(0, ctx, ctx + SKB.STRIDE);
    const start = this.#head + HEADROOM;
    const linear = Math.min(frame.length, Math.max(ETH_HLEN, meta.linear ?? frame.length));
    u8.set(frame.subarray(0, linear), start);
    u8.set(frame.subarray(linear), this.#tail);
    const put = (field: number, value: number): void => view.setInt32(ctx + field, value, true);
    const hasMac = meta.linkHeader ?? true;
    const pulled = hasMac ? 0 : ETH_HLEN;
    put(SKB.LEN, frame.length - pulled);
    put(SKB.DATA, start + pulled);
    put(SKB.DATA_META, start + pulled);
    put(SKB.DATA_END, start + linear);
    put(SKB.HEAD, this.#head);
    put(SKB.END, this.#head + HEADROOM + SKB_MAX_LENGTH);
    put(SKB.MAC, start);
    put(SKB.NETWORK, start + ETH_HLEN);
    put(SKB.NONLINEAR, frame.length - linear);
    put(SKB.NONLINEAR_AT, this.#tail);
    put(SKB.HAS_MAC, hasMac ? 1 : 0);
    const type = meta.protocol ?? etherType(frame);
    put(SKB.PROTOCOL, ((type & 0xff) << 8) | (type >>> 8));
    put(SKB.PKT_TYPE, meta.pktType ?? 0);
    put(SKB.MARK, meta.mark ?? 0);
    put(SKB.PRIORITY, meta.priority ?? 0);
    put(SKB.QUEUE_MAPPING, meta.queueMapping ?? 0);
    put(SKB.IFINDEX, meta.ifindex ?? 0);
    put(SKB.INGRESS_IFINDEX, meta.ingressIfindex ?? 0);
    put(SKB.HASH, meta.hash ?? 0);
    put(SKB.TC_INDEX, meta.tcIndex ?? 0);
    put(SKB.WIRE_LEN, meta.wireLen ?? frame.length);
    put(SKB.GSO_SEGS, meta.gsoSegs ?? 0);
    put(SKB.GSO_SIZE, meta.gsoSize ?? 0);
    put(SKB.SK, meta.socket ?? 0);
    if (meta.socket) this.#mirror(meta.socket);
    view.setBigUint64(ctx + SKB.TSTAMP, meta.tstamp ?? 0n, true);
    view.setBigUint64(ctx + SKB.HWTSTAMP, meta.hwtstamp ?? 0n, true);
    (meta.cb ?? []).slice(0, 5).forEach((word, i) => void put(SKB.CB + 4 * i, word));
    if (meta.vlan) {
      put(SKB.VLAN_PRESENT, 1);
      put(SKB.VLAN_TCI, meta.vlan.tci);
      put(SKB.VLAN_PROTO, ((meta.vlan.proto & 0xff) << 8) | (meta.vlan.proto >>> 8));
    }
    return ctx;
  }

  /** Family, addresses and ports of the socket, as the ctx shows them: the destination is the remote side. */
  #mirror(socket: number): void {
    const { u8, view } = this.#memory;
    const { ctx } = this;
    const copy = (to: number, name: string): void => {
      const { offset, size } = SOCKET_LAYOUT.fields.find((f) => f.name === name)!;
      u8.copyWithin(ctx + to, socket + offset, socket + offset + size);
    };
    copy(SKB.FAMILY, "family");
    copy(SKB.REMOTE_IP4, "dst_ip4");
    copy(SKB.LOCAL_IP4, "src_ip4");
    copy(SKB.REMOTE_IP6, "dst_ip6");
    copy(SKB.LOCAL_IP6, "src_ip6");
    copy(SKB.LOCAL_PORT, "src_port");
    copy(SKB.REMOTE_PORT, "dst_port");
    // The remote port is in network order, in the upper half of its field.
    view.setUint32(ctx + SKB.REMOTE_PORT, view.getUint16(ctx + SKB.REMOTE_PORT, true) << 16, true);
  }

  /** The packet from data on, linear or not: a copy. */
  packet(): Uint8Array {
    const { u8 } = this.#memory;
    const data = this.field(SKB.DATA);
    const end = this.field(SKB.DATA_END);
    const nonlinear = this.field(SKB.NONLINEAR);
    const out = new Uint8Array(end - data + nonlinear);
    out.set(u8.subarray(data, end));
    const at = this.field(SKB.NONLINEAR_AT);
    out.set(u8.subarray(at, at + nonlinear), end - data);
    return out;
  }

  /** A 32-bit field of the ctx by its offset (`SKB.MARK` …), unsigned. */
  field(offset: number): number {
    return this.#memory.view.getUint32(this.ctx + offset, true);
  }

  close(): void {
    if (this.#open) this.#memory.free(this.ctx);
    this.#open = false;
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
