/** VXLAN: an Ethernet frame in UDP port 4789. Not here: the group policy and GPE extensions. Source: RFC 7348. */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const VXLAN_FIELD = { flags: 0, vni: 4 } as const;
export const VXLAN_HEADER = 8;
export const VXLAN_PORT = 4789;
/** Says that the VNI is valid: always set in a VXLAN packet. */
const VALID_VNI = 0x08;

export interface VxlanRepr {
  /** 24 bits. */
  readonly vni: number;
}

/** Undefined also without the valid-VNI flag. */
export function viewVxlan(bytes: Uint8Array): Layer | undefined {
  return (bytes[0] ?? 0) & VALID_VNI ? layerOf(bytes, VXLAN_HEADER) : undefined;
}

export function parseVxlan(header: Uint8Array): VxlanRepr {
  return { vni: viewOf(header).getUint32(VXLAN_FIELD.vni) >>> 8 };
}

/** Writes 8 bytes. */
export function emitVxlan(repr: VxlanRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint32(VXLAN_FIELD.flags, VALID_VNI * 0x1000000);
  view.setUint32(VXLAN_FIELD.vni, repr.vni * 256);
}

export function printVxlan(repr: VxlanRepr): string {
  return `VXLAN, flags [I] (0x08), vni ${repr.vni}`;
}
