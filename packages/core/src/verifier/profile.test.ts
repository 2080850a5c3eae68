import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import {
  AttachType,
  BPF_F_SLEEPABLE,
  BPF_F_XDP_HAS_FRAGS,
  helperById,
  type MapSpec,
  MapType,
  type ProgramSpec,
  ProgType,
} from "../object/index.ts";
import { verify } from "./index.ts";
import {
  BROADENED,
  FIELD_SINCE,
  HOOKS_BROADENED,
  helperSince,
  MAP_BROADENED,
  PROFILE_NAMES,
  type ProfileName,
  RULES,
  type Rule,
  SLEEPER_MAPS,
  versionNumber,
} from "./profile.ts";

const P = ProgType;
const map = (name: string, type: number, keySize: number, valueSize: number, maxEntries = 4): MapSpec => ({
  name,
  type,
  keySize,
  valueSize,
  maxEntries,
  flags: 0,
});
const MAPS = new Map(
  [
    map("array", MapType.BPF_MAP_TYPE_ARRAY, 4, 8),
    map("ring", MapType.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
    map("socks", MapType.BPF_MAP_TYPE_SOCKMAP, 4, 4),
    map("queue", MapType.BPF_MAP_TYPE_QUEUE, 0, 8),
    map("progs", MapType.BPF_MAP_TYPE_PROG_ARRAY, 4, 4),
  ].map((spec) => [spec.name, spec]),
);

function program(text: string, init: Partial<ProgramSpec> = {}): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(text);
  const base = { name: "test", section: "", attachType: 0, flags: 0, funcInfo: [] };
  return { ...base, type: P.BPF_PROG_TYPE_XDP, code, relocs, lineInfo, ...init };
}

/** The oldest profile that accepts; "none" when all refuse. Every newer one must accept, too. */
function firstToAccept(spec: ProgramSpec): string {
  const verdicts = PROFILE_NAMES.map(
    (profile: ProfileName) => verify(spec, { maps: MAPS, license: "GPL", profile }).verdict === "accept",
  );
  const first = verdicts.indexOf(true);
  expect(verdicts.slice(Math.max(first, 0)).every((v) => v === first >= 0)).toBe(true);
  return first < 0 ? "none" : PROFILE_NAMES[first]!;
}

const CGROUP_SKB = { type: P.BPF_PROG_TYPE_CGROUP_SKB, attachType: AttachType.BPF_CGROUP_INET_INGRESS };
const OK = "r0 = 2\nexit";
const lookup = (key: string) => `
  *(u32 *)(r10 -8) = ${key}
  r2 = r10
  r2 += -8
  r1 = map[array]
  call 1`;

