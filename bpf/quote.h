/* SPDX-License-Identifier: GPL-2.0 */
/* ICMP errors. They quote the packet that they are about, as it was when it reached whoever complains; if a flow has
 * translated that packet, the flow translates the error back: outside as any packet of that direction, and the quote
 * inside, so that the receiver recognizes what it has sent (RFC 5508 section 4, RFC 4443 section 2.4, RFC 7915 4.2). */

/* What is quoted. The quote may end 8 bytes behind its IP header. */
QUOTE {
  FLOW_KEY answer; /* the tuple of an answer to the quoted packet: that of the flow's direction that the error takes */
  __u32 ip;        /* offsets in the frame */
  __u32 transport;
  __u32 end;
  __u8 protocol;
};

#if FAMILY == 4
/* Reads the quoted IP header; false if no flow can own such a packet. */
INLINE bool read_quoted_ip(struct __sk_buff* skb, QUOTE* quote) {
  struct iphdr ip;
  if (bpf_skb_load_bytes(skb, quote->ip, &ip, sizeof(ip))) return false;
  __u32 header = (*(const __u8*)&ip & 15) * 4;
  if (*(const __u8*)&ip >> 4 != 4 || header < IP_LENGTH || (ip.frag_off & bpf_htons(0x1FFF))) return false;
  quote->transport = quote->ip + header;
  quote->protocol = ip.protocol;
  quote->answer.source = ip.daddr;
  quote->answer.destination = ip.saddr;
  return true;
}

/* The quoted header's addresses have changed places with the flow's: their sum has changed like the outer ones'. */
INLINE long rewrite_quoted_ip(struct __sk_buff* skb, const QUOTE* quote, const ACTION* action) {
  __u16 check = 0;
  __be32 addresses[2] = {action->new_destination, action->new_source};
  __u32 at = quote->ip + __builtin_offsetof(struct iphdr, check);
  if (bpf_skb_load_bytes(skb, at, &check, sizeof(check))) return -1;
  check = (__u16)~checksum_fold((__u64)(__u16)~check + action->address_delta);
  return bpf_skb_store_bytes(skb, at, &check, sizeof(check), 0) ||
         bpf_skb_store_bytes(skb, quote->ip + __builtin_offsetof(struct iphdr, saddr), addresses, sizeof(addresses), 0);
}
#else
/* Extension headers are not looked behind: such an error goes nowhere. */
INLINE bool read_quoted_ip(struct __sk_buff* skb, QUOTE* quote) {
  struct ipv6hdr ip;
  if (bpf_skb_load_bytes(skb, quote->ip, &ip, sizeof(ip)) || *(const __u8*)&ip >> 4 != 6) return false;
  quote->transport = quote->ip + IP_LENGTH;
  quote->protocol = ip.nexthdr;
  __builtin_memcpy(&quote->answer.source, &ip.daddr, sizeof(quote->answer.source));
  __builtin_memcpy(&quote->answer.destination, &ip.saddr, sizeof(quote->answer.destination));
  return true;
}

INLINE long rewrite_quoted_ip(struct __sk_buff* skb, const QUOTE* quote, const ACTION* action) {
  struct sluice_address6 addresses[2] = {action->new_destination, action->new_source};
  return bpf_skb_store_bytes(skb, quote->ip + __builtin_offsetof(struct ipv6hdr, saddr), addresses, sizeof(addresses),
                             0);
}
#endif

/* Is the quoted packet one that `p`'s sender may complain about to its receiver? A pod has received what was sent to
 * it; of what happens outside nothing is known. */
INLINE bool is_own_quote(const PACKET* p, const QUOTE* quote) {
  if (!same_address(quote->answer.destination, p->key.destination)) return false;
  return p->entry != SLUICE_ENTRY_FROM_POD || same_address(quote->answer.source, p->key.source);
}

/* The quoted packet's tuple, turned around. False: nothing that a flow could own. */
INLINE bool read_quoted_tuple(struct __sk_buff* skb, const PACKET* p, QUOTE* quote) {
  __be16 words[4]; /* the 64 bits of data */
  if (quote->transport + sizeof(words) > quote->end) return false;
  if (bpf_skb_load_bytes(skb, quote->transport, words, sizeof(words))) return false;
  quote->answer.network_protocol = p->network | (__u32)quote->protocol << 24;
  quote->answer.source_port = 0;
  quote->answer.destination_port = 0;
  if (quote->protocol == IPPROTO_TCP || quote->protocol == IPPROTO_UDP || quote->protocol == IPPROTO_SCTP) {
    quote->answer.source_port = words[1];
    quote->answer.destination_port = words[0];
    return true;
  }
  if (quote->protocol != ICMP_PROTOCOL) return false;
  __u8 type = *(const __u8*)words;
  if (((const __u8*)words)[1] != 0) return false; /* no flow is made for another code */
  if (type == ECHO_REQUEST) quote->answer.destination_port = words[2];
  if (type == ECHO_REPLY) quote->answer.source_port = words[2];
  return type == ECHO_REQUEST || type == ECHO_REPLY;
}

/* Where the quoted transport checksum stands; 0: not in the quote, or none. */
INLINE __u32 quoted_checksum(struct __sk_buff* skb, const QUOTE* quote, const ACTION* action, __u16* check) {
  __u32 at = quote->transport + (quote->protocol == IPPROTO_TCP   ? __builtin_offsetof(struct tcphdr, check)
                                 : quote->protocol == IPPROTO_UDP ? __builtin_offsetof(struct udphdr, check)
                                                                  : __builtin_offsetof(struct icmp_header, checksum));
  if (FAMILY == 4 && quote->protocol == ICMP_PROTOCOL && !action->port_delta) return 0; /* no pseudo header */
  if (quote->protocol == IPPROTO_SCTP) return 0; /* not looked at: it is of a packet that is not quoted whole */
  if (at + sizeof(*check) > quote->end || bpf_skb_load_bytes(skb, at, check, sizeof(*check))) return 0;
  return quote->protocol == IPPROTO_UDP && *check == 0 ? 0 : at;
}

