/** Where bpf(2) is denied, by missing capabilities or by seccomp: every command that asks the kernel says so in one line. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";
import { COMMAND, ROOT, scratchFolder } from "./ebplane.ts";
import { kernelObject } from "./kernel-object.ts";

const skip = kernelSkipReason();

/** Answers `errno` to bpf(2) (321 on x86-64) by seccomp, then runs the rest of the line. */
const DENY = `
import ctypes, os, struct, sys
bpf = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
errno = int(sys.argv[1])
insn = lambda code, jt, jf, k: struct.pack("HBBI", code, jt, jf, k)
code = insn(0x20, 0, 0, 0) + insn(0x15, 0, 1, bpf) + insn(0x06, 0, 0, 0x00050000 | errno) + insn(0x06, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(code)
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(buffer)))
if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) != 0:
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
`;

const COMMANDS = [
  "attach OBJECT#xdp_pass xdp:lo",
  "list",
  "map create hash x /sys/fs/bpf/x --key 4 --value 4 --entries 1",
  "prog load OBJECT /sys/fs/bpf/denied",
  "prog log --seconds 1",
  "btf list",
  "features",
  "up examples/edge/plane.yaml --target linux",
  "verify OBJECT --kernel",
];

describe.skipIf(skip)(`bpf(2) denied${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const run = (wrapper: readonly string[], line: string, object: string) => {
    const args = line.split(" ").map((word) => word.replace("OBJECT", object));
    const [command, ...rest] = [...wrapper, process.execPath, COMMAND, ...args];
    const { status, stdout, stderr } = spawnSync(command!, rest, { cwd: ROOT, encoding: "utf8" });
    return { status, stdout, stderr };
  };

  test.each([
    ["without capabilities", ["setpriv", "--bounding-set=-all", "--inh-caps=-all"], /is not permitted: run as root/],
    ["by seccomp with EPERM", ["python3", "-c", DENY, "1"], /is not permitted: run as root/],
    ["by seccomp with ENOSYS", ["python3", "-c", DENY, "38"], /this kernel has no bpf\(2\)/],
  ] as const)("%s", { timeout: 60_000 }, (_, wrapper, reason) => {
    const object = join(scratchFolder(), "all.o");
    writeFileSync(object, kernelObject());
    // Each process takes a third of a second: all commands without capabilities, a few by seccomp.
    for (const line of wrapper[0] === "setpriv" ? COMMANDS : COMMANDS.slice(0, 2)) {
      const { status, stdout, stderr } = run(wrapper, line, object);
      expect({ line, status, stdout }).toEqual({ line, status: 2, stdout: "" });
      expect(stderr).toMatch(/^[^\n]+\n$/);
      expect(stderr).toMatch(reason);
    }
  });

  test("what needs only the network's privileges names those", () => {
    const wrapper = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    expect(run(wrapper, "net link add ebplane0 bridge", "")).toEqual({
      status: 2,
      stdout: "",
      stderr: "netlink link add ebplane0 type bridge: EPERM: needs CAP_NET_ADMIN\n",
    });
    expect(run(wrapper, "net link list --json", "").status).toBe(0);
  });
});
