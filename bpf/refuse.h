/* SPDX-License-Identifier: GPL-2.0 */
/* refuse: says no at once, so that nobody waits for a timeout. Also answers pings of our own addresses.
 *
 * The packet is turned around in place. A packet that came in with CHECKSUM_PARTIAL keeps that mark, so whoever sends
 * it may still finish the checksum at the place that the mark names: TCP's, where a reset leaves to be finished what is
 * expected there. In an ICMP error that place is the unused word. Without a pseudo header (IPv4) it becomes 0xFFFF or stays 0;
 * both add nothing. With one see sum_unreachable(). */

/* May this network be answered once more in the current second? A race at the window's edge gives a few more. */
INLINE bool take_refusal(const PACKET* p) {
  struct sluice_refusal_window* window = refusal_window_of(p);
  const struct sluice_settings* set = get_settings();
  if (!window || !set) return false;
  __u64 now = bpf_ktime_get_coarse_ns();
  if (now - window->began >= REFUSAL_WINDOW) {
    window->began = now;
    window->answers = 0;
  }
  if (window->answers >= set->refusals_per_second) return false;
  return __sync_fetch_and_add(&window->answers, 1) < set->refusals_per_second;
}

/* The pseudo header of an answer. */
INLINE __u64 pseudo_sum(const PACKET* p, __u8 protocol, __u32 length) {
  return address_sum(p->key.source) + address_sum(p->key.destination) + bpf_htons(protocol) + bpf_htons((__u16)length);
}

/* RFC 9293 section 3.10.7.1: the reset for a segment to a closed port. */
INLINE void write_reset(struct tcphdr* tcp, const PACKET* p, bool partial) {
  bool acknowledged = p->tcp_flags & TCP_ACK;
  __u32 length = p->payload + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
  __u16* half = (__u16*)tcp;
  tcp->source = p->key.destination_port;
  tcp->dest = p->key.source_port;
  tcp->seq = acknowledged ? bpf_htonl(p->acknowledgement) : 0;
  tcp->ack_seq = acknowledged ? 0 : bpf_htonl(p->sequence + length);
  half[6] = bpf_htons(0x5000 | TCP_RST | (acknowledged ? 0 : TCP_ACK));
  half[7] = 0; /* window */
  tcp->check = 0;
  tcp->urg_ptr = 0;
  __u64 pseudo = pseudo_sum(p, IPPROTO_TCP, TCP_LENGTH);
  tcp->check = partial ? checksum_fold(pseudo) : (__u16)~checksum_fold(pseudo + sum_words(tcp, TCP_LENGTH / 2));
}

OUTLINE int refuse_tcp(struct __sk_buff* skb, PACKET* p) {
  if (p->tcp_flags & TCP_RST) return drop(p, SLUICE_REASON_NO_CONNECTION);
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  bool partial = is_checksum_partial(skb, ANSWER_OFFSET + __builtin_offsetof(struct tcphdr, check));
  if (bpf_skb_change_tail(skb, ANSWER_OFFSET + TCP_LENGTH, 0)) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  struct tcphdr* tcp = (void*)(ip + 1);
  if ((void*)(tcp + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  swap_macs(ethernet);
  write_answer_ip(ip, p, TCP_LENGTH, IPPROTO_TCP);
  write_reset(tcp, p, partial);
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_REFUSED_TCP);
}

/* The message's checksum. ICMPv6 has a pseudo header, so what a device would make of the mark (see above) must come out
 * right too: the device puts the complement of the message's sum in place of the unused word, and what then remains is
 * that word's complement, which the pseudo header must make up for. */
INLINE void sum_unreachable(struct icmp_header* icmp, const PACKET* p, bool partial) {
  __u64 pseudo = FAMILY == 6 ? pseudo_sum(p, ICMP_PROTOCOL, UNREACHABLE_LENGTH) : 0;
  icmp->checksum = 0;
  icmp->id = 0;
  icmp->sequence = FAMILY == 6 && partial ? checksum_fold(pseudo) : 0;
  icmp->checksum = (__u16)~checksum_fold(pseudo + sum_words(icmp, UNREACHABLE_LENGTH / 2));
}

OUTLINE int refuse_udp(struct __sk_buff* skb, PACKET* p) {
  __u16 quote[UNREACHABLE_QUOTE / 2];
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  /* First the quote: a kernel that does not tell loses the field's value by the question that follows. */
  long unread = bpf_skb_load_bytes(skb, ETHERNET_LENGTH, quote, sizeof(quote));
  bool partial = FAMILY == 6 && is_checksum_partial(skb, ANSWER_OFFSET + __builtin_offsetof(struct udphdr, check));
  if (unread || bpf_skb_change_tail(skb, ANSWER_OFFSET + UNREACHABLE_LENGTH, 0))
    return drop(p, SLUICE_REASON_REWRITE_FAILED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  struct icmp_header* icmp = (void*)(ip + 1);
  if ((void*)(icmp + 1) + UNREACHABLE_QUOTE > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  swap_macs(ethernet);
  write_answer_ip(ip, p, UNREACHABLE_LENGTH, ICMP_PROTOCOL);
  icmp->type = UNREACHABLE_TYPE;
  icmp->code = UNREACHABLE_CODE;
  __builtin_memcpy(icmp + 1, quote, sizeof(quote));
  sum_unreachable(icmp, p, partial);
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_REFUSED_UNREACHABLE);
}

/* Refuses TCP and UDP; other protocols have no way to say no here. */
OUTLINE int refuse(struct __sk_buff* skb, PACKET* p) {
  if (l4_offset(p) != ANSWER_OFFSET) return drop(p, SLUICE_REASON_EXTENSION_HEADER);
  if (p->protocol == IPPROTO_TCP) return refuse_tcp(skb, p);
  if (p->protocol == IPPROTO_UDP) return refuse_udp(skb, p);
  return drop(p, p->icmp_type == ECHO_REQUEST ? SLUICE_REASON_PROTOCOL : SLUICE_REASON_ICMP_ERROR);
}

/* Turns an echo request into its reply (RFC 792, RFC 4443). Only the type changes in the checksum: addresses change
 * places, and it is 0 or one more. */
OUTLINE int answer_echo(struct __sk_buff* skb, PACKET* p) {
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  struct icmp_header* icmp = (void*)(long)skb->data + l4_offset(p);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end || (void*)(icmp + 1) > (void*)(long)skb->data_end)
    return drop(p, SLUICE_REASON_TRUNCATED);
  swap_macs(ethernet);
  turn_ip_around(ip, p);
  icmp->type = ECHO_REPLY;
  icmp->checksum = (__u16)~checksum_fold((__u64)(__u16)~icmp->checksum + (__u16)~bpf_htons(ECHO_REQUEST << 8) +
                                         bpf_htons(ECHO_REPLY << 8));
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_ECHO_ANSWERED);
}
