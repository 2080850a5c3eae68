/**
 * PROG_TEST_RUN: runs a loaded program on bytes of the caller's. Source: include/uapi/linux/bpf.h `union bpf_attr`
 * (TEST_RUN), net/bpf/test_run.c.
 */
import { allocBlock, type Block, freeBlock, scratch, setPointer } from "../mem/index.ts";
import { attr, bpf, Cmd } from "./command.ts";

export interface TestRunCall {
  readonly packet: Uint8Array;
  readonly ctx?: Uint8Array;
  readonly repeat?: number;
  readonly flags?: number;
  readonly cpu?: number;
  /** Frames at once with BPF_F_TEST_XDP_LIVE_FRAMES: at most 256. */
  readonly batchSize?: number;
  /** False where the kernel takes no buffer for the ctx afterwards. */
  readonly ctxOut?: boolean;
}

export interface TestRunAnswer {
  /** 0 or `-errno`. */
  readonly result: number;
  /** r0, unsigned. */
  readonly retval: number;
  readonly packet: Uint8Array;
  readonly ctx: Uint8Array | undefined;
  /** Mean nanoseconds a run, an integer. */
  readonly duration: number;
}

/** Runs the packet through real devices instead of looking at the verdict. */
export const BPF_F_TEST_XDP_LIVE_FRAMES = 1 << 1;
/** Computes the skb's checksum before the run (CHECKSUM_COMPLETE). */
export const BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 1 << 2;

/**
 * What a program may add to a packet: 256 bytes of headroom, the tail's room, frags. Too small a buffer would be ENOSPC
 * after the run had its effects, so there is always enough.
 */
const ROOM = 1 << 16;
/** No ctx struct is longer; a shorter buffer than the struct would be ENOSPC, again after the effects. */
const CTX_MAX = 256;
let output: Block | undefined;

function outputOf(size: number): Block {
  if (output && output.bytes.length >= size) return output;
  if (output) freeBlock(output);
  output = allocBlock(size);
  return output;
}

export function progTestRun(fd: number, input: TestRunCall): TestRunAnswer {
  const { packet, ctx } = input;
  const live = ((input.flags ?? 0) & BPF_F_TEST_XDP_LIVE_FRAMES) !== 0;
  const out = outputOf(packet.length + ROOM);
  return scratch((memory) => {
    const data = memory.put(packet);
    const ctxIn = ctx?.length ? memory.take(ctx.length) : undefined;
    if (ctx) ctxIn?.bytes.set(ctx);
    const ctxOut = ctx && !live && input.ctxOut !== false ? memory.take(Math.max(ctx.length, CTX_MAX)) : undefined;
    const a = attr(80);
    a.setUint32(0, fd, true);
    a.setUint32(8, packet.length, true);
    setPointer(a, 16, data);
    if (!live && packet.length > 0) {
      a.setUint32(12, out.bytes.length, true);
      setPointer(a, 24, out.address);
    }
    a.setUint32(32, input.repeat ?? 0, true);
    if (ctx) {
      a.setUint32(40, ctx.length, true);
      setPointer(a, 48, ctxIn?.address ?? 0);
    }
    if (ctxOut) {
      a.setUint32(44, ctxOut.bytes.length, true);
      setPointer(a, 56, ctxOut.address);
    }
    a.setUint32(64, input.flags ?? 0, true);
    a.setUint32(68, input.cpu ?? 0, true);
    a.setUint32(72, input.batchSize ?? 0, true);
    const result = bpf(Cmd.PROG_TEST_RUN, 80);
    return {
      result,
      retval: a.getUint32(4, true),
      packet: live ? packet.slice() : out.bytes.slice(0, result < 0 ? 0 : a.getUint32(12, true)),
      // Without a buffer of its own the ctx is changed where it was given.
      ctx: ctxIn && !ctxOut && !live ? ctxIn.bytes.slice() : ctxOut?.bytes.slice(0, a.getUint32(44, true)),
      duration: a.getUint32(36, true),
    };
  });
}
