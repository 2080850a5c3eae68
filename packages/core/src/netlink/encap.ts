/**
 * rtnetlink: what a route does to its packets before they leave (lightweight tunnels): programs, IP tunnels, segment
 * routing and its endpoints.
 * Source: include/uapi/linux/lwtunnel.h, seg6_iptunnel.h, seg6_local.h; RFC 8754 (header), RFC 8986 (endpoints).
 */
import { viewOf } from "../bytes/index.ts";
import { formatIp, parseIp } from "../wire/index.ts";
import { type Attr, cstring, decodeAttrs, getIp, getString, getU16, getU32, u16, u32 } from "./message.ts";

export const RTA_ENCAP_TYPE = 21;
export const RTA_ENCAP = 22;

const LWTUNNEL_ENCAP_MPLS = 1;
const LWTUNNEL_ENCAP_IP = 2;
const LWTUNNEL_ENCAP_IP6 = 4;
const LWTUNNEL_ENCAP_SEG6 = 5;
const LWTUNNEL_ENCAP_BPF = 6;
const LWTUNNEL_ENCAP_SEG6_LOCAL = 7;

const SEG6_MODES = ["inline", "encap", "l2encap", "encap.red", "l2encap.red"] as const;
export type Seg6Mode = (typeof SEG6_MODES)[number];

/** Endpoint behaviours by the names of RFC 8986, as ip(8) writes them. Source: seg6_local.h `SEG6_LOCAL_ACTION_*`. */
const ACTIONS = {
  End: 1,
  "End.X": 2,
  "End.T": 3,
  "End.DX2": 4,
  "End.DX6": 5,
  "End.DX4": 6,
  "End.DT6": 7,
  "End.DT4": 8,
  "End.B6": 9,
  "End.B6.Encaps": 10,
  "End.BPF": 15,
  "End.DT46": 16,
} as const;
export type Seg6Action = keyof typeof ACTIONS;

/** Arguments of an endpoint; which of them an action takes, the kernel says. */
export interface Seg6Local {
  readonly type: "seg6local";
  readonly action: Seg6Action;
  readonly table?: number;
  readonly vrfTable?: number;
  readonly nh4?: string;
  readonly nh6?: string;
  /** Index of the device to leave by. */
  readonly oif?: number;
  /** Of End.B6 and End.B6.Encaps. */
  readonly segments?: readonly string[];
  /** Of End.BPF: an fd. */
  readonly program?: number;
  readonly name?: string;
}

/** What happens to packets that take the route, before they leave. */
export type Encap =
  | {
      readonly type: "bpf";
      /** Program fds; at least one. */
      readonly in?: number;
      readonly out?: number;
      readonly xmit?: number;
      /** Bytes that the xmit program may push: at most 256. */
      readonly headroom?: number;
      /** The kernel tells encaps apart by this name alone: two programs under one name are one route to it. */
      readonly name: string;
    }
  | { readonly type: "ip"; readonly id: bigint; readonly dst: string; readonly src?: string; readonly ttl?: number }
  | {
      readonly type: "mpls";
      /** Outermost first. */
      readonly labels: readonly number[];
      readonly ttl?: number;
    }
  | { readonly type: "seg6"; readonly mode: Seg6Mode; readonly segments: readonly string[] }
  | Seg6Local;

