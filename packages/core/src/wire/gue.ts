/**
 * Generic UDP Encapsulation, port 6080: variant 0 has a header, variant 1 is an IP packet straight behind UDP.
 * Source: draft-ietf-intarea-gue-09; uapi/linux/if_tunnel.h and net/gue.h for the kernel's reading of it.
 */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const GUE_FIELD = { variantLength: 0, protocol: 1, flags: 2, extension: 4 } as const;
/** Of variant 0 without extension fields; with them at most 128. */
export const GUE_HEADER = 4;
export const GUE_PORT = 6080;

/** Variant 0. */
export interface GueRepr {
  /** A control message: `protocol` is then its type. */
  readonly control: boolean;
  /** An IP protocol number. */
  readonly protocol: number;
  readonly flags: number;
  /** A multiple of 4 bytes, up to 124, as the flags say. */
  readonly extension: Uint8Array;
}

export function gueLength(repr: Pick<GueRepr, "extension">): number {
  return GUE_HEADER + repr.extension.length;
}

/** Variant 1's header is empty and its payload starts with an IP version of 4 or 6; other variants are undefined. */
export function viewGue(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < GUE_HEADER) return undefined;
  const variant = bytes[0]! >> 6;
  if (variant === 1) return bytes[0]! >> 4 === 4 || bytes[0]! >> 4 === 6 ? layerOf(bytes, 0) : undefined;
  return variant === 0 ? layerOf(bytes, GUE_HEADER + (bytes[0]! & 31) * 4) : undefined;
}

/** Undefined for variant 1, which has no fields. The extension is a view. */
export function parseGue(header: Uint8Array): GueRepr | undefined {
  if (header.length === 0) return undefined;
  return {
    control: (header[0]! & 0x20) !== 0,
    protocol: header[GUE_FIELD.protocol]!,
    flags: viewOf(header).getUint16(GUE_FIELD.flags),
    extension: header.subarray(GUE_FIELD.extension),
  };
}

/** Writes `gueLength(repr)` bytes. */
export function emitGue(repr: GueRepr, out: Uint8Array): void {
  out[GUE_FIELD.variantLength] = (repr.control ? 0x20 : 0) | (repr.extension.length / 4);
  out[GUE_FIELD.protocol] = repr.protocol;
  viewOf(out).setUint16(GUE_FIELD.flags, repr.flags);
  out.set(repr.extension, GUE_FIELD.extension);
}

export function printGue(repr: GueRepr | undefined): string {
  if (!repr) return "GUE variant 1";
  return repr.control
    ? `GUE control ${repr.protocol}`
    : `GUE, proto ${repr.protocol}, flags 0x${repr.flags.toString(16)}`;
}
