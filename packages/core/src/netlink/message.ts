/**
 * The netlink wire format: message headers and attributes. Pure bytes, no sockets. Numbers are in the machine's byte
 * order, which is little-endian on everything this package runs on; the few big-endian fields say so where they occur.
 * Source: include/uapi/linux/netlink.h.
 */
import { concatBytes, viewOf } from "../bytes/index.ts";
import { SysError } from "../errors/index.ts";
import { formatIp } from "../wire/index.ts";

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
const NLMSG_ALIGN = 4;
const HEADER = 16;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_MULTI = 0x02;
export const NLM_F_ACK = 0x04;
/** The dump may be inconsistent: what was dumped changed meanwhile. */
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_DUMP = 0x300;

/**
 * How something new meets what is there: `add` is refused (EEXIST), `replace` takes its place or comes, `change` needs it
 * (ENOENT), `append` stands beside it.
 */
export type How = "add" | "replace" | "change" | "append";
export const HOW: Readonly<Record<How, number>> = {
  add: NLM_F_CREATE | NLM_F_EXCL,
  replace: NLM_F_CREATE | NLM_F_REPLACE,
  change: NLM_F_REPLACE,
  append: NLM_F_CREATE | NLM_F_APPEND,
};

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** One attribute to be encoded: its type and its payload, or the attributes nested in it. */
export type Attr = readonly [type: number, value: Uint8Array | readonly Attr[]];

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  /** What follows the 16-byte header; a copy. */
  readonly body: Uint8Array;
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

export function u16(value: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(value).buffer);
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** UTF-8 with a terminating NUL, as names are passed. */
export function cstring(text: string): Uint8Array {
  return concatBytes([new TextEncoder().encode(text), new Uint8Array(1)]);
}

/** A whole request message. */
export function encodeMessage(type: number, flags: number, seq: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER + body.length);
  const view = viewOf(out);
  view.setUint32(0, out.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, seq, true);
  out.set(body, HEADER);
  return out;
}

/** A family header (`struct ifinfomsg` and the like) followed by attributes. */
export function encodeBody(header: Uint8Array, attrs: readonly Attr[]): Uint8Array {
  return concatBytes([pad(header), encodeAttrs(attrs)]);
}

export function encodeAttrs(attrs: readonly Attr[]): Uint8Array {
  return concatBytes(
    attrs.map(([type, value]) => {
      const nested = !(value instanceof Uint8Array);
      const payload = nested ? encodeAttrs(value) : value;
      const head = new Uint8Array(4);
      viewOf(head).setUint16(0, 4 + payload.length, true);
      viewOf(head).setUint16(2, nested ? type | NLA_F_NESTED : type, true);
      return pad(concatBytes([head, payload]));
    }),
  );
}

/** The messages in one datagram. What is cut off at its end is left out. */
export function* decodeMessages(data: Uint8Array): Generator<Message> {
  const view = viewOf(data);
  for (let at = 0; at + HEADER <= data.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > data.length) return;
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      body: data.slice(at + HEADER, at + length),
    };
    at += align(length);
  }
}

/**
 * Attributes by type; of a type that occurs twice the last. `attrList` keeps all.
 * The payloads are views on `data`.
 */
export function decodeAttrs(data: Uint8Array): Map<number, Uint8Array> {
  return new Map(attrList(data));
}

export function attrList(data: Uint8Array): [type: number, value: Uint8Array][] {
  const view = viewOf(data);
  const out: [number, Uint8Array][] = [];
  for (let at = 0; at + 4 <= data.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > data.length) break;
    out.push([view.getUint16(at + 2, true) & NLA_TYPE_MASK, data.subarray(at + 4, at + length)]);
    at += align(length);
  }
  return out;
}

/**
 * A body taken apart: its family header of `size` bytes as a view, and the attributes behind it.
 * @throws SysError EBADMSG when there is less than the header.
 */
export function splitBody({ type, body }: Message, size: number): { view: DataView; attrs: Map<number, Uint8Array> } {
  if (body.length < size) {
    throw new SysError("netlink", 74, "EBADMSG", `message of type ${type}: need ${size} bytes, have ${body.length}`);
  }
  return { view: viewOf(body), attrs: decodeAttrs(body.subarray(size)) };
}

/** The answer of a GET that is no dump. @throws SysError EBADMSG when there came none before the acknowledgement. */
export function onlyAnswer(what: string, messages: readonly Message[]): Message {
  const [first] = messages;
  if (!first) throw new SysError(`netlink ${what}`, 74, "EBADMSG", "acknowledged without an answer");
  return first;
}

export function getU8(value: Uint8Array | undefined): number | undefined {
  return value?.[0];
}

export function getU16(value: Uint8Array | undefined): number | undefined {
  return value && value.length >= 2 ? viewOf(value).getUint16(0, true) : undefined;
}

export function getU32(value: Uint8Array | undefined): number | undefined {
  return value && value.length >= 4 ? viewOf(value).getUint32(0, true) : undefined;
}

export function getU64(value: Uint8Array | undefined): bigint | undefined {
  return value && value.length >= 8 ? viewOf(value).getBigUint64(0, true) : undefined;
}

/** An IPv4 or IPv6 address as text; undefined for any other length. */
export function getIp(value: Uint8Array | undefined): string | undefined {
  return value && (value.length === 4 || value.length === 16) ? formatIp(value) : undefined;
}

export function getString(value: Uint8Array | undefined): string | undefined {
  if (!value) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** An NLMSG_ERROR: `errno` positive or 0 for an acknowledgement, with the kernel's own words where it has any. */
export interface Ack {
  readonly errno: number;
  readonly message: string | undefined;
  /** Byte offset in the request of what was wrong with it. */
  readonly offset: number | undefined;
}

export function decodeAck(ack: Message): Ack {
  const NLMSGERR_ATTR_MSG = 1;
  const NLMSGERR_ATTR_OFFS = 2;
  const { body, flags } = ack;
  const { view } = splitBody(ack, 4);
  // `| 0` for the acknowledgement: -0 is another number.
  const errno = -view.getInt32(0, true) | 0;
  if (!(flags & NLM_F_ACK_TLVS) || body.length < 4 + HEADER) return { errno, message: undefined, offset: undefined };
  // The request is echoed after the errno: only its header when capped.
  const echoed = flags & NLM_F_CAPPED ? HEADER : align(view.getUint32(4, true));
  const attrs = decodeAttrs(body.subarray(Math.min(4 + echoed, body.length)));
  return { errno, message: getString(attrs.get(NLMSGERR_ATTR_MSG)), offset: getU32(attrs.get(NLMSGERR_ATTR_OFFS)) };
}

function align(length: number): number {
  return (length + NLMSG_ALIGN - 1) & -NLMSG_ALIGN;
}

function pad(bytes: Uint8Array): Uint8Array {
  const size = align(bytes.length);
  if (size === bytes.length) return bytes;
  const out = new Uint8Array(size);
  out.set(bytes);
  return out;
}
