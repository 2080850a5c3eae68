/**
 * A device behind AF_XDP as a `PacketPort`: one socket a queue on one umem, and the XDP program that sends every frame
 * to the socket of its queue. While the port is open the kernel's own stack sees nothing of what arrives there.
 */
import { assemble } from "@ebplane/core/asm";
import {
  AttachType,
  BPF_F_XDP_HAS_FRAGS,
  MapType,
  type PacketPort,
  type PortStats,
  ProgType,
  relocate,
  type XdpHook,
} from "@ebplane/core/object";
import { Cmd, cmdName, LinuxMap, LinuxProgram, mapCreate, progLoad } from "../bpf/index.ts";
import { attachXdp, ifindex } from "../link/index.ts";
import { getLink, NETLINK_ROUTE, NetlinkSocket } from "../netlink/index.ts";
import { Umem, XskSocket } from "../rings/index.ts";
import { inNetns, pollReadable, sysError } from "../sys/index.ts";

export interface XskPortOptions {
  readonly iface: string;
  /** An fd of the device's network namespace; the calling thread's own when absent. */
  readonly netns?: number;
  readonly mode?: XdpHook["mode"];
  /** Receive queues of the device; one socket each. Default 1: veth picks the queue by CPU, so give it only one. */
  readonly queues?: number;
  /** Default 4096 frames a queue. */
  readonly framesPerQueue?: number;
  /** 2048 or 4096; by the device's MTU when absent. Smaller frames are fewer pages that both sides walk through. */
  readonly frameSize?: number;
  /** `auto` takes zero-copy where the driver has it. */
  readonly copy?: "auto" | "copy" | "zerocopy";
  /** Frames larger than one umem frame (needs Linux 6.6 and a program with frags). */
  readonly multiBuffer?: boolean;
  /** Microseconds of busy polling. */
  readonly busyPoll?: number;
}

/** Largest packet with multi-buffer: 17 frags and the head, in the kernel's terms. */
const MAX_SEGMENTS = 18;
/** The kernel keeps this much of each frame for itself. */
const XDP_PACKET_HEADROOM = 256;
const SMALL_FRAME = 2048;
/** Ethernet and two VLAN tags. */
const LINK_HEADERS = 22;

export class XskPort implements PacketPort {
  readonly name: string;
  readonly maxFrame: number;
  readonly mode: "native" | "generic";
  readonly #umem: Umem;
  readonly #sockets: XskSocket[] = [];
  readonly #closers: { close(): void }[] = [];
  #received = 0;
  #sent = 0;
  #refused = 0;
  #next = 0;
  #open = true;

