/**
 * `ebplane net …`: devices, addresses, neighbours, routes, rules, qdiscs and namespaces, as daily work with ip(8) needs
 * them. One file a group; each lists without a verb.
 */
import type { Command } from "commander";
import { registerAddresses } from "./addresses.ts";
import { registerBridging } from "./bridging.ts";
import { registerDevices } from "./devices.ts";
import { registerNamespaces } from "./namespaces.ts";
import { registerRoutes } from "./routes.ts";
import { registerTraffic } from "./traffic.ts";
import { registerWatch } from "./watch.ts";

export function registerNet(program: Command): void {
  const net = program.command("net").description("devices, addresses, neighbours, routes, rules, qdiscs, namespaces");
  registerDevices(net);
  registerAddresses(net);
  registerRoutes(net);
  registerNamespaces(net);
  registerTraffic(net);
  registerBridging(net);
  registerWatch(net);
}
