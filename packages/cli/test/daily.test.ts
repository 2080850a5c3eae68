/** What daily work beside ip, tc and bpftool needs of `ebplane prog`, `map`, `btf`, `iter`, `batch` and `net`, on the real kernel. */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { AttachType, ProgType } from "@ebplane/core/object";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason, NetNs } from "@ebplane/linux/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { COMMAND, ebplaneHere, scratchFolder } from "./ebplane.ts";

const skip = kernelSkipReason();
/** Of this run alone. */
const TAG = `d${process.pid.toString(36)}`;
const PINS = `/sys/fs/bpf/ebplane-daily-${process.pid}`;

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ebplaneHere(args);
  if (code !== 0) throw new Error(`ebplane ${args.join(" ")}: ${code}: ${stderr}`);
  return stdout;
}
const json = async (...args: string[]) => JSON.parse(await done(...args, "--json"));

/** A compiled program that counts packets by length and prints each, loaded and pinned. */
async function loaded(...options: string[]): Promise<{ folder: string; source: string }> {
  const folder = scratchFolder();
  const source = join(folder, `${TAG}.bpf.ts`);
  writeFileSync(
    source,
    `import { hash, license, printk, u32, u64, xdp, XDP_DROP } from "ebplane/bpf";
license("GPL");
export const seen = hash(u32, u64, { maxEntries: 8 });
export const ${TAG} = xdp((ctx) => {
  const length = u32(ctx.length);
  const n = seen.lookup(length);
  seen.update(length, n ? n.value + 1n : 1n);
  printk("${TAG} saw %d", ctx.length);
  return XDP_DROP;
});
`,
  );
  onTestFinished(() => rmSync(PINS, { recursive: true, force: true }));
  await done("prog", "load", source, PINS, ...options);
  return { folder, source };
}

