/** The kinds of programs: what `xdp(…)`, `tc.ingress(…)` … are to the kernel. */
import { AttachType, ctxLayout, ProgType } from "@ebplane/core/object";

export interface ProgramForm {
  readonly type: number;
  readonly attachType: number;
  /** ELF section, as libbpf reads it. */
  readonly section: string;
}

const cls = { type: ProgType.BPF_PROG_TYPE_SCHED_CLS, attachType: 0 };
const cgroup = { type: ProgType.BPF_PROG_TYPE_CGROUP_SKB };

/** By the name that is called, with its namespace. */
export const PROGRAM_FORMS: ReadonlyMap<string, ProgramForm> = new Map<string, ProgramForm>([
  ["xdp", { type: ProgType.BPF_PROG_TYPE_XDP, attachType: AttachType.BPF_XDP, section: "xdp" }],
  ["tc.ingress", { ...cls, section: "tc/ingress" }],
  ["tc.egress", { ...cls, section: "tc/egress" }],
  ["socketFilter", { type: ProgType.BPF_PROG_TYPE_SOCKET_FILTER, attachType: 0, section: "socket" }],
  ["cgroupSkb.ingress", { ...cgroup, attachType: AttachType.BPF_CGROUP_INET_INGRESS, section: "cgroup_skb/ingress" }],
  ["cgroupSkb.egress", { ...cgroup, attachType: AttachType.BPF_CGROUP_INET_EGRESS, section: "cgroup_skb/egress" }],
  ["lwt.in", { type: ProgType.BPF_PROG_TYPE_LWT_IN, attachType: 0, section: "lwt_in" }],
  ["lwt.out", { type: ProgType.BPF_PROG_TYPE_LWT_OUT, attachType: 0, section: "lwt_out" }],
  ["lwt.xmit", { type: ProgType.BPF_PROG_TYPE_LWT_XMIT, attachType: 0, section: "lwt_xmit" }],
]);

export const PROGRAM_NAMESPACES = new Set(["tc", "cgroupSkb", "lwt"]);

/** Where the context holds the packet's bounds; undefined for programs without direct packet access. */
export function packetFields(form: {
  readonly type: number;
  readonly attachType: number;
}): { readonly data: number; readonly end: number } | undefined {
  const fields = ctxLayout(form.type, form.attachType)?.fields ?? [];
  const data = fields.find((f) => f.value === "packet" && f.size === 4);
  const end = fields.find((f) => f.value === "packetEnd" && f.size === 4);
  return data && end && { data: data.offset, end: end.offset };
}