export function encapAttrs(encap: Encap): Attr[] {
  const of = (type: number, attrs: readonly Attr[]): Attr[] => [
    [RTA_ENCAP_TYPE, u16(type)],
    [RTA_ENCAP, attrs],
  ];
  switch (encap.type) {
    case "bpf": {
      const attrs: Attr[] = [];
      const hooks = [encap.in, encap.out, encap.xmit];
      hooks.forEach((fd, i) => {
        if (fd !== undefined) attrs.push([i + 1, progAttrs(fd, encap.name)]);
      });
      if (encap.headroom !== undefined) attrs.push([4, u32(encap.headroom)]);
      return of(LWTUNNEL_ENCAP_BPF, attrs);
    }
    case "ip": {
      const dst = parseIp(encap.dst);
      const id = new Uint8Array(8);
      viewOf(id).setBigUint64(0, encap.id); // Big-endian.
      const attrs: Attr[] = [
        [1, id],
        [2, dst],
      ];
      if (encap.src !== undefined) attrs.push([3, parseIp(encap.src)]);
      if (encap.ttl !== undefined) attrs.push([4, Uint8Array.of(encap.ttl)]);
      return of(dst.length === 4 ? LWTUNNEL_ENCAP_IP : LWTUNNEL_ENCAP_IP6, attrs);
    }
    case "mpls": {
      const attrs: Attr[] = [[1, labelStack(encap.labels)]];
      if (encap.ttl !== undefined) attrs.push([2, Uint8Array.of(encap.ttl)]);
      return of(LWTUNNEL_ENCAP_MPLS, attrs);
    }
    case "seg6": {
      const header = segmentHeader(encap.segments, encap.mode === "inline");
      const mode = u32(SEG6_MODES.indexOf(encap.mode));
      return of(LWTUNNEL_ENCAP_SEG6, [[1, new Uint8Array([...mode, ...header])]]);
    }
    case "seg6local":
      return of(LWTUNNEL_ENCAP_SEG6_LOCAL, seg6LocalAttrs(encap));
  }
}

/** Types of `SEG6_LOCAL_*`. */
const LOCAL = { action: 1, srh: 2, table: 3, nh4: 4, nh6: 5, oif: 7, bpf: 8, vrfTable: 9 } as const;

function seg6LocalAttrs(local: Seg6Local): Attr[] {
  const attrs: Attr[] = [[LOCAL.action, u32(ACTIONS[local.action])]];
  if (local.segments) attrs.push([LOCAL.srh, segmentHeader(local.segments, false)]);
  if (local.table !== undefined) attrs.push([LOCAL.table, u32(local.table)]);
  if (local.vrfTable !== undefined) attrs.push([LOCAL.vrfTable, u32(local.vrfTable)]);
  if (local.nh4 !== undefined) attrs.push([LOCAL.nh4, parseIp(local.nh4)]);
  if (local.nh6 !== undefined) attrs.push([LOCAL.nh6, parseIp(local.nh6)]);
  if (local.oif !== undefined) attrs.push([LOCAL.oif, u32(local.oif)]);
  if (local.program !== undefined) attrs.push([LOCAL.bpf, progAttrs(local.program, local.name ?? "ebplane")]);
  return attrs;
}

/** fd and name: the kernel insists on both. */
function progAttrs(fd: number, name: string): Attr[] {
  return [
    [1, u32(fd)],
    [2, cstring(name)],
  ];
}

/** Entries of 20 bits of label, the last with the bottom bit. Source: RFC 3032. */
function labelStack(labels: readonly number[]): Uint8Array {
  const out = new Uint8Array(4 * labels.length);
  labels.forEach((label, i) => {
    if (!Number.isInteger(label) || label < 0 || label >= 1 << 20)
      throw new RangeError(`label ${label}: expected 20 bits`);
    viewOf(out).setUint32(4 * i, ((label << 12) | (i === labels.length - 1 ? 0x100 : 0)) >>> 0);
  });
  return out;
}

/** A whole segment routing header, last segment first; `keep` a slot for the original destination. */
function segmentHeader(segments: readonly string[], keep: boolean): Uint8Array {
  const count = segments.length + (keep ? 1 : 0);
  const out = new Uint8Array(8 + 16 * count);
  out.set([0, (16 * count) / 8, 4, count - 1, count - 1, 0, 0, 0]);
  segments.forEach((segment, i) => {
    const bytes = parseIp(segment);
    if (bytes.length !== 16) throw new RangeError(`segment ${segment}: expected an IPv6 address`);
    out.set(bytes, 8 + 16 * (count - 1 - i));
  });
  return out;
}

