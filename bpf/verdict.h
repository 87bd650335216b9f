/* SPDX-License-Identifier: GPL-2.0 */
/* What the stages share about one packet: values, never pointers into it. And the verdict. */

/* The part of a flow record that changes and sends a packet; the same layout as in the record from new_source on, so
 * that a hit copies it whole. */
ACTION {
  ADDRESS new_source;
  ADDRESS new_destination;
  __be16 new_source_port;
  __be16 new_destination_port;
  __u16 address_delta;
  __u16 port_delta;
  __u32 ifindex;
  __u8 delivery;
  __u8 role;
  __u8 destination_mac[6];
  __u16 network_slot;
  __u8 pad[2];
};

/* What frontend and select have found for a new flow. */
CHOICE {
  struct sluice_ref frontend;
  struct sluice_ref backend;
  __u32 backend_network;
  __u32 backend_base;
  __u32 backend_count;
  __u32 ready_count;
  __u32 ring_base;
  __u32 ring_size;
  __u32 affinity;
  __u32 owner;
  __u32 local; /* where the backend stands in its list */
  ADDRESS router;
  ADDRESS address; /* the backend's */
  __be16 port;     /* target port */
  __u16 network_slot;
  __u8 algorithm;
  __u8 cidr_length; /* of the backend's network, which has `router` in it */
  __u8 kind;        /* enum sluice_endpoint_kind of the backend */
  __u8 pad;
  __u8 mac[6];
  __u32 ifindex;
  /* The sender's way out, if the flow gets an egress address as its source (egress.h). */
  ADDRESS egress;
  struct sluice_ref way;
  __u32 way_ifindex;
  __u32 quota;      /* pairs of the sender */
  __u16 first_port; /* host order */
  __u16 ports;      /* how many; 0: the source stays what it is */
};

PACKET {
  /* Whoever reads one of these has been behind the stage that writes it. They are not zeroed, which would cost an IPv6
   * packet 5 ns. */
  /* this packet's tuple; network_protocol set for every packet that is ours; the ports are zeroed */
  ALIGNED FLOW_KEY key;
  ACTION action; /* of a hit or of a new flow */
  ADDRESS cidr;  /* of the sending pod's network */
#if FAMILY == 4
  __be32 mask;
#endif
  ADDRESS own_address; /* the sending pod's */
  ADDRESS router;      /* who speaks for the network: its router, or the floating IP that was asked */
  /* Zero until they are written. */
  struct sluice_ref source; /* the sending pod; {0, 0} from an uplink */
  __u32 network;
  __u32 length;  /* of the frame */
  __u32 ifindex; /* the device it came in by */
  __u8 own_mac[6];
  __u8 own_delivery; /* enum sluice_delivery: how a reply reaches the sender */
  __u8 cidr_length;  /* IPv6 only */
  __u32 sequence;    /* TCP, host order */
  __u32 acknowledgement;
  __u32 payload;      /* TCP, ICMP: bytes after the header; SCTP: with it */
  __u32 mtu;          /* of the device that the packet is too long for */
  __u32 stale_pair;   /* 1 + index of a pair whose ended record stands in this tuple's place */
  __u16 network_slot; /* whose share and rate of refusals is used */
  __u8 entry;         /* enum sluice_entry */
  __u8 protocol;
  __u8 tcp_flags;
  __u8 icmp_type;
  __u8 ttl;             /* hop limit */
  __u8 tracked;         /* TCP, UDP, SCTP or ICMP echo: has a tuple that a flow may own */
  __u8 sctp_init;       /* SCTP: asks for an association */
  __u8 shared;          /* sent from outside to an egress address that is the node's own */
  __u8 fragment;        /* enum fragment_place; the other values are only set if it is not WHOLE */
  __u16 fragment_begin; /* of what follows the header that tells of it, in the datagram */
  __u16 fragment_end;
  __u32 fragment_id;
#if FAMILY == 6
  __u8 transport; /* see l4_offset */
#endif
};

/* Where the transport header begins. IPv4's options are refused, so there it is fixed; in IPv6 extension headers may
 * come first. A byte holds it, which is what bounds it for the verifier. */
#if FAMILY == 4
INLINE __u32 l4_offset(const PACKET* p) {
  return ETHERNET_LENGTH + IP_LENGTH;
}
#else
INLINE __u32 l4_offset(const PACKET* p) {
  return p->transport;
}
#endif

/* Has it no transport header? */
INLINE bool is_later_fragment(const PACKET* p) {
  return p->fragment >= LATER_FRAGMENT;
}

/* Where the answers to this packet are counted: inside and outside apart, so that nobody outside uses up what a
 * network's own pods get; without a service, by the floating IP that was asked. */
INLINE struct sluice_refusal_window* refusal_window_of(const PACKET* p) {
  if (p->entry == SLUICE_ENTRY_FROM_UPLINK && !p->network_slot) {
    __u32 index = refusal_index(p->key.destination);
    return bpf_map_lookup_elem(&refusal_windows, &index);
  }
  struct sluice_network_usage* usage = get_usage(p->network_slot);
  if (!usage) return 0;
  return p->entry == SLUICE_ENTRY_FROM_UPLINK ? &usage->outside : &usage->inside;
}

/* The three ways to end: every one names its reason, nothing else counts. */
INLINE int drop(const PACKET* p, enum sluice_reason reason) {
  count_packet(p->entry, p->length, reason);
  return TC_ACT_SHOT;
}

/* TC_ACT_UNSPEC lets later programs and the stack have it, on TCX and clsact alike. */
INLINE int pass(const PACKET* p, enum sluice_reason reason) {
  count_packet(p->entry, p->length, reason);
  return TC_ACT_UNSPEC;
}

/* `redirected` is what a redirect helper returned. */
INLINE int forward(const PACKET* p, long redirected, enum sluice_reason reason) {
  if (redirected != TC_ACT_REDIRECT) return drop(p, SLUICE_REASON_DELIVERY_FAILED);
  count_packet(p->entry, p->length, reason);
  return TC_ACT_REDIRECT;
}

/* Room for a new flow: the chain of calls has 512 bytes of stack in all, and kernel 6.1 counts the frames of all
 * callers. */
WORKSPACE {
  FLOW_KEY reverse;
  CHOICE choice;
  FLOW record;
};
SCRATCH_OF(SCRATCH, WORKSPACE);

INLINE WORKSPACE* workspace_of(const PACKET* p) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&SCRATCH, &zero);
}

INLINE void begin_packet(PACKET* p, enum sluice_entry entry, __u32 length) {
  __builtin_memset(&p->source, 0, sizeof(*p) - __builtin_offsetof(PACKET, source));
  p->key.source_port = p->key.destination_port = 0;
  p->entry = entry;
  p->length = length;
}

INLINE void begin_on_uplink(const struct __sk_buff* skb, PACKET* p) {
  begin_packet(p, SLUICE_ENTRY_FROM_UPLINK, skb->len);
  p->own_delivery = SLUICE_DELIVER_UPLINK;
  p->ifindex = skb->ifindex;
}

#if FAMILY == 6
SCRATCH_OF(scratch_packet6, struct packet6);

/* Where an IPv6 packet's values stand: they are too large for the stack, see above. */
static __always_inline struct packet6* packet6_room(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&scratch_packet6, &zero);
}
#endif
