/**
 * Answers that a kernel never gives to questions about its objects and about itself: bpf(2)'s infos, ids and results, and
 * what /proc and /sys say. Each question comes to an end, with an answer or with one clear error.
 */
import { BpfError, Errno } from "@ebplane/core/errors";
import { MapType, ProgType } from "@ebplane/core/object";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  btfBytes,
  btfInfo,
  Cmd,
  cpuNumbersEnd,
  linkInfo,
  mapInfo,
  objectIds,
  onlineCpus,
  progCode,
  progInfo,
  progLineInfo,
} from "../bpf/index.ts";
import { describeLink, queryPrograms } from "../link/index.ts";
import { NetNs } from "../netns/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, collectionOf, countingProgram, kernelSkipReason } from "../testing.ts";
import { kernelConfig, systemState } from "./index.ts";
import { probeAttachType, probeHelpers, probeIsa, probeMapType, probeProgType } from "./probe.ts";

const skip = kernelSkipReason();

/** The same in each run. */
let state = 11;
const below = (n: number): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};

/** What is done to answers: a failure in their place, or other bytes in what was written. */
const mangle = vi.hoisted(() => ({
  bpf: undefined as ((cmd: number, result: number, written: Uint8Array | undefined) => number) | undefined,
  file: undefined as ((path: string, bytes: Buffer) => Buffer) | undefined,
}));

vi.mock("../sys/index.ts", async (original) => {
  const real = await original<typeof import("../sys/index.ts")>();
  return {
    ...real,
    syscall: (nr: number, ...args: number[]) => {
      const result = real.syscall(nr, ...args);
      if (nr !== real.NR.bpf || !mangle.bpf) return result;
      const [cmd, at] = args as [number, number];
      const attr = new DataView(real.viewMemory(at, 64));
      if (cmd === 15 && result >= 0) {
        const info = Number(attr.getBigUint64(8, true));
        const size = attr.getUint32(4, true);
        return mangle.bpf(cmd, result, info ? new Uint8Array(real.viewMemory(info, size)) : undefined);
      }
      // Where a command writes its answer: the count of programs (PROG_QUERY), the next id (the GET_NEXT_IDs).
      const at32 = cmd === 16 ? 24 : [11, 12, 23, 31].includes(cmd) ? 4 : undefined;
      const written = result >= 0 && at32 !== undefined ? new Uint8Array(attr.buffer, at32, 4) : undefined;
      return mangle.bpf(cmd, result, written);
    },
  };
});

vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const readFileSync = ((path: string, encoding?: BufferEncoding) => {
    const bytes = real.readFileSync(path) as Buffer;
    const read = mangle.file && /^\/(proc|sys|boot)\//.test(path) ? mangle.file(path, bytes) : bytes;
    return encoding ? read.toString(encoding) : read;
  }) as typeof real.readFileSync;
  return { ...real, readFileSync };
});

afterEach(() => {
  mangle.bpf = undefined;
  mangle.file = undefined;
});

/** Asks often, with answers mangled. Only a BpfError of one line may come out; how often each happened. */
function ask(rounds: number, question: () => unknown): { answers: number; refusals: number } {
  let answers = 0;
  let refusals = 0;
  for (let i = 0; i < rounds; i++) {
    try {
      question();
      answers++;
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      expect(error.message).toMatch(/^[^\n]+$/);
      refusals++;
    }
  }
  return { answers, refusals };
}

/** Some bytes changed, often to what is largest. */
function scramble(bytes: Uint8Array): void {
  for (let n = below(5); n > 0 && bytes.length; n--) {
    const at = below(bytes.length);
    if (below(2)) bytes.subarray(at & -4, (at & -4) + 4).fill(255);
    else bytes[at] = below(256);
  }
}

