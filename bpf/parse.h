/* SPDX-License-Identifier: GPL-2.0 */
/* parse: turns headers into values. Options are refused, so every offset is a constant. */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

/* Headers that the parser may read: Ethernet, IPv4 and TCP without options. */
#define PARSE_LENGTH (L4_OFFSET + TCP_LENGTH)

/* Makes the headers linear; a device may leave them in pages. */
static __always_inline void pull_headers(struct __sk_buff* skb) {
  if ((long)skb->data_end - (long)skb->data < PARSE_LENGTH)
    bpf_skb_pull_data(skb, skb->len < PARSE_LENGTH ? skb->len : PARSE_LENGTH);
}

static __always_inline bool same_mac(const __u8* a, const __u8* b) {
  const __u16 *x = (const __u16*)a, *y = (const __u16*)b;
  return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline void copy_mac(__u8* to, const __u8* from) {
  __u16* x = (__u16*)to;
  const __u16* y = (const __u16*)from;
  x[0] = y[0];
  x[1] = y[1];
  x[2] = y[2];
}

/* The IPv4 header by itself: lengths, version, options. The addresses go into the key. */
static __always_inline int parse_ipv4_fields(const struct iphdr* ip, struct packet* p, __u32* total) {
  __u8 version_length = *(const __u8*)ip;
  if (version_length >> 4 != 4 || (version_length & 15) < 5) return SLUICE_REASON_BAD_IP_HEADER;
  *total = bpf_ntohs(ip->tot_len);
  if (*total < (version_length & 15) * 4U || *total > p->length - ETHERNET_LENGTH) return SLUICE_REASON_BAD_IP_LENGTH;
  if (version_length != 0x45) return SLUICE_REASON_IP_OPTIONS;
  return 0;
}

static __always_inline int parse_tcp(const void* data, const void* end, struct packet* p, __u32 total) {
  const struct tcphdr* tcp = data + L4_OFFSET;
  if (total < IPV4_LENGTH + TCP_LENGTH || (const void*)(tcp + 1) > end) return SLUICE_REASON_TRUNCATED;
  __u32 header = (((const __u8*)tcp)[12] >> 4) * 4;
  __u8 flags = ((const __u8*)tcp)[13];
  if (header < TCP_LENGTH || header > total - IPV4_LENGTH || ((flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST))))
    return SLUICE_REASON_BAD_L4_HEADER;
  p->key.source_port = tcp->source;
  p->key.destination_port = tcp->dest;
  p->tcp_flags = flags;
  p->sequence = bpf_ntohl(tcp->seq);
  p->acknowledgement = bpf_ntohl(tcp->ack_seq);
  p->payload = total - IPV4_LENGTH - header;
  return tcp->source && tcp->dest ? 0 : SLUICE_REASON_ZERO_PORT;
}

static __always_inline int parse_udp(const void* data, const void* end, struct packet* p, __u32 total) {
  const struct udphdr* udp = data + L4_OFFSET;
  if (total < IPV4_LENGTH + UDP_LENGTH || (const void*)(udp + 1) > end) return SLUICE_REASON_TRUNCATED;
  __u32 length = bpf_ntohs(udp->len);
  if (length < UDP_LENGTH || length > total - IPV4_LENGTH) return SLUICE_REASON_BAD_L4_HEADER;
  p->key.source_port = udp->source;
  p->key.destination_port = udp->dest;
  return udp->source && udp->dest ? 0 : SLUICE_REASON_ZERO_PORT;
}

/* Echo requests carry their id as source port, replies as destination port, so that a reply's tuple is the
 * request's turned around; RFC 5508 section 3.1 tracks queries by their id in the same way. */
static __always_inline int parse_icmp(const void* data, const void* end, struct packet* p, __u32 total) {
  const struct icmp_header* icmp = data + L4_OFFSET;
  if (total < IPV4_LENGTH + ICMP_LENGTH || (const void*)(icmp + 1) > end) return SLUICE_REASON_TRUNCATED;
  p->icmp_type = icmp->type;
  if (icmp->code == 0 && icmp->type == ICMP_ECHO) {
    p->key.source_port = icmp->id;
    p->tracked = 1;
  } else if (icmp->code == 0 && icmp->type == ICMP_ECHOREPLY) {
    p->key.destination_port = icmp->id;
    p->tracked = 1;
  }
  return 0;
}

/* The transport header of a packet whose IPv4 header is good; 0 or a reason. */
static __always_inline int parse_transport(const void* data, const void* end, struct packet* p, __u32 total) {
  switch (p->protocol) {
    case IPPROTO_TCP:
      p->tracked = 1;
      return parse_tcp(data, end, p, total);
    case IPPROTO_UDP:
      p->tracked = 1;
      return parse_udp(data, end, p, total);
    case IPPROTO_ICMP:
      return parse_icmp(data, end, p, total);
    default:
      return 0;
  }
}

#endif
