/**
 * One AF_PACKET socket with a TPACKET_V3 receive ring: the kernel fills blocks of many frames and hands over a block at
 * a time. Frames are copies beside the stack, which goes on seeing them; sending is one call a frame.
 * Source: Documentation/networking/packet_mmap.rst, include/uapi/linux/if_packet.h.
 */
import { Errno } from "@ebplane/core/errors";
import { mapFd, type Region, releaseRegion, type Scratch, scratch } from "../mem/index.ts";
import { check, close, MAP_SHARED, NR, PROT_READ, PROT_WRITE, syscall } from "../sys/index.ts";

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETH_P_ALL_BE = 0x0300;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_PROMISC = 1;
const TPACKET_V3 = 2;
const TP_STATUS_USER = 1;
const MSG_DONTWAIT = 0x40;

/** Places in `struct tpacket_block_desc` and `tpacket3_hdr`. */
const BLOCK_STATUS = 8;
const BLOCK_COUNT = 12;
const BLOCK_FIRST = 16;
const FRAME_NEXT = 0;
const FRAME_SNAPLEN = 12;
const FRAME_MAC = 24;
const FRAME_STATUS = 20;
const FRAME_VLAN_TCI = 32;
const FRAME_VLAN_TPID = 36;
const TP_STATUS_VLAN_VALID = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID = 1 << 6;

export interface PacketRingOptions {
  readonly ifindex: number;
  readonly blocks: number;
  /** Bytes a block: a power of two of at least a page. */
  readonly blockSize: number;
  /** Milliseconds after which a block that is not full is handed over. */
  readonly timeout: number;
  readonly promiscuous: boolean;
}

export class PacketRing {
  readonly fd: number;
  readonly #region: Region;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #blocks: number;
  readonly #blockSize: number;
  #block = 0;
  /** Inside the current block: frames left and where the next one is; -1 before the block is opened. */
  #left = -1;
  #at = 0;
  #dropped = 0;
  #tagged = new Uint8Array(2048);
  #open = true;

