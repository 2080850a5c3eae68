/**
 * Before anything is attached: will this program work on this device of this kernel? What would end in an errno, or
 * worse in packets that vanish, is found here and said with its remedy.
 *
 * It asks the system and changes nothing. It cannot see into other namespaces: what depends on a veth's peer there is
 * a warning.
 */
import { type Hook, hookText, type ProgramSpec, progTypeName } from "@ebplane/core/object";
import { deviceFeatures, kernelFeatures, type SystemState, systemState } from "../features/index.ts";
import { getOffload } from "../link/index.ts";
import { memlockLimit } from "../mem/index.ts";
import { type LinkInfo, listLinks, NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import type { Finding } from "./finding.ts";
import { checkOrder } from "./order.ts";
import { requirementsOf } from "./requirements.ts";

export interface Attachment {
  readonly program: ProgramSpec;
  readonly hook: Hook;
  /** Devices that it redirects to, where known. */
  readonly redirectsTo?: readonly string[];
  /** Bytes that it puts in front of packets. */
  readonly encapsulation?: number;
  /** The program there that it takes the place of, by the id of its link. */
  readonly replaces?: number;
}

/** The system's state that attaching hangs on. */
export type System = Pick<SystemState, "release" | "jit" | "lockdown"> & {
  /** Bytes that may be locked in memory. */
  readonly memlock: number;
};

/** Looks at the calling thread's network namespace. An empty list: nothing stands in the way. */
export function preflight(
  attachments: readonly Attachment[],
  system: System = { ...systemState(), memlock: memlockLimit() },
): Finding[] {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  try {
    const devices = new Map(listLinks(socket).map((link) => [link.name, link]));
    return [
      ...checkSystem(system),
      ...attachments.flatMap((attachment) => checkAttachment(attachment, devices, socket, system)),
    ];
  } finally {
    socket.close();
  }
}

const MIB = 1 << 20;

function checkSystem({ release, jit, memlock: limit }: System): Finding[] {
  const findings: Finding[] = [];
  const [major = 0, minor = 0] = release.split(".").map(Number);
  // Since 5.11 maps are charged to the memory cgroup instead.
  if ((major < 5 || (major === 5 && minor < 11)) && limit < 64 * MIB) {
    findings.push({
      severity: "error",
      place: "memlock",
      reason: `this kernel charges maps to RLIMIT_MEMLOCK, which is ${limit} bytes`,
      remedy: "raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
    });
  }
  if (jit === 0) {
    findings.push({
      severity: "warning",
      place: "jit",
      reason: "the kernel's JIT is off: programs are interpreted, some ten times slower",
      remedy: "sysctl net.core.bpf_jit_enable=1",
    });
  }
  return findings;
}

function checkAttachment(
  attachment: Attachment,
  devices: ReadonlyMap<string, LinkInfo>,
  socket: NetlinkSocket,
  { lockdown }: System,
): Finding[] {
  const { program, hook } = attachment;
  const place = hookText(hook);
  const findings: Finding[] = [];
  const type = kernelFeatures().progTypes[progTypeName(program.type)];
  if (type && !type.supported) {
    findings.push({ severity: "error", place, reason: type.reason, remedy: "use another hook, or another kernel" });
  }
  const { readsKernel, writesUser } = requirementsOf(program);
  if (writesUser && (lockdown === "integrity" || lockdown === "confidentiality")) {
    findings.push({
      severity: "error",
      place,
      reason: `it writes other processes' memory (bpf_probe_write_user), which lockdown=${lockdown} forbids`,
      remedy: "boot without lockdown, or leave that out",
    });
  }
  if (readsKernel && lockdown === "confidentiality") {
    findings.push({
      severity: "error",
      place,
      reason: "it reads kernel memory, which lockdown=confidentiality forbids",
      remedy: "boot with lockdown=integrity or less",
    });
  }
  findings.push(...checkOrder(hook, devices, socket));
  if (hook.kind !== "xdp" && hook.kind !== "tcx" && hook.kind !== "tc") return findings;
  const device = devices.get(hook.iface);
  if (!device) {
    const reason = `there is no device ${hook.iface} in this network namespace`;
    return [...findings, { severity: "error", place, reason, remedy: `one of ${[...devices.keys()].join(", ")}` }];
  }
  if (!device.up) {
    const reason = `${device.name} is down`;
    findings.push({ severity: "warning", place, reason, remedy: `ip link set ${device.name} up` });
  }
  if (hook.kind === "xdp") findings.push(...checkXdp(attachment, hook, device, devices));
  return findings;
}

/**
 * What fits beside an XDP program in one page: headroom 256, `skb_shared_info` 320, Ethernet 14.
 * Source: drivers/net/veth.c `veth_xdp_set`; other drivers differ little.
 */
const LINEAR_MTU = 4096 - 256 - 320 - 14;
const XDP_PACKET_HEADROOM = 256;

/** Devices on top of others: they have no driver to run native XDP in. */
const STACKED = new Set(["vlan", "macvlan", "bridge", "vxlan", "ipvlan", "dummy", "ifb"]);

function checkXdp(
  { program, redirectsTo, encapsulation = 0, replaces }: Attachment,
  hook: Extract<Hook, { kind: "xdp" }>,
  device: LinkInfo,
  devices: ReadonlyMap<string, LinkInfo>,
): Finding[] {
  const place = hookText(hook);
  const findings: Finding[] = [];
  const needs = requirementsOf(program);
  const drivers = deviceFeatures();
  const features = drivers.find((d) => d.ifindex === device.index)?.features;
  const native = features === undefined ? undefined : features.includes("basic");
  if (device.xdp && replaces === undefined) {
    findings.push({
      severity: "error",
      place,
      reason: `program ${device.xdp.progId} is attached in ${device.xdp.mode} mode, and XDP takes one`,
      remedy: `detach it (ebplane detach xdp:${device.name}), or chain both`,
    });
  }
  if (native === false && hook.mode !== "generic") {
    const stacked = device.kind !== undefined && STACKED.has(device.kind);
    findings.push({
      severity: hook.mode === "native" ? "error" : "warning",
      place,
      reason: stacked ? `a ${device.kind} device has no native XDP` : `the driver of ${device.name} has no native XDP`,
      remedy: stacked
        ? "attach to the device below, or take generic mode"
        : "take generic mode, at a third of the speed",
    });
  }
  if (hook.mode !== "generic" && native !== false && !needs.frags && device.mtu > LINEAR_MTU) {
    findings.push({
      severity: hook.mode === "native" ? "error" : "warning",
      place,
      reason: `MTU ${device.mtu} needs packets of several buffers, and the program is without frags`,
      remedy: `mark the program xdp.frags, or set an MTU of ${LINEAR_MTU} or less`,
    });
  }
  if (needs.frags && features && native && !features.includes("rx-sg")) {
    const reason = `the driver of ${device.name} does not give packets of several buffers`;
    findings.push({ severity: "warning", place, reason, remedy: `keep the MTU at ${LINEAR_MTU} or less` });
  }
  if (encapsulation > XDP_PACKET_HEADROOM) {
    findings.push({
      severity: "error",
      place,
      reason: `it puts ${encapsulation} bytes in front of packets, the headroom is ${XDP_PACKET_HEADROOM}`,
      remedy: "encapsulate in two programs, or at tcx",
    });
  }
  if (encapsulation > 0) {
    for (const name of redirectsTo ?? []) {
      const target = devices.get(name);
      if (target && target.mtu < device.mtu + encapsulation) {
        findings.push({
          severity: "warning",
          place: name,
          reason: `packets of MTU ${device.mtu} and ${encapsulation} more bytes are larger than its MTU ${target.mtu}`,
          remedy: `set the MTU of ${device.name} to ${target.mtu - encapsulation}, or clamp the MSS`,
        });
      }
    }
  }
  if (needs.redirects) findings.push(...checkRedirects(redirectsTo ?? [], device, devices, drivers));
  return findings;
}

function checkRedirects(
  names: readonly string[],
  device: LinkInfo,
  devices: ReadonlyMap<string, LinkInfo>,
  drivers: ReturnType<typeof deviceFeatures>,
): Finding[] {
  const findings: Finding[] = [];
  for (const name of names) {
    const target = devices.get(name);
    if (!target) {
      const remedy = `one of ${[...devices.keys()].join(", ")}`;
      findings.push({ severity: "error", place: name, reason: "there is no such device to redirect to", remedy });
      continue;
    }
    const features = drivers.find((d) => d.ifindex === target.index)?.features;
    if (features && !features.includes("ndo-xmit")) {
      const veth = target.kind === "veth";
      // What is not redirected is not hurt, and a peer may get its program later.
      findings.push({
        severity: "warning",
        place: name,
        reason: veth
          ? "a veth takes native redirects only when its peer has native XDP or GRO: redirected packets would vanish"
          : "its driver takes no native redirects: redirected packets would vanish",
        remedy: veth
          ? "attach a program to the peer, or ethtool -K PEER gro on"
          : "take generic mode, or redirect at tcx",
      });
    }
  }
  // The sums that a veth's sender leaves open are lost in a native redirect; the sender is the peer.
  const peer = device.kind === "veth" && device.peerNetnsId === undefined ? nameOf(device.link, devices) : undefined;
  if (device.kind === "veth" && (peer === undefined || getOffload(peer, "txChecksum"))) {
    findings.push({
      severity: "warning",
      place: device.name,
      reason: "a veth's peer leaves checksums open (CHECKSUM_PARTIAL), and native redirects lose them",
      remedy: `ethtool -K ${peer ?? "PEER"} tx off`,
    });
  }
  return findings;
}

function nameOf(index: number | undefined, devices: ReadonlyMap<string, LinkInfo>): string | undefined {
  return [...devices.values()].find((device) => device.index === index)?.name;
}
