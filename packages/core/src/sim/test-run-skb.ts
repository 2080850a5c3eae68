/**
 * Test runs on `__sk_buff`: sched_cls and sched_act see the link header, the others begin at the network header and
 * get zeros in place of the link header back. Source: `bpf_prog_test_run_skb`, `convert___skb_to_skb` of 6.18.
 */
import { Errno } from "../errors/index.ts";
import type { Memory } from "../mem/index.ts";
import { ProgType, type TestRunResult } from "../object/index.ts";
import { SKB, SkbBuffer, type SkbMeta, SocketBuffer, type SocketInfo } from "../vm/index.ts";
import { checkFrame, ctxAfter, ctxOf, expectZero, refuse, type TestRun, timed } from "./test-run.ts";

const ETH_HLEN = 14;
/** A page without the headroom of an skb and its skb_shared_info. */
export const LONGEST = 4096 - 64 - 320;
const LOOPBACK = 1;
const MAX_WIRE_LENGTH = 65536;
const MAX_GSO_SEGS = 65535;
const AF_INET = 2;
const AF_INET6 = 10;
const PACKET_MULTICAST = 2;
const PACKET_OTHERHOST = 3;

/** Program types whose test runs take an skb. */
export const SKB_TEST_TYPES: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_SCHED_CLS,
  ProgType.BPF_PROG_TYPE_SCHED_ACT,
  ProgType.BPF_PROG_TYPE_SOCKET_FILTER,
  ProgType.BPF_PROG_TYPE_CGROUP_SKB,
  ProgType.BPF_PROG_TYPE_LWT_IN,
  ProgType.BPF_PROG_TYPE_LWT_OUT,
  ProgType.BPF_PROG_TYPE_LWT_XMIT,
]);

/** A packet as a test run shows it to a program of an skb type, with the socket that it makes up. */
export class TestSkb {
  readonly skb: SkbBuffer;
  readonly #socket: SocketBuffer;
  readonly linkHeader: boolean;

  /** @param type the program's type. */
  constructor(memory: Memory, type: number) {
    this.linkHeader = type === ProgType.BPF_PROG_TYPE_SCHED_CLS || type === ProgType.BPF_PROG_TYPE_SCHED_ACT;
    this.#socket = new SocketBuffer(memory);
    this.skb = new SkbBuffer(memory);
  }

  /** Makes packet and ctx anew; answers the ctx. @throws SysError EINVAL for a frame that the kernel would not take. */
  write(packet: Uint8Array, meta: SkbMeta = { wireLen: 0 }): number {
    checkFrame(packet, LONGEST);
    const socket = this.#socket.write(socketOf(packet));
    const { linkHeader } = this;
    return this.skb.write(packet, { ifindex: LOOPBACK, ...meta, pktType: packetType(packet), socket, linkHeader });
  }

