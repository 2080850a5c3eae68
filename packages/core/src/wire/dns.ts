/**
 * The DNS header and question section: what a filter looks at. Resource records are not taken apart.
 * Source: RFC 1035 sections 4.1.1, 4.1.2, 4.1.4; RFC 4035 for AD and CD.
 */
import { viewOf } from "../bytes/index.ts";
import { type Layer, layerOf } from "./layer.ts";

export const DNS_FIELD = { id: 0, flags: 2, questions: 4, answers: 6, authorities: 8, additionals: 10 } as const;
export const DNS_HEADER = 12;
export const DNS_PORT = 53;
export const MDNS_PORT = 5353;

export interface DnsRepr {
  readonly id: number;
  /** False in a query. */
  readonly response: boolean;
  /** 0 is a standard query. */
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  /** The reserved bit. */
  readonly reserved: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** Response code: 0 no error, 3 no such name. */
  readonly code: number;
  readonly questions: number;
  readonly answers: number;
  readonly authorities: number;
  readonly additionals: number;
}

export function viewDns(bytes: Uint8Array): Layer | undefined {
  return layerOf(bytes, DNS_HEADER);
}

export function parseDns(header: Uint8Array): DnsRepr {
  const view = viewOf(header);
  const flags = view.getUint16(DNS_FIELD.flags);
  return {
    id: view.getUint16(DNS_FIELD.id),
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    reserved: (flags & 0x0040) !== 0,
    authenticData: (flags & 0x0020) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
    code: flags & 15,
    questions: view.getUint16(DNS_FIELD.questions),
    answers: view.getUint16(DNS_FIELD.answers),
    authorities: view.getUint16(DNS_FIELD.authorities),
    additionals: view.getUint16(DNS_FIELD.additionals),
  };
}

/** Writes 12 bytes. */
export function emitDns(repr: DnsRepr, out: Uint8Array): void {
  const view = viewOf(out);
  view.setUint16(DNS_FIELD.id, repr.id);
  const flags =
    (repr.response ? 0x8000 : 0) |
    (repr.opcode << 11) |
    (repr.authoritative ? 0x0400 : 0) |
    (repr.truncated ? 0x0200 : 0) |
    (repr.recursionDesired ? 0x0100 : 0) |
    (repr.recursionAvailable ? 0x0080 : 0) |
    (repr.reserved ? 0x0040 : 0) |
    (repr.authenticData ? 0x0020 : 0) |
    (repr.checkingDisabled ? 0x0010 : 0) |
    repr.code;
  view.setUint16(DNS_FIELD.flags, flags);
  view.setUint16(DNS_FIELD.questions, repr.questions);
  view.setUint16(DNS_FIELD.answers, repr.answers);
  view.setUint16(DNS_FIELD.authorities, repr.authorities);
  view.setUint16(DNS_FIELD.additionals, repr.additionals);
}

export interface DnsQuestion {
  /** Its labels' bytes, without the empty last one; the root has none. */
  readonly labels: readonly Uint8Array[];
  /** 1 A, 28 AAAA, … */
  readonly type: number;
  /** 1 Internet. Over mDNS the top bit asks for a unicast answer. */
  readonly class: number;
}

/**
 * The questions of a whole message, as many as its header says; undefined when one is malformed: a label or a pointer
 * beyond the message, a pointer that does not point backwards, a name above 255 bytes.
 */
export function dnsQuestions(message: Uint8Array): DnsQuestion[] | undefined {
  if (message.length < DNS_HEADER) return undefined;
  const view = viewOf(message);
  const out: DnsQuestion[] = [];
  let at = DNS_HEADER;
  for (let n = view.getUint16(DNS_FIELD.questions); n > 0; n--) {
    const name = dnsName(message, at);
    if (!name || name.end + 4 > message.length) return undefined;
    out.push({ labels: name.labels, type: view.getUint16(name.end), class: view.getUint16(name.end + 2) });
    at = name.end + 4;
  }
  return out;
}

/** A name at a place in a message, and where it ends there (behind its first pointer, when it has one). */
export function dnsName(message: Uint8Array, start: number): { labels: Uint8Array[]; end: number } | undefined {
  const labels: Uint8Array[] = [];
  let end: number | undefined;
  let size = 1;
  let at = start;
  // Each pointer must go below the name's last start, so the walk ends.
  let below = start;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return { labels, end: end ?? at + 1 };
    if (length >= 0xc0) {
      const low = message[at + 1];
      if (low === undefined) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= below) return undefined;
      end ??= at + 2;
      at = below = target;
      continue;
    }
    size += length + 1;
    if (length > 63 || size > 255 || at + 1 + length > message.length) return undefined;
    labels.push(message.subarray(at + 1, at + 1 + length));
    at += 1 + length;
  }
}

/** A question's bytes, uncompressed (a new array). */
export function emitDnsQuestion(question: DnsQuestion): Uint8Array {
  const name = question.labels.flatMap((label) => [label.length, ...label]);
  const out = Uint8Array.from([...name, 0, 0, 0, 0, 0]);
  viewOf(out).setUint16(name.length + 1, question.type);
  viewOf(out).setUint16(name.length + 3, question.class);
  return out;
}

/** Dotted, with the last dot; bytes that would mislead a reader as `\ddd` (RFC 1035 section 5.1). */
export function formatDnsName(labels: readonly Uint8Array[]): string {
  const label = (bytes: Uint8Array) =>
    Array.from(bytes, (b) =>
      b <= 32 || b >= 127 || b === 46 || b === 92 ? `\\${String(b).padStart(3, "0")}` : String.fromCharCode(b),
    ).join("");
  return labels.length ? labels.map((l) => `${label(l)}.`).join("") : ".";
}

const TYPES: Readonly<Record<number, string>> = {
  1: "A",
  2: "NS",
  5: "CNAME",
  6: "SOA",
  12: "PTR",
  15: "MX",
  16: "TXT",
  28: "AAAA",
  33: "SRV",
  64: "SVCB",
  65: "HTTPS",
  255: "ANY",
};
const CODES: readonly string[] = ["", " FormErr", " ServFail", " NXDomain", " NotImp", " Refused"];

/** `message` is the whole DNS message. */
export function printDns(repr: DnsRepr, message: Uint8Array): string {
  const questions = dnsQuestions(message);
  if (!questions) return `${repr.id} [malformed question] (${message.length})`;
  const asked = questions.map((q) => ` ${TYPES[q.type] ?? `Type${q.type}`}? ${formatDnsName(q.labels)}`).join("");
  if (!repr.response) return `${repr.id}${repr.recursionDesired ? "+" : ""}${asked} (${message.length})`;
  const flags = `${repr.authoritative ? "*" : ""}${repr.recursionAvailable ? "" : "-"}${repr.truncated ? "|" : ""}`;
  const counts = `${repr.answers}/${repr.authorities}/${repr.additionals}`;
  return `${repr.id}${CODES[repr.code] ?? ` code ${repr.code}`}${flags} ${counts}${asked} (${message.length})`;
}
