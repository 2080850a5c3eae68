/**
 * Holds the verifier's tables of kernel versions against the kernels' sources. `EBPLANE_LINUX_TREES` names a folder that
 * has a tree of each version, named as it (`5.15/kernel/bpf/verifier.c` …); whole trees or parts of them. What a tree
 * lacks is not compared. Nothing of them is part of this repository.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  ATTACH_TYPE_SINCE,
  ctxLayout,
  HELPERS,
  helperById,
  KFUNCS,
  MAP_TYPE_SINCE,
  PROG_TYPE_SINCE,
  ProgType,
} from "../object/index.ts";
import { FIELD_SINCE, helperSince, RULES, type RuleName, versionNumber, versionText } from "./profile.ts";

const TREES = process.env.EBPLANE_LINUX_TREES ?? "";
const VERSIONS = (TREES && existsSync(TREES) ? readdirSync(TREES) : [])
  .filter((name) => /^\d+\.\d+$/.test(name))
  .sort((a, b) => versionNumber(a) - versionNumber(b));
if (VERSIONS.length === 0) {
  console.log("profile sources: skipped, EBPLANE_LINUX_TREES names no folder of kernel trees by version");
}

const texts = new Map<string, string>();
function text(version: string, file: string): string {
  const path = `${TREES}/${version}/${file}`;
  let found = texts.get(path);
  if (found === undefined) {
    found = existsSync(path) ? readFileSync(path, "latin1") : "";
    texts.set(path, found);
  }
  return found;
}

/** Why `since` cannot be the first version that has it; undefined where the trees agree or cannot tell. */
function contradiction(since: string | number, has: (version: string) => boolean | undefined): string | undefined {
  const number = typeof since === "number" ? since : versionNumber(since);
  const known = VERSIONS.map((v) => [v, has(v)] as const).filter(([, answer]) => answer !== undefined);
  const first = known.findIndex(([, answer]) => answer);
  if (first < 0) return known.length && versionNumber(known.at(-1)![0]) >= number ? "no tree has it" : undefined;
  const [at, before] = [known[first]![0], known[first - 1]?.[0]];
  if (number > versionNumber(at)) return `${at} has it`;
  return before !== undefined && number <= versionNumber(before) ? `${before} lacks it` : undefined;
}

function wrong(rows: Iterable<readonly [string, string | number, (version: string) => boolean | undefined]>): string[] {
  const found: string[] = [];
  for (const [name, since, has] of rows) {
    const why = contradiction(since, has);
    if (why) found.push(`${name} since ${since}: ${why}`);
  }
  return found;
}

const UAPI = "include/uapi/linux/bpf.h";
const VERIFIER = "kernel/bpf/verifier.c";
const inText = (file: string, pattern: RegExp) => (version: string) => {
  const found = text(version, file);
  return found === "" ? undefined : pattern.test(found);
};

/** The body of a function. */
function body(version: string, file: string, name: string): string | undefined {
  const source = text(version, file);
  if (source === "") return undefined;
  return new RegExp(`^[a-z][^;{}=]*\\b${name}\\([^;{}]*\\)\\s*\\{[\\s\\S]*?^\\}`, "m").exec(source)?.[0] ?? "";
}
const inBody =
  (file: string, name: string, pattern: RegExp, absent = false) =>
  (version: string): boolean | undefined => {
    const found = body(version, file, name);
    return found === undefined ? undefined : pattern.test(found) !== absent;
  };