describe.skipIf(skip)(`daily work${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("a loaded program runs on bytes, is dumped with its source, and what it prints is read", async () => {
    await loaded();
    const prog = `${PINS}/${TAG}`;
    const packet = "ff".repeat(64);
    expect(await done("prog", "run", prog, "--packet", packet, "--repeat", "3")).toMatch(
      new RegExp(`^${TAG}: XDP_DROP \\(1\\), \\d+ ns a run\npacket ${packet}\n$`),
    );
    expect(await json("prog", "run", prog, "--packet", packet)).toMatchObject({
      name: TAG,
      verdict: "XDP_DROP",
      value: 1,
      packet,
    });
    expect(await done("map", "dump", `${PINS}/maps/seen`)).toBe('64: "4"\n1 entry\n');
    expect(await ebplaneHere(["prog", "run", prog, "--packet", "0g"])).toMatchObject({
      code: 2,
      stderr: '--packet: hex digit 1: expected 0-9 or a-f, got "g"\n',
    });
    expect(await ebplaneHere(["prog", "run", prog, "--packet", "00"])).toMatchObject({
      code: 2,
      stderr: `bpf(PROG_TEST_RUN): EINVAL: ${TAG}: a frame has at least 14 bytes, this one 1\n`,
    });
    const dump = await done("prog", "dump", prog);
    expect(dump).toContain(`; ${TAG}.bpf.ts:6: const n = seen.lookup(length);\n`);
    expect(dump).toMatch(/^ *\d+: \(95\) exit$/m);
    const { source } = await json("prog", "dump", prog);
    expect(source).toContainEqual({ pc: expect.any(Number), line: `${TAG}.bpf.ts:9: return XDP_DROP;` });
    // All of the system's: others print, too, and read.
    let log = "";
    for (let i = 0; i < 20 && !log.includes(`${TAG} saw 64`); i++) {
      await done("prog", "run", prog, "--packet", packet);
      log += await done("prog", "log", "--seconds", "1", "--count", "100000");
    }
    expect(log).toContain(`bpf_trace_printk: ${TAG} saw 64`);
  });

  test("programs share a live map by --reuse; its keys are walked", async () => {
    await done("map", "create", "hash", "cli_shared", `${PINS}-map`, "--key", "4", "--value", "8", "--entries", "8");
    onTestFinished(() => rmSync(`${PINS}-map`));
    await loaded("--reuse", `seen=${PINS}-map`);
    for (const size of [60, 61]) await done("prog", "run", `${PINS}/${TAG}`, "--packet", "00".repeat(size));
    const keys: string[] = [];
    for (let next = await ebplaneHere(["map", "next", `${PINS}-map`]); next.code === 0; ) {
      keys.push(next.stdout.trim());
      next = await ebplaneHere(["map", "next", `${PINS}-map`, keys.at(-1)!]);
    }
    expect(keys.sort()).toEqual(["3c000000", "3d000000"]);
    expect(await ebplaneHere(["prog", "load", "examples/none.o", `${PINS}x`, "--reuse", "seen"])).toMatchObject({
      code: 2,
    });
  });

  test("queues: push, peek, pop", async () => {
    await done("map", "create", "queue", "cli_queue", `${PINS}-q`, "--key", "0", "--value", "4", "--entries", "4");
    onTestFinished(() => rmSync(`${PINS}-q`));
    for (const value of ["01000000", "02000000"]) await done("map", "push", `${PINS}-q`, value);
    expect(await done("map", "peek", `${PINS}-q`)).toBe("01000000\n");
    expect(await done("map", "pop", `${PINS}-q`)).toBe("01000000\n");
    expect(await done("map", "pop", `${PINS}-q`)).toBe("02000000\n");
    for (const verb of ["pop", "peek"]) {
      expect(await ebplaneHere(["map", verb, `${PINS}-q`])).toMatchObject({ code: 1, stdout: "empty\n" });
    }
  });

  test("the kernel's BTF objects are listed and printed, by id, program and map", async () => {
    await loaded();
    const { id, btfId, mapIds } = await json("prog", "show", `${PINS}/${TAG}`);
    const { btf } = (await json("btf", "list")) as {
      btf: { id: number; name: string; programs: number[]; maps: number[] }[];
    };
    expect(btf.find((b) => b.name === "vmlinux")).toMatchObject({ kernel: true });
    expect(btf.find((b) => b.id === btfId)).toMatchObject({ name: "", kernel: false, programs: [id] });
    expect(btf.find((b) => b.id === btfId)!.maps).toContain(mapIds[0]);
    const text = await done("btf", "dump", `prog:${PINS}/${TAG}`);
    expect(text).toContain("struct xdp_md {");
    for (const where of [`id:${btfId}`, `map:${PINS}/maps/seen`]) expect(await done("btf", "dump", where)).toBe(text);
    expect(await ebplaneHere(["btf", "dump", "id:4000000000"])).toMatchObject({
      code: 2,
      stderr: "btf 4000000000: there is none (ebplane btf list)\n",
    });
  });

  test("an iterator is read once, and pinned as a file", async () => {
    const object = join(scratchFolder(), "iter.o");
    // bpf_seq_write(ctx->meta->seq, "x\n", 2) for each map, and nothing at the end.
    const walk = asmProgram(
      "maps",
      ProgType.BPF_PROG_TYPE_TRACING,
      `r2 = *(u64 *)(r1 + 8)
       if r2 == 0 goto out
       r1 = *(u64 *)(r1 + 0)
       r1 = *(u64 *)(r1 + 0)
       *(u16 *)(r10 - 8) = 0x0a78
       r2 = r10
       r2 += -8
       r3 = 2
       call bpf_seq_write
     out:
       r0 = 0
       exit`,
      { section: "iter/bpf_map", attachType: AttachType.BPF_TRACE_ITER, attachTo: "bpf_map" },
    );
    writeFileSync(object, writeElf(collectionOf([walk], [arrayMap("own")])));
    expect(await done("iter", "read", object)).toMatch(/^(x\n)+$/);
    expect(await ebplaneHere(["iter", "pin", object, `${PINS}.dot`])).toMatchObject({
      code: 2,
      stderr: `bpf(OBJ_PIN): EPERM: ${PINS}.dot: a bpffs takes no names with a dot\n`,
    });
    await done("iter", "pin", `${object}#maps`, `${PINS}-iter`);
    onTestFinished(() => rmSync(`${PINS}-iter`));
    expect(readFileSync(`${PINS}-iter`, "latin1")).toMatch(/^(x\n)+$/);
    expect(await done("iter", "read", `${PINS}-iter`)).toMatch(/^(x\n)+$/);
    expect(await ebplaneHere(["iter", "read", `${object}#other`])).toMatchObject({
      code: 2,
      stderr: `${object}: no iterator named other; it has maps\n`,
    });
  });

  test("a batch runs its lines in order and ends at the first that fails", async () => {
    const name = `${TAG}b`;
    const file = join(scratchFolder(), "commands");
    onTestFinished(() => void spawnSync("ip", ["netns", "del", name]));
    writeFileSync(
      file,
      `# a namespace of its own
net ns add ${name}
net link add --netns ${name} br0 bridge  # and a bridge
net link set br0 --netns '${name}' --up
net link set nothing --netns ${name} --up

net ns del ${name}
`,
    );
    const { code, stderr } = await ebplaneHere(["batch", file]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `device nothing: there is none; there are lo, br0\n${file}:5: exit 2\n`,
    });
    const links = await json("net", "link", "list", "--netns", name);
    expect(links.links.map((l: { name: string; up: boolean }) => [l.name, l.up])).toContainEqual(["br0", true]);
    writeFileSync(file, "net ns list\n'half");
    expect((await ebplaneHere(["batch", file])).stderr).toBe(`${file}:2: a quote ' without its end\n`);
  });

  test("the way to an address, clsact, and a command inside a namespace", async () => {
    using ns = NetNs.create();
    const where = ["--netns", `/proc/self/fd/${ns.fd}`];
    await done("net", "link", "add", "v0", "veth", "--peer", "v1", ...where);
    for (const name of ["v0", "v1"]) await done("net", "link", "set", name, "--up", ...where);
    await done("net", "addr", "add", "10.9.0.1/24", "v0", ...where);
    await done("net", "route", "add", "10.10.0.0/16", "--via", "10.9.0.2", ...where);
    await done("net", "route", "add", "10.11.0.0/16", "--type", "prohibit", ...where);
    expect(await done("net", "route", "get", "10.10.1.1", ...where)).toBe(
      "10.10.1.1: via 10.9.0.2 dev v0 src 10.9.0.1 table main\n",
    );
    expect(await ebplaneHere(["net", "route", "get", "10.11.0.1", ...where])).toMatchObject({
      code: 1,
      stdout: "10.11.0.1: prohibited\n",
    });
    expect(JSON.parse((await ebplaneHere(["net", "route", "get", "10.12.0.1", "--json", ...where])).stdout)).toEqual({
      dst: "10.12.0.1",
      route: null,
      reason: "no route",
    });
    await done("net", "qdisc", "add", "v0", "clsact", ...where);
    expect((await json("net", "qdisc", "list", ...where)).qdiscs).toContainEqual(
      expect.objectContaining({ device: "v0", kind: "clsact" }),
    );
    expect(ns.spawnSync("tc", ["qdisc", "show", "dev", "v0"]).stdout).toContain("clsact");
    await done("net", "qdisc", "del", "v0", "clsact", ...where);
    const inside = spawnSync(process.execPath, [
      COMMAND,
      "net",
      "ns",
      "exec",
      `/proc/${process.pid}/fd/${ns.fd}`,
      "--",
      "sh",
      "-c",
      "ip -br link; exit 3",
    ]);
    expect({ status: inside.status, out: inside.stdout.toString() }).toMatchObject({
      status: 3,
      out: expect.stringMatching(/^v1@v0 |\nv1@v0 /),
    });
  });
});
