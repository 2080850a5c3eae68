/** `ebplane net fdb`, `net vlan`, `net proxy` and `net nexthop`: what bridges know, and next hops that are shared. */
import type { BridgeVlan, FdbEntry, Neighbour, Nexthop } from "@ebplane/linux/netlink";
import type { Command } from "commander";
import { UsageError } from "../../failure.ts";
import { wholeNumber, wholeNumberIfAny } from "../../options.ts";
import { addList, NETNS, type Where, withRoute } from "./common.ts";

type OnDevice<T> = T & { readonly device: string };
type Texts<K extends string> = Where & { readonly [N in K]?: string };

export function registerBridging(net: Command): void {
  const fdb = net.command("fdb").description("forwarding databases of bridges and vxlans");
  addList<OnDevice<FdbEntry>>(
    fdb,
    {
      key: "entries",
      head: ["mac", "device", "in", "to", "vni", "vlan", "state"],
      row: (e) => [
        e.mac,
        e.device,
        e.in,
        e.dst === undefined ? "" : e.port === undefined ? e.dst : `${e.dst} port ${e.port}`,
        String(e.vni ?? ""),
        String(e.vlan ?? ""),
        e.permanent ? "permanent" : "",
      ],
    },
    (n) => n.kernel.listFdb(n.socket).map((e) => ({ ...e, device: n.nameOf(e.index) })),
  );
  for (const verb of ["add", "append", "replace", "del"] as const) {
    fdb
      .command(`${verb} <mac> <device>`)
      .description(
        {
          add: "an entry for an address",
          append: "another destination for an address (of zeros: where to flood)",
          replace: "in the place of what is known",
          del: "forgets it",
        }[verb],
      )
      .option("--dst <address>", "vxlan: the tunnel's other end")
      .option("--vni <number>")
      .option("--port <number>")
      .option("--vlan <number>")
      .option("--master", "in the bridge's database, not the device's own")
      .option(...NETNS)
      .action(async (mac: string, device: string, o: Texts<"dst" | "vni" | "port" | "vlan"> & { master?: boolean }) => {
        await withRoute(o, (n) => {
          const spec = {
            ...{ index: n.index(device), mac, dst: o.dst, in: o.master ? ("master" as const) : ("self" as const) },
            ...{
              vni: wholeNumberIfAny(o.vni, "--vni"),
              port: wholeNumberIfAny(o.port, "--port"),
              vlan: wholeNumberIfAny(o.vlan, "--vlan"),
            },
          };
          if (verb === "del") n.kernel.deleteFdb(n.socket, spec);
          else n.kernel.addFdb(n.socket, spec, verb);
        });
      });
  }

  const vlan = net.command("vlan").description("VLANs of a bridge's ports");
  addList<OnDevice<BridgeVlan>>(
    vlan,
    {
      key: "vlans",
      head: ["device", "vlan", "untagged frames", "leaves"],
      right: ["vlan"],
      row: (v) => [v.device, String(v.id), v.pvid ? "belong to it" : "", v.untagged ? "untagged" : "tagged"],
    },
    (n) => n.kernel.listBridgeVlans(n.socket).map((v) => ({ ...v, device: n.nameOf(v.index) })),
  );
  for (const verb of ["add", "del"] as const) {
    const command = vlan
      .command(`${verb} <device> <id>`)
      .description(verb === "add" ? "lets a port carry a VLAN" : "no longer")
      .option("--self", "the device is the bridge itself")
      .option(...NETNS);
    if (verb === "add")
      command.option("--pvid", "frames without a tag belong to it").option("--untagged", "leaves without a tag");
    command.action(
      async (device: string, id: string, o: Where & { self?: boolean; pvid?: boolean; untagged?: boolean }) => {
        await withRoute(o, (n) => {
          const spec = {
            index: n.index(device),
            id: wholeNumber(id, "id"),
            pvid: o.pvid,
            untagged: o.untagged,
            self: o.self,
          };
          (verb === "add" ? n.kernel.addBridgeVlan : n.kernel.deleteBridgeVlan)(n.socket, spec);
        });
      },
    );
  }

  const proxy = net.command("proxy").description("addresses that are answered for on a device");
  addList<OnDevice<Neighbour>>(
    proxy,
    { key: "proxies", head: ["address", "device"], row: (e) => [e.ip, e.device] },
    (n) => n.kernel.listProxies(n.socket).map((e) => ({ ...e, device: n.nameOf(e.index) })),
  );
  for (const verb of ["add", "del"] as const) {
    proxy
      .command(`${verb} <address> <device>`)
      .description(verb === "add" ? "answers for an address" : "no longer")
      .option(...NETNS)
      .action(async (address: string, device: string, o: Where) => {
        await withRoute(o, (n) =>
          (verb === "add" ? n.kernel.addProxy : n.kernel.deleteProxy)(n.socket, n.index(device), address),
        );
      });
  }

  const nexthop = net.command("nexthop").description("next hops that routes share (net route add PREFIX --nhid ID)");
  addList<OnDevice<Nexthop>>(
    nexthop,
    {
      key: "nexthops",
      head: ["id", "via", "device", "group", "kind"],
      right: ["id"],
      row: (h) => [
        String(h.id),
        h.via ?? "",
        h.device,
        h.group.map(({ id, weight }) => (weight === 1 ? String(id) : `${id}*${weight}`)).join(", "),
        h.blackhole ? "blackhole" : h.fdb ? "fdb" : (h.encap ?? ""),
      ],
    },
    (n) => n.kernel.listNexthops(n.socket).map((h) => ({ ...h, device: n.nameOf(h.oif) })),
  );
  nexthop
    .command("add <id>")
    .description("a next hop, or a group of them")
    .option("--via <address>")
    .option("--dev <device>")
    .option("--group <ids>", "others with their shares: 1*3,2")
    .option("--blackhole")
    .option("--fdb", "of a vxlan's database")
    .option("--replace", "in the place of the one that is there")
    .option(...NETNS)
    .action(
      async (
        id: string,
        o: Texts<"via" | "dev" | "group"> & { blackhole?: boolean; fdb?: boolean; replace?: boolean },
      ) => {
        const group = o.group?.split(",").map((text) => {
          const [, member, weight] = /^(\d+)(?:\*(\d+))?$/.exec(text) ?? [];
          if (member === undefined) throw new UsageError(`--group: expected ID or ID*SHARE, got ${text}`);
          return { id: Number(member), weight: weight === undefined ? undefined : Number(weight) };
        });
        await withRoute(o, (n) => {
          const oif = o.dev === undefined ? undefined : n.index(o.dev);
          const spec = { id: wholeNumber(id, "id"), via: o.via, oif, group, blackhole: o.blackhole, fdb: o.fdb };
          n.kernel.addNexthop(n.socket, spec, o.replace ? "replace" : "add");
        });
      },
    );
  nexthop
    .command("del <id>")
    .description("takes it away, with the routes that use it")
    .option(...NETNS)
    .action(async (id: string, o: Where) => {
      await withRoute(o, (n) => n.kernel.deleteNexthop(n.socket, wholeNumber(id, "id")));
    });
}
