/**
 * Reading a ring buffer: records of 64 bytes that a program wrote beforehand, so that only the reader is measured.
 * As root: npx tsx --conditions=source bench/linux/ringbuf.ts
 */
import { assemble } from "@ebplane/core/asm";
import { type MapSpec, MapType, ProgType } from "@ebplane/core/object";
import { type LinuxMap, linuxTarget, RingBufReader } from "@ebplane/linux";

const SIZE = 1 << 22;
const RECORD = 64;
const TURNS = 20;

const stores = Array.from({ length: RECORD / 8 }, (_, i) => `*(u64 *)(r10 - ${RECORD - 8 * i}) = ${i}`).join("\n");
const { code, relocs } = assemble(`
  ${stores}
  r1 = map[events]
  r2 = r10
  r2 += -${RECORD}
  r3 = ${RECORD}
  r4 = 1
  call 130
  r0 = 2
  exit`);
const events: MapSpec = {
  name: "events",
  type: MapType.BPF_MAP_TYPE_RINGBUF,
  keySize: 0,
  valueSize: 0,
  maxEntries: SIZE,
  flags: 0,
};
const send = {
  name: "send",
  section: "xdp",
  type: ProgType.BPF_PROG_TYPE_XDP,
  attachType: 0,
  flags: 0,
  code,
  relocs,
  funcInfo: [],
  lineInfo: [],
};
using loaded = linuxTarget().load({
  programs: new Map([["send", send]]),
  maps: new Map([["events", events]]),
  license: "GPL",
  byteOrder: "little",
});
using reader = new RingBufReader(loaded.maps.get("events") as LinuxMap);
const perTurn = Math.floor(SIZE / (RECORD + 8)) - 1;
const packet = new Uint8Array(64);
const times: number[] = [];
let sum = 0;
for (let turn = 0; turn < TURNS; turn++) {
  loaded.programs.get("send")!.testRun({ packet, repeat: perTurn });
  const start = process.hrtime.bigint();
  const count = reader.consume((record) => {
    sum += record[8]!;
  });
  const ns = Number(process.hrtime.bigint() - start);
  if (count !== perTurn) throw new Error(`read ${count} of ${perTurn} records`);
  times.push(ns / count);
}
times.sort((a, b) => a - b);
const median = times[TURNS >> 1]!;
console.log(
  `ring buffer, ${RECORD} bytes: ${times[0]!.toFixed(0)} ns a record at best, ${median.toFixed(0)} median: ${(1e3 / median).toFixed(1)} M records/s (checksum ${sum})`,
);
