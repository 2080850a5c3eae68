/** `ebplane net link`: network devices. */
import type { LinkChange, LinkInfo, LinkSpec } from "@ebplane/linux/netlink";
import type { Command } from "commander";
import { UsageError } from "../../failure.ts";
import { collect, wholeNumberIfAny } from "../../options.ts";
import { bytesText, grouped } from "../../output.ts";
import { addList, NETNS, type Network, type Where, withRoute } from "./common.ts";
import { setOptions } from "./settings.ts";

type Device = LinkInfo & { readonly device: string; readonly above: string };

interface AddOptions extends Where {
  readonly peer?: string;
  readonly dev?: string;
  readonly vni?: string;
  readonly local?: string;
  readonly remote?: string;
  readonly id?: string;
  readonly mode?: string;
  readonly mac?: string;
  readonly mtu?: string;
  readonly queues?: string;
  readonly set: readonly string[];
}

interface SetOptions extends Where {
  readonly up?: boolean;
  readonly down?: boolean;
  readonly name?: string;
  readonly mac?: string;
  readonly mtu?: string;
  /** false: `--no-master`. */
  readonly master?: string | false;
  readonly to?: string;
}

export function registerDevices(net: Command): void {
  const link = net.command("link").description("network devices");
  addList<Device>(
    link,
    {
      key: "links",
      head: ["device", "kind", "state", "mac", "mtu", "on", "xdp", "received", "sent"],
      right: ["mtu", "received", "sent"],
      row: (d) => [
        d.name,
        d.kind ?? "",
        d.up ? (d.carrier ? "up" : "up, no carrier") : "down",
        d.mac ?? "",
        String(d.mtu),
        d.above,
        d.xdp ? `${d.xdp.mode} ${d.xdp.progId}` : "",
        traffic(d.stats?.rxPackets, d.stats?.rxBytes),
        traffic(d.stats?.txPackets, d.stats?.txBytes),
      ],
    },
    (n) => n.devices.map((d) => ({ ...d, device: d.name, above: above(d, n) })),
  );
  link
    .command("add <name> <kind>")
    .description(
      "a new device: veth, bridge, bond, vlan, macvlan, ipvlan, vxlan, geneve, gre, dummy, vrf, netkit and others",
    )
    .option("--peer <name>", "veth, netkit: the other end")
    .option("--dev <name>", "vlan, macvlan, tunnels: the device below")
    .option(
      "--set <name=value>",
      "what else its kind has, as `net link list --json` shows it (repeatable)",
      collect,
      [],
    )
    .option("--vni <number>", "vxlan")
    .option("--local <address>", "vxlan")
    .option("--remote <address>", "vxlan")
    .option("--id <number>", "vlan")
    .option("--mode <name>", "macvlan: private, vepa, bridge or passthru; netkit: l2 or l3")
    .option("--mac <address>")
    .option("--mtu <bytes>")
    .option("--queues <number>", "receive and transmit queues")
    .option(...NETNS)
    .action(async (name: string, kind: string, options: AddOptions) => {
      await withRoute(options, (n) =>
        n.kernel.addLink(n.socket, {
          ...linkSpec(name, kind, options, n),
          ...setOptions(kind, n.kernel.linkTable(kind) ?? {}, options.set, n),
        }),
      );
    });
  link
    .command("set <device>")
    .description("change a device")
    .option("--up")
    .option("--down")
    .option("--name <name>")
    .option("--mac <address>")
    .option("--mtu <bytes>")
    .option("--master <bridge>")
    .option("--no-master")
    .option("--to <netns>", "move it to another network namespace")
    .option(...NETNS)
    .action(async (device: string, options: SetOptions) => {
      if (options.up && options.down) throw new UsageError("--up and --down exclude each other");
      const { NetNs } = await import("@ebplane/linux/netns");
      const { to } = options;
      using target = to === undefined ? undefined : to.includes("/") ? NetNs.open({ path: to }) : NetNs.openNamed(to);
      await withRoute(options, (n) => {
        const change: LinkChange = {
          up: options.up ? true : options.down ? false : undefined,
          name: options.name,
          mac: options.mac,
          mtu: wholeNumberIfAny(options.mtu, "--mtu"),
          master: options.master === false ? 0 : options.master === undefined ? undefined : n.index(options.master),
          netns: target?.fd,
        };
        if (Object.values(change).every((value) => value === undefined)) throw new UsageError("set: nothing to change");
        n.kernel.setLink(n.socket, n.index(device), change);
      });
    });
  link
    .command("del <device>")
    .description("remove a device")
    .option(...NETNS)
    .action(async (device: string, options: Where) => {
      await withRoute(options, (n) => n.kernel.deleteLink(n.socket, n.index(device)));
    });
}

function above(d: LinkInfo, n: Network): string {
  if (d.kind === "veth") return d.peerNetnsId === undefined ? n.nameOf(d.link) : "elsewhere";
  return [d.link ? n.nameOf(d.link) : "", d.master ? `in ${n.nameOf(d.master)}` : ""].filter(Boolean).join(", ");
}

function traffic(packets: bigint | undefined, bytes: bigint | undefined): string {
  return packets ? `${grouped(packets)}, ${bytesText(bytes ?? 0n)}` : "";
}

function linkSpec(name: string, kind: string, o: AddOptions, n: Network): LinkSpec {
  const base = {
    name,
    mac: o.mac,
    mtu: wholeNumberIfAny(o.mtu, "--mtu"),
    queues: wholeNumberIfAny(o.queues, "--queues"),
  };
  const below = (): number => {
    if (o.dev === undefined) throw new UsageError(`${kind}: expected --dev DEVICE`);
    return n.index(o.dev);
  };
  switch (kind) {
    case "veth":
      if (o.peer === undefined) throw new UsageError("veth: expected --peer NAME");
      return { ...base, kind, peer: { name: o.peer, mtu: base.mtu, queues: base.queues } };
    case "vxlan": {
      const link = o.dev === undefined ? undefined : n.index(o.dev);
      const external = o.vni === undefined ? true : undefined;
      return { ...base, kind, vni: wholeNumberIfAny(o.vni, "--vni"), local: o.local, remote: o.remote, link, external };
    }
    case "macvlan": {
      const modes = ["private", "vepa", "bridge", "passthru"] as const;
      const mode = modes.find((m) => m === (o.mode ?? "bridge"));
      if (!mode) throw new UsageError(`--mode: expected ${modes.join(", ")}, got ${o.mode}`);
      return { ...base, kind, link: below(), mode };
    }
    case "vlan": {
      const id = wholeNumberIfAny(o.id, "--id");
      if (id === undefined || id < 1 || id > 4094) throw new UsageError("vlan: expected --id from 1 to 4094");
      return { ...base, kind, link: below(), id };
    }
    default: {
      const known = Object.keys(n.kernel.LINK_KINDS).filter((k) => k !== "tun");
      if (!known.includes(kind)) throw new UsageError(`kind: expected one of ${known.join(", ")}, got ${kind}`);
      const peer = o.peer === undefined ? undefined : { name: o.peer, mtu: base.mtu };
      const link = o.dev === undefined ? undefined : n.index(o.dev);
      return { ...base, kind, peer, link, mode: o.mode } as LinkSpec;
    }
  }
}
