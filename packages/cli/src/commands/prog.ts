/** `ebplane prog …`: the kernel's programs: listed, shown as it runs them, pinned, loaded, counted. */
import { closeSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout } from "node:timers/promises";
import { disassemble } from "@ebplane/core/asm";
import { type Btf, parseBtf } from "@ebplane/core/btf";
import { toHex, viewOf } from "@ebplane/core/bytes";
import { BpfError } from "@ebplane/core/errors";
import { progTypeName } from "@ebplane/core/object";
import type { ProgInfo } from "@ebplane/linux";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { inSource, loadObject } from "../input.ts";
import { requireKernel } from "../kernel.ts";
import { allPrograms, findMap, WHICH_MAP, WHICH_PROGRAM, withProgram } from "../kernel-objects.ts";
import { collect, wholeNumber } from "../options.ts";
import { grouped, print, printJson, table } from "../output.ts";
import { registerProgRun } from "./prog-run.ts";

export function registerProg(program: Command): void {
  const prog = program.command("prog").description("the kernel's programs: list, show, dump, pin, load, stats");

  prog
    .command("list")
    .description("every program in the system, with runs where statistics are on")
    .option("--json", "one JSON document")
    .action(async ({ json }: { json?: boolean }) => {
      await requireKernel("prog list");
      const programs = (await allPrograms()).map(progJson);
      if (json) printJson({ programs });
      else if (programs.length === 0) print("no programs");
      else {
        const rows = programs.map((p) => [
          String(p.id),
          p.name,
          p.type,
          p.tag,
          String(p.insns),
          p.runCount ? grouped(p.runCount) : "",
          p.mapIds.join(","),
        ]);
        print(table(["id", "name", "type", "tag", "insns", "runs", "maps"], rows, ["id", "insns", "runs"]));
      }
    });

  prog
    .command("show <prog>")
    .description(`one program: ${WHICH_PROGRAM}`)
    .option("--json", "one JSON document")
    .action(async (which: string, { json }: { json?: boolean }) => {
      await withProgram(which, (_, info) => {
        const p = progJson(info);
        if (json) {
          printJson(p);
          return;
        }
        print(`program ${p.id}: ${p.name}, ${p.type}, tag ${p.tag}${p.gplCompatible ? ", GPL" : ""}`);
        print(`  ${p.insns} insns, ${p.jitedLen} bytes of machine code, ${p.verifiedInsns} verified, user ${p.uid}`);
        if (p.runCount) print(`  ${grouped(p.runCount)} runs, ${p.runTimeNs / p.runCount} ns each`);
        if (p.mapIds.length) print(`  maps ${p.mapIds.join(", ")}${p.btfId ? `, BTF ${p.btfId}` : ""}`);
      });
    });

  prog
    .command("dump <prog>")
    .description("the program as the kernel runs it, after the verifier has rewritten it")
    .option("--jited", "the machine code, in hex")
    .option("--json", "one JSON document")
    .action(async (which: string, options: { jited?: boolean; json?: boolean }) => {
      const form = options.jited ? "jited" : "xlated";
      await requireKernel("prog dump");
      const { btfBytes, progCode, progLineInfo } = await import("@ebplane/linux/bpf");
      /** Where each line of the source begins, by slot. */
      const sourceLines = (fd: number, { btfId }: ProgInfo): Map<number, string> => {
        const info = progLineInfo(fd);
        const types = info && btfId ? btfBytes(btfId) : undefined;
        return info && types ? lineTexts(info, parseBtf(types)) : new Map();
      };
      await withProgram(which, (fd, info) => {
        const code = progCode(fd, form);
        if (!code) throw new BpfError("EHIDDEN", `program ${info.id}: the kernel shows no ${form} code of it`);
        const lines = options.jited ? new Map<number, string>() : sourceLines(fd, info);
        if (options.json) {
          const source = [...lines].map(([pc, line]) => ({ pc, line }));
          printJson({ id: info.id, name: info.name, [form]: toHex(code), ...(source.length && { source }) });
        } else if (options.jited) print(toHex(code));
        else {
          let said: string | undefined;
          for (const { pc, text } of disassemble(code)) {
            const line = lines.get(pc);
            if (line !== undefined && line !== said) print(`; ${line}`);
            said = line ?? said;
            // The kernel has put the maps' ids where their fds stood.
            print(`${String(pc).padStart(4)}: ${text.replace("map[fd:", "map[id:")}`);
          }
        }
      });
    });

  prog
    .command("pin <prog> <path>")
    .description("gives a program a name in bpffs, which keeps it loaded")
    .action(async (which: string, path: string) => {
      const { ensureBpffs } = await import("@ebplane/linux");
      const { objPin } = await import("@ebplane/linux/bpf");
      await withProgram(which, (fd) => {
        ensureBpffs();
        objPin(fd, path);
      });
    });

  prog
    .command("load <object> <dir>")
    .description(
      "loads every program of an object and pins each by its name in a directory of bpffs, with the maps in DIR/maps",
    )
    .option("--reuse <name=map>", `a live map in the place of the object's: ${WHICH_MAP} (repeatable)`, collect, [])
    .option("--json", "one JSON document")
    .action(async (path: string, directory: string, { json, reuse }: { json?: boolean; reuse: string[] }) => {
      const spec = await loadObject(path);
      const shared = reuse.map((text) => {
        const [, name = "", which = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
        if (!which) throw new UsageError(`--reuse: expected NAME=MAP, got ${text}`);
        if (!spec.maps.has(name)) throw new UsageError(`--reuse: no map named ${name} in ${path}`);
        return [name, which] as const;
      });
      await requireKernel("prog load");
      const { ensureBpffs, linuxTarget, LinuxMap, openMap } = await import("@ebplane/linux");
      const { LinuxProgram, objPin } = await import("@ebplane/linux/bpf");
      ensureBpffs();
      if (existsSync(directory)) throw new UsageError(`${directory}: is there already`);
      const maps = new Map<string, InstanceType<typeof LinuxMap>>();
      for (const [name, which] of shared) maps.set(name, openMap(await findMap(which)));
      using loaded = inSource(spec, () => linuxTarget().load(spec, { reuse: maps }));
      try {
        mkdirSync(`${directory}/maps`, { recursive: true, mode: 0o700 });
        const pinned = [...loaded.programs].map(([name, live]) => {
          const file = `${directory}/${name}`;
          if (live instanceof LinuxProgram) objPin(live.fd, file);
          return { name, id: live.id, type: progTypeName(live.spec.type), pin: file };
        });
        for (const [name, map] of loaded.maps) {
          if (map instanceof LinuxMap) objPin(map.fd, `${directory}/maps/${name.replaceAll(".", "_")}`);
        }
        if (json) printJson({ programs: pinned });
        else
          print(
            table(
              ["program", "id", "type", "pinned at"],
              pinned.map((p) => [p.name, String(p.id), p.type, p.pin]),
              ["id"],
            ),
          );
      } catch (error) {
        rmSync(directory, { recursive: true, force: true });
        throw error;
      }
    });

  registerProgRun(prog);

  prog
    .command("stats")
    .description("counts runs and time of every program for a while (about 70 ns more a run meanwhile)")
    .option("--seconds <number>", "how long", "1")
    .option("--json", "one JSON document")
    .action(async ({ seconds, json }: { seconds: string; json?: boolean }) => {
      const time = wholeNumber(seconds, "--seconds");
      await requireKernel("prog stats");
      const { enableStats } = await import("@ebplane/linux");
      const on = enableStats();
      try {
        const before = new Map((await allPrograms()).map((p) => [p.id, p]));
        await setTimeout(time * 1000);
        const programs = (await allPrograms()).flatMap((p) => {
          const runs = p.runCount - (before.get(p.id)?.runCount ?? 0n);
          const nanoseconds = p.runTimeNs - (before.get(p.id)?.runTimeNs ?? 0n);
          return runs > 0n ? [{ id: p.id, name: p.name, runs, nanoseconds, each: nanoseconds / runs }] : [];
        });
        if (json) printJson({ seconds: time, programs });
        else if (programs.length === 0) print(`nothing ran in ${time} s`);
        else {
          const rows = programs.map((p) => [String(p.id), p.name, grouped(p.runs), `${p.each} ns`]);
          print(table(["id", "name", "runs", "each"], rows, ["id", "runs", "each"]));
        }
      } finally {
        closeSync(on);
      }
    });
}

/** `file:line: text` of each `bpf_line_info` record, by its slot. */
function lineTexts(
  { recordSize, records }: { recordSize: number; records: Uint8Array },
  btf: Btf,
): Map<number, string> {
  const view = viewOf(records);
  const lines = new Map<number, string>();
  for (let at = 0; at + 16 <= records.length; at += recordSize) {
    const word = (n: number): number => view.getUint32(at + 4 * n, true);
    const place = `${basename(btf.string(word(1)))}:${word(3) >>> 10}`;
    const text = btf.string(word(2)).trim();
    lines.set(word(0), text ? `${place}: ${text}` : place);
  }
  return lines;
}

function progJson(info: ProgInfo) {
  const { type, xlatedLen, ...rest } = info;
  return { ...rest, type: progTypeName(type), insns: xlatedLen / 8 };
}
