import { AttachType, type BpfMap, MapType, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LinuxMap } from "../bpf/index.ts";
import { scratch } from "../mem/index.ts";
import { getLink, setLink } from "../netlink/index.ts";
import { connectTcp, listenTcp, NetNs } from "../netns/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, collectionOf, kernelLacks, kernelSkipReason } from "../testing.ts";
import { BpfLink } from "./index.ts";

const skip = kernelSkipReason();
const noVerdict = kernelLacks("attachTypes", "sk_skb_verdict");
const { BPF_PROG_TYPE_SK_SKB: SK_SKB, BPF_PROG_TYPE_SK_MSG: SK_MSG } = ProgType;
const SOCK_NONBLOCK = 0o4000;

describe.skipIf(skip)(`programs on sockets in a map${skip ? ` (skipped: ${skip})` : ""}`, () => {
  let ns: NetNs;
  let port = 7300;
  const open: number[] = [];
  beforeAll(() => {
    ns = NetNs.create();
    setLink(ns.route, getLink(ns.route, "lo").index, { up: true });
  });
  afterAll(() => {
    for (const fd of open) close(fd);
    ns.close();
  });

  /** Both ends of a connection: what one sends the other receives. */
  function pair(): [client: number, server: number] {
    const listener = listenTcp(ns, "127.0.0.1", ++port);
    const client = connectTcp(ns, "127.0.0.1", port);
    const server = check("accept4", syscall(NR.accept4, listener, 0, 0, SOCK_NONBLOCK));
    close(listener);
    open.push(client, server);
    return [client, server];
  }

  const send = (fd: number, text: string): void => {
    scratch((memory) => {
      const bytes = new TextEncoder().encode(text);
      check("sendto", syscall(NR.sendto, fd, memory.put(bytes), bytes.length, 0, 0, 0));
    });
  };
  /** What has arrived; "" for nothing. */
  const receive = (fd: number): string =>
    scratch((memory) => {
      const { address, bytes } = memory.take(100);
      const count = syscall(NR.recvfrom, fd, address, bytes.length, 0, 0, 0);
      return new TextDecoder().decode(bytes.slice(0, Math.max(0, count)));
    });
  /** Redirection is done by a worker of the kernel. */
  const arrives = (fd: number, text: string) => expect.poll(() => receive(fd), { timeout: 5000 }).toBe(text);

  const key = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
  const put = (map: BpfMap, n: number, fd: number): void =>
    map.update(key(n), new Uint8Array(BigUint64Array.of(BigInt(fd)).buffer));

  const sockets = (type: number) => arrayMap("socks", 4, { type });
  const parser = asmProgram("parser", SK_SKB, "r0 = *(u32 *)(r1 + 0)\nexit", {
    attachType: AttachType.BPF_SK_SKB_STREAM_PARSER,
  });
  /** Sends everything out of the socket at 1 of the map: a helper by index, or one by key. */
  const verdict = (attachType: number, hash: boolean): ProgramSpec =>
    asmProgram(
      "verdict",
      SK_SKB,
      hash
        ? `*(u32 *)(r10 - 4) = 1
           r2 = map[socks]
           r3 = r10
           r3 += -4
           r4 = 0
           call bpf_sk_redirect_hash
           exit`
        : `r2 = map[socks]
           r3 = 1
           r4 = 0
           call bpf_sk_redirect_map
           exit`,
      { attachType },
    );

  test.each([
    ["a sockmap", MapType.BPF_MAP_TYPE_SOCKMAP, false],
    ["a sockhash", MapType.BPF_MAP_TYPE_SOCKHASH, true],
  ] as const)("parser and verdict of %s splice two connections", async (_, type, hash) => {
    const [alice, proxyA] = pair();
    const [bob, proxyB] = pair();
    const programs = [parser, verdict(AttachType.BPF_SK_SKB_STREAM_VERDICT, hash)];
    using loaded = linuxTarget().load(collectionOf(programs, [sockets(type)]));
    const map = loaded.maps.get("socks") as LinuxMap;
    using _parser = linuxTarget().attach(loaded.programs.get("parser")!, { kind: "sockmap", map, type: "parser" });
    const link = linuxTarget().attach(loaded.programs.get("verdict")!, { kind: "sockmap", map, type: "verdict" });
    put(map, 0, proxyA);
    put(map, 1, proxyB);
    send(alice, "to bob");
    await arrives(bob, "to bob");
    expect(receive(proxyA)).toBe("");
    link.close();
    map.delete(key(0));
    map.delete(key(1));
  });

  test.skipIf(noVerdict)("skb_verdict needs no parser", async () => {
    const [alice, proxyA] = pair();
    const [bob, proxyB] = pair();
    const programs = [verdict(AttachType.BPF_SK_SKB_VERDICT, false)];
    using loaded = linuxTarget().load(collectionOf(programs, [sockets(MapType.BPF_MAP_TYPE_SOCKMAP)]));
    const map = loaded.maps.get("socks") as LinuxMap;
    using link = linuxTarget().attach(loaded.programs.get("verdict")!, { kind: "sockmap", map, type: "skb_verdict" });
    if (link instanceof BpfLink) expect(link.info().progId).toBe(loaded.programs.get("verdict")!.id);
    put(map, 0, proxyA);
    put(map, 1, proxyB);
    send(alice, "hello");
    await arrives(bob, "hello");
  });

  test("a message program passes, drops, or hands over what is sent", async () => {
    const [alice, aliceEnd] = pair();
    const [, bobEnd] = pair();
    const attachType = AttachType.BPF_SK_MSG_VERDICT;
    const handOver = `r2 = map[socks]
      r3 = 1
      r4 = 1
      call bpf_msg_redirect_map
      exit`;
    const programs = [
      asmProgram("drop", SK_MSG, "r0 = 0\nexit", { attachType }),
      asmProgram("hand", SK_MSG, handOver, { attachType }),
    ];
    using loaded = linuxTarget().load(collectionOf(programs, [sockets(MapType.BPF_MAP_TYPE_SOCKMAP)]));
    const map = loaded.maps.get("socks") as LinuxMap;
    const hook = { kind: "sockmap", map, type: "msg" } as const;
    const link = linuxTarget().attach(loaded.programs.get("drop")!, hook);
    put(map, 0, alice);
    put(map, 1, bobEnd);
    const length = 4;
    const tried = scratch((memory) => syscall(NR.sendto, alice, memory.take(length).address, length, 0, 0, 0));
    expect(tried).toBe(-13);
    // A socket keeps the program that it was put in with.
    link.update(loaded.programs.get("hand")!);
    map.delete(key(0));
    put(map, 0, alice);
    send(alice, "over");
    await arrives(bobEnd, "over");
    expect(receive(aliceEnd)).toBe("");
    map.delete(key(0));
    link.close();
    send(alice, "plain");
    await arrives(aliceEnd, "plain");
  });

  test("a program of another kind is refused", () => {
    const programs = [verdict(AttachType.BPF_SK_SKB_VERDICT, false)];
    using loaded = linuxTarget().load(collectionOf(programs, [sockets(MapType.BPF_MAP_TYPE_SOCKMAP)]));
    const map = loaded.maps.get("socks") as LinuxMap;
    const attach = () => linuxTarget().attach(loaded.programs.get("verdict")!, { kind: "sockmap", map, type: "msg" });
    expect(attach).toThrow("bpf(PROG_ATTACH): EINVAL: sockmap:socks:msg");
  });
});
