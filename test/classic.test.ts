/**
 * Random classic filters behave in the kernel (SO_ATTACH_FILTER) as in the classic interpreter. A unix datagram socket
 * sends to itself: the filter sees the payload alone, and cuts what is received to its result. No network is touched.
 */
import { seededRandom } from "@ebplane/core/bytes";
import { cbpf } from "@ebplane/core/isa";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { classicFilter } from "../packages/core/src/vm/testing/classic.ts";
import { scratch } from "../packages/linux/src/mem/index.ts";
import { check, close, NR, syscall } from "../packages/linux/src/sys/index.ts";

const skip = kernelSkipReason();
// EBPLANE_CLASSIC=20000 runs the long form.
const COUNT = Number(process.env.EBPLANE_CLASSIC ?? 2000);
const SEED = Number(process.env.EBPLANE_SEED ?? Date.now() % 1_000_000_000);
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const MSG_DONTWAIT = 0x40;

/** Attaches a filter: 0 or -errno. */
function attach(fd: number, insns: readonly cbpf.ClassicInsn[]): number {
  return scratch((memory) => {
    const program = memory.take(16);
    program.view.setUint16(0, insns.length, true);
    program.view.setBigUint64(8, BigInt(memory.put(cbpf.encodeClassic(insns))), true);
    return syscall(NR.setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, program.address, 16);
  });
}

/** Sends to the socket itself; answers the bytes received, 0 where the filter dropped it. */
function trip(fd: number, address: Uint8Array, packet: Uint8Array): number {
  return scratch((memory) => {
    const sent = syscall(NR.sendto, fd, memory.put(packet), packet.length, 0, memory.put(address), address.length);
    // A dropped datagram is EPERM to its sender.
    if (sent < 0) return 0;
    const buffer = memory.take(packet.length);
    return Math.max(0, syscall(NR.recvfrom, fd, buffer.address, packet.length, MSG_DONTWAIT));
  });
}

test.skipIf(skip)(
  `classic filters answer as in the kernel${skip ? ` (skipped: ${skip})` : ""}`,
  { timeout: 30_000 + 10 * COUNT },
  () => {
    const random = seededRandom(SEED);
    const fd = check("socket", syscall(NR.socket, AF_UNIX, SOCK_DGRAM, 0));
    try {
      // An abstract name of this process alone.
      const name = new TextEncoder().encode(`\0\0\0ebplane-${process.pid}-${SEED}`);
      name[0] = AF_UNIX;
      scratch((memory) => check("bind", syscall(NR.bind, fd, memory.put(name), name.length)));
      let kept = 0;
      for (let i = 0; i < COUNT; i++) {
        const insns = classicFilter(random, false);
        const error = attach(fd, insns);
        expect(error, `seed ${SEED}, filter ${i}: the kernel refuses what the checker lets through`).toBe(0);
        const bytes = random.bytes(64 + random.below(60));
        const expected = cbpf.runClassic(insns, { bytes });
        const got = trip(fd, name, bytes);
        if (got !== expected) {
          expect.fail(`seed ${SEED}, filter ${i}: expected ${expected}, got ${got}\n${JSON.stringify(insns)}`);
        }
        if (got) kept++;
      }
      expect(kept).toBeGreaterThan(COUNT / 10);
    } finally {
      close(fd);
    }
  },
);

test.skipIf(skip)(`the checker agrees with the kernel on random insns${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const random = seededRandom(SEED);
  const fd = check("socket", syscall(NR.socket, AF_UNIX, SOCK_DGRAM, 0));
  try {
    let accepted = 0;
    for (let i = 0; i < COUNT; i++) {
      const insns = classicFilter(random).map((insn) =>
        random.chance(0.05)
          ? { ...insn, code: random.below(256), k: random.chance(0.5) ? random.below(20) : insn.k, jt: random.below(8) }
          : insn,
      );
      let ours = true;
      try {
        cbpf.checkClassic(insns);
      } catch {
        ours = false;
      }
      const theirs = attach(fd, insns) === 0;
      if (ours !== theirs) expect.fail(`seed ${SEED}, ${i}: ours ${ours}, kernel ${theirs}: ${JSON.stringify(insns)}`);
      if (ours) accepted++;
    }
    expect(accepted).toBeGreaterThan(COUNT / 10);
    expect(accepted).toBeLessThan(COUNT);
  } finally {
    close(fd);
  }
});

test.skipIf(skip)(`jumps that are too far for the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const fd = check("socket", syscall(NR.socket, AF_UNIX, SOCK_DGRAM, 0));
  const insn = (code: number, k = 0, jt = 0, jf = 0): cbpf.ClassicInsn => ({ code, jt, jf, k: k >>> 0 });
  const wide = insn(0xb1);
  const kinds = [
    ...[0, 1, 0x7fff, 0x8000, -0x100000].flatMap((k) => [0x20, 0x28, 0x30, 0xb1].map((code) => insn(code, k))),
    ...[0, 4].flatMap((k) => [0x40, 0x48, 0x50].map((code) => insn(code, k))),
    ...Object.values(cbpf.SkfAd).map((at) => insn(0x20, cbpf.SKF_AD_OFF + at)),
    ...[0x15, 0x25, 0x35, 0x45].flatMap((code) =>
      [3, -3].flatMap((k) => [insn(code, k), insn(code, k, 1, 0), insn(code, k, 0, 1), insn(code, k, 1, 1)]),
    ),
    ...[0x00, 0x01, 0x02, 0x03, 0x80, 0x81, 0x04, 0x0c, 0x3c, 0x9c, 0x84, 0x07, 0x87, 0x06, 0x16].map((c) =>
      insn(c, 1),
    ),
  ];
  /** A jump over `n` wide insns and a hundred of the kind. */
  const filter = (kind: cbpf.ClassicInsn, n: number): cbpf.ClassicInsn[] => [
    insn(0x05, n + 100),
    ...new Array(n).fill(wide),
    ...new Array(100).fill(kind),
    insn(0x06, 1),
    insn(0x06, 1),
  ];
  const ours = (insns: readonly cbpf.ClassicInsn[]): boolean => {
    try {
      cbpf.checkClassic(insns);
      return true;
    } catch {
      return false;
    }
  };
  try {
    for (const kind of kinds) {
      let n = 1820;
      while (!ours(filter(kind, n))) n--;
      // So long a filter is more than a socket may be charged with (ENOMEM); it was translated all the same.
      expect([0, -12], `${JSON.stringify(kind)} ${n}`).toContain(attach(fd, filter(kind, n)));
      expect(attach(fd, filter(kind, n + 1)), `${JSON.stringify(kind)} ${n + 1}`).toBe(-22);
    }
  } finally {
    close(fd);
  }
});
