/** PPPoE, discovery and session stage, with the session's PPP protocol. PPP itself is not here. Source: RFC 2516. */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const PPPOE_FIELD = { versionType: 0, code: 1, sessionId: 2, length: 4 } as const;
export const PPPOE_HEADER = 6;
/** Code of a session's packet; all others are discovery. */
export const PPPOE_SESSION = 0;

/** PPP protocol numbers. Source: IANA PPP numbers. */
export const PPP_IP = 0x0021;
export const PPP_IPV6 = 0x0057;

export interface PppoeRepr {
  readonly code: number;
  readonly sessionId: number;
  /** Bytes behind these 6. */
  readonly length: number;
}

/** Version 1 and type 1 only. The payload of a session's packet starts with the PPP protocol: see `pppPayload`. */
export function viewPppoe(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < PPPOE_HEADER || bytes[0] !== 0x11) return undefined;
  return layerOf(bytes, PPPOE_HEADER, PPPOE_HEADER + viewOf(bytes).getUint16(PPPOE_FIELD.length));
}

export function parsePppoe(header: Uint8Array): PppoeRepr {
  const view = viewOf(header);
  return {
    code: header[PPPOE_FIELD.code]!,
    sessionId: view.getUint16(PPPOE_FIELD.sessionId),
    length: view.getUint16(PPPOE_FIELD.length),
  };
}

/** Writes 6 bytes. */
export function emitPppoe(repr: PppoeRepr, out: Uint8Array): void {
  const view = viewOf(out);
  out[PPPOE_FIELD.versionType] = 0x11;
  out[PPPOE_FIELD.code] = repr.code;
  view.setUint16(PPPOE_FIELD.sessionId, repr.sessionId);
  view.setUint16(PPPOE_FIELD.length, repr.length);
}

/** The PPP protocol, which may be compressed to one odd byte, and what it carries. Source: RFC 1661 section 2. */
export function pppPayload(payload: Uint8Array): { protocol: number; payload: Uint8Array } | undefined {
  if (payload.length > 0 && payload[0]! & 1) return { protocol: payload[0]!, payload: payload.subarray(1) };
  if (payload.length < 2) return undefined;
  return { protocol: viewOf(payload).getUint16(0), payload: payload.subarray(2) };
}

/** One tag of a discovery packet. */
export interface PppoeTag {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Up to the end-of-list tag; undefined when a tag goes beyond the packet. */
export function pppoeTags(payload: Uint8Array): PppoeTag[] | undefined {
  const out: PppoeTag[] = [];
  const view = viewOf(payload);
  for (let at = 0; at < payload.length; ) {
    if (at + 4 > payload.length) return undefined;
    const type = view.getUint16(at);
    const end = at + 4 + view.getUint16(at + 2);
    if (end > payload.length) return undefined;
    if (type === 0) break;
    out.push({ type, value: payload.subarray(at + 4, end) });
    at = end;
  }
  return out;
}

const CODES: Readonly<Record<number, string>> = { 9: "PADI", 7: "PADO", 25: "PADR", 101: "PADS", 167: "PADT" };

export function printPppoe(repr: PppoeRepr): string {
  const code = repr.code === PPPOE_SESSION ? "" : ` ${CODES[repr.code] ?? `code 0x${repr.code.toString(16)}`}`;
  return `PPPoE ${code}${repr.sessionId ? ` [ses 0x${repr.sessionId.toString(16)}]` : ""}`.replace(/ {2}/, " ");
}
