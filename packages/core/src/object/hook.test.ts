import { expect, test } from "vitest";
import { AttachType as A, hookText, ProgType as P, parseHook, sectionHook } from "./index.ts";

test.each([
  "xdp:eth0",
  "xdp:eth0:native",
  "xdp:eth0:generic",
  "tcx:eth0:ingress",
  "tc:eth0:egress",
  "tc:eth0:egress:7",
  "cgroup:/sys/fs/cgroup/a:b:connect4",
  "netns:sk_lookup",
  "netfilter:4:forward",
  "netfilter:6:input:-128",
  "lwt:10.0.0.0/8:xmit",
  "lwt:fd00::/16:in",
  "raw_tp:sys_enter",
  "tracepoint:sched:sched_switch",
  "kprobe:tcp_connect",
  "kprobe:nf_conntrack:nf_conntrack_in+0x10",
  "kretsyscall:connect",
  "uprobe:/usr/bin/a:b:readline+0x4",
  "kprobe_multi:tcp_connect,tcp_close",
  "kprobe_session:tcp_*",
  "uprobe_session:/usr/lib/libc.so.6:4096,malloc",
  "trace:tcp_connect",
  "freplace:12:prog0",
  "freplace:/sys/fs/bpf/a:b:prog0",
  "uretprobe_multi:/usr/lib/a:b.so:4096,8192",
  "xdp:eth0:offload",
  "uprobe:/usr/bin/node:4096",
  "trace",
  "netkit:nk0:peer",
  "struct_ops:cubic",
  "lwt:fd00:5::1/128:seg6local",
  "perf_event:cpu-clock:1000000",
])("%s is read and written alike", (text) => {
  expect(hookText(parseHook(text))).toBe(text);
});

test.each([
  ["kprobe/tcp_connect", P.BPF_PROG_TYPE_KPROBE, "kprobe:tcp_connect"],
  ["?kretprobe/tcp_connect", P.BPF_PROG_TYPE_KPROBE, "kretprobe:tcp_connect"],
  ["kprobe/tcp_connect+0x10", P.BPF_PROG_TYPE_KPROBE, "kprobe:tcp_connect+0x10"],
  ["ksyscall/connect", P.BPF_PROG_TYPE_KPROBE, "ksyscall:connect"],
  ["kprobe.multi/tcp_*", P.BPF_PROG_TYPE_KPROBE, "kprobe_multi:tcp_*"],
  ["kprobe.session/tcp_*", P.BPF_PROG_TYPE_KPROBE, "kprobe_session:tcp_*"],
  ["uprobe.s//usr/bin/bash:readline", P.BPF_PROG_TYPE_KPROBE, "uprobe:/usr/bin/bash:readline"],
  ["uprobe/libc.so.6:malloc+4", P.BPF_PROG_TYPE_KPROBE, "uprobe:libc.so.6:malloc+0x4"],
  ["uretprobe.multi//usr/bin/bash:read*", P.BPF_PROG_TYPE_KPROBE, "uretprobe_multi:/usr/bin/bash:read*"],
  ["tp/sched/sched_switch", P.BPF_PROG_TYPE_TRACEPOINT, "tracepoint:sched:sched_switch"],
  ["raw_tp/sys_enter", P.BPF_PROG_TYPE_RAW_TRACEPOINT, "raw_tp:sys_enter"],
  ["fentry/tcp_connect", P.BPF_PROG_TYPE_TRACING, "trace"],
  ["lsm.s/file_open", P.BPF_PROG_TYPE_LSM, "trace"],
  ["kprobe", P.BPF_PROG_TYPE_KPROBE, undefined],
  ["kprobe/a,b", P.BPF_PROG_TYPE_KPROBE, undefined],
  ["uprobe/bash", P.BPF_PROG_TYPE_KPROBE, undefined],
  ["usdt//usr/bin/bash:a:b", P.BPF_PROG_TYPE_KPROBE, undefined],
  ["tp/sched", P.BPF_PROG_TYPE_TRACEPOINT, undefined],
  ["fentry", P.BPF_PROG_TYPE_TRACING, undefined],
  ["xdp", P.BPF_PROG_TYPE_XDP, undefined],
])("section %s names its hook", (section, type, text) => {
  const slash = section.indexOf("/");
  const attachTo = slash < 0 ? undefined : section.slice(slash + 1);
  const attachType =
    type === P.BPF_PROG_TYPE_LSM ? A.BPF_LSM_MAC : type === P.BPF_PROG_TYPE_TRACING ? A.BPF_TRACE_FENTRY : 0;
  const hook = sectionHook({ section, type, attachType, attachTo });
  expect(hook && hookText(hook)).toBe(text);
});

test("a hook keeps the colons of a prefix and of a path", () => {
  expect(parseHook("lwt:fd00::/16:in")).toEqual({ kind: "lwt", prefix: "fd00::/16", direction: "in" });
});

test.each([
  ["xdp", "expected xdp:IFACE[:native|generic]"],
  ["xdp:eth0:fast", "expected xdp:IFACE[:native|generic]"],
  ["tcx:eth0", "expected tcx:IFACE:ingress|egress"],
  ["cgroup:/a:nothing", "expected a type of ingress, egress"],
  ["perf_event:cycles:1", "expected an event of cpu-clock, task-clock"],
  ["perf_event:cpu-clock:0", "expected perf_event:EVENT:PERIOD"],
  ["netfilter:4:middle", "expected a point of prerouting, input"],
  ["eth0", "expected xdp, tcx, netkit, tc"],
])("%s is refused", (text, message) => {
  expect(() => parseHook(text)).toThrow(`hook ${JSON.stringify(text)}: ${message}`);
});