/** How a source shows that its kernel has the rule. Rules of stable releases of 6.18 are in no first release. */
const MARKS: Readonly<Record<RuleName, ((version: string) => boolean | undefined) | "stable">> = {
  globalFunctions: inText(VERIFIER, /do_check_subprogs/),
  narrowPort: inBody(
    "net/core/filter.c",
    "sock_addr_is_valid_access",
    /user_port\):\s*if \(size != size_default/,
    true,
  ),
  boundedSpills: inText(VERIFIER, /register_is_bounded|save_register_state\(env/),
  linkedNumbers: inText(VERIFIER, /find_equal_scalars|sync_linked_regs/),
  tailCallsWithFunctions: inText(VERIFIER, /allow_tail_call_in_subprogs/),
  legacyLoadsWithFunctions: inText(VERIFIER, /check_abnormal_return/),
  sleepable: inText("kernel/bpf/syscall.c", /BPF_F_SLEEPABLE/),
  packetEndRemembered: inText(VERIFIER, /is_pkt_ptr_branch_taken/),
  atomics: inText(VERIFIER, /BPF_CMPXCHG/),
  globalPointers: inText("kernel/bpf/btf.c", /PTR_TO_MEM_OR_NULL|PTR_TO_MEM \| PTR_MAYBE_NULL/),
  variableStack: inText(VERIFIER, /check_stack_read_var_off/),
  bindResult: inText(VERIFIER, /BPF_CGROUP_INET4_BIND/),
  functionPointers: inText(VERIFIER, /BPF_PSEUDO_FUNC/),
  kernelFunctions: inText(VERIFIER, /BPF_PSEUDO_KFUNC_CALL/),
  narrowSpills: inText(VERIFIER, /spill_size/),
  xdpFragments: inText("kernel/bpf/syscall.c", /BPF_F_XDP_HAS_FRAGS/),
  sleepableProbes: inText(VERIFIER, /kprobe\/uprobe|uprobe.*sleepable/),
  dynamicPerfMaps: inText(VERIFIER, /perf_event programs can only/),
  sleepableDynamicMaps: inText(VERIFIER, /Sleepable programs can only use preallocated/),
  recordsAsKeys: (v) => {
    const found = inText(VERIFIER, /map_key_value_types/)(v);
    return versionNumber(v) < 510 || found === undefined ? undefined : !found;
  },
  typesForGpl: inText(VERIFIER, /Cannot access kernel 'struct %s' from non-GPL/),
  equalIsNotNull: inText(VERIFIER, /eq_branch_regs/),
  uninitialisedStack: inBody(VERIFIER, "check_stack_range_initialized", /allow_uninit_stack/),
  deviceBound: inText("kernel/bpf/syscall.c", /BPF_F_XDP_DEV_BOUND_ONLY/),
  contextConstants: inText(VERIFIER, /BPF_ST stores into/),
  anyLoop: inText(VERIFIER, /loop_ok/),
  linkedMoves32: inText(VERIFIER, /is_src_reg_u32/),
  sleepableLocks: inText(VERIFIER, /sleepable progs cannot use bpf_spin_lock/),
  v4: inText(VERIFIER, /BPF_MEMSX/),
  zeroSpills: (v) =>
    versionNumber(v) < 512
      ? undefined
      : inBody(VERIFIER, "check_stack_write_fixed_off", /!register_is_null\(reg\)/, true)(v),
  deeperStack: inText(VERIFIER, /grow_stack_state/),
  linkedSpills: inBody(VERIFIER, "check_stack_write_fixed_off", /assign_scalar_id_before_mov/),
  narrowFills: inText(VERIFIER, /size <= spill_size/),
  lazyGlobals: inText(VERIFIER, /\bcalled\b.*[;)]|->called/),
  argumentTags: inText("kernel/bpf/btf.c", /"(arg:)?nonnull"/),
  finerFrames: inText(VERIFIER, /round_up_stack_depth/),
  mayGoto: inText(VERIFIER, /may_goto/),
  arena: inText(VERIFIER, /PTR_TO_ARENA/),
  lsmResult: inText(VERIFIER, /bpf_lsm_get_retval_range/),
  linksAtDistance: inText(VERIFIER, /BPF_ADD_CONST/),
  privateStack: inText(VERIFIER, /priv_stack/),
  readsKeepSpills: inBody(VERIFIER, "check_stack_range_initialized", /type == BPF_WRITE\)\s*clobber/),
  sureLookups: inText(VERIFIER, /get_constant_map_key/),
  loadAcquire: inText(VERIFIER, /check_atomic_load/),
  untypedCast: inBody(VERIFIER, "check_special_kfunc", /btf_type_is_void\(ret_t\)/),
  splitSelections: "stable",
  linksBackwards: "stable",
};
/** Marks whose presence means that the older, stricter rule still holds. */
const LIFTED: ReadonlySet<RuleName> = new Set([
  "anyLoop",
  "dynamicPerfMaps",
  "sleepableDynamicMaps",
  "contextConstants",
  "sleepableLocks",
]);
/** A stable release brought the rule to a version before its own: a tree of that release is no witness. */
const BACKPORTED: Readonly<Partial<Record<RuleName, string>>> = { uninitialisedStack: "6.1", privateStack: "6.12" };

