/** The ten programs of the bench: their packet, what their maps hold, the verdict that every engine must give. */
import { type MapEntry, XdpAction } from "@ebplane/core/object";

export interface BenchProgram {
  /** File in `programs/`, without `.c`; printed with `_` as a space. */
  readonly name: string;
  readonly packet: Uint8Array;
  /** Entries by map name. */
  readonly contents: Readonly<Record<string, readonly MapEntry[]>>;
  readonly verdict: number;
}

const { XDP_DROP, XDP_PASS, XDP_TX } = XdpAction;
const SOURCE = 0x0a000001 + 777;
const SERVICE = 0xc0a80001;

/** Ethernet, IPv4 (no options), TCP ports; padded with a pattern to `length` bytes. */
function tcpPacket(length: number, source: number, destination: number, port: number, tagged = false): Uint8Array {
  const packet = Uint8Array.from({ length }, (_, i) => (i * 7 + 3) & 255);
  const view = new DataView(packet.buffer);
  let at = 12;
  if (tagged) {
    view.setUint16(at, 0x8100);
    view.setUint16(at + 2, 42);
    at += 4;
  }
  view.setUint16(at, 0x0800);
  at += 2;
  view.setUint8(at, 0x45);
  view.setUint16(at + 2, length - at);
  view.setUint16(at + 6, 0x4000);
  view.setUint8(at + 9, 6);
  view.setUint32(at + 12, source);
  view.setUint32(at + 16, destination);
  view.setUint16(at + 20, 51234);
  view.setUint16(at + 22, port);
  return packet;
}

function bytes(length: number, write: (view: DataView) => void): Uint8Array {
  const out = new Uint8Array(length);
  write(new DataView(out.buffer));
  return out;
}
const u32 = (n: number) => bytes(4, (v) => v.setUint32(0, n, true));
const u64 = (n: bigint) => bytes(8, (v) => v.setBigUint64(0, n, true));
/** An address as it stands in a packet. */
const address = (n: number) => bytes(4, (v) => v.setUint32(0, n));

const plain = tcpPacket(64, SOURCE, SERVICE, 443);
const sources: MapEntry[] = Array.from({ length: 1000 }, (_, i) => ({ key: address(0x0a000001 + i), value: u64(0n) }));

/** A thousand prefixes from /8 to /32, the longest ones around the packet's destination. */
function routes(): MapEntry[] {
  const seen = new Map<string, MapEntry>();
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  const add = (prefix: number, addr: number): void => {
    const masked = prefix === 0 ? 0 : (addr & (0xffffffff << (32 - prefix))) >>> 0;
    const key = bytes(8, (v) => {
      v.setUint32(0, prefix, true);
      v.setUint32(4, masked);
    });
    seen.set(`${prefix} ${masked}`, { key, value: u64(BigInt(seen.size) << 1n) });
  };
  for (const prefix of [8, 16, 20, 24, 28]) add(prefix, SERVICE);
  while (seen.size < 1000) {
    const prefix = [8, 12, 16, 20, 22, 24, 24, 24, 28, 32][random() % 10]!;
    const near = random() % 4 === 0;
    add(prefix, near ? ((SERVICE & 0xffff0000) | (random() >>> 16)) >>> 0 : random());
  }
  return [...seen.values()];
}

const l4lbMaps = {
  services: [
    {
      key: bytes(8, (v) => {
        v.setUint32(0, SERVICE);
        v.setUint16(4, 443);
        v.setUint16(6, 6, true);
      }),
      value: bytes(8, (v) => v.setUint32(0, 1, true)),
    },
  ],
  ring: Array.from({ length: 4096 }, (_, i) => ({ key: u32(i), value: u32((i * 31) % 64) })),
  servers: Array.from({ length: 64 }, (_, i) => ({
    key: u32(i),
    value: bytes(12, (v) => {
      v.setUint32(0, 0x0a010000 + i);
      v.setUint16(4, 0x0200);
      v.setUint16(8, i);
    }),
  })),
};

const number = tcpPacket(64, SOURCE, SERVICE, 443);
new DataView(number.buffer).setUint32(16, 1_000_003, true);

export const PROGRAMS: readonly BenchProgram[] = [
  { name: "drop", packet: plain, contents: {}, verdict: XDP_DROP },
  { name: "parse", packet: tcpPacket(64, SOURCE, SERVICE, 443, true), contents: {}, verdict: XDP_PASS },
  { name: "l4lb", packet: plain, contents: l4lbMaps, verdict: XDP_TX },
  { name: "hash_count", packet: plain, contents: { counts: sources }, verdict: XDP_DROP },
  { name: "hash_update", packet: plain, contents: { seen: sources }, verdict: XDP_PASS },
  { name: "lpm", packet: plain, contents: { routes: routes() }, verdict: XDP_PASS },
  { name: "jhash64", packet: plain, contents: {}, verdict: XDP_PASS },
  { name: "siphash", packet: plain, contents: {}, verdict: XDP_PASS },
  { name: "prime", packet: number, contents: {}, verdict: XDP_PASS },
  { name: "csum1500", packet: tcpPacket(1500, SOURCE, SERVICE, 443), contents: {}, verdict: XDP_PASS },
];
