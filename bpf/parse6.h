/* SPDX-License-Identifier: GPL-2.0 */
/* parse: the IPv6 header and its extension headers. */

/* Version and lengths. `length` becomes that of the packet behind the header. A jumbogram (RFC 2675) has length 0 there
 * and an option: it is refused like any other wrong length. 0 or a reason. */
INLINE int parse_ip_fields(const IP_HEADER* ip, PACKET* p, __u32* length) {
  if (*(const __u8*)ip >> 4 != 6) return SLUICE_REASON_BAD_IP_HEADER;
  *length = bpf_ntohs(ip->payload_len);
  if (*length + IP_LENGTH > p->length - ETHERNET_LENGTH || (*length == 0 && ip->nexthdr == IPPROTO_HOPOPTS))
    return SLUICE_REASON_BAD_IP_LENGTH;
  return 0;
}

INLINE void take_addresses(const IP_HEADER* ip, PACKET* p) {
  copy_address(&p->key.source, &ip->saddr);
  copy_address(&p->key.destination, &ip->daddr);
}

/* The first next header; find_transport() walks on from there. */
INLINE void take_protocol(const IP_HEADER* ip, PACKET* p) {
  p->protocol = ip->nexthdr;
  p->ttl = ip->hop_limit;
  p->transport = ETHERNET_LENGTH + IP_LENGTH;
}

INLINE bool is_extension_header(__u8 next) {
  return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_FRAGMENT;
}

/* Bounds of the walk: headers, and bytes from the frame's start to the transport header (RFC 8504 section 5.3 lets a
 * node have such limits). */
#define MAX_EXTENSION_HEADERS 6
#define MAX_TRANSPORT_OFFSET 200

#define FRAGMENT_MORE 0x0001
#define FRAGMENT_OFFSET 0xFFF8 /* in units of one byte, as it stands */

/* A fragment header (RFC 8200 4.5) at `offset`, with `left` bytes from there on; there is at most one. */
INLINE int take_fragment(struct __sk_buff* skb, PACKET* p, __u32 offset, __u32 left) {
  __be16 header[4]; /* next header, reserved; offset and flags; identification */
  if (bpf_skb_load_bytes(skb, offset, header, sizeof(header))) return SLUICE_REASON_TRUNCATED;
  __u32 field = bpf_ntohs(header[1]);
  p->protocol = *(const __u8*)header;
  if (!(field & (FRAGMENT_MORE | FRAGMENT_OFFSET))) return 0; /* atomic: a packet like any other (RFC 6946) */
  p->fragment_id = header[2] | (__u32)header[3] << 16;
  return note_fragment(p, field & FRAGMENT_OFFSET, field & FRAGMENT_MORE, left - 8,
                       offset - ETHERNET_LENGTH - IP_LENGTH);
}

/* Walks over hop-by-hop (first only), destination, routing and fragment headers (RFC 8200). Each but the last has its
 * length in units of eight bytes, so there is no loop but the bound. A routing header that still has segments to visit
 * would let a tenant choose the way (RFC 5095, RFC 8200 4.4): refused. What follows the fragment header of a later
 * fragment is data. `length` becomes that behind all headers. 0 or a reason. */
OUTLINE int walk_extension_headers(struct __sk_buff* skb, PACKET* p, __u32* length) {
  __u32 offset = ETHERNET_LENGTH + IP_LENGTH, left = *length;
  bool seen = false; /* a fragment header */
  for (int i = 0; i < MAX_EXTENSION_HEADERS && is_extension_header(p->protocol); i++) {
    __u8 header[4]; /* next header, length; routing: type, segments left */
    if (left < 8 || bpf_skb_load_bytes(skb, offset, header, sizeof(header))) return cut_off(p);
    if (p->protocol == IPPROTO_FRAGMENT) {
      if (seen) return SLUICE_REASON_EXTENSION_HEADER;
      seen = true;
      int reason = take_fragment(skb, p, offset, left);
      if (reason) return reason;
      offset += 8;
      left -= 8;
      if (offset > MAX_TRANSPORT_OFFSET) return SLUICE_REASON_EXTENSION_HEADER;
      if (is_later_fragment(p)) break;
      continue;
    }
    __u32 size = 8 + 8 * (__u32)header[1];
    if (size > left) return cut_off(p);
    if ((p->protocol == IPPROTO_HOPOPTS && i > 0) || (p->protocol == IPPROTO_ROUTING && header[3] != 0))
      return SLUICE_REASON_EXTENSION_HEADER;
    offset += size;
    left -= size;
    if (offset > MAX_TRANSPORT_OFFSET) return SLUICE_REASON_EXTENSION_HEADER;
    p->protocol = header[0];
  }
  if (is_extension_header(p->protocol) && !is_later_fragment(p)) return SLUICE_REASON_EXTENSION_HEADER;
  p->transport = offset;
  *length = left;
  /* What follows reads the transport header directly. */
  __u32 wanted = offset + TCP_LENGTH;
  if ((__u32)((long)skb->data_end - (long)skb->data) < wanted)
    bpf_skb_pull_data(skb, skb->len < wanted ? skb->len : wanted);
  return 0;
}

/* Finds the transport header; afterwards the key is complete but for its ports. Packet pointers end here. */
INLINE int find_transport(struct __sk_buff* skb, PACKET* p, __u32* length) {
  if (is_extension_header(p->protocol)) {
    int reason = walk_extension_headers(skb, p, length);
    if (reason) return reason;
  }
  p->key.network_protocol = p->network | (__u32)p->protocol << 24;
  return 0;
}

INLINE void write_addresses(IP_HEADER* ip, struct sluice_address6 source, struct sluice_address6 destination) {
  copy_address(&ip->saddr, &source);
  copy_address(&ip->daddr, &destination);
}

/* Changes the addresses and counts the hop. IPv6 has no checksum of its own. */
INLINE void route_ip(IP_HEADER* ip, struct sluice_address6 source, struct sluice_address6 destination, __u32 delta) {
  ip->hop_limit--;
  write_addresses(ip, source, destination);
}

#define ANSWER_HOP_LIMIT 64

INLINE void write_answer_ip(IP_HEADER* ip, const PACKET* p, struct sluice_address6 from, __u16 length, __u8 protocol) {
  *(__be32*)ip = bpf_htonl(0x60000000);
  ip->payload_len = bpf_htons(length);
  ip->nexthdr = protocol;
  ip->hop_limit = ANSWER_HOP_LIMIT;
  write_addresses(ip, from, p->key.source);
}

INLINE void turn_ip_around(IP_HEADER* ip, const PACKET* p) {
  ip->hop_limit = ANSWER_HOP_LIMIT;
  write_addresses(ip, p->key.destination, p->key.source);
}
