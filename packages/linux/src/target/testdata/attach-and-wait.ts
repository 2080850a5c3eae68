/**
 * Started and killed by xdp.test.ts and pinning.test.ts: attaches a passing XDP program to argv[2] under the name
 * argv[3], pins the link at argv[4] where given, and waits.
 */
import { encode } from "@ebplane/core/isa";
import { linuxTarget } from "@ebplane/linux";

const [iface, name, pin] = process.argv.slice(2) as [string, string, string | undefined];
const target = linuxTarget();
const loaded = target.load({
  programs: new Map([
    [
      name,
      {
        name,
        section: "xdp",
        type: 6,
        attachType: 37,
        flags: 0,
        code: encode([{ opcode: 0xb7, imm: 2 }, { opcode: 0x95 }]),
        relocs: [],
        funcInfo: [],
        lineInfo: [],
      },
    ],
  ]),
  maps: new Map(),
  license: "GPL",
  byteOrder: "little",
});
const link = target.attach(loaded.programs.get(name)!, { kind: "xdp", iface, mode: "auto" });
if (pin !== undefined) link.pin(pin);
console.log(`attached ${link.mode}`);
setInterval(() => {}, 1000);
