/* SPDX-License-Identifier: GPL-2.0 */
/* parse: turns headers into values. The IP header itself: parse4.h, parse6.h. */

/* A first fragment without the whole header would hide it in the next (RFC 1858, RFC 7112). */
INLINE int cut_off(const PACKET* p) {
  return p->fragment ? SLUICE_REASON_FRAGMENT_TINY : SLUICE_REASON_TRUNCATED;
}

/* The two ports that TCP, UDP and SCTP begin with; false: one of them is 0. */
INLINE bool take_ports(PACKET* p, const void* transport) {
  __u32 ports = *(const __u32*)transport;
  *(__u32*)&p->key.source_port = ports;
  return (ports & 0xFFFF) && ports >> 16;
}

/* `length`, here and below: of the IP packet behind its headers; of a first fragment, what there is of it. */
INLINE int parse_tcp(const void* data, const void* end, PACKET* p, __u32 length) {
  const struct tcphdr* tcp = data + l4_offset(p);
  if (length < TCP_LENGTH || (const void*)(tcp + 1) > end) return cut_off(p);
  __u32 header = (((const __u8*)tcp)[12] >> 4) * 4;
  __u8 flags = ((const __u8*)tcp)[13];
  if (header < TCP_LENGTH || ((flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST)))) return SLUICE_REASON_BAD_L4_HEADER;
  if (header > length) return p->fragment ? SLUICE_REASON_FRAGMENT_TINY : SLUICE_REASON_BAD_L4_HEADER;
  p->tcp_flags = flags;
  p->sequence = bpf_ntohl(tcp->seq);
  p->acknowledgement = bpf_ntohl(tcp->ack_seq);
  p->payload = length - header;
  return take_ports(p, tcp) ? 0 : SLUICE_REASON_ZERO_PORT;
}

INLINE int parse_udp(const void* data, const void* end, PACKET* p, __u32 length) {
  const struct udphdr* udp = data + l4_offset(p);
  if (length < UDP_LENGTH || (const void*)(udp + 1) > end) return cut_off(p);
  __u32 claimed = bpf_ntohs(udp->len);
  if (claimed < UDP_LENGTH || (claimed > length && !p->fragment)) return SLUICE_REASON_BAD_L4_HEADER;
  return take_ports(p, udp) ? 0 : SLUICE_REASON_ZERO_PORT;
}

/* Echo requests carry their id as source port, replies as destination port, so that a reply's tuple is the
 * request's turned around; RFC 5508 section 3.1 tracks queries by their id in the same way. */
INLINE int parse_icmp(const void* data, const void* end, PACKET* p, __u32 length) {
  const struct icmp_header* icmp = data + l4_offset(p);
  if (length < ICMP_LENGTH || (const void*)(icmp + 1) > end) return cut_off(p);
  p->icmp_type = icmp->type;
  if (icmp->code == 0 && icmp->type == ECHO_REQUEST) {
    p->key.source_port = icmp->id;
    p->tracked = 1;
  } else if (icmp->code == 0 && icmp->type == ECHO_REPLY) {
    p->key.destination_port = icmp->id;
    p->tracked = 1;
  }
  p->payload = length - ICMP_LENGTH;
  return 0;
}

/* RFC 9260 section 3. A packet that asks for an association has tag 0 and one chunk, INIT; nobody else may have tag 0
 * (8.5.1), so that no chunk in a later place can be one. */
INLINE int parse_sctp(const void* data, const void* end, PACKET* p, __u32 length) {
  const __be32* words = data + l4_offset(p); /* ports, verification tag, checksum */
  if (length < SCTP_LENGTH || (const void*)(words + 3) > end) return cut_off(p);
  const __u8* chunk = (const __u8*)(words + 3);
  p->sctp_init = words[1] == 0 && length > SCTP_LENGTH && (const void*)(chunk + 1) <= end && *chunk == SCTP_INIT;
  p->payload = length;
  return take_ports(p, words) ? 0 : SLUICE_REASON_ZERO_PORT;
}

/* What the IP header, or the fragment header, says of a packet that is no whole datagram; `before`: bytes in front that
 * count in the longest packet. 0 or a reason. */
OUTLINE int note_fragment(PACKET* p, __u32 begin, bool more, __u32 length, __u32 before) {
  if (length == 0 || (more && length % 8) || before + begin + length > MAX_PACKET)
    return SLUICE_REASON_FRAGMENT_MALFORMED;
  p->fragment = begin == 0 ? FIRST_FRAGMENT : more ? LATER_FRAGMENT : LAST_FRAGMENT;
  p->fragment_begin = begin;
  p->fragment_end = begin + length;
  /* Who puts overlapping fragments together by the later one would take another TCP header (RFC 3128). */
  __u32 header = p->protocol == IPPROTO_TCP ? TCP_LENGTH : p->protocol == IPPROTO_SCTP ? SCTP_LENGTH : 0;
  if (begin && begin < header) return SLUICE_REASON_FRAGMENT_TINY;
  return 0;
}

/* The transport header of a packet whose IP header is good; 0 or a reason. */
INLINE int parse_transport(const void* data, const void* end, PACKET* p, __u32 length) {
  if (is_later_fragment(p)) return 0;
  switch (p->protocol) {
    case IPPROTO_TCP:
      p->tracked = 1;
      return parse_tcp(data, end, p, length);
    case IPPROTO_UDP:
      p->tracked = 1;
      return parse_udp(data, end, p, length);
    case IPPROTO_SCTP:
      p->tracked = 1;
      return parse_sctp(data, end, p, length);
    case ICMP_PROTOCOL:
      return parse_icmp(data, end, p, length);
    default:
      return 0;
  }
}
