/** The firewall's program against a plain reading of the rules, on random rules and packets; and its live updates. */
import { viewOf } from "@ebplane/core/bytes";
import { SimTarget } from "@ebplane/core/sim";
import { parseCidr } from "@ebplane/core/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { buildPlane } from "../plane/build.ts";
import { parsePlane } from "../plane/parse.ts";
import { startPlane } from "../plane/plane.ts";
import type { RuleConfig } from "./rule.ts";

/** What a packet is, as far as rules can ask. */
interface Fields {
  readonly family: 4 | 6;
  readonly vlan: number;
  readonly src: number;
  readonly dst: number;
  readonly proto: number;
  readonly sport: number;
  readonly dport: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly later: boolean;
}

/** Addresses come from a small pool, so that rules often match. */
const POOL4 = ["10.0.0.1", "10.0.0.200", "10.0.7.1", "10.200.0.1", "192.0.2.1", "255.255.255.255", "0.0.0.0"];
const POOL6 = ["2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "2001:db9::", "fe80::1", "::", "ff02::1"];
const PREFIXES4 = ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "0.0.0.0/0", "10.0.4.0/22", "128.0.0.0/1", "192.0.2.0/31"];
const PREFIXES6 = ["2001:db8::/32", "2001:db8::/64", "2001:db8::1", "::/0", "2001:db8::/63", "fe80::/10", "8000::/1"];

function frame(f: Fields): Uint8Array {
  const l4 = f.later ? 16 : f.proto === 6 ? 20 : 12;
  const link = f.vlan ? 18 : 14;
  const l3 = f.family === 4 ? 20 : f.later ? 48 : 40;
  const out = new Uint8Array(link + l3 + l4);
  const v = viewOf(out);
  v.setUint16(link - 2, f.family === 4 ? 0x0800 : 0x86dd);
  if (f.vlan) {
    v.setUint16(12, 0x8100);
    v.setUint16(14, 0x6000 | f.vlan);
  }
  const pool = f.family === 4 ? POOL4 : POOL6;
  const address = (i: number): Uint8Array => parseCidr(pool[i]!).address;
  if (f.family === 4) {
    out[link] = 0x45;
    v.setUint16(link + 2, l3 + l4);
    v.setUint16(link + 6, f.later ? 5 : 0x4000);
    out[link + 8] = 64;
    out[link + 9] = f.proto;
    out.set(address(f.src), link + 12);
    out.set(address(f.dst), link + 16);
  } else {
    out[link] = 0x60;
    v.setUint16(link + 4, l3 - 40 + l4);
    out[link + 6] = f.later ? 44 : f.proto;
    out.set(address(f.src), link + 8);
    out.set(address(f.dst), link + 24);
    if (f.later) {
      out[link + 40] = f.proto;
      v.setUint16(link + 42, 0x10);
    }
  }
  const at = link + l3;
  if (f.later) return out;
  if (f.proto === 1 || f.proto === 58) {
    out[at] = f.icmpType;
    out[at + 1] = f.icmpCode;
  } else {
    v.setUint16(at, f.sport);
    v.setUint16(at + 2, f.dport);
    if (f.proto === 6) out[at + 12] = 0x50;
    if (f.proto === 17) v.setUint16(at + 4, l4);
  }
  return out;
}

const PROTO: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, gre: 47, icmpv6: 58, sctp: 132 };

