/**
 * What came to Linux after 5.4, one case a kind: a kernel that has it takes it, an older one refuses it by name, with
 * the version and, where there is one, the other way. Each case asks the kernel at hand and asserts either.
 */
import { release } from "node:os";
import { assemble } from "@ebplane/core/asm";
import { BtfBuilder, parseBtf } from "@ebplane/core/btf";
import { UnsupportedError, VerifierError } from "@ebplane/core/errors";
import { AttachType, compareVersions, type Hook, type MapSpec, MapType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { btfBytes, LinuxProgram, progInfo } from "../bpf/index.ts";
import { memlockLimit } from "../mem/index.ts";
import {
  arrayMap,
  asmProgram,
  collectionOf,
  countingProgram,
  kernelLacks,
  kernelSkipReason,
  NetNs,
} from "../testing.ts";
import { youngerThan } from "./lacking.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason();
const T = ProgType;
const A = AttachType;

/** The error of an attempt, its line, or "" where it worked. */
function attempt(body: () => { close(): void }): string {
  try {
    body().close();
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(UnsupportedError);
    expect((error as Error).message).not.toContain("\n");
    return (error as Error).message;
  }
}

describe.skipIf(skip)(`what older kernels lack${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const has = (what: "progTypes" | "mapTypes" | "attachTypes", name: string) => kernelLacks(what, name) === undefined;

  test.each([
    [
      "netfilter",
      T.BPF_PROG_TYPE_NETFILTER,
      A.BPF_NETFILTER,
      "this kernel has no netfilter programs: a sched_cls program at tc:IFACE:DIRECTION sees the same packets (needs Linux 6.4)",
    ],
    ["syscall", T.BPF_PROG_TYPE_SYSCALL, 0, "this kernel has no syscall programs (needs Linux 5.14)"],
  ] as const)("%s programs", (name, type, attachType, refusal) => {
    const flags = name === "syscall" ? 16 : 0;
    const program = asmProgram("p", type, "r0 = 0\nexit", { attachType, flags });
    const said = attempt(() => linuxTarget().load(collectionOf([program])));
    expect(said).toBe(has("progTypes", name) ? "" : `program p: ${refusal}`);
  });

  test.each([
    ["cgroup_unix_connect", T.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, A.BPF_CGROUP_UNIX_CONNECT, "cgroup_sock_addr", "6.7"],
  ] as const)("the hook %s", (name, type, attachType, typeName, since) => {
    const program = asmProgram("p", type, "r0 = 1\nexit", { attachType });
    const said = attempt(() => linuxTarget().load(collectionOf([program])));
    const refusal = `program p: this kernel has no hook ${name} for ${typeName} programs (needs Linux ${since})`;
    expect(said).toBe(has("attachTypes", name) ? "" : refusal);
  });

  const none = { keySize: 0, valueSize: 0, maxEntries: 4096 };
  test.each([
    ["ringbuf", none, "use a perf_event_array (needs Linux 5.8)"],
    ["bloom_filter", { keySize: 0 }, "use a hash (needs Linux 5.16)"],
    ["user_ringbuf", none, "use a queue, or an array to be mapped (needs Linux 6.1)"],
    ["arena", { ...none, maxEntries: 1, flags: 1024 }, "use an array to be mapped (BPF_F_MMAPABLE) (needs Linux 6.9)"],
  ] as const)("maps of type %s", (name, shape, refusal) => {
    const type = MapType[`BPF_MAP_TYPE_${name.toUpperCase() as "RINGBUF"}`];
    const map: MapSpec = { ...arrayMap("m", 1, { type }), ...shape };
    const said = attempt(() => linuxTarget().load(collectionOf([], [map])));
    expect(said).toBe(has("mapTypes", name) ? "" : `map m: this kernel has no ${name} maps: ${refusal}`);
  });

  test("XDP on packets of several buffers", () => {
    const program = asmProgram("p", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit", { flags: 32 });
    const said = attempt(() => linuxTarget().load(collectionOf([program])));
    const refusal = "program p: this kernel has no XDP programs on several buffers (xdp.frags) (needs Linux 5.18)";
    expect(said).toBe(compareVersions(release(), "5.18") >= 0 ? "" : refusal);
  });

  test.each([
    ["tcx_ingress", T.BPF_PROG_TYPE_SCHED_CLS, 0, { kind: "tcx", iface: "lo", direction: "ingress" }],
    [
      "trace_kprobe_multi",
      T.BPF_PROG_TYPE_KPROBE,
      A.BPF_TRACE_KPROBE_MULTI,
      { kind: "kprobe_multi", functions: ["vfs_read"] },
    ],
    [
      "trace_uprobe_multi",
      T.BPF_PROG_TYPE_KPROBE,
      A.BPF_TRACE_UPROBE_MULTI,
      { kind: "uprobe_multi", path: "/bin/true", offsets: [4096] },
    ],
  ] as const)("links for %s", (name, type, attachType, hook) => {
    using ns = NetNs.create();
    const target = linuxTarget({ netns: ns.fd });
    const program = countingProgram("p", type, 0, { attachType });
    using loaded = target.load(collectionOf([program], [arrayMap("hits")]));
    const said = attempt(() => target.attach(loaded.programs.get("p")!, hook as Hook));
    const older = {
      tcx_ingress: "tcx:lo:ingress: this kernel has no tcx links, use tc:lo:ingress (clsact) (needs Linux 6.6)",
      trace_kprobe_multi:
        "kprobe_multi:vfs_read: this kernel has no kprobe_multi links, use kprobe:FUNCTION, a link for each (needs Linux 5.18)",
      trace_uprobe_multi:
        "uprobe_multi:/bin/true:4096: this kernel has no uprobe_multi links, use uprobe:PATH:OFFSET, a link for each (needs Linux 6.6)",
    }[name];
    const reason = kernelLacks("attachTypes", name);
    if (reason?.includes("built without")) expect(said).toContain("built without");
    else expect(said).toBe(reason === undefined ? "" : older);
  });

  test("BTF of kinds that the kernel may not know is loaded with every program", () => {
    const b = new BtfBuilder();
    const int = b.int("int", 4, { encoding: "signed" });
    const float = b.add({ kind: "float", name: "double", size: 8 });
    const tagged = b.add({ kind: "typeTag", name: "user", type: int, attribute: false });
    const marked = b.add({ kind: "typeTag", name: "mark", type: int, attribute: true });
    const signed = b.add({ kind: "enum", name: "e", size: 4, signed: true, values: [{ name: "MINUS", value: -1n }] });
    const wide = b.add({
      kind: "enum64",
      name: "w",
      size: 8,
      signed: false,
      values: [{ name: "BIG", value: 1n << 40n }],
    });
    const members = [float, b.ptr(tagged), b.ptr(marked), wide, signed];
    const struct = b.struct(
      "s",
      40,
      members.map((type, i) => ({ name: `m${i}`, type, offset: i * 8 })),
    );
    b.add({ kind: "declTag", name: "tag", type: struct, component: 1, attribute: false });
    const variable = b.add({ kind: "var", name: "v", type: struct, linkage: "global" });
    b.add({ kind: "datasec", name: "?.data", size: 40, vars: [{ type: variable, offset: 0, size: 40 }] });
    const proto = b.add({ kind: "funcProto", name: "", ret: int, params: [{ name: "ctx", type: b.ptr(struct) }] });
    const func = b.add({ kind: "func", name: "p", type: proto, linkage: "global" });
    const program = asmProgram("p", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit", {
      funcInfo: [{ pc: 0, typeId: func, name: "p" }],
    });
    using loaded = linuxTarget().load({ ...collectionOf([program]), btf: b.build() });
    const p = loaded.programs.get("p")!;
    expect(p).toBeInstanceOf(LinuxProgram);
    const { btfId } = progInfo((p as LinuxProgram).fd);
    const there = parseBtf(btfBytes(btfId)!);
    expect(there.type(func)).toMatchObject({ kind: "func", name: "p" });
    // Whatever stands there for the kinds that it does not know, it has their size.
    expect(there.type(struct)).toMatchObject({ kind: "struct", name: "s", size: 40 });
    expect(there.type(float)).toMatchObject({ name: "double", size: 8 });
    expect(there.type(wide)).toMatchObject({ name: "w", size: 8 });
  });

  test("a map larger than what may be locked in memory", () => {
    using loaded = linuxTarget().load(collectionOf([], [arrayMap("large", 1 << 20)]));
    expect(loaded.maps.get("large")!.lookup(new Uint8Array(4))).toEqual(new Uint8Array(8));
    if (compareVersions(release(), "5.11") < 0) expect(memlockLimit()).toBe(Number.POSITIVE_INFINITY);
  });

  test("what the verifier calls a reserved field or an unknown function is said by its version", () => {
    const load = (text: string) => {
      try {
        linuxTarget()
          .load(collectionOf([asmProgram("p", T.BPF_PROG_TYPE_XDP, text)]))
          .close();
        return "";
      } catch (error) {
        expect(error).toBeInstanceOf(VerifierError);
        return (error as Error).message;
      }
    };
    const v4 = load("r0 = 2\nr1 = (s8)r0\nexit");
    if (compareVersions(release(), "6.6") >= 0) expect(v4).toBe("");
    else
      expect(v4).toMatch(/; it uses instructions of cpu v4 \(built with -mcpu=v3 it does not\): Linux 6\.6, this is /);
    const helper = load("call bpf_ktime_get_tai_ns\nr0 = 2\nexit");
    if (compareVersions(release(), "6.1") >= 0) expect(helper).toBe("");
    else expect(helper).toMatch(/; bpf_ktime_get_tai_ns came with Linux 6\.1, this is /);
  });
});

test.each([
  ["r0 = (s8)r1", "6.5", /cpu v4/],
  ["r0 = (s8)r1", "6.6", undefined],
  ["r0 = 1\nr0 s/= r1", "6.1", /cpu v4/],
  ["r0 = bswap16 r0", "6.1", /cpu v4/],
  ["r0 = *(s8 *)(r10 - 8)", "5.15", /cpu v4/],
  ["r0 = r1", "5.4", undefined],
  ["r0 = *(u8 *)(r10 - 8)\nr0 /= 3\nr0 %= 7", "5.4", undefined],
  ["lock *(u64 *)(r10 - 8) += r1", "5.4", undefined],
  ["r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)", "5.10", /atomic operations beyond addition: Linux 5\.12/],
  ["may_goto +0", "6.8", /may_goto: Linux 6\.9/],
] as const)("%s is younger than %s or not", (text, kernel, said) => {
  const { code } = assemble(`${text}\nexit`);
  const spec = { ...asmProgram("p", T.BPF_PROG_TYPE_XDP, "exit"), code };
  const young = youngerThan(kernel, spec, "unknown opcode");
  if (said === undefined) expect(young).toBeUndefined();
  else expect(young).toMatch(said);
});
