/**
 * What a verifier's rejection means in the source. The compiler remembers what the source calls the memory that an
 * instruction touches; with the verifier's own words that tells which test is missing.
 */
import type { AccessSite, IndexSite, Lowered, SizeSite } from "./lower/index.ts";

/** Both verifiers' words for an access through something that is no (longer an) address. */
const NO_ADDRESS = /invalid mem access '(?:scalar|inv)'|not a pointer|is no address|holds a number|a scalar/i;
/** … for an access that may end behind the packet. */
const BEYOND =
  /invalid access to packet|packet range|offset is outside of the packet|of the packet|no comparison with data_end/i;
/** … for a number of bytes that a helper is told. */
const TOO_MANY =
  /inside the stack|(?:to|from) stack|access to map value|min value is negative|unbounded memory|bytes at|memory/i;
/** … for what a younger kernel has. */
const YOUNGER = /(?:needs|came with) Linux \d/;
/** … for loops that do not end, or not soon enough. */
const ENDLESS = /infinite loop|never ends|back-edge/i;
const TOO_LONG = /too large|complexity|too complex|instructions were walked|too many paths|sequence of \d+ jumps/i;

/** The missing test, or what else helps; undefined where only the verifier's words are known. */
export function missingCheck(lowered: Lowered, at: number | undefined, reason: string): string | undefined {
  // Another kernel would take it: no test is missing.
  if (YOUNGER.test(reason)) return undefined;
  if (ENDLESS.test(reason)) return "this loop may never end: change what its condition tests on every round";
  if (TOO_LONG.test(reason)) {
    return "the verifier gives up on this program: bound loops more tightly, test less inside of them, or split the program with a tail call";
  }
  const access = at === undefined ? undefined : lowered.accessSites.get(at);
  if (access?.packet && NO_ADDRESS.test(reason)) {
    return `${nameText(access)} was taken before the packet moved (a helper that changes it was called since): take it again after the call`;
  }
  const index = at === undefined ? undefined : lowered.indexSites.get(at);
  if (index) return indexText(index);
  const memory = at === undefined ? undefined : lowered.sizeSites.get(at);
  if (memory && TOO_MANY.test(reason)) return sizeText(memory);
  if (access?.packet && BEYOND.test(reason)) {
    return `${nameText(access)} may lie beyond the packet end here: test it (if (!${access.name || "x"}) return …), or take it again with take(${access.type}); an offset that the program computes must stay below 65536 with the header's size`;
  }
  return undefined;
}

function nameText({ name, type }: AccessSite): string {
  return name ? `\`${name}\`` : `this ${type}`;
}

function sizeText({ memory, bytes, size }: SizeSite): string {
  const n = bytes || "n";
  return `${bytes ? `\`${bytes}\`` : "the number of bytes"} may be more than ${memory ? `\`${memory}\`` : "the memory"} has, or 0: it has ${size} bytes: test it (if (${n} > 0 && ${n} <= ${size}) …)`;
}

function indexText({ array, index, length }: IndexSite): string {
  const mask = (length & (length - 1)) === 0 ? `, or mask it (${index || "i"} & ${length - 1})` : "";
  const what = index ? `\`${index}\`` : "the index";
  return `${what} may lie outside ${array ? `\`${array}\`` : "the array"} here, which has ${length} elements: test it (if (${index || "i"} < ${length}) …)${mask}`;
}
