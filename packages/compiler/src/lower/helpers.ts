/**
 * The helpers as functions: `bpf_ktime_get_ns` is `ktimeGetNs()`. Arguments and licence come from the one helper table;
 * here stands only what a program sees of them: the types of numbers, and what memory they touch.
 */
import { HELPERS, type Helper } from "@ebplane/core/object";
import { I32, I64, type IntType, U32, U64 } from "../check/index.ts";

export interface HelperForm {
  readonly helper: Helper;
  readonly result: IntType;
}

/** Results that are not a signed status. */
const RESULTS: Readonly<Record<string, IntType>> = {
  ktime_get_ns: U64,
  ktime_get_boot_ns: U64,
  ktime_get_coarse_ns: U64,
  ktime_get_tai_ns: U64,
  jiffies64: U64,
  get_prandom_u32: U32,
  get_smp_processor_id: U32,
  get_numa_node_id: U32,
  get_current_pid_tgid: U64,
  get_current_uid_gid: U64,
  get_cgroup_classid: U32,
  get_route_realm: U32,
  get_hash_recalc: U32,
  get_socket_cookie: U64,
  get_socket_uid: U32,
  get_current_cgroup_id: U64,
  skb_cgroup_id: U64,
  csum_diff: I64,
};

/** Argument widths where a number is 64 bits: by helper and position. All other numbers are u32. */
const WIDE: Readonly<Record<string, readonly number[]>> = {
  redirect: [1],
  redirect_neigh: [3],
  redirect_peer: [1],
  skb_store_bytes: [4],
  l3_csum_replace: [2, 3, 4],
  l4_csum_replace: [2, 3, 4],
  clone_redirect: [2],
};

export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
}

const FORMS = new Map<string, HelperForm>();
for (const helper of HELPERS.values()) {
  if (helper.result.kind !== "int") continue;
  FORMS.set(camelCase(helper.name), { helper, result: RESULTS[helper.name] ?? I32 });
}

/** The helper that a name of `ebplane/bpf` stands for. */
export function helperForm(name: string): HelperForm | undefined {
  return FORMS.get(name);
}

/** The type of a number in an argument. */
export function argType(helper: Helper, position: number): IntType {
  return WIDE[helper.name]?.includes(position) ? U64 : U32;
}

/** No memory, no state: the call may go when nobody wants its result. */
export const PURE = new Set([
  "ktime_get_ns",
  "ktime_get_boot_ns",
  "ktime_get_coarse_ns",
  "jiffies64",
  "get_smp_processor_id",
]);
