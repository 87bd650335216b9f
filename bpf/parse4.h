/* SPDX-License-Identifier: GPL-2.0 */
/* parse: the IPv4 header. Options are refused, so the transport header's offset is a constant. */

/* Lengths, version, options. `length` becomes that of the packet behind its header. 0 or a reason. */
INLINE int parse_ip_fields(const IP_HEADER* ip, PACKET* p, __u32* length) {
  __u8 version_length = *(const __u8*)ip;
  if (version_length >> 4 != 4 || (version_length & 15) < 5) return SLUICE_REASON_BAD_IP_HEADER;
  __u32 total = bpf_ntohs(ip->tot_len);
  if (total < (version_length & 15) * 4U || total > p->length - ETHERNET_LENGTH) return SLUICE_REASON_BAD_IP_LENGTH;
  if (version_length != 0x45) return SLUICE_REASON_IP_OPTIONS;
  *length = total - IP_LENGTH;
  return 0;
}

/* What the header says about the transport header; the tuple's ports excepted. */
INLINE void take_addresses(const IP_HEADER* ip, PACKET* p) {
  p->key.source = ip->saddr;
  p->key.destination = ip->daddr;
}

INLINE void take_protocol(const IP_HEADER* ip, PACKET* p) {
  p->protocol = ip->protocol;
  p->ttl = ip->ttl;
  p->key.network_protocol = p->network | (__u32)p->protocol << 24;
}

#define FRAGMENT_MORE 0x2000
#define FRAGMENT_OFFSET 0x1FFF /* in units of eight bytes */

/* `length`: behind the header. 0 or a reason. */
INLINE int take_fragment(const IP_HEADER* ip, PACKET* p, __u32 length) {
  if (!(ip->frag_off & bpf_htons(FRAGMENT_MORE | FRAGMENT_OFFSET))) return 0;
  __u32 field = bpf_ntohs(ip->frag_off);
  p->fragment_id = ip->id;
  return note_fragment(p, (field & FRAGMENT_OFFSET) * 8, field & FRAGMENT_MORE, length, IP_LENGTH);
}

/* Changes the addresses of the header, of which `delta` is the checksum difference, and counts the hop. */
INLINE void route_ip(IP_HEADER* ip, __be32 source, __be32 destination, __u32 delta) {
  __u16 hop = (__u16)~bpf_htons(0x0100); /* the time to live is the upper byte of its word */
  ip->check = (__u16)~checksum_fold((__u64)(__u16)~ip->check + delta + hop);
  ip->ttl--;
  ip->saddr = source;
  ip->daddr = destination;
}

#define ANSWER_TTL 64

/* A fresh header of an answer from `from` to the sender of `p`: DF, id 0 (RFC 6864 allows it for an atomic datagram).
 */
INLINE void write_answer_ip(IP_HEADER* ip, const PACKET* p, __be32 from, __u16 length, __u8 protocol) {
  __u8* bytes = (__u8*)ip;
  bytes[0] = 0x45;
  ip->tos = 0;
  ip->tot_len = bpf_htons(IP_LENGTH + length);
  ip->id = 0;
  ip->frag_off = bpf_htons(0x4000);
  ip->ttl = ANSWER_TTL;
  ip->protocol = protocol;
  ip->check = 0;
  ip->saddr = from;
  ip->daddr = p->key.source;
  ip->check = (__u16)~checksum_fold(sum_words(ip, IP_LENGTH / 2));
}

/* Turns the addresses of the packet's own header around. */
INLINE void turn_ip_around(IP_HEADER* ip, const PACKET* p) {
  ip->saddr = p->key.destination;
  ip->daddr = p->key.source;
  ip->ttl = ANSWER_TTL;
  ip->check = 0;
  ip->check = (__u16)~checksum_fold(sum_words(ip, IP_LENGTH / 2));
}
