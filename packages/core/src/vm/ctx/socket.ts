/**
 * A socket as programs see it: struct bpf_sock, and behind it struct bpf_tcp_sock for bpf_tcp_sock(). Its address is
 * the socket's handle in maps and storage.
 * Source: include/uapi/linux/bpf.h of 6.18; net/core/filter.c `bpf_sock_convert_ctx_access`.
 */
import type { Memory } from "../../mem/index.ts";
import { SOCKET_LAYOUT, TCP_SOCK_LAYOUT } from "../../object/index.ts";
import { SOCKET_CTX } from "../layout.ts";
import { type FieldValue, readFields, writeFields } from "./fields.ts";

export interface SocketInfo {
  /** Fields of struct bpf_sock: `family`, `protocol`, `src_ip4`, `state` … */
  readonly fields?: Readonly<Record<string, FieldValue>>;
  /** Fields of struct bpf_tcp_sock. */
  readonly tcp?: Readonly<Record<string, FieldValue>>;
  readonly uid?: number;
  /** The cgroup that it belongs to; 1 is the root. */
  readonly cgroup?: bigint;
}

const NO_QUEUE = 0xffffffff;
const TCP_CLOSE = 7;

/** One socket. Owns its memory until `close`. */
export class SocketBuffer {
  readonly address: number;
  readonly #memory: Memory;
  #open = true;

  constructor(memory: Memory, info: SocketInfo = {}) {
    this.#memory = memory;
    this.address = memory.alloc(SOCKET_CTX.SIZE, 64);
    this.write(info);
  }

  /** Makes the socket anew. Answers its address. */
  write(info: SocketInfo): number {
    const { address } = this;
    const memory = this.#memory;
    memory.u8.fill(0, address, address + SOCKET_CTX.SIZE);
    writeFields(memory, address, SOCKET_LAYOUT, { state: TCP_CLOSE, rx_queue_mapping: NO_QUEUE, ...info.fields });
    writeFields(memory, address + SOCKET_CTX.TCP, TCP_SOCK_LAYOUT, info.tcp ?? {});
    memory.view.setUint32(address + SOCKET_CTX.UID, info.uid ?? 0, true);
    memory.view.setBigUint64(address + SOCKET_CTX.CGROUP, info.cgroup ?? 1n, true);
    return address;
  }

  fields(): Record<string, FieldValue> {
    return readFields(this.#memory, this.address, SOCKET_LAYOUT);
  }

  tcp(): Record<string, FieldValue> {
    return readFields(this.#memory, this.address + SOCKET_CTX.TCP, TCP_SOCK_LAYOUT);
  }

  close(): void {
    if (this.#open) this.#memory.free(this.address);
    this.#open = false;
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
