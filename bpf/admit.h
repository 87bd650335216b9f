/* SPDX-License-Identifier: GPL-2.0 */
/* admit: who sends, and may it. Sets network and source from the ingress device, never from the packet. */

INLINE void copy_port(PACKET* p, const struct sluice_port* port, __u8* kind) {
  *kind = port->kind;
  p->network = port->network;
  p->network_slot = port->network_slot;
  p->source = port->endpoint;
#if FAMILY == 4
  p->cidr = port->cidr4;
  p->mask = port->mask4;
#else
  p->cidr = port->cidr6;
  p->cidr_length = port->cidr6_length;
#endif
  p->own_address = ADDRESS_OF(port);
  p->router = ROUTER_OF(port);
  p->own_delivery = port->delivery;
  copy_mac(p->own_mac, port->mac);
}

INLINE bool is_endpoint(const ENDPOINT* endpoint, const ENDPOINT_KEY* key) {
  barrier();
  const volatile ENDPOINT_KEY *first = &endpoint->self, *last = &endpoint->self_end;
  return first->network == key->network && same_address(first->address, key->address) &&
         last->network == key->network && same_address(last->address, key->address);
}

/* The record from the hash, where every port stands. Values are copied before `self` is compared: see abi.h,
 * self-identifying records. */
OUTLINE bool port_from_hash(PACKET* p, __u8* kind) {
  const struct sluice_port* port = bpf_map_lookup_elem(&ports, &p->ifindex);
  if (!port) return false;
  copy_port(p, port, kind);
  return is_port(port, p->ifindex);
}

INLINE bool port_from_slot(PACKET* p, __u8* kind) {
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

INLINE int port_of(struct __sk_buff* skb, PACKET* p) {
  __u8 kind = 0;
  p->ifindex = skb->ifindex;
  if (!port_from_slot(p, &kind) && !port_from_hash(p, &kind)) return drop(p, SLUICE_REASON_NO_PORT);
  return kind == SLUICE_PORT_POD ? CONTINUE : drop(p, SLUICE_REASON_NO_PORT);
}

/* Frame checks of a pod's packet, up to its ethertype. */
INLINE int admit_frame(struct __sk_buff* skb, const PACKET* p, __be16* ethertype) {
  if (skb->vlan_present) return drop(p, SLUICE_REASON_VLAN);
  pull_headers(skb, PARSE_LENGTH);
  const struct ethhdr* ethernet = (void*)(long)skb->data;
  if ((void*)(ethernet + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_TRUNCATED);
  if (!same_mac(ethernet->h_source, p->own_mac)) return drop(p, SLUICE_REASON_SPOOFED_MAC);
  *ethertype = ethernet->h_proto;
  return CONTINUE;
}

/* ---- service addresses and floating IPs ------------------------------------------------------------------------- */

INLINE bool in_frontend_filter(__u32 network, ADDRESS address) {
  __u32 bit = filter_bit(network, address), word = bit / 64;
  const __u64* bits = bpf_map_lookup_elem(&frontend_filter, &word);
  return bits && (*bits >> (bit % 64)) & 1;
}

/* What the address is on the public side (enum sluice_endpoint_kind); 0: nothing of ours. The filter answers first;
 * only its few hits cost a lookup. */
INLINE __u8 public_kind(ADDRESS address) {
  if (!in_frontend_filter(0, address)) return 0;
  ENDPOINT_KEY key = {.network = 0, .address = address};
  for (int attempt = 0; attempt < 2; attempt++) { /* again if the record was replaced under our eyes */
    const ENDPOINT* endpoint = bpf_map_lookup_elem(&ENDPOINTS, &key);
    if (!endpoint) return 0;
    __u8 kind = endpoint->kind;
    if (is_endpoint(endpoint, &key)) return kind;
  }
  return 0;
}

/* Is all that is sent to the address ours: is it a floating IP, or an egress address of its own? */
INLINE bool is_floating(ADDRESS address) {
  return is_ours_alone(public_kind(address));
}

/* Is it an egress address that the node's own sockets have as well? */
INLINE bool is_shared(ADDRESS address) {
  const struct sluice_settings* set = get_settings();
  return set && is_shared_address(set, address);
}

/* The uplink's own MAC, for answers about floating IPs. */
INLINE bool uplink_mac(const PACKET* p, __u8* mac) {
  const struct sluice_port* port = bpf_map_lookup_elem(&ports, &p->ifindex);
  if (!port || port->kind != SLUICE_PORT_UPLINK) return false;
  copy_mac(mac, port->mac);
  return is_port(port, p->ifindex);
}

/* Shape checks of a packet for a floating IP that need no table; shared by tc and XDP. 0 or a reason. */
INLINE int check_uplink_shape(const IP_HEADER* ip, PACKET* p, __u32* length) {
  int reason = parse_ip_fields(ip, p, length);
  if (reason) return reason;
  if (same_address(p->key.source, p->key.destination)) return SLUICE_REASON_LAND;
  if (is_martian_class(p->key.source)) return SLUICE_REASON_MARTIAN;
  return 0;
}
