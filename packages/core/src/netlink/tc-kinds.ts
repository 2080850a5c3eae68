/**
 * Queueing disciplines, their classes, filters and actions: the attributes of each kind (`TCA_OPTIONS`). Rates are bytes a
 * second, probabilities 0 to 1, sizes bytes; other times as the kernel has them: micro- or nanoseconds, as said.
 * Source: include/uapi/linux/pkt_sched.h, pkt_cls.h, tc_act/*.h of 6.18; net/sched for what each kind needs.
 */
import { viewOf } from "../bytes/index.ts";
import { type Attr, cstring, decodeAttrs, getString } from "./message.ts";
import {
  be16,
  be32,
  bool,
  type Codec,
  choice,
  decodeValues,
  encodeValues,
  type Field,
  hex,
  ip,
  list,
  mac,
  octets,
  oneOf,
  s32,
  s64,
  struct,
  type Table,
  text,
  u8,
  u16,
  u32,
  u64,
  type Values,
} from "./schema.ts";

// ---- parts

/** A fraction of 2^32. */
const probability: Field<number> = {
  size: 4,
  get: (v, at) => v.getUint32(at, true) / 0xffff_ffff,
  put: (v, at, p) => v.setUint32(at, Math.round(p * 0xffff_ffff), true),
};

/** `struct tc_ratespec`; 1 is Ethernet, with which the kernel asks for no table of times. */
const ratespec = struct({ cellLog: u8, linkLayer: u8, overhead: u16, cellAlign: u16, mpu: u16, rate: u32 });
const ETHERNET = 1;
const rateOf = (rate = 0) => ({ rate, linkLayer: ETHERNET });

/** Nanoseconds of the clock that bursts are told in. Source: include/net/pkt_sched.h PSCHED_SHIFT. */
const TICK = 64;
const ticks = (bytes: number, rate: number): number => Math.floor((bytes * 1e9) / rate / TICK);
const bytesOf = (buffer: number, rate: number): number => Math.round((buffer * TICK * rate) / 1e9);

/** A codec in other words. */
function mapped<A, B>(codec: Codec<A>, to: (value: B) => A, from: (value: A) => B): Codec<B> {
  return {
    encode: (value) => codec.encode(to(value)),
    decode: (bytes) => {
      const value = codec.decode(bytes);
      return value === undefined ? undefined : from(value);
    },
  };
}

const TBF = struct({ rate: ratespec, peak: ratespec, limit: u32, buffer: u32, mtu: u32 });

export interface TbfParams {
  readonly rate: number;
  /** Bytes that may wait. */
  readonly limit: number;
  readonly burst: number;
}

const tbfParams = mapped(
  TBF,
  ({ rate, limit, burst }: TbfParams) => {
    return { rate: rateOf(rate), peak: { rate: 0 } as never, limit, buffer: ticks(burst, rate), mtu: 0 } as never;
  },
  ({ rate: { rate }, limit, buffer }): TbfParams => ({ rate, limit, burst: bytesOf(buffer, rate) }),
);

const HTB_CLASS = struct({
  rate: ratespec,
  ceil: ratespec,
  buffer: u32,
  cbuffer: u32,
  quantum: u32,
  level: u32,
  prio: u32,
});

export interface HtbClassParams {
  readonly rate: number;
  /** The rate when there is nobody else; the rate itself when absent. */
  readonly ceil?: number;
  /** 1,600 when absent. */
  readonly burst?: number;
  readonly ceilBurst?: number;
  readonly quantum?: number;
  readonly prio?: number;
}

const htbClass = mapped(
  HTB_CLASS,
  ({ rate, ceil = rate, burst = 1600, ceilBurst = 1600, quantum = 0, prio = 0 }: HtbClassParams) =>
    ({
      rate: rateOf(rate),
      ceil: rateOf(ceil),
      buffer: ticks(burst, rate),
      cbuffer: ticks(ceilBurst, ceil),
      quantum,
      level: 0,
      prio,
    }) as never,
  ({ rate: { rate }, ceil: { rate: ceil }, buffer, cbuffer, quantum, prio }): HtbClassParams => ({
    rate,
    ceil,
    burst: bytesOf(buffer, rate),
    ceilBurst: bytesOf(cbuffer, ceil),
    quantum,
    prio,
  }),
);

export interface HtbParams {
  /** The class, by its minor number, of what no filter takes. */
  readonly default?: number;
  /** By how much a class's rate is divided for its quantum; 10 when absent. */
  readonly rateToQuantum?: number;
}

