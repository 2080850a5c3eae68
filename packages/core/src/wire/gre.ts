/** GRE version 0 with checksum, key and sequence number. Not here: source routing, PPTP's version 1. Source: RFC 2784, RFC 2890. */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const GRE_FIELD = { flagsVersion: 0, protocol: 2, optional: 4 } as const;
/** Without the optional words; with them at most 16. */
export const GRE_HEADER = 4;

const CHECKSUM = 0x8000;
const ROUTING = 0x4000;
const KEY = 0x2000;
const SEQUENCE = 0x1000;

/** An absent field is an absent word. Bits that RFC 2784 reserves are written as 0. */
export interface GreRepr {
  /** An EtherType. */
  readonly protocol: number;
  readonly checksum?: number;
  readonly key?: number;
  readonly sequence?: number;
}

function lengthOf(flags: number): number {
  return GRE_HEADER + [CHECKSUM, KEY, SEQUENCE].filter((bit) => flags & bit).length * 4;
}

function flagsOf(repr: GreRepr): number {
  return (
    (repr.checksum === undefined ? 0 : CHECKSUM) |
    (repr.key === undefined ? 0 : KEY) |
    (repr.sequence === undefined ? 0 : SEQUENCE)
  );
}

export function greLength(repr: GreRepr): number {
  return lengthOf(flagsOf(repr));
}

export function viewGre(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < GRE_HEADER) return undefined;
  const flags = viewOf(bytes).getUint16(GRE_FIELD.flagsVersion);
  if (flags & (ROUTING | 7)) return undefined;
  return layerOf(bytes, lengthOf(flags));
}

export function parseGre(header: Uint8Array): GreRepr {
  const view = viewOf(header);
  const flags = view.getUint16(GRE_FIELD.flagsVersion);
  let at: number = GRE_FIELD.optional;
  const word = () => view.getUint32((at += 4) - 4);
  return {
    protocol: view.getUint16(GRE_FIELD.protocol),
    ...(flags & CHECKSUM ? { checksum: word() >>> 16 } : {}),
    ...(flags & KEY ? { key: word() } : {}),
    ...(flags & SEQUENCE ? { sequence: word() } : {}),
  };
}

/** Writes `greLength(repr)` bytes. */
export function emitGre(repr: GreRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(GRE_FIELD.flagsVersion, flagsOf(repr));
  view.setUint16(GRE_FIELD.protocol, repr.protocol);
  let at: number = GRE_FIELD.optional;
  for (const word of [repr.checksum === undefined ? undefined : repr.checksum * 0x10000, repr.key, repr.sequence]) {
    if (word === undefined) continue;
    view.setUint32(at, word);
    at += 4;
  }
}

export function printGre(repr: GreRepr, length: number): string {
  const key = repr.key === undefined ? "" : `, key=0x${repr.key.toString(16)}`;
  const sequence = repr.sequence === undefined ? "" : `, seq ${repr.sequence}`;
  return `GREv0${key}${sequence}, length ${length}`;
}
