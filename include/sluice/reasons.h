/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The one list of verdict reasons. Every packet that a program sees ends with exactly one of them. C enum, names,
 * help texts, counters and docs/reasons.md are generated from this list.
 *
 * SLUICE_REASONS(X) calls X(NAME, name, class, help):
 *   class FORWARD  delivered or handed on by us
 *         PASS     not ours: left to the host's stack untouched
 *         REPLY    the datapath answered it itself (the packet is turned around)
 *         DROP     deliberately dropped
 * Append only, before the end: the numbers are part of the ABI.
 */
#ifndef SLUICE_REASONS_H
#define SLUICE_REASONS_H

/* clang-format off */
#define SLUICE_REASONS(X) \
  X(NONE, none, DROP, "no verdict was given; a defect if it is ever counted") \
  X(TO_POD, to_pod, FORWARD, "delivered to a pod of the same network") \
  X(TO_BACKEND, to_backend, FORWARD, "delivered to a backend of a service or floating IP") \
  X(TO_CLIENT, to_client, FORWARD, "reply of a backend, translated back and delivered to the client pod") \
  X(TO_UPLINK, to_uplink, FORWARD, "reply of a floating IP's backend, translated back and sent out of the uplink") \
  X(FOREIGN, foreign, PASS, "not addressed to anything of ours: left to the host") \
  X(XDP_TO_TC, xdp_to_tc, PASS, "ours: handed by XDP to the tc program of the same device") \
  X(ARP_ANSWERED, arp_answered, REPLY, "ARP request answered by the datapath") \
  X(ECHO_ANSWERED, echo_answered, REPLY, "ping of the router or of a floating IP answered by the datapath") \
  X(REFUSED_TCP, refused_tcp, REPLY, "refused with a TCP reset: no such service port, no ready backend, or no such connection") \
  X(REFUSED_UNREACHABLE, refused_unreachable, REPLY, "refused with ICMP port unreachable: no such service port or no ready backend") \
  X(NO_PORT, no_port, DROP, "the device has no port record: no pod is attached to it (yet)") \
  X(TRUNCATED, truncated, DROP, "shorter than its headers") \
  X(BAD_IP_HEADER, bad_ip_header, DROP, "IP version or header length is wrong") \
  X(BAD_IP_LENGTH, bad_ip_length, DROP, "IP total length does not fit the frame or its headers") \
  X(BAD_L4_HEADER, bad_l4_header, DROP, "TCP, UDP or ICMP header is wrong (TCP data offset, UDP length, flag combination)") \
  X(IP_OPTIONS, ip_options, DROP, "IP options are not carried") \
  X(FRAGMENT, fragment, DROP, "fragment of what is only carried or answered whole: ICMP error, ping of the router or a floating IP, or a later fragment of a datagram that no flow and no pod owns") \
  X(VLAN, vlan, DROP, "VLAN tagged frame from a pod") \
  X(ETHERTYPE, ethertype, DROP, "neither IPv4 nor IPv6 nor ARP") \
  X(NO_FAMILY, no_family, DROP, "the pod has no address of this family (IPv4 or IPv6)") \
  X(MULTICAST, multicast, DROP, "multicast destination") \
  X(BROADCAST, broadcast, DROP, "broadcast destination") \
  X(SPOOFED_MAC, spoofed_mac, DROP, "source MAC is not the pod's own") \
  X(SPOOFED_IP, spoofed_ip, DROP, "source address is not the pod's own") \
  X(SPOOFED_ARP, spoofed_arp, DROP, "ARP sender fields are not the pod's own") \
  X(MARTIAN, martian, DROP, "source address that cannot be one: loopback, multicast, broadcast, zero, or a floating IP from outside") \
  X(LAND, land, DROP, "source and destination are the same") \
  X(ZERO_PORT, zero_port, DROP, "source or destination port is zero") \
  X(ARP_MALFORMED, arp_malformed, DROP, "not an Ethernet/IPv4 ARP request") \
  X(ARP_NO_TARGET, arp_no_target, DROP, "ARP request for an address that nobody has in this network") \
  X(ARP_OWN_ADDRESS, arp_own_address, DROP, "ARP announcement or probe for the pod's own address: nothing to answer") \
  X(NO_SUCH_ADDRESS, no_such_address, DROP, "no pod or service has this address in this network") \
  X(POD_DETACHED, pod_detached, DROP, "the pod exists but is not attached on this node") \
  X(NO_EGRESS, no_egress, DROP, "destination outside the network, which has no way out (in this family)") \
  X(ROUTER_CLOSED, router_closed, DROP, "the router answers ARP and ping and nothing else") \
  X(PROTOCOL, protocol, DROP, "ping of a service without a backend, or an echo reply to a service: nothing to answer") \
  X(ICMP_ERROR, icmp_error, DROP, "ICMP to a service or floating IP that is neither ping nor an error about one of its flows") \
  X(NO_CONNECTION, no_connection, DROP, "TCP without SYN and without a flow, from the public side; SCTP but an INIT without a flow") \
  X(REFUSAL_LIMITED, refusal_limited, DROP, "would have been refused with an answer, but the network's rate of refusals is used up") \
  X(NETWORK_CAP, network_cap, DROP, "the network has used its share of the flow table") \
  X(HALF_OPEN_CAP, half_open_cap, DROP, "the network has too many half-open flows from the public side") \
  X(FLOW_TABLE_FULL, flow_table_full, DROP, "no room for a new flow; live flows are never evicted") \
  X(FLOW_COLLISION, flow_collision, DROP, "another flow owns the translated tuple and no substitute port was free") \
  X(FLOW_CONTENDED, flow_contended, DROP, "two CPUs made or removed the same flow at the same time; the sender's retry passes") \
  X(TABLE_CHANGED, table_changed, DROP, "a table record changed while it was read; the sender's retry passes") \
  X(STALE_ENDPOINT, stale_endpoint, DROP, "the chosen backend's pod was just removed or attached anew") \
  X(REWRITE_FAILED, rewrite_failed, DROP, "the kernel refused to change the packet") \
  X(DELIVERY_FAILED, delivery_failed, DROP, "the kernel refused the redirect") \
  X(ND_ANSWERED, nd_answered, REPLY, "IPv6 neighbour solicitation answered by the datapath") \
  X(ROUTER_ADVERTISED, router_advertised, REPLY, "IPv6 router solicitation answered by the datapath") \
  X(ND_MALFORMED, nd_malformed, DROP, "neighbour discovery message that RFC 4861 does not allow: hop limit, checksum, lengths") \
  X(ND_NO_TARGET, nd_no_target, DROP, "neighbour solicitation for an address that nobody has in this network") \
  X(ND_OWN_ADDRESS, nd_own_address, DROP, "solicitation or advertisement of the pod's own address: nothing to answer") \
  X(SPOOFED_ND, spoofed_nd, DROP, "neighbour discovery in somebody else's name, router advertisement or redirect of a pod") \
  X(SPOOFED_DHCP, spoofed_dhcp, DROP, "a pod plays DHCP server") \
  X(EXTENSION_HEADER, extension_header, DROP, "IPv6 extension headers in a wrong order, too many, or a source route; or an answer to a packet with some was due") \
  X(TIME_EXCEEDED, time_exceeded, REPLY, "the packet had come too far: the router told its sender") \
  X(REFUSED_PROTOCOL, refused_protocol, REPLY, "refused with ICMP protocol unreachable: a service carries TCP, UDP, SCTP and ping only; or SCTP to a port that nobody serves") \
  X(ERROR_TRANSLATED, error_translated, FORWARD, "ICMP error about a translated packet, translated like it and delivered") \
  X(FOREIGN_QUOTE, foreign_quote, DROP, "ICMP error about a packet that its sender cannot have received, or sent to somebody else than that packet's sender") \
  X(TOO_BIG, too_big, REPLY, "the packet was longer than the MTU of where it goes: the router told its sender") \
  X(FRAGMENT_UNKNOWN, fragment_unknown, DROP, "later IP fragment whose first one has not passed, or long ago: fragments are not held back") \
  X(FRAGMENT_OVERLAP, fragment_overlap, DROP, "IP fragment of bytes that have passed already: an overlap, a repetition, or one that another has overtaken") \
  X(FRAGMENT_TINY, fragment_tiny, DROP, "first IP fragment without the whole transport header, or a later one that would lie in it") \
  X(FRAGMENT_MALFORMED, fragment_malformed, DROP, "IP fragment with a length that cannot be: empty, not a multiple of eight, or beyond the longest packet") \
  X(FRAGMENT_TABLE_FULL, fragment_table_full, DROP, "too many fragmented datagrams of this network, or to this floating IP, at once") \
  X(TO_EGRESS, to_egress, FORWARD, "sent out of the uplink with the egress address as its source") \
  X(EGRESS_DENIED, egress_denied, DROP, "no pod may reach this address: it is the node's own, another node's, link-local, or configured so") \
  X(EGRESS_PORTS, egress_ports, DROP, "no free port was found at the egress address for this remote address and port") \
  X(EGRESS_QUOTA, egress_quota, DROP, "the pod has as many flows to the outside as it may have") \
  X(EGRESS_SHARE, egress_share, DROP, "the network holds its share of the egress address's ports for this remote address and port") \
  X(EGRESS_UNSOLICITED, egress_unsolicited, DROP, "from outside to a port of the egress address that no flow holds")
/* clang-format on */

enum sluice_reason {
#define SLUICE_REASON_ENUM(NAME, name, class, help) SLUICE_REASON_##NAME,
  SLUICE_REASONS(SLUICE_REASON_ENUM)
#undef SLUICE_REASON_ENUM
      SLUICE_REASON_COUNT
};

#endif /* SLUICE_REASONS_H */
