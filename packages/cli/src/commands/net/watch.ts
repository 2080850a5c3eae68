/** `ebplane net watch`: changes as they happen, until Ctrl-C. */
import type { NetworkEvent } from "@ebplane/linux";
import type { Command } from "commander";
import { UsageError } from "../../failure.ts";
import { inNamespace } from "../../kernel.ts";
import { note, print, toJson } from "../../output.ts";
import { NETNS, type Where } from "./common.ts";

const KINDS = ["link", "address", "neighbour", "route"] as const;
type Kind = (typeof KINDS)[number];

export function registerWatch(net: Command): void {
  net
    .command("watch [kinds...]")
    .description(`what changes, one line each: ${KINDS.join(", ")}, all of them when none is named`)
    .option(...NETNS)
    .option("--json", "a JSON document a line")
    .action(async (kinds: readonly string[], { netns, json }: Where & { json?: boolean }) => {
      const chosen = kinds.map((name) => {
        const kind = KINDS.find((k) => k === name);
        if (!kind) throw new UsageError(`watch: expected ${KINDS.join(", ")}, got ${name}`);
        return kind;
      });
      const { watchNetwork } = await import("@ebplane/linux");
      const show = (event: NetworkEvent): void => print(json ? toJson(event).replace(/\n\s*/g, " ") : eventText(event));
      const stop = await inNamespace(netns, () => watchNetwork(chosen.length ? (chosen as Kind[]) : KINDS, show));
      note("watching; Ctrl-C ends");
      await new Promise<void>((resolve) => {
        process.once("SIGINT", resolve);
        process.once("SIGTERM", resolve);
      });
      stop();
    });
}

function eventText(event: NetworkEvent): string {
  if (event.kind === "overrun") return "some changes were lost: list anew";
  const sign = event.removed ? "-" : "+";
  switch (event.kind) {
    case "link": {
      const { name, up, carrier, mtu, mac } = event.link;
      return `${sign} link ${name}: ${up ? "up" : "down"}${up && !carrier ? ", no carrier" : ""}, mtu ${mtu}, ${mac ?? "no mac"}`;
    }
    case "address":
      return `${sign} addr ${event.address.prefix}, device ${event.address.index}`;
    case "neighbour":
      return `${sign} neigh ${event.neighbour.ip} ${event.neighbour.mac ?? "unknown"}, device ${event.neighbour.index}`;
    case "route": {
      const { dst, via, oif, table } = event.route;
      return `${sign} route ${dst}${via ? ` via ${via}` : ""}${oif ? `, device ${oif}` : ""}, table ${table}`;
    }
  }
}
