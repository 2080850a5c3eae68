/** `ebplane net qdisc`, `net class` and `net filter`: what queues packets before they leave, and what chooses among them. */
import type { ClassSpec, Filter, FilterSpec, Qdisc, QdiscSpec, TcAction, TcClass } from "@ebplane/linux/netlink";
import type { Command } from "commander";
import { UsageError } from "../../failure.ts";
import { collect, wholeNumber } from "../../options.ts";
import { addList, NETNS, type Network, type Where, withRoute } from "./common.ts";
import { optionText, setOptions } from "./settings.ts";

type Named<T> = T & { readonly device: string };

interface PlaceOptions extends Where {
  readonly parent?: string;
  readonly handle?: string;
  readonly set: readonly string[];
}

const HOWS = ["add", "replace", "change"] as const;
const VERB = {
  add: "refused where there is one",
  replace: "in the place of the one that is there",
  change: "of the one that is there, what is said",
} as const;
const HOW_SET = "its kind's values, as list --json shows them: `params.limit=100` (repeatable)";

export function registerTraffic(net: Command): void {
  const qdisc = net.command("qdisc").description("queueing disciplines");
  addList<Named<Qdisc>>(
    qdisc,
    {
      key: "qdiscs",
      head: ["device", "kind", "handle", "parent", "options"],
      row: (q) => [q.device, q.kind, handleText(q.handle), handleText(q.parent), optionText(q.options)],
    },
    (n) => n.kernel.listQdiscs(n.socket).map((q) => ({ ...q, device: n.nameOf(q.index) })),
  );
  for (const how of HOWS) {
    placed(qdisc.command(`${how} <device> <kind>`))
      .description(`a queueing discipline, ${VERB[how]}; clsact is for programs`)
      .action(async (device: string, kind: string, o: PlaceOptions) => {
        await withRoute(o, (n) => {
          const values = kindValues(n.kernel.QDISC_KINDS, kind, o.set, n);
          const place = { index: n.index(device), parent: parseHandle(o.parent), handle: parseHandle(o.handle) };
          n.kernel.setQdisc(n.socket, { ...place, kind, ...values } as QdiscSpec, how);
        });
      });
  }
  placed(qdisc.command("del <device> [kind]"))
    .description("takes one away, with what is in it: that of the device where no place is said")
    .action(async (device: string, kind: string | undefined, o: PlaceOptions) => {
      await withRoute(o, (n) => {
        const handle = parseHandle(o.handle) ?? (kind === "clsact" || kind === "ingress" ? 0xffff0000 : undefined);
        n.kernel.deleteQdisc(n.socket, { index: n.index(device), kind, parent: parseHandle(o.parent), handle });
      });
    });

  const group = net.command("class").description("classes of queueing disciplines");
  addList<Named<TcClass>>(
    group,
    {
      key: "classes",
      head: ["device", "kind", "class", "parent", "options"],
      row: (c) => [c.device, c.kind, handleText(c.handle), handleText(c.parent), optionText(c.options)],
    },
    (n) => n.devices.flatMap((d) => n.kernel.listClasses(n.socket, d.index).map((c) => ({ ...c, device: d.name }))),
  );
  for (const how of HOWS) {
    placed(group.command(`${how} <device> <kind>`))
      .description(`a class (--parent 1: --handle 1:5), ${VERB[how]}`)
      .action(async (device: string, kind: string, o: PlaceOptions) => {
        await withRoute(o, (n) => {
          const values = kindValues(n.kernel.CLASS_KINDS, kind, o.set, n);
          const [parent, handle] = [parseHandle(o.parent), parseHandle(o.handle)];
          if (handle === undefined) throw new UsageError("class: expected --handle MAJOR:MINOR");
          const place = { index: n.index(device), parent: parent ?? handle & 0xffff0000, handle };
          n.kernel.setClass(n.socket, { ...place, kind, ...values } as ClassSpec, how);
        });
      });
  }
  group
    .command("del <device> <handle>")
    .description("takes a class away")
    .option(...NETNS)
    .action(async (device: string, handle: string, o: Where) => {
      await withRoute(o, (n) =>
        n.kernel.deleteClass(n.socket, { index: n.index(device), handle: parseHandle(handle)! }),
      );
    });
  registerFilters(net);
}

interface FilterOptions extends Where {
  readonly priority?: string;
  readonly protocol?: string;
  readonly handle?: string;
  readonly action: readonly string[];
  readonly set: readonly string[];
}