describe.skipIf(skip)(`mangled answers about objects and features${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let fds: { prog: number; map: number; link: number; btf: number };
  let ns: NetNs;
  beforeAll(() => {
    ns = NetNs.create();
    const target = linuxTarget({ netns: ns.fd });
    const loaded = target.load(
      collectionOf([countingProgram("fuzzed", ProgType.BPF_PROG_TYPE_XDP, 2)], [arrayMap("hits")]),
    );
    const link = target.attach(loaded.programs.get("fuzzed")!, { kind: "xdp", iface: "lo", mode: "generic" });
    const program = loaded.programs.get("fuzzed") as unknown as { fd: number };
    const map = loaded.maps.get("hits") as unknown as { fd: number };
    fds = { prog: program.fd, map: map.fd, link: link.fd, btf: objectIds("btf")[0] ?? 0 };
    return () => {
      link.close();
      loaded.close();
      ns.close();
    };
  });

  test("infos of programs, maps, links and BTF, and code", () => {
    mangle.bpf = (cmd, result, written) => {
      if (cmd !== Cmd.OBJ_GET_INFO_BY_FD) return result;
      if (below(20) === 0) return -below(133) - 1;
      if (written) scramble(written);
      return result;
    };
    const questions: Record<string, () => unknown> = {
      prog: () => progInfo(fds.prog),
      map: () => mapInfo(fds.map),
      link: () => ns.run(() => describeLink(linkInfo(fds.link))),
      xlated: () => progCode(fds.prog, "xlated"),
      jited: () => progCode(fds.prog, "jited"),
      lines: () => progLineInfo(fds.prog),
      btfInfo: () => btfInfo(fds.btf),
      btfBytes: () => btfBytes(fds.btf),
    };
    for (const [name, question] of Object.entries(questions)) {
      const { answers, refusals } = ask(name === "btfBytes" ? 30 : 300, question);
      expect({ name, some: answers > 0, refused: refusals > 0 }).toEqual({ name, some: true, refused: true });
    }
  });

  test("walks over ids that turn back, and queries that count too many", () => {
    mangle.bpf = (_, result, written) => {
      if (below(100) === 0) return -below(133) - 1;
      if (written && below(20) === 0) scramble(written);
      return result;
    };
    for (const kind of ["prog", "map", "btf", "link"] as const) expect(ask(40, () => objectIds(kind))).toBeDefined();
    const { answers } = ask(200, () => ns.run(() => queryPrograms(1, 46)));
    expect(answers).toBeGreaterThan(0);
  });

  test("probing: whatever a load or a map ends with, the answer has its reason in one line", () => {
    // Never an fd that the kernel has not given: it would be closed.
    mangle.bpf = (cmd, result) => {
      const makes = cmd === Cmd.PROG_LOAD || cmd === Cmd.MAP_CREATE || cmd === Cmd.BTF_LOAD || cmd === Cmd.LINK_CREATE;
      return makes && result < 0 && below(2) ? -below(600) - 1 : result;
    };
    for (let round = 0; round < 4; round++) {
      const answers = [
        ...Object.values(ProgType).filter(Boolean).map(probeProgType),
        ...Object.values(MapType).filter(Boolean).map(probeMapType),
        ...Array.from({ length: 60 }, (_, type) => probeAttachType(ProgType.BPF_PROG_TYPE_SCHED_CLS, type)),
        ...Object.values(probeIsa()),
      ];
      for (const { supported, reason } of answers) {
        expect(typeof supported).toBe("boolean");
        expect(reason).toMatch(/^[^\n]+$/);
      }
      expect(Array.isArray(probeHelpers(ProgType.BPF_PROG_TYPE_SK_LOOKUP))).toBe(true);
    }
  });

  test("what /proc and /sys say, cut short and changed", () => {
    mangle.file = (_path, bytes) => {
      const copy = Buffer.from(bytes.subarray(0, below(3) ? bytes.length : below(bytes.length + 1)));
      scramble(copy);
      if (below(4) === 0) return Buffer.from(["", "-", "7-3", "0-4294967295", "9".repeat(400), "x\n"][below(6)]!);
      return copy;
    };
    const { answers } = ask(300, () => {
      const { release: _, arch: __, lockdown, ...numbers } = systemState();
      for (const value of Object.values(numbers))
        if (value !== undefined) expect(Number.isSafeInteger(value)).toBe(true);
      if (lockdown !== undefined) expect(lockdown).toMatch(/^\w+$/);
    });
    expect(answers).toBe(300);
    const cpus = ask(500, () => {
      expect(cpuNumbersEnd()).toBeGreaterThan(0);
      for (const cpu of onlineCpus()) expect(cpu).toBeLessThan(8192);
    });
    expect(cpus.answers).toBeGreaterThan(0);
    expect(cpus.refusals).toBeGreaterThan(0);
    ask(60, () => kernelConfig()?.get("CONFIG_BPF"));
  });

  test("an errno without a name is told by its number", () => {
    mangle.bpf = (cmd, result) => (cmd === Cmd.OBJ_GET_INFO_BY_FD ? -4000 : result);
    expect(() => progInfo(fds.prog)).toThrow("bpf(OBJ_GET_INFO_BY_FD): ");
    expect(Errno.EINVAL).toBe(22);
  });
});
