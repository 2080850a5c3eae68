/** Geneve: a frame or packet in UDP port 6081, with options. Source: RFC 8926. */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const GENEVE_FIELD = { versionLength: 0, flags: 1, protocol: 2, vni: 4, options: 8 } as const;
/** Without options; with them at most 260. */
export const GENEVE_HEADER = 8;
export const GENEVE_PORT = 6081;

export interface GeneveRepr {
  /** A control packet: not for the tenant. */
  readonly control: boolean;
  /** Some option must be understood or the packet dropped. */
  readonly critical: boolean;
  /** An EtherType; 0x6558 is an Ethernet frame. */
  readonly protocol: number;
  /** 24 bits. */
  readonly vni: number;
  /** A multiple of 4 bytes, up to 252; see `geneveOptions`. */
  readonly options: Uint8Array;
}

export function geneveLength(repr: Pick<GeneveRepr, "options">): number {
  return GENEVE_HEADER + repr.options.length;
}

/** Version 0 only. */
export function viewGeneve(bytes: Uint8Array): Layer | undefined {
  if (bytes.length < GENEVE_HEADER || bytes[0]! >> 6 !== 0) return undefined;
  return layerOf(bytes, GENEVE_HEADER + (bytes[0]! & 63) * 4);
}

/** The options are a view. */
export function parseGeneve(header: Uint8Array): GeneveRepr {
  const view = viewOf(header);
  return {
    control: (header[GENEVE_FIELD.flags]! & 0x80) !== 0,
    critical: (header[GENEVE_FIELD.flags]! & 0x40) !== 0,
    protocol: view.getUint16(GENEVE_FIELD.protocol),
    vni: view.getUint32(GENEVE_FIELD.vni) >>> 8,
    options: header.subarray(GENEVE_FIELD.options),
  };
}

/** Writes `geneveLength(repr)` bytes. */
export function emitGeneve(repr: GeneveRepr, out: Uint8Array): void {
  const view = viewOf(out);
  out[GENEVE_FIELD.versionLength] = repr.options.length / 4;
  out[GENEVE_FIELD.flags] = (repr.control ? 0x80 : 0) | (repr.critical ? 0x40 : 0);
  view.setUint16(GENEVE_FIELD.protocol, repr.protocol);
  view.setUint32(GENEVE_FIELD.vni, repr.vni * 256);
  out.set(repr.options, GENEVE_FIELD.options);
}

/** One option; bit 7 of `type` says that it is critical. */
export interface GeneveOption {
  readonly class: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** Undefined when an option goes beyond the list. */
export function geneveOptions(options: Uint8Array): GeneveOption[] | undefined {
  const out: GeneveOption[] = [];
  const view = viewOf(options);
  for (let at = 0; at < options.length; ) {
    if (at + 4 > options.length) return undefined;
    const end = at + 4 + (options[at + 3]! & 31) * 4;
    if (end > options.length) return undefined;
    out.push({ class: view.getUint16(at), type: options[at + 2]!, data: options.subarray(at + 4, end) });
    at = end;
  }
  return out;
}

export function printGeneve(repr: GeneveRepr): string {
  const flags = `${repr.control ? "O" : ""}${repr.critical ? "C" : ""}` || "none";
  const options = repr.options.length ? `, options [${repr.options.length} bytes]` : "";
  return `Geneve, Flags [${flags}], vni 0x${repr.vni.toString(16)}${options}`;
}
