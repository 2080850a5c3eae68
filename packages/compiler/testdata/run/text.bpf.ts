//! Texts: kernel functions and helpers that compare and search them.
//! run 474554202f696e6465782e68746d6c00 -> 42
//! run 504f5354202f696e6465782e68746d00 -> 5
import { array, bytes, license, strchr, strcmp, strlen, strncmp, strnstr, strstr, xdp, xdpLoadBytes } from "ebplane/bpf";

license("GPL");
export const texts = array(bytes(16), { maxEntries: 1 });

export const main = xdp((ctx) => {
  const text = texts.lookup(0);
  if (!text) return 0;
  if (xdpLoadBytes(ctx, 0, text) !== 0) return 1;
  if (strlen("hello") !== 5 || strcmp("abc", "abd") !== -1) return 2;
  if (strncmp(text, "POST /index.htm") === 0) return strchr(text, 0x2f);
  const file = strstr(text, "/index");
  return file === 4 && strnstr(text, "html", 16) === 11 && strlen(text) === 15 ? 42 : 3;
});
