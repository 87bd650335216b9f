/* SPDX-License-Identifier: GPL-2.0 */
/* refuse: says no at once, so that nobody waits for a timeout.
 *
 * As in icmp.h the packet is turned around in place and may keep a mark CHECKSUM_PARTIAL, which then names the place of
 * TCP's checksum: a reset leaves there what is expected. */

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
  if (l4_offset(p) != ANSWER_OFFSET) return drop(p, SLUICE_REASON_EXTENSION_HEADER);
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  bool partial = is_checksum_partial(skb, ANSWER_OFFSET + __builtin_offsetof(struct tcphdr, check));
  if (bpf_skb_change_tail(skb, ANSWER_OFFSET + TCP_LENGTH, 0)) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  struct tcphdr* tcp = (void*)(ip + 1);
  if ((void*)(tcp + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  swap_macs(ethernet);
  write_answer_ip(ip, p, p->key.destination, TCP_LENGTH, IPPROTO_TCP);
  write_reset(tcp, p, partial);
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_REFUSED_TCP);
}

OUTLINE int refuse_udp(struct __sk_buff* skb, PACKET* p) {
  struct icmp_error error = {
      .reason = SLUICE_REASON_REFUSED_UNREACHABLE, .type = UNREACHABLE_TYPE, .code = UNREACHABLE_CODE};
  return send_icmp_error(skb, p, &p->key.destination, &error);
}

/* A service carries no other protocols (RFC 1122 3.2.2.1, RFC 8200 section 4). */
OUTLINE int refuse_protocol(struct __sk_buff* skb, PACKET* p) {
  struct icmp_error error = {.reason = SLUICE_REASON_REFUSED_PROTOCOL,
                             .type = UNKNOWN_PROTOCOL_TYPE,
                             .code = UNKNOWN_PROTOCOL_CODE,
                             .word = UNKNOWN_PROTOCOL_POINTER};
  return send_icmp_error(skb, p, &p->key.destination, &error);
}

/* No such port, or nobody behind it. Of ICMP nothing is refused: it is an echo request without a backend. */
OUTLINE int refuse(struct __sk_buff* skb, PACKET* p) {
  if (p->protocol == IPPROTO_TCP) return refuse_tcp(skb, p);
  if (p->protocol == IPPROTO_UDP) return refuse_udp(skb, p);
  /* The only error that ends an attempt at once: SCTP does not heed that a port is unreachable (RFC 9260 section 10).
   */
  if (p->protocol == IPPROTO_SCTP) return p->sctp_init ? refuse_protocol(skb, p) : drop(p, SLUICE_REASON_NO_CONNECTION);
  return drop(p, SLUICE_REASON_PROTOCOL);
}
