/** One entry of an MPLS label stack. Source: RFC 3032, RFC 5462 for the traffic class. */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const MPLS_FIELD = { entry: 0 } as const;
export const MPLS_HEADER = 4;

export interface MplsRepr {
  /** 20 bits. */
  readonly label: number;
  /** 3 bits. */
  readonly trafficClass: number;
  /** The last entry: what follows is the packet, whose type only the label's owner knows. */
  readonly bottom: boolean;
  readonly ttl: number;
}

export function viewMpls(bytes: Uint8Array): Layer | undefined {
  return layerOf(bytes, MPLS_HEADER);
}

export function parseMpls(header: Uint8Array): MplsRepr {
  const entry = viewOf(header).getUint32(MPLS_FIELD.entry);
  return { label: entry >>> 12, trafficClass: (entry >>> 9) & 7, bottom: (entry & 0x100) !== 0, ttl: entry & 255 };
}

/** Writes 4 bytes. */
export function emitMpls(repr: MplsRepr, out: Uint8Array): void {
  const entry = repr.label * 0x1000 + (repr.trafficClass << 9) + (repr.bottom ? 0x100 : 0) + repr.ttl;
  viewOf(out).setUint32(MPLS_FIELD.entry, entry);
}

export function printMpls(repr: MplsRepr): string {
  return `MPLS (label ${repr.label}, tc ${repr.trafficClass}${repr.bottom ? ", [S]" : ""}, ttl ${repr.ttl})`;
}
