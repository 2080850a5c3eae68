import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, CGROUP_HOOKS, type CgroupHookType, type Hook, type Link, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { getLink, setLink } from "../netlink/index.ts";
import { NetNs } from "../netns/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, collectionOf, countingProgram, kernelLacks, kernelSkipReason } from "../testing.ts";
import { queryPrograms, withCgroup } from "./index.ts";

const skip = kernelSkipReason();
const T = ProgType;
/** A cgroup of this run's own, in the cgroup2 hierarchy. */
const ROOT = readFileSync("/proc/self/mounts", "utf8")
  .split("\n")
  .map((line) => line.split(" "))
  .find(([, , type]) => type === "cgroup2")?.[1];
const CGROUP = `${ROOT}/ebplane-test-${process.pid}`;
const BPF_CGROUP_INET_EGRESS = AttachType.BPF_CGROUP_INET_EGRESS;

describe.skipIf(skip)(`programs on a control group${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  beforeAll(() => {
    ns = NetNs.create();
    setLink(ns.route, getLink(ns.route, "lo").index, { up: true });
  });
  afterAll(() => ns.close());

  const hitsOf = (maps: ReadonlyMap<string, { lookup(key: Uint8Array): Uint8Array | undefined }>): number =>
    Number(new DataView(maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true));

  describe("in a control group of its own", () => {
    beforeAll(() => mkdirSync(CGROUP));
    afterAll(() => rmdirSync(CGROUP));

    /** Runs a shell line in the client's namespace, inside the cgroup. */
    const inCgroup = (line: string) => ns.spawnSync("sh", ["-c", `echo $$ > ${CGROUP}/cgroup.procs && ${line}`]).status;
    const ping = "ping -c1 -W1 127.0.0.1 >/dev/null 2>&1";

    test("egress drops what leaves the group, and nothing else", () => {
      using loaded = linuxTarget().load(
        collectionOf(
          [countingProgram("drop", T.BPF_PROG_TYPE_CGROUP_SKB, 0, { attachType: BPF_CGROUP_INET_EGRESS })],
          [arrayMap("hits")],
        ),
      );
      expect(inCgroup(ping)).toBe(0);
      {
        using _ = linuxTarget().attach(loaded.programs.get("drop")!, { kind: "cgroup", path: CGROUP, type: "egress" });
        expect(inCgroup(ping)).not.toBe(0);
        expect(hitsOf(loaded.maps)).toBeGreaterThan(0);
        expect(ns.spawnSync("ping", ["-c1", "-W1", "127.0.0.1"]).status).toBe(0);
      }
      expect(inCgroup(ping)).toBe(0);
    });

    /** What a process in the group tries, in Python; a refusal shows as EPERM. */
    const TRIES = `
import socket, os, sys
def udp(family=socket.AF_INET): return socket.socket(family, socket.SOCK_DGRAM)
def unix(): return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def talk(family, ip):
    a, b = udp(family), udp(family); a.bind((ip, 0)); b.connect(a.getsockname()); b.send(b"x"); a.settimeout(1); a.recvfrom(9); b.getpeername()
def talk_unix():
    a, b = unix(), unix(); a.bind("\\0eb%d" % os.getpid()); b.connect(a.getsockname()); b.send(b"x"); a.recvfrom(9); b.getpeername(); a.getsockname()
def tcp():
    a = socket.socket(); a.bind(("127.0.0.1", 0)); a.listen(); b = socket.create_connection(a.getsockname()); b.close(); a.close()
tries = {
  "udp": udp, "tcp": tcp, "unix": talk_unix, "talk4": lambda: talk(socket.AF_INET, "127.0.0.1"), "talk6": lambda: talk(socket.AF_INET6, "::1"),
  "bind4": lambda: udp().bind(("127.0.0.1", 0)), "bind6": lambda: udp(socket.AF_INET6).bind(("::1", 0)),
  "connect4": lambda: udp().connect(("127.0.0.1", 9)), "connect6": lambda: udp(socket.AF_INET6).connect(("::1", 9)),
  "sendto4": lambda: udp().sendto(b"x", ("127.0.0.1", 9)), "sendto6": lambda: udp(socket.AF_INET6).sendto(b"x", ("::1", 9)),
  "connect_unix": lambda: unix().connect("\\0none"), "sendto_unix": lambda: unix().sendto(b"x", "\\0none"),
  "getsockopt": lambda: udp().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
  "setsockopt": lambda: udp().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),
  "device": lambda: open("/dev/zero"), "sysctl": lambda: open("/proc/sys/kernel/hostname").read(),
}
for line in sys.stdin:
  try: tries[line.strip()](); print("done", flush=True)
  except PermissionError: print("denied", flush=True)
  except Exception as e: print(repr(e), flush=True)
`;
    /** One process in the group does them all. */
    let child: ChildProcess;
    let answer: (line: string) => void = () => {};
    beforeAll(() => {
      child = ns.spawn("sh", ["-c", `echo $$ > ${CGROUP}/cgroup.procs && exec python3 -c "$0"`, TRIES]);
      createInterface({ input: child.stdout! }).on("line", (line) => answer(line));
    });
    afterAll(async () => {
      const ended = new Promise((resolve) => child.on("close", resolve));
      child.stdin!.end();
      await ended;
    });
    const tries = (what: string): Promise<string> =>
      new Promise((resolve) => {
        answer = resolve;
        child.stdin!.write(`${what}
