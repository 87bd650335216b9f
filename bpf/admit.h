/* SPDX-License-Identifier: GPL-2.0 */
/* admit: who sends, and may it. Sets network and source from the ingress device, never from the packet. */
#ifndef SLUICE_BPF_ADMIT_H
#define SLUICE_BPF_ADMIT_H

static __always_inline void copy_port(struct packet* p, const struct sluice_port* port, __u8* kind) {
  *kind = port->kind;
  p->network = port->network;
  p->network_slot = port->network_slot;
  p->source = port->endpoint;
  p->cidr4 = port->cidr4;
  p->mask4 = port->mask4;
  p->router4 = port->router4;
  p->own_address = port->address4;
  p->own_delivery = port->delivery;
  copy_mac(p->own_mac, port->mac);
}

static __always_inline bool is_port(const struct sluice_port* port, __u32 ifindex) {
  barrier();
  return *(volatile const __u32*)&port->self == ifindex && *(volatile const __u32*)&port->self_end == ifindex;
}

static __always_inline bool is_endpoint(const struct sluice_endpoint4* endpoint,
                                        const struct sluice_endpoint4_key* key) {
  barrier();
  const volatile struct sluice_endpoint4_key *first = &endpoint->self, *last = &endpoint->self_end;
  return first->network == key->network && first->address == key->address && last->network == key->network &&
         last->address == key->address;
}

/* The record from the hash, where every port stands. Values are copied before `self` is compared: see abi.h,
 * self-identifying records. */
static __noinline bool port_from_hash(struct packet* p, __u8* kind) {
  const struct sluice_port* port = bpf_map_lookup_elem(&ports, &p->ifindex);
  if (!port) return false;
  copy_port(p, port, kind);
  return is_port(port, p->ifindex);
}

static __always_inline bool port_from_slot(struct packet* p, __u8* kind) {
  __u32 index = p->ifindex % SLUICE_PORT_SLOTS;
  const struct sluice_port_slot* slot = bpf_map_lookup_elem(&port_slots, &index);
  if (!slot) return false;
  __u32 before = *(volatile const __u32*)&slot->sequence;
  barrier();
  copy_port(p, &slot->port, kind);
  bool own = slot->port.self == p->ifindex;
  barrier();
  return own && !(before & 1) && *(volatile const __u32*)&slot->sequence == before;
}

static __always_inline int port_of(struct __sk_buff* skb, struct packet* p) {
  __u8 kind = 0;
  p->ifindex = skb->ifindex;
  if (!port_from_slot(p, &kind) && !port_from_hash(p, &kind)) return drop(p, SLUICE_REASON_NO_PORT);
  return kind == SLUICE_PORT_POD ? CONTINUE : drop(p, SLUICE_REASON_NO_PORT);
}