  /** Opens and binds in the calling thread's network namespace. @throws SysError EPERM without CAP_NET_RAW. */
  constructor(options: PacketRingOptions) {
    this.#blocks = options.blocks;
    this.#blockSize = options.blockSize;
    // Protocol 0: nothing arrives before the ring is there and the socket bound.
    this.fd = check("socket(AF_PACKET)", syscall(NR.socket, AF_PACKET, SOCK_RAW_CLOEXEC, 0));
    try {
      this.#option(PACKET_VERSION, 4, (v) => v.setUint32(0, TPACKET_V3, true));
      this.#option(PACKET_RX_RING, 28, (v) => {
        v.setUint32(0, options.blockSize, true);
        v.setUint32(4, options.blocks, true);
        v.setUint32(8, options.blockSize, true); // Frame size only has to divide the block.
        v.setUint32(12, options.blocks, true);
        v.setUint32(16, options.timeout, true);
      });
      const length = options.blocks * options.blockSize;
      this.#region = mapFd(this.fd, length, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
      this.#option(PACKET_IGNORE_OUTGOING, 4, (v) => v.setUint32(0, 1, true));
      if (options.promiscuous) {
        this.#option(PACKET_ADD_MEMBERSHIP, 16, (v) => {
          v.setInt32(0, options.ifindex, true);
          v.setUint16(4, PACKET_MR_PROMISC, true);
        });
      }
      scratch((memory) => {
        const address = memory.take(20); // struct sockaddr_ll
        address.view.setUint16(0, AF_PACKET, true);
        address.view.setUint16(2, ETH_P_ALL_BE, true);
        address.view.setInt32(4, options.ifindex, true);
        check("bind(AF_PACKET)", syscall(NR.bind, this.fd, address.address, 20), `interface ${options.ifindex}`);
      });
    } catch (error) {
      close(this.fd);
      throw error;
    }
    this.#bytes = new Uint8Array(this.#region.buffer);
    this.#words = new Int32Array(this.#region.buffer);
    this.#view = new DataView(this.#region.buffer);
  }

  #option(option: number, size: number, fill: (view: DataView) => void): void {
    scratch((memory) => {
      const value = memory.take(size);
      fill(value.view);
      const result = syscall(NR.setsockopt, this.fd, SOL_PACKET, option, value.address, size);
      check(`setsockopt(SOL_PACKET, ${option})`, result);
    });
  }

  /** As `PacketPort.receive`. */
  receive(sink: (memory: Uint8Array, at: number, length: number) => void, max: number): number {
    let count = 0;
    while (count < max) {
      const block = this.#block * this.#blockSize;
      if (this.#left < 0) {
        if (!(Atomics.load(this.#words, (block + BLOCK_STATUS) >>> 2) & TP_STATUS_USER)) break;
        this.#left = this.#words[(block + BLOCK_COUNT) >>> 2]!;
        this.#at = block + this.#words[(block + BLOCK_FIRST) >>> 2]!;
      }
      while (this.#left > 0 && count < max) {
        const at = this.#at;
        this.#left--;
        this.#at = at + this.#words[(at + FRAME_NEXT) >>> 2]!;
        count++;
        this.#frame(at, sink);
      }
      if (this.#left > 0) break;
      this.#left = -1;
      Atomics.store(this.#words, (block + BLOCK_STATUS) >>> 2, 0);
      this.#block = (this.#block + 1) % this.#blocks;
    }
    return count;
  }

  /** The kernel takes a VLAN tag out of the frame; here it goes back in. */
  #frame(at: number, sink: (memory: Uint8Array, at: number, length: number) => void): void {
    const length = this.#words[(at + FRAME_SNAPLEN) >>> 2]!;
    const mac = at + this.#view.getUint16(at + FRAME_MAC, true);
    const status = this.#words[(at + FRAME_STATUS) >>> 2]!;
    if (!(status & TP_STATUS_VLAN_VALID)) {
      sink(this.#bytes, mac, length);
      return;
    }
    if (this.#tagged.length < length + 4) this.#tagged = new Uint8Array(2 * length);
    const tpid = status & TP_STATUS_VLAN_TPID_VALID ? this.#view.getUint16(at + FRAME_VLAN_TPID, true) : 0x8100;
    const tci = this.#view.getUint32(at + FRAME_VLAN_TCI, true);
    this.#tagged.set(this.#bytes.subarray(mac, mac + 12));
    this.#tagged.set([tpid >> 8, tpid & 255, (tci >> 8) & 255, tci & 255], 12);
    this.#tagged.set(this.#bytes.subarray(mac + 12, mac + length), 16);
    sink(this.#tagged, 0, length + 4);
  }

  /** Sends one frame now. False when the device's queue is full. */
  send(memory: Uint8Array, at: number, length: number): boolean {
    return scratch((room: Scratch) => {
      const frame = room.put(memory.subarray(at, at + length));
      const result = syscall(NR.sendto, this.fd, frame, length, MSG_DONTWAIT);
      if (result === -Errno.ENOBUFS || result === -Errno.EAGAIN) return false;
      check("sendto(AF_PACKET)", result, `frame of ${length} bytes`);
      return true;
    });
  }

  /** Frames that found no room in the ring, since the socket was opened. */
  get dropped(): number {
    scratch((memory) => {
      const out = memory.take(12);
      const length = memory.take(4);
      length.view.setUint32(0, 12, true);
      const result = syscall(NR.getsockopt, this.fd, SOL_PACKET, PACKET_STATISTICS, out.address, length.address);
      check("getsockopt(PACKET_STATISTICS)", result);
      this.#dropped += out.view.getUint32(4, true); // Reading resets the kernel's count.
    });
    return this.#dropped;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    releaseRegion(this.#region);
    close(this.fd);
  }
}
