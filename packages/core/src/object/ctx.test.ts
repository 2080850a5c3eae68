import { expect, test } from "vitest";
import { AttachType, ctxAccess, ctxLayout, ProgType, SOCK_COMMON_LAYOUT, SOCKET_LAYOUT } from "./index.ts";

const xdp = ctxLayout(ProgType.BPF_PROG_TYPE_XDP, 0)!;
const tc = ctxLayout(ProgType.BPF_PROG_TYPE_SCHED_CLS, 0)!;

test("xdp_md is six 32-bit fields, the packet's bounds first", () => {
  expect(ctxAccess(xdp, 0, 4, false)).toMatchObject({ name: "data", value: "packet" });
  expect(ctxAccess(xdp, 4, 4, false)?.value).toBe("packetEnd");
  expect(ctxAccess(xdp, 8, 4, false)?.value).toBe("packetMeta");
  expect(ctxAccess(xdp, 0, 8, false)).toBeUndefined();
  expect(ctxAccess(xdp, 0, 4, true)).toBeUndefined();
  expect(ctxAccess(xdp, 2, 2, false)).toBeUndefined();
});

test("egress_ifindex needs the devmap attach type", () => {
  expect(ctxAccess(xdp, 20, 4, false)).toBeUndefined();
  const devmap = ctxLayout(ProgType.BPF_PROG_TYPE_XDP, AttachType.BPF_XDP_DEVMAP)!;
  expect(ctxAccess(devmap, 20, 4, false)?.name).toBe("egress_ifindex");
});

test("__sk_buff shows each program type its own part", () => {
  expect(ctxAccess(tc, 72, 4, true)?.name).toBe("tc_classid");
  expect(ctxAccess(tc, 88, 4, false)).toBeUndefined();
  const cgroup = ctxLayout(ProgType.BPF_PROG_TYPE_CGROUP_SKB, 0)!;
  expect(ctxAccess(cgroup, 88, 4, false)?.name).toBe("family");
  expect(ctxAccess(cgroup, 72, 4, false)).toBeUndefined();
  const filter = ctxLayout(ProgType.BPF_PROG_TYPE_SOCKET_FILTER, 0)!;
  expect(ctxAccess(filter, 76, 4, false)).toBeUndefined();
});

test("narrow loads stay inside a field and aligned", () => {
  expect(ctxAccess(tc, 2, 2, false)?.name).toBe("len");
  expect(ctxAccess(tc, 3, 1, false)?.name).toBe("len");
  expect(ctxAccess(tc, 3, 2, false)).toBeUndefined();
  expect(ctxAccess(tc, 48, 8, true)?.name).toBe("cb");
  expect(ctxAccess(tc, 64, 8, true)).toBeUndefined();
});

test("a socket's type is for full sockets only", () => {
  expect(ctxAccess(SOCKET_LAYOUT, 8, 4, false)?.name).toBe("type");
  expect(ctxAccess(SOCK_COMMON_LAYOUT, 8, 4, false)).toBeUndefined();
  expect(ctxAccess(SOCKET_LAYOUT, 5, 1, false)).toBeUndefined();
});
