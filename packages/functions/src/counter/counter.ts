/** Counts packets and bytes by protocol: a per-CPU hash keyed by EtherType and IP protocol. It never decides. */
import { z } from "zod";
import { type Detail, type FunctionKind, sumCounter } from "../kind.ts";

const schema = z.strictObject({});
export type CounterConfig = z.infer<typeof schema>;

/** EtherType and IP protocol of what has a name. Source: IANA. */
const NAMES: Record<string, string> = {
  "0800/1": "IPv4 ICMP",
  "0800/2": "IPv4 IGMP",
  "0800/6": "IPv4 TCP",
  "0800/17": "IPv4 UDP",
  "0800/47": "IPv4 GRE",
  "86dd/6": "IPv6 TCP",
  "86dd/17": "IPv6 UDP",
  "86dd/58": "IPv6 ICMPv6",
  "86dd/47": "IPv6 GRE",
  "0806/0": "ARP",
  "88cc/0": "LLDP",
};

function label(etherType: number, proto: number): string {
  if (etherType === 0) return "others";
  const hex = etherType.toString(16).padStart(4, "0");
  const known = NAMES[`${hex}/${proto}`];
  if (known) return known;
  if (hex === "0800") return `IPv4 protocol ${proto}`;
  if (hex === "86dd") return `IPv6 protocol ${proto}`;
  return `EtherType 0x${hex}`;
}

export const counter: FunctionKind<CounterConfig> = {
  type: "counter",
  description: "Counts packets and bytes by protocol.",
  schema,
  source: "counter/counter.bpf.ts",
  reasons: [],
  check: () => [],
  constants: () => ({}),
  // The row that takes what no longer fits is there from the start, so that a flood of EtherTypes cannot crowd it out.
  contents: () => new Map([["protocols", [{ key: new Uint8Array(4), value: new Uint8Array(16) }]]]),
  details(_config, maps): Detail[] {
    const rows: Detail[] = [];
    for (const [key, value] of maps.get("protocols")!.entries()) {
      const view = new DataView(key.buffer, key.byteOffset);
      const sum = sumCounter(value);
      if (sum.packets > 0n) rows.push({ label: label(view.getUint16(0, true), view.getUint8(2)), ...sum });
    }
    return rows.sort((a, b) =>
      a.packets === b.packets ? a.label.localeCompare(b.label) : a.packets < b.packets ? 1 : -1,
    );
  },
};