/* Frame checks of a pod's packet, up to its ethertype. */
static __always_inline int admit_frame(struct __sk_buff* skb, const struct packet* p, __be16* ethertype) {
  if (skb->vlan_present) return drop(p, SLUICE_REASON_VLAN);
  pull_headers(skb);
  const struct ethhdr* ethernet = (void*)(long)skb->data;
  if ((void*)(ethernet + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_TRUNCATED);
  if (!same_mac(ethernet->h_source, p->own_mac)) return drop(p, SLUICE_REASON_SPOOFED_MAC);
  *ethertype = ethernet->h_proto;
  if (*ethertype == bpf_htons(ETH_P_IP) || *ethertype == bpf_htons(ETH_P_ARP)) return CONTINUE;
  if (*ethertype == bpf_htons(ETH_P_8021Q) || *ethertype == bpf_htons(ETH_P_8021AD)) return drop(p, SLUICE_REASON_VLAN);
  return drop(p, *ethertype == bpf_htons(ETH_P_IPV6) ? SLUICE_REASON_IPV6 : SLUICE_REASON_ETHERTYPE);
}

static __always_inline bool is_multicast(__be32 address) {
  return (address & bpf_htonl(0xF0000000)) == bpf_htonl(0xE0000000);
}

/* Destinations that a pod cannot reach, whoever it is; 0 or a reason. */
static __always_inline int check_pod_destination(const struct packet* p, const struct ethhdr* ethernet) {
  __be32 host = p->key.destination & ~p->mask4;
  if (p->key.destination == 0xFFFFFFFF ||
      ((p->key.destination & p->mask4) == p->cidr4 && (host == 0 || host == ~p->mask4)))
    return SLUICE_REASON_BROADCAST;
  if (is_multicast(p->key.destination) || (ethernet->h_dest[0] & 1)) return SLUICE_REASON_MULTICAST;
  return p->key.source == p->key.destination ? SLUICE_REASON_LAND : 0;
}

/* IPv4 from a pod: header, anti-spoofing, destination class, transport header. */
static __always_inline int admit_ipv4(struct __sk_buff* skb, struct packet* p) {
  const void *data = (void*)(long)skb->data, *end = (void*)(long)skb->data_end;
  const struct iphdr* ip = data + ETHERNET_LENGTH;
  if ((void*)(ip + 1) > end) return drop(p, SLUICE_REASON_TRUNCATED);
  __u32 total = 0;
  int reason = parse_ipv4_fields(ip, p, &total);
  if (reason) return drop(p, reason);
  p->key.source = ip->saddr;
  p->key.destination = ip->daddr;
  p->protocol = ip->protocol;
  p->key.network_protocol = p->network | (__u32)p->protocol << 24;
  if (p->key.source != p->own_address) return drop(p, SLUICE_REASON_SPOOFED_IP);
  reason = check_pod_destination(p, data);
  if (reason) return drop(p, reason);
  if (ip->frag_off & bpf_htons(0x3FFF)) return drop(p, SLUICE_REASON_FRAGMENT);
  reason = parse_transport(data, end, p, total);
  return reason ? drop(p, reason) : CONTINUE;
}

/* ---- uplink ---------------------------------------------------------------------------------------------------- */

static __always_inline bool in_frontend_filter(__u32 network, __be32 address) {
  __u32 bit = sluice_filter_bit(network, address), word = bit / 64;
  const __u64* bits = bpf_map_lookup_elem(&frontend_filter, &word);
  return bits && (*bits >> (bit % 64)) & 1;
}

/* Is the address a floating IP? The filter answers first; only its few hits cost a lookup. */
static __always_inline bool is_floating(__be32 address) {
  if (!in_frontend_filter(0, address)) return false;
  struct sluice_endpoint4_key key = {.network = 0, .address = address};
  for (int attempt = 0; attempt < 2; attempt++) { /* again if the record was replaced under our eyes */
    const struct sluice_endpoint4* endpoint = bpf_map_lookup_elem(&endpoints4, &key);
    if (!endpoint) return false;
    __u8 kind = endpoint->kind;
    if (is_endpoint(endpoint, &key)) return kind == SLUICE_ENDPOINT_FLOATING;
  }
  return false;
}

/* 0/8, 127/8 and 224/4 upwards are nobody's address (RFC 1122 3.2.1.3). */
static __always_inline bool is_martian_class(__be32 address) {
  __u8 first = *(const __u8*)&address;
  return first == 0 || first == 127 || first >= 224;
}

/* Shape checks of a packet for a floating IP that need no table; shared by tc and XDP. 0 or a reason. */
static __always_inline int check_uplink_shape(const struct iphdr* ip, struct packet* p, __u32* total) {
  int reason = parse_ipv4_fields(ip, p, total);
  if (reason) return reason;
  if (p->key.source == p->key.destination) return SLUICE_REASON_LAND;
  if (is_martian_class(p->key.source)) return SLUICE_REASON_MARTIAN;
  return ip->frag_off & bpf_htons(0x3FFF) ? SLUICE_REASON_FRAGMENT : 0;
}

#endif
