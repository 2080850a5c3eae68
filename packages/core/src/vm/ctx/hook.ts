/**
 * The ctx of every hook that is neither XDP nor `__sk_buff`: sock_ops, sk_msg, sock_addr, sock, sockopt, sysctl, device,
 * sk_reuseport, sk_lookup, flow keys, tracing arguments. The kernel's struct first, fields by their UAPI names; then
 * what helpers need beyond it (layout.ts `HOOK`); then a buffer for the bytes between `data` and `data_end`.
 * Source: include/uapi/linux/bpf.h of 6.18; the `*_convert_ctx_access` of net/core/filter.c.
 */
import type { Memory } from "../../mem/index.ts";
import { type CtxLayout, ctxLayout, progTypeName } from "../../object/index.ts";
import { HOOK } from "../layout.ts";
import { type FieldValue, readFields, writeFields } from "./fields.ts";

export interface HookInput {
  /** The struct's fields; the others are 0. */
  readonly fields?: Readonly<Record<string, FieldValue>>;
  /** What lies between the struct's two packet pointers: a message, an option's value, a packet. */
  readonly data?: Uint8Array;
  /** How much of `data` the program sees before it pulls; all of it when absent. */
  readonly visible?: number;
  /** Address of a struct bpf_sock. */
  readonly socket?: number;
  /** sock_ops: bytes of TCP options that may still be reserved or written. */
  readonly optionRoom?: number;
  readonly sysctl?: SysctlText;
  /** False where the data is no packet that helpers load bytes of, as in a flow dissector's test run. Default true. */
  readonly fromSkb?: boolean;
}

/** What a sysctl program asks helpers for. `next` is absent on a read. */
export interface SysctlText {
  /** With its directories: `net/ipv4/tcp_mem`. */
  readonly name: string;
  readonly current: string;
  readonly next?: string;
}

/** Bytes in front of the data that helpers may use. */
const HEADROOM = 256;

export class HookCtx {
  readonly ctx: number;
  readonly layout: CtxLayout;
  readonly #memory: Memory;
  readonly #room: number;
  #open = true;

  /**
   * @param room bytes of data that the buffer holds, what helpers push included.
   * @throws RangeError for a program type whose ctx is not described.
   */
  constructor(memory: Memory, progType: number, attachType = 0, room = 4096) {
    const layout = ctxLayout(progType, attachType);
    if (!layout) throw new RangeError(`no ctx is known for programs of type ${progTypeName(progType)}`);
    if (layout.size > HOOK.PRIVATE) throw new RangeError(`${layout.struct}: not a ctx of named fields`);
    this.layout = layout;
    this.#memory = memory;
    this.#room = room;
    this.ctx = memory.alloc(HOOK.STRIDE + HEADROOM + room, 64);
  }

  /** Makes the ctx anew. Answers its address. @throws RangeError for an unknown field, or more data than it holds. */
  write(input: HookInput = {}): number {
    const { ctx, layout } = this;
    const memory = this.#memory;
    const data = input.data ?? new Uint8Array(0);
    if (data.length > this.#room) {
      throw new RangeError(`${layout.struct}: expected at most ${this.#room} bytes of data, got ${data.length}`);
    }
    memory.u8.fill(0, ctx, ctx + HOOK.STRIDE + HEADROOM);
    const { view } = memory;
    const head = ctx + HOOK.STRIDE + HEADROOM;
    const visible = Math.min(input.visible ?? data.length, data.length);
    memory.u8.set(data, head);
    view.setUint32(ctx + HOOK.DATA, head, true);
    view.setUint32(ctx + HOOK.DATA_END, head + data.length, true);
    view.setUint32(ctx + HOOK.BUFFER, ctx + HOOK.STRIDE, true);
    view.setUint32(ctx + HOOK.BUFFER_END, head + this.#room, true);
    view.setUint32(ctx + HOOK.FIRST_PIECE, visible, true);
    view.setUint32(ctx + HOOK.FROM_SKB, input.fromSkb === false ? 0 : 1, true);
    for (const { name, value, offset } of layout.fields) {
      if (name === "sk") view.setUint32(ctx + offset, input.socket ?? 0, true);
      if (!input.data) continue;
      if (value === "packet") {
        view.setUint32(ctx + offset, head, true);
        view.setUint32(ctx + HOOK.DATA_FIELD, offset, true);
        view.setUint32(ctx + HOOK.HAS_DATA, 1, true);
      } else if (value === "packetEnd") view.setUint32(ctx + offset, head + visible, true);
    }
    writeFields(memory, ctx, layout, input.fields ?? {});
    if (input.optionRoom !== undefined) view.setUint32(ctx + HOOK.OPTION_ROOM, input.optionRoom, true);
    if (input.sysctl) this.#writeSysctl(input.sysctl);
    return ctx;
  }

  /** Name and values stand in the buffer, one after the other; the new one last, with a page for what programs set. */
  #writeSysctl({ name, current, next }: SysctlText): void {
    const { view, u8 } = this.#memory;
    let at = this.ctx + HOOK.STRIDE;
    const put = (field: number, text: string | undefined): void => {
      const bytes = new TextEncoder().encode(text ?? "");
      if (at + bytes.length > this.word(HOOK.BUFFER_END)) throw new RangeError(`sysctl ${name}: too long`);
      u8.set(bytes, at);
      view.setUint32(this.ctx + field, text === undefined ? 0 : at, true);
      view.setUint32(this.ctx + field + 4, bytes.length, true);
      at += bytes.length;
    };
    put(HOOK.SYSCTL_NAME, name);
    put(HOOK.SYSCTL_CURRENT, current);
    put(HOOK.SYSCTL_NEW, next);
  }

  /** The new value of a sysctl, and whether a program set it. */
  sysctl(): { readonly next: string; readonly updated: boolean } {
    const at = this.word(HOOK.SYSCTL_NEW);
    const bytes = this.#memory.u8.slice(at, at + this.word(HOOK.SYSCTL_NEW + 4));
    return { next: new TextDecoder().decode(bytes), updated: this.word(HOOK.SYSCTL_UPDATED) !== 0 };
  }

  /** The fields as they are now, pointers left out. */
  fields(): Record<string, FieldValue> {
    return readFields(this.#memory, this.ctx, this.layout);
  }

  /** All of the data, seen by the program or not: a copy. */
  data(): Uint8Array {
    return this.#memory.u8.slice(this.word(HOOK.DATA), this.word(HOOK.DATA_END));
  }

  /** A 32-bit word of the ctx by its offset (`HOOK.APPLY_BYTES` …), unsigned. */
  word(offset: number): number {
    return this.#memory.view.getUint32(this.ctx + offset, true);
  }

  close(): void {
    if (this.#open) this.#memory.free(this.ctx);
    this.#open = false;
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
