import { expect, test } from "vitest";
import { hookText, parseHook } from "./index.ts";

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
  "kprobe_multi:tcp_connect,tcp_close",
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
