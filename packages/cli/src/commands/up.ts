/** `ebplane up`: a plane in operation, on sim over captures or on the real kernel until it is interrupted. */
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { loadPlane } from "../input.ts";
import { collect } from "../options.ts";

interface UpOptions {
  readonly target: string;
  readonly pcap: readonly string[];
  readonly port: readonly string[];
  readonly out?: string;
  readonly engine?: string;
  readonly pin?: boolean;
  readonly json?: boolean;
}

export function registerUp(program: Command): void {
  program
    .command("up <plane>")
    .description("run a plane: on sim over captures, or on the real kernel")
    .option("--target <name>", "sim or linux", "sim")
    .option(
      "--pcap <iface=file>",
      "sim: packets that arrive at an interface (repeatable; over the file's own)",
      collect,
      [],
    )
    .option(
      "--port <iface=port>",
      "sim: live traffic at an interface: afxdp:DEVICE, packet:DEVICE or tap:NAME (repeatable, root)",
      collect,
      [],
    )
    .option("--out <dir>", "sim: write what leaves each interface as captures")
    .option("--engine <name>", "sim: jit or interp", "jit")
    .option("--pin", "linux: the plane goes on when this process ends, and the next up --pin goes on with it")
    .option("--json", "one JSON document at the end")
    .action(async (path: string, options: UpOptions) => {
      const loaded = await loadPlane(path);
      if (options.target === "linux") {
        if (options.pcap.length || options.port.length || options.out !== undefined) {
          throw new UsageError("--pcap, --port and --out belong to --target sim");
        }
        const { upLinux } = await import("../up/linux.ts");
        await upLinux(path, loaded, { json: options.json ?? false, pin: options.pin ?? false });
      } else if (options.target === "sim") {
        if (options.pin) throw new UsageError("--pin belongs to --target linux");
        const engine = options.engine ?? "jit";
        if (engine !== "jit" && engine !== "interp")
          throw new UsageError(`--engine: expected jit or interp, got ${engine}`);
        if (options.port.length) {
          if (options.pcap.length || options.out !== undefined)
            throw new UsageError("--port excludes --pcap and --out");
          const { upPorts } = await import("../up/ports.ts");
          await upPorts(path, loaded, { ports: options.port, engine, json: options.json ?? false });
          return;
        }
        const { upSim } = await import("../up/sim.ts");
        await upSim(path, loaded, { pcaps: options.pcap, out: options.out, engine, json: options.json ?? false });
      } else {
        throw new UsageError(`--target: expected sim or linux, got ${options.target}`);
      }
    });
}
