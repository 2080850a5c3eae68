/** A live program of the kernel: its fd, its info, and runs of it on bytes of ours. */
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import {
  type Program,
  type ProgramSpec,
  ProgType,
  progTypeName,
  type TestRunInput,
  type TestRunResult,
} from "@ebplane/core/object";
import { check, close, kernelOlder } from "../sys/index.ts";
import { Cmd, cmdName } from "./command.ts";
import { type ProgInfo, progInfo } from "./info.ts";
import type { ProgLoad } from "./prog-calls.ts";
import { BPF_F_TEST_XDP_LIVE_FRAMES, progTestRun, type TestRunCall } from "./test-run-calls.ts";

export interface LoadedHow {
  readonly code?: Uint8Array;
  readonly license?: string;
  readonly log?: string;
  readonly request?: ProgLoad;
}

/**
 * Test runs of these types take no buffer for the ctx afterwards: a syscall program changes the one it was given,
 * and what netfilter is given stays as it was.
 */
const CTX_IN_PLACE: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_SYSCALL,
  ProgType.BPF_PROG_TYPE_NETFILTER,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
]);

const ETH_HLEN = 14;

export class LinuxProgram implements Program {
  readonly spec: ProgramSpec;
  readonly id: number;
  /** The verifier's log, where loading was asked for one. */
  readonly log: string;
  /** The code that was loaded, with map fds and BTF ids in place. */
  readonly code: Uint8Array;
  readonly license: string;
  /** The call that loaded it, where a collection did: good for another load as long as that collection is open. */
  readonly request: ProgLoad | undefined;
  #fd: number;

  /** Takes over `fd`; `close` closes it. */
  constructor(fd: number, spec: ProgramSpec, how: LoadedHow = {}) {
    this.#fd = fd;
    this.spec = spec;
    this.log = how.log ?? "";
    this.code = how.code ?? spec.code;
    this.license = how.license ?? "GPL";
    this.request = how.request;
    this.id = progInfo(fd).id;
  }

  /** The program's file descriptor; it stays this object's. @throws TypeError after `close`. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError(`program ${this.spec.name}: is closed`);
    return this.#fd;
  }

  /** What the kernel knows about the program now, run statistics included. */
  info(): ProgInfo {
    return progInfo(this.fd);
  }

  /**
   * Runs by PROG_TEST_RUN. `durationNs` is the kernel's own mean, an integer with a floor of some 20 ns.
   * With `repeat` above 1 an XDP program enters and leaves the kernel's dispatcher, which adds some 8 ms to the call.
   * @throws UnsupportedError for a type the kernel cannot run this way, SysError EINVAL for fewer than 14 bytes.
   */
  testRun(input: TestRunInput & Pick<TestRunCall, "flags" | "cpu" | "batchSize">): TestRunResult {
    const fd = this.fd;
    const answer = progTestRun(fd, { ...input, ctxOut: !CTX_IN_PLACE.has(this.spec.type) });
    if (answer.result === -Errno.ENOTSUPP) {
      throw new UnsupportedError("test_run", `the kernel has no test run for ${progTypeName(this.spec.type)} programs`);
    }
    if (answer.result === -Errno.EINVAL) this.#tooOldFor(input);
    const short = answer.result === -Errno.EINVAL && input.packet.length < ETH_HLEN && input.packet.length > 0;
    const why = short ? `: a frame has at least ${ETH_HLEN} bytes, this one ${input.packet.length}` : "";
    check(cmdName(Cmd.PROG_TEST_RUN), answer.result, `${this.spec.name}${why}`);
    return { verdict: answer.retval, packet: answer.packet, ctx: answer.ctx, durationNs: answer.duration };
  }

  /** What test runs learned later, and older kernels call invalid. Source: net/bpf/test_run.c of the versions. */
  #tooOldFor({ ctx, flags = 0 }: TestRunInput & Pick<TestRunCall, "flags">): void {
    const name = this.spec.name;
    if ((flags & BPF_F_TEST_XDP_LIVE_FRAMES) !== 0 && kernelOlder("5.18")) {
      throw new UnsupportedError("live frames", `${name}: this kernel's test run has no live frames`, "5.18");
    }
    if (ctx && this.spec.type === ProgType.BPF_PROG_TYPE_XDP && kernelOlder("5.15")) {
      throw new UnsupportedError(
        "test_run ctx",
        `${name}: this kernel's test run takes no ctx for xdp programs`,
        "5.15",
      );
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    check("close", close(fd));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
