//! Random program 20660: an edge was threaded past a loop's own values.
//! run 01264b7095badf04294e7398bde2072c51769bc0e50a2f54799ec3e80d32577ca1c6eb10355a7fa4c9ee13385d82a7ccf1163b6085aacff4193e6388add2f71c -> 19374 01a64b7000000006294e7398bde2072c51769bc0e50a2f54799ec3e80d32577ca1c6eb10355a7fa4c9ee13385d82a7ccf1163b6085aacff4193e6388add2f71c
//! run 024c96e02a74be08529ce6307ac40e58a2ec3680ca145ea8f23c86d01a64aef8428cd6206ab4fe4892dc2670ba044e98e22c76c00a549ee8327cc6105aa4ee38 -> 38494 026c96e000000006529ce6307ac40e58a2ec3680ca145ea8f23c86d01a64aef8428cd6206ab4fe4892dc2670ba044e98e22c76c00a549ee8327cc6105aa4ee38
import { array, be16, be32, be64, bits, header, htonl, i8, i16, i32, i64, ntohl, ntohll, ntohs, range, struct, u8, u16, u32, u64, xdp } from "ebplane/bpf";
const Value = struct({ a: u32, b: u64, c: u16, d: i32, e: u8, f: i16, g: i64 });
export const values = array(Value, { maxEntries: 4 });
const Head = header({ y: u8, n3: bits(3), n5: bits(5), h: be16, w: be32, q: be64, n7: bits(7), n13: bits(13), n12: bits(12) });
function f0(p1: i64, p2: u32, p3: u8): u8 {
const s4 = Value({ c: u16((false ? u32(0) : p3)), d: i32((i32((-1)) >> 3)), e: u8(u8(p1)) });
if ((((s4.d) > i32(2015786757)) || (true || false))) {
if ((((s4.b + s4.b)) !== 255n)) {
let v5: u16 = u16(((p2 >>> 19) << (p3 >> 1)));
p2 ^= ((p3 / s4.c) * (false ? v5 : p3));
const s6 = Value({ b: u64(s4.b), e: u8((p3 << 17)), g: i64(s4.g) });
}
p2 *= u32(2147483647);
} else {
p1 = i64((s4.g >> ((s4.b | s4.b) >>> 21n)));
p1 = i64((p1 ^ 117011678n));
}
return u8(((~p3) * (~u32(1))));
}
export const main = xdp((ctx) => {
const head = ctx.header(Head);
if (!head) return 0;
let v7: i32 = i32((((true ? i32(500067992) : i32(1091595278)) - i32((-65536))) | 2));
const v8: i64 = i64((((false && false) && ((i64(ntohll(head.q))) >= i64((-8n)))) ? i64(17326973632n) : (~(i64(ntohll(head.q)) << 49n))));
head.n3 = (head.n13 >> 6) & 7;
v7++;
switch (((-head.n3) + (head.y - u32(256))) & 3) {
case 0: {
v7--;
}
break;
case 1: {
const v9 = false;
switch ((u32(1135571538) & u8(u64(548146908733n))) & 3) {
case 0: {
const v10: i16 = i16(i16(((u64(1694973590017726910n) >>> 2n) ^ 1254124620n)));
if (v9) {
v7++;
let v11: i16 = i16((v10 | (-v10)));
let v12: u64 = u64(((ntohll(head.q) | 255n) << (~ntohll(head.q))));
} else {
v7--;
const s13 = Value({ b: u64((~u64(1n))), c: u16(u32(1993988239)), f: i16((-v10)), g: i64((i64(ntohll(head.q)) + i64((-289104223n)))) });
}
}
break;
case 1: {
if (((u64(u32(1932374429))) === 143945879n)) {
let v14: u32 = u32(((u32(39645612) ^ u32(253955626)) >>> 4));
v14++;
} else {
const v15: u64 = u64(u64(2n));
v7--;
}
const s16 = Value({ a: u32((head.n13 - u32(974594345))), b: u64((v9 ? ntohll(head.q) : u64(1548328252n))), c: u16((v9 ? head.n13 : u32(2147483647))), d: i32((v7 >> 6)), e: u8(u8(ntohll(head.q))), g: i64((i64(65535n) >> ntohll(head.q))) });
}
break;
case 2: {
v7--;
for (const n17 of range(4)) {
v7 = i32(i32(head.n3));
let v18: i64 = i64(((~i64(ntohll(head.q))) & i64(i64((-862298379n)))));
}
}
break;
case 137: {
if ((((u32(8) + u32(2122594975))) <= head.y)) {
const s19 = Value({ d: i32((v7 - v7)), e: u8(u32(v8)) });
}
}
break;
default: {
const v20: i64 = i64((-v8));
}
}
}
break;
case 2: {
const s21 = Value({ a: u32((u32(1) << 23)), d: i32((v7 | 1676435853)), f: i16(i32(ntohl(head.w))) });
const s22 = Value(s21);
}
break;
case 296: {
const v23: u16 = u16((-u16(((i32(ntohl(head.w)) - (-650916363)) + i32(7051079)))));
}
default: {
v7 = i32(v7);
}
}
v7 = i32((false ? (i32(u64(3276285034278301322n)) & 948902808) : ((v7 + v7) << 2)));
let v24: u32 = u32((u32((((v7 << 6) & 1759553946) << ((ntohl(head.w) - head.n3) + 65535))) >>> 12));
switch (((u32(2118829891) + 1) * (v24 * head.n13)) & 3) {
case 0: {
for (let n25: u32 = 0; n25 < 2; n25++) {
v7++;
head.w = htonl(f0(i64((~v8)), u32((n25 / 255)), u8(u32(2))));
v24 = u32((u8((-i64(ntohll(head.q)))) | f0(i64((i64((-1970257078n)) - v8)), u32(f0(i64(i64(ntohll(head.q))), u32(n25), u8(u32(255)))), u8(f0(i64(v8), u32(u32(396423102)), u8(v24))))));
}
if ((((i32(ntohl(head.w)) | v7)) !== 8)) return u32((ntohs(head.h) ^ v24));
}
break;
case 1: {
const m26 = values.lookup(f0(i64(i64(547952262638n)), u32(ntohl(head.w)), u8(head.n3)) & 3);
if (m26) {
m26.c = u16((u32(ntohll(head.q)) >>> 22));
}
}
break;
case 2: {
if ((((true ? v8 : v8)) > (i64(831573154n) << 47n))) {
if ((((v24 * 8)) > (v24 << 18))) {
v7 ^= ((v7 ^ v7) / (-2));
let v27: i8 = i8((~(v7 >> 23)));
}
const s28 = Value({ a: u32((v24 << u32(378615934))), b: u64((u64(952345615n) % u64(140736947904481n))), c: u16((-v24)), f: i16((v7 ^ v7)) });
}
}
break;
case 234: {
let v29: u64 = u64(u64((~i64((true && false)))));
const v30: i16 = i16(((~(((v29) <= v29) ? (v7 >> 13) : (v7 & v7))) - i8((~(~v8)))));
}
break;
}
let v31: i32 = i32(((~(((v7 << v24) * (v7 | i32(head.n13))) % ((v7 << 10) - (-580819364)))) * i32(head.n13)));
return u32(((~(head.y / u32(65535))) ^ f0(i64((v8 | v8)), u32(u32(ntohll(head.q))), u8((ntohs(head.h) - 7)))));
});
