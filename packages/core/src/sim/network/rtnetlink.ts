/**
 * The answering side of rtnetlink: a request in bytes, the datagrams of its answer. Acknowledgements are capped and carry
 * their words, as a socket with NETLINK_CAP_ACK and NETLINK_EXT_ACK gets them.
 * Source: net/core/rtnetlink.c `rtnetlink_rcv_msg`, net/netlink/af_netlink.c `netlink_ack` of 6.18.
 */
import { Errno, SysError } from "../../errors/index.ts";
import {
  AF_INET,
  AF_INET6,
  cstring,
  decodeMessages,
  encodeAttrs,
  encodeMessage,
  getU32,
  type Message,
  NetlinkClient,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_MULTI,
  NLM_F_REPLACE,
  NLMSG_DONE,
  NLMSG_ERROR,
  RTA_IIF,
  RTA_MARK,
  RTA_OIF,
  RTA_SRC,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTM_SETLINK,
  splitBody,
} from "../../netlink/index.ts";
import { addAddress, addressRequest, deleteAddress, encodeAddress } from "./addresses.ts";
import { changeLink, deleteLink, encodeLink, linkRequest, namedLink, newLink } from "./links.ts";
import { addNeighbour, deleteNeighbour, encodeNeighbour, neighbourRequest } from "./neighbours.ts";
import { addRoute, deleteRoute, encodeRoute, encodeWay, type Flow, lookup, routeRequest } from "./routes.ts";
import { addRule, deleteRule, encodeRule, ruleRequest } from "./rules.ts";
import { linkAt, type NetLink, type Netns, Refusal, refuse, type World } from "./state.ts";

/** Bytes of the family header that each kind of message begins with. */
const HEADERS = { link: 16, addr: 8, route: 12, neigh: 12, rule: 12 } as const;
const NLMSG_MIN_TYPE = 16;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

type Answer = readonly [type: number, body: Uint8Array];

/** Does what a request asks; answers its datagrams. */
export function answer(world: World, ns: Netns, datagram: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (const request of decodeMessages(datagram)) {
    if (request.type < NLMSG_MIN_TYPE) {
      out.push(acknowledge(request, 0));
      continue;
    }
    try {
      const dump = isDump(request);
      const answers = serve(world, ns, request);
      if ((request.type & 3) !== 2) world.watchers.tell(request.type);
      for (const [type, body] of answers) {
        out.push(encodeMessage(type, dump ? NLM_F_MULTI : 0, request.seq, body));
      }
      out.push(dump ? encodeMessage(NLMSG_DONE, NLM_F_MULTI, request.seq, new Uint8Array(4)) : acknowledge(request, 0));
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      const words = error instanceof Refusal ? error.words : undefined;
      // What is too short for its header is what the kernel says the same of, in every family.
      const cut = error.errno === Errno.EBADMSG;
      out.push(
        cut ? acknowledge(request, Errno.EINVAL, "Invalid header length") : acknowledge(request, error.errno, words),
      );
    }
  }
  return out;
}

const isDump = ({ type, flags }: Message): boolean => (type & 3) === 2 && (flags & NLM_F_DUMP) === NLM_F_DUMP;

/** An NLMSG_ERROR: the errno, the request's header, the words. */
function acknowledge(request: Message, errno: number, words?: string): Uint8Array {
  const attrs = words === undefined ? new Uint8Array(0) : encodeAttrs([[NLMSGERR_ATTR_MSG, cstring(words)]]);
  const body = new Uint8Array(4 + 16 + attrs.length);
  const view = new DataView(body.buffer);
  view.setInt32(0, -errno, true);
  view.setUint32(4, 16 + request.body.length, true);
  view.setUint16(8, request.type, true);
  view.setUint16(10, request.flags, true);
  view.setUint32(12, request.seq, true);
  body.set(attrs, 20);
  return encodeMessage(NLMSG_ERROR, NLM_F_CAPPED | (words === undefined ? 0 : NLM_F_ACK_TLVS), request.seq, body);
}

