/* SPDX-License-Identifier: GPL-2.0 */
/* ARP (RFC 826), answered by the datapath: a pod never sees another's request, let alone another network's. */

struct arp_ipv4 {
  __be16 hardware;
  __be16 protocol;
  __u8 hardware_length;
  __u8 protocol_length;
  __be16 operation;
  __u8 sender_mac[6];
  __be16 sender_address[2]; /* halves: the fields are aligned to 2 bytes only */
  __u8 target_mac[6];
  __be16 target_address[2];
};

#define ARP_REQUEST 1
#define ARP_REPLY 2

static __always_inline __be32 join_address(const __be16 half[2]) {
  return (__be32)((__u32)half[0] | (__u32)half[1] << 16); /* in memory order: BPF here is little endian */
}

static __always_inline bool arp_well_formed(const struct arp_ipv4* arp) {
  return arp->hardware == bpf_htons(1) && arp->protocol == bpf_htons(ETH_P_IP) && arp->hardware_length == 6 &&
         arp->protocol_length == 4 &&
         (arp->operation == bpf_htons(ARP_REQUEST) || arp->operation == bpf_htons(ARP_REPLY));
}

/* Turns the request in the packet into the reply "target is at mac". */
static __always_inline void arp_turn_around(struct ethhdr* ethernet, struct arp_ipv4* arp, const __u8* mac) {
  __be16 asked[2] = {arp->target_address[0], arp->target_address[1]};
  arp->operation = bpf_htons(ARP_REPLY);
  copy_mac(arp->target_mac, arp->sender_mac);
  arp->target_address[0] = arp->sender_address[0];
  arp->target_address[1] = arp->sender_address[1];
  copy_mac(arp->sender_mac, mac);
  arp->sender_address[0] = asked[0];
  arp->sender_address[1] = asked[1];
  copy_mac(ethernet->h_dest, ethernet->h_source);
  copy_mac(ethernet->h_source, mac);
}

OUTLINE int arp_from_pod(struct __sk_buff* skb, PACKET* p) {
  struct ethhdr* ethernet = (void*)(long)skb->data;
  struct arp_ipv4* arp = (void*)(ethernet + 1);
  if ((void*)(arp + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_TRUNCATED);
  if (!arp_well_formed(arp)) return drop(p, SLUICE_REASON_ARP_MALFORMED);
  bool request = arp->operation == bpf_htons(ARP_REQUEST);
  __be32 sender = join_address(arp->sender_address);
  if (is_unspecified(p->own_address)) return drop(p, SLUICE_REASON_NO_FAMILY);
  if (!same_mac(arp->sender_mac, p->own_mac) || (sender != p->own_address && (sender || !request)))
    return drop(p, SLUICE_REASON_SPOOFED_ARP);
  ENDPOINT_KEY key = {.network = p->network, .address = join_address(arp->target_address)};
  if (!request || key.address == p->own_address) return drop(p, SLUICE_REASON_ARP_OWN_ADDRESS);
  const ENDPOINT* endpoint = bpf_map_lookup_elem(&ENDPOINTS, &key);
  if (!endpoint) return drop(p, SLUICE_REASON_ARP_NO_TARGET);
  __u8 mac[6];
  copy_mac(mac, endpoint->mac);
  bool pod = endpoint->kind == SLUICE_ENDPOINT_POD_PEER || endpoint->kind == SLUICE_ENDPOINT_POD_DEVICE;
  bool detached = pod && endpoint->ifindex == 0;
  if (detached || !is_endpoint(endpoint, &key)) return drop(p, SLUICE_REASON_ARP_NO_TARGET);
  arp_turn_around(ethernet, arp, mac);
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_ARP_ANSWERED);
}

/* On the uplink only requests for a floating IP concern us; every other ARP packet is the host's. */
OUTLINE int arp_from_uplink(struct __sk_buff* skb, PACKET* p) {
  struct ethhdr* ethernet = (void*)(long)skb->data;
  struct arp_ipv4* arp = (void*)(ethernet + 1);
  if ((void*)(arp + 1) > (void*)(long)skb->data_end || !arp_well_formed(arp) ||
      arp->operation != bpf_htons(ARP_REQUEST))
    return pass(p, SLUICE_REASON_FOREIGN);
  __be32 target = join_address(arp->target_address);
  if (target == join_address(arp->sender_address) || !is_floating(target)) return pass(p, SLUICE_REASON_FOREIGN);
  __u8 mac[6];
  if (!uplink_mac(p, mac)) return drop(p, SLUICE_REASON_NO_PORT);
  arp_turn_around(ethernet, arp, mac);
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_ARP_ANSWERED);
}
