/**
 * A folded configuration behaves as the same values in memory: every program with `config(…)`, folded and not, on packets
 * of all kinds, on interpreter, JIT and kernel.
 */
import { type Constants, compile } from "@ebplane/compiler";
import { toHex } from "@ebplane/core/bytes";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { generatePackets } from "@ebplane/core/wire";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";

const skip = kernelSkipReason();

const SOURCE = `
import { be16, config, ETH_P_IP, ETH_P_8021Q, ethernet, hash, IPPROTO_TCP, IPPROTO_UDP, ipv4, ntohs, percpuArray, ports, struct,
  u16, u32, u64, vlan, xdp, XDP_DROP, XDP_PASS, XDP_TX, be32 } from "ebplane/bpf";
const TAGS = config("TAGS", true);
const COUNT = config("COUNT", true);
const PORT = config("PORT", be16(53));
const LOWEST = config("LOWEST", 2);
const ACTION = config("ACTION", XDP_DROP);
const SALT = config("SALT", 1n);
const SIZE = config("SIZE", 64);
const Key = struct({ saddr: be32, dport: be16, ttl: u16 });
export const seen = hash(Key, u64, { maxEntries: SIZE });
export const total = percpuArray(u64, { maxEntries: 1 });
const HALF = SIZE / 2;

export const main = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  let proto = eth.proto;
  if (TAGS && proto === be16(ETH_P_8021Q)) {
    const tag = p.take(vlan);
    if (!tag) return XDP_DROP;
    proto = tag.proto;
  }
  if (proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.ttl < LOWEST) return ACTION;
  if (COUNT) {
    const t = total.lookup(0);
    if (t) t.value += SALT;
  }
  if (ip.protocol !== IPPROTO_TCP && ip.protocol !== IPPROTO_UDP) return XDP_PASS;
  const l4 = p.take(ports);
  if (!l4) return XDP_DROP;
  if (l4.dest === PORT) {
    seen.update({ saddr: ip.saddr, dport: l4.dest, ttl: u16(ip.ttl) }, SALT);
    return ACTION;
  }
  return ntohs(l4.source) % HALF === 0 ? XDP_TX : XDP_PASS;
});
`;
const files = new Map([["p.bpf.ts", SOURCE]]);
const SETTINGS: readonly Constants[] = [
  {},
  { TAGS: false, COUNT: false },
  { PORT: 80, ACTION: 3, LOWEST: 60, SALT: 7 },
  { TAGS: false, LOWEST: 0, SIZE: 8 },
];

/** Small enough for a test run, big enough for an Ethernet header. */
function corpus(count: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (const { bytes } of generatePackets({ seed: 11, broken: 0.3 })) {
    if (bytes.length >= 14 && bytes.length <= 1500) out.push(bytes);
    if (out.length === count) return out;
  }
  return out;
}

/** Verdicts, packets and what is in the maps afterwards. */
function behaviour(target: Target, spec: CollectionSpec, packets: readonly Uint8Array[]): string[] {
  const loaded = target.load(spec);
  try {
    const out = packets.map((packet) => {
      const r = loaded.programs.get("main")!.testRun({ packet });
      return `${r.verdict} ${toHex(r.packet)}`;
    });
    for (const name of ["seen", "total"]) {
      // Of what each CPU counted only the sum is the program's doing: where it runs is the scheduler's.
      const shown = name === "total" ? (v: Uint8Array) => toHex(sum(v)) : toHex;
      const entries = [...(loaded.maps.get(name)?.entries() ?? [])].map(([k, v]) => `${toHex(k)} ${shown(v)}`);
      out.push(
        `${name}: ${entries
          .filter((e) => !/ (00)+$/.test(e))
          .sort()
          .join(", ")}`,
      );
    }
    return out;
  } finally {
    loaded.close();
  }
}

/** The CPUs' 64-bit values as one. */
function sum(values: Uint8Array): Uint8Array {
  const all = new BigUint64Array(values.slice().buffer);
  return new Uint8Array(BigUint64Array.of(all.reduce((a, b) => a + b, 0n)).buffer);
}

const PACKETS = corpus(600);

describe.each([
  ["interpreter", () => new SimTarget({ engine: "interp" }), undefined],
  ["JIT", () => new SimTarget({ engine: "jit" }), undefined],
  ["kernel", () => linuxTarget(), skip],
] as const)("on the %s", (_, target, why) => {
  test.skipIf(why).each(SETTINGS)("folded %o is as in memory", (constants) => {
    const input = { entry: "p.bpf.ts", files, constants };
    const folded = behaviour(target(), compile(input).spec, PACKETS);
    expect(folded).toEqual(behaviour(target(), compile({ ...input, fold: false }).spec, PACKETS));
    expect(new Set(folded.map((line) => line[0])).size, "the packets take several ways").toBeGreaterThan(2);
  });
});

test("a variable of the unfolded object may be set before it is loaded", () => {
  const { spec } = compile({ entry: "p.bpf.ts", files, fold: false });
  const variable = spec.variables!.get("ACTION")!;
  const rodata = spec.maps.get(variable.map)!;
  const value = (rodata.contents![0]!.value as Uint8Array).slice();
  value[variable.offset] = 3;
  const contents = [{ key: new Uint8Array(4), value }];
  const changed = { ...spec, maps: new Map([...spec.maps, [rodata.name, { ...rodata, contents }]]) };
  const folded = compile({ entry: "p.bpf.ts", files, constants: { ACTION: 3 } }).spec;
  expect(behaviour(new SimTarget(), changed, PACKETS)).toEqual(behaviour(new SimTarget(), folded, PACKETS));
});

test("folding leaves code out", () => {
  const size = (constants: Constants, fold: boolean) =>
    compile({ entry: "p.bpf.ts", files, constants, fold }).spec.programs.get("main")!.code.length;
  const less = { TAGS: false, COUNT: false };
  expect(size(less, true)).toBeLessThan(size({}, true));
  expect(size({}, true)).toBeLessThan(size({}, false));
});
