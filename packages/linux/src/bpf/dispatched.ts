/**
 * Makes repeated test runs of an XDP program cheap. Each PROG_TEST_RUN puts the program into the kernel's XDP
 * dispatcher and takes it out again, and both wait for RCU: some 8 ms a call. A program that is attached anywhere is in
 * the dispatcher already. So it is attached, in generic mode, to the loopback device of a private namespace that
 * no packet ever visits; the namespace goes when the link is closed.
 * Source: net/bpf/test_run.c `bpf_prog_test_run_xdp`, kernel/bpf/dispatcher.c `bpf_dispatcher_change_prog`.
 */
import { closeSync } from "node:fs";
import { AttachType } from "@ebplane/core/object";
import { close, inNetns, newNetns } from "../sys/index.ts";
import { tryLinkCreate } from "./link-calls.ts";

const LOOPBACK = 1;
const XDP_FLAGS_SKB_MODE = 2;

/** @returns what lets go of the program; undefined where it cannot be had (then runs are slow, and right). */
export function keepDispatched(progFd: number): (() => void) | undefined {
  let netns: number;
  try {
    netns = newNetns();
  } catch {
    return undefined;
  }
  const link = inNetns(netns, () => tryLinkCreate(progFd, LOOPBACK, AttachType.BPF_XDP, XDP_FLAGS_SKB_MODE));
  // The link does not hold the namespace: its device would be unregistered and the link be dead.
  if (link < 0) {
    closeSync(netns);
    return undefined;
  }
  return () => {
    close(link);
    closeSync(netns);
  };
}
