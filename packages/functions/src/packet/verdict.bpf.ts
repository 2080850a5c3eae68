/**
 * What a function of a chain returns: the XDP verdict in the low 3 bits, or CONTINUE to hand the packet on; for
 * XDP_DROP the index of the reason in bits 8 and up. The numbers stand also in plane/layout.ts.
 */
import { u32, XDP_DROP } from "ebplane/bpf";

export const CONTINUE = 5;

export function drop(reason: u32): u32 {
  return u32(XDP_DROP) | (reason << 8);
}
