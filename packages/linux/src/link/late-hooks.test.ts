/**
 * Hooks that kernels have only since lately, or only when built with them: netkit pairs, programs as queueing disciplines
 * and as scheduler, socket maps of other sockets than TCP. `scripts/kernels/run.sh 6.18 npx vitest run packages/linux/src/link/late-hooks.test.ts`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import { AttachType, type BpfMap, MapType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import type { LinuxMap } from "../bpf/index.ts";
import { scratch } from "../mem/index.ts";
import { addAddress, addLink, addRoute, getLink, setLink } from "../netlink/index.ts";
import { bindUdp, NetNs, receiveUdp, sendUdp } from "../netns/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";
import { findType } from "../target/kernel-btf.ts";
import type { LinuxCollection } from "../target/load.ts";
import { linuxTarget } from "../target/target.ts";
import {
  arrayMap,
  asmProgram,
  COUNT_HIT,
  collectionOf,
  countingProgram,
  kernelSkipReason,
  structOpsOf,
} from "../testing.ts";
import { type BpfLink, listLinkObjects, queryPrograms } from "./index.ts";

const skip = kernelSkipReason();
const T = ProgType;
const cstring = (text: string, size: number): Uint8Array => {
  const bytes = new Uint8Array(size);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
};

describe.skipIf(skip)(`hooks of late kernels${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const hitsOf = (maps: ReadonlyMap<string, BpfMap>): number =>
    Number(new DataView(maps.get("hits")!.lookup(new Uint8Array(4))!.buffer).getBigUint64(0, true));

  test("programs decide at both ends of a netkit pair, in order", ({ skip: skipTest }) => {
    using host = NetNs.create();
    using inside = NetNs.create();
    try {
      addLink(host.route, { kind: "netkit", name: "nk0", peer: { name: "nk1", netns: inside.fd } });
    } catch (error) {
      expect(error).toMatchObject({ errno: Errno.EOPNOTSUPP });
      return skipTest("the kernel has no netkit devices (6.7)");
    }
    const ends = [
      [host, "nk0", "10.9.0.1", "10.9.0.2"],
      [inside, "nk1", "10.9.0.2", "10.9.0.1"],
    ] as const;
    for (const [ns, name, own, other] of ends) {
      const { index } = getLink(ns.route, name);
      setLink(ns.route, 1, { up: true });
      setLink(ns.route, index, { up: true });
      addAddress(ns.route, index, `${own}/32`);
      addRoute(ns.route, { dst: `${other}/32`, oif: index });
    }
    const ping = () => host.spawnSync("ping", ["-c1", "-W1", "10.9.0.2"]).status === 0;
    expect(ping()).toBe(true);
    const target = linuxTarget({ netns: host.fd });
    const NEXT = -1;
    const DROP = 2;
    const cls = (name: string, verdict: number) => countingProgram(name, T.BPF_PROG_TYPE_SCHED_CLS, verdict);
    using loaded = target.load(collectionOf([cls("count", NEXT), cls("drop", DROP)], [arrayMap("hits")]));
    const [count, drop] = ["count", "drop"].map((name) => loaded.programs.get(name)!);
    {
      using link = target.attach(count!, { kind: "netkit", iface: "nk0", end: "primary" }) as BpfLink<never>;
      expect(ping()).toBe(true);
      expect(hitsOf(loaded.maps)).toBeGreaterThan(0);
      host.run(() => expect(listLinkObjects().find((l) => l.id === link.id)?.hook).toMatchObject({ iface: "nk0" }));
      using _ = target.attach(drop!, {
        kind: "netkit",
        iface: "nk0",
        end: "primary",
        order: { before: { link: link.id } },
      });
      const { index } = getLink(host.route, "nk0");
      const { programs } = host.run(() => queryPrograms(index, AttachType.BPF_NETKIT_PRIMARY));
      expect(programs.map((p) => p.progId)).toEqual([drop!.id, count!.id]);
      const before = hitsOf(loaded.maps);
      expect(ping()).toBe(false);
      expect(hitsOf(loaded.maps)).toBeGreaterThan(before); // By the program that drops.
    }
    // The peer's program is attached from the primary's side, too: what comes out of the inside.
    {
      using _ = target.attach(drop!, { kind: "netkit", iface: "nk0", end: "peer" });
      expect(ping()).toBe(false);
    }
    expect(ping()).toBe(true);
  });

  test("a program is a queueing discipline", ({ skip: skipTest }) => {
    if (!findType("bpf_struct_ops_Qdisc_ops", "struct"))
      skipTest("the kernel has no queueing disciplines in programs (6.16)");
    const name = `ebq${process.pid}`;
    const zero = "r0 = 0\nexit";
    const spec = structOpsOf(
      "Qdisc_ops",
      {
        enqueue: `r6 = *(u64 *)(r1 + 0)
          r7 = *(u64 *)(r1 + 16)
          ${COUNT_HIT}
          r1 = r6
          r2 = r7
          call kfunc[bpf_qdisc_skb_drop]
          r0 = 1
          exit`,
        dequeue: zero,
        init: zero,
        reset: zero,
        destroy: zero,
      },
      { id: cstring(name, 16) },
    );
    using loaded = linuxTarget().load(spec);
    using ns = NetNs.create();
    setLink(ns.route, 1, { up: true });
    const tc = (...args: string[]) => ns.spawnSync("tc", ["qdisc", ...args]);
    const ping = () => ns.spawnSync("ping", ["-c1", "-W1", "127.0.0.1"]).status === 0;
    {
      using _ = loaded.structOps.get("ops")!.attach();
      expect(ping()).toBe(true);
      expect(tc("add", "dev", "lo", "root", name)).toMatchObject({ status: 0 });
      expect(ping()).toBe(false);
      expect(hitsOf(loaded.maps)).toBeGreaterThan(0);
      expect(tc("del", "dev", "lo", "root").status).toBe(0);
      expect(ping()).toBe(true);
    }
    expect(tc("add", "dev", "lo", "root", name).status).not.toBe(0);
  });

  test("a program is the scheduler, and is not once its link is closed", ({ skip: skipTest }) => {
    const state = "/sys/kernel/sched_ext/state";
    if (!existsSync(state)) skipTest("the kernel has no schedulers in programs (sched_ext, 6.12)");
    const name = `eb_sched_${process.pid}`;
    const spec = structOpsOf("sched_ext_ops", { running: `${COUNT_HIT}\nr0 = 0\nexit` }, { name: cstring(name, 128) });
    using loaded = linuxTarget().load(spec);
    const now = () => readFileSync(state, "latin1").trim();
    expect(now()).toBe("disabled");
    {
      using _ = loaded.structOps.get("ops")!.attach();
      expect(now()).toBe("enabled");
      expect(readFileSync("/sys/kernel/sched_ext/root/ops", "latin1").trim()).toBe(name);
      for (let i = 0; i < 5; i++) expect(spawnSync("true").status).toBe(0);
      expect(hitsOf(loaded.maps)).toBeGreaterThan(0);
    }
    expect(now()).toBe("disabled");
  });

  test("operations that a module takes load with its types", ({ skip: skipTest }) => {
    spawnSync("modprobe", ["hid"]);
    const types = findType("bpf_struct_ops_hid_bpf_ops", "struct");
    if (!types) skipTest("the kernel has no HID programs (6.11)");
    const body = "r0 = 0\nexit";
    using loaded = linuxTarget().load(
      structOpsOf("hid_bpf_ops", { hid_device_event: body }, { hid_id: new Uint8Array(4).fill(255) }),
    );
    const ops = loaded.structOps.get("ops")!;
    expect(ops.plan.object).toBe(types!.in.id);
    // There is no such device to run it for.
    expect(() => ops.attach()).toThrow(SysError);
  });

  const AF_UNIX = 1;
  const AF_VSOCK = 40;
  const [STREAM, DGRAM] = [1, 2];
  const NONBLOCK = 0o4000;
  const MSG_DONTWAIT = 0x40;
  const key = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
  const put = (map: LinuxMap, n: number, fd: number) =>
    map.update(key(n), new Uint8Array(BigUint64Array.of(BigInt(fd)).buffer));
  const receive = (fd: number): string =>
    scratch((memory) => {
      const { address, bytes } = memory.take(100);
      const count = syscall(NR.recvfrom, fd, address, bytes.length, MSG_DONTWAIT, 0, 0);
      return new TextDecoder().decode(bytes.slice(0, Math.max(0, count)));
    });
  const send = (fd: number, text: string) =>
    scratch((memory) => {
      const bytes = new TextEncoder().encode(text);
      check("sendto", syscall(NR.sendto, fd, memory.put(bytes), bytes.length, 0, 0, 0));
    });

  /** A verdict that gives what comes into the socket at 0 to the one at 1: as received there, or to be sent by it. */
  const redirect = (flags: number) =>
    asmProgram(
      "redirect",
      T.BPF_PROG_TYPE_SK_SKB,
      `r2 = map[socks]
       r3 = 1
       r4 = ${flags}
       call bpf_sk_redirect_map
       exit`,
      { attachType: AttachType.BPF_SK_SKB_VERDICT },
    );
  /** skb_verdict is of Linux 5.13: an older kernel refuses it by name. */
  function attachOrSkip(loaded: LinuxCollection, skipTest: (why: string) => void): { map: LinuxMap } & Disposable {
    const map = loaded.maps.get("socks") as LinuxMap;
    try {
      const hook = { kind: "sockmap", map, type: "skb_verdict" } as const;
      const link = linuxTarget().attach(loaded.programs.get("redirect")!, hook);
      return { map, [Symbol.dispose]: () => link.close() };
    } catch (error) {
      if (error instanceof UnsupportedError) skipTest(error.message);
      throw error;
    }
  }

  const BPF_F_INGRESS = 1;
  const connectUdp = (fd: number, port: number): number =>
    scratch((memory) =>
      syscall(
        NR.connect,
        fd,
        memory.put(Uint8Array.of(2, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)),
        16,
      ),
    );
  const socks = arrayMap("socks", 4, { type: MapType.BPF_MAP_TYPE_SOCKMAP });

  test("socket maps take UDP and Unix sockets", async ({ skip: skipTest }) => {
    using ns = NetNs.create();
    setLink(ns.route, 1, { up: true });
    const open: number[] = [];
    try {
      const udp = [7101, 7102].map((port) => bindUdp(ns, "127.0.0.1", port));
      open.push(...udp);
      const unix = scratch((memory) => {
        const fds = memory.take(8);
        check("socketpair", syscall(NR.socketpair, AF_UNIX, DGRAM! | NONBLOCK, 0, fds.address));
        return [fds.view.getInt32(0, true), fds.view.getInt32(4, true)] as const;
      });
      open.push(...unix);
      // Only into connected ones may be redirected.
      ns.run(() => check("connect", connectUdp(udp[1]!, 7103)));
      using loaded = linuxTarget().load(collectionOf([redirect(BPF_F_INGRESS)], [socks]));
      using attached = attachOrSkip(loaded, skipTest);
      const { map } = attached;
      put(map, 0, udp[0]!);
      put(map, 1, udp[1]!);
      const sender = bindUdp(ns, "127.0.0.1", 7103);
      open.push(sender);
      sendUdp(sender, "127.0.0.1", 7101, new TextEncoder().encode("by udp"));
      await expect.poll(() => receive(udp[1]!), { timeout: 5000 }).toBe("by udp");
      expect(receiveUdp(udp[0]!)).toBeUndefined();
      // What is sent into one end of the pair comes out of the UDP socket.
      put(map, 0, unix[1]);
      send(unix[0], "by unix");
      await expect.poll(() => receive(udp[1]!), { timeout: 5000 }).toBe("by unix");
      map.delete(key(0));
      map.delete(key(1));
    } finally {
      for (const fd of open) close(fd);
    }
  });

  test("socket maps take vsock sockets", async ({ skip: skipTest }) => {
    spawnSync("modprobe", ["vsock_loopback"]);
    const LOCAL = 1;
    const address = (port: number): Uint8Array => {
      const bytes = new Uint8Array(16);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, AF_VSOCK, true);
      view.setUint32(4, port, true);
      view.setUint32(8, LOCAL, true);
      return bytes;
    };
    const open: number[] = [];
    const socket = (): number => {
      const fd = syscall(NR.socket, AF_VSOCK, STREAM!, 0);
      if (fd >= 0) open.push(fd);
      return fd;
    };
    try {
      const listener = socket();
      if (listener < 0) return skipTest("the kernel has no vsock");
      const at = (call: "bind" | "connect", fd: number) =>
        scratch((memory) => syscall(NR[call], fd, memory.put(address(7200)), 16));
      if (at("bind", listener) < 0) return skipTest("the kernel has no vsock loopback");
      check("listen", syscall(NR.listen, listener, 4));
      const pair = (): [number, number] => {
        const client = socket();
        check("connect", at("connect", client));
        const server = check("accept4", syscall(NR.accept4, listener, 0, 0, NONBLOCK));
        open.push(server);
        return [client, server];
      };
      const [alice, atAlice] = pair();
      const [bob, atBob] = pair();
      using loaded = linuxTarget().load(collectionOf([redirect(0)], [socks]));
      using attached = attachOrSkip(loaded, skipTest);
      const { map } = attached;
      try {
        put(map, 0, atAlice);
      } catch (error) {
        // Before Linux 6.4 there were none.
        expect(error).toMatchObject({ errno: Errno.EOPNOTSUPP });
        return skipTest("the kernel takes no vsock into socket maps (6.4)");
      }
      put(map, 1, atBob);
      send(alice, "by vsock");
      await expect.poll(() => receive(bob), { timeout: 5000 }).toBe("by vsock");
      map.delete(key(0));
      map.delete(key(1));
    } finally {
      for (const fd of open) close(fd);
    }
  });
});
