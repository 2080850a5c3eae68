/**
 * Our profiles beside real kernels. One half runs on the kernel in question (in a machine of scripts/kernels/run.sh), the
 * other anywhere, as often as a profile changes:
 *
 *     npx tsx --conditions=source test/verifier/kernels/run.ts ask helpers|ctx|rules|verdicts|FILE.o|DIR… > ANSWERS
 *     npx tsx --conditions=source test/verifier/kernels/run.ts judge ANSWERS --profile=5.10 --btf=FILE [--config=FILE]
 *
 * `judge` prints each program over which the two part, and the table. An answer is a line: suite, program, verdict, and
 * the last words of the kernel's refusal. FILE of --btf is the kernel's /sys/kernel/btf/vmlinux.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { parseBtf } from "@ebplane/core/btf";
import { parseKconfig } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import { relocate } from "@ebplane/core/object";
import { PROFILE_NAMES, verify } from "@ebplane/core/verifier";
import { progLoad, tryMapCreate } from "@ebplane/linux/bpf";
import { type Kernel, ours, theirs } from "../verdicts.ts";
import { type Asked, programsOf } from "./programs.ts";

/** How a refusal says that the helper is not one for this program. */
const NO_HELPER = /unknown func |invalid func |program of this type cannot use helper/;

const [what, ...rest] = process.argv.slice(2);
const named = rest.filter((arg) => !arg.startsWith("--"));
const option = (name: string) => rest.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);

if (what === "ask") ask();
else if (what === "judge") judge();
else throw new Error("run.ts: ask or judge?");

function ask(): void {
  const fds = new Map<string, number>();
  for (const suite of named) {
    for (const asked of programsOf(suite)) {
      const { verdict, why } = "spec" in asked ? loaded(asked) : bare(asked, fds);
      writeSync(1, `${[suite, asked.name, verdict, why].join("\t")}\n`);
    }
  }
}

function loaded({ program, spec }: Extract<Asked, { spec: unknown }>): { verdict: string; why: string } {
  const { verdict, message } = theirs(spec, program);
  return { verdict, why: message.replaceAll(/\s+/g, " ") };
}

function bare({ program, maps }: Extract<Asked, { maps: unknown }>, fds: Map<string, number>) {
  for (const { name } of program.relocs) {
    // These take programs, and belong to the type of the first that uses them.
    if (/^(prog_array|devmap|devmap_hash|cpumap)$/.test(name) && fds.get(name)! >= 0) {
      closeSync(fds.get(name)!);
      fds.delete(name);
    }
    if (!fds.has(name)) fds.set(name, tryMapCreate(maps.find((map) => map.name === name)!));
    if (fds.get(name)! < 0) return { verdict: "error", why: `no map ${name}: ${fds.get(name)}` };
  }
  const { type, flags, attachType: expectedAttachType } = program;
  const code = relocate(program, (reloc) => BigInt(fds.get(reloc.name)!));
  const { fd, log } = progLoad({ type, code, license: "GPL", flags, expectedAttachType });
  if (fd >= 0) closeSync(fd);
  if (fd >= 0) return { verdict: "accept", why: "" };
  if (log === "") return { verdict: "error", why: `errno ${-fd}` };
  const said = log.split("\n").filter((line) => !/^(processed |verification time|stack depth|$)/.test(line));
  return { verdict: "reject", why: said.at(-1) ?? "" };
}

function judge(): void {
  const profile = PROFILE_NAMES.find((name) => name === option("profile"));
  const btf = option("btf");
  if (!profile || !btf) throw new Error("judge: --profile and --btf?");
  const [major = 0, minor = 0] = profile.split(".").map(Number);
  const config = option("config");
  const kernel: Kernel = {
    profile,
    btf: parseBtf(readFileSync(btf)),
    config: {
      version: (major << 16) | (minor << 8),
      options: new Map([
        ...parseKconfig(config ? readFileSync(config, "utf8") : ""),
        // What libbpf asks of the kernel itself, on x86-64.
        ["LINUX_HAS_SYSCALL_WRAPPER", "y"],
        ["LINUX_HAS_BPF_COOKIE", major * 100 + minor >= 515 ? "y" : "n"],
      ]),
    },
    cpus: Number(option("cpus") ?? 1),
  };
  const answers = new Map<string, Map<string, readonly [verdict: string, why: string]>>();
  for (const line of named.flatMap((file) => readFileSync(file, "utf8").split("\n"))) {
    const [suite, name, verdict, why = ""] = line.split("\t");
    if (name === undefined) continue;
    if (!answers.has(suite!)) answers.set(suite!, new Map());
    answers.get(suite!)!.set(name, [verdict!, why]);
  }
  for (const [suite, said] of answers) {
    const totals = new Map<string, number>();
    for (const asked of programsOf(suite)) {
      const answer = said.get(asked.name);
      if (!answer) continue;
      const [verdict, why] = answer;
      const own = judged(asked, kernel);
      const fine = verdict === "error" ? own.verdict === "reject" : verdict === own.verdict;
      const key = `kernel ${verdict}, ours ${own.verdict}`;
      totals.set(key, (totals.get(key) ?? 0) + 1);
      // With arguments that do not fit both refuse; but whether there is such a helper shows all the same.
      const known = NO_HELPER.test(why) && !/\[(helper|profile)\]/.test(own.message);
      if (!fine || known) console.log(`${asked.name}: ${key}\n    ours:   ${own.message}\n    kernel: ${why}`);
    }
    console.log(suite, Object.fromEntries([...totals].sort()));
  }
}

function judged(asked: Asked, kernel: Kernel): { verdict: string; message: string } {
  if ("spec" in asked) {
    try {
      return ours(asked.spec, asked.program, kernel);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      return { verdict: "error", message: error.message };
    }
  }
  const maps = new Map(asked.maps.map((map) => [map.name, map]));
  const { profile, cpus, btf: kernelBtf } = kernel;
  const { verdict, pc, rule, message } = verify(asked.program, { maps, license: "GPL", profile, cpus, kernelBtf });
  return { verdict, message: `${pc}: [${rule}] ${message}` };
}
