/**
 * The shape that every protocol file has, after smoltcp's wire module:
 *
 * - fields: `X_FIELD`, byte offsets in the header, and `X_HEADER`, the least (or fixed) header length;
 * - view: `viewX(bytes)` checks the lengths and gives a `Layer`, or undefined for a malformed packet, and never throws;
 * - repr: `parseX(header)` gives the header's fields as plain values, `emitX(repr, out)` writes them back;
 *   `xLength(repr)` is the header's length where it varies;
 * - print: `printX(repr, …)`, in tcpdump's words.
 *
 * Parsing, then emitting, is the identity on the header's bytes; what a repr cannot say (a reserved bit) is noted there.
 */

/** A checked header and what it carries: two views of the caller's bytes. */
export interface Layer {
  readonly header: Uint8Array;
  /** Ends where the header's own length field says, so padding of the frame is not in it. */
  readonly payload: Uint8Array;
}

/** `headerLength` bytes as header and the rest, up to `end`, as payload; undefined when there are not as many. */
export function layerOf(bytes: Uint8Array, headerLength: number, end = bytes.length): Layer | undefined {
  if (headerLength > end || end > bytes.length) return undefined;
  return { header: bytes.subarray(0, headerLength), payload: bytes.subarray(headerLength, end) };
}
