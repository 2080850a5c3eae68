/** Interface names to numbers, in the calling thread's network namespace. */
import { scratch } from "../mem/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFINDEX = 0x8933;
const IFNAMSIZ = 16;

/** The interface's number. @throws RangeError when there is no interface of that name here. */
export function ifindex(name: string): number {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= IFNAMSIZ) {
    throw new RangeError(`interface ${JSON.stringify(name)}: expected a name of 1 to ${IFNAMSIZ - 1} bytes`);
  }
  const socket = check("socket", syscall(NR.socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  try {
    return scratch((memory) => {
      const request = memory.take(40); // struct ifreq
      request.bytes.set(bytes);
      const result = syscall(NR.ioctl, socket, SIOCGIFINDEX, request.address);
      if (result < 0) throw new RangeError(`interface ${name}: no such interface in this network namespace`);
      return request.view.getInt32(IFNAMSIZ, true);
    });
  } finally {
    close(socket);
  }
}