/** The functions that answer which helpers a program type has. */
const PROTO_FILES = [
  "net/core/filter.c",
  "kernel/bpf/helpers.c",
  "kernel/bpf/cgroup.c",
  "kernel/trace/bpf_trace.c",
  "net/netfilter/nf_bpf_link.c",
  "kernel/bpf/syscall.c",
];
const PROTO_OF: Readonly<Record<string, string>> = {
  socket_filter: "sk_filter",
  sched_cls: "tc_cls_act",
  sched_act: "tc_cls_act",
  xdp: "xdp",
  cgroup_skb: "cg_skb",
  lwt_in: "lwt_in",
  lwt_out: "lwt_out",
  lwt_xmit: "lwt_xmit",
  lwt_seg6local: "lwt_seg6local",
  sock_ops: "sock_ops",
  sk_skb: "sk_skb",
  sk_msg: "sk_msg",
  flow_dissector: "flow_dissector",
  sk_reuseport: "sk_reuseport",
  sk_lookup: "sk_lookup",
  cgroup_sock: "sock_filter",
  cgroup_sock_addr: "sock_addr",
  cgroup_device: "cgroup_dev",
  cgroup_sysctl: "sysctl",
  cgroup_sockopt: "cg_sockopt",
  netfilter: "bpf_nf",
  kprobe: "kprobe_prog",
  tracepoint: "tp_prog",
  raw_tracepoint: "raw_tp_prog",
  perf_event: "pe_prog",
};

/** Names of the helpers that a `*_func_proto` function of a tree names, with those of the functions that it asks. */
function helpersNamed(version: string, name: string, seen = new Set<string>()): Set<string> | undefined {
  if (seen.has(name)) return new Set();
  seen.add(name);
  const bodies = PROTO_FILES.map((file) => protos(version, file).get(name)).filter((found) => found !== undefined);
  if (bodies.length === 0) return undefined;
  const found = new Set<string>();
  for (const source of bodies) {
    for (const [, helper] of source.matchAll(/case BPF_FUNC_(\w+):/g)) found.add(helper!);
    for (const [, other] of source.matchAll(/\b(\w+func_proto)\(/g)) {
      for (const helper of helpersNamed(version, other!, seen) ?? []) found.add(helper);
    }
  }
  return found;
}

const protoBodies = new Map<string, Map<string, string>>();
function protos(version: string, file: string): Map<string, string> {
  const key = `${version} ${file}`;
  let found = protoBodies.get(key);
  if (!found) {
    const functions = text(version, file).matchAll(
      /struct bpf_func_proto \*\s*(\w+func_proto)\([^)]*\)\s*\{([\s\S]*?)^\}/gm,
    );
    found = new Map([...functions].map(([, name, source]) => [name!, source!]));
    protoBodies.set(key, found);
  }
  return found;
}

