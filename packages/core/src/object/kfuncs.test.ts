import { expect, test } from "vitest";
import { KFUNCS, kfuncAllowed, kfuncByName, ProgType } from "./index.ts";

test("every row parses: at most five arguments, known program types", () => {
  expect(KFUNCS.size).toBeGreaterThan(180);
  for (const kfunc of KFUNCS.values()) {
    expect(kfunc.args.length, kfunc.name).toBeLessThanOrEqual(5);
    expect(kfunc.progTypes?.has(undefined as never) ?? false, kfunc.name).toBe(false);
    expect(kfunc.since, kfunc.name).toMatch(/^[56]\.\d+$/);
  }
});

test("memory has a size: its own, or the argument after it", () => {
  for (const { name, args } of KFUNCS.values()) {
    args.forEach((arg, i) => {
      const bounded = args[i + 1]?.kind === "size" || args[i + 1]?.kind === "constantSize";
      if (arg.kind === "mem") expect(arg.size > 0, `${name} argument ${i + 1}`).toBe(!bounded);
      if (arg.kind === "size" || arg.kind === "constantSize") expect(args[i - 1]?.kind, name).toBe("mem");
    });
  }
});

test("what is acquired can be given back", () => {
  const released = new Set(
    [...KFUNCS.values()].filter((k) => k.releases).flatMap((k) => k.args.filter((a) => a.of).map((a) => a.of)),
  );
  for (const { name, acquires, result } of KFUNCS.values()) {
    if (acquires && result.kind === "btf") expect(released, name).toContain(result.of);
  }
});

test("rows carry their modifiers", () => {
  expect(kfuncByName("bpf_dynptr_slice_rdwr")!).toMatchObject({
    result: { kind: "mem", orNull: true, writable: true, size: 0 },
    acquires: false,
  });
  expect(kfuncByName("bpf_dynptr_slice_rdwr")!.args[2]).toMatchObject({ kind: "mem", orNull: true });
  expect(kfuncByName("bpf_ct_insert_entry")!).toMatchObject({ acquires: true, releases: true });
  expect(kfuncByName("bpf_iter_num_new")!.args[0]).toEqual({
    kind: "iter",
    orNull: false,
    uninit: true,
    size: 0,
    of: "num",
  });
  expect(kfuncByName("bpf_no_such")).toBeUndefined();
  expect(kfuncAllowed(kfuncByName("bpf_xdp_ct_lookup")!, ProgType.BPF_PROG_TYPE_XDP)).toBe(true);
  expect(kfuncAllowed(kfuncByName("bpf_xdp_ct_lookup")!, ProgType.BPF_PROG_TYPE_SK_MSG)).toBe(false);
});
