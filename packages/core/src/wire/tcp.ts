/** TCP segments with options. The state machine is not here. Source: RFC 9293, RFC 7323, RFC 2018, RFC 3168. */
import { viewOf } from "../bytes/index.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { type Layer, layerOf } from "./layer.ts";
import { IPPROTO_TCP } from "./numbers.ts";

export const TCP_FIELD = {
  sourcePort: 0,
  destinationPort: 2,
  sequence: 4,
  acknowledgement: 8,
  offsetFlags: 12,
  window: 14,
  checksum: 16,
  urgentPointer: 18,
  options: 20,
} as const;
/** Without options; with them at most 60. */
export const TCP_HEADER = 20;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

export interface TcpRepr {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  /** Means something with TCP_ACK only. */
  readonly acknowledgement: number;
  /** TCP_* flags in the low 8 bits, the 4 reserved bits above them. */
  readonly flags: number;
  /** As in the header, not scaled. */
  readonly window: number;
  readonly checksum: number;
  readonly urgentPointer: number;
  /** A multiple of 4 bytes, up to 40; see `tcpOptions`. */
  readonly options: Uint8Array;
}

export function tcpLength(repr: Pick<TcpRepr, "options">): number {
  return TCP_HEADER + repr.options.length;
}

/** Checks the data offset. */
export function viewTcp(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < TCP_HEADER) return undefined;
  const headerLength = (bytes[TCP_FIELD.offsetFlags]! >> 4) * 4;
  return headerLength < TCP_HEADER ? undefined : layerOf(bytes, headerLength);
}

/** The options are a view. */
export function parseTcp(header: Uint8Array): TcpRepr {
  const view = viewOf(header);
  return {
    sourcePort: view.getUint16(TCP_FIELD.sourcePort),
    destinationPort: view.getUint16(TCP_FIELD.destinationPort),
    sequence: view.getUint32(TCP_FIELD.sequence),
    acknowledgement: view.getUint32(TCP_FIELD.acknowledgement),
    flags: view.getUint16(TCP_FIELD.offsetFlags) & 0x0fff,
    window: view.getUint16(TCP_FIELD.window),
    checksum: view.getUint16(TCP_FIELD.checksum),
    urgentPointer: view.getUint16(TCP_FIELD.urgentPointer),
    options: header.subarray(TCP_FIELD.options),
  };
}

/** Writes `tcpLength(repr)` bytes. */
export function emitTcp(repr: TcpRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(TCP_FIELD.sourcePort, repr.sourcePort);
  view.setUint16(TCP_FIELD.destinationPort, repr.destinationPort);
  view.setUint32(TCP_FIELD.sequence, repr.sequence);
  view.setUint32(TCP_FIELD.acknowledgement, repr.acknowledgement);
  view.setUint16(TCP_FIELD.offsetFlags, ((tcpLength(repr) / 4) << 12) | repr.flags);
  view.setUint16(TCP_FIELD.window, repr.window);
  view.setUint16(TCP_FIELD.checksum, repr.checksum);
  view.setUint16(TCP_FIELD.urgentPointer, repr.urgentPointer);
  out.set(repr.options, TCP_FIELD.options);
}

/** What the checksum field of a whole segment should be. */
export function tcpChecksum(source: Uint8Array, destination: Uint8Array, segment: Uint8Array): number {
  const now = viewOf(segment).getUint16(TCP_FIELD.checksum);
  return internetChecksum(segment, pseudoHeaderSum(source, destination, IPPROTO_TCP, segment.length) + (~now & 0xffff));
}

/** One option; those with a wrong length for their kind are `other`. */
export type TcpOption =
  | { readonly kind: "end" }
  | { readonly kind: "nop" }
  | { readonly kind: "mss"; readonly value: number }
  | { readonly kind: "windowScale"; readonly shift: number }
  | { readonly kind: "sackPermitted" }
  | { readonly kind: "sack"; readonly blocks: readonly (readonly [left: number, right: number])[] }
  | { readonly kind: "timestamps"; readonly value: number; readonly echo: number }
  | { readonly kind: "other"; readonly type: number; readonly data: Uint8Array };

/** The options up to the end of the list; undefined when a length is below 2 or beyond the header. */
export function tcpOptions(options: Uint8Array): TcpOption[] | undefined {
  const out: TcpOption[] = [];
  for (let at = 0; at < options.length; ) {
    const type = options[at]!;
    if (type === 0) {
      out.push({ kind: "end" });
      break;
    }
    if (type === 1) {
      out.push({ kind: "nop" });
      at++;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2 || at + length > options.length) return undefined;
    out.push(optionOf(type, options.subarray(at + 2, at + length)));
    at += length;
  }
  return out;
}

