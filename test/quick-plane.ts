/** A plane with one interface, for measuring the compiler: a parser, a firewall, a counter and a wire, about 400 lines in one program. */
export const PLANE = `
plane: quick
interfaces:
  wan: { xdp: inbound }
  lan: {}
functions:
  protocols: { type: counter }
  wire: { type: forward, to: lan, vlan: 100 }
  guard: { type: firewall, default: drop, rules: [{ name: web, action: pass, proto: tcp, dport: 80 }] }
chains:
  inbound: [protocols, wire, guard]
`;
