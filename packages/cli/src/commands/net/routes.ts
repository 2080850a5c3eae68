/** `ebplane net route` and `net rule`: where packets go. */
import { Errno, SysError } from "@ebplane/core/errors";
import type { Encap, HopSpec, RouteInfo, RouteSpec, Rule, Seg6Action, Seg6Mode } from "@ebplane/linux/netlink";
import type { Command } from "commander";
import { answerNo, UsageError } from "../../failure.ts";
import { collect, wholeNumber, wholeNumberIfAny } from "../../options.ts";
import { print, printJson } from "../../output.ts";
import { addList, NETNS, type Network, type Where, withRoute } from "./common.ts";
import { setOptions } from "./settings.ts";

interface RouteOptions extends Where {
  readonly via?: string;
  readonly dev?: string;
  readonly src?: string;
  readonly type?: string;
  readonly metric?: string;
  readonly table?: string;
  readonly encap?: string;
  readonly nexthop: readonly string[];
  readonly nhid?: string;
  readonly onlink?: boolean;
  readonly append?: boolean;
  readonly set: readonly string[];
}

interface RuleOptions extends Where {
  readonly family: string;
  readonly from?: string;
  readonly to?: string;
  readonly iif?: string;
  readonly mark?: string;
  readonly set: readonly string[];
}

/** RTN_* and RTPROT_*. Source: include/uapi/linux/rtnetlink.h. */
const TYPES = ["", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"];
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "redirect",
  2: "kernel",
  3: "boot",
  4: "static",
  9: "ra",
  16: "dhcp",
};
const TABLES: Readonly<Record<number, string>> = { 253: "default", 254: "main", 255: "local" };

/** What a sender gets where no route takes the packet: its errno, in words. */
const NO_WAY: Readonly<Record<number, string>> = {
  [Errno.ENETUNREACH]: "no route",
  [Errno.EHOSTUNREACH]: "unreachable",
  [Errno.EACCES]: "prohibited",
  [Errno.EINVAL]: "blackhole",
};

