/** Rules that choose a routing table. Source: net/core/fib_rules.c of 6.18. */
import { Errno } from "../../errors/index.ts";
import {
  AF_INET,
  AF_INET6,
  type Attr,
  cstring,
  encodeBody,
  FR_ACT_TO_TBL,
  FRA_DST,
  FRA_FWMARK,
  FRA_IIFNAME,
  FRA_PRIORITY,
  FRA_SRC,
  FRA_TABLE,
  getString,
  getU32,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  u32,
} from "../../netlink/index.ts";
import { type Netns, type NetRule, refuse, sameBytes } from "./state.ts";

const HEADER = 12;
const rule = (family: number, priority: number, table: number): NetRule => ({
  family,
  priority,
  table,
  from: undefined,
  to: undefined,
  iif: undefined,
  mark: undefined,
});

/** What every namespace begins with: local, main and, for IPv4, default. */
export const initialRules = (): NetRule[] => [
  rule(AF_INET, 0, RT_TABLE_LOCAL),
  rule(AF_INET, 32766, RT_TABLE_MAIN),
  rule(AF_INET, 32767, RT_TABLE_DEFAULT),
  rule(AF_INET6, 0, RT_TABLE_LOCAL),
  rule(AF_INET6, 32766, RT_TABLE_MAIN),
];

export function ruleRequest(view: DataView, attrs: ReadonlyMap<number, Uint8Array>): NetRule {
  const family = view.getUint8(0);
  if (family !== AF_INET && family !== AF_INET6) refuse(Errno.EOPNOTSUPP);
  const size = family === AF_INET ? 4 : 16;
  const prefix = (type: number, length: number): NetRule["from"] => {
    const bytes = attrs.get(type);
    if (!bytes) return undefined;
    if (bytes.length < size || length > size * 8) refuse(Errno.EINVAL);
    return { bytes: bytes.slice(0, size), length };
  };
  if (view.getUint8(7) !== FR_ACT_TO_TBL) refuse(Errno.EOPNOTSUPP, "sim's rules only choose a table");
  return {
    family,
    priority: getU32(attrs.get(FRA_PRIORITY)) ?? 0,
    table: getU32(attrs.get(FRA_TABLE)) ?? view.getUint8(4),
    from: prefix(FRA_SRC, view.getUint8(2)),
    to: prefix(FRA_DST, view.getUint8(1)),
    iif: getString(attrs.get(FRA_IIFNAME)),
    mark: getU32(attrs.get(FRA_FWMARK)),
  };
}

export function addRule(ns: Netns, wanted: NetRule, exclusive: boolean): void {
  if (exclusive && ns.rules.some((r) => same(r, wanted))) refuse(Errno.EEXIST);
  if (wanted.family === AF_INET) ns.merged = false;
  ns.rules.push(wanted);
  // A stable sort: of one priority the older first.
  ns.rules.sort((a, b) => a.priority - b.priority);
}

export function deleteRule(ns: Netns, wanted: NetRule): void {
  const at = ns.rules.findIndex((r) => same(r, wanted));
  if (at < 0) refuse(Errno.ENOENT);
  ns.rules.splice(at, 1);
}

function same(a: NetRule, b: NetRule): boolean {
  const prefixes = (x: NetRule["from"], y: NetRule["from"]): boolean =>
    x?.length === y?.length && sameBytes(x?.bytes, y?.bytes);
  return (
    a.family === b.family &&
    a.priority === b.priority &&
    a.table === b.table &&
    a.iif === b.iif &&
    a.mark === b.mark &&
    prefixes(a.from, b.from) &&
    prefixes(a.to, b.to)
  );
}

/** RTM_NEWRULE's body. */
export function encodeRule({ family, priority, table, from, to, iif, mark }: NetRule): Uint8Array {
  const header = new Uint8Array(HEADER);
  header.set([family, to?.length ?? 0, from?.length ?? 0, 0, table < 256 ? table : 252, 0, 0, FR_ACT_TO_TBL]);
  const attrs: Attr[] = [[FRA_TABLE, u32(table)]];
  if (priority) attrs.push([FRA_PRIORITY, u32(priority)]);
  if (to) attrs.push([FRA_DST, to.bytes]);
  if (from) attrs.push([FRA_SRC, from.bytes]);
  if (iif !== undefined) attrs.push([FRA_IIFNAME, cstring(iif)]);
  if (mark !== undefined) attrs.push([FRA_FWMARK, u32(mark)]);
  return encodeBody(header, attrs);
}