function optionOf(type: number, data: Uint8Array): TcpOption {
  const view = viewOf(data);
  if (type === 2 && data.length === 2) return { kind: "mss", value: view.getUint16(0) };
  if (type === 3 && data.length === 1) return { kind: "windowScale", shift: data[0]! };
  if (type === 4 && data.length === 0) return { kind: "sackPermitted" };
  if (type === 5 && data.length > 0 && data.length % 8 === 0) {
    const blocks = Array.from(
      { length: data.length / 8 },
      (_, i) => [view.getUint32(i * 8), view.getUint32(i * 8 + 4)] as const,
    );
    return { kind: "sack", blocks };
  }
  if (type === 8 && data.length === 8) {
    return { kind: "timestamps", value: view.getUint32(0), echo: view.getUint32(4) };
  }
  return { kind: "other", type, data };
}

/** The bytes of an option list, padded with end-of-list to a multiple of 4. At most 40 fit a header. */
export function emitTcpOptions(options: readonly TcpOption[]): Uint8Array {
  const bytes: number[] = [];
  const u16 = (v: number) => bytes.push((v >>> 8) & 255, v & 255);
  const u32 = (v: number) => bytes.push((v >>> 24) & 255, (v >>> 16) & 255, (v >>> 8) & 255, v & 255);
  for (const option of options) {
    if (option.kind === "end") bytes.push(0);
    else if (option.kind === "nop") bytes.push(1);
    else if (option.kind === "mss") {
      bytes.push(2, 4);
      u16(option.value);
    } else if (option.kind === "windowScale") bytes.push(3, 3, option.shift);
    else if (option.kind === "sackPermitted") bytes.push(4, 2);
    else if (option.kind === "sack") {
      bytes.push(5, 2 + option.blocks.length * 8);
      for (const [left, right] of option.blocks) {
        u32(left);
        u32(right);
      }
    } else if (option.kind === "timestamps") {
      bytes.push(8, 10);
      u32(option.value);
      u32(option.echo);
    } else bytes.push(option.type, option.data.length + 2, ...option.data);
  }
  while (bytes.length % 4) bytes.push(0);
  return Uint8Array.from(bytes);
}

const FLAG_LETTERS: readonly (readonly [number, string])[] = [
  [TCP_FIN, "F"],
  [TCP_SYN, "S"],
  [TCP_RST, "R"],
  [TCP_PSH, "P"],
  [TCP_ACK, "."],
  [TCP_URG, "U"],
  [TCP_ECE, "E"],
  [TCP_CWR, "W"],
];

/** The flags as letters: F S R P . (ACK) U E W, or `none`. */
export function tcpFlags(flags: number): string {
  return FLAG_LETTERS.map(([bit, letter]) => (flags & bit ? letter : "")).join("") || "none";
}

function printOption(option: TcpOption): string {
  if (option.kind === "end") return "eol";
  if (option.kind === "nop") return "nop";
  if (option.kind === "mss") return `mss ${option.value}`;
  if (option.kind === "windowScale") return `wscale ${option.shift}`;
  if (option.kind === "sackPermitted") return "sackOK";
  if (option.kind === "sack") {
    return `sack ${option.blocks.length} ${option.blocks.map(([l, r]) => `{${l}:${r}}`).join("")}`;
  }
  if (option.kind === "timestamps") return `TS val ${option.value} ecr ${option.echo}`;
  return `unknown-${option.type}`;
}

/** Sequence numbers are absolute, as in `tcpdump -S`. */
export function printTcp(repr: TcpRepr, payloadLength: number): string {
  const parts = [`Flags [${tcpFlags(repr.flags)}]`];
  if (payloadLength > 0) parts.push(`seq ${repr.sequence}:${(repr.sequence + payloadLength) % 2 ** 32}`);
  else if (repr.flags & (TCP_SYN | TCP_FIN | TCP_RST)) parts.push(`seq ${repr.sequence}`);
  if (repr.flags & TCP_ACK) parts.push(`ack ${repr.acknowledgement}`);
  parts.push(`win ${repr.window}`);
  if (repr.flags & TCP_URG) parts.push(`urg ${repr.urgentPointer}`);
  if (repr.options.length) {
    const options = tcpOptions(repr.options);
    parts.push(options ? `options [${options.map(printOption).join(",")}]` : "options [malformed]");
  }
  parts.push(`length ${payloadLength}`);
  return parts.join(", ");
}
