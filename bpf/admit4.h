/* SPDX-License-Identifier: GPL-2.0 */
/* admit: an IPv4 packet of a pod. */

INLINE bool is_own_network(const PACKET* p, __be32 address) {
  return (address & p->mask) == p->cidr;
}

INLINE bool is_multicast(__be32 address) {
  return (address & bpf_htonl(0xF0000000)) == bpf_htonl(0xE0000000);
}

/* Destinations that a pod cannot reach, whoever it is; 0 or a reason. */
INLINE int check_pod_destination(const PACKET* p, const struct ethhdr* ethernet) {
  __be32 host = p->key.destination & ~p->mask;
  if (p->key.destination == 0xFFFFFFFF || (is_own_network(p, p->key.destination) && (host == 0 || host == ~p->mask)))
    return SLUICE_REASON_BROADCAST;
  if (is_multicast(p->key.destination) || (ethernet->h_dest[0] & 1)) return SLUICE_REASON_MULTICAST;
  return p->key.source == p->key.destination ? SLUICE_REASON_LAND : 0;
}

/* Header, anti-spoofing, destination class, transport header. */
INLINE int admit_ip(struct __sk_buff* skb, PACKET* p) {
  const void *data = (void*)(long)skb->data, *end = (void*)(long)skb->data_end;
  const IP_HEADER* ip = data + ETHERNET_LENGTH;
  if ((void*)(ip + 1) > end) return drop(p, SLUICE_REASON_TRUNCATED);
  __u32 length = 0;
  int reason = parse_ip_fields(ip, p, &length);
  if (reason) return drop(p, reason);
  take_addresses(ip, p);
  take_protocol(ip, p);
  if (is_unspecified(p->own_address)) return drop(p, SLUICE_REASON_NO_FAMILY);
  if (p->key.source != p->own_address) return drop(p, SLUICE_REASON_SPOOFED_IP);
  reason = check_pod_destination(p, data);
  if (reason) return drop(p, reason);
  reason = take_fragment(ip, p, length);
  if (!reason) reason = parse_transport(data, end, p, length);
  return reason ? drop(p, reason) : CONTINUE;
}