`);
      });

    const known = ([type]: readonly [CgroupHookType, ...unknown[]]): boolean =>
      kernelLacks("attachTypes", CGROUP_HOOKS[type].slice("BPF_".length).toLowerCase()) === undefined;
    const refusing = [
      ["sock_create", T.BPF_PROG_TYPE_CGROUP_SOCK, "udp"],
      ["post_bind4", T.BPF_PROG_TYPE_CGROUP_SOCK, "bind4"],
      ["post_bind6", T.BPF_PROG_TYPE_CGROUP_SOCK, "bind6"],
      ["device", T.BPF_PROG_TYPE_CGROUP_DEVICE, "device"],
      ["sysctl", T.BPF_PROG_TYPE_CGROUP_SYSCTL, "sysctl"],
      ["getsockopt", T.BPF_PROG_TYPE_CGROUP_SOCKOPT, "getsockopt"],
      ["setsockopt", T.BPF_PROG_TYPE_CGROUP_SOCKOPT, "setsockopt"],
      ["bind4", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "bind4"],
      ["bind6", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "bind6"],
      ["connect4", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "connect4"],
      ["connect6", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "connect6"],
      ["connect_unix", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "connect_unix"],
      ["sendmsg4", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "sendto4"],
      ["sendmsg6", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "sendto6"],
      ["sendmsg_unix", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "sendto_unix"],
    ] as const;
    test.each(refusing.filter(known))("%s refuses what it is asked about", async (type, progType, what) => {
      const attachType = AttachType[CGROUP_HOOKS[type]];
      using loaded = linuxTarget().load(
        collectionOf([countingProgram("no", progType, 0, { attachType })], [arrayMap("hits")]),
      );
      {
        using _ = linuxTarget().attach(loaded.programs.get("no")!, { kind: "cgroup", path: CGROUP, type });
        expect(await tries(what)).toBe("denied");
        expect(hitsOf(loaded.maps)).toBeGreaterThan(0);
      }
    });

    // These may only watch or rewrite: the kernel takes no refusal from them.
    const WATCHERS: readonly (readonly [CgroupHookType, number, string])[] = [
      ["ingress", T.BPF_PROG_TYPE_CGROUP_SKB, "talk4"],
      ["sock_release", T.BPF_PROG_TYPE_CGROUP_SOCK, "udp"],
      ["sock_ops", T.BPF_PROG_TYPE_SOCK_OPS, "tcp"],
      ["recvmsg4", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "talk4"],
      ["recvmsg6", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "talk6"],
      ["recvmsg_unix", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "unix"],
      ["getpeername4", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "talk4"],
      ["getpeername6", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "talk6"],
      ["getpeername_unix", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "unix"],
      ["getsockname4", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "talk4"],
      ["getsockname6", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "talk6"],
      ["getsockname_unix", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "unix"],
    ];
    test("those that only watch see what they are for", async () => {
      const programs = WATCHERS.map(([type, progType]) =>
        countingProgram(type, progType, 1, { attachType: AttachType[CGROUP_HOOKS[type]] }),
      );
      for (const [type, , what] of WATCHERS.filter(known)) {
        using loaded = linuxTarget().load(
          collectionOf(
            programs.filter((p) => p.name === type),
            [arrayMap("hits")],
          ),
        );
        using _ = linuxTarget().attach(loaded.programs.get(type)!, { kind: "cgroup", path: CGROUP, type });
        expect(await tries(what), type).toBe("done");
        expect(hitsOf(loaded.maps), type).toBeGreaterThan(0);
      }
    });

    test("every attach type is tried above, but for egress and lsm, which have their own", () => {
      expect(Object.keys(CGROUP_HOOKS)).toHaveLength(refusing.length + WATCHERS.length + 2);
    });

    test("programs are put before and after others, and the query tells the order", ({ skip: skipTest }) => {
      const names = ["a", "b", "c"];
      const attachType = BPF_CGROUP_INET_EGRESS;
      using loaded = linuxTarget().load(
        collectionOf(
          names.map((name) => countingProgram(name, T.BPF_PROG_TYPE_CGROUP_SKB, 1, { attachType })),
          [arrayMap("hits")],
        ),
      );
      const [a, b, c] = names.map((name) => loaded.programs.get(name)!);
      const hook = { kind: "cgroup", path: CGROUP, type: "egress" } as const;
      using first = linuxTarget().attach(a!, hook);
      let before: Link<Hook>;
      try {
        before = linuxTarget().attach(b!, { ...hook, order: { before: { link: first.id } } });
      } catch (error) {
        if (error instanceof UnsupportedError) {
          expect(error.message).toMatch(/^cgroup:.*: this kernel runs the programs .* \(needs Linux 6\.16\)$/);
          skipTest(error.message);
        }
        throw error;
      }
      using _b = before;
      using _c = linuxTarget().attach(c!, { ...hook, order: { after: { link: first.id } } });
      expect(() => linuxTarget().attach(c!, { ...hook, order: { after: { program: a!.id } } })).toThrow(TypeError);
      const { programs } = withCgroup(CGROUP, (fd) => queryPrograms(fd, attachType));
      expect(programs.map((p) => p.progId)).toEqual([b!.id, a!.id, c!.id]);
    });

    test("a directory that is no cgroup is refused in words", () => {
      using loaded = linuxTarget().load(
        collectionOf([asmProgram("p", T.BPF_PROG_TYPE_SOCK_OPS, "r0 = 1\nexit", { attachType: 3 })]),
      );
      const p = loaded.programs.get("p")!;
      expect(() => linuxTarget().attach(p, { kind: "cgroup", path: "/tmp", type: "sock_ops" })).toThrow(
        "bpf(LINK_CREATE): EBADF: cgroup:/tmp:sock_ops: not a directory of a cgroup2 file system",
      );
      expect(() => linuxTarget().attach(p, { kind: "cgroup", path: "/nowhere", type: "sock_ops" })).toThrow(
        new RangeError("cgroup /nowhere: no such directory"),
      );
    });
  });
});
