/** A plane in userspace on live traffic: the simulator's engine between packet ports (AF_XDP, AF_PACKET, TAP). */
import { UnsupportedError } from "@ebplane/core/errors";
import { SimTarget } from "@ebplane/core/sim";
import { deviceOf, startPlane } from "@ebplane/functions";
import { UsageError } from "../failure.ts";
import { inSource, type LoadedPlane } from "../input.ts";
import { operate } from "./operate.ts";

export interface UpPortsOptions {
  /** `IFACE=PORT`, as given: `wan=afxdp:eth1`. */
  readonly ports: readonly string[];
  readonly engine: "jit" | "interp";
  readonly json: boolean;
}

export async function upPorts(path: string, { plane, built }: LoadedPlane, options: UpPortsOptions): Promise<void> {
  const texts = new Map<string, string>();
  for (const given of options.ports) {
    const [, iface, port] = /^([^=]+)=(.+)$/.exec(given) ?? [];
    if (!iface || !port) throw new UsageError(`--port: expected IFACE=PORT, got ${given}`);
    if (!plane.interfaces.has(iface)) {
      throw new UsageError(
        `--port: no interface named ${iface}: the plane has ${[...plane.interfaces.keys()].join(", ")}`,
      );
    }
    texts.set(iface, port);
  }
  const { kernelAvailable, openPort, pumpPorts } = await import("@ebplane/linux");
  const kernel = kernelAvailable();
  if (!kernel.ok) throw new UnsupportedError("kernel", `--port: ${kernel.reason}`);
  await operate(path, plane, options, () => {
    const sim = new SimTarget({
      devices: [...plane.interfaces.keys()].map((name) => deviceOf(plane, name)),
      engine: options.engine,
    });
    const opened: { close(): void }[] = [];
    const close = (): void => {
      for (const item of opened.reverse()) item.close();
    };
    try {
      const running = inSource(built.spec, () => startPlane(plane, built, sim));
      opened.push(running);
      const wires = [...texts].map(([name, text]) => {
        const port = openPort(text);
        opened.push(port);
        return { port, device: sim.device(deviceOf(plane, name)) };
      });
      const pump = pumpPorts(wires);
      opened.push({ close: () => pump.stop() });
      return { plane: running, titles: texts, facts: { target: "sim", ports: Object.fromEntries(texts) }, close };
    } catch (e) {
      close();
      throw e;
    }
  });
}
