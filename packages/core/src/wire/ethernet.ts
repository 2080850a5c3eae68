/** Ethernet II and IEEE 802.3 frames, without preamble and frame check sequence. Source: IEEE 802.3 clause 3. */
import { viewOf } from "../bytes/index.ts";
import { formatMac } from "./address.ts";
import { type Layer, layerOf } from "./layer.ts";
import { ETH_P_802_3_MIN } from "./numbers.ts";

export const ETHERNET_FIELD = { destination: 0, source: 6, type: 12 } as const;
export const ETHERNET_HEADER = 14;

/** `type` is an EtherType, or below 0x600 the length of an 802.3 frame. */
export interface EthernetRepr {
  /** 6 bytes. */
  readonly destination: Uint8Array;
  /** 6 bytes. */
  readonly source: Uint8Array;
  readonly type: number;
}

/** The payload of an Ethernet II frame keeps its padding; that of an 802.3 frame ends at its length. */
export function viewEthernet(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < ETHERNET_HEADER) return undefined;
  const type = viewOf(bytes).getUint16(ETHERNET_FIELD.type);
  return layerOf(bytes, ETHERNET_HEADER, type < ETH_P_802_3_MIN ? ETHERNET_HEADER + type : bytes.length);
}

/** The addresses are views. */
export function parseEthernet(header: Uint8Array): EthernetRepr {
  return {
    destination: header.subarray(0, 6),
    source: header.subarray(6, 12),
    type: viewOf(header).getUint16(ETHERNET_FIELD.type),
  };
}

/** Writes 14 bytes. */
export function emitEthernet(repr: EthernetRepr, out: Uint8Array): void {
  out.set(repr.destination, ETHERNET_FIELD.destination);
  out.set(repr.source, ETHERNET_FIELD.source);
  viewOf(out).setUint16(ETHERNET_FIELD.type, repr.type);
}

export function printEthernet(repr: EthernetRepr): string {
  const type = repr.type < ETH_P_802_3_MIN ? "802.3" : `ethertype 0x${repr.type.toString(16).padStart(4, "0")}`;
  return `${formatMac(repr.source)} > ${formatMac(repr.destination)}, ${type}`;
}
