/** What a running plane tells: per interface, chain and function the packets and bytes, and the reason of every drop. */
import type { BpfMap } from "@ebplane/core/object";
import { type Detail, indexKey, sumCounter } from "../kind.ts";
import { type InterfaceLayout, OUTCOME_CONTINUE, OUTCOMES, ownMaps, type PlaneLayout } from "./layout.ts";
import type { PlaneSpec } from "./schema.ts";

/** Packets and bytes (frame bytes from the Ethernet header, without FCS). */
export interface Count {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface FunctionReport {
  readonly name: string;
  readonly type: string;
  /** Everything that reached the function. */
  readonly seen: Count;
  /** Handed to the next function of the chain, or to the host's stack at its end. */
  readonly passed: Count;
  readonly dropped: Count;
  readonly redirected: Count;
  readonly transmitted: Count;
  /** Errors of the program itself, e.g. a redirect without a target. */
  readonly aborted: Count;
  /** Why packets were dropped here; their sum is `dropped`. */
  readonly drops: readonly ({ readonly reason: string } & Count)[];
  /** The function's own counters: rules with hits, protocols. */
  readonly details: readonly Detail[];
}

export interface InterfaceReport {
  readonly name: string;
  readonly chain: string | undefined;
  readonly seen: Count;
  /** Left the chain towards the host's stack. */
  readonly passed: Count;
  readonly dropped: Count;
  readonly redirected: Count;
  readonly transmitted: Count;
  readonly aborted: Count;
  readonly functions: readonly FunctionReport[];
}

export interface PlaneReport {
  readonly plane: string;
  readonly interfaces: readonly InterfaceReport[];
}

const NONE: Count = { packets: 0n, bytes: 0n };

function add(...counts: readonly Count[]): Count {
  return counts.reduce((a, b) => ({ packets: a.packets + b.packets, bytes: a.bytes + b.bytes }), NONE);
}

/** Reads the counters of a plane from its live maps. `plane` is the configuration in force. */
export function readReport(layout: PlaneLayout, plane: PlaneSpec, maps: ReadonlyMap<string, BpfMap>): PlaneReport {
  return { plane: layout.name, interfaces: layout.interfaces.map((iface) => readInterface(iface, plane, maps)) };
}

function readInterface(iface: InterfaceLayout, plane: PlaneSpec, maps: ReadonlyMap<string, BpfMap>): InterfaceReport {
  if (!iface.program) {
    return {
      name: iface.name,
      chain: undefined,
      seen: NONE,
      passed: NONE,
      dropped: NONE,
      redirected: NONE,
      transmitted: NONE,
      aborted: NONE,
      functions: [],
    };
  }
  const stats = maps.get(iface.program.stats)!;
  const drops = maps.get(iface.program.reasons)!;
  const functions = iface.program.functions.map((fn, slot): FunctionReport => {
    const outcome = (o: number): Count => sumCounter(stats.lookup(indexKey(slot * OUTCOMES + o)));
    const configured = plane.functions.get(fn.name);
    const all = Array.from({ length: OUTCOMES }, (_, o) => outcome(o));
    return {
      name: fn.name,
      type: fn.type,
      seen: add(...all),
      passed: add(all[OUTCOME_CONTINUE]!, all[2]!),
      dropped: all[1]!,
      redirected: all[4]!,
      transmitted: all[3]!,
      aborted: all[0]!,
      drops: fn.reasons
        .map((reason, i) => ({ reason, ...sumCounter(drops.lookup(indexKey(fn.reasonBase + i))) }))
        .filter((d) => d.packets > 0n),
      details: configured ? configured.kind.details(configured.config, ownMaps(fn.name, maps)) : [],
    };
  });
  const total = (key: "dropped" | "redirected" | "transmitted" | "aborted"): Count =>
    add(...functions.map((f) => f[key]));
  // A function may pass straight to the stack (XDP_PASS); otherwise only what leaves the last one gets there.
  const early = iface.program.functions.map((_, slot) => sumCounter(stats.lookup(indexKey(slot * OUTCOMES + 2))));
  const last = functions.length - 1;
  const end = sumCounter(stats.lookup(indexKey(last * OUTCOMES + OUTCOME_CONTINUE)));
  return {
    name: iface.name,
    chain: iface.program.chain,
    seen: functions[0]!.seen,
    passed: add(...early, end),
    dropped: total("dropped"),
    redirected: total("redirected"),
    transmitted: total("transmitted"),
    aborted: total("aborted"),
    functions,
  };
}
