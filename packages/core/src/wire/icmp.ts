/** ICMP for IPv4: the header all messages share, and the words for the common ones. Source: RFC 792, RFC 1191. */
import { viewOf } from "../bytes/index.ts";
import { internetChecksum } from "./checksum.ts";
import { type Layer, layerOf } from "./layer.ts";

export const ICMP_FIELD = { type: 0, code: 1, checksum: 2, rest: 4 } as const;
export const ICMP_HEADER = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_DEST_UNREACH = 3;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;
/** Code of ICMP_DEST_UNREACH: the lower half of `rest` is the next hop's MTU. */
export const ICMP_FRAG_NEEDED = 4;

export interface IcmpRepr {
  readonly type: number;
  readonly code: number;
  readonly checksum: number;
  /** The second word: of an echo `identifier << 16 | sequence`, of an error mostly 0. */
  readonly rest: number;
}

/** The payload of an error message starts with the IP header it is about. */
export function viewIcmp(bytes: Uint8Array): Layer | undefined {
  return layerOf(bytes, ICMP_HEADER);
}

export function parseIcmp(header: Uint8Array): IcmpRepr {
  const view = viewOf(header);
  return {
    type: header[ICMP_FIELD.type]!,
    code: header[ICMP_FIELD.code]!,
    checksum: view.getUint16(ICMP_FIELD.checksum),
    rest: view.getUint32(ICMP_FIELD.rest),
  };
}

/** Writes 8 bytes. */
export function emitIcmp(repr: IcmpRepr, out: Uint8Array): void {
  const view = viewOf(out);
  out[ICMP_FIELD.type] = repr.type;
  out[ICMP_FIELD.code] = repr.code;
  view.setUint16(ICMP_FIELD.checksum, repr.checksum);
  view.setUint32(ICMP_FIELD.rest, repr.rest);
}

/** What the checksum field of a whole message should be. */
export function icmpChecksum(message: Uint8Array): number {
  return internetChecksum(message.subarray(ICMP_FIELD.rest), viewOf(message).getUint16(ICMP_FIELD.type));
}

const UNREACHABLE: readonly string[] = ["net", "host", "protocol", "port", "need to frag", "source route failed"];
const NAMES: Readonly<Record<number, string>> = {
  [ICMP_REDIRECT]: "redirect",
  9: "router advertisement",
  10: "router solicitation",
  [ICMP_PARAMETER_PROBLEM]: "parameter problem",
  13: "time stamp query",
  14: "time stamp reply",
};

/** `length` counts the whole message. */
export function printIcmp(repr: IcmpRepr, length: number): string {
  const echo = `id ${repr.rest >>> 16}, seq ${repr.rest & 0xffff}`;
  const what =
    repr.type === ICMP_ECHO
      ? `echo request, ${echo}`
      : repr.type === ICMP_ECHO_REPLY
        ? `echo reply, ${echo}`
        : repr.type === ICMP_DEST_UNREACH && repr.code === ICMP_FRAG_NEEDED
          ? `unreachable - need to frag (mtu ${repr.rest & 0xffff})`
          : repr.type === ICMP_DEST_UNREACH
            ? `${UNREACHABLE[repr.code] ?? `code ${repr.code}`} unreachable`
            : repr.type === ICMP_TIME_EXCEEDED
              ? repr.code === 0
                ? "time exceeded in-transit"
                : "ip reassembly time exceeded"
              : (NAMES[repr.type] ?? `type-#${repr.type}`);
  return `ICMP ${what}, length ${length}`;
}
