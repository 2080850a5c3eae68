import { expect, test } from "vitest";
import {
  AttachType,
  HELPERS,
  type Helper,
  helperAllowed,
  helperById,
  helperByName,
  helperName,
  isGplCompatible,
  ProgType,
} from "./index.ts";

function row(name: string): Helper {
  return helperById(helperByName(`bpf_${name}`)!)!;
}

test("holds all 211 helpers without a gap, each name once", () => {
  expect([...HELPERS.keys()]).toEqual(Array.from({ length: 211 }, (_, i) => i + 1));
  expect(new Set([...HELPERS.values()].map((h) => h.name)).size).toBe(211);
});

test("every row parses to known program types and at most five arguments", () => {
  for (const helper of HELPERS.values()) {
    expect(helper.args.length, helper.name).toBeLessThanOrEqual(5);
    expect(helper.progTypes?.has(undefined as never) ?? false, helper.name).toBe(false);
    for (const arg of helper.args) expect(arg.kind, helper.name).toMatch(/^[a-z][A-Za-z]*0?$/);
  }
});

test("a size argument follows the memory it bounds", () => {
  for (const helper of HELPERS.values()) {
    helper.args.forEach((arg, i) => {
      if (arg.kind !== "size" && arg.kind !== "size0") return;
      expect(helper.args[i - 1]?.kind, `${helper.name} argument ${i + 1}`).toBe("mem");
    });
  }
});

test("arguments carry their modifiers", () => {
  expect(row("check_mtu").args[2]).toEqual({
    kind: "mem",
    orNull: false,
    access: "write",
    size: 4,
    aligned: true,
    releases: false,
    of: "",
  });
  expect(row("kptr_xchg").args[1]).toMatchObject({ kind: "btf", orNull: true, releases: true });
  expect(row("csum_diff").args[1]).toMatchObject({ kind: "size0", access: "read" });
  expect(row("skc_to_tcp_sock").result).toEqual({ kind: "btf", orNull: true, of: "tcp_sock" });
});

test("a helper's arguments may depend on the program type", () => {
  const classid = row("get_cgroup_classid").id;
  expect(helperById(classid, ProgType.BPF_PROG_TYPE_SCHED_CLS)!.args).toHaveLength(1);
  expect(helperById(classid, ProgType.BPF_PROG_TYPE_SK_MSG)!.args).toHaveLength(0);
});

test("program type and attach type decide who may call", () => {
  const bind = row("bind");
  const type = ProgType.BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  expect(helperAllowed(bind, type, AttachType.BPF_CGROUP_INET4_CONNECT)).toBe(true);
  expect(helperAllowed(bind, type, AttachType.BPF_CGROUP_INET4_BIND)).toBe(false);
  expect(helperAllowed(bind, ProgType.BPF_PROG_TYPE_XDP, 0)).toBe(false);
  expect(helperAllowed(row("map_lookup_elem"), ProgType.BPF_PROG_TYPE_XDP, 0)).toBe(true);
});

test("licences compare exactly", () => {
  expect(isGplCompatible("GPL")).toBe(true);
  expect(isGplCompatible("gpl")).toBe(false);
  expect(isGplCompatible("MIT")).toBe(false);
});

test("names and numbers translate both ways", () => {
  expect(helperName(1)).toBe("bpf_map_lookup_elem");
  expect(helperName(0)).toBeUndefined();
  expect(helperByName("bpf_cgrp_storage_delete")).toBe(211);
  expect(helperByName("map_lookup_elem")).toBeUndefined();
});
