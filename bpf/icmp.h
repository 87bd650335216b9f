/* SPDX-License-Identifier: GPL-2.0 */
/* ICMP that the datapath itself sends: errors in the router's or the asked address's name, and echo replies.
 *
 * The packet is turned around in place. A packet that came in with CHECKSUM_PARTIAL keeps that mark, so whoever sends
 * it may still finish the checksum at the place that the mark names: for a datagram that is the error's unused word.
 * Without a pseudo header (IPv4) it becomes 0xFFFF or stays 0; both add nothing. With one see sum_error(). */

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

/* The message's checksum. ICMPv6 has a pseudo header, so what a device would make of the mark (see above) must come out
 * right too: the device puts the complement of the message's sum in place of the unused word, and what then remains is
 * that word's complement, which the pseudo header must make up for. */
INLINE void sum_error(struct icmp_header* icmp, const PACKET* p, ADDRESS from, bool partial) {
  __u64 pseudo =
      FAMILY == 6 ? address_sum(from) + address_sum(p->key.source) + bpf_htons(ICMP_PROTOCOL) + bpf_htons(ERROR_LENGTH)
                  : 0;
  icmp->checksum = 0;
  if (FAMILY == 6 && partial && !icmp->sequence) icmp->sequence = checksum_fold(pseudo);
  icmp->checksum = (__u16)~checksum_fold(pseudo + sum_words(icmp, ERROR_LENGTH / 2));
}

/* Sends an error about the packet to its sender, if the network's rate allows. */
OUTLINE int send_icmp_error(struct __sk_buff* skb, PACKET* p, const ADDRESS* from, const struct icmp_error* error) {
  __u16 quote[QUOTE_LENGTH / 2] = {};
  if (l4_offset(p) != ANSWER_OFFSET) return drop(p, SLUICE_REASON_EXTENSION_HEADER);
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  /* First the quote: a kernel that does not tell loses the field's value by the question that follows. A packet of an
   * unknown protocol may be shorter; zeros stand for what it lacks. */
  __u32 there = skb->len - ETHERNET_LENGTH;
  if (there > sizeof(quote)) there = sizeof(quote);
  long unread = there < IP_LENGTH || bpf_skb_load_bytes(skb, ETHERNET_LENGTH, quote, there);
  bool datagram = FAMILY == 6 && p->protocol == IPPROTO_UDP;
  bool partial = datagram && is_checksum_partial(skb, ANSWER_OFFSET + __builtin_offsetof(struct udphdr, check));
  if (unread || bpf_skb_change_tail(skb, ANSWER_OFFSET + ERROR_LENGTH, 0)) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  struct icmp_header* icmp = (void*)(ip + 1);
  if ((void*)(icmp + 1) + QUOTE_LENGTH > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  swap_macs(ethernet);
  write_answer_ip(ip, p, *from, ERROR_LENGTH, ICMP_PROTOCOL);
  icmp->type = error->type;
  icmp->code = error->code;
  icmp->id = bpf_htons((__u16)(error->word >> 16));
  icmp->sequence = bpf_htons((__u16)error->word);
  __builtin_memcpy(icmp + 1, quote, sizeof(quote));
  sum_error(icmp, p, *from, partial);
  return forward(p, bpf_redirect(p->ifindex, 0), error->reason);
}

/* The router tells the sender that the packet has come too far (RFC 792, RFC 4443). Of ICMP only echo is told: an error
 * about an error must not be (RFC 1122 3.2.2). */
OUTLINE int time_exceeded(struct __sk_buff* skb, PACKET* p) {
  struct icmp_error error = {.reason = SLUICE_REASON_TIME_EXCEEDED, .type = TIME_EXCEEDED_TYPE};
  return send_icmp_error(skb, p, &p->router, &error);
}

/* The router tells the sender what the way ahead can carry (RFC 1191, RFC 4443). A datagram without DF is told so as
 * well: nobody here can make fragments of it, and whoever hears the answer does. */
OUTLINE int too_big(struct __sk_buff* skb, PACKET* p, __u32 mtu) {
  struct icmp_error error = {.reason = SLUICE_REASON_TOO_BIG, .type = TOO_BIG_TYPE, .code = TOO_BIG_CODE, .word = mtu};
  return send_icmp_error(skb, p, &p->router, &error);
}

/* Would the hop to the receiver be one too many? */
INLINE bool is_expired(const PACKET* p) {
  return p->ttl <= 1;
}

/* Turns an echo request into its reply (RFC 792, RFC 4443). Only the type changes in the checksum: addresses change
 * places, and it is 0 or one more. */
OUTLINE int answer_echo(struct __sk_buff* skb, PACKET* p) {
  if (p->fragment) return drop(p, SLUICE_REASON_FRAGMENT);
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
