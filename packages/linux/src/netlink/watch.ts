/**
 * Changes of a namespace's devices, addresses, neighbours and routes as they happen.
 */
import { decodeEvent, type NetworkEvent, RTNL_GROUPS } from "@ebplane/core/netlink";
import { NETLINK_ROUTE, NetlinkSocket } from "./socket.ts";

/**
 * Calls `callback` for each change of these kinds in the calling thread's network namespace, until the returned
 * function is called. List the state after subscribing: what changes meanwhile then comes twice, never not at all.
 */
export function watchNetwork(
  kinds: readonly (keyof typeof RTNL_GROUPS)[],
  callback: (event: NetworkEvent) => void,
): () => void {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    for (const kind of kinds) for (const group of RTNL_GROUPS[kind]) socket.join(group);
    const poll = socket.watch(() => {
      const { messages, overrun } = socket.notifications();
      for (const message of messages) {
        const event = decodeEvent(message);
        if (event) callback(event);
      }
      if (overrun) callback({ kind: "overrun" });
    });
    return () => {
      poll.close();
      socket.close();
    };
  } catch (error) {
    socket.close();
    throw error;
  }
}