  close(): void {
    this.skb.close();
    this.#socket.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

export function runSkb(run: TestRun): TestRunResult {
  const { packet, ctx } = run.input;
  checkFrame(packet, LONGEST);
  const given = ctx && ctxOf(ctx, SKB.PUBLIC);
  using test = new TestSkb(run.machine.memory, run.vm.spec.type);
  const { skb, linkHeader } = test;
  const length = packet.length - (linkHeader ? 0 : ETH_HLEN);
  const at = test.write(packet, given && skbMeta(given, length, run));
  const { verdict, durationNs } = timed(run, at);
  let after = skb.packet();
  if (!linkHeader) {
    const framed = new Uint8Array(ETH_HLEN + after.length);
    framed.set(after, ETH_HLEN);
    after = framed;
  }
  return { verdict, packet: after, ctx: given && ctxAfter(skbAfter(given, skb)), durationNs };
}

/** The fields that a test run takes; all others must be 0. */
function skbMeta(given: DataView, length: number, run: TestRun): SkbMeta {
  const word = (at: number): number => given.getUint32(at, true);
  const ifindex = word(SKB.IFINDEX);
  if (ifindex > LOOPBACK && !run.hasDevice(ifindex)) refuse(Errno.ENODEV, `ctx: no device ${ifindex}`);
  expectZero(given, 0, SKB.MARK);
  expectZero(given, SKB.MARK + 4, SKB.PRIORITY);
  expectZero(given, SKB.IFINDEX + 4, SKB.CB);
  expectZero(given, SKB.CB + 20, SKB.TSTAMP);
  expectZero(given, SKB.GSO_SEGS + 4, SKB.GSO_SIZE);
  expectZero(given, SKB.GSO_SIZE + 4, SKB.HWTSTAMP);
  const wireLen = word(SKB.WIRE_LEN);
  if (wireLen !== 0 && (wireLen < length || wireLen > MAX_WIRE_LENGTH)) {
    refuse(Errno.EINVAL, `ctx: wire_len must be 0 or ${length} to ${MAX_WIRE_LENGTH}, got ${wireLen}`);
  }
  const gsoSegs = word(SKB.GSO_SEGS);
  if (gsoSegs > MAX_GSO_SEGS) refuse(Errno.EINVAL, `ctx: gso_segs must be at most ${MAX_GSO_SEGS}, got ${gsoSegs}`);
  return {
    mark: word(SKB.MARK),
    priority: word(SKB.PRIORITY),
    ingressIfindex: word(SKB.INGRESS_IFINDEX),
    ifindex: ifindex || LOOPBACK,
    cb: Array.from({ length: 5 }, (_, i) => word(SKB.CB + 4 * i)),
    tstamp: given.getBigUint64(SKB.TSTAMP, true),
    wireLen: wireLen || length,
    gsoSegs,
    gsoSize: word(SKB.GSO_SIZE) & 0xffff,
    hwtstamp: given.getBigUint64(SKB.HWTSTAMP, true),
  };
}

/** The fields that a test run shows afterwards. */
function skbAfter(given: DataView, skb: SkbBuffer): DataView {
  const fields = [SKB.MARK, SKB.PRIORITY, SKB.INGRESS_IFINDEX, SKB.IFINDEX, SKB.WIRE_LEN, SKB.GSO_SEGS];
  for (const at of [...fields, SKB.TSTAMP, SKB.TSTAMP + 4, SKB.HWTSTAMP, SKB.HWTSTAMP + 4]) {
    given.setUint32(at, skb.field(at), true);
  }
  for (let i = 0; i < 5; i++) given.setUint32(SKB.CB + 4 * i, skb.field(SKB.CB + 4 * i), true);
  return given;
}

/** As `eth_type_trans` on the loopback device, whose address is all zeros: broadcasts are multicasts to it. */
function packetType(packet: Uint8Array): number {
  if (packet[0]! & 1) return PACKET_MULTICAST;
  return packet.subarray(0, 6).every((b) => b === 0) ? 0 : PACKET_OTHERHOST;
}

/** The socket that a test run makes up: of no protocol, with the addresses of the packet, the source its own. */
function socketOf(packet: Uint8Array): SocketInfo {
  const words = (at: number, n: number): number[] => {
    const view = new DataView(packet.buffer, packet.byteOffset + at, 4 * n);
    return Array.from({ length: n }, (_, i) => view.getUint32(4 * i, true));
  };
  const type = (packet[12]! << 8) | packet[13]!;
  if (type === 0x800) {
    if (packet.length < ETH_HLEN + 20) refuse(Errno.EINVAL, `IPv4: expected 20 bytes, got ${packet.length - ETH_HLEN}`);
    return { fields: { family: AF_INET, src_ip4: words(26, 1)[0]!, dst_ip4: words(30, 1)[0]! } };
  }
  if (type !== 0x86dd) return {};
  if (packet.length < ETH_HLEN + 40) refuse(Errno.EINVAL, `IPv6: expected 40 bytes, got ${packet.length - ETH_HLEN}`);
  return { fields: { family: AF_INET6, src_ip6: words(22, 4), dst_ip6: words(38, 4) } };
}