// A program, and the oldest profile that accepts it.
const CASES: readonly [what: string, spec: ProgramSpec, first: string][] = [
  ["plain", program(OK), "5.4"],
  ["a byte of stack that nothing wrote is read", program("r0 = *(u8 *)(r10 -8)\nr0 &= 1\nexit"), "6.1"],
  [
    "a number in a range is kept over an 8-byte spill",
    program(`
      r6 = r1
      call 7
      r0 &= 7
      *(u64 *)(r10 -8) = r0
      r1 = *(u64 *)(r10 -8)
      r2 = *(u32 *)(r6 +0)
      r3 = *(u32 *)(r6 +4)
      r4 = r2
      r4 += 8
      if r4 > r3 goto out
      r2 += r1
      out: r0 = 2
      exit`),
    "5.10",
  ],
  [
    "and over a 4-byte one",
    program(`
      r6 = r1
      call 7
      r0 &= 7
      *(u32 *)(r10 -8) = r0
      r1 = *(u32 *)(r10 -8)
      r2 = r10
      r2 += -16
      *(u64 *)(r10 -16) = 0
      *(u64 *)(r10 -24) = 0
      if r1 > 7 goto out
      r0 = 2
      exit
      out: r0 = *(u64 *)(r1 +0)
      exit`),
    "5.10",
  ],
  [
    "the stack is read at a variable offset",
    program(`
      call 7
      r0 &= 7
      *(u64 *)(r10 -8) = 0
      *(u64 *)(r10 -16) = 0
      r1 = r10
      r1 += -16
      r1 += r0
      r0 = *(u8 *)(r1 +0)
      exit`),
    "5.10",
  ],
  [
    "an atomic that fetches",
    program("r0 = 1\n*(u64 *)(r10 -8) = 0\nr1 = 1\nr1 = atomic_fetch_add((u64 *)(r10 -8), r1)\nexit"),
    "5.15",
  ],
  ["a byte swap of cpu v4", program("r0 = 1\nr0 = bswap16 r0\nexit"), "6.6"],
  ["may_goto", program("r0 = 0\nmay_goto out\nr0 = 1\nout: exit"), "6.12"],
  [
    "a constant stored to the ctx",
    program("*(u32 *)(r1 +8) = 5\nr0 = 0\nexit", { type: P.BPF_PROG_TYPE_SCHED_CLS }),
    "6.6",
  ],
  ["a ring buffer", program("r1 = map[ring]\nr2 = 0\ncall 134\nr0 = 0\nexit"), "5.10"],
  ["XDP fragments", program(OK, { flags: BPF_F_XDP_HAS_FRAGS }), "6.1"],
  ["a tail call beside a function", program("call f\nr0 = 1\nexit\nf: r0 = 2\nexit"), "5.4"],
  [
    "an array value at a constant index is used without a check",
    program(`${lookup("1")}\nr0 = *(u32 *)(r0 +0)\nr0 &= 1\nexit`),
    "6.18",
  ],
  ["who is running, in XDP", program("call 14\nr0 = 2\nexit"), "6.12"],
  ["their user, in XDP", program("call 15\nr0 = 2\nexit"), "6.18"],
  ["in which cgroup, in tc", program("call 80\nr0 = 0\nexit", { type: P.BPF_PROG_TYPE_SCHED_CLS }), "6.6"],
  ["who is running, in a tracepoint", program("call 14\nr0 = 0\nexit", { type: P.BPF_PROG_TYPE_TRACEPOINT }), "5.4"],
  [
    "the cookie of the namespace, in tc",
    program("call 122\nr0 = 0\nexit", { type: P.BPF_PROG_TYPE_SCHED_CLS }),
    "6.18",
  ],
  ["the cookie of the namespace, in cgroup_skb", program("call 122\nr0 = 0\nexit", CGROUP_SKB), "6.18"],
  ["the running task, in XDP", program("call 35\nr0 = 2\nexit"), "5.10"],
  [
    "a number read from text, in XDP",
    program(`
      *(u64 *)(r10 -8) = 0
      r1 = r10
      r1 += -8
      r2 = 8
      r3 = 0
      r4 = r10
      r4 += -16
      call 105
      r0 = 2
      exit`),
    "6.1",
  ],
  [
    "a socket looked up in a sockmap",
    program(
      `
      *(u32 *)(r10 -4) = 0
      r2 = r10
      r2 += -4
      r1 = map[socks]
      call 1
      if r0 == 0 goto out
      r1 = r0
      call 86
      out: r0 = 0
      exit`,
      { type: P.BPF_PROG_TYPE_SCHED_CLS },
    ),
    "5.10",
  ],
  [
    "one byte of a port",
    program("r0 = *(u8 *)(r1 +24)\nr0 = 1\nexit", {
      type: P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
      attachType: AttachType.BPF_CGROUP_INET4_CONNECT,
    }),
    "5.10",
  ],
  [
    "frames of 16 bytes beside one of 480",
    program(
      "*(u64 *)(r10 -480) = 0\ncall f\nr0 = 2\nexit\nf: *(u64 *)(r10 -8) = 0\nr0 = 0\ncall g\nexit\ng: *(u64 *)(r10 -8) = 0\nr0 = 0\nexit",
    ),
    "6.12",
  ],
  [
    "a queue in a program that sleeps",
    program(
      `
      r1 = map[queue]
      r2 = r10
      r2 += -8
      call 88
      r0 = 0
      exit`,
      { type: P.BPF_PROG_TYPE_SYSCALL, flags: BPF_F_SLEEPABLE },
    ),
    "6.12",
  ],
  [
    "sk_lookup programs",
    program("r0 = 1\nexit", { type: P.BPF_PROG_TYPE_SK_LOOKUP, attachType: AttachType.BPF_SK_LOOKUP }),
    "5.10",
  ],
  [
    "netfilter programs",
    program("r0 = 1\nexit", { type: P.BPF_PROG_TYPE_NETFILTER, attachType: AttachType.BPF_NETFILTER }),
    "6.6",
  ],
  [
    "UNIX connect hooks",
    program("r0 = 1\nexit", {
      type: P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
      attachType: AttachType.BPF_CGROUP_UNIX_CONNECT,
    }),
    "6.12",
  ],
  [
    "a bind hook that returns 3",
    program("r0 = 3\nexit", { type: P.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, attachType: AttachType.BPF_CGROUP_INET4_BIND }),
    "5.15",
  ],
  [
    "the time stamp of the hardware",
    program("r0 = *(u64 *)(r1 +184)\nr0 = 0\nexit", { type: P.BPF_PROG_TYPE_SCHED_CLS }),
    "6.1",
  ],
  [
    "the device that a redirect leaves by",
    program("r0 = *(u32 *)(r1 +20)\nr0 = 2\nexit", { attachType: AttachType.BPF_XDP_DEVMAP }),
    "5.10",
  ],
];

