/** Programs that watch the kernel, `examples/observe`: judged by our verifier and the kernel, and what they see of it. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { relocateCore } from "@ebplane/core/elf";
import { UnsupportedError } from "@ebplane/core/errors";
import type { CollectionSpec } from "@ebplane/core/object";
import { verify } from "@ebplane/core/verifier";
import { type LinuxMap, linuxTarget, RingBufReader, readIterator } from "@ebplane/linux";
import { connectTcp, listenTcp, NetNs } from "@ebplane/linux/netns";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";
import { kernelBtf } from "./kernel-btf.ts";

const DIR = fileURLToPath(new URL("../../../examples/observe/", import.meta.url));
const skip = kernelSkipReason();

function build(file: string): CollectionSpec {
  return compile({ entry: file, files: new Map([[file, readFileSync(DIR + file, "utf8")]]) }).spec;
}

test.skipIf(!kernelBtf()).each(readdirSync(DIR))("each program of %s is accepted by our verifier", (file) => {
  const spec = relocateCore(build(file), kernelBtf()!);
  expect(spec.programs.size).toBeGreaterThan(0);
  for (const p of spec.programs.values()) {
    const { verdict, message } = verify(p, { ...spec, kernelBtf: kernelBtf() });
    expect({ program: p.name, verdict, message }).toEqual({ program: p.name, verdict: "accept", message: "" });
  }
});

/** What the ring has, until `enough`, for two seconds at most. */
async function records(map: LinuxMap, enough: (all: readonly Uint8Array[]) => boolean): Promise<Uint8Array[]> {
  using reader = new RingBufReader(map);
  const all: Uint8Array[] = [];
  for (let tries = 0; tries < 200 && !enough(all); tries++) {
    reader.consume((r) => all.push(r.slice()));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return all;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));

describe.skipIf(skip)(`on the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("a program that is started is seen with its file and who started it", async () => {
    using ns = NetNs.create();
    using loaded = linuxTarget().load(build("exec.bpf.ts"));
    using _ = linuxTarget().attach(loaded.programs.get("started")!, { kind: "trace" });
    ns.spawnSync("/bin/true");
    const isOurs = (r: Uint8Array): boolean => text(r.subarray(8, 24)) === "true";
    const seen = await records(loaded.maps.get("events") as LinuxMap, (all) => all.some(isOurs));
    const ours = seen.find(isOurs)!;
    expect(text(ours.subarray(40, 104))).toMatch(/\/true$/);
    expect(text(ours.subarray(24, 40))).not.toBe("");
    expect(new DataView(ours.buffer, ours.byteOffset).getInt32(4, true)).toBeGreaterThan(0);
  });

  test("an iterator writes a line for each map, and its head once", () => {
    const source = `
      import { array, bytes, iter, kernelStruct, license, pointerTo, seqPrintf, u32, u64 } from "ebplane/bpf";
      license("GPL");
      const File = kernelStruct("seq_file", {});
      const Meta = kernelStruct("bpf_iter_meta", { seq: pointerTo(File), seq_num: u64 });
      const BpfMap = kernelStruct("bpf_map", { id: u32, max_entries: u32, key_size: u32 });
      export const only = array(u32, { maxEntries: 77 });
      export const maps = iter("bpf_map", (ctx) => {
        const meta = ctx.arg(0, Meta);
        const seq = meta.seq;
        if (!seq) return 0;
        if (meta.seq_num === 0n) seqPrintf(seq, "maps\\n");
        const m = ctx.argOrUndefined(1, BpfMap);
        if (m) seqPrintf(seq, "%d %d %d\\n", m.id, m.max_entries, m.key_size);
        if (only.lookup(0) === undefined) return 1;
        return 0;
      });`;
    const { spec } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", source]]) });
    using loaded = linuxTarget().load(spec);
    using link = linuxTarget().attach(loaded.programs.get("maps")!, { kind: "trace" });
    const lines = new TextDecoder().decode(readIterator((link as unknown as { fd: number }).fd)).split("\n");
    expect(lines.filter((l) => l === "maps")).toEqual(["maps"]);
    expect(lines).toContain(`${(loaded.maps.get("only") as LinuxMap).id} 77 4`);
  });

  test("a TCP connection is seen from its start to its end; a kernel without probes says so", async () => {
    const spec = build("tcp.bpf.ts");
    using ns = NetNs.create();
    ns.spawnSync("ip", ["link", "set", "lo", "up"]);
    using loaded = linuxTarget().load(spec, { programs: ["changed"] });
    using _ = linuxTarget().attach(loaded.programs.get("changed")!, { kind: "trace" });
    await hello(ns, "127.0.0.1", 8099);
    const changes = (r: Uint8Array): string => {
      const v = new DataView(r.buffer, r.byteOffset);
      return v.getUint16(10, false) === 8099 ? `${v.getInt32(12, true)}>${v.getInt32(16, true)}` : "";
    };
    const seen = await records(loaded.maps.get("events") as LinuxMap, (all) => all.some((r) => changes(r) === "2>1"));
    const mine = seen.map(changes).filter(Boolean);
    // Closed, SYN sent, established: as the client sees it.
    expect(mine.slice(0, 2)).toEqual(["7>2", "2>1"]);
    const first = seen.find((r) => changes(r) === "2>1")!;
    expect([...first.subarray(0, 8)]).toEqual([127, 0, 0, 1, 127, 0, 0, 1]);

    using probes = linuxTarget().load(spec, { programs: ["connecting"] });
    const attach = () =>
      linuxTarget().attach(probes.programs.get("connecting")!, { kind: "kprobe", function: "tcp_v4_connect" });
    try {
      attach().close();
    } catch (e) {
      expect(e).toBeInstanceOf(UnsupportedError);
      expect((e as Error).message).toBe("kprobe:tcp_v4_connect: this kernel was built without kprobes");
    }
  });
});

/** One connection within the namespace, to its end. */
function hello(ns: NetNs, ip: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const listener = createServer((socket) => socket.end("hello"));
    listener.listen({ fd: listenTcp(ns, ip, port) }, () => {
      const socket = new Socket({ fd: connectTcp(ns, ip, port), readable: true, writable: true });
      socket.on("data", () => {});
      socket.on("error", reject);
      socket.on("close", () => listener.close(() => resolve()));
    });
  });
}
