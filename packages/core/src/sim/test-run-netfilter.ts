/**
 * Test runs of netfilter programs: a struct nf_hook_state and a packet behind two pointers. Userspace has the state; of
 * the packet what goes through a dynptr. Programs that read other structs of the kernel are refused.
 * Source: net/bpf/test_run.c `bpf_prog_test_run_nf`.
 */
import { Errno, UnsupportedError } from "../errors/index.ts";
import { helperById, type TestRunResult } from "../object/index.ts";
import { SkbBuffer } from "../vm/index.ts";
import { ctxOf, expectZero, refuse, type TestRun, timed } from "./test-run.ts";
import { LONGEST } from "./test-run-skb.ts";

/** struct nf_hook_state: hook and pf, one byte each, then pointers: in, out, sk, net, okfn. */
const STATE = { HOOK: 0, PF: 1, IN: 8, OUT: 16, SIZE: 48 } as const;
const IPV4 = 2;
const IPV6 = 10;
const LOCAL_OUT = 3;
const ETH_HLEN = 14;
const IPV4_HLEN = 20;
const IPV6_HLEN = 40;
const ETH_P_IP = 0x800;
const ETH_P_IPV6 = 0x86dd;

export function runNetfilter(run: TestRun): TestRunResult {
  refuseKernelMemory(run);
  const { packet, ctx } = run.input;
  if (packet.length < IPV4_HLEN || packet.length > LONGEST) {
    refuse(Errno.EINVAL, `expected a packet of ${IPV4_HLEN} to ${LONGEST} bytes, got ${packet.length}`);
  }
  const given = ctx && ctxOf(ctx, STATE.SIZE);
  if (given) expectZero(given, STATE.IN, STATE.SIZE);
  const hook = given?.getUint8(STATE.HOOK) ?? LOCAL_OUT;
  const pf = given?.getUint8(STATE.PF) ?? IPV4;
  if (pf !== IPV4 && pf !== IPV6) refuse(Errno.EINVAL, `ctx: pf must be ${IPV4} or ${IPV6}, got ${pf}`);
  // What a host sends has no link header yet.
  if (hook !== LOCAL_OUT) checkLinkHeader(packet, pf);

  const { memory } = run.machine;
  using skb = new SkbBuffer(memory);
  const at = memory.alloc(16 + STATE.SIZE + 8, 16);
  try {
    const { view, u8 } = memory;
    const state = at + 16;
    const device = state + STATE.SIZE;
    u8.fill(0, at, device + 8);
    view.setUint8(state + STATE.HOOK, hook);
    view.setUint8(state + STATE.PF, pf);
    // 6.18 picks the devices by the hook that it began with, LOCAL_OUT, whatever ctx says. Only that there is one shows.
    if (given) view.setUint32(state + STATE.OUT, device, true);
    view.setUint32(at, state, true);
    view.setUint32(at + 8, skb.write(packet, { linkHeader: hook === LOCAL_OUT }), true);
    const { verdict, durationNs } = timed(run, at);
    return { verdict, packet: new Uint8Array(0), ctx: ctx?.slice(), durationNs };
  } finally {
    memory.free(at);
  }
}

function checkLinkHeader(packet: Uint8Array, pf: number): void {
  const needs = (header: number): void => {
    if (packet.length >= ETH_HLEN + header) return;
    refuse(Errno.EINVAL, `expected a frame of at least ${ETH_HLEN + header} bytes, got ${packet.length}`);
  };
  needs(IPV4_HLEN);
  const type = (packet[12]! << 8) | packet[13]!;
  if (type !== ETH_P_IP && type !== ETH_P_IPV6) refuse(Errno.EPROTO, `EtherType 0x${type.toString(16)} is no IP`);
  if (type === ETH_P_IPV6) needs(IPV6_HLEN);
  if ((type === ETH_P_IPV6) !== (pf === IPV6)) refuse(Errno.EINVAL, "the packet's family is not the one of ctx");
}

/** Anything but the state would be read from where userspace has nothing of the kind. */
function refuseKernelMemory({ facts, vm }: TestRun): void {
  const struct = facts.kernelStructs.find((name) => name !== "nf_hook_state");
  const helper = facts.helpers.map((id) => helperById(id)?.name ?? "").find((name) => /^probe_read/.test(name));
  const what = struct ? `reads struct ${struct} of the kernel` : helper && `calls bpf_${helper}`;
  if (what) throw new UnsupportedError("test run", `program ${vm.spec.name} ${what}: there is none in userspace`);
}
