/** `ebplane prog …`: the kernel's programs: listed, shown as it runs them, pinned, loaded, counted. */
import { closeSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { disassemble } from "@ebplane/core/asm";
import { toHex } from "@ebplane/core/bytes";
import { BpfError } from "@ebplane/core/errors";
import { progTypeName } from "@ebplane/core/object";
import type { ProgInfo } from "@ebplane/linux";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { inSource, loadObject } from "../input.ts";
import { requireKernel } from "../kernel.ts";
import { wholeNumber } from "../options.ts";
import { grouped, print, printJson, table } from "../output.ts";

const WHICH = "a program's name, id, or file in bpffs";

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
    .description(`one program: ${WHICH}`)
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
      const { progCode } = await import("@ebplane/linux/bpf");
      await withProgram(which, (fd, info) => {
        const code = progCode(fd, form);
        if (!code) throw new BpfError("EHIDDEN", `program ${info.id}: the kernel shows no ${form} code of it`);
        if (options.json) printJson({ id: info.id, name: info.name, [form]: toHex(code) });
        else if (options.jited) print(toHex(code));
        else {
          // The kernel has put the maps' ids where their fds stood.
          for (const { pc, text } of disassemble(code))
            print(`${String(pc).padStart(4)}: ${text.replace("map[fd:", "map[id:")}`);
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
    .option("--json", "one JSON document")
    .action(async (path: string, directory: string, { json }: { json?: boolean }) => {
      const spec = await loadObject(path);
      await requireKernel("prog load");
      const { ensureBpffs, linuxTarget, LinuxMap } = await import("@ebplane/linux");
      const { LinuxProgram, objPin } = await import("@ebplane/linux/bpf");
      ensureBpffs();
      if (existsSync(directory)) throw new UsageError(`${directory}: is there already`);
      using loaded = inSource(spec, () => linuxTarget().load(spec));
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

function progJson(info: ProgInfo) {
  const { type, xlatedLen, ...rest } = info;
  return { ...rest, type: progTypeName(type), insns: xlatedLen / 8 };
}

async function allPrograms(): Promise<ProgInfo[]> {
  const { fdById, objectIds, progInfo } = await import("@ebplane/linux");
  return objectIds("prog").flatMap((id) => {
    const fd = fdById("prog", id);
    if (fd === undefined) return []; // Gone between the two questions.
    try {
      return progInfo(fd);
    } finally {
      closeSync(fd);
    }
  });
}

/** @throws UsageError when no program has the name, or several. */
async function withProgram(which: string, body: (fd: number, info: ProgInfo) => void): Promise<void> {
  await requireKernel("prog");
  const { openProgram } = await import("@ebplane/linux");
  using program = openProgram(await findProgram(which));
  body(program.fd, program.info());
}

async function findProgram(which: string): Promise<{ path: string } | { id: number }> {
  if (which.includes("/")) return { path: which };
  if (/^\d+$/.test(which)) return { id: Number(which) };
  const { objectName } = await import("@ebplane/linux/bpf");
  const found = (await allPrograms()).filter((p) => p.name === objectName(which));
  const [only] = found;
  if (!only) throw new UsageError(`program ${which}: no program has this name (ebplane prog list)`);
  if (found.length > 1) {
    const ids = found.map((p) => p.id).join(", ");
    throw new UsageError(`program ${which}: several programs have this name: choose by id: ${ids}`);
  }
  return { id: only.id };
}
