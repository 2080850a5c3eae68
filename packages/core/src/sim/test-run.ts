/**
 * One program on one input, as BPF_PROG_TEST_RUN does it: no device, no verdict carried out. What the kernel refuses
 * with an errno is refused with the same one; what it has no test run for is an UnsupportedError.
 * Source: kernel 6.18 net/bpf/test_run.c.
 *
 * Has: XDP, the skb types, flow dissectors, sk_lookup, raw tracepoints, syscall and netfilter programs. Leaves out live frames and
 * the checksum flag.
 */
import { Errno, errnoName, SysError, UnsupportedError } from "../errors/index.ts";
import { ProgType, progTypeName, type TestRunInput, type TestRunResult } from "../object/index.ts";
import type { ProgramFacts } from "../verifier/index.ts";
import type { Machine, VmProgram } from "../vm/index.ts";
import { runFlowDissector, runRawTracepoint, runSkLookup, runSyscall } from "./test-run-hooks.ts";
import { runNetfilter } from "./test-run-netfilter.ts";
import { runSkb, SKB_TEST_TYPES } from "./test-run-skb.ts";
import { runXdp } from "./test-run-xdp.ts";

export interface TestRun {
  readonly machine: Machine;
  readonly vm: VmProgram;
  readonly input: TestRunInput;
  /** Whether a device has this index. */
  readonly hasDevice: (ifindex: number) => boolean;
  /** What the verifier learnt of the program. */
  readonly facts: ProgramFacts;
}

const T = ProgType;

export function testRun(run: TestRun): TestRunResult {
  if (SKB_TEST_TYPES.has(run.vm.spec.type)) return runSkb(run);
  switch (run.vm.spec.type) {
    case T.BPF_PROG_TYPE_XDP:
      return runXdp(run);
    case T.BPF_PROG_TYPE_FLOW_DISSECTOR:
      return runFlowDissector(run);
    case T.BPF_PROG_TYPE_SK_LOOKUP:
      return runSkLookup(run);
    case T.BPF_PROG_TYPE_RAW_TRACEPOINT:
    case T.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return runRawTracepoint(run);
    case T.BPF_PROG_TYPE_NETFILTER:
      return runNetfilter(run);
    case T.BPF_PROG_TYPE_SYSCALL:
      return runSyscall(run);
    default:
      throw new UnsupportedError("test run", `there is no test run for ${progTypeName(run.vm.spec.type)} programs`);
  }
}

const ETH_HLEN = 14;

/** @throws SysError EINVAL for a packet without an Ethernet header, or longer than the kind of run takes. */
export function checkFrame(packet: Uint8Array, longest = Number.POSITIVE_INFINITY): void {
  if (packet.length >= ETH_HLEN && packet.length <= longest) return;
  const range = packet.length < ETH_HLEN ? `at least ${ETH_HLEN}` : `at most ${longest}`;
  refuse(Errno.EINVAL, `expected a frame of ${range} bytes, got ${packet.length}`);
}

/** A ctx struct of `size` bytes from what was given: shorter ones go on in zeros, longer ones must. */
export function ctxOf(ctx: Uint8Array, size: number): DataView {
  if (ctx.subarray(size).some((b) => b !== 0)) refuse(Errno.E2BIG, `ctx: expected at most ${size} bytes`);
  const bytes = new Uint8Array(size);
  bytes.set(ctx.subarray(0, size));
  return new DataView(bytes.buffer);
}

/** Refuses a ctx whose bytes from `from` up to `to` are not zero. */
export function expectZero(ctx: DataView, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    if (ctx.getUint8(at)) refuse(Errno.EINVAL, `ctx: bytes ${from} to ${to - 1} must be 0, byte ${at} is not`);
  }
}

/** What comes back of a ctx: the whole struct, however much of it was given. */
export function ctxAfter(ctx: DataView): Uint8Array {
  return new Uint8Array(ctx.buffer.slice(0));
}

/** Runs on the same ctx each time: what a program does to the packet adds up, as in the kernel. */
export function timed(run: TestRun, ctx: number, before?: () => void): { verdict: number; durationNs: number } {
  const repeat = run.input.repeat ?? 1;
  const started = performance.now();
  let verdict = 0;
  for (let i = 0; i < Math.max(1, repeat); i++) {
    before?.();
    verdict = run.vm.run(ctx);
  }
  return { verdict, durationNs: ((performance.now() - started) * 1e6) / Math.max(1, repeat) };
}

export function refuse(errno: number, why: string): never {
  throw new SysError("test run", errno, errnoName(errno), why);
}
