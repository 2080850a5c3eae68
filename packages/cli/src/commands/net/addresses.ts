/** `ebplane net addr` and `net neigh`: whose addresses are where. */
import type { AddressInfo, Neighbour } from "@ebplane/linux/netlink";
import type { Command } from "commander";
import { addList, NETNS, type Where, withRoute } from "./common.ts";

/** NUD_*. Source: include/uapi/linux/neighbour.h. */
const STATES: Readonly<Record<number, string>> = {
  1: "incomplete",
  2: "reachable",
  4: "stale",
  8: "delay",
  16: "probe",
  32: "failed",
  64: "noarp",
  128: "permanent",
};

type OnDevice<T> = T & { readonly device: string };

export function registerAddresses(net: Command): void {
  const addr = net.command("addr").description("addresses of devices");
  addList<OnDevice<AddressInfo>>(
    addr,
    { key: "addresses", head: ["address", "device"], row: (a) => [a.prefix, a.device] },
    (n) => n.kernel.listAddresses(n.socket).map((a) => ({ ...a, device: n.nameOf(a.index) })),
  );
  addr
    .command("add <prefix> <device>")
    .description("gives a device an address, such as 10.0.0.1/24")
    .option(...NETNS)
    .action(async (prefix: string, device: string, options: Where) => {
      await withRoute(options, (n) => n.kernel.addAddress(n.socket, n.index(device), prefix));
    });
  addr
    .command("del <prefix> <device>")
    .description("takes an address away")
    .option(...NETNS)
    .action(async (prefix: string, device: string, options: Where) => {
      await withRoute(options, (n) => n.kernel.deleteAddress(n.socket, n.index(device), prefix));
    });

  const neigh = net.command("neigh").description("neighbours: the link addresses behind IP addresses");
  addList<OnDevice<Neighbour>>(
    neigh,
    {
      key: "neighbours",
      head: ["address", "mac", "device", "state"],
      row: (e) => [e.ip, e.mac ?? "", e.device, STATES[e.state] ?? String(e.state)],
    },
    (n) => n.kernel.listNeighbours(n.socket).map((e) => ({ ...e, device: n.nameOf(e.index) })),
  );
  neigh
    .command("add <address> <mac> <device>")
    .description("a permanent neighbour, in place of what was known")
    .option(...NETNS)
    .action(async (address: string, mac: string, device: string, options: Where) => {
      await withRoute(options, (n) => n.kernel.addNeighbour(n.socket, n.index(device), address, mac));
    });
  neigh
    .command("del <address> <device>")
    .description("forgets a neighbour")
    .option(...NETNS)
    .action(async (address: string, device: string, options: Where) => {
      await withRoute(options, (n) => n.kernel.deleteNeighbour(n.socket, n.index(device), address));
    });
}