  /** @throws SysError EBUSY where another program or socket has the device or a queue of it. */
  constructor(options: XskPortOptions) {
    const { queues = 1, framesPerQueue = 4096, multiBuffer = false } = options;
    const inside = <T>(body: () => T): T => (options.netns === undefined ? body() : inNetns(options.netns, body));
    const { index, mtu } = inside(() => deviceOf(options.iface));
    const frameSize =
      options.frameSize ?? (mtu + LINK_HEADERS > SMALL_FRAME - XDP_PACKET_HEADROOM ? 4096 : SMALL_FRAME);
    this.name = options.iface;
    this.maxFrame = multiBuffer ? frameSize * MAX_SEGMENTS : frameSize - XDP_PACKET_HEADROOM;
    this.#umem = new Umem(framesPerQueue * queues, frameSize);
    try {
      for (let queue = 0; queue < queues; queue++) {
        const how = {
          ifindex: index,
          queue,
          ringSize: framesPerQueue / 2,
          copy: options.copy ?? "auto",
          multiBuffer,
          shared: this.#sockets[0],
          busyPoll: options.busyPoll ?? 0,
        };
        const socket = inside(() => new XskSocket(this.#umem, how));
        this.#sockets.push(socket);
        socket.fill(framesPerQueue / 2);
      }
      const program = redirector(this.#sockets, multiBuffer, this.#closers);
      const hook: XdpHook = { kind: "xdp", iface: options.iface, mode: options.mode ?? "auto" };
      const link = inside(() => attachXdp(program, hook, () => program));
      this.#closers.push(link);
      this.mode = link.mode;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether frames come without a copy. */
  get zerocopy(): boolean {
    return this.#first().zerocopy;
  }

  receive(sink: (memory: Uint8Array, at: number, length: number) => void, max = 256): number {
    this.#first();
    let count = 0;
    for (const socket of this.#sockets) count += socket.receive(sink, max - count);
    this.#received += count;
    return count;
  }

  send(memory: Uint8Array, at: number, length: number): boolean {
    this.#first();
    if (length > this.maxFrame)
      throw new RangeError(`port ${this.name}: frame of ${length} bytes, at most ${this.maxFrame}`);
    const socket = this.#sockets[this.#next]!;
    const done = socket.send(memory, at, length);
    if (done) this.#sent++;
    else this.#refused++;
    return done;
  }

  flush(): void {
    this.#first();
    for (const socket of this.#sockets) socket.flush();
    this.#next = (this.#next + 1) % this.#sockets.length;
  }

  watch(ready: () => void): () => void {
    this.#first();
    const polls = this.#sockets.map((socket) => pollReadable(socket.fd, ready));
    return () => {
      for (const poll of polls) poll.close();
    };
  }

  stats(): PortStats {
    this.#first();
    let dropped = 0n;
    for (const socket of this.#sockets) {
      // How often the fill ring was empty is no count of packets: those it cost are among the dropped, in copy mode; without
      // copies a driver also looks there when no packet waits.
      const { rxDropped, rxRingFull } = socket.stats();
      dropped += rxDropped + rxRingFull;
    }
    return { received: this.#received, sent: this.#sent, dropped: Number(dropped), refused: this.#refused };
  }

  #first(): XskSocket {
    if (!this.#open) throw new TypeError(`port ${this.name}: is closed`);
    return this.#sockets[0]!;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const closer of this.#closers.toReversed()) closer.close();
    for (const socket of this.#sockets) socket.close();
    this.#umem.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function deviceOf(iface: string): { index: number; mtu: number } {
  const index = ifindex(iface);
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  return { index, mtu: getLink(socket, index).mtu };
}

/** Sends each frame to the socket of its queue, and to the stack where a queue has none. */
function redirector(sockets: readonly XskSocket[], frags: boolean, closers: { close(): void }[]): LinuxProgram {
  const spec = {
    name: "xsks",
    type: MapType.BPF_MAP_TYPE_XSKMAP,
    keySize: 4,
    valueSize: 4,
    maxEntries: sockets.length,
    flags: 0,
  };
  const map = new LinuxMap(mapCreate(spec), spec);
  closers.push(map);
  sockets.forEach((socket, queue) => {
    map.update(new Uint8Array(Uint32Array.of(queue).buffer), new Uint8Array(Uint32Array.of(socket.fd).buffer));
  });
  const { code: template, relocs } = assemble(`
    r2 = *(u32 *)(r1 + 16)
    r1 = map[xsks]
    r3 = 2
    call 51
    exit`);
  const flags = frags ? BPF_F_XDP_HAS_FRAGS : 0;
  const program = {
    name: "ebplane_xsk",
    section: "xdp",
    type: ProgType.BPF_PROG_TYPE_XDP,
    attachType: AttachType.BPF_XDP,
    flags,
    code: template,
    relocs,
    funcInfo: [],
    lineInfo: [],
  };
  const code = relocate(program, () => BigInt(map.fd));
  const { fd } = progLoad({
    type: program.type,
    code,
    name: program.name,
    flags,
    expectedAttachType: program.attachType,
  });
  if (fd < 0) throw sysError(cmdName(Cmd.PROG_LOAD), -fd, program.name);
  const live = new LinuxProgram(fd, program, { code });
  closers.push(live);
  return live;
}