/** The rule read as a person reads it. */
function matches(rule: RuleConfig, f: Fields): boolean {
  const pool = f.family === 4 ? POOL4 : POOL6;
  for (const end of ["src", "dst"] as const) {
    const text = rule[end];
    if (text === undefined) continue;
    const { address, prefixLength } = parseCidr(text);
    const mine = parseCidr(pool[f[end]]!).address;
    if (mine.length !== address.length) return false;
    const bits = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(2).padStart(8, "0")).join("");
    if (bits(mine).slice(0, prefixLength) !== bits(address).slice(0, prefixLength)) return false;
  }
  if (rule.proto === "ipv4" || rule.proto === "ipv6") {
    if (f.family !== (rule.proto === "ipv4" ? 4 : 6)) return false;
  } else if (rule.proto === "arp") return false;
  else if (rule.proto !== undefined) {
    if (f.proto !== (typeof rule.proto === "number" ? rule.proto : PROTO[rule.proto])) return false;
    if (rule.proto === "icmp" && f.family !== 4) return false;
    if (rule.proto === "icmpv6" && f.family !== 6) return false;
  }
  for (const end of ["sport", "dport"] as const) {
    const wanted = rule[end];
    if (wanted === undefined) continue;
    if (f.later) return false;
    const [low, high] = typeof wanted === "number" ? [wanted, wanted] : wanted.split("-").map(Number);
    if (f[end] < low! || f[end] > high!) return false;
  }
  if (rule.icmpType !== undefined) {
    const names: Record<string, number> = {
      "echo-request": f.family === 4 ? 8 : 128,
      "echo-reply": f.family === 4 ? 0 : 129,
    };
    const type = typeof rule.icmpType === "number" ? rule.icmpType : names[rule.icmpType];
    if (f.later || f.icmpType !== type) return false;
    if (rule.icmpCode !== undefined && f.icmpCode !== rule.icmpCode) return false;
  }
  if (rule.vlan !== undefined && rule.vlan !== f.vlan) return false;
  if (rule.fragment !== undefined && rule.fragment !== f.later) return false;
  return true;
}

const fields: fc.Arbitrary<Fields> = fc.record({
  family: fc.constantFrom(4, 6),
  vlan: fc.constantFrom(0, 0, 1, 100, 4094),
  src: fc.nat(6),
  dst: fc.nat(6),
  proto: fc.constantFrom(1, 6, 6, 17, 17, 47, 58, 132),
  sport: fc.constantFrom(0, 53, 1024, 40000, 65535),
  dport: fc.constantFrom(22, 53, 80, 443, 8080, 65535),
  icmpType: fc.constantFrom(0, 8, 128, 129, 255),
  icmpCode: fc.constantFrom(0, 1, 255),
  later: fc.boolean(),
}) as fc.Arbitrary<Fields>;

const port = fc.oneof(
  fc.constantFrom(22, 53, 80, 0, 65535),
  fc.constantFrom("0-1023", "1024-65535", "53-53", "8080-8089", "0-65535"),
);

/** Rules that the schema and the checks accept. */
const rule: fc.Arbitrary<RuleConfig> = fc
  .record({
    action: fc.constantFrom("pass", "drop"),
    family: fc.constantFrom(4, 6, 0),
    src: fc.option(fc.nat(6)),
    dst: fc.option(fc.nat(6)),
    l4: fc.constantFrom("any", "tcp", "udp", "sctp", 6, "gre", 47, "icmp", "icmpv6", "ipv4", "ipv6", "arp"),
    sport: fc.option(port, { freq: 3 }),
    dport: fc.option(port),
    icmpType: fc.option(fc.constantFrom(0, 8, 129, "echo-request", "echo-reply")),
    icmpCode: fc.option(fc.constantFrom(0, 1, 255)),
    vlan: fc.option(fc.constantFrom(0, 1, 100), { freq: 4 }),
    fragment: fc.option(fc.boolean(), { freq: 4 }),
  })
  .map((r) => {
    const out: Record<string, unknown> = { action: r.action };
    let family = r.family;
    if (r.l4 === "icmp" || r.l4 === "ipv4") family = family === 6 ? 4 : family;
    if (r.l4 === "icmpv6" || r.l4 === "ipv6") family = family === 4 ? 6 : family;
    if (r.l4 === "arp") family = 0;
    const prefixes = family === 4 ? PREFIXES4 : PREFIXES6;
    if (family && r.src !== null) out.src = prefixes[r.src];
    if (family && r.dst !== null) out.dst = prefixes[r.dst];
    if (r.l4 !== "any") out.proto = r.l4;
    if (["tcp", "udp", "sctp", 6].includes(r.l4) && r.fragment !== true) {
      if (r.sport !== null) out.sport = r.sport;
      if (r.dport !== null) out.dport = r.dport;
    }
    if ((r.l4 === "icmp" || r.l4 === "icmpv6") && r.icmpType !== null && r.fragment !== true) {
      out.icmpType = r.icmpType;
      if (r.icmpCode !== null) out.icmpCode = r.icmpCode;
    }
    if (r.vlan !== null) out.vlan = r.vlan;
    if (r.fragment !== null) out.fragment = r.fragment;
    return out as RuleConfig;
  });

