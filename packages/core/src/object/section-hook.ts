/**
 * The hook that a program's section names, for the kinds of section that name one: what `bpf_program__attach` goes by.
 * A section that leaves the place to the caller (`xdp`, `tc`, `kprobe` without a function) has none.
 * Source: tools/lib/bpf/libbpf.c `attach_kprobe`, `attach_uprobe`, `attach_kprobe_multi`, `attach_uprobe_multi`,
 * `attach_ksyscall`, `attach_tp`, `attach_raw_tp`, `attach_trace`, `attach_lsm`, `attach_iter`.
 */
import { type Hook, parseFilePlace, parseFilePlaces, parsePlace } from "./hook.ts";
import { AttachType, ProgType } from "./prog-types.ts";
import type { ProgramSpec } from "./spec.ts";

export function sectionHook(
  program: Pick<ProgramSpec, "section" | "type" | "attachType" | "attachTo">,
): Hook | undefined {
  const { section, type, attachType, attachTo } = program;
  if (type === ProgType.BPF_PROG_TYPE_TRACING) {
    const told = attachTo !== undefined || attachType === AttachType.BPF_TRACE_ITER;
    return told ? { kind: "trace" } : undefined;
  }
  if (attachTo === undefined) return undefined;
  if (type === ProgType.BPF_PROG_TYPE_LSM) {
    return attachType === AttachType.BPF_LSM_MAC ? { kind: "trace" } : undefined;
  }
  const word = section.replace(/^\?/, "").replace(/\/.*$/, "").replace(/\.s$/, "");
  switch (word) {
    case "kprobe":
    case "kretprobe": {
      const place = parsePlace(attachTo);
      return place && { kind: word, ...place };
    }
    case "ksyscall":
    case "kretsyscall":
      return { kind: word, syscall: attachTo };
    case "uprobe":
    case "uretprobe": {
      const place = parseFilePlace(attachTo);
      return place && { kind: word, ...place };
    }
    case "kprobe.multi":
      return { kind: "kprobe_multi", functions: [attachTo] };
    case "kretprobe.multi":
      return { kind: "kretprobe_multi", functions: [attachTo] };
    case "kprobe.session":
      return { kind: "kprobe_session", functions: [attachTo] };
    case "uprobe.multi":
    case "uretprobe.multi":
    case "uprobe.session": {
      const places = parseFilePlaces(attachTo);
      const kind = ({ "uprobe.multi": "uprobe_multi", "uretprobe.multi": "uretprobe_multi" } as const)[
        word as "uprobe.multi"
      ];
      return places && { kind: kind ?? "uprobe_session", ...places };
    }
    case "tp":
    case "tracepoint": {
      const [group, name, more] = attachTo.split("/");
      return group && name && more === undefined ? { kind: "tracepoint", group, name } : undefined;
    }
    case "raw_tp":
    case "raw_tracepoint":
    case "raw_tp.w":
    case "raw_tracepoint.w":
      return { kind: "raw_tp", name: attachTo };
    default:
      return undefined;
  }
}
