/**
 * The Internet checksum (RFC 1071), its incremental update (RFC 1624), pseudo headers, and SCTP's CRC32c.
 * Sums are plain numbers in host order of big-endian 16-bit words: store a checksum with `setUint16(at, value)`.
 */

/** Adds big-endian 16-bit words (an odd last byte is the upper half of a word) to a running sum of at most 2^32. */
export function sumWords(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (even < bytes.length) sum += bytes[even]! << 8;
  return fold(sum);
}

/** End-around carry down to 16 bits. */
function fold(sum: number): number {
  let s = sum;
  while (s > 0xffff) s = (s % 0x10000) + Math.floor(s / 0x10000);
  return s;
}

/** The ones' complement of the sum: what goes into a checksum field that held 0 while summing. */
export function internetChecksum(bytes: Uint8Array, initial = 0): number {
  return ~sumWords(bytes, initial) & 0xffff;
}

/**
 * The sum of a pseudo header, as `initial` for the segment's own checksum. Addresses are 4 bytes (RFC 768, 9293) or
 * 16 (RFC 8200 section 8.1); `length` is the segment's, header included.
 */
export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  return fold(sumWords(source) + sumWords(destination) + protocol + (length >>> 16) + (length & 0xffff));
}

/** True when a segment with its checksum in place sums to all ones. */
export function checksumHolds(bytes: Uint8Array, initial = 0): boolean {
  return sumWords(bytes, initial) === 0xffff;
}

/**
 * The checksum after one 16-bit word changed: `~(~HC + ~m + m')`, RFC 1624 equation 3, which unlike RFC 1141's form
 * never turns a zero sum into the other zero.
 */
export function updateChecksum(checksum: number, before: number, after: number): number {
  return ~fold((~checksum & 0xffff) + (~before & 0xffff) + after) & 0xffff;
}

/** The checksum after bytes at an even offset were replaced by as many others, e.g. an address. */
export function updateChecksumBytes(checksum: number, before: Uint8Array, after: Uint8Array): number {
  const gone = ~sumWords(before) & 0xffff;
  return ~fold((~checksum & 0xffff) + gone + sumWords(after)) & 0xffff;
}

/** CRC32c by bytes. Source: RFC 9260 appendix A, polynomial 0x1edc6f41 reflected. */
const CRC32C = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC32c of the bytes. SCTP stores it little-endian, over the packet with the field as 0. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC32C[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