export function registerRoutes(net: Command): void {
  const route = net.command("route").description("routes");
  addList<RouteInfo & { readonly device: string }>(
    route,
    {
      key: "routes",
      head: ["prefix", "via", "device", "type", "by", "metric", "table", "encapsulation"],
      right: ["metric"],
      row: (r) => [
        r.dst,
        r.via ?? (r.nexthop === undefined ? waysText(r) : `next hop ${r.nexthop}`),
        r.device,
        TYPES[r.type] ?? String(r.type),
        PROTOCOLS[r.protocol] ?? String(r.protocol),
        r.metric === undefined ? "" : String(r.metric),
        TABLES[r.table] ?? String(r.table),
        r.encap ?? "",
      ],
    },
    (n) => n.kernel.listRoutes(n.socket).map((r) => ({ ...r, device: n.nameOf(r.oif) })),
  );
  const options = (command: Command): Command =>
    command
      .option("--via <address>")
      .option("--dev <device>")
      .option("--src <address>", "of packets that start here")
      .option("--type <name>", "unicast, local, broadcast, blackhole, unreachable or prohibit")
      .option("--metric <number>")
      .option("--table <number>")
      .option("--nexthop <via>", "one of several ways: ADDRESS, ADDRESS*SHARE, with @DEVICE (repeatable)", collect, [])
      .option("--nhid <id>", "a next hop object: ebplane net nexthop")
      .option("--onlink", "the gateway is on the link, whatever the addresses say")
      .option("--set <name=value>", "metrics of its connections: mtu=1300, initCwnd=20 … (repeatable)", collect, [])
      .option(...NETNS);
  options(route.command("add <prefix>"))
    .description("adds a route, or replaces the one of the same prefix, metric and table")
    .option(
      "--encap <words>",
      'what is done to packets: "ip ID DST", "mpls LABEL/…", "seg6 MODE SEGMENT,…", "seg6local ACTION [nh6|nh4|table|oif VALUE]…"',
    )
    .option("--append", "behind those of its prefix and metric: IPv6 makes it another way of theirs")
    .action(async (prefix: string, given: RouteOptions) => {
      await withRoute(given, (n) => {
        n.kernel.addRoute(n.socket, routeSpec(prefix, given, n), given.append ? "append" : "replace");
      });
    });
  options(route.command("del <prefix>"))
    .description("removes the first route that agrees with all that is given")
    .action(async (prefix: string, given: RouteOptions) => {
      await withRoute(given, (n) => n.kernel.deleteRoute(n.socket, routeSpec(prefix, given, n)));
    });

  route
    .command("get <address>")
    .description("the way that a packet to this address takes; exit 1 where there is none")
    .option("--from <address>")
    .option("--iif <device>", "of a packet that comes in here")
    .option("--dev <device>", "it must leave by")
    .option("--mark <number>")
    .option("--json", "one JSON document")
    .option(...NETNS)
    .action(
      async (
        dst: string,
        o: Where & Record<"from" | "iif" | "dev" | "mark", string | undefined> & { json?: boolean },
      ) => {
        await withRoute(o, (n) => {
          const device = (name: string | undefined) => (name === undefined ? undefined : n.index(name));
          const query = {
            dst,
            src: o.from,
            iif: device(o.iif),
            oif: device(o.dev),
            mark: wholeNumberIfAny(o.mark, "--mark"),
          };
          let found: RouteInfo;
          try {
            found = n.kernel.getRoute(n.socket, query);
          } catch (error) {
            const why = error instanceof SysError ? NO_WAY[error.errno] : undefined;
            if (why === undefined) throw error;
            answerNo();
            if (o.json) printJson({ dst, route: null, reason: why });
            else print(`${dst}: ${why}`);
            return;
          }
          if (o.json) printJson({ dst, route: { ...found, device: n.nameOf(found.oif) } });
          else {
            const words = [
              ["", TYPES[found.type] === "unicast" ? undefined : (TYPES[found.type] ?? String(found.type))],
              ["via ", found.via],
              ["dev ", n.nameOf(found.oif) || undefined],
              ["src ", found.src],
              ["table ", TABLES[found.table] ?? String(found.table)],
              ["encap ", found.encap],
            ] as const;
            const said = words.filter(([, value]) => value !== undefined).map(([word, value]) => word + value);
            print(`${dst}: ${said.join(" ")}`);
          }
        });
      },
    );

  const rule = net.command("rule").description("rules that choose a routing table");
  addList<Rule>(
    rule,
    {
      key: "rules",
      head: ["priority", "family", "from", "to", "from device", "mark", "table"],
      right: ["priority"],
      row: (r) => [
        String(r.priority),
        `ipv${r.family}`,
        r.from ?? "all",
        r.to ?? "all",
        r.iif ?? "",
        r.mark === undefined ? "" : `0x${r.mark.toString(16)}`,
        TABLES[r.table] ?? String(r.table),
      ],
    },
    (n) => n.kernel.listRules(n.socket),
  );
  for (const verb of ["add", "del"] as const) {
    rule
      .command(`${verb} <priority> <table>`)
      .description(verb === "add" ? "adds a rule" : "removes a rule")
      .option("--family <number>", "4 or 6", "4")
      .option("--from <prefix>")
      .option("--to <prefix>")
      .option("--iif <device>")
      .option("--mark <number>")
      .option(
        "--set <name=value>",
        "oif, mask, ipProto, sport.start, uids.start, l3mdev, action … (repeatable)",
        collect,
        [],
      )
      .option(...NETNS)
      .action(async (priority: string, table: string, given: RuleOptions) => {
        const spec = ruleSpec(priority, table, given);
        await withRoute(given, (n) => (verb === "add" ? n.kernel.addRule : n.kernel.deleteRule)(n.socket, spec));
      });
  }
}

/** Several ways as `10.0.0.2*3, 10.0.0.3`. */
function waysText({ nexthops = [] }: RouteInfo): string {
  return nexthops.map(({ via, oif, weight }) => `${via ?? `if${oif}`}${weight === 1 ? "" : `*${weight}`}`).join(", ");
}

function parseHop(text: string, n: Network): HopSpec {
  const [, via, weight, device] = /^([0-9a-f.:]+)?(?:\*(\d+))?(?:@(.+))?$/i.exec(text) ?? [];
  if (via === undefined && device === undefined) throw new UsageError(`--nexthop: expected ADDRESS, got ${text}`);
  return {
    via,
    weight: weight === undefined ? undefined : Number(weight),
    oif: device === undefined ? undefined : n.index(device),
  };
}

