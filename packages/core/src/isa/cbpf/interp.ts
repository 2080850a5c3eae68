/** The interpreter of checked classic programs. Source: the BSD Packet Filter paper; net/core/filter.c for SKF_AD_*. */
import { viewOf } from "../../bytes/index.ts";
import { BPF_MEMWORDS, type ClassicInsn, SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF, SkfAd } from "./insn.ts";
import { payloadOffset } from "./payload.ts";

/** What the extensions answer; absent ones are 0. */
export interface ClassicPacket {
  /** From where the socket sees it (a packet socket: the link header). */
  readonly bytes: Uint8Array;
  /** Where the network header and the link header begin in `bytes`. */
  readonly network?: number;
  readonly link?: number;
  /** Wire length where it is more than `bytes`. */
  readonly length?: number;
  /** EtherType, host order. */
  readonly protocol?: number;
  readonly pktType?: number;
  readonly ifindex?: number;
  readonly mark?: number;
  readonly queue?: number;
  readonly hatype?: number;
  readonly rxhash?: number;
  readonly cpu?: number;
  readonly vlanTci?: number;
  readonly vlanPresent?: boolean;
  readonly vlanTpid?: number;
  readonly random?: () => number;
}

/** Bytes of the packet to keep, unsigned: 0 drops it. The program must have passed `checkClassic`. */
export function runClassic(insns: readonly ClassicInsn[], packet: ClassicPacket): number {
  const view = viewOf(packet.bytes);
  const memory = new Uint32Array(BPF_MEMWORDS);
  const length = packet.length ?? packet.bytes.length;
  let a = 0;
  let x = 0;
  for (let pc = 0; ; pc++) {
    const { code, jt, jf, k } = insns[pc]!;
    const y = code & 8 ? x : k;
    switch (code) {
      case 0x00:
        a = k;
        break;
      case 0x01:
        x = k;
        break;
      case 0x20:
      case 0x28:
      case 0x30: {
        const offset = k | 0;
        if (offset < 0 && offset >= SKF_AD_OFF) {
          a = extension(packet, offset - SKF_AD_OFF, a, x);
          break;
        }
        const value = load(view, packet, offset, code);
        if (value === undefined) return 0;
        a = value;
        break;
      }
      case 0x40:
      case 0x48:
      case 0x50: {
        const value = load(view, packet, (x + k) | 0, code);
        if (value === undefined) return 0;
        a = value;
        break;
      }
      case 0xb1: {
        const value = load(view, packet, k | 0, 0x30);
        if (value === undefined) return 0;
        x = (value & 15) << 2;
        break;
      }
      case 0x60:
        a = memory[k]!;
        break;
      case 0x61:
        x = memory[k]!;
        break;
      case 0x80:
        a = length;
        break;
      case 0x81:
        x = length;
        break;
      case 0x02:
        memory[k] = a;
        break;
      case 0x03:
        memory[k] = x;
        break;
      case 0x04:
      case 0x0c:
        a = (a + y) >>> 0;
        break;
      case 0x14:
      case 0x1c:
        a = (a - y) >>> 0;
        break;
      case 0x24:
      case 0x2c:
        a = Math.imul(a, y) >>> 0;
        break;
      case 0x34:
      case 0x3c:
        if (y === 0) return 0;
        a = Math.floor(a / y);
        break;
      case 0x94:
      case 0x9c:
        if (y === 0) return 0;
        a %= y;
        break;
      case 0x44:
      case 0x4c:
        a = (a | y) >>> 0;
        break;
      case 0x54:
      case 0x5c:
        a = (a & y) >>> 0;
        break;
      case 0xa4:
      case 0xac:
        a = (a ^ y) >>> 0;
        break;
      case 0x64:
      case 0x6c:
        a = (a << y) >>> 0;
        break;
      case 0x74:
      case 0x7c:
        a >>>= y;
        break;
      case 0x84:
        a = -a >>> 0;
        break;
      case 0x05:
        pc += k;
        break;
      case 0x15:
      case 0x1d:
        pc += a === y ? jt : jf;
        break;
      case 0x25:
      case 0x2d:
        pc += a > y ? jt : jf;
        break;
      case 0x35:
      case 0x3d:
        pc += a >= y ? jt : jf;
        break;
      case 0x45:
      case 0x4d:
        pc += a & y ? jt : jf;
        break;
      case 0x07:
        x = a;
        break;
      case 0x87:
        a = x;
        break;
      case 0x06:
        return k;
      case 0x16:
        return a;
      default:
        throw new RangeError(`insn ${pc}: code 0x${code.toString(16)} did not pass the checker`);
    }
  }
}