const HTB_VERSION = 3;
const htbParams = mapped(
  struct({ version: u32, rateToQuantum: u32, default: u32, debug: u32, directPackets: u32 }),
  ({ default: minor = 0, rateToQuantum = 10 }: HtbParams) => ({
    ...{ version: HTB_VERSION, rateToQuantum, default: minor, debug: 0, directPackets: 0 },
  }),
  ({ default: minor, rateToQuantum }): HtbParams => ({ default: minor, rateToQuantum }),
);

// ---- queueing disciplines

const nothing = {} as const satisfies Table;
const onOff = bool(u32);
const fifo = { params: ["head", struct({ limit: u32 })] } as const satisfies Table;
const prio = { params: ["head", struct({ bands: u32, priomap: octets(16) })] } as const satisfies Table;

export const QDISC_KINDS = {
  clsact: nothing,
  ingress: nothing,
  noqueue: nothing,
  mq: nothing,
  pfifo: fifo,
  bfifo: fifo,
  pfifo_head_drop: fifo,
  pfifo_fast: prio,
  prio,
  fq: {
    limit: [1, u32],
    flowLimit: [2, u32],
    quantum: [3, u32],
    initialQuantum: [4, u32],
    pacing: [5, onOff],
    maxRate: [7, u32],
    bucketsLog: [8, u32],
    refillDelay: [9, u32],
    orphanMask: [10, u32],
    lowRateThreshold: [11, u32],
    ceThreshold: [12, u32],
    timerSlack: [13, u32],
    horizon: [14, u32],
    horizonDrop: [15, bool(u8)],
  },
  fq_codel: {
    /** Microseconds, as `interval`. */
    target: [1, u32],
    limit: [2, u32],
    interval: [3, u32],
    ecn: [4, onOff],
    flows: [5, u32],
    quantum: [6, u32],
    ceThreshold: [7, u32],
    dropBatch: [8, u32],
    memoryLimit: [9, u32],
  },
  codel: { target: [1, u32], limit: [2, u32], interval: [3, u32], ecn: [4, onOff], ceThreshold: [5, u32] },
  tbf: { params: [1, tbfParams], rate64: [4, u64], burst: [6, u32] },
  htb: {
    params: [2, htbParams],
    directQueue: [5, u32],
  },
  netem: {
    params: [
      "head",
      struct({ latency: u32, limit: u32, loss: probability, gap: u32, duplicate: probability, jitter: u32 }),
    ],
    correlation: [1, struct({ delay: probability, loss: probability, duplicate: probability })],
    reorder: [3, struct({ probability, correlation: probability })],
    corrupt: [4, struct({ probability, correlation: probability })],
    rate: [6, struct({ rate: u32, packetOverhead: s32, cellSize: u32, cellOverhead: s32 })],
    ecn: [7, onOff],
    /** Nanoseconds, as `jitter`. */
    delay: [10, s64],
    jitter: [11, s64],
  },
  cake: {
    rate: [2, u64],
    diffserv: [3, choice(["diffserv3", "diffserv4", "diffserv8", "besteffort", "precedence"])],
    flowMode: [
      5,
      choice(["flowblind", "srchost", "dsthost", "hosts", "flows", "dual-srchost", "dual-dsthost", "triple-isolate"]),
    ],
    overhead: [6, s32],
    /** Microseconds, as `target`. */
    rtt: [7, u32],
    target: [8, u32],
    autorate: [9, onOff],
    memory: [10, u32],
    nat: [11, onOff],
    wash: [13, onOff],
    mpu: [14, u32],
    ingress: [15, onOff],
    ackFilter: [16, choice(["off", "on", "aggressive"])],
    splitGso: [17, onOff],
    fwmark: [18, u32],
  },
} as const satisfies Readonly<Record<string, Table>>;

/** What a kind has unless it is said otherwise, since the kernel makes none without. */
export const QDISC_DEFAULTS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  htb: { params: {} },
  netem: { params: { limit: 1000 } },
  prio: { params: { bands: 3, priomap: [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1] } },
};

export const CLASS_KINDS = {
  htb: { params: [1, htbClass], rate64: [6, u64], ceil64: [7, u64] },
} as const satisfies Readonly<Record<string, Table>>;

// ---- actions

/** What becomes of the packet: `ok` ends classification, `pipe` goes to the next action, `shot` drops. */
const verdict = oneOf(
  {
    unspec: -1,
    ok: 0,
    reclassify: 1,
    shot: 2,
    pipe: 3,
    stolen: 4,
    queued: 5,
    repeat: 6,
    redirect: 7,
    trap: 8,
  } as const,
  s32,
);
const general = { index: u32, capabilities: u32, action: verdict, references: s32, bindings: s32 } as const;