test.each(CASES)("%s", (_what, spec, first) => {
  expect(firstToAccept(spec)).toBe(first);
});

test("a tail call in a program with functions needs 5.10", () => {
  const text = `
    r6 = r1
    call f
    r1 = r6
    r2 = map[progs]
    r3 = 0
    call 12
    r0 = 2
    exit
    f: r0 = 0
    exit`;
  expect(firstToAccept(program(text))).toBe("5.10");
});

test("a packet's address is kept over a tail call that fails, but not by 6.12", () => {
  const text = `
    r6 = *(u32 *)(r1 +0)
    r2 = *(u32 *)(r1 +4)
    r3 = r6
    r3 += 1
    if r3 > r2 goto out
    r2 = map[progs]
    r3 = 0
    call 12
    r0 = *(u8 *)(r6 +0)
    out: r0 = 2
    exit`;
  const verdict = (profile: ProfileName) => verify(program(text), { maps: MAPS, license: "GPL", profile }).verdict;
  expect(PROFILE_NAMES.filter((p) => verdict(p) === "reject")).toEqual(["6.12"]);
});

test("every rule, field and widened helper names a version between the oldest and the newest profile", () => {
  const [oldest, newest] = [PROFILE_NAMES[0], PROFILE_NAMES.at(-1)!].map(versionNumber) as [number, number];
  const versions = [
    ...Object.values(RULES).map((r) => r.since),
    ...Object.values(FIELD_SINCE),
    ...BROADENED.map((b) => b.since),
  ];
  for (const since of versions) {
    expect(versionNumber(since)).toBeGreaterThan(oldest);
    expect(versionNumber(since)).toBeLessThanOrEqual(newest);
  }
  expect(helperSince(helperById(14)!, P.BPF_PROG_TYPE_XDP)).toBe(610);
  expect(helperSince(helperById(14)!, P.BPF_PROG_TYPE_KPROBE)).toBe(402);
});

test("docs/verifier-profiles.md has each rule", () => {
  const doc = new Set(
    readFileSync(new URL("../../../../docs/verifier-profiles.md", import.meta.url), "utf8").split("\n"),
  );
  const lines = [
    ...Object.values(RULES).map((rule: Rule) => {
      const also = rule.backports ? `, ${rule.backports.join(", ")}` : "";
      return `| ${rule.since}${also} | ${rule.what} | ${rule.source} |`;
    }),
    ...HOOKS_BROADENED.map(({ since, helpers, hooks }) => `| ${since} | ${helpers} | ${hooks} |`),
    ...BROADENED.map(({ since, helpers, types }) => `| ${since} | ${helpers} | ${types} |`),
    ...MAP_BROADENED.map(({ since, helper, maps }) => `| ${since} | ${helper} | ${maps} |`),
    ...SLEEPER_MAPS.map(({ since, maps }) => `| ${since} | ${maps} |`),
    ...Object.entries(FIELD_SINCE).map(([field, since]) => `| ${since} | ${field} |`),
  ];
  expect(lines.filter((line) => !doc.has(line))).toEqual([]);
});