/** A route's encapsulation as the kernel tells it. */
export interface EncapInfo {
  /** LWTUNNEL_ENCAP_*; 0 without. */
  readonly encapType: number;
  /** The names of a bpf encap's programs; undefined for another encap, or none. */
  readonly bpf?: { readonly in?: string; readonly out?: string; readonly xmit?: string; readonly seg6local?: string };
  /** As ip(8) writes it, without `encap`: `seg6 mode encap segs [ fd00::1 ]`. */
  readonly encap?: string;
}

export function decodeEncap(type: Uint8Array | undefined, encap: Uint8Array | undefined): EncapInfo {
  const encapType = getU16(type) ?? 0;
  if (encapType === 0 || !encap) return { encapType };
  const attrs = decodeAttrs(encap);
  switch (encapType) {
    case LWTUNNEL_ENCAP_BPF: {
      const name = (hook: number): string | undefined => progName(attrs.get(hook));
      const bpf = { in: name(1), out: name(2), xmit: name(3) };
      const words = Object.entries(bpf).filter(([, program]) => program !== undefined);
      return { encapType, bpf, encap: ["bpf", ...words.flat()].join(" ") };
    }
    case LWTUNNEL_ENCAP_IP:
    case LWTUNNEL_ENCAP_IP6: {
      const id = attrs.get(1);
      const word = encapType === LWTUNNEL_ENCAP_IP ? "ip" : "ip6";
      const number = id && id.length >= 8 ? viewOf(id).getBigUint64(0) : 0n;
      return { encapType, encap: `${word} id ${number} dst ${getIp(attrs.get(2)) ?? "?"}` };
    }
    case LWTUNNEL_ENCAP_SEG6: {
      const tunnel = attrs.get(1);
      if (!tunnel || tunnel.length < 12) return { encapType };
      const mode = SEG6_MODES[viewOf(tunnel).getUint32(0, true)] ?? "?";
      const segments = segmentsOf(tunnel.subarray(4));
      const shown = mode === "inline" ? segments.slice(0, -1) : segments;
      return { encapType, encap: `seg6 mode ${mode} segs [ ${shown.join(" ")} ]` };
    }
    case LWTUNNEL_ENCAP_MPLS: {
      const stack = attrs.get(1) ?? new Uint8Array(0);
      const view = viewOf(stack);
      const labels = Array.from({ length: Math.floor(stack.length / 4) }, (_, i) => view.getUint32(4 * i) >>> 12);
      return { encapType, encap: `mpls ${labels.join("/")}` };
    }
    case LWTUNNEL_ENCAP_SEG6_LOCAL:
      return { encapType, bpf: { seg6local: progName(attrs.get(LOCAL.bpf)) }, encap: seg6LocalText(attrs) };
    default:
      return { encapType };
  }
}

function seg6LocalText(attrs: ReadonlyMap<number, Uint8Array>): string {
  const number = getU32(attrs.get(LOCAL.action));
  const action = Object.entries(ACTIONS).find(([, n]) => n === number)?.[0] ?? `${number}`;
  const srh = attrs.get(LOCAL.srh);
  const words: [string, string | number | undefined][] = [
    ["srh segs", srh && `[ ${segmentsOf(srh).join(" ")} ]`],
    ["table", getU32(attrs.get(LOCAL.table))],
    ["vrftable", getU32(attrs.get(LOCAL.vrfTable))],
    ["nh4", getIp(attrs.get(LOCAL.nh4))],
    ["nh6", getIp(attrs.get(LOCAL.nh6))],
    ["oif", getU32(attrs.get(LOCAL.oif))],
    ["endpoint", progName(attrs.get(LOCAL.bpf))],
  ];
  const said = words.filter(([, value]) => value !== undefined).map(([word, value]) => `${word} ${value}`);
  return ["seg6local action", action, ...said].join(" ");
}

function segmentsOf(srh: Uint8Array): string[] {
  const count = (srh[4] ?? -1) + 1;
  if (srh.length < 8 + 16 * count) return [];
  return Array.from({ length: count }, (_, i) => formatIp(srh.subarray(8 + 16 * i, 24 + 16 * i))).reverse();
}

function progName(program: Uint8Array | undefined): string | undefined {
  return program && getString(decodeAttrs(program).get(2));
}
