import { existsSync } from "node:fs";
import { BtfBuilder } from "@ebplane/core/btf";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { arrayMap, asmProgram, collectionOf, countingProgram, createTopology, kernelSkipReason } from "../testing.ts";
import { findType, kernelBtf, moduleHint } from "./kernel-btf.ts";
import { linuxProgram } from "./load.ts";
import { linuxTarget } from "./target.ts";

const skip = kernelSkipReason() ?? (existsSync("/sys/kernel/btf/vmlinux") ? undefined : "the kernel has no BTF");
const T = ProgType;

test("of a function that is missing it is told which module has it", () => {
  expect(moduleHint("bpf_xdp_ct_lookup")).toMatch(/^: modprobe nf_conntrack,/);
  expect(moduleHint("bpf_ct_set_nat_info")).toMatch(/^: modprobe nf_nat,/);
  expect(moduleHint("bpf_dynptr_slice")).toBe("");
});

describe.skipIf(skip)(`names of the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("a BTF tracepoint runs where it was loaded for", () => {
    const spec = countingProgram("tp", T.BPF_PROG_TYPE_TRACING, 0, {
      attachType: AttachType.BPF_TRACE_RAW_TP,
      attachTo: "sched_switch",
    });
    using loaded = linuxTarget().load(collectionOf([spec], [arrayMap("hits")]));
    using _ = linuxTarget().attach(loaded.programs.get("tp")!, { kind: "trace" });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    expect(loaded.maps.get("hits")!.lookup(new Uint8Array(4))).not.toEqual(new Uint8Array(8));
  });

  test("what this kernel does not have is refused by name", () => {
    const tp = asmProgram("tp", T.BPF_PROG_TYPE_TRACING, "r0 = 0\nexit", {
      attachType: AttachType.BPF_TRACE_RAW_TP,
      attachTo: "no_such_thing",
    });
    expect(() => linuxTarget().load(collectionOf([tp]))).toThrow(
      new UnsupportedError("no_such_thing", "program tp: this kernel has no tracepoint no_such_thing"),
    );
  });

  test("fentry loads, or is refused with the reason", () => {
    const spec = asmProgram("f", T.BPF_PROG_TYPE_TRACING, "r0 = 0\nexit", {
      attachType: AttachType.BPF_TRACE_FENTRY,
      attachTo: "tcp_connect",
    });
    try {
      using loaded = linuxTarget().load(collectionOf([spec]));
      expect(loaded.programs.get("f")!.id).toBeGreaterThan(0);
    } catch (error) {
      expect(error).toEqual(
        new UnsupportedError(
          "tracing",
          "program f (tracing): this kernel refuses programs that patch its functions (lockdown, or built without)",
        ),
      );
    }
  });

  test("a kfunc that is missing is named; a weak one may not be reached", () => {
    const call = (name: string, weak: boolean, text: string) =>
      collectionOf([
        asmProgram("k", T.BPF_PROG_TYPE_XDP, text, {
          relocs: [{ pc: text.startsWith("r0") ? 2 : 0, kind: "kfunc", name, weak }],
        }),
      ]);
    expect(() => linuxTarget().load(call("bpf_no_such", false, "call 0\nr0 = 2\nexit"))).toThrow(
      "program k: slot 0: neither this kernel nor a loaded module has a kernel function bpf_no_such",
    );
    expect(() => linuxTarget().load(call("bpf_no_such", true, "call 0\nr0 = 2\nexit"))).toThrow(
      "slot 0: k.s:1:1: this kernel has no function bpf_no_such, and nothing guards the call",
    );
    using dead = linuxTarget().load(call("bpf_no_such", true, "r0 = 2\nif r0 == 2 goto +1\ncall 0\nexit"));
    expect(dead.programs.get("k")!.testRun({ packet: new Uint8Array(64) }).verdict).toBe(2);
  });

  const noKfunc = skip || kernelBtf().find("bpf_rcu_read_lock", "func") !== undefined ? undefined : "before 6.2";
  test.skipIf(noKfunc)("kfuncs are called by name", () => {
    // bpf_rcu_read_lock and _unlock take nothing and are for every type.
    const both = asmProgram("k", T.BPF_PROG_TYPE_XDP, "call 0\ncall 0\nr0 = 2\nexit");
    const code = both.code.slice();
    code[1] = 2 << 4;
    code[9] = 2 << 4;
    const relocs = [
      { pc: 0, kind: "kfunc", name: "bpf_rcu_read_lock", weak: false },
      { pc: 1, kind: "kfunc", name: "bpf_rcu_read_unlock", weak: false },
    ] as const;
    using loaded = linuxTarget().load(collectionOf([{ ...both, code, relocs, lineInfo: [] }]));
    expect(loaded.programs.get("k")!.testRun({ packet: new Uint8Array(64) }).verdict).toBe(2);
  });

  test("what an object only declares does not keep its types out of the kernel", () => {
    const b = new BtfBuilder();
    const int = b.int("int", 4, { encoding: "signed" });
    const proto = b.funcProto(int, [{ name: "", type: b.ptr(0) }]);
    const declared = b.add({ kind: "func", name: "tcp_slow_start", type: proto, linkage: "extern" });
    b.add({ kind: "datasec", name: ".ksyms", size: 0, vars: [{ type: declared, offset: 0, size: 0 }] });
    const main = b.add({ kind: "func", name: "p", type: b.funcProto(int, []), linkage: "global" });
    const program = asmProgram("p", T.BPF_PROG_TYPE_XDP, "r0 = 2\nexit", {
      funcInfo: [{ pc: 0, name: "p", typeId: main }],
      lineInfo: [{ pc: 0, file: "p.c", line: 1, col: 1, text: "" }],
    });
    using loaded = linuxTarget().load({ ...collectionOf([program]), btf: b.build() });
    expect(linuxProgram(loaded.programs.get("p")!).info().btfId).toBeGreaterThan(0);
  });

  test.for(["bpf_xdp_metadata_rx_timestamp", "bpf_xdp_metadata_rx_hash"])(
    "a program that is bound to a device calls %s, and goes nowhere else",
    (metadata, { skip: skipTest }) => {
      if (!findType(metadata, "func")) skipTest("the kernel has no XDP metadata (6.3)");
      using net = createTopology();
      const target = linuxTarget({ netns: net.edge.fd });
      const text = `
      r2 = r10
      r2 += -8
      r3 = r10
      r3 += -16
      call kfunc[${metadata}]
      r6 = r0
      *(u32 *)(r10 - 12) = 0
      r2 = r10
      r2 += -12
      r1 = map[hits]
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      if r6 != 0 goto out
      r1 = 1
      lock *(u64 *)(r0 + 0) += r1
    out:
      r0 = 2
      exit`;
      const spec = collectionOf([asmProgram("stamp", T.BPF_PROG_TYPE_XDP, text)], [arrayMap("hits")]);
      expect(() => target.load(spec)).toThrow(/metadata kfuncs require device-bound program/);
      using loaded = target.load(spec, { boundTo: target.ifindex("e0") });
      const stamp = loaded.programs.get("stamp")!;
      {
        using _ = target.attach(stamp, { kind: "xdp", iface: "e0", mode: "native" });
        expect(net.client.spawnSync("ping", ["-c2", "-i0.01", "-W2", "10.2.0.2"]).status).toBe(0);
        expect(loaded.maps.get("hits")!.lookup(new Uint8Array(4))![0]).toBeGreaterThan(1);
      }
      for (const [iface, mode, why] of [
        ["e1", "native", "program bound to different device"],
        ["e0", "generic", "can't attach device-bound programs in generic mode"],
      ] as const) {
        expect(() => target.attach(stamp, { kind: "xdp", iface, mode })).toThrow(
          `EINVAL: xdp:${iface}:${mode}: ${why}`,
        );
      }
    },
  );

  test("a kernel variable is reached by its type", () => {
    const text = "r1 = 0 ll\nr2 = *(u64 *)(r1 + 0)\nr0 = 2\nexit";
    const spec = asmProgram("v", T.BPF_PROG_TYPE_XDP, text, {
      relocs: [{ pc: 0, kind: "ksym", name: "bpf_prog_active", weak: false }],
      lineInfo: [],
    });
    expect(() =>
      linuxTarget()
        .load(collectionOf([spec]))
        .close(),
    ).not.toThrow(UnsupportedError);
  });
});
