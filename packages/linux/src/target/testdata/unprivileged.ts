/** Run by unprivileged.test.ts as nobody: prints what an ordinary user is told. */
import { kernelAvailable, linuxTarget } from "@ebplane/linux";
import { arrayMap, asmProgram, collectionOf } from "@ebplane/linux/testing";

console.log(JSON.stringify(kernelAvailable()));
for (const maps of [[arrayMap("hits")], []]) {
  try {
    linuxTarget().load(collectionOf([asmProgram("p", 6, "r0 = 2\nexit")], maps));
  } catch (error) {
    console.log((error as Error).message);
  }
}