function ruleSpec(priority: string, table: string, { family, from, to, iif, mark, set }: RuleOptions): Rule {
  if (family !== "4" && family !== "6") throw new UsageError(`--family: expected 4 or 6, got ${family}`);
  return {
    family: family === "4" ? 4 : 6,
    priority: wholeNumber(priority, "priority"),
    table: wholeNumber(table, "table"),
    from,
    to,
    iif,
    mark: wholeNumberIfAny(mark, "--mark"),
    ...setOptions("rule", RULE_NAMES, set, undefined),
  };
}

const RULE_NAMES: Readonly<Record<string, true>> = Object.fromEntries(
  ["oif", "mask", "ipProto", "sport", "dport", "uids", "suppressPrefixLength", "l3mdev", "action", "tos"].map(
    (name) => [name, true],
  ),
);

function routeSpec(prefix: string, o: RouteOptions, n: Network): RouteSpec {
  const types = ["unicast", "local", "broadcast", "blackhole", "unreachable", "prohibit"] as const;
  const type = types.find((t) => t === (o.type ?? "unicast"));
  if (!type) throw new UsageError(`--type: expected ${types.join(", ")}, got ${o.type}`);
  return {
    dst: prefix,
    via: o.via,
    oif: o.dev === undefined ? undefined : n.index(o.dev),
    src: o.src,
    type: o.type === undefined ? undefined : type,
    metric: wholeNumberIfAny(o.metric, "--metric"),
    table: wholeNumberIfAny(o.table, "--table"),
    encap: o.encap === undefined ? undefined : parseEncap(o.encap, n),
    nexthops: o.nexthop.length ? o.nexthop.map((text) => parseHop(text, n)) : undefined,
    nexthop: wholeNumberIfAny(o.nhid, "--nhid"),
    onlink: o.onlink,
    metrics: o.set.length ? setOptions("route", n.kernel.METRICS, o.set, n) : undefined,
  };
}

const SEG6_MODES = ["inline", "encap", "l2encap", "encap.red", "l2encap.red"] as const satisfies readonly Seg6Mode[];
const ACTIONS = [
  "End",
  "End.X",
  "End.T",
  "End.DX2",
  "End.DX4",
  "End.DX6",
  "End.DT4",
  "End.DT6",
  "End.DT46",
  "End.B6",
  "End.B6.Encaps",
] as const satisfies readonly Seg6Action[];

/** The words after `--encap`. Programs have their own command: `ebplane attach PROG lwt:PREFIX:…`. */
function parseEncap(text: string, n: Network): Encap {
  const [type, first, ...rest] = text.trim().split(/\s+/);
  const wrong = (expected: string): never => {
    throw new UsageError(`--encap: expected ${expected}, got ${JSON.stringify(text)}`);
  };
  switch (type) {
    case "ip": {
      const id = /^\d+$/.test(first ?? "") ? BigInt(first!) : wrong("ip ID DST");
      return { type, id, dst: rest[0] ?? wrong("ip ID DST") };
    }
    case "mpls":
      return {
        type,
        labels: /^\d+(\/\d+)*$/.test(first ?? "") ? first!.split("/").map(Number) : wrong("mpls LABEL/…"),
      };
    case "seg6": {
      const mode = SEG6_MODES.find((m) => m === first) ?? wrong(`seg6 and one of ${SEG6_MODES.join(", ")}`);
      const segments = rest[0]?.split(",") ?? wrong("seg6 MODE SEGMENT,…");
      return { type, mode, segments };
    }
    case "seg6local": {
      const action = ACTIONS.find((a) => a === first) ?? wrong(`seg6local and one of ${ACTIONS.join(", ")}`);
      const words = new Map<string, string>();
      for (let i = 0; i < rest.length; i += 2) words.set(rest[i]!, rest[i + 1] ?? wrong(`a value for ${rest[i]}`));
      const known = ["nh4", "nh6", "table", "vrftable", "oif", "segs"];
      for (const word of words.keys()) if (!known.includes(word)) wrong(`one of ${known.join(", ")}`);
      const oif = words.get("oif");
      return {
        type,
        action,
        nh4: words.get("nh4"),
        nh6: words.get("nh6"),
        table: wholeNumberIfAny(words.get("table"), "table"),
        vrfTable: wholeNumberIfAny(words.get("vrftable"), "vrftable"),
        oif: oif === undefined ? undefined : n.index(oif),
        segments: words.get("segs")?.split(","),
      };
    }
    default:
      return wrong("ip, mpls, seg6 or seg6local");
  }
}
