/** Kernel functions that no test run of the kernel reaches: a device's metadata, tunnels' ports, work queues, refusals. */
import { describe, expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import { BtfBuilder } from "../../btf/index.ts";
import { type MapSpec, MapType, type ProgramSpec, ProgType } from "../../object/index.ts";
import { Machine, SkbBuffer, type VmMap, XdpRing } from "../index.ts";

const T = ProgType;

function program(text: string, type: number, more: Partial<ProgramSpec> = {}): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(text);
  return { name: "p", section: "", type, attachType: 0, flags: 0, code, relocs, lineInfo, funcInfo: [], ...more };
}

const HASH_AND_TIME = `
r6 = r1
r2 = r10
r2 += -8
call kfunc[bpf_xdp_metadata_rx_timestamp]
r7 = r0
r7 <<= 8
r1 = r6
r2 = r10
r2 += -12
r3 = r10
r3 += -16
call kfunc[bpf_xdp_metadata_rx_hash]
r7 |= r0
r0 = r7
exit`;
const VLAN = `
r2 = r10
r2 += -4
r3 = r10
r3 += -2
call kfunc[bpf_xdp_metadata_rx_vlan_tag]
if r0 != 0 goto out
r0 = *(u32 *)(r10 - 4)
out:
exit`;

describe.each(["interp", "jit"] as const)("on %s", (engine) => {
  test("a device's metadata: none, some of it, all", () => {
    const machine = new Machine();
    const ring = new XdpRing(machine.memory);
    const both = machine.load(program(HASH_AND_TIME, T.BPF_PROG_TYPE_XDP), { engine });
    const vlan = machine.load(program(VLAN, T.BPF_PROG_TYPE_XDP), { engine });
    const packet = new Uint8Array(64);
    const errno = (n: number): number => -n >>> 0;
    const EOPNOTSUPP = 95;
    const ENODATA = 61;
    expect(vlan.run(ring.write(0, packet))).toBe(errno(EOPNOTSUPP));
    expect(vlan.run(ring.write(0, packet, { hints: {} }))).toBe(errno(ENODATA));
    const tag = { proto: 0x8100, tci: 0x123 };
    expect(vlan.run(ring.write(0, packet, { hints: { vlan: tag } }))).toBe(0x01230081);
    const hints = { timestamp: 5n, hash: { value: 7, type: 9 } };
    expect(both.run(ring.write(0, packet, { hints }))).toBe(0);
    // The next frame has none again.
    expect(vlan.run(ring.write(0, packet))).toBe(errno(EOPNOTSUPP));
  });

  test("a tunnel's outer ports need a tunnel that the program set", () => {
    const machine = new Machine();
    using skb = new SkbBuffer(machine.memory);
    const text = `
      r6 = r1
      *(u32 *)(r10 - 4) = 0x34121110
      r2 = r10
      r2 += -4
      r3 = 1
      call kfunc[bpf_skb_set_fou_encap]
      r7 = r0
      *(u64 *)(r10 - 32) = 5
      *(u64 *)(r10 - 24) = 0
      *(u64 *)(r10 - 16) = 0
      *(u32 *)(r10 - 8) = 0
      r1 = r6
      r2 = r10
      r2 += -32
      r3 = 28
      r4 = 0
      call bpf_skb_set_tunnel_key
      r1 = r6
      r2 = r10
      r2 += -4
      r3 = 1
      call kfunc[bpf_skb_set_fou_encap]
      r7 += r0
      *(u32 *)(r10 - 4) = 0
      r1 = r6
      r2 = r10
      r2 += -4
      call kfunc[bpf_skb_get_fou_encap]
      r0 = *(u32 *)(r10 - 4)
      r0 += r7
      exit`;
    const run = machine.load(program(text, T.BPF_PROG_TYPE_SCHED_CLS), { engine });
    expect(run.run(skb.write(new Uint8Array(64)))).toBe((0x34121110 - 22) >>> 0);
  });

  test("work that was queued runs with the timers", () => {
    const machine = new Machine();
    const spec: MapSpec = {
      name: "works",
      type: MapType.BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: 24,
      maxEntries: 2,
      flags: 0,
    };
    const map: VmMap = machine.createMap(spec);
    const text = `
      *(u32 *)(r10 - 4) = 1
      r1 = map[works]
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      r6 = r0
      r1 = r6
      r2 = map[works]
      r3 = 0
      call kfunc[bpf_wq_init]
      r7 = r0
      r1 = r6
      r2 = subprog[work]
      r3 = 0
      r4 = 0
      call kfunc[bpf_wq_set_callback_impl]
      r7 |= r0
      r1 = r6
      r2 = 0
      call kfunc[bpf_wq_start]
      r7 |= r0
      r0 = r7
      out:
      exit
      work:
      r1 = *(u32 *)(r2 + 0)
      *(u64 *)(r3 + 16) = r1
      r0 = 0
      exit`;
    const run = machine.load(program(text, T.BPF_PROG_TYPE_XDP), { engine, maps: new Map([["works", map]]) });
    using ring = new XdpRing(machine.memory);
    expect(run.run(ring.write(0, new Uint8Array(64)))).toBe(0);
    const value = () => new DataView(map.lookup(new Uint8Array([1, 0, 0, 0]))!.buffer).getBigUint64(16, true);
    expect(value()).toBe(0n);
    expect(machine.runTimers()).toBe(1);
    expect(value()).toBe(1n);
    expect(machine.runTimers()).toBe(0);
  });

  test("an exception callback that is not there is refused", () => {
    const b = new BtfBuilder();
    const int = b.int("int", 4, { encoding: "signed" });
    const main = b.func("p", b.funcProto(int, []));
    b.declTag("exception_callback:handler", main);
    const btf = b.build();
    const text = "r1 = 5\ncall kfunc[bpf_throw]\nr0 = 0\nexit";
    const spec = program(text, T.BPF_PROG_TYPE_XDP, { funcInfo: [{ pc: 0, name: "p", typeId: main }] });
    expect(() => new Machine().load(spec, { engine, btf })).toThrow(
      "program p: exception callback handler: BTF has no function of that name",
    );
    expect(new Machine().load(spec, { engine }).run(0)).toBe(5);
  });
});
