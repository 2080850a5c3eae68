/** Variables and kernel configuration set before loading. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { toHex } from "@ebplane/core/bytes";
import {
  applyKconfig,
  editVariables,
  getVariable,
  parseKconfig,
  readElf,
  setVariables,
  writeElf,
} from "@ebplane/core/elf";
import { SimTarget } from "@ebplane/core/sim";
import { expect, test } from "vitest";
import { build } from "./corpus.ts";
import { missingTool } from "./tools.ts";

const skip = missingTool("clang");

test.skipIf(skip)("variables are read and set by their types", () => {
  const spec = readElf(build("globals"));
  expect(getVariable(spec, "mode")).toBe(2);
  expect(getVariable(spec, "limits")).toEqual([
    { rate: 10, burst: [1, 2, 3, 4], on: 1 },
    { rate: 20, burst: [5, 0, 0, 0], on: 0 },
  ]);
  expect(getVariable(spec, "label")).toBe("edge");
  const set = setVariables(spec, { mode: 1, zero: 3n, bias: -9, label: "core", limits: [{ rate: 7 }] });
  expect(getVariable(set, "mode")).toBe(1);
  expect(getVariable(set, "zero")).toBe(3n);
  expect(getVariable(set, "bias")).toBe(-9);
  expect(getVariable(set, "limits")).toMatchObject([{ rate: 7, burst: [0, 0, 0, 0] }, { rate: 0 }]);
  // The first collection is as it was, and the change survives an object.
  expect(getVariable(spec, "mode")).toBe(2);
  expect(getVariable(readElf(writeElf(set)), "label")).toBe("core");
  expect(() => setVariables(spec, { mood: 1 })).toThrow('variable "mood": expected one of mode, limits');
  expect(() => setVariables(spec, { mode: -1 })).toThrow(
    "variable mode: const volatile __u32: expected 0 to 4294967295",
  );
});

test.skipIf(skip)("variables are set one by one, typed, and what is loaded has them", () => {
  const edit = editVariables<{ mode: number; zero: bigint }>(readElf(build("globals")));
  edit.variables.mode.set(edit.variables.mode.get() - 1);
  edit.variables.zero.set(7n);
  expect(() => edit.variables.mode.set(-1)).toThrow("variable mode: const volatile __u32: expected 0 to 4294967295");
  using loaded = new SimTarget().load(edit.spec);
  expect(loaded.programs.get("use")!.testRun({ packet: new Uint8Array(64) }).verdict).toBe(1);
});

test.skipIf(skip)("without BTF a variable takes bytes", () => {
  const spec = readElf(build("globals", { mcpu: "v2", debug: false }));
  expect(getVariable(spec, "mode")).toEqual(Uint8Array.of(2, 0, 0, 0));
  expect(getVariable(setVariables(spec, { mode: Uint8Array.of(1, 0, 0, 0) }), "mode")).toEqual(
    Uint8Array.of(1, 0, 0, 0),
  );
  expect(() => setVariables(spec, { mode: 1 })).toThrow("variable mode: has no type, so its value must be 4 bytes");
});

test.skipIf(skip)("externs take the kernel's configuration", () => {
  const spec = readElf(build("kconfig"));
  const options = parseKconfig("# CONFIG_X is not set\nCONFIG_BPF_SYSCALL=y\nCONFIG_HZ=250\n");
  const data = applyKconfig(spec, { version: 0x061200, options }).maps.get(".kconfig")!.contents![0]!.value;
  // CONFIG_HZ, CONFIG_NO_SUCH_OPTION, LINUX_KERNEL_VERSION, then the bool.
  expect(toHex(data as Uint8Array)).toBe("fa000000000000000012060001");
  expect(() => applyKconfig(spec, { version: 1, options: new Map() })).toThrow(
    ".kconfig: extern CONFIG_BPF_SYSCALL is not in the kernel's configuration",
  );
  expect(() => applyKconfig(spec, { version: 1, options: new Map([["CONFIG_BPF_SYSCALL", "7"]]) })).toThrow(
    "7 is no _Bool",
  );
});

test.skipIf(skip ?? !existsSync("/proc/config.gz"))("this kernel's configuration has what the program asks", () => {
  const options = parseKconfig(gunzipSync(readFileSync("/proc/config.gz")).toString());
  expect(options.get("CONFIG_BPF_SYSCALL")).toBe("y");
});
