/**
 * Functions and types that live in modules: calls with the module's BTF beside, CO-RE, places to attach to. The whole of it
 * runs where nf_conntrack is a module (`scripts/kernels/run.sh 6.12 npx vitest run packages/linux/src/target/modules.test.ts`).
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { BtfBuilder, CORE_RELO } from "@ebplane/core/btf";
import { UnsupportedError } from "@ebplane/core/errors";
import { AttachType as A, type BpfMap, type ProgramSpec, ProgType as T } from "@ebplane/core/object";
import { beforeAll, describe, expect, test } from "vitest";
import { arrayMap, asmProgram, collectionOf, countingProgram, kernelSkipReason } from "../testing.ts";
import { findType, modulesWith } from "./kernel-btf.ts";
import { linuxTarget } from "./target.ts";

const MODULE = "nf_conntrack";

function noModule(): string | undefined {
  spawnSync("modprobe", [MODULE]);
  if (!existsSync(`/sys/kernel/btf/${MODULE}`)) return `the kernel has no module ${MODULE} with types`;
  // Since 5.18; without `bpf_ct_release` among its types there is nothing to call.
  return findType("bpf_ct_release", "func") ? undefined : `the kernel's ${MODULE} has no functions for programs`;
}

/** 10.0.0.1:1000 → 10.0.0.2:2000 over TCP as the functions take it: the tuple at r10 - 16, the options at r10 - 32. */
const TUPLE = `
  *(u32 *)(r10 - 16) = 0x0100000a
  *(u32 *)(r10 - 12) = 0x0200000a
  *(u16 *)(r10 - 8) = 0xe803
  *(u16 *)(r10 - 6) = 0xd007
  *(u32 *)(r10 - 32) = -1
  *(u32 *)(r10 - 28) = 0
  *(u32 *)(r10 - 24) = 6
  r2 = r10
  r2 += -16
  r3 = 12
  r4 = r10
  r4 += -32
  r5 = 12`;

const LOOKUP = asmProgram(
  "lookup",
  T.BPF_PROG_TYPE_XDP,
  `${TUPLE}
   call kfunc[bpf_xdp_ct_lookup]
   if r0 == 0 goto none
   r1 = r0
   call kfunc[bpf_ct_release]
   r0 = 2
   exit
  none:
   r0 = 1
   exit`,
);

const skip = kernelSkipReason() ?? noModule();

