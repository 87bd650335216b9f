/* SPDX-License-Identifier: GPL-2.0 */
/* admit: an IPv6 packet of a pod. */

INLINE bool is_own_network(const PACKET* p, struct sluice_address6 address) {
  return within_prefix(address, p->cidr, p->cidr_length);
}

/* Header, destination class, anti-spoofing. Neighbour discovery has rules of its own about all but the header: nd.h. */
INLINE int admit_header(struct __sk_buff* skb, PACKET* p, __u32* length, bool* group) {
  const void *data = (void*)(long)skb->data, *end = (void*)(long)skb->data_end;
  const struct ethhdr* ethernet = data;
  const IP_HEADER* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > end) return drop(p, SLUICE_REASON_TRUNCATED);
  int reason = parse_ip_fields(ip, p, length);
  if (reason) return drop(p, reason);
  take_addresses(ip, p);
  take_protocol(ip, p);
  *group = (ethernet->h_dest[0] & 1) || is_multicast6(p->key.destination);
  if (is_unspecified(p->own_address)) return drop(p, SLUICE_REASON_NO_FAMILY);
  return CONTINUE;
}

/* The rest, for what is no neighbour discovery. */
INLINE int admit_ip(struct __sk_buff* skb, PACKET* p, __u32 length, bool group) {
  if (group) return drop(p, SLUICE_REASON_MULTICAST);
  if (!same_address(p->key.source, p->own_address)) return drop(p, SLUICE_REASON_SPOOFED_IP);
  if (same_address(p->key.source, p->key.destination)) return drop(p, SLUICE_REASON_LAND);
  int reason = find_transport(skb, p, &length);
  if (!reason) reason = parse_transport((void*)(long)skb->data, (void*)(long)skb->data_end, p, length);
  /* Behind extension headers it gets here; to go on would be to hand it to a neighbour. */
  if (!reason && p->protocol == IPPROTO_ICMPV6 && is_nd_type(p->icmp_type)) reason = SLUICE_REASON_SPOOFED_ND;
  return reason ? drop(p, reason) : CONTINUE;
}
