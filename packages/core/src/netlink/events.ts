/**
 * Changes of a namespace's devices, addresses, neighbours and routes.
 * Source: include/uapi/linux/rtnetlink.h `enum rtnetlink_groups`.
 */
import { decodeLink, type LinkInfo, RTM_DELLINK, RTM_NEWLINK } from "./links.ts";
import type { Message } from "./message.ts";
import {
  type AddressInfo,
  decodeAddress,
  decodeNeighbour,
  decodeRoute,
  type Neighbour,
  type RouteInfo,
  RTM_DELADDR,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
} from "./routes.ts";

/** The multicast groups that tell of each kind: one for each family. */
export const RTNL_GROUPS = {
  link: [1],
  neighbour: [3],
  address: [5, 9],
  route: [7, 11],
} as const;

const AF_BRIDGE = 7;

export type NetworkEvent =
  | { readonly kind: "link"; readonly removed: boolean; readonly link: LinkInfo }
  | { readonly kind: "address"; readonly removed: boolean; readonly address: AddressInfo }
  | { readonly kind: "neighbour"; readonly removed: boolean; readonly neighbour: Neighbour }
  | { readonly kind: "route"; readonly removed: boolean; readonly route: RouteInfo }
  /** Events were lost: what is known must be listed anew. */
  | { readonly kind: "overrun" };

/** What a notification tells; undefined for messages of other kinds. */
export function decodeEvent(message: Message): NetworkEvent | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      // A bridge tells of its ports by the same messages: a port that leaves is no device that is gone.
      if (message.body[0] === AF_BRIDGE) return undefined;
      return { kind: "link", removed: message.type === RTM_DELLINK, link: decodeLink(message) };
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { kind: "address", removed: message.type === RTM_DELADDR, address: decodeAddress(message) };
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const neighbour = decodeNeighbour(message);
      return neighbour && { kind: "neighbour", removed: message.type === RTM_DELNEIGH, neighbour };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return { kind: "route", removed: message.type === RTM_DELROUTE, route: decodeRoute(message) };
    default:
      return undefined;
  }
}
