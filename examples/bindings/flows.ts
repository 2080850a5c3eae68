/**
 * A program's maps as typed objects: examples/programs/flows.bpf.ts counts flows, this reads the one that is asked for.
 *
 *     npx ebplane types examples/programs/flows.bpf.ts -o examples/bindings/flows.types.ts
 *     npx tsx --conditions=source examples/bindings/flows.ts
 *
 * `flows.types.ts` is what the first line wrote: an editor completes names of maps and members, and knows that `packets`
 * is a bigint and `saddr` an address in network byte order.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { typedMaps } from "@ebplane/core/elf";
import type { Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { readCapture } from "@ebplane/core/wire";
import type { Flow, FlowsMaps, Key } from "./flows.types.ts";

const near = (path: string): Uint8Array => readFileSync(fileURLToPath(new URL(path, import.meta.url)));

/** Runs the packets through the program on a target, and gives what it counted for one flow. */
export function countFlow(target: Target, packets: Iterable<Uint8Array>, key: Key): Flow | undefined {
  const files = new Map([["flows.bpf.ts", new TextDecoder().decode(near("../programs/flows.bpf.ts"))]]);
  using collection = target.load(compile({ entry: "flows.bpf.ts", files }).spec);
  const program = collection.programs.get("countFlows")!;
  for (const packet of packets) program.testRun({ packet });
  const maps = typedMaps<FlowsMaps>(collection);
  return maps.flows.get(key);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const packets = readCapture(near("../edge/wan.pcap")).packets.map((p) => p.bytes);
  const flow = countFlow(new SimTarget(), packets, {
    saddr: "198.51.100.10",
    daddr: "10.0.0.10",
    sport: 40450,
    dport: 80,
    proto: 6,
  });
  console.log(flow ? `${flow.packets} packets, ${flow.bytes} bytes` : "no such flow");
}
