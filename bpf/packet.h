/* SPDX-License-Identifier: GPL-2.0 */
/* What the stages share about one packet: values, never pointers into it. And the verdict. */
#ifndef SLUICE_BPF_PACKET_H
#define SLUICE_BPF_PACKET_H

#define CONTINUE (-100) /* a stage's "not decided here"; no TC_ACT_* or XDP_* has this value */

#define ETHERNET_LENGTH 14
#define IPV4_LENGTH 20
#define L4_OFFSET (ETHERNET_LENGTH + IPV4_LENGTH) /* options are refused, so it is fixed */
#define TCP_LENGTH 20
#define UDP_LENGTH 8
#define ICMP_LENGTH 8
#define ARP_LENGTH 28

/* RFC 792; <linux/icmp.h> drags the C library in. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3
#define ICMP_ECHO 8
struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __be16 id; /* echo; unused otherwise */
  __be16 sequence;
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* The part of a flow record that changes and sends a packet; the same layout as in struct sluice_flow4 from
 * new_source on, so that a hit copies four words. */
struct action {
  __be32 new_source;
  __be32 new_destination;
  __be16 new_source_port;
  __be16 new_destination_port;
  __u32 address_delta;
  __u32 port_delta;
  __u32 ifindex;
  __u8 delivery;
  __u8 role;
  __u8 destination_mac[6];
};

/* What frontend and select have found for a new flow. */
struct choice {
  struct sluice_ref frontend;
  struct sluice_ref backend;
  __u32 backend_network;
  __u32 backend_base;
  __u32 backend_count;
  __u32 ready_count;
  __u32 ring_base;
  __u32 ring_size;
  __be32 router4;
  __be32 mask4;   /* of the backend's network */
  __be32 address; /* the backend's */
  __be16 port;    /* target port */
  __u16 network_slot;
  __u8 algorithm;
  __u8 kind; /* enum sluice_endpoint_kind of the backend */
  __u8 mac[6];
  __u32 ifindex;
};

struct packet {
  struct sluice_flow4_key key; /* this packet's tuple; network_protocol set for every IPv4 packet */
  struct action action;
  struct sluice_ref source; /* the sending pod; {0, 0} from an uplink */
  __u32 network;
  __u32 length;                 /* of the frame */
  __u32 ifindex;                /* the device it came in by */
  __be32 cidr4, mask4, router4; /* of the sending pod's network */
  __be32 own_address;           /* the sending pod's */
  __u8 own_mac[6];
  __u8 own_delivery; /* enum sluice_delivery: how a reply reaches the sender */
  __u32 sequence;    /* TCP, host order */
  __u32 acknowledgement;
  __u32 payload;      /* TCP: bytes after the header */
  __u32 stale_pair;   /* 1 + index of a pair whose ended record stands in this tuple's place */
  __u16 network_slot; /* whose share and rate of refusals is used */
  __u8 entry;         /* enum sluice_entry */
  __u8 protocol;
  __u8 tcp_flags;
  __u8 icmp_type;
  __u8 tracked; /* TCP, UDP or ICMP echo: has a tuple that a flow may own */
};

static __always_inline void count(const struct packet* p, enum sluice_reason reason) {
  __u32 index = p->entry * SLUICE_COUNTER_STRIDE + reason;
  struct sluice_counter* counter = bpf_map_lookup_elem(&counters, &index);
  if (counter) {
    counter->packets++;
    counter->bytes += p->length;
  }
}

/* Where the answers to this packet are counted: inside and outside apart, so that nobody outside uses up what a
 * network's own pods get; without a service, by the floating IP that was asked. */
static __always_inline struct sluice_refusal_window* refusal_window_of(const struct packet* p) {
  if (p->entry == SLUICE_ENTRY_FROM_UPLINK && !p->network_slot) {
    __u32 index = sluice_refusal_index(p->key.destination);
    return bpf_map_lookup_elem(&refusal_windows, &index);
  }
  struct sluice_network_usage* usage = get_usage(p->network_slot);
  if (!usage) return 0;
  return p->entry == SLUICE_ENTRY_FROM_UPLINK ? &usage->outside : &usage->inside;
}

/* The three ways to end: every one names its reason, nothing else counts. */
static __always_inline int drop(const struct packet* p, enum sluice_reason reason) {
  count(p, reason);
  return TC_ACT_SHOT;
}

/* TC_ACT_UNSPEC lets later programs and the stack have it, on TCX and clsact alike. */
static __always_inline int pass(const struct packet* p, enum sluice_reason reason) {
  count(p, reason);
  return TC_ACT_UNSPEC;
}

/* `redirected` is what a redirect helper returned. */
static __always_inline int forward(const struct packet* p, long redirected, enum sluice_reason reason) {
  if (redirected != TC_ACT_REDIRECT) return drop(p, SLUICE_REASON_DELIVERY_FAILED);
  count(p, reason);
  return TC_ACT_REDIRECT;
}

/* One line of a program's table of contents. */
#define STAGE(call)                          \
  do {                                       \
    int verdict = (call);                    \
    if (verdict != CONTINUE) return verdict; \
  } while (0)

#endif