export const ACTION_KINDS = {
  gact: {
    params: [2, struct(general)],
    random: [3, struct({ kind: choice(["none", "netrand", "determ"], u16), value: u16, action: verdict })],
  },
  mirred: {
    params: [
      2,
      struct({
        ...general,
        direction: oneOf({ "egress redirect": 1, "egress mirror": 2, "ingress redirect": 3, "ingress mirror": 4 }, s32),
        ifindex: u32,
      }),
    ],
  },
  bpf: { params: [2, struct(general)], fd: [5, u32], name: [6, text], tag: [8, hex], id: [9, u32] },
} as const satisfies Readonly<Record<string, Table>>;

/** An action in the words of its kind. */
export type TcAction = {
  [K in keyof typeof ACTION_KINDS]: { readonly kind: K } & Values<(typeof ACTION_KINDS)[K]>;
}[keyof typeof ACTION_KINDS];

const action: Codec<TcAction> = {
  encode: (value): Attr[] => [
    [1, cstring(value.kind)],
    [2, encodeValues(ACTION_KINDS[value.kind] as Table, value).attrs],
  ],
  decode: (bytes) => {
    const attrs = decodeAttrs(bytes);
    const kind = getString(attrs.get(1)) ?? "";
    const table = Object.hasOwn(ACTION_KINDS, kind) ? (ACTION_KINDS[kind as keyof typeof ACTION_KINDS] as Table) : {};
    return { kind, ...decodeValues(table, attrs.get(2) ?? new Uint8Array(0)) } as TcAction;
  },
};

// ---- filters

/** A u32 selector: each key compares four bytes of the packet at an offset. */
export interface U32Selector {
  readonly terminal: boolean;
  readonly keys: readonly { readonly value: number; readonly mask: number; readonly offset: number }[];
}

const SEL = struct({
  flags: u8,
  shift: u8,
  count: u8,
  mask: be16,
  offset: u16,
  extra: u16,
  hashOffset: u16,
  hashMask: be32,
});
const KEY = struct({ mask: be32, value: be32, offset: s32, offsetMask: s32 });
const TC_U32_TERMINAL = 1;

const selector: Codec<U32Selector> = {
  encode: ({ terminal, keys }) => {
    const out = new Uint8Array(SEL.size + keys.length * KEY.size);
    SEL.put(viewOf(out), 0, { flags: terminal ? TC_U32_TERMINAL : 0, count: keys.length } as never);
    keys.forEach((key, i) => {
      KEY.put(viewOf(out), SEL.size + i * KEY.size, { ...key, offsetMask: 0 });
    });
    return out;
  },
  decode: (bytes) => {
    const head = SEL.decode(bytes);
    if (!head || bytes.length < SEL.size + head.count * KEY.size) return undefined;
    const keys = Array.from({ length: head.count }, (_, i) => {
      const { value, mask, offset } = KEY.get(viewOf(bytes), SEL.size + i * KEY.size);
      return { value, mask, offset };
    });
    return { terminal: (head.flags & TC_U32_TERMINAL) !== 0, keys };
  },
};

export const FILTER_KINDS = {
  bpf: {
    actions: [1, list(action)],
    classId: [3, u32],
    fd: [6, u32],
    name: [7, text],
    /** 1: the program's return value is the action. */
    flags: [8, u32],
    tag: [10, hex],
    id: [11, u32],
  },
  matchall: { classId: [1, u32], actions: [2, list(action)], flags: [3, u32] },
  u32: {
    classId: [1, u32],
    hash: [2, u32],
    divisor: [4, u32],
    selector: [5, selector],
    actions: [7, list(action)],
    flags: [11, u32],
  },
  flower: {
    classId: [1, u32],
    indev: [2, text],
    actions: [3, list(action)],
    ethDst: [4, mac],
    ethDstMask: [5, mac],
    ethSrc: [6, mac],
    ethSrcMask: [7, mac],
    etherType: [8, be16],
    ipProto: [9, u8],
    src: [[10, 14], ip],
    srcMask: [[11, 15], ip],
    dst: [[12, 16], ip],
    dstMask: [[13, 17], ip],
    tcpSrc: [18, be16],
    tcpDst: [19, be16],
    udpSrc: [20, be16],
    udpDst: [21, be16],
    flags: [22, u32],
    vlanId: [23, u16],
    vlanPrio: [24, u8],
    vlanEtherType: [25, be16],
    tunnelKey: [26, be32],
    tcpSrcMask: [35, be16],
    tcpDstMask: [36, be16],
    udpSrcMask: [37, be16],
    udpDstMask: [38, be16],
    icmpType: [51, u8],
    icmpTypeMask: [52, u8],
  },
} as const satisfies Readonly<Record<string, Table>>;

export type QdiscKind = keyof typeof QDISC_KINDS;
export type ClassKind = keyof typeof CLASS_KINDS;
export type FilterKind = keyof typeof FILTER_KINDS;
