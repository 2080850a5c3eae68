/**
 * How the search sees the ctx of a program type: which fields stand for the packet's ends, which a caller may choose, and
 * how a chosen input is put into a machine.
 */
import { BPF_SUB } from "../../isa/index.ts";
import { ProgType } from "../../object/index.ts";
import { SkbBuffer, type SkbMeta } from "../ctx/skb.ts";
import { XdpRing } from "../ctx/xdp.ts";
import { SKB, XDP } from "../layout.ts";
import type { Machine } from "../machine.ts";
import type { Expr } from "./symbolic.ts";

export interface CtxModel {
  /** Bytes of the frame before the program's data: the link header where the kernel has pulled it. */
  readonly pulled: number;
  /** What a load from the ctx gives; undefined where it is not followed. */
  load(offset: number, size: number): Expr | undefined;
  /** Names of the fields that may be chosen, by offset. */
  readonly chosen: ReadonlyMap<number, string>;
  /** Puts packet and ctx into a machine; `fields` by offset, others are `fill`. Answers the ctx. */
  write(machine: Machine, packet: Uint8Array, fields: ReadonlyMap<number, number>, fill: number): number;
}

const DATA: Expr = { kind: "data" };
const END: Expr = { kind: "end" };
const LENGTH: Expr = { kind: "op", op: BPF_SUB, is32: false, a: END, b: DATA };

const XDP_MODEL: CtxModel = {
  pulled: 0,
  chosen: new Map([
    [XDP.INGRESS_IFINDEX, "ingress_ifindex"],
    [XDP.RX_QUEUE_INDEX, "rx_queue_index"],
  ]),
  load(offset, size) {
    if (size !== 4) return undefined;
    if (offset === XDP.DATA || offset === XDP.DATA_META) return DATA;
    return offset === XDP.DATA_END ? END : { kind: "ctx", offset };
  },
  write(machine, packet, fields, fill) {
    return new XdpRing(machine.memory).write(0, packet, {
      ingressIfindex: fields.get(XDP.INGRESS_IFINDEX) ?? fill,
      rxQueueIndex: fields.get(XDP.RX_QUEUE_INDEX) ?? fill,
    });
  },
};

/** Fields of an skb that whoever sends or marks the packet decides, and how they are set. */
const SKB_FIELDS: readonly [offset: number, name: string, meta: keyof SkbMeta][] = [
  [SKB.PKT_TYPE, "pkt_type", "pktType"],
  [SKB.MARK, "mark", "mark"],
  [SKB.QUEUE_MAPPING, "queue_mapping", "queueMapping"],
  [SKB.PRIORITY, "priority", "priority"],
  [SKB.INGRESS_IFINDEX, "ingress_ifindex", "ingressIfindex"],
  [SKB.IFINDEX, "ifindex", "ifindex"],
  [SKB.TC_INDEX, "tc_index", "tcIndex"],
  [SKB.HASH, "hash", "hash"],
  [SKB.GSO_SEGS, "gso_segs", "gsoSegs"],
  [SKB.GSO_SIZE, "gso_size", "gsoSize"],
];
const CB_WORDS = 5;
const ETH_HLEN = 14;
const ETH_TYPE = 12;

function skbModel(pulled: number): CtxModel {
  const chosen = new Map(SKB_FIELDS.map(([offset, name]) => [offset, name]));
  for (let i = 0; i < CB_WORDS; i++) chosen.set(SKB.CB + 4 * i, `cb[${i}]`);
  const type: Expr = { kind: "const", value: BigInt(ETH_TYPE - pulled) };
  return {
    pulled,
    chosen,
    load(offset, size) {
      if (size !== 4) return undefined;
      if (offset === SKB.DATA || offset === SKB.DATA_META) return DATA;
      if (offset === SKB.DATA_END) return END;
      if (offset === SKB.LEN) return LENGTH;
      if (offset === SKB.PROTOCOL) {
        return { kind: "load", at: { kind: "op", op: 0, is32: false, a: DATA, b: type }, size: 2 };
      }
      return chosen.has(offset) ? { kind: "ctx", offset } : undefined;
    },
    write(machine, packet, fields, fill) {
      const meta: Record<string, unknown> = { linkHeader: pulled === 0 };
      for (const [offset, , name] of SKB_FIELDS) meta[name] = fields.get(offset) ?? (name === "pktType" ? 0 : fill);
      meta.cb = Array.from({ length: CB_WORDS }, (_, i) => fields.get(SKB.CB + 4 * i) ?? fill);
      return new SkbBuffer(machine.memory).write(packet, meta as SkbMeta);
    },
  };
}

const AT_LINK = skbModel(0);
const AT_NETWORK = skbModel(ETH_HLEN);
const MODELS: ReadonlyMap<number, CtxModel> = new Map([
  [ProgType.BPF_PROG_TYPE_XDP, XDP_MODEL],
  [ProgType.BPF_PROG_TYPE_SCHED_CLS, AT_LINK],
  [ProgType.BPF_PROG_TYPE_SCHED_ACT, AT_LINK],
  [ProgType.BPF_PROG_TYPE_SOCKET_FILTER, AT_NETWORK],
  [ProgType.BPF_PROG_TYPE_CGROUP_SKB, AT_NETWORK],
  [ProgType.BPF_PROG_TYPE_LWT_IN, AT_NETWORK],
  [ProgType.BPF_PROG_TYPE_LWT_OUT, AT_NETWORK],
  [ProgType.BPF_PROG_TYPE_LWT_XMIT, AT_NETWORK],
]);

export function ctxModel(progType: number): CtxModel | undefined {
  return MODELS.get(progType);
}
