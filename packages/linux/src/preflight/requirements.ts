/** What a program will ask of kernel and device, read off its code. */
import { decode, OP_CALL } from "@ebplane/core/isa";
import { BPF_F_XDP_HAS_FRAGS, helperByName, type ProgramSpec } from "@ebplane/core/object";

export interface Requirements {
  /** Sees packets of several buffers. */
  readonly frags: boolean;
  /** Sends packets out of other devices. */
  readonly redirects: boolean;
  /** May put bytes in front of the packet. */
  readonly growsHead: boolean;
  /** Reads kernel memory, which lockdown=confidentiality forbids. */
  readonly readsKernel: boolean;
  /** Writes the memory of processes, which lockdown=integrity forbids. */
  readonly writesUser: boolean;
  /** Numbers of the helpers that it calls. */
  readonly helpers: ReadonlySet<number>;
}

const ids = (...names: string[]): number[] => names.map((name) => helperByName(name)!);
const REDIRECT = ids(
  "bpf_redirect",
  "bpf_redirect_map",
  "bpf_clone_redirect",
  "bpf_redirect_neigh",
  "bpf_redirect_peer",
);
const GROW = ids("bpf_xdp_adjust_head", "bpf_skb_change_head", "bpf_skb_adjust_room", "bpf_lwt_push_encap");
const READ_KERNEL = ids(
  "bpf_probe_read",
  "bpf_probe_read_str",
  "bpf_probe_read_kernel",
  "bpf_probe_read_kernel_str",
  "bpf_snprintf",
);

const WRITE_USER = ids("bpf_probe_write_user");

export function requirementsOf(spec: Pick<ProgramSpec, "code" | "flags">): Requirements {
  const helpers = new Set<number>();
  for (const insn of decode(spec.code)) if (insn.opcode === OP_CALL && insn.src === 0) helpers.add(insn.imm);
  const calls = (list: readonly number[]): boolean => list.some((id) => helpers.has(id));
  return {
    frags: (spec.flags & BPF_F_XDP_HAS_FRAGS) !== 0,
    redirects: calls(REDIRECT),
    growsHead: calls(GROW),
    readsKernel: calls(READ_KERNEL),
    writesUser: calls(WRITE_USER),
    helpers,
  };
}