function serve(world: World, ns: Netns, request: Message): Answer[] {
  const { type, flags } = request;
  const part = (size: number) => splitBody(request, size);
  const link = () => {
    const { view, attrs } = part(HEADERS.link);
    return linkRequest(view, attrs);
  };
  const set = {
    create: (flags & NLM_F_CREATE) !== 0,
    replace: (flags & NLM_F_REPLACE) !== 0,
    exclusive: (flags & NLM_F_EXCL) !== 0,
    append: (flags & NLM_F_APPEND) !== 0,
  };
  switch (type) {
    case RTM_NEWLINK:
      newLink(world, ns, link(), set.create, set.exclusive);
      return [];
    case RTM_SETLINK: {
      const asked = link();
      changeLink(world, namedLink(ns, asked) ?? refuse(Errno.ENODEV), asked);
      return [];
    }
    case RTM_DELLINK:
      deleteLink(ns, link());
      return [];
    case RTM_GETLINK:
      if (isDump(request)) return ns.links.map((l) => [RTM_NEWLINK, encodeLink(l)]);
      return [[RTM_NEWLINK, encodeLink(namedLink(ns, link()) ?? refuse(Errno.ENODEV))]];
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const { view, attrs } = part(HEADERS.addr);
      const asked = addressRequest(view, attrs);
      if (type === RTM_NEWADDR) addAddress(ns, asked);
      else deleteAddress(ns, asked);
      return [];
    }
    case RTM_GETADDR:
      return ofFamily(request, ns.addresses, (a) => a.bytes.length).map((a) => [RTM_NEWADDR, encodeAddress(a)]);
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const { view, attrs } = part(HEADERS.route);
      const asked = routeRequest(view, attrs);
      if (type === RTM_NEWROUTE) addRoute(ns, asked, set);
      else deleteRoute(ns, asked);
      return [];
    }
    case RTM_GETROUTE:
      if (!isDump(request)) return [[RTM_NEWROUTE, way(ns, request)]];
      return ofFamily(request, ns.routes, (r) => r.dst.length).map((r) => [RTM_NEWROUTE, encodeRoute(r)]);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const { view, attrs } = part(HEADERS.neigh);
      const asked = neighbourRequest(ns, view, attrs);
      if (type === RTM_NEWNEIGH) addNeighbour(ns, asked, set);
      else deleteNeighbour(ns, asked);
      return [];
    }
    case RTM_GETNEIGH:
      return ofFamily(request, ns.neighbours, (n) => n.ip.length).map((n) => [RTM_NEWNEIGH, encodeNeighbour(n)]);
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const { view, attrs } = part(HEADERS.rule);
      const asked = ruleRequest(view, attrs);
      if (type === RTM_NEWRULE) addRule(ns, asked, set.exclusive);
      else deleteRule(ns, asked);
      return [];
    }
    case RTM_GETRULE:
      return ofFamily(request, ns.rules, (r) => (r.family === AF_INET ? 4 : 16)).map((r) => [
        RTM_NEWRULE,
        encodeRule(r),
      ]);
    default:
      return refuse(Errno.EOPNOTSUPP);
  }
}

/** What a dump lists: all, or one family. `size` is the length of an item's addresses. */
function ofFamily<T>({ body }: Message, items: readonly T[], size: (item: T) => number): T[] {
  const family = body[0] ?? 0;
  const wanted = family === AF_INET ? 4 : family === AF_INET6 ? 16 : undefined;
  return wanted ? items.filter((item) => size(item) === wanted) : [...items];
}

function way(ns: Netns, request: Message): Uint8Array {
  const { view, attrs } = splitBody(request, HEADERS.route);
  const { dst } = routeRequest(view, attrs);
  const device = (type: number): NetLink | undefined => {
    const index = getU32(attrs.get(type));
    return index ? (linkAt(ns, index) ?? refuse(Errno.ENODEV)) : undefined;
  };
  const flow: Flow = {
    dst,
    src: attrs.get(RTA_SRC)?.slice(),
    iif: device(RTA_IIF),
    oif: device(RTA_OIF),
    mark: getU32(attrs.get(RTA_MARK)),
  };
  const route = lookup(ns, flow);
  return typeof route === "number" ? refuse(route) : encodeWay(ns, route, flow);
}

/** The asking side of one namespace. */
export class SimRoute extends NetlinkClient {
  #waiting: Uint8Array[] = [];
  readonly #world: World;
  readonly #ns: Netns;

  constructor(world: World, ns: Netns) {
    super();
    this.#world = world;
    this.#ns = ns;
  }

  protected send(_what: string, message: Uint8Array): void {
    this.#waiting = answer(this.#world, this.#ns, message);
  }

  protected receive(what: string): Uint8Array {
    return this.#waiting.shift() ?? refuse(Errno.EAGAIN, what);
  }
}
