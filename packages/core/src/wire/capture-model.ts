/** What a capture file holds, whatever its format: packets, the interfaces they came from, a cut at the end. */

/** Link types of the files that ebplane meets. Source: the tcpdump group's list of LINKTYPE_ values. */
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
export const LINKTYPE_LINUX_SLL = 113;

/** No record holds more than this many bytes, whatever its file says. Source: libpcap, MAXIMUM_SNAPLEN. */
export const MAX_CAPTURED = 256 * 1024;

/** One packet of a file. */
export interface CapturedPacket {
  /** Its number in the file, from 1. */
  readonly record: number;
  /** Since 1970-01-01 UTC, in nanoseconds. 0 in a pcapng simple packet, which has none. */
  readonly timestampNs: bigint;
  /** A view of the file's bytes: valid as long as they are. */
  readonly bytes: Uint8Array;
  /** Bytes on the wire; more than `bytes.length` when the capture cut it short. */
  readonly originalLength: number;
  /** Index into the capture's `interfaces`; always 0 in a pcap. */
  readonly iface: number;
  readonly linkType: number;
}

/** Where packets came from. A pcap has exactly one, without a name. */
export interface CaptureInterface {
  readonly linkType: number;
  /** Most bytes that it kept of a packet; 0 is no limit. */
  readonly snapLength: number;
  readonly name?: string;
}

/** The file ends inside a record: all packets before it were delivered. */
export interface Truncation {
  /** The number, from 1, that the cut packet would have. */
  readonly record: number;
  /** The byte offset at which the cut record or block starts. */
  readonly offset: number;
  /** In words, for a person. */
  readonly message: string;
}

/** An open file: iterate it for the packets. What the fields say about pcapng grows while one iterates. */
export interface CaptureReader extends Iterable<CapturedPacket> {
  readonly format: "pcap" | "pcapng";
  /** Of the file's first section. */
  readonly byteOrder: "little" | "big";
  /** Digits after the second in a pcap's time stamps: 6 or 9. A pcapng has it per interface: undefined. */
  readonly timestampDigits: 6 | 9 | undefined;
  readonly interfaces: readonly CaptureInterface[];
  /** Set once the iteration met a cut record. */
  readonly truncated: Truncation | undefined;
  /** Blocks of a pcapng that were skipped since they are of an unknown or custom type. */
  readonly skippedBlocks: number;
}