describe.skipIf(skip)(`what modules have${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const target = linuxTarget();
  const packet = new Uint8Array(64);
  const hits = arrayMap("hits");
  const hitsOf = (maps: ReadonlyMap<string, BpfMap>): number => maps.get("hits")!.lookup(new Uint8Array(4))![0]!;
  beforeAll(() => {
    spawnSync("modprobe", ["nf_nat"]);
  });

  test("a connection is tracked, and found, by functions of two modules", (context) => {
    using before = target.load(collectionOf([LOOKUP]));
    expect(before.programs.get("lookup")!.testRun({ packet }).verdict).toBe(1);
    if (!findType("bpf_xdp_ct_alloc", "func")) context.skip("connections are made by programs since Linux 6.0");
    const insert = (nat: string) =>
      asmProgram(
        "insert",
        T.BPF_PROG_TYPE_XDP,
        `${TUPLE}
         call kfunc[bpf_xdp_ct_alloc]
         if r0 == 0 goto none
         r6 = r0
         ${nat}
         r1 = r6
         r2 = 30000
         call kfunc[bpf_ct_set_timeout]
         r1 = r6
         call kfunc[bpf_ct_insert_entry]
         if r0 == 0 goto none
         r1 = r0
         call kfunc[bpf_ct_release]
         r0 = 2
         exit
        none:
         r0 = 1
         exit`,
      );
    const translated = `
      *(u32 *)(r10 - 48) = 0x0300000a
      *(u32 *)(r10 - 44) = 0
      *(u32 *)(r10 - 40) = 0
      *(u32 *)(r10 - 36) = 0
      r1 = r6
      r2 = r10
      r2 += -48
      r3 = 0
      r4 = 0
      call kfunc[bpf_ct_set_nat_info]`;
    if (findType("bpf_ct_set_nat_info", "func")) {
      try {
        target.load(collectionOf([insert(translated)])).close();
      } catch (error) {
        // From 6.18 on both modules have a struct of that name of their own, which the verifier takes for two.
        expect((error as Error).message).toContain(
          "expected pointer to STRUCT nf_conn___init but R1 has a pointer to STRUCT nf_conn___init",
        );
      }
    }
    using loaded = target.load(collectionOf([insert(""), LOOKUP]));
    expect(loaded.programs.get("insert")!.testRun({ packet }).verdict).toBe(2);
    expect(loaded.programs.get("lookup")!.testRun({ packet }).verdict).toBe(2);
    expect(loaded.programs.get("insert")!.testRun({ packet }).verdict, "it is there already").toBe(1);
  });

  test("a function of a module is traced at entry and probed", () => {
    const traced = (name: string, attachTo: string): ProgramSpec =>
      countingProgram(name, T.BPF_PROG_TYPE_TRACING, 0, { attachType: A.BPF_TRACE_FENTRY, attachTo });
    const func = "nf_conntrack_find_get";
    const programs = [
      LOOKUP,
      traced("plain", func),
      traced("named", `${MODULE}:${func}`),
      countingProgram("probe", T.BPF_PROG_TYPE_KPROBE, 0, {
        section: `kprobe/${MODULE}:${func}`,
        attachTo: `${MODULE}:${func}`,
      }),
    ];
    using loaded = target.load(collectionOf(programs, [hits]));
    for (const name of ["plain", "named", "probe"]) {
      const before = hitsOf(loaded.maps);
      using _ = target.attach(loaded.programs.get(name)!);
      loaded.programs.get("lookup")!.testRun({ packet });
      expect(hitsOf(loaded.maps) - before, name).toBe(1);
    }
    expect(() => target.load(collectionOf([traced("none", `${MODULE}:tcp_connect`)], [hits]))).toThrow(
      `program none: this kernel has no function ${MODULE}:tcp_connect, nor has a module that is loaded (modprobe it)`,
    );
  });

  test("types that only a module has settle CO-RE", () => {
    const own = modulesWith("bpf_xdp_ct_lookup").find((t) => t.module === MODULE)!.btf;
    const [name, size] = [...own.names()].flatMap(([name, ids]) => {
      const type = own.type(ids[0]!);
      return type.kind === "struct" && name && findType(name, "struct")?.in.module === MODULE
        ? [[name, type.size] as const]
        : [];
    })[0]!;
    const b = new BtfBuilder();
    const typeId = b.struct(name, 0, []);
    const missing = b.struct("no_such_struct_anywhere", 0, []);
    const ask = (typeId: number): number => {
      const program = asmProgram("size", T.BPF_PROG_TYPE_XDP, `r0 = ${typeId === missing ? 1 : 0}\nexit`, {
        coreRelos: [
          { pc: 0, typeId, access: "0", kind: typeId === missing ? CORE_RELO.typeExists : CORE_RELO.typeSize },
        ],
      });
      using loaded = target.load({ ...collectionOf([program]), btf: b.build() });
      return loaded.programs.get("size")!.testRun({ packet }).verdict;
    };
    expect(ask(typeId), name).toBe(size);
    expect(ask(missing)).toBe(0);
  });

  test("what no loaded module has is said with the module that would have it", () => {
    const fou = asmProgram(
      "fou",
      T.BPF_PROG_TYPE_SCHED_CLS,
      "r2 = r10\nr2 += -8\n*(u64 *)(r10 - 8) = 0\ncall kfunc[bpf_skb_get_fou_encap]\nr0 = 0\nexit",
    );
    spawnSync("modprobe", ["-r", "fou"]);
    expect(() => target.load(collectionOf([fou]))).toThrow(UnsupportedError);
    expect(() => target.load(collectionOf([fou]))).toThrow(
      "program fou: slot 3: neither this kernel nor a loaded module has a kernel function bpf_skb_get_fou_encap: modprobe fou,",
    );
    if (spawnSync("modprobe", ["fou"]).status === 0 && findType("bpf_skb_get_fou_encap", "func")) {
      target.load(collectionOf([fou])).close();
      spawnSync("modprobe", ["-r", "fou"]);
    }
  });
});
