/** The same requests to a kernel's namespace and to one of sim's: what is told of the changes is the same. */
import {
  decodeEvent,
  listAddresses,
  listLinks,
  type NetlinkClient,
  type NetworkEvent,
  RTNL_GROUPS,
} from "@ebplane/core/netlink";
import { SimNetwork } from "@ebplane/core/sim";
import { expect, test } from "vitest";
import { NETLINK_ROUTE, NetlinkSocket } from "../src/netlink/index.ts";
import { NetNs } from "../src/netns/index.ts";
import { kernelSkipReason } from "../src/testing.ts";
import { isOwnRoute, NUD_NOARP, outcome, STEPS } from "./network-steps.ts";

const skip = kernelSkipReason();
const KINDS = ["link", "address", "neighbour", "route"] as const;

/**
 * What is compared of an event: of a device that it came or went, for the kernel tells each step of its coming up; and not
 * what was told before, word for word (`said`).
 */
function told(events: readonly NetworkEvent[], there: Set<number>, said: Map<string, string>): string[] {
  const texts = new Set<string>();
  for (const event of events) {
    if (event.kind === "overrun") throw new Error("events were lost");
    if (event.kind === "link") {
      const { index, name, kind } = event.link;
      const came = !event.removed && !there.has(index);
      if (came) there.add(index);
      if (event.removed) there.delete(index);
      if (came || event.removed) texts.add(JSON.stringify({ removed: event.removed, index, name, kind }));
    } else if (event.kind === "route" && isOwnRoute(event.route)) continue;
    else if (event.kind === "neighbour" && event.neighbour.state === NUD_NOARP) continue;
    else if (event.kind === "address") {
      const place = `${event.address.index} ${event.address.prefix}`;
      const text = JSON.stringify(event);
      if (said.get(place) !== text) texts.add(text);
      said.set(place, text);
    } else texts.add(JSON.stringify(event));
  }
  return [...texts].sort();
}

/** What there is before anything is told. */
function known(route: NetlinkClient): Map<string, string> {
  return new Map(
    listAddresses(route).map((address) => [
      `${address.index} ${address.prefix}`,
      JSON.stringify({ kind: "address", removed: false, address }),
    ]),
  );
}

test.skipIf(skip)(`sim tells of changes as the kernel does${skip ? ` (skipped: ${skip})` : ""}`, (context) => {
  using a = NetNs.create();
  // Numbers of devices are compared; modules of tunnels give each new namespace devices.
  context.skip(listLinks(a.route).length > 1, "new namespaces have devices of tunnels here");
  using b = NetNs.create();
  for (const ns of [a, b]) for (const which of ["default", "all"]) ns.sysctl(`ipv6/conf/${which}/addr_gen_mode`, "1");
  using socket = a.run(() => new NetlinkSocket(NETLINK_ROUTE));
  for (const kind of KINDS) for (const group of RTNL_GROUPS[kind]) socket.join(group);
  const network = new SimNetwork();
  const [simA, simB] = [network.root, network.createNetns()];
  const heard: NetworkEvent[] = [];
  const stop = simA.watch(KINDS, (event) => heard.push(event));
  const there = { sim: new Set([1]), kernel: new Set([1]) };
  const said = { sim: known(simA.route), kernel: known(a.route) };
  const differences: string[] = [];
  let compared = 0;
  for (const [label, run] of STEPS) {
    outcome(() => run(simA, simB));
    outcome(() => run(a, b));
    const sim = told(heard.splice(0), there.sim, said.sim);
    let kernel: string[] = [];
    // Some of it the kernel does a little later, in a worker of its own.
    const until = Date.now() + 1000;
    do {
      const events = socket
        .notifications()
        .messages.map(decodeEvent)
        .filter((e) => e !== undefined);
      kernel = [...new Set([...kernel, ...told(events, there.kernel, said.kernel)])];
      if (sim.every((text) => kernel.includes(text))) break;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    } while (Date.now() < until);
    compared += kernel.length;
    for (const text of kernel) if (!sim.includes(text)) differences.push(`${label}: only the kernel tells ${text}`);
    for (const text of sim) if (!kernel.includes(text)) differences.push(`${label}: only sim tells ${text}`);
  }
  expect(differences).toEqual([]);
  expect(compared).toBeGreaterThan(60);
  stop();
  outcome(() => STEPS[0]![1](simA, simB));
  expect(heard).toEqual([]);
});
