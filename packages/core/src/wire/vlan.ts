/**
 * A VLAN tag: the four bytes behind EtherType 0x8100 (802.1Q) or 0x88a8 (802.1ad, the provider's).
 * Source: IEEE 802.1Q clause 9.
 */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const VLAN_FIELD = { tci: 0, type: 2 } as const;
export const VLAN_HEADER = 4;

export interface VlanRepr {
  /** Priority code point, 0 to 7. */
  readonly priority: number;
  readonly dropEligible: boolean;
  /** 0 to 4095; 0 is a tag for the priority only. */
  readonly id: number;
  /** EtherType of what follows. */
  readonly type: number;
}

export function viewVlan(bytes: Uint8Array): Layer | undefined {
  return layerOf(bytes, VLAN_HEADER);
}

export function parseVlan(header: Uint8Array): VlanRepr {
  const view = viewOf(header);
  const tci = view.getUint16(VLAN_FIELD.tci);
  return {
    priority: tci >> 13,
    dropEligible: (tci & 0x1000) !== 0,
    id: tci & 0x0fff,
    type: view.getUint16(VLAN_FIELD.type),
  };
}

/** Writes 4 bytes. */
export function emitVlan(repr: VlanRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(VLAN_FIELD.tci, (repr.priority << 13) | (repr.dropEligible ? 0x1000 : 0) | repr.id);
  view.setUint16(VLAN_FIELD.type, repr.type);
}

export function printVlan(repr: VlanRepr): string {
  return `vlan ${repr.id}, p ${repr.priority}${repr.dropEligible ? ", DEI" : ""}`;
}
