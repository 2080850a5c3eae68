/**
 * Test runs of hooks without a device: flow dissectors, socket lookup, raw tracepoints, syscall programs.
 * Source: net/bpf/test_run.c 6.18 `bpf_prog_test_run_flow_dissector`, `_sk_lookup`, `_raw_tp`, `_syscall`.
 */
import { Errno } from "../errors/index.ts";
import { FLOW_KEYS_SIZE, ProgType, type TestRunResult } from "../object/index.ts";
import { FLOW, HOOK, HookCtx } from "../vm/index.ts";
import { checkFrame, ctxAfter, ctxOf, expectZero, refuse, type TestRun, timed } from "./test-run.ts";

const LONGEST = 4096;
const ETH_HLEN = 14;
const AF_INET = 2;
const AF_INET6 = 10;
const SK_PASS = 1;

/** The packet that comes back is the struct bpf_flow_keys. */
export function runFlowDissector(run: TestRun): TestRunResult {
  const { packet, ctx } = run.input;
  checkFrame(packet, LONGEST);
  const given = ctx && ctxOf(ctx, FLOW_KEYS_SIZE);
  if (given) {
    expectZero(given, 0, FLOW.FLAGS);
    expectZero(given, FLOW.FLAGS + 4, FLOW_KEYS_SIZE);
  }
  const flags = given?.getUint32(FLOW.FLAGS, true) ?? 0;
  const { memory } = run.machine;
  using hook = new HookCtx(memory, ProgType.BPF_PROG_TYPE_FLOW_DISSECTOR, 0, packet.length + FLOW_KEYS_SIZE);
  const at = hook.write({ data: packet, fromSkb: false });
  // The keys stand before the packet.
  const keys = hook.word(HOOK.DATA) - 64;
  const { view, u8 } = memory;
  view.setUint32(at + FLOW.CTX_KEYS, keys, true);
  const { verdict, durationNs } = timed(run, at, () => {
    u8.fill(0, keys, keys + FLOW_KEYS_SIZE);
    view.setUint16(keys + FLOW.NHOFF, ETH_HLEN, true);
    view.setUint16(keys + FLOW.THOFF, ETH_HLEN, true);
    u8.set(packet.subarray(12, 14), keys + FLOW.N_PROTO);
    view.setUint32(keys + FLOW.FLAGS, flags, true);
  });
  const clamp = (field: number, least: number): number => {
    const value = Math.min(Math.max(view.getUint16(keys + field, true), least), packet.length);
    view.setUint16(keys + field, value, true);
    return value;
  };
  clamp(FLOW.THOFF, clamp(FLOW.NHOFF, ETH_HLEN));
  return {
    verdict,
    packet: u8.slice(keys, keys + FLOW_KEYS_SIZE),
    ctx: given && ctxAfter(given),
    durationNs,
  };
}

/** A struct bpf_sk_lookup in, and out with the cookie of the socket that was selected. */
export function runSkLookup(run: TestRun): TestRunResult {
  const { packet, ctx } = run.input;
  if (packet.length) refuse(Errno.EINVAL, `sk_lookup takes no packet, got ${packet.length} bytes`);
  if (!ctx) return refuse(Errno.EINVAL, "sk_lookup needs a ctx");
  using hook = new HookCtx(run.machine.memory, ProgType.BPF_PROG_TYPE_SK_LOOKUP);
  const given = ctxOf(ctx, 72);
  const word = (at: number): number => given.getUint32(at, true);
  if (given.getBigUint64(0, true)) refuse(Errno.EINVAL, "ctx: the cookie must be 0");
  expectZero(given, 64, 72);
  if (word(60) > 0xffff) refuse(Errno.ERANGE, `ctx: local_port must be at most 65535, got ${word(60)}`);
  const family = word(8) & 0xffff;
  if (family !== AF_INET && family !== AF_INET6) refuse(Errno.EAFNOSUPPORT, `ctx: family ${family}`);
  const six = (at: number): number[] => [0, 4, 8, 12].map((i) => (family === AF_INET6 ? word(at + i) : 0));
  const at = hook.write({
    fields: {
      family,
      protocol: word(12) & 0xffff,
      remote_ip4: family === AF_INET ? word(16) : 0,
      remote_ip6: six(20),
      remote_port: word(36) & 0xffff,
      local_ip4: family === AF_INET ? word(40) : 0,
      local_ip6: six(44),
      local_port: word(60),
    },
  });
  const { view } = run.machine.memory;
  const { verdict, durationNs } = timed(run, at, () => {
    view.setUint32(at, 0, true);
    view.setUint32(at + HOOK.SELECTED, 0, true);
  });
  const selected = view.getUint32(at + HOOK.SELECTED, true);
  const cookie = selected ? (run.machine.host.socketCookie?.(run.machine.memory, selected) ?? BigInt(selected)) : 0n;
  given.setBigUint64(0, cookie, true);
  return {
    verdict: selected ? SK_PASS : verdict,
    packet: new Uint8Array(0),
    ctx: ctxAfter(given),
    durationNs,
  };
}

/** Up to twelve 64-bit arguments. */
export function runRawTracepoint(run: TestRun): TestRunResult {
  const { packet, ctx, repeat } = run.input;
  if (packet.length) refuse(Errno.EINVAL, `raw tracepoints take no packet, got ${packet.length} bytes`);
  if (repeat) refuse(Errno.EINVAL, "raw tracepoints take no repeat");
  return runBytes(run, ctx ?? new Uint8Array(0), 96);
}

/** The ctx is bytes that the program may change. */
export function runSyscall(run: TestRun): TestRunResult {
  const { packet, ctx, repeat } = run.input;
  if (packet.length) refuse(Errno.EINVAL, `syscall programs take no packet, got ${packet.length} bytes`);
  if (repeat) refuse(Errno.EINVAL, "syscall programs take no repeat");
  return runBytes(run, ctx ?? new Uint8Array(0), 0xffff);
}

/** A ctx that holds all that the program may reach. */
function runBytes(run: TestRun, bytes: Uint8Array, longest: number): TestRunResult {
  if (bytes.length < run.facts.ctxReach || bytes.length > longest) {
    refuse(Errno.EINVAL, `ctx: expected ${run.facts.ctxReach} to ${longest} bytes, got ${bytes.length}`);
  }
  const { memory } = run.machine;
  const at = memory.alloc(bytes.length + 1, 64);
  try {
    memory.u8.set(bytes, at);
    const { verdict, durationNs } = timed(run, at);
    return { verdict, packet: new Uint8Array(0), ctx: memory.u8.slice(at, at + bytes.length), durationNs };
  } finally {
    memory.free(at);
  }
}
