/** Interface names to numbers, in the calling thread's network namespace. */
import { type Block, scratch } from "../mem/index.ts";
import { check, close, NR, syscall } from "../sys/index.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFINDEX = 0x8933;
const IFNAMSIZ = 16;

const SIOCGIFNAME = 0x8910;

/** The interface's number. @throws RangeError when there is no interface of that name here. */
export function ifindex(name: string): number {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= IFNAMSIZ) {
    throw new RangeError(`interface ${JSON.stringify(name)}: expected a name of 1 to ${IFNAMSIZ - 1} bytes`);
  }
  const index = request(
    SIOCGIFINDEX,
    (block) => block.bytes.set(bytes),
    (block) => block.view.getInt32(IFNAMSIZ, true),
  );
  if (index === undefined) throw new RangeError(`interface ${name}: no such interface in this network namespace`);
  return index;
}

/** The interface's name, or undefined when there is none of that number here. */
export function ifname(index: number): string | undefined {
  return request(
    SIOCGIFNAME,
    (block) => block.view.setInt32(IFNAMSIZ, index, true),
    (block) => new TextDecoder().decode(block.bytes.slice(0, block.bytes.indexOf(0))),
  );
}

/** One ioctl on a `struct ifreq`; undefined when the kernel knows no such device. */
function request<T>(command: number, fill: (block: Block) => void, read: (block: Block) => T): T | undefined {
  const socket = check("socket", syscall(NR.socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  try {
    return scratch((memory) => {
      const block = memory.take(40);
      fill(block);
      return syscall(NR.ioctl, socket, command, block.address) < 0 ? undefined : read(block);
    });
  } finally {
    close(socket);
  }
}
