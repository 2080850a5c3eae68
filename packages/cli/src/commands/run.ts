/** `ebplane run`: a capture through one program; verdicts counted, packets that go on written out. */
import { writeFileSync } from "node:fs";
import { ProgType, verdictName, XdpAction } from "@ebplane/core/object";
import { writeCapture } from "@ebplane/core/wire";
import type { Command } from "commander";
import { openCapture } from "../captures.ts";
import { openSession, openTarget, parseEngine } from "../engines.ts";
import { loadObject, pickProgram } from "../input.ts";
import { grouped, print, printJson, table } from "../output.ts";

interface RunOptions {
  readonly pcap: string;
  readonly out?: string;
  readonly prog?: string;
  readonly engine: string;
  readonly json?: boolean;
}

/** XDP verdicts after which a frame still exists. */
const GOES_ON: ReadonlySet<number> = new Set([XdpAction.XDP_PASS, XdpAction.XDP_TX, XdpAction.XDP_REDIRECT]);

export function registerRun(program: Command): void {
  program
    .command("run <prog>")
    .description("run every packet of a capture through a program")
    .requiredOption("--pcap <file>", "the packets")
    .option("--out <file>", "write the packets that go on (pass, transmit, redirect), as the program left them")
    .option("--prog <name>", "which program of the object")
    .option("--engine <name>", "jit, interp or kernel (BPF_PROG_TEST_RUN)", "jit")
    .option("--json", "one JSON document")
    .action(async (path: string, options: RunOptions) => {
      const engine = parseEngine(options.engine);
      const spec = await loadObject(path);
      const chosen = pickProgram(spec, options.prog, path);
      const capture = openCapture(options.pcap);
      using session = openSession(await openTarget(engine), spec, chosen.name);
      const verdicts: Record<string, number> = {};
      const kept: { timestampNs: bigint; bytes: Uint8Array }[] = [];
      let refused = 0;
      for (const { bytes, timestampNs } of capture.packets) {
        // No driver delivers less than an Ethernet header, and the kernel's test run refuses it.
        if (bytes.length < 14) {
          refused++;
          continue;
        }
        const result = session.program.testRun({ packet: bytes });
        const name = verdictName(chosen.type, result.verdict);
        verdicts[name] = (verdicts[name] ?? 0) + 1;
        if (chosen.type !== ProgType.BPF_PROG_TYPE_XDP || GOES_ON.has(result.verdict)) {
          kept.push({ timestampNs, bytes: result.packet });
        }
      }
      if (options.out !== undefined) writeFileSync(options.out, writeCapture(kept));
      if (options.json) {
        printJson({ packets: capture.packets.length, refused, verdicts, out: options.out ?? null, engine });
        return;
      }
      print(`${grouped(capture.packets.length)} packets through ${chosen.name} (${engine})`);
      const rows = Object.entries(verdicts).sort((a, b) => b[1] - a[1]);
      print(
        table(
          ["verdict", "packets"],
          rows.map(([name, n]) => [name, grouped(n)]),
          ["packets"],
        ),
      );
      if (refused) print(`${refused} frames shorter than an Ethernet header were not run`);
      if (options.out !== undefined) print(`${grouped(kept.length)} packets written to ${options.out}`);
    });
}
