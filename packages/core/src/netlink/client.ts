/**
 * The asking side of netlink: a request, its answers, its end. What carries the bytes is a subclass's: a socket of the
 * kernel, or a simulated namespace. Source: Documentation/userspace-api/netlink/intro.rst.
 */
import { viewOf } from "../bytes/index.ts";
import { Errno, errnoName, SysError } from "../errors/index.ts";
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

/** How often a dump is taken anew because what it lists changed under it. */
const DUMP_TRIES = 8;

export abstract class NetlinkClient {
  #seq = 0;

  /** Hands a whole message over; `what` names the request in errors. */
  protected abstract send(what: string, message: Uint8Array): void;

  /** The next datagram; its bytes are read before the next call. */
  protected abstract receive(what: string): Uint8Array;

  /**
   * Sends a request and waits for its end.
   * @returns the messages that came before the acknowledgement: the answer of a GET, all entries of a dump.
   * @throws SysError with the answerer's extended message; `what` names the request in it.
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
    this.send(what, encodeMessage(type, flags | NLM_F_REQUEST, seq, body));
    const messages: Message[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of decodeMessages(this.receive(what))) {
        if (message.seq !== seq) continue; // A notification of a group that this socket joined.
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true;
        if (message.type === NLMSG_DONE) {
          // A dump that failed on the way says so in its end.
          const result = message.body.length >= 4 ? viewOf(message.body).getInt32(0, true) : 0;
          if (result < 0) throw refusal(what, -result);
          return { messages, interrupted };
        }
        if (message.type !== NLMSG_ERROR) {
          messages.push(message);
          continue;
        }
        const ack = decodeAck(message);
        if (ack.errno !== 0) throw refusal(what, ack.errno, ack.message);
        return { messages, interrupted };
      }
    }
  }
}

function refusal(what: string, errno: number, detail?: string): SysError {
  const words = detail ?? (errno === Errno.EPERM ? "needs CAP_NET_ADMIN" : "");
  return new SysError(`netlink ${what}`, errno, errnoName(errno), words);
}
