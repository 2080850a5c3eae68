/**
 * A netlink socket: requests with their acknowledgement, dumps, and notifications. It belongs to the network namespace
 * it was opened in, for good. Requests are synchronous; rtnetlink answers them before sendto returns.
 * Source: include/uapi/linux/netlink.h; Documentation/userspace-api/netlink/intro.rst.
 */
import { Errno } from "@ebplane/core/errors";
import { decodeMessages, type Message, NetlinkClient } from "@ebplane/core/netlink";
import { allocBlock, type Block, freeBlock, scratch } from "../mem/index.ts";
import { check, close, NR, pollReadable, syscall, sysError } from "../sys/index.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;

/** The kernel sizes dump datagrams by the reader's buffer, up to 32 KiB. */
const RECEIVE = 1 << 16;
/** Longer than any answer takes: the kernel has it ready when sendto returns. */
const ANSWER_SECONDS = 10;

export class NetlinkSocket extends NetlinkClient {
  #fd: number;
  readonly #buffer: Block;

  /** Opens in the calling thread's network namespace. */
  constructor(protocol: number) {
    super();
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
      scratch((memory) => {
        const time = memory.take(16);
        time.view.setBigInt64(0, BigInt(ANSWER_SECONDS), true);
        syscall(NR.setsockopt, this.#fd, SOL_SOCKET, SO_RCVTIMEO, time.address, 16);
      });
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
      return syscall(NR.setsockopt, this.fd, SOL_NETLINK, option, word.address, 4);
    });
  }

  protected send(what: string, message: Uint8Array): void {
    scratch((memory) => {
      const address = memory.put(message);
      check(`netlink ${what}`, syscall(NR.sendto, this.fd, address, message.length));
    });
  }

  protected receive(what: string): Uint8Array {
    const data = this.#receive(what, 0);
    if (!data) throw sysError(`netlink ${what}`, Errno.ETIMEDOUT, `no answer in ${ANSWER_SECONDS} s`);
    return data;
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
