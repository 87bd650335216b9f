/* SPDX-License-Identifier: GPL-2.0 */
/* What all stages of both families use: lengths, header parts, how a stage is written, and how a verdict is counted. */
#ifndef SLUICE_BPF_PACKET_H
#define SLUICE_BPF_PACKET_H

/* Functions of stages are written once and compiled for each family: overloads, told apart by the packet or key that
 * they get. */
#define INLINE static __always_inline __attribute__((overloadable))
#define OUTLINE static __noinline __attribute__((overloadable))
/* A function that the verifier checks once, by itself, and not anew on every path to a call: for loops and for what
 * many paths lead to. Of its arguments it knows the types alone, so each pointer must be checked, and on kernel 6.1
 * nothing behind one can be the key of a map. */
#define GLOBAL __noinline __attribute__((overloadable))

/* What a stage says if it is no verdict; no TC_ACT_* or XDP_* has these values. What many stages end with is done in
 * one place (conclude), so that the verifier walks through it a few times and not once for each of them. */
enum next {
  CONTINUE = -100,  /* not decided here */
  CHOSEN,           /* a new flow is to be made of the packet, as the workspace's choice says */
  EXPIRED,          /* too many hops: its sender is told */
  TOO_LONG,         /* longer than p->mtu: likewise */
  REFUSED,          /* no such port, or nobody there */
  REFUSED_PROTOCOL, /* a protocol that is not carried there */
  ECHO,             /* a ping that the datapath answers itself */
};

#define ALIGNED __attribute__((aligned(8))) /* bytes on the stack that are read as something with IPv6 addresses */

#define ETHERNET_LENGTH 14
#define TCP_LENGTH 20
#define UDP_LENGTH 8
#define ICMP_LENGTH 8
#define SCTP_LENGTH 12
#define SCTP_INIT 1 /* a chunk's type, RFC 9260 3.2 */

/* By family; IP_LENGTH is its header's. */
/* Headers that the parser may read: Ethernet, IP and TCP without options. */
#define PARSE_LENGTH (ETHERNET_LENGTH + IP_LENGTH + TCP_LENGTH)
/* Answers have no IP options and extension headers, so this is where their transport header begins. */
#define ANSWER_OFFSET (ETHERNET_LENGTH + IP_LENGTH)
/* What an ICMP error of ours quotes: the IP header and 64 bits of data, as RFC 792 has it; RFC 4443 allows more. */
#define QUOTE_LENGTH (IP_LENGTH + 8)
#define ERROR_LENGTH (ICMP_LENGTH + QUOTE_LENGTH)

/* RFC 792, RFC 4443; <linux/icmp.h> drags the C library in. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __be16 id; /* echo; unused otherwise */
  __be16 sequence;
};

/* Neighbour discovery, RFC 4861 section 4. */
#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_REDIRECT 137

static __always_inline bool is_nd_type(__u8 type) {
  return type >= ND_ROUTER_SOLICITATION && type <= ND_REDIRECT;
}

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

static __always_inline bool same_mac(const __u8* a, const __u8* b) {
  const __u16 *x = (const __u16*)a, *y = (const __u16*)b;
  return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline void copy_mac(__u8* to, const __u8* from) {
  __u16* x = (__u16*)to;
  const __u16* y = (const __u16*)from;
  x[0] = y[0];
  x[1] = y[1];
  x[2] = y[2];
}

static __always_inline void swap_macs(struct ethhdr* ethernet) {
  __u8 mac[6];
  copy_mac(mac, ethernet->h_dest);
  copy_mac(ethernet->h_dest, ethernet->h_source);
  copy_mac(ethernet->h_source, mac);
}

static __always_inline __u64 sum_words(const void* from, int words) {
  const __u16* word = from;
  __u64 sum = 0;
  for (int i = 0; i < words; i++) sum += word[i];
  return sum;
}

static __always_inline void count_packet(__u8 entry, __u32 length, enum sluice_reason reason) {
  __u32 index = entry * SLUICE_COUNTER_STRIDE + reason;
  struct sluice_counter* counter = bpf_map_lookup_elem(&counters, &index);
  if (counter) {
    counter->packets++;
    counter->bytes += length;
  }
}

/* Nobody's business but the stack's: nothing of such a packet is looked at again, nor kept. */
static __always_inline int foreign(const struct __sk_buff* skb) {
  count_packet(SLUICE_ENTRY_FROM_UPLINK, skb->len, SLUICE_REASON_FOREIGN);
  return TC_ACT_UNSPEC;
}

static __always_inline int xdp_verdict(__u32 length, enum sluice_reason reason, int action) {
  count_packet(SLUICE_ENTRY_UPLINK_XDP, length, reason);
  return action;
}

/* Where a packet stands in its datagram. */
enum fragment_place {
  WHOLE = 0, /* so does an IPv6 atomic fragment (RFC 6946) */
  FIRST_FRAGMENT,
  LATER_FRAGMENT,
  LAST_FRAGMENT, /* a later one as well */
};

#define MAX_PACKET 65535 /* of IPv4 with its header, of IPv6 without it */

/* One line of a program's table of contents. */
#define STAGE(call)                          \
  do {                                       \
    int verdict = (call);                    \
    if (verdict != CONTINUE) return verdict; \
  } while (0)

#endif
