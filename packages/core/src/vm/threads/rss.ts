/**
 * Receive side scaling: which CPU a packet goes to, as network cards decide it. The Toeplitz hash over the flow's
 * addresses and ports picks an entry of an indirection table, and the entry names the CPU; so all packets of a flow
 * meet the same CPU, in order.
 *
 * Left out: IPv6's _EX hash types (home address option, routing header) and hashes over the inside of tunnels.
 * Source: Microsoft, "RSS Hashing Types" and "RSS Hashing Functions" (NDIS); Documentation/networking/scaling.rst.
 */
import { ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPPROTO_UDP } from "../../wire/index.ts";

/** Bytes of a key: enough for the widest input (two IPv6 addresses and two ports, 36 bytes) and 32 bits more. */
export const RSS_KEY_SIZE = 40;
const MAX_INPUT = 36;
const ETH_HEADER = 14;
const VLAN_HEADER = 4;
const MAX_VLANS = 2;

/** The key of Microsoft's verification suite: what many drivers begin with. */
export const RSS_DEFAULT_KEY: Uint8Array = Uint8Array.of(
  ...[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca],
  ...[0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b],
  ...[0xbe, 0xac, 0x01, 0xfa],
);

/** A key of period 16 bits: both directions of a flow get the same hash. */
export const RSS_SYMMETRIC_KEY: Uint8Array = Uint8Array.from({ length: RSS_KEY_SIZE }, (_, i) => (i % 2 ? 0x5a : 0x6d));

export interface RssOptions {
  /** CPUs that the default table spreads over, round robin. */
  readonly cpus: number;
  /** 40 bytes. Default: Microsoft's. */
  readonly key?: Uint8Array;
  /** CPU of each entry, a power of two of them; ethtool -X. Default 128 entries. */
  readonly table?: readonly number[];
  /** False: UDP is hashed by its addresses alone, so that fragments stay with their first. Default true. */
  readonly udpPorts?: boolean;
}

export interface Rss {
  /** The 32-bit Toeplitz hash of an Ethernet frame, unsigned; undefined for what is neither IPv4 nor IPv6. */
  hash(frame: Uint8Array): number | undefined;
  /** The CPU of an Ethernet frame; entry 0's for what has no hash. */
  steer(frame: Uint8Array): number;
}

/**
 * The Toeplitz hash of `input`, unsigned: the XOR of the 32 key bits from i on for each bit i of the input that is set,
 * both counted from the most significant bit of byte 0.
 * @throws RangeError for an input that the key is too short for.
 */
export function toeplitz(key: Uint8Array, input: Uint8Array): number {
  if (input.length + 4 > key.length) {
    throw new RangeError(`toeplitz: expected at most ${key.length - 4} bytes for this key, got ${input.length}`);
  }
  let hash = 0;
  for (let i = 0; i < input.length; i++) {
    for (let bit = 0; bit < 8; bit++) if (input[i]! & (0x80 >> bit)) hash ^= window(key, 8 * i + bit);
  }
  return hash >>> 0;
}

/** The 32 key bits from bit `at` on. */
function window(key: Uint8Array, at: number): number {
  const byte = at >> 3;
  const word = (key[byte]! << 24) | (key[byte + 1]! << 16) | (key[byte + 2]! << 8) | key[byte + 3]!;
  const shift = at & 7;
  return shift ? (word << shift) | (key[byte + 4]! >> (8 - shift)) : word;
}

/** @throws RangeError for a key of another size, a table whose size is no power of two, or a CPU that is not there. */
export function createRss(options: RssOptions): Rss {
  const { cpus, key = RSS_DEFAULT_KEY, udpPorts = true } = options;
  const table = Uint32Array.from(options.table ?? Array.from({ length: 128 }, (_, i) => i % cpus));
  if (key.length !== RSS_KEY_SIZE) throw new RangeError(`rss key: expected ${RSS_KEY_SIZE} bytes, got ${key.length}`);
  if (!table.length || table.length & (table.length - 1)) {
    throw new RangeError(`rss table: expected a power of two entries, got ${table.length}`);
  }
  const stray = table.findIndex((cpu) => cpu >= cpus);
  if (stray >= 0) throw new RangeError(`rss table: entry ${stray}: expected a cpu below ${cpus}, got ${table[stray]}`);

  // The hash is linear: what each value of each input byte adds to it, once.
  const parts = new Uint32Array(MAX_INPUT * 256);
  const input = new Uint8Array(MAX_INPUT);
  for (let i = 0; i < MAX_INPUT; i++) {
    for (let value = 1; value < 256; value++) {
      input[i] = value;
      parts[i * 256 + value] = toeplitz(key, input);
    }
    input[i] = 0;
  }
  const sum = (frame: Uint8Array, from: number, length: number, place: number): number => {
    let hash = 0;
    for (let i = 0; i < length; i++) hash ^= parts[(place + i) * 256 + frame[from + i]!]!;
    return hash;
  };
  const hasPorts = (protocol: number) => protocol === IPPROTO_TCP || (protocol === IPPROTO_UDP && udpPorts);

  const hash = (frame: Uint8Array): number | undefined => {
    let network = ETH_HEADER;
    let type = u16(frame, network - 2);
    for (let i = 0; i < MAX_VLANS && (type === ETH_P_8021Q || type === ETH_P_8021AD); i++) {
      network += VLAN_HEADER;
      type = u16(frame, network - 2);
    }
    if (type === ETH_P_IP && frame.length >= network + 20 && frame[network]! >> 4 === 4) {
      const transport = network + 4 * (frame[network]! & 15);
      let h = sum(frame, network + 12, 8, 0);
      // Fragments (more to come, or an offset) go by their addresses: all but the first have no ports.
      const whole = (u16(frame, network + 6) & 0x3fff) === 0;
      if (whole && hasPorts(frame[network + 9]!) && frame.length >= transport + 4) h ^= sum(frame, transport, 4, 8);
      return h >>> 0;
    }
    if (type === ETH_P_IPV6 && frame.length >= network + 40 && frame[network]! >> 4 === 6) {
      let h = sum(frame, network + 8, 32, 0);
      if (hasPorts(frame[network + 6]!) && frame.length >= network + 44) h ^= sum(frame, network + 40, 4, 32);
      return h >>> 0;
    }
    return undefined;
  };
  const mask = table.length - 1;
  return { hash, steer: (frame) => table[(hash(frame) ?? 0) & mask]! };
}

/** Big-endian; 0 beyond the end. */
function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