/** A big-endian word, half or byte; undefined beyond the packet. */
function load(view: DataView, packet: ClassicPacket, offset: number, code: number): number | undefined {
  const size = code & 0x10 ? 1 : code & 0x08 ? 2 : 4;
  let at = offset;
  if (offset < 0) {
    if (offset >= SKF_NET_OFF && packet.network !== undefined) at = packet.network + offset - SKF_NET_OFF;
    else if (offset >= SKF_LL_OFF && offset < SKF_NET_OFF && packet.link !== undefined) {
      at = packet.link + offset - SKF_LL_OFF;
    } else return undefined;
  }
  if (at < 0 || at + size > view.byteLength) return undefined;
  return size === 4 ? view.getUint32(at) : size === 2 ? view.getUint16(at) : view.getUint8(at);
}

function extension(packet: ClassicPacket, number: number, a: number, x: number): number {
  switch (number) {
    case SkfAd.PROTOCOL:
      return packet.protocol ?? 0;
    case SkfAd.PKTTYPE:
      return packet.pktType ?? 0;
    case SkfAd.IFINDEX:
      return packet.ifindex ?? 0;
    case SkfAd.MARK:
      return packet.mark ?? 0;
    case SkfAd.QUEUE:
      return packet.queue ?? 0;
    case SkfAd.HATYPE:
      return packet.hatype ?? 0;
    case SkfAd.RXHASH:
      return packet.rxhash ?? 0;
    case SkfAd.CPU:
      return packet.cpu ?? 0;
    case SkfAd.ALU_XOR_X:
      return (a ^ x) >>> 0;
    case SkfAd.VLAN_TAG:
      return packet.vlanTci ?? 0;
    case SkfAd.VLAN_TAG_PRESENT:
      return packet.vlanPresent ? 1 : 0;
    case SkfAd.RANDOM:
      return (packet.random?.() ?? 0) >>> 0;
    case SkfAd.VLAN_TPID:
      return packet.vlanTpid ?? 0;
    case SkfAd.NLATTR:
      return findAttribute(packet.bytes, a, x);
    case SkfAd.NLATTR_NEST: {
      const { bytes } = packet;
      if (a + 4 > bytes.length) return 0;
      const length = bytes[a]! | (bytes[a + 1]! << 8);
      if (length > bytes.length - a) return 0;
      return findAttribute(bytes.subarray(0, a + length), a + 4, x);
    }
    case SkfAd.PAY_OFFSET:
      return payloadOffset(packet.bytes, packet.network ?? 0, packet.protocol ?? 0);
    default:
      throw new RangeError(`extension ${number} did not pass the checker`);
  }
}

/** The offset of the netlink attribute of type `x` from offset `a` on, 0 without one. */
function findAttribute(bytes: Uint8Array, a: number, x: number): number {
  if (bytes.length < 4 || a > bytes.length - 4) return 0;
  for (let at = a; at + 4 <= bytes.length; ) {
    const length = bytes[at]! | (bytes[at + 1]! << 8);
    const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff;
    if (length < 4 || length > bytes.length - at) return 0;
    if (type === x) return at;
    at += (length + 3) & ~3;
  }
  return 0;
}
