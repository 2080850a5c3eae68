/** Addresses as text to the bytes that netlink carries, and back. Strict: no octal, no missing parts, no zone. */
import { isIPv4, isIPv6 } from "node:net";

/** 4 or 16 bytes in network order. @throws RangeError for anything else than an IPv4 or IPv6 address. */
export function ipBytes(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split("."), Number);
  if (!isIPv6(text) || text.includes("%")) {
    throw new RangeError(`address ${JSON.stringify(text)}: expected an IPv4 or IPv6 address`);
  }
  // A dotted tail stands for the last two groups.
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted ? ipBytes(dotted[2]!) : undefined;
  const groups = tail
    ? `${dotted![1]}${((tail[0]! << 8) | tail[1]!).toString(16)}:${((tail[2]! << 8) | tail[3]!).toString(16)}`
    : text;
  const [head, rest] = groups.split("::").map((part) => (part === "" ? [] : part.split(":")));
  const fill = rest === undefined ? [] : Array<string>(8 - head!.length - rest.length).fill("0");
  const out = new Uint8Array(16);
  [...head!, ...fill, ...(rest ?? [])].forEach((group, i) => {
    const value = Number.parseInt(group, 16);
    out[i * 2] = value >> 8;
    out[i * 2 + 1] = value;
  });
  return out;
}

/** The text of 4 or 16 bytes; IPv6 in the form of RFC 5952. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2]! << 8) | bytes[i * 2 + 1]!).toString(16));
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === "0") length++;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return groups.join(":");
  return `${groups.slice(0, best.at).join(":")}::${groups.slice(best.at + best.length).join(":")}`;
}

/** An address with its prefix length: `10.0.0.1/24`. Without one: a host, /32 or /128. */
export function parsePrefix(text: string): { address: Uint8Array; length: number } {
  const [ip, length] = text.split("/", 2);
  const address = ipBytes(ip!);
  const max = address.length * 8;
  if (length === undefined) return { address, length: max };
  if (!/^\d{1,3}$/.test(length) || Number(length) > max) {
    throw new RangeError(`prefix ${JSON.stringify(text)}: expected a length from 0 to ${max}`);
  }
  return { address, length: Number(length) };
}

/** 6 bytes. @throws RangeError unless `text` is six hex pairs joined by colons. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new RangeError(`mac ${JSON.stringify(text)}: expected six hex pairs like 02:00:00:00:00:01`);
  }
  return Uint8Array.from(text.split(":"), (pair) => Number.parseInt(pair, 16));
}

export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(":");
}