function registerFilters(net: Command): void {
  const filter = net
    .command("filter")
    .description("filters of qdiscs; those that are programs ebplane list shows, too");
  addList<Named<Filter> & { readonly at: string }>(
    filter,
    {
      key: "filters",
      head: ["device", "at", "priority", "protocol", "kind", "handle", "options"],
      right: ["priority"],
      row: (f) => {
        const handle = f.handle.toString(16);
        return [f.device, f.at, String(f.priority), protocolText(f.protocol), f.kind, handle, optionText(f.options)];
      },
    },
    (n) =>
      n.kernel.listQdiscs(n.socket).flatMap((q) => {
        const places =
          q.kind === "clsact"
            ? (["ingress", "egress"] as const)
            : q.kind === "ingress"
              ? (["ingress"] as const)
              : [q.handle];
        return places
          .filter((at) => at !== 0)
          .flatMap((at) => {
            const text = typeof at === "number" ? handleText(at) : at;
            const found = n.kernel.listFilters(n.socket, q.index, at);
            return found.map((f) => ({ ...f, device: n.nameOf(q.index), at: text }));
          });
      }),
  );
  const options = (command: Command): Command =>
    command
      .option("--priority <number>", "lower runs first", "1")
      .option("--protocol <name>", "ip, ipv6, arp or all", "all")
      .option("--handle <hex>")
      .option(...NETNS);
  for (const how of HOWS) {
    options(filter.command(`${how} <device> <at> <kind>`))
      .description(`a filter at ingress, egress or a qdisc (1:), ${VERB[how]}: matchall, u32 or flower`)
      .option("--action <words>", "drop, pass, redirect:DEV or mirror:DEV (repeatable)", collect, [])
      .option("--set <name=value>", HOW_SET, collect, [])
      .action(async (device: string, at: string, kind: string, o: FilterOptions) => {
        await withRoute(o, (n) => {
          const values = kindValues(n.kernel.FILTER_KINDS, kind, o.set, n);
          const actions = o.action.map((text) => parseAction(text, n));
          const spec = { ...spot(device, at, o, n), kind, ...values, ...(actions.length && { actions }) };
          n.kernel.setFilter(n.socket, spec as FilterSpec, how);
        });
      });
  }
  options(filter.command("del <device> <at>"))
    .description("takes away a filter, or all of a priority")
    .action(async (device: string, at: string, o: FilterOptions) => {
      await withRoute(o, (n) => n.kernel.removeFilter(n.socket, spot(device, at, o, n)));
    });
}

const PROTOCOLS = { all: 3, ip: 0x800, ipv6: 0x86dd, arp: 0x806 } as const;

function protocolText(protocol: number): string {
  return Object.entries(PROTOCOLS).find(([, n]) => n === protocol)?.[0] ?? `0x${protocol.toString(16)}`;
}

function spot(device: string, at: string, o: FilterOptions, n: Network) {
  const name = Object.keys(PROTOCOLS).find((p) => p === o.protocol) as keyof typeof PROTOCOLS | undefined;
  if (!name) throw new UsageError(`--protocol: expected ${Object.keys(PROTOCOLS).join(", ")}, got ${o.protocol}`);
  const handle = o.handle === undefined ? undefined : Number.parseInt(o.handle, 16);
  const parent: FilterSpec["parent"] = at === "ingress" || at === "egress" ? at : parseHandle(at)!;
  const priority = wholeNumber(o.priority ?? "1", "--priority");
  return { index: n.index(device), parent, priority, handle, protocol: PROTOCOLS[name] };
}

function parseAction(text: string, n: Network): TcAction {
  const [word, device] = text.split(":");
  const general = { index: 0, capabilities: 0, references: 0, bindings: 0 };
  if (word === "drop" || word === "pass") {
    return { kind: "gact", params: { ...general, action: word === "drop" ? "shot" : "ok" } };
  }
  if ((word === "redirect" || word === "mirror") && device) {
    const action = word === "redirect" ? "stolen" : "pipe";
    return { kind: "mirred", params: { ...general, action, direction: `egress ${word}`, ifindex: n.index(device) } };
  }
  throw new UsageError(`--action: expected drop, pass, redirect:DEV or mirror:DEV, got ${text}`);
}

function placed(command: Command): Command {
  return command
    .option("--parent <handle>", "root, or a class: 1:5")
    .option("--handle <handle>", "its own number: 1:")
    .option("--set <name=value>", HOW_SET, collect, [])
    .option(...NETNS);
}

function kindValues(
  kinds: Readonly<Record<string, object>>,
  kind: string,
  given: readonly string[],
  n: Network,
): object {
  if (!Object.hasOwn(kinds, kind)) {
    throw new UsageError(`kind: expected one of ${Object.keys(kinds).join(", ")}, got ${kind}`);
  }
  return setOptions(kind, kinds[kind]!, given, n);
}

const ROOT = 0xffffffff;

/** `1:`, `1:a`, `root`. @throws UsageError for anything else. */
function parseHandle(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === "root") return ROOT;
  const [, major, minor = ""] = /^([0-9a-f]{1,4}):([0-9a-f]{0,4})$/i.exec(text) ?? [];
  if (major === undefined) throw new UsageError(`expected a handle such as 1: or 1:5, got ${text}`);
  return ((Number.parseInt(major, 16) << 16) | (minor ? Number.parseInt(minor, 16) : 0)) >>> 0;
}

function handleText(handle: number): string {
  if (handle === ROOT) return "root";
  const minor = handle & 0xffff;
  return handle ? `${(handle >>> 16).toString(16)}:${minor === 0 ? "" : minor.toString(16)}` : "";
}
