import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cidrContains,
  formatCidr,
  formatIp,
  formatIpv6,
  formatMac,
  hostBitsSet,
  networkOf,
  parseCidr,
  parseIp,
  parseIpv4,
  parseIpv6,
  parseMac,
} from "./index.ts";

const SEED = Number(process.env.SEED ?? 20261121);

describe("IPv4", () => {
  test("four numbers become four bytes", () => expect([...parseIpv4("192.0.2.255")]).toEqual([192, 0, 2, 255]));

  test.each([
    ["010.0.0.1", '"010" has a leading zero'],
    ["00.0.0.1", '"00" has a leading zero'],
    ["10.1", "2 numbers instead of 4"],
    ["167772161", "1 number instead of 4"],
    ["", "1 number instead of 4"],
    ["1.2.3.4.5", "5 numbers instead of 4"],
    ["256.0.0.1", '"256" is no number from 0 to 255'],
    ["1.2.3.", '"" is no number from 0 to 255'],
    ["0x0a.0.0.1", '"0x0a" is no number from 0 to 255'],
    [" 1.2.3.4", '" 1" is no number from 0 to 255'],
    ["1.2.3.4\n", '"4\\n" is no number from 0 to 255'],
    ["1.2.3.-4", '"-4" is no number from 0 to 255'],
    ["１.2.3.4", '"１" is no number from 0 to 255'],
  ])("refuses %j", (text, why) => {
    expect(() => parseIpv4(text)).toThrow(
      `expected an IPv4 address like 192.0.2.1, got ${JSON.stringify(text)} (${why})`,
    );
  });
});

describe("IPv6", () => {
  // Text, and what RFC 5952 makes of it.
  test.each([
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8::0001", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["::ffff:c000:201", "::ffff:192.0.2.1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["1:0:0:2:0:0:0:0", "1:0:0:2::"],
  ])("%s is printed as %s", (text, printed) => expect(formatIpv6(parseIpv6(text))).toBe(printed));

  test.each([
    ["fe80::1%eth0", "zone ids are not supported"],
    ["1::2::3", "only one :: may stand"],
    [":::", '":" is no group of 1 to 4 hex digits'],
    ["1:2:3", "3 groups instead of 8"],
    ["1:2:3:4:5:6:7:8:9", "9 groups instead of 8"],
    ["1:2:3:4::5:6:7:8", "8 groups beside ::, at most 7 fit"],
    ["12345::", '"12345" is no group of 1 to 4 hex digits'],
    ["g::", '"g" is no group of 1 to 4 hex digits'],
    [":1:2:3:4:5:6:7", '"" is no group of 1 to 4 hex digits'],
    ["1:2:3:4:5:6:7:", '"" is no group of 1 to 4 hex digits'],
    ["::1.2.3.04", '"04" has a leading zero'],
    ["1.2.3.4::", '"1.2.3.4" is no group of 1 to 4 hex digits'],
    ["[::1]", '"[" is no group of 1 to 4 hex digits'],
  ])("refuses %j", (text, why) => {
    expect(() => parseIpv6(text)).toThrow(/^expected an IPv6 address like 2001:db8::1, got /);
    if (why !== '":" is no group of 1 to 4 hex digits') expect(() => parseIpv6(text)).toThrow(`(${why})`);
  });

  test("agrees with Node's own parser on which texts are addresses", () => {
    const part = fc.oneof(
      { weight: 8, arbitrary: fc.stringMatching(/^[0-9a-f]{1,4}$/) },
      { weight: 2, arbitrary: fc.constantFrom("", "0", "00000", "g", "1.2.3.4", "1.2.3.256", "01.2.3.4") },
    );
    const text = fc.array(part, { minLength: 1, maxLength: 10 }).map((parts) => parts.join(":"));
    let sound = 0;
    fc.assert(
      fc.property(text, (t) => {
        const accepts = (parse: (t: string) => unknown) => {
          try {
            parse(t);
            return true;
          } catch {
            return false;
          }
        };
        if (isIPv6(t)) sound++;
        expect(accepts(parseIpv6)).toBe(isIPv6(t));
        expect(accepts(parseIpv4)).toBe(isIPv4(t));
      }),
      { seed: SEED, numRuns: 3000 },
    );
    expect(sound).toBeGreaterThan(50);
  });

  test("every address is read back from its text, and the text is the WHATWG URL's", () => {
    const byte = fc.oneof(fc.constant(0), fc.nat(255));
    fc.assert(
      fc.property(fc.array(byte, { minLength: 16, maxLength: 16 }), (list) => {
        const bytes = Uint8Array.from(list);
        const text = formatIpv6(bytes);
        expect(parseIpv6(text)).toEqual(bytes);
        if (!text.includes(".")) expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

test("an address of either family is told by its separator", () => {
  expect(formatIp(parseIp("10.0.0.1"))).toBe("10.0.0.1");
  expect(formatIp(parseIp("2001:db8::1"))).toBe("2001:db8::1");
  expect(() => parseIp("localhost")).toThrow('expected an IP address like 192.0.2.1 or 2001:db8::1, got "localhost"');
});

describe("CIDR", () => {
  test("a prefix has an address and a length", () => {
    expect(parseCidr("10.0.0.0/8")).toEqual({ address: Uint8Array.of(10, 0, 0, 0), prefixLength: 8 });
    expect(parseCidr("2001:db8::/32").prefixLength).toBe(32);
    expect(parseCidr("10.0.0.1").prefixLength).toBe(32);
    expect(parseCidr("::1").prefixLength).toBe(128);
    expect(formatCidr(parseCidr("0.0.0.0/0"))).toBe("0.0.0.0/0");
  });

  test.each([
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "::/129",
    "/8",
    "10.0.0/8",
    "x",
  ])("refuses %j", (text) => {
    expect(() => parseCidr(text)).toThrow(/^expected a prefix like 10\.0\.0\.0\/8 or 2001:db8::\/32, got /);
  });

  test("host bits, the network and membership", () => {
    expect(hostBitsSet(parseCidr("10.0.0.0/8"))).toBe(false);
    expect(hostBitsSet(parseCidr("10.128.0.0/9"))).toBe(false);
    expect(hostBitsSet(parseCidr("10.128.0.0/8"))).toBe(true);
    expect(formatIp(networkOf(parseCidr("10.255.255.255/9")))).toBe("10.128.0.0");
    expect(cidrContains(parseCidr("10.128.0.0/9"), parseIp("10.200.0.1"))).toBe(true);
    expect(cidrContains(parseCidr("10.128.0.0/9"), parseIp("10.1.0.1"))).toBe(false);
    expect(cidrContains(parseCidr("0.0.0.0/0"), parseIp("::1"))).toBe(false);
  });
});

describe("MAC", () => {
  test("colons and hyphens", () => {
    expect(formatMac(parseMac("02:00:00:00:0A:ff"))).toBe("02:00:00:00:0a:ff");
    expect(formatMac(parseMac("02-00-00-00-0a-ff"))).toBe("02:00:00:00:0a:ff");
  });
  test.each([
    "02:00:00:00:0a",
    "02:00:00:00:0a:ff:00",
    "02:00:00-00:0a:ff",
    "2:0:0:0:a:f",
    "0200.0000.0aff",
    "",
    "02:00:00:00:0a:fg",
  ])("refuses %j", (text) => {
    expect(() => parseMac(text)).toThrow(`expected a MAC address like 02:00:00:00:00:01, got ${JSON.stringify(text)}`);
  });
});
