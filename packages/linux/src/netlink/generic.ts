/**
 * Generic netlink: families by name, and the one we ask: `netdev`, which tells what a driver can do with XDP.
 * Source: include/uapi/linux/genetlink.h, Documentation/netlink/specs/netdev.yaml, include/uapi/linux/netdev.h.
 */
import { Errno, SysError, UnsupportedError } from "@ebplane/core/errors";
import {
  type Attr,
  cstring,
  encodeBody,
  getU16,
  getU32,
  getU64,
  type Message,
  NLM_F_DUMP,
  onlyAnswer,
  splitBody,
} from "@ebplane/core/netlink";
import { sysError } from "../sys/index.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "./socket.ts";

const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const GENL_HEADER = 4;

const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1;
const NETDEV_A_DEV_XDP_FEATURES = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS = 4;

/** What a driver says it can do, in the kernel's words and order of bits. */
export const XDP_FEATURES = [
  "basic",
  "redirect",
  "ndo-xmit",
  "xsk-zerocopy",
  "hw-offload",
  "rx-sg",
  "ndo-xmit-sg",
] as const;
export type XdpFeature = (typeof XDP_FEATURES)[number];

export interface DeviceXdp {
  readonly ifindex: number;
  readonly features: readonly XdpFeature[];
  /** Buffers a packet may have in AF_XDP zero-copy; 0 without zero-copy. */
  readonly zeroCopySegments: number;
}

/** Every device of the calling thread's namespace. @throws UnsupportedError before Linux 6.3. */
export function deviceXdpFeatures(): DeviceXdp[] {
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  const family = familyId(socket, "netdev");
  return request(socket, "netdev dev-get", family, NLM_F_DUMP, NETDEV_CMD_DEV_GET, []).map((message) => {
    const { attrs } = splitBody(message, GENL_HEADER);
    const bits = getU64(attrs.get(NETDEV_A_DEV_XDP_FEATURES)) ?? 0n;
    return {
      ifindex: getU32(attrs.get(NETDEV_A_DEV_IFINDEX)) ?? 0,
      features: XDP_FEATURES.filter((_, bit) => (bits >> BigInt(bit)) & 1n),
      zeroCopySegments: getU32(attrs.get(NETDEV_A_DEV_XDP_ZC_MAX_SEGS)) ?? 0,
    };
  });
}

function familyId(socket: NetlinkSocket, name: string): number {
  try {
    const attrs: Attr[] = [[CTRL_ATTR_FAMILY_NAME, cstring(name)]];
    const what = `family ${name}`;
    const answer = onlyAnswer(what, request(socket, what, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, attrs));
    const id = getU16(splitBody(answer, GENL_HEADER).attrs.get(CTRL_ATTR_FAMILY_ID));
    if (id === undefined) throw sysError(`netlink ${what}`, Errno.EBADMSG, "the answer has no id");
    return id;
  } catch (error) {
    if (error instanceof SysError && error.errno === Errno.ENOENT) {
      throw new UnsupportedError(name, `this kernel has no generic netlink family ${name}`, "6.3");
    }
    throw error;
  }
}

function request(
  socket: NetlinkSocket,
  what: string,
  family: number,
  flags: number,
  command: number,
  attrs: readonly Attr[],
): Message[] {
  return socket.request(what, family, flags, encodeBody(Uint8Array.of(command, 1, 0, 0), attrs));
}
