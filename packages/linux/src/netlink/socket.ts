/**
 * A netlink socket: requests with their acknowledgement, dumps, and notifications. It belongs to the network namespace
 * it was opened in, for good. Requests are synchronous; rtnetlink answers them before sendto returns.
 * Source: include/uapi/linux/netlink.h; Documentation/userspace-api/netlink/intro.rst.
 */
import { viewOf } from "@ebplane/core/bytes";
import { Errno } from "@ebplane/core/errors";
import { allocBlock, type Block, freeBlock, scratch } from "../mem/index.ts";
import { check, close, NR, pollReadable, syscall, sysError } from "../sys/index.ts";
import {
  decodeAck,
  decodeMessages,
  encodeMessage,
  type Message,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./message.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;

/** The kernel sizes dump datagrams by the reader's buffer, up to 32 KiB. */
const RECEIVE = 1 << 16;
/** How often a dump is taken anew because what it lists changed under it. */
const DUMP_TRIES = 8;

export class NetlinkSocket {
  #fd: number;
  #seq = 0;
  readonly #buffer: Block;

  /** Opens in the calling thread's network namespace. */
  constructor(protocol: number) {
    this.#fd = check("socket(AF_NETLINK)", syscall(NR.socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    try {
      scratch((memory) => {
        const address = memory.take(12);
        address.view.setUint16(0, AF_NETLINK, true);
        check("bind(AF_NETLINK)", syscall(NR.bind, this.#fd, address.address, 12));
      });
      this.#option(NETLINK_EXT_ACK, 1);
      this.#option(NETLINK_CAP_ACK, 1);
      this.#option(NETLINK_GET_STRICT_CHK, 1);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
    this.#buffer = allocBlock(RECEIVE);
  }

  get fd(): number {
    if (this.#fd < 0) throw new TypeError("netlink socket: is closed");
    return this.#fd;
  }

  /** Options that a kernel does not know (before 4.20) are done without. */
  #option(option: number, value: number): number {
    return scratch((memory) => {
      const word = memory.take(4);
      word.view.setUint32(0, value, true);
      return syscall(NR.setsockopt, this.#fd, SOL_NETLINK, option, word.address, 4);
    });
  }

  /**
   * Sends a request and waits for its end.
   * @returns the messages that came before the acknowledgement: the answer of a GET, all entries of a dump.
   * @throws SysError with the kernel's extended message; `what` names the request in it.
   */
  request(what: string, type: number, flags: number, body: Uint8Array): Message[] {
    const dump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
    for (let attempt = 1; ; attempt++) {
      const { messages, interrupted } = this.#exchange(what, type, flags | (dump ? 0 : NLM_F_ACK), body);
      if (!interrupted || attempt === DUMP_TRIES) return messages;
    }
  }

  #exchange(what: string, type: number, flags: number, body: Uint8Array) {
    const seq = ++this.#seq;
    this.#send(what, encodeMessage(type, flags | NLM_F_REQUEST, seq, body));
    const messages: Message[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of decodeMessages(this.#receive(what, 0)!)) {
        if (message.seq !== seq) continue; // A notification of a group that this socket joined.
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true;
        if (message.type === NLMSG_DONE) {
          // A dump that failed on the way says so in its end.
          const result = message.body.length >= 4 ? viewOf(message.body).getInt32(0, true) : 0;
          if (result < 0) throw sysError(`netlink ${what}`, -result);
          return { messages, interrupted };
        }
        if (message.type !== NLMSG_ERROR) {
          messages.push(message);
          continue;
        }
        const ack = decodeAck(message);
        if (ack.errno !== 0) throw sysError(`netlink ${what}`, ack.errno, ack.message);
        return { messages, interrupted };
      }
    }
  }

  #send(what: string, message: Uint8Array): void {
    scratch((memory) => {
      const address = memory.put(message);
      check(`netlink ${what}`, syscall(NR.sendto, this.fd, address, message.length));
    });
  }

  /** One datagram, or undefined when `flags` say not to wait and there is none. The bytes are valid until the next. */
  #receive(what: string, flags: number): Uint8Array | undefined {
    const { address, bytes } = this.#buffer;
    for (;;) {
      const result = syscall(NR.recvfrom, this.fd, address, bytes.length, flags | MSG_TRUNC);
      if (result === -Errno.EINTR) continue;
      if (result === -Errno.EAGAIN) return undefined;
      const length = check(`netlink ${what}`, result);
      if (length > bytes.length) throw sysError(`netlink ${what}`, Errno.EMSGSIZE, `answer of ${length} bytes`);
      return bytes.subarray(0, length);
    }
  }

  /** Joins a multicast group: see `subscribe`. */
  join(group: number): void {
    check("netlink join", this.#option(NETLINK_ADD_MEMBERSHIP, group), `group ${group}`);
  }

  /**
   * The notifications that have arrived; none is an empty list. `overrun` when the kernel had to drop some: what was
   * known must then be dumped anew.
   */
  notifications(): { messages: Message[]; overrun: boolean } {
    const messages: Message[] = [];
    let overrun = false;
    for (;;) {
      try {
        const data = this.#receive("notifications", MSG_DONTWAIT);
        if (data === undefined) return { messages, overrun };
        messages.push(...decodeMessages(data));
      } catch (error) {
        if ((error as { errno?: number }).errno !== Errno.ENOBUFS) throw error;
        overrun = true;
      }
    }
  }

  /** Calls back from the event loop when notifications are waiting. Close what is returned before the socket. */
  watch(callback: () => void): { close(): void; ref(): void; unref(): void } {
    return pollReadable(this.fd, callback);
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    freeBlock(this.#buffer);
    check("close", close(fd));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
