/**
 * The stateless firewall: rules in order, the first match decides, a default for the rest.
 *
 * Rules live in a map and can be replaced while packets flow: `rules` has two banks, a new set is written into the
 * bank that is not in use, and one 8-byte store into `active` switches over. Only `capacity` is folded into the code.
 * The program is `firewall.bpf.ts`; the layout of a rule stands in `rule.ts`.
 */
import type { BpfMap, MapEntry } from "@ebplane/core/object";
import { z } from "zod";
import { type Detail, type FunctionKind, indexKey, sumCounter } from "../kind.ts";
import { checkRule, encodeRule, ruleSchema } from "./rule.ts";

const schema = z.strictObject({
  default: z.enum(["pass", "drop"]).describe("What happens to a packet that no rule matches."),
  capacity: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe("Most rules that fit without a recompilation. When absent, room for the rules in the file, 64 at least."),
  rules: z.array(ruleSchema).max(1024).default([]).describe("Tried in order; the first that matches decides."),
});

export type FirewallConfig = z.infer<typeof schema>;

/** Counter slots after those of the rules: the default action's. */
const COUNTER_BYTES = 16;

function capacityOf(config: FirewallConfig): number {
  if (config.capacity !== undefined) return config.capacity;
  let capacity = 64;
  while (capacity < config.rules.length) capacity *= 2;
  return capacity;
}

/** The value of `active`: first rule of the bank in use in the low half, number of rules in the high half. */
function activeValue(base: number, count: number): Uint8Array {
  const value = new Uint8Array(8);
  const view = new DataView(value.buffer);
  view.setUint32(0, base, true);
  view.setUint32(4, count, true);
  return value;
}

function bankEntries(config: FirewallConfig, base: number): MapEntry[] {
  return config.rules.map((rule, i) => ({ key: indexKey(base + i), value: encodeRule(rule) }));
}

export const firewall: FunctionKind<FirewallConfig> = {
  type: "firewall",
  description: "A stateless firewall: rules in order, the first match decides.",
  schema,
  source: "firewall/firewall.bpf.ts",
  reasons: ["default action", "rule"],

  check(config) {
    const issues = config.rules.flatMap((rule, i) =>
      checkRule(rule).map((issue) => ({ path: ["rules", i, ...issue.path], message: issue.message })),
    );
    const capacity = capacityOf(config);
    if (config.rules.length > capacity) {
      issues.push({
        path: ["capacity"],
        message: `expected at least ${config.rules.length}, the number of rules, got ${capacity}`,
      });
    }
    return issues;
  },

  constants: (config) => ({
    CAPACITY: capacityOf(config),
    DEFAULT_DROP: config.default === "drop",
  }),

  contents: (config) =>
    new Map<string, MapEntry[]>([
      ["rules", bankEntries(config, 0)],
      ["active", [{ key: indexKey(0), value: activeValue(0, config.rules.length) }]],
    ]),

  details(config, maps): Detail[] {
    const hits = maps.get("hits")!;
    const base = activeBase(maps.get("active")!);
    return config.rules.map((rule, i) => ({
      label: `${rule.name ?? `rule ${i + 1}`} (${rule.action})`,
      ...sumCounter(hits.lookup(indexKey(base + i))),
    }));
  },

  update(config, maps) {
    const { spec } = maps.get("rules")!;
    const capacity = spec.maxEntries / 2;
    if (config.rules.length > capacity) {
      throw new RangeError(
        `the firewall was built for ${capacity} rules, got ${config.rules.length}: rebuild the plane with a larger capacity`,
      );
    }
    const next = activeBase(maps.get("active")!) === 0 ? capacity : 0;
    const hits = maps.get("hits")!;
    const zero = new Uint8Array(hits.lookup(indexKey(0))?.length ?? COUNTER_BYTES);
    for (const { key, value } of bankEntries(config, next)) {
      maps.get("rules")!.update(key, value as Uint8Array);
      hits.update(key, zero);
    }
    maps.get("active")!.update(indexKey(0), activeValue(next, config.rules.length));
  },
};

function activeBase(active: BpfMap): number {
  const value = active.lookup(indexKey(0))!;
  return new DataView(value.buffer, value.byteOffset).getUint32(0, true);
}
