/** `ebplane inspect`: what an object holds. */
import { attachTypeName, mapTypeName, progTypeName } from "@ebplane/core/object";
import type { Command } from "commander";
import { loadObject } from "../input.ts";
import { print, printJson, table } from "../output.ts";

export function registerInspect(program: Command): void {
  program
    .command("inspect <prog>")
    .description("list programs and maps of an object, a .bpf.ts or a plane")
    .option("--json", "one JSON document")
    .action((path: string, { json }: { json?: boolean }) => {
      const spec = loadObject(path);
      const programs = [...spec.programs.values()].map((p) => ({
        name: p.name,
        section: p.section,
        type: progTypeName(p.type),
        attachType: attachTypeName(p.type, p.attachType),
        insns: p.code.length / 8,
      }));
      const maps = [...spec.maps.values()].map((m) => ({
        name: m.name,
        type: mapTypeName(m.type),
        key: m.keySize,
        value: m.valueSize,
        max: m.maxEntries,
        flags: m.flags,
      }));
      if (json) {
        printJson({
          license: spec.license,
          byteOrder: spec.byteOrder,
          programs,
          maps,
          btfTypes: spec.btf ? spec.btf.length - spec.btf.firstId : 0,
        });
        return;
      }
      print(
        `license ${spec.license || "(none)"}, ${spec.byteOrder}-endian, ${spec.btf ? `${spec.btf.length - 1} BTF types` : "no BTF"}`,
      );
      if (programs.length) {
        print("");
        print(
          table(
            ["program", "section", "type", "attach", "insns"],
            programs.map((p) => [p.name, p.section, p.type, p.attachType ?? "", String(p.insns)]),
            ["insns"],
          ),
        );
      }
      if (maps.length) {
        print("");
        print(
          table(
            ["map", "type", "key", "value", "max"],
            maps.map((m) => [m.name, m.type, String(m.key), String(m.value), String(m.max)]),
            ["key", "value", "max"],
          ),
        );
      }
    });
}
