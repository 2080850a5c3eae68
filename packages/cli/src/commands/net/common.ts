/** What the groups of `ebplane net` share: the socket in the right namespace, devices by name, and the two forms of a list. */
import type { LinkInfo, NetlinkSocket } from "@ebplane/linux/netlink";
import type { Command } from "commander";
import { UsageError } from "../../failure.ts";
import { inNamespace } from "../../kernel.ts";
import { print, printJson, table } from "../../output.ts";

export interface Where {
  readonly netns?: string;
}

export const NETNS = ["--netns <name>", "the network namespace: a name of ip netns, or a file"] as const;

/** Runs `body` with an rtnetlink socket of the namespace, the thread inside. */
export async function withRoute<T>({ netns }: Where, body: (net: Network) => T): Promise<T> {
  const kernel = await import("@ebplane/linux/netlink");
  return inNamespace(netns, () => {
    using socket = new kernel.NetlinkSocket(kernel.NETLINK_ROUTE);
    return body(new Network(socket, kernel));
  });
}

type Netlink = typeof import("@ebplane/linux/netlink");

/** One namespace's network. `kernel` is the module that asks it, loaded only where it is used. */
export class Network {
  readonly socket: NetlinkSocket;
  readonly kernel: Netlink;
  #devices: LinkInfo[] | undefined;

  constructor(socket: NetlinkSocket, kernel: Netlink) {
    this.socket = socket;
    this.kernel = kernel;
  }

  get devices(): readonly LinkInfo[] {
    return (this.#devices ??= this.kernel.listLinks(this.socket));
  }

  /** @throws UsageError that lists the devices there are. */
  index(name: string): number {
    const device = this.devices.find((d) => d.name === name);
    if (device) return device.index;
    throw new UsageError(`device ${name}: there is none; there are ${this.devices.map((d) => d.name).join(", ")}`);
  }

  /** A device's name, or its number where it is in another namespace. */
  nameOf(index: number | undefined): string {
    if (!index) return "";
    return this.devices.find((d) => d.index === index)?.name ?? `if${index}`;
  }
}

export interface Columns<T> {
  /** The key of the JSON document. */
  readonly key: string;
  readonly head: readonly string[];
  readonly right?: readonly string[];
  readonly row: (item: T) => readonly string[];
}

/** The group's own action: a table, or a JSON document. */
export function addList<T>(group: Command, columns: Columns<T>, list: (net: Network) => readonly T[]): void {
  const show = async (options: Where & { readonly json?: boolean }): Promise<void> => {
    const items = await withRoute(options, list);
    if (options.json) printJson({ [columns.key]: items });
    else if (items.length === 0) print(`no ${columns.key}`);
    else print(table(columns.head, items.map(columns.row), columns.right));
  };
  group
    .command("list", { isDefault: true })
    .description("all there are")
    .option(...NETNS)
    .option("--json", "one JSON document")
    .action(show);
}
