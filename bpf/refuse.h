/* SPDX-License-Identifier: GPL-2.0 */
/* refuse: says no at once, so that nobody waits for a timeout. Also answers pings of our own addresses.
 *
 * The packet is turned around in place. A packet that came in with CHECKSUM_PARTIAL keeps that mark, so whoever sends
 * it may still finish the checksum at the place that the mark names: TCP's, where a reset leaves to be finished what is
 * expected there. In an ICMP error that place is the unused word, which becomes 0xFFFF or stays 0; both add nothing. */
#ifndef SLUICE_BPF_REFUSE_H
#define SLUICE_BPF_REFUSE_H

#define REFUSAL_WINDOW 1000000000ULL /* one second, coarse nanoseconds */
#define ANSWER_TTL 64
#define UNREACHABLE_QUOTE (IPV4_LENGTH + 8) /* RFC 792: header and 64 bits of data */

/* May this network be answered once more in the current second? A race at the window's edge gives a few more. */
static __always_inline bool take_refusal(const struct packet* p) {
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

static __always_inline __u64 sum_words(const void* from, int words) {
  const __u16* word = from;
  __u64 sum = 0;
  for (int i = 0; i < words; i++) sum += word[i];
  return sum;
}

static __always_inline void swap_macs(struct ethhdr* ethernet) {
  __u8 mac[6];
  copy_mac(mac, ethernet->h_dest);
  copy_mac(ethernet->h_dest, ethernet->h_source);
  copy_mac(ethernet->h_source, mac);
}

/* A fresh IPv4 header that answers `p`: DF, id 0 (RFC 6864 allows it for an atomic datagram). */
static __always_inline void write_answer_ip(struct iphdr* ip, const struct packet* p, __u16 total, __u8 protocol) {
  __u8* bytes = (__u8*)ip;
  bytes[0] = 0x45;
  ip->tos = 0;
  ip->tot_len = bpf_htons(total);
  ip->id = 0;
  ip->frag_off = bpf_htons(0x4000);
  ip->ttl = ANSWER_TTL;
  ip->protocol = protocol;
  ip->check = 0;
  ip->saddr = p->key.destination;
  ip->daddr = p->key.source;
  ip->check = (__u16)~checksum_fold(sum_words(ip, IPV4_LENGTH / 2));
}

/* RFC 9293 section 3.10.7.1: the reset for a segment to a closed port. */
static __always_inline void write_reset(struct tcphdr* tcp, const struct packet* p, bool partial) {
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
  __u64 pseudo =
      (__u64)(__u32)p->key.source + (__u32)p->key.destination + bpf_htons(IPPROTO_TCP) + bpf_htons(TCP_LENGTH);
  tcp->check = partial ? checksum_fold(pseudo) : (__u16)~checksum_fold(pseudo + sum_words(tcp, TCP_LENGTH / 2));
}

static __noinline int refuse_tcp(struct __sk_buff* skb, struct packet* p) {
  if (p->tcp_flags & TCP_RST) return drop(p, SLUICE_REASON_NO_CONNECTION);
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  bool partial = is_checksum_partial(skb, L4_OFFSET + __builtin_offsetof(struct tcphdr, check));
  if (bpf_skb_change_tail(skb, L4_OFFSET + TCP_LENGTH, 0)) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  struct iphdr* ip = (void*)(ethernet + 1);
  struct tcphdr* tcp = (void*)(ip + 1);
  if ((void*)(tcp + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  swap_macs(ethernet);
  write_answer_ip(ip, p, IPV4_LENGTH + TCP_LENGTH, IPPROTO_TCP);
  write_reset(tcp, p, partial);
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_REFUSED_TCP);
}

static __noinline int refuse_udp(struct __sk_buff* skb, struct packet* p) {
  __u16 quote[UNREACHABLE_QUOTE / 2];
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  if (bpf_skb_load_bytes(skb, ETHERNET_LENGTH, quote, sizeof(quote)) ||
      bpf_skb_change_tail(skb, L4_OFFSET + ICMP_LENGTH + UNREACHABLE_QUOTE, 0))
    return drop(p, SLUICE_REASON_REWRITE_FAILED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  struct iphdr* ip = (void*)(ethernet + 1);
  struct icmp_header* icmp = (void*)(ip + 1);
  if ((void*)(icmp + 1) + UNREACHABLE_QUOTE > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_REWRITE_FAILED);
  swap_macs(ethernet);
  write_answer_ip(ip, p, IPV4_LENGTH + ICMP_LENGTH + UNREACHABLE_QUOTE, IPPROTO_ICMP);
  icmp->type = ICMP_DEST_UNREACH;
  icmp->code = ICMP_PORT_UNREACH;
  icmp->checksum = 0;
  icmp->id = 0;
  icmp->sequence = 0;
  __builtin_memcpy(icmp + 1, quote, sizeof(quote));
  icmp->checksum = (__u16)~checksum_fold(sum_words(icmp, (ICMP_LENGTH + UNREACHABLE_QUOTE) / 2));
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_REFUSED_UNREACHABLE);
}

/* Refuses TCP and UDP; other protocols have no way to say no here. */
static __noinline int refuse(struct __sk_buff* skb, struct packet* p) {
  if (p->protocol == IPPROTO_TCP) return refuse_tcp(skb, p);
  if (p->protocol == IPPROTO_UDP) return refuse_udp(skb, p);
  return drop(p, p->icmp_type == ICMP_ECHO ? SLUICE_REASON_PROTOCOL : SLUICE_REASON_ICMP_ERROR);
}

/* Turns an echo request into its reply (RFC 792). Only the type changes in the ICMP checksum. */
static __noinline int answer_echo(struct __sk_buff* skb, struct packet* p) {
  if (!take_refusal(p)) return drop(p, SLUICE_REASON_REFUSAL_LIMITED);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  struct iphdr* ip = (void*)(ethernet + 1);
  struct icmp_header* icmp = (void*)(ip + 1);
  if ((void*)(icmp + 1) > (void*)(long)skb->data_end) return drop(p, SLUICE_REASON_TRUNCATED);
  swap_macs(ethernet);
  ip->saddr = p->key.destination;
  ip->daddr = p->key.source;
  ip->ttl = ANSWER_TTL;
  ip->check = 0;
  ip->check = (__u16)~checksum_fold(sum_words(ip, IPV4_LENGTH / 2));
  icmp->type = ICMP_ECHOREPLY;
  icmp->checksum = (__u16)~checksum_fold((__u64)(__u16)~icmp->checksum + (__u16)~bpf_htons(ICMP_ECHO << 8));
  return forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_ECHO_ANSWERED);
}

#endif
