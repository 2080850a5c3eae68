/** A plane on the real kernel as a process of its own, and real traffic through it: for tests of `up --target linux`. */
import type { ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetNs, Topology } from "@ebplane/linux/testing";
import { onTestFinished } from "vitest";
import { COMMAND, ROOT, scratchFolder } from "./ebplane.ts";

/** Milliseconds that the command has for starting; `EBPLANE_SLOW=10` gives an emulated machine ten times as many. */
export const PATIENCE = 60_000 * Number(process.env.EBPLANE_SLOW ?? 1);

/** The example with the topology's devices and server addresses. */
export function planeFile(change: (text: string) => string = (t) => t): string {
  const text = readFileSync(join(ROOT, "examples/edge/plane.yaml"), "utf8")
    .replace("wan: { xdp", "wan: { device: e0, xdp")
    .replace("lan: { xdp", "lan: { device: e1, xdp")
    .replace("10.0.0.0/24", "10.2.0.0/24")
    .replace("2001:db8:2::/64", "fd00:2::/64");
  const file = join(scratchFolder(), "plane.yaml");
  writeFileSync(file, change(text));
  return file;
}

export interface Running {
  readonly child: ChildProcess;
  readonly stderr: () => string;
  /** Sends the signal and answers exit code and stdout. */
  stop(signal: NodeJS.Signals): Promise<{ code: number | null; stdout: string }>;
  /** Until stderr holds the text. */
  says(text: string): Promise<void>;
}

export const up = (edge: NetNs, file: string, ...args: string[]): Running =>
  start(edge, [COMMAND, "up", file, "--target", "linux", ...args]);

export function start(ns: NetNs, args: readonly string[]): Running {
  const child = ns.spawn(process.execPath, args, { cwd: ROOT });
  let stderr = "";
  let stdout = "";
  child.stderr!.on("data", (data) => (stderr += data));
  child.stdout!.on("data", (data) => (stdout += data));
  const exited = new Promise<number | null>((resolve) => child.on("close", resolve));
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    child,
    stderr: () => stderr,
    async stop(signal) {
      child.kill(signal);
      return { code: await exited, stdout };
    },
    async says(text) {
      const deadline = Date.now() + PATIENCE;
      while (!stderr.includes(text)) {
        if (Date.now() > deadline || child.exitCode !== null)
          throw new Error(`expected "${text}", got: ${stderr}${stdout}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

const PYTHON_SERVER = `
import socket, threading, sys
def tcp(family, ip, port):
    s = socket.socket(family, socket.SOCK_STREAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ip, port)); s.listen()
    while True:
        c, _ = s.accept(); c.sendall(b"hello"); c.close()
def udp(family, ip, port):
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind((ip, port))
    while True:
        data, peer = s.recvfrom(2000); s.sendto(data, peer)
for family, ip in ((socket.AF_INET, "10.2.0.2"), (socket.AF_INET6, "fd00:2::2")):
    for port in (22, 80): threading.Thread(target=tcp, args=(family, ip, port), daemon=True).start()
    for port in (53, 54): threading.Thread(target=udp, args=(family, ip, port), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
`;

export async function serve(net: Topology): Promise<void> {
  const child = net.server.spawn("python3", ["-c", PYTHON_SERVER]);
  onTestFinished(() => void child.kill("SIGKILL"));
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once("data", () => resolve());
    child.on("error", reject);
  });
  // The threads bind right after; the first connection may be early.
  await new Promise((resolve) => setTimeout(resolve, 100));
}

export const ping = (ns: NetNs, ip: string, ...args: string[]): boolean =>
  ns.spawnSync("ping", ["-c1", "-W1", ...args, ip]).status === 0;

function python(ns: NetNs, code: string): boolean {
  return ns.spawnSync("python3", ["-c", `import socket\n${code}`]).status === 0;
}
export const tcp = (ns: NetNs, ip: string, port: number): boolean =>
  python(ns, `s = socket.create_connection(("${ip}", ${port}), 0.7)\nassert s.recv(10) == b"hello"`);
export const udp = (ns: NetNs, ip: string, port: number): boolean => {
  const family = ip.includes(":") ? "socket.AF_INET6" : "socket.AF_INET";
  return python(
    ns,
    `s = socket.socket(${family}, socket.SOCK_DGRAM); s.settimeout(0.7)\ns.sendto(b"query", ("${ip}", ${port}))\nassert s.recv(10) == b"query"`,
  );
};

/** Ids of the XDP programs on the devices of a namespace. */
export function programIds(ns: NetNs): number[] {
  const { stdout } = ns.spawnSync("ip", ["-d", "link", "show"]);
  return [...stdout.matchAll(/prog\/xdp id (\d+)/g)].map(([, id]) => Number(id));
}
