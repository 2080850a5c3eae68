//! Random program 30027: a spilled value shared its place with a key that was still wanted.
//! run 01264b7095badf04294e7398bde2072c51769bc0e50a2f54799ec3e80d32577ca1c6eb10355a7fa4c9ee13385d82a7ccf1163b6085aacff4193e6388add2f71c -> 0 ea264b7095badf04294e7398bde2072c51769bc0e50a2f54799ec3e80d32577ca1c6eb10355a7fa4c9ee13385d82a7ccf1163b6085aacff4193e6388add2f71c
import { array, be16, be32, be64, bits, header, htonl, i8, i16, i32, i64, ntohl, ntohll, ntohs, range, struct, u8, u16, u32, u64, xdp } from "ebplane/bpf";
const Value = struct({ a: u32, b: u64, c: u16, d: i32, e: u8, f: i16, g: i64 });
export const values = array(Value, { maxEntries: 4 });
const Head = header({ y: u8, n3: bits(3), n5: bits(5), h: be16, w: be32, q: be64, n7: bits(7), n13: bits(13), n12: bits(12) });
function f0(p1: i32, p2: i32): u64 {
if (true) {
const v3: u64 = u64(((~(u64(1542880962n) % u64(7n))) ^ 867279924390365652n));
for (const n4 of range(2)) {
const v5: u32 = u32(((u32(721912414) / n4) ^ (n4 % 8)));
const v6: u16 = u16(((-n4) >>> 1));
}
const v7 = ((true && true) || ((v3) !== u64(16184688126n)));
} else {
if ((((i64((-7n)) ^ i64((-1507616509n)))) !== (i64((-65535n)) ^ 988578757n))) {
let v8: i32 = i32(p2);
const v9: u8 = u8((~(u32(256) ^ u32(2))));
}
}
return u64(((u64(1625530947n) & u64(8n)) & (true ? u64(556126151n) : u64(17422703916n))));
}
function f10(p11: u32, p12: i64): u16 {
let v13: u8 = u8((p11 % ((true ? (p11 >> u32(1299253642)) : p11) & (!false ? (~u32(256)) : (false ? p11 : p11)))));
const s14 = Value({ a: u32((p11 & u32(1))), d: i32(i32(2015118384)), e: u8((v13 + p11)), f: i16(i32((-1744882866))), g: i64((-i64((-65535n)))) });
for (let n15: u32 = 0; n15 < 1; n15++) {
const s16 = Value({ e: u8((v13 * 7)), g: i64((p12 % 4253348461506467634n)) });
if ((((i32(2147483647) | s16.f)) <= (i32((-2147483647)) << n15))) {
const v17: i16 = i16((((i32((-8))) > s16.f) ? (s16.d << 8) : (false ? s14.d : s16.d)));
v13 = u8(((~(n15 % 65535)) % p11));
} else {
p11++;
let v18: i64 = i64(((~s16.g) | (-1n)));
}
}
return u16((false ? (p11 * p11) : (u32(781746986) | p11)));
}
export const main = xdp((ctx) => {
const head = ctx.header(Head);
if (!head) return 0;
const v19 = true;
const v20: u16 = u16((((u32(2147483647) % head.n3) | 1061503280) >> 14));
let v21: u32 = u32(u8(!((i8((v20 % ntohs(head.h)))) < 1)));
if ((((i32(head.n13) + i32(ntohl(head.w)))) < (i32((-1617683212)) | (-1)))) {
v21 -= f10(u32((v21 >> ntohs(head.h))), i64((v19 ? i64((-1844811838n)) : i64(0n))));
switch ((~(v20 ^ 759119183)) & 3) {
case 0: {
if ((((~u64(126849439n))) <= 7n)) {
v21--;
} else {
let v22: i32 = i32((((i64(ntohll(head.q))) >= 8n) ? (i32(1959705739) & i32(410899955)) : i32(255)));
let v23: u8 = u8(head.y);
}
head.w = htonl(((~v21) << (v19 ? u32(255) : v21)));
}
break;
case 1: {
if ((((u64(2053477479n) - 16135001405n)) < 3207311737179160886n)) {
const s24 = Value({ a: u32((head.y >> 16)), b: u64((-ntohll(head.q))), e: u8(f10(u32(head.n13), i64(i64(1816440027n)))), f: i16((~i32(head.y))) });
}
v21 = u32(v20);
}
break;
case 2: {
let v25: i32 = i32((~((i32(head.n13) & i32(head.n13)) + 0)));
}
break;
case 290: {
const m26 = values.lookup((u32(65536) >>> u32(1633363021)) & 3);
if (m26) {
const s27 = Value({ a: u32((~v21)), b: u64((ntohll(head.q) + ntohll(head.q))), c: u16((v20 - 1)), g: i64((m26.g & m26.g)) });
const s28 = Value({ a: u32((-v21)), b: u64((u64(1n) + m26.b)), c: u16((v20 / v21)), d: i32(m26.f), f: i16(i32(head.y)) });
v21 |= (v20 / (v20 & v20));
}
}
break;
}
v21 += v20;
}
const s29 = Value({ a: u32(u32(i64((-555597798n)))), b: u64(f0(i32(i32(head.y)), i32(i32(head.n13)))), c: u16((~v20)), d: i32(i32(v20)), g: i64(i64(423706753630978757n)) });
const m30 = values.lookup(v20 & 3);
if (m30) {
const s31 = Value({ d: i32((~i32(1006572755))), e: u8((v21 + 65535)), g: i64(m30.g) });
for (let n32: u32 = 0; n32 < 4; n32++) {
const m33 = values.lookup((s29.a ^ n32) & 3);
if (m33) {
m33.e = u8(((n32 % v21) / 255));
}
switch (((n32 + 65535) & (n32 & 255)) & 3) {
case 0: {
const v34: u32 = u32((n32 + 255));
}
break;
case 1: {
v21 -= (((m30.b) === s31.b) ? (~s29.e) : (u32(2147483647) + v21));
}
break;
case 2: {
v21 += ((ntohl(head.w) + v20) * 0);
}
break;
case 241: {
v21 &= f10(u32((~v21)), i64((s29.g & i64(ntohll(head.q)))));
}
break;
}
}
}
values.update(v20 & 3, s29);
if (v19) {
const s35 = Value({ a: u32((v20 << v20)), d: i32((-s29.f)), e: u8((~v20)), g: i64((s29.g << 52n)) });
}
head.y = u8(s29.c);
return u32((-((v20 ^ v20) - (head.n13 / v20))));
});
