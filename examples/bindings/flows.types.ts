/** Types of flows, written by `ebplane types`: do not edit. */
import type { TypedMap } from "@ebplane/core/elf";
import type { Program } from "@ebplane/core/object";

/** A number in network byte order on the wire; an IPv4 address also as text when writing. */
export type Be32 = number | `${number}.${number}.${number}.${number}`;
/** A number in network byte order on the wire. */
export type Be16 = number;
/** A number in network byte order on the wire. */
export type Be64 = bigint;
/** Bytes; an address (MAC of 6, IPv6 of 16) also as text when writing. */
export type Address = readonly number[] | Uint8Array | string;

/** `struct Key`, 16 bytes. */
export interface Key {
  /** `be32`, byte 0, 4 bytes. */ readonly saddr: Be32;
  /** `be32`, byte 4, 4 bytes. */ readonly daddr: Be32;
  /** `be16`, byte 8, 2 bytes. */ readonly sport: Be16;
  /** `be16`, byte 10, 2 bytes. */ readonly dport: Be16;
  /** `u8`, byte 12, 1 byte. */ readonly proto: number;
  /** `u8[3]`, byte 13, 3 bytes. */ readonly pad?: readonly number[];
}

/** `struct Flow`, 24 bytes. */
export interface Flow {
  /** `u64`, byte 0, 8 bytes. */ readonly packets: bigint;
  /** `u64`, byte 8, 8 bytes. */ readonly bytes: bigint;
  /** `u64`, byte 16, 8 bytes. */ readonly last: bigint;
}

export interface FlowsMaps {
  /** lru_hash, 65536 entries. */
  readonly flows: TypedMap<Key, Flow>;
}

export type FlowsVariables = object;

export interface FlowsPrograms {
  /** xdp, xdp. */
  readonly countFlows: Program;
}

export type FlowsStructs = object;