function planeText(defaultAction: string, rules: readonly RuleConfig[]): string {
  return JSON.stringify({
    plane: "test",
    interfaces: { wan: { xdp: "in" } },
    functions: { guard: { type: "firewall", default: defaultAction, capacity: 32, rules } },
    chains: { in: ["guard"] },
  });
}

/** One loaded plane whose rules are replaced for each case: that is tested with it. */
function firewall(defaultAction: "pass" | "drop") {
  const parse = (rules: readonly RuleConfig[]) => parsePlane(planeText(defaultAction, rules), "t");
  const plane = parse([]);
  const sim = new SimTarget({ devices: ["wan"] });
  const running = startPlane(plane, buildPlane(plane), sim);
  return {
    replace: (rules: readonly RuleConfig[]) => running.update(parse(rules)),
    passes: (bytes: Uint8Array) => sim.device("wan").receive(bytes, 0n) === "stack",
    report: () => running.report(),
    close: () => running.close(),
  };
}

test("the first matching rule decides, as a plain reading of the rules does", () => {
  const walls = { pass: firewall("pass"), drop: firewall("drop") };
  fc.assert(
    fc.property(
      fc.constantFrom("pass" as const, "drop" as const),
      fc.array(rule, { maxLength: 12 }),
      fc.array(fields, { minLength: 5, maxLength: 40 }),
      (fallback, rules, packets) => {
        const wall = walls[fallback];
        wall.replace(rules);
        for (const f of packets) {
          const wanted = rules.find((r) => matches(r, f))?.action ?? fallback;
          expect(wall.passes(frame(f)) ? "pass" : "drop", JSON.stringify({ f, rules })).toBe(wanted);
        }
      },
    ),
    { numRuns: 400 },
  );
  for (const wall of Object.values(walls)) wall.close();
});

test("replacing rules restarts their hits and keeps the totals", () => {
  const wall = firewall("drop");
  const web = frame({
    family: 4,
    vlan: 0,
    src: 0,
    dst: 1,
    proto: 6,
    sport: 1024,
    dport: 80,
    icmpType: 0,
    icmpCode: 0,
    later: false,
  });
  expect(wall.passes(web)).toBe(false);
  wall.replace([{ action: "pass", proto: "tcp", dport: 80, name: "web" }]);
  expect(wall.passes(web)).toBe(true);
  expect(wall.passes(web)).toBe(true);
  let guard = wall.report().interfaces[0]!.functions[1]!;
  expect(guard.details).toEqual([{ label: "web (pass)", packets: 2n, bytes: 2n * BigInt(web.length) }]);
  expect(guard.drops).toEqual([{ reason: "default action", packets: 1n, bytes: BigInt(web.length) }]);
  wall.replace([
    { action: "drop", proto: "tcp", dport: 80, name: "no web" },
    { action: "pass", name: "rest" },
  ]);
  expect(wall.passes(web)).toBe(false);
  guard = wall.report().interfaces[0]!.functions[1]!;
  expect(guard.details.map((d) => [d.label, d.packets])).toEqual([
    ["no web (drop)", 1n],
    ["rest (pass)", 0n],
  ]);
  expect(guard.seen.packets).toBe(4n);
  expect(guard.drops.map((d) => [d.reason, d.packets])).toEqual([
    ["default action", 1n],
    ["rule", 1n],
  ]);
  wall.close();
});

test("a change of what is folded into the code is refused, and the plane runs on", () => {
  const wall = firewall("drop");
  const other = parsePlane(planeText("pass", []), "t");
  const plane = parsePlane(planeText("drop", []), "t");
  const sim = new SimTarget({ devices: ["wan"] });
  using running = startPlane(plane, buildPlane(plane), sim);
  expect(() => running.update(other)).toThrow("it must be rebuilt");
  expect(running.report().interfaces[0]!.seen.packets).toBe(0n);
  wall.close();
});
