/** Preflight of XDP on one device: mode, buffers, headroom, what it redirects to, what stands above it. */
import { compareVersions, type Hook, hookText } from "@ebplane/core/object";
import type { DeviceFeatures } from "../features/index.ts";
import { getOffload } from "../link/index.ts";
import type { LinkInfo } from "../netlink/index.ts";
import type { Finding } from "./finding.ts";
import type { Attachment } from "./preflight.ts";
import { requirementsOf } from "./requirements.ts";

/**
 * What fits beside an XDP program in one page: headroom 256, `skb_shared_info` 320, Ethernet 14.
 * Source: drivers/net/veth.c `veth_xdp_set`; other drivers differ little.
 */
const LINEAR_MTU = 4096 - 256 - 320 - 14;
const XDP_PACKET_HEADROOM = 256;

/** Devices on top of others: they have no driver to run native XDP in. */
const STACKED = new Set(["vlan", "macvlan", "bridge", "vxlan", "ipvlan", "dummy", "ifb"]);

/** What stands in the way on one device. `drivers` is what they say of themselves; empty before Linux 6.3. */
export function checkXdp(
  { program, chained = [], redirectsTo, encapsulation = 0, replaces }: Attachment,
  hook: Extract<Hook, { kind: "xdp" }>,
  device: LinkInfo,
  devices: ReadonlyMap<string, LinkInfo>,
  drivers: readonly DeviceFeatures[],
  release: string,
): Finding[] {
  const place = hookText(hook);
  const findings: Finding[] = [];
  // A chain is one program to the kernel: it takes packets of several buffers when each of its members does.
  const programs = [program, ...chained];
  const needs = programs.map(requirementsOf);
  const frags = needs.every((n) => n.frags);
  const without = programs.filter((_, i) => !needs[i]!.frags).map(({ name }) => name);
  const features = drivers.find((d) => d.ifindex === device.index)?.features;
  const ports = [...devices.values()].filter((port) => device.kind === "bond" && port.master === device.index);
  const bonds = compareVersions(release, BONDS) >= 0;
  const native = device.kind === "bond" && !bonds ? false : hasNative(device, features, ports);
  if (device.xdp && replaces === undefined) {
    findings.push({
      severity: "error",
      place,
      reason: `program ${device.xdp.progId} is attached in ${device.xdp.mode} mode, and XDP takes one`,
      remedy: `detach it (ebplane detach xdp:${device.name}), or chain both (--join)`,
    });
  }
  // The kernel takes one program along a packet's way up. Source: net/core/dev.c dev_xdp_attach.
  const above = bonds && [...devices.values()].find((upper) => upper.xdp && isAbove(upper, device));
  if (above) {
    findings.push({
      severity: "error",
      place,
      reason: `${above.name}${above.kind ? `, a ${above.kind} device` : ""} above ${device.name} has program ${above.xdp!.progId}, and the kernel allows one of the two`,
      remedy: `detach it (ebplane detach xdp:${above.name}), or attach to ${above.name}`,
    });
  }
  // Source: drivers/net/bonding/bond_main.c bond_xdp_set.
  const taken = hook.mode === "generic" ? undefined : ports.find((port) => port.xdp);
  if (taken) {
    findings.push({
      severity: hook.mode === "native" ? "error" : "warning",
      place,
      reason: `its port ${taken.name} has program ${taken.xdp!.progId}, and a bond hands its program to every port`,
      remedy: `detach it (ebplane detach xdp:${taken.name}), or take generic mode`,
    });
  }
  if (native === false && hook.mode !== "generic") {
    const stacked = device.kind !== undefined && STACKED.has(device.kind);
    findings.push({
      severity: hook.mode === "native" ? "error" : "warning",
      place,
      reason: stacked
        ? `a ${device.kind} device has no native XDP`
        : device.kind === "bond" && !bonds
          ? `bonds have native XDP since Linux ${BONDS}`
          : `the driver of ${device.name} has no native XDP`,
      remedy: stacked
        ? "attach to the device below, or take generic mode"
        : "take generic mode, at a third of the speed",
    });
  }
  if (hook.mode !== "generic" && native !== false && !frags && device.mtu > LINEAR_MTU) {
    findings.push({
      severity: hook.mode === "native" ? "error" : "warning",
      place,
      reason: `MTU ${device.mtu} needs packets of several buffers, and ${chained.length ? without.join(", ") : "the program"} is without frags`,
      remedy:
        compareVersions(release, "5.18") < 0
          ? `set an MTU of ${LINEAR_MTU} or less, or take generic mode (several buffers need Linux 5.18)`
          : `mark ${chained.length ? "each program of the chain" : "the program"} xdp.frags, or set an MTU of ${LINEAR_MTU} or less`,
    });
  }
  if (frags && features && native && !features.includes("rx-sg")) {
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
  if (needs.some((n) => n.redirects))
    findings.push(...checkRedirects(redirectsTo ?? [], device, devices, drivers, release));
  return findings;
}

/** Bonds run programs since then, and since then the devices above one are looked at. */
const BONDS = "5.15";

/** Source: drivers/net/bonding/bond_main.c bond_xdp_check. */
const BOND_MODES: ReadonlySet<unknown> = new Set(["balance-rr", "active-backup", "802.3ad", "balance-xor"]);

/** Undefined where it cannot be told. */
function hasNative(
  { kind, options }: LinkInfo,
  features: DeviceFeatures["features"] | undefined,
  ports: readonly LinkInfo[],
): boolean | undefined {
  if (kind !== undefined && STACKED.has(kind)) return false;
  if (features?.includes("basic")) return true;
  if (kind === "bond" && !BOND_MODES.has(options?.mode)) return false;
  // A bond has what its ports have: without any it takes a program, and then only ports that can run it.
  return features === undefined || (kind === "bond" && ports.length === 0) ? undefined : false;
}

function checkRedirects(
  names: readonly string[],
  device: LinkInfo,
  devices: ReadonlyMap<string, LinkInfo>,
  drivers: readonly DeviceFeatures[],
  release: string,
): Finding[] {
  const findings: Finding[] = [];
  const gro = groReceives(release);
  for (const name of names) {
    const target = devices.get(name);
    if (!target) {
      const remedy = `one of ${[...devices.keys()].join(", ")}`;
      findings.push({ severity: "error", place: name, reason: "there is no such device to redirect to", remedy });
      continue;
    }
    const features = drivers.find((d) => d.ifindex === target.index)?.features;
    const veth = target.kind === "veth";
    if (features ? !features.includes("ndo-xmit") : veth && !peerReceives(target, devices, release)) {
      // What is not redirected is not hurt, and a peer may get its program later.
      findings.push({
        severity: "warning",
        place: name,
        reason: veth
          ? `a veth takes native redirects only when its peer has native XDP${gro ? " or GRO" : ""}: redirected packets would vanish`
          : "its driver takes no native redirects: redirected packets would vanish",
        remedy: veth
          ? `attach a program to the peer${gro ? ", or ethtool -K PEER gro on" : ""}`
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

/** Since 5.13 a veth with GRO has the queues that redirected packets need. Source: drivers/net/veth.c `veth_set_features`. */
const groReceives = (release: string): boolean => compareVersions(release, "5.13") >= 0;

/** What drivers tell since 6.3 (ndo-xmit), of a veth whose peer is in this namespace; false where it cannot be seen. */
function peerReceives(target: LinkInfo, devices: ReadonlyMap<string, LinkInfo>, release: string): boolean {
  const name = target.peerNetnsId === undefined ? nameOf(target.link, devices) : undefined;
  if (name === undefined) return false;
  return devices.get(name)!.xdp?.mode === "native" || (groReceives(release) && getOffload(name, "gro"));
}

function nameOf(index: number | undefined, devices: ReadonlyMap<string, LinkInfo>): string | undefined {
  return [...devices.values()].find((device) => device.index === index)?.name;
}

/** A bridge or bond over its port; a vlan or macvlan over what it is made on. */
function isAbove(upper: LinkInfo, device: LinkInfo): boolean {
  if (upper.index === device.index) return false;
  return device.master === upper.index || (upper.kind !== "veth" && upper.link === device.index);
}
