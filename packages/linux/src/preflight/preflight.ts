/**
 * Before anything is attached: will this program work on this device of this kernel? What would end in an errno, or
 * worse in packets that vanish, is found here and said with its remedy.
 *
 * It asks the system and changes nothing but a limit of its own process. It cannot see into other namespaces: what depends
 * on a veth's peer there is a warning.
 */
import { type Hook, hookText, type ProgramSpec, progTypeName } from "@ebplane/core/object";
import { chargesMemlock } from "../bpf/index.ts";
import { deviceFeatures, kernelFeatures, type SystemState, systemState } from "../features/index.ts";
import { memlockLimit, raiseMemlock } from "../mem/index.ts";
import { type LinkInfo, listLinks, NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import type { Finding } from "./finding.ts";
import { checkOrder } from "./order.ts";
import { requirementsOf } from "./requirements.ts";
import { checkXdp } from "./xdp.ts";

/** What of a program is looked at. */
export type Checked = Pick<ProgramSpec, "name" | "type" | "flags" | "code">;

export interface Attachment {
  readonly program: ProgramSpec;
  readonly hook: Hook;
  /** XDP: the other programs of the chain that it is one of. */
  readonly chained?: readonly Checked[];
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
export function preflight(attachments: readonly Attachment[], system: System = runningSystem()): Finding[] {
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const devices = new Map(listLinks(socket).map((link) => [link.name, link]));
  return [
    ...checkSystem(system),
    ...attachments.flatMap((attachment) => checkAttachment(attachment, devices, socket, system)),
  ];
}

const MIB = 1 << 20;

/** Where the limit of locked memory matters it is lifted first, as loading would. */
function runningSystem(): System {
  const state = systemState();
  if (chargesMemlock(state.release)) raiseMemlock();
  return { ...state, memlock: memlockLimit() };
}

function checkSystem({ release, jit, memlock: limit }: System): Finding[] {
  const findings: Finding[] = [];
  if (chargesMemlock(release) && limit < 64 * MIB) {
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
  { lockdown, release }: System,
): Finding[] {
  const { program, hook, chained = [] } = attachment;
  const place = hookText(hook);
  const findings: Finding[] = [];
  const type = kernelFeatures().progTypes[progTypeName(program.type)];
  if (type && !type.supported) {
    findings.push({ severity: "error", place, reason: type.reason, remedy: "use another hook, or another kernel" });
  }
  for (const one of [program, ...chained]) {
    const it = chained.length ? `program ${one.name}` : "it";
    const { readsKernel, writesUser } = requirementsOf(one);
    if (writesUser && (lockdown === "integrity" || lockdown === "confidentiality")) {
      findings.push({
        severity: "error",
        place,
        reason: `${it} writes other processes' memory (bpf_probe_write_user), which lockdown=${lockdown} forbids`,
        remedy: "boot without lockdown, or leave that out",
      });
    }
    if (readsKernel && lockdown === "confidentiality") {
      findings.push({
        severity: "error",
        place,
        reason: `${it} reads kernel memory, which lockdown=confidentiality forbids`,
        remedy: "boot with lockdown=integrity or less",
      });
    }
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
  if (hook.kind === "xdp") findings.push(...checkXdp(attachment, hook, device, devices, deviceFeatures(), release));
  return findings;
}