describe.skipIf(VERSIONS.length === 0)("the tables of versions agree with the kernels' sources", () => {
  test("rules of profiles", () => {
    const rows = (Object.keys(RULES) as RuleName[]).flatMap((name) => {
      const mark = MARKS[name];
      if (mark === "stable") return [];
      const has = (v: string) => {
        if (BACKPORTED[name] === v) return undefined;
        const found = mark(v);
        if (found === undefined || (LIFTED.has(name) && name.startsWith("sleepable") && versionNumber(v) < 512))
          return undefined;
        return found !== LIFTED.has(name);
      };
      return [[name, RULES[name].since, has] as const];
    });
    expect(wrong(rows)).toEqual([]);
  });

  test("helpers, program types, map types and hooks", () => {
    const named = (pattern: (name: string) => RegExp) => (name: string) => inText(UAPI, pattern(name));
    const helper = named((name) => new RegExp(`\\bFN\\(${name}\\b`));
    const constant = named((name) => new RegExp(`\\b${name}\\b\\s*(,|=|\\})`));
    const rows = [
      ...[...HELPERS.values()].map((h) => [h.name, h.since, helper(h.name)] as const),
      ...[PROG_TYPE_SINCE, MAP_TYPE_SINCE, ATTACH_TYPE_SINCE].flatMap((table) =>
        Object.entries(table).map(([name, since]) => [name, since, constant(name)] as const),
      ),
    ];
    expect(wrong(rows)).toEqual([]);
  });

  test("fields of every ctx", () => {
    const fields = new Map<string, string>();
    for (const type of Object.values(ProgType)) {
      for (let attach = 0; attach < 60; attach++) {
        const layout = ctxLayout(type, attach);
        for (const { name } of layout?.fields ?? []) fields.set(`${layout!.struct}.${name}`, layout!.struct);
      }
    }
    const rows = [...fields].flatMap(([key, struct]) => {
      const name = key.slice(struct.length + 1);
      const has = (v: string): boolean | undefined => {
        const found = new RegExp(`^struct ${struct} \\{([\\s\\S]*?)^\\};`, "m").exec(text(v, UAPI))?.[1];
        return found === undefined
          ? undefined
          : new RegExp(`\\b${name}\\b`).test(found.replace(/\/\*[\s\S]*?\*\//g, ""));
      };
      return VERSIONS.some((v) => has(v)) ? [[key, FIELD_SINCE[key] ?? "5.4", has] as const] : [];
    });
    expect(rows.length).toBeGreaterThan(100);
    expect(wrong(rows)).toEqual([]);
  });

  test("which program types may call a helper", () => {
    const rows = Object.entries(PROTO_OF).flatMap(([type, proto]) => {
      const number = (ProgType as Record<string, number>)[`BPF_PROG_TYPE_${type.toUpperCase()}`]!;
      const own = versionNumber(PROG_TYPE_SINCE[`BPF_PROG_TYPE_${type.toUpperCase()}` as keyof typeof PROG_TYPE_SINCE]);
      return [...HELPERS.keys()].flatMap((id) => {
        const helper = helperById(id, number)!;
        if (helper.progTypes && !helper.progTypes.has(number)) return [];
        // Named there before 6.1 for programs that may sleep only, which these could not.
        if (helper.name === "copy_from_user") return [];
        const since = Math.max(helperSince(helper, number), own);
        const has = (v: string) => helpersNamed(v, `${proto}_func_proto`)?.has(helper.name);
        return [[`${helper.name} in ${type} (${versionText(since)})`, since, has] as const];
      });
    });
    expect(rows.length).toBeGreaterThan(1000);
    expect(wrong(rows)).toEqual([]);
  });

  test("kfuncs", () => {
    const sets = new Map<string, Set<string>>();
    const listed = (v: string): Set<string> => {
      let found = sets.get(v);
      if (!found) {
        found = new Set();
        for (const file of readdirSync(`${TREES}/${v}`, { recursive: true, encoding: "latin1" })) {
          if (!/^(kernel|net|fs|drivers)\/.*\.c$/.test(file)) continue;
          for (const [, name] of text(v, file).matchAll(/BTF_ID(?:_FLAGS)?\(func,\s*(\w+)/g)) found.add(name!);
        }
        sets.set(v, found);
      }
      return found;
    };
    // Trees may be partial: only a kfunc listed before its version, or one that no earlier or later tree knows, is wrong.
    const early = [...KFUNCS.values()].flatMap((kfunc) => {
      const first = VERSIONS.find((v) => versionNumber(v) >= 600 && listed(v).has(kfunc.name));
      if (!first || versionNumber(kfunc.since) < 600) return [];
      if (versionNumber(first) < versionNumber(kfunc.since))
        return [`${kfunc.name} since ${kfunc.since}: ${first} has it`];
      return [];
    });
    expect(early).toEqual([]);
  });
});
