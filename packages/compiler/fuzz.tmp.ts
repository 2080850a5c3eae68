import { compile } from "@ebplane/compiler";
import { bytesEqual, toHex } from "@ebplane/core/bytes";
import { CompileError, VerifierError } from "@ebplane/core/errors";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { MAP_ENTRIES, PACKET_SIZE, randomProgram, seeded, VALUE_SIZE } from "./test/random-program.ts";

const from = Number(process.argv[2]),
  to = Number(process.argv[3]),
  which = process.argv[4] ?? "kernel";
const target = which === "kernel" ? linuxTarget() : new SimTarget({ engine: which as any });
const u32 = (n: number) => {
  const o = new Uint8Array(4);
  new DataView(o.buffer).setUint32(0, n, true);
  return o;
};
let bad = 0,
  ok = 0,
  insns = 0,
  big = 0;
for (let seed = from; seed < to && bad < 8; seed++) {
  const p = randomProgram(seed);
  let stage = "compile";
  let l: any;
  try {
    const { spec } = compile({ entry: "r.bpf.ts", files: new Map([["r.bpf.ts", p.source]]) });
    insns += spec.programs.get("main")!.code.length / 8;
    stage = "load";
    l = target.load(spec);
    stage = "run";
    const rand = seeded(seed ^ 0x5eed);
    const random = (n: number) => Uint8Array.from({ length: n }, () => Math.floor(rand() * 256));
    for (let k = 0; k < 2; k++) {
      const packet = random(PACKET_SIZE),
        map = Array.from({ length: MAP_ENTRIES }, () => random(VALUE_SIZE));
      const values = l.maps.get("values");
      for (const [i, v] of map.entries()) values?.update(u32(i), v);
      const w = { packet: packet.slice(), map: map.map((v) => v.slice()) };
      const want = p.run(w);
      const got = l.programs.get("main")!.testRun({ packet });
      const diffs: string[] = [];
      if (got.verdict !== want) diffs.push(`verdict ${got.verdict} want ${want}`);
      if (!bytesEqual(got.packet, w.packet)) diffs.push(`packet\n ${toHex(got.packet)}\n ${toHex(w.packet)}`);
      for (let i = 0; values && i < 4; i++) {
        const n = values.lookup(u32(i))!;
        if (!bytesEqual(n, w.map[i]!)) diffs.push(`value ${i}\n ${toHex(n)}\n ${toHex(w.map[i]!)}`);
      }
      if (diffs.length) {
        console.log(`seed ${seed} run ${k}:`, diffs.join("; "));
        bad++;
        break;
      }
    }
    ok++;
  } catch (e) {
    if (e instanceof VerifierError && /too large|too complex|loop/.test(e.message + e.log.slice(-400))) {
      big++;
      continue;
    }
    bad++;
    if (e instanceof CompileError) console.log(`seed ${seed}`, e.message.split("\n").slice(0, 2).join("\n"));
    else if (e instanceof VerifierError)
      console.log(`seed ${seed} rejected:`, e.message, e.log.split("\n").slice(-8).join("\n"));
    else console.log(`seed ${seed} ${stage}`, (e as Error).stack?.split("\n").slice(0, 6).join("\n"));
  } finally {
    l?.close();
  }
}
console.log({ ok, bad, big, insns });
