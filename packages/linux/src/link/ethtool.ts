/**
 * The few device settings that only the ethtool ioctl reaches on every kernel.
 * Source: include/uapi/linux/ethtool.h, sockios.h.
 */
import { scratch, setPointer } from "../mem/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";

const SIOCETHTOOL = 0x8946;
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

/** `struct ethtool_value` commands: get and set. */
const FEATURES = {
  txChecksum: { get: 0x16, set: 0x17 },
  rxChecksum: { get: 0x14, set: 0x15 },
  gso: { get: 0x23, set: 0x24 },
  gro: { get: 0x2b, set: 0x2c },
  tso: { get: 0x1e, set: 0x1f },
} as const;

export type Offload = keyof typeof FEATURES;

/** Whether an offload is on. The device is named in the calling thread's network namespace. */
export function getOffload(device: string, offload: Offload): boolean {
  return value(device, FEATURES[offload].get, 0) !== 0;
}

/** @throws SysError EOPNOTSUPP where the device cannot. */
export function setOffload(device: string, offload: Offload, on: boolean): void {
  value(device, FEATURES[offload].set, on ? 1 : 0);
}

/** The driver's name (`veth`, `ixgbe`), or undefined for devices without ethtool. */
export function driverName(device: string): string | undefined {
  return scratch((memory) => {
    const info = memory.take(196); // struct ethtool_drvinfo
    info.view.setUint32(0, 0x03, true);
    if (ioctl(device, info.address) < 0) return undefined;
    const name = info.bytes.slice(4, 36);
    return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
  });
}

function value(device: string, command: number, set: number): number {
  return scratch((memory) => {
    const request = memory.take(8);
    request.view.setUint32(0, command, true);
    request.view.setUint32(4, set, true);
    check("ioctl(SIOCETHTOOL)", ioctl(device, request.address), device);
    return request.view.getUint32(4, true);
  });
}

function ioctl(device: string, data: number): number {
  const socket = check("socket", syscall(NR.socket, AF_INET, SOCK_DGRAM_CLOEXEC));
  try {
    return scratch((memory) => {
      const request = memory.take(40); // struct ifreq
      request.bytes.set(new TextEncoder().encode(device).subarray(0, 15));
      setPointer(request.view, 16, data);
      return syscall(NR.ioctl, socket, SIOCETHTOOL, request.address);
    });
  } finally {
    close(socket);
  }
}
