/**
 * SKF_AD_PAY_OFFSET is what the kernel's flow dissector says: frames with random chains of headers go through a veth to
 * a packet socket whose filter answers the offset, so that the received length shows it. Namespaces of our own.
 */
import { type SeededRandom, seededRandom } from "@ebplane/core/bytes";
import { cbpf } from "@ebplane/core/isa";
import { createTopology, kernelSkipReason, type NetNs } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { scratch } from "../packages/linux/src/mem/index.ts";
import { getLink } from "../packages/linux/src/netlink/index.ts";
import { check, close, NR, syscall } from "../packages/linux/src/sys/index.ts";

const skip = kernelSkipReason();
const COUNT = Number(process.env.EBPLANE_CLASSIC ?? 1000);
const SEED = Number(process.env.EBPLANE_SEED ?? Date.now() % 1_000_000_000);
const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SIZE = 200;

/** Bound once the filter is in place: what arrives before would pass it by. */
function packetSocket(ns: NetNs, device: string, filter: readonly cbpf.ClassicInsn[] = []): number {
  const { index } = getLink(ns.route, device);
  return ns.run(() => {
    const fd = check("socket", syscall(NR.socket, AF_PACKET, SOCK_RAW_NONBLOCK, 0));
    if (filter.length) attach(fd, filter);
    scratch((memory) => {
      const address = memory.take(20);
      address.view.setUint16(0, AF_PACKET, true);
      address.view.setUint16(2, ETH_P_ALL);
      address.view.setInt32(4, index, true);
      check("bind", syscall(NR.bind, fd, address.address, 20));
    });
    return fd;
  });
}

function attach(fd: number, insns: readonly cbpf.ClassicInsn[]): void {
  scratch((memory) => {
    const program = memory.take(16);
    program.view.setUint16(0, insns.length, true);
    program.view.setBigUint64(8, BigInt(memory.put(cbpf.encodeClassic(insns))), true);
    check("SO_ATTACH_FILTER", syscall(NR.setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, program.address, 16));
  });
}

/** An Ethernet frame, marked by its source, of headers that follow each other as their fields say. */
function frame(r: SeededRandom, mark: number): Uint8Array {
  const bytes = r.bytes(SIZE);
  bytes.set([2, 0, 0, 0, 1, 2, 6, 6, mark >>> 24, mark >>> 16, mark >>> 8, mark], 0);
  let at = 14;
  /** Writes a network header that says what follows; answers where its protocol byte stands. */
  const network = (v6: boolean): number => {
    const start = at;
    if (v6) {
      bytes[start] = 0x60;
      at += 40;
      return start + 6;
    }
    const ihl = r.chance(0.9) ? 5 + r.below(3) : r.below(5);
    bytes[start] = 0x40 | ihl;
    bytes.set(r.chance(0.8) ? [0, 0] : [r.pick([0x20, 0x00, 0x40]), r.below(3)], start + 6);
    at += ihl * 4;
    return start + 9;
  };
  let v6 = r.chance(0.5);
  bytes.set(v6 ? [0x86, 0xdd] : [0x08, 0x00], 12);
  let protocol = network(v6);
  for (let depth = 0; depth < 5 && at < 150; depth++) {
    const kind = r.below(9);
    if (kind === 0) {
      v6 = r.chance(0.5);
      bytes[protocol] = v6 ? 41 : 4;
      protocol = network(v6);
    } else if (kind === 1) {
      bytes[protocol] = 47;
      const flags = r.pick([0, 0, 0x80, 0x20, 0x10, 0xb0, 0x40]);
      bytes[at] = flags;
      bytes[at + 1] = r.pick([0, 0, 0, 1]);
      const inner = r.chance(0.5);
      bytes.set(inner ? [0x86, 0xdd] : [0x08, 0x00], at + 2);
      at += 4 + 4 * [0x80, 0x20, 0x10].filter((f) => flags & f).length;
      protocol = network(inner);
    } else if (kind < 5) {
      bytes[protocol] = r.pick([0, 43, 60, 51, 44]);
      protocol = at;
      bytes[at + 1] = r.below(3);
      at += (bytes[at + 1]! + 1) * 8;
    } else break;
  }
  bytes[protocol] = r.pick([6, 6, 17, 1, 2, 58, 33, 132, 136, 50, 89, 255]);
  return bytes.subarray(0, r.chance(0.7) ? SIZE : 20 + r.below(100));
}

test.skipIf(skip)(`payload offsets are the kernel's${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const random = seededRandom(SEED);
  using net = createTopology();
  const insn = (code: number, k: number, jt = 0, jf = 0): cbpf.ClassicInsn => ({ code, jt, jf, k: k >>> 0 });
  // Only our own frames; 0 becomes 1, so that every one arrives.
  const filter = [
    insn(0x28, 6),
    insn(0x15, 0x0606, 0, 4),
    insn(0x20, cbpf.SKF_AD_OFF + cbpf.SkfAd.PAY_OFFSET),
    insn(0x15, 0, 0, 1),
    insn(0x00, 1),
    insn(0x16, 0),
    insn(0x06, 0),
  ];
  const rx = packetSocket(net.client, "c0", filter);
  const tx = packetSocket(net.edge, "e0");
  try {
    let understood = 0;
    for (let i = 0; i < COUNT; i++) {
      const bytes = frame(random, i);
      const got = scratch((memory) => {
        check("send", syscall(NR.sendto, tx, memory.put(bytes), bytes.length, 0, 0, 0));
        const room = memory.take(SIZE);
        for (let tries = 0; tries < 1000; tries++) {
          const n = syscall(NR.recvfrom, rx, room.address, SIZE, 0, 0, 0);
          if (n >= 0) return n;
        }
        throw new Error("nothing arrived");
      });
      const protocol = (bytes[12]! << 8) | bytes[13]!;
      const expected = cbpf.runClassic([insn(0x20, cbpf.SKF_AD_OFF + cbpf.SkfAd.PAY_OFFSET), insn(0x16, 0)], {
        bytes,
        network: 14,
        protocol,
      });
      if (Math.min(expected || 1, bytes.length) !== got) {
        expect.fail(`seed ${SEED}, frame ${i}: ours ${expected}, kernel ${got}: ${Buffer.from(bytes).toString("hex")}`);
      }
      if (expected) understood++;
    }
    expect(understood).toBeGreaterThan(COUNT / 4);
  } finally {
    close(rx);
    close(tx);
  }
});
