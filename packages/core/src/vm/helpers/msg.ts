/**
 * Helpers of sk_msg programs: how far a verdict holds, and the bytes of the message. A message lies in one piece here;
 * the kernel's first piece is the part that `data` to `data_end` show until the program pulls.
 * Source: net/core/filter.c 6.18 `bpf_msg_*`.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { HOOK } from "../layout.ts";
import { get, put } from "./skb.ts";

/** struct sk_msg_md: data and data_end are 8 bytes wide. */
const MSG_DATA = 0;
const MSG_DATA_END = 8;
const MSG_SIZE = 68;

export const MSG_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* msg_apply_bytes(msg, bytes) */ [
    61,
    helper("ii", "i", (env, msg, bytes) => {
      put(env, msg, HOOK.APPLY_BYTES, bytes);
      return 0;
    }),
  ],
  /* msg_cork_bytes(msg, bytes) */ [
    62,
    helper("ii", "i", (env, msg, bytes) => {
      put(env, msg, HOOK.CORK_BYTES, bytes);
      return 0;
    }),
  ],
  /* msg_pull_data(msg, start, end, flags) */ [
    63,
    helper("iiiw", "i", (env, msg, first, last, flags, high) => {
      const [start, end] = [first >>> 0, last >>> 0];
      if (flags | high || end <= start) return -Errno.EINVAL;
      if (end > size(env, msg)) return -Errno.EINVAL;
      show(env, msg, start, end);
      return 0;
    }),
  ],
  /* msg_push_data(msg, start, len, flags) */ [90, helper("iiiw", "i", push)],
  /* msg_pop_data(msg, start, len, flags) */ [91, helper("iiiw", "i", pop)],
];

function size(env: Env, msg: number): number {
  return get(env, msg, HOOK.DATA_END) - get(env, msg, HOOK.DATA);
}

/** Points the ctx at a part of the message; its total length follows what the buffer holds. */
function show(env: Env, msg: number, start: number, end: number): void {
  const data = get(env, msg, HOOK.DATA);
  put(env, msg, MSG_DATA, data + start);
  put(env, msg, MSG_DATA_END, data + end);
  put(env, msg, MSG_SIZE, size(env, msg));
}

/** What is inserted is not initialised in the kernel; here it is zeros. */
function push(env: Env, msg: number, at: number, count: number, flags: number, high: number): number {
  if (flags | high) return -Errno.EINVAL;
  const [start, length] = [at >>> 0, count >>> 0];
  if (length === 0) return 0;
  const total = size(env, msg);
  if (start > total) return -Errno.EINVAL;
  const data = get(env, msg, HOOK.DATA);
  const end = get(env, msg, HOOK.DATA_END);
  if (end + length > get(env, msg, HOOK.BUFFER_END)) return -Errno.ENOMEM;
  const { u8 } = env.memory;
  u8.copyWithin(data + start + length, data + start, end);
  u8.fill(0, data + start, data + start + length);
  put(env, msg, HOOK.DATA_END, end + length);
  // The new piece is the first one where it is put in front; a piece that it cuts ends there.
  const first = get(env, msg, HOOK.FIRST_PIECE);
  const piece = start === 0 ? length : Math.min(first, start);
  put(env, msg, HOOK.FIRST_PIECE, piece);
  show(env, msg, 0, piece);
  return 0;
}

function pop(env: Env, msg: number, at: number, count: number, flags: number, high: number): number {
  if (flags | high) return -Errno.EINVAL;
  const [start, length] = [at >>> 0, count >>> 0];
  const total = size(env, msg);
  if (length === 0) return 0;
  if (start >= total || start + length > total) return -Errno.EINVAL;
  const data = get(env, msg, HOOK.DATA);
  const end = get(env, msg, HOOK.DATA_END);
  env.memory.u8.copyWithin(data + start, data + start + length, end);
  put(env, msg, HOOK.DATA_END, end - length);
  const first = get(env, msg, HOOK.FIRST_PIECE);
  const left = start + length < first ? first - length : Math.min(first, start) || total - length;
  put(env, msg, HOOK.FIRST_PIECE, left);
  show(env, msg, 0, left);
  return 0;
}
