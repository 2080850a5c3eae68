/** Captures as the command reads and writes them: the file's name stands in every message. */
import { BpfError, CaptureError } from "@ebplane/core/errors";
import { type Capture, LINKTYPE_ETHERNET, readCapture } from "@ebplane/core/wire";
import { readBytes } from "./input.ts";
import { note } from "./output.ts";

/**
 * Reads a capture of Ethernet frames. A record that the file cuts short is told on stderr; what stands before it counts.
 * @throws BpfError with the file's name for a damaged capture, or one of another link type.
 */
export function openCapture(path: string): Capture {
  let capture: Capture;
  try {
    capture = readCapture(readBytes(path));
  } catch (e) {
    if (e instanceof CaptureError) throw new BpfError(e.code, `${path}: ${e.message}`);
    throw e;
  }
  const other = capture.packets.find((p) => p.linkType !== LINKTYPE_ETHERNET);
  if (other)
    throw new BpfError("ECAPTURE", `${path}: expected Ethernet frames (link type 1), got link type ${other.linkType}`);
  if (capture.truncated) {
    note(`${path}: ${capture.truncated.message}; the ${capture.packets.length} packets before it are used`);
  }
  return capture;
}