/* Changes the quote: addresses, ports, checksums, each back to what its sender knows. `delta` becomes what that changes
 * in the sum of the ICMP message. */
INLINE long rewrite_quote(struct __sk_buff* skb, const QUOTE* quote, const ACTION* action, __u64* delta) {
  __u16 check = 0;
  __u32 at = quoted_checksum(skb, quote, action, &check);
  bool echo = quote->protocol == ICMP_PROTOCOL;
  /* An IPv4 header's own checksum makes up for its addresses. */
  *delta = (FAMILY == 6 ? action->address_delta : 0) + (__u64)action->port_delta;
  if (at) {
    __u64 change = (FAMILY == 4 && echo ? 0 : action->address_delta) + (__u64)action->port_delta;
    __u16 changed = (__u16)~checksum_fold((__u64)(__u16)~check + change);
    if (quote->protocol == IPPROTO_UDP && !changed) changed = 0xFFFF;
    *delta += (__u64)(__u16)~check + changed;
    if (bpf_skb_store_bytes(skb, at, &changed, sizeof(changed), 0)) return -1;
  }
  if (echo && action->port_delta) {
    __be16 id = action->new_destination_port | action->new_source_port;
    if (bpf_skb_store_bytes(skb, quote->transport + __builtin_offsetof(struct icmp_header, id), &id, sizeof(id), 0))
      return -1;
  }
  if (!echo) {
    __be16 ports[2] = {action->new_destination_port, action->new_source_port};
    if (bpf_skb_store_bytes(skb, quote->transport, ports, sizeof(ports), 0)) return -1;
  }
  return rewrite_quoted_ip(skb, quote, action);
}

/* The outer headers: as for any packet of that direction; a router in the middle that complains keeps its address. */
INLINE int rewrite_error(struct __sk_buff* skb, const PACKET* p, const ACTION* action, ADDRESS source, __u64 delta) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  struct icmp_header* icmp = (void*)(long)skb->data + l4_offset(p);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end || (void*)(icmp + 1) > (void*)(long)skb->data_end)
    return SLUICE_REASON_REWRITE_FAILED;
  __u32 outer = addresses_difference(p->key.source, p->key.destination, source, action->new_destination);
  if (FAMILY == 6) delta += outer; /* its pseudo header */
  icmp->checksum = (__u16)~checksum_fold((__u64)(__u16)~icmp->checksum + delta);
  route_ip(ip, source, action->new_destination, outer);
  count_hop(skb, p, checksum_state(skb));
  if (action->delivery != SLUICE_DELIVER_UPLINK) {
    copy_mac(ethernet->h_dest, action->destination_mac);
    copy_mac(ethernet->h_source, router_mac);
  }
  return 0;
}

/* Does an error from outside come from an address of the tenant's network? Nobody outside has one. */
OUTLINE bool is_disguised(const PACKET* p, __u32 pair) {
  const PAIR_KEYS* keys = KEYS_AT(pair);
  if (!keys) return true;
  __u32 network = keys->reverse.network_protocol & 0xFFFFFF;
  if (!network) network = keys->forward.network_protocol & 0xFFFFFF; /* a flow that leaves by an egress address */
  ENDPOINT_KEY key = {.network = network, .address = p->key.source};
  return p->entry == SLUICE_ENTRY_FROM_UPLINK && bpf_map_lookup_elem(&ENDPOINTS, &key);
}

/* Translates the error if a flow owns what it quotes; otherwise continues: between pods it needs no translation. */
OUTLINE int translate_error(struct __sk_buff* skb, PACKET* p) {
  QUOTE quote = {.ip = l4_offset(p) + ICMP_LENGTH};
  quote.end = quote.ip + p->payload;
  if (p->payload < IP_LENGTH || !read_quoted_ip(skb, &quote) || !is_own_quote(p, &quote))
    return p->shared ? pass(p, SLUICE_REASON_FOREIGN) : drop(p, SLUICE_REASON_FOREIGN_QUOTE);
  if (!read_quoted_tuple(skb, p, &quote)) return CONTINUE;
  const FLOW* found = find_flow(&quote.answer);
  if (!found) return CONTINUE;
  struct sluice_ref source = found->source, endpoint = found->endpoint, frontend = found->frontend;
  __u32 pair = found->pair;
  copy_action(p, found);
  if (!still_self(found, &quote.answer) || !same_ref(source, p->source) || !endpoint_current(endpoint) ||
      !frontend_current(frontend))
    return CONTINUE;
  if (is_disguised(p, pair)) return drop(p, SLUICE_REASON_MARTIAN);
  if (is_expired(p) || exceeded_mtu(skb, p, p->action.ifindex)) return drop(p, SLUICE_REASON_ICMP_ERROR);
  bool own = same_address(quote.answer.source, p->key.source);
  __u64 delta = 0;
  if (rewrite_quote(skb, &quote, &p->action, &delta)) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  int reason = rewrite_error(skb, p, &p->action, own ? p->action.new_source : p->key.source, delta);
  return reason ? drop(p, reason) : forward(p, deliver(skb, &p->action), SLUICE_REASON_ERROR_TRANSLATED);
}

INLINE int icmp_error(struct __sk_buff* skb, PACKET* p) {
  return p->protocol == ICMP_PROTOCOL && is_icmp_error(p, p->icmp_type) ? translate_error(skb, p) : CONTINUE;
}
