/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Every map key, map value and configuration struct that BPF programs and userspace share.
 *
 * Rules: only <linux/types.h>; every byte is named; sizes are asserted; __be16/__be32 are in network byte order,
 * everything else in host byte order. Keys and records that hold tenant addresses exist once a family, with the
 * family's number in their names; whatever else they hold is the same. A change of any layout or meaning raises
 * SLUICE_ABI_VERSION: pins live in <bpffs>/abi-N/, so two versions never share a map.
 *
 * Slots and generations. Pods (endpoints) and service ports (frontends) have small dense slots. A slot's current
 * generation stands in endpoint_generations / frontend_generations; every record that names a slot names the
 * generation too (struct sluice_ref) and matches only while both are equal. Generations come from one counter and
 * never repeat, so one write ends everything that refers to the former holder of the slot.
 * Slot 0 with generation 0 means "nobody" and always matches: entry 0 of both arrays stays 0.
 *
 * Self-identifying records. The kernel may reuse a deleted hash element at once, while a program on another CPU
 * still reads it. It copies a value in ascending or in descending order, as the processor and the addresses have it.
 * Such values therefore begin with a copy of their key, `self`, and end with another, `self_end`; a reader copies what
 * it needs, then compares both, and treats a difference as a miss: whatever it has read of a new value, the end that
 * was written first is new as well. A flow record has a number in place of the second key, `stamp` and `stamp_end`:
 * random for every record made, so that nobody can choose a key with which two records have the same one, and a reader
 * need not compute anything.
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <linux/types.h>

#define SLUICE_ABI_VERSION 7

#ifdef __cplusplus
#define SLUICE_ASSERT_SIZE(type, size) static_assert(sizeof(type) == (size), #type " is part of the ABI")
#else
#define SLUICE_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " is part of the ABI")
#endif

/* The router's MAC address in every network (locally administered, "slc" in the middle). */
#define SLUICE_ROUTER_MAC {0x02, 0x73, 0x6c, 0x63, 0x00, 0x01}

/* An IPv6 address as it stands in a packet; all zero where there is none. Aligned so that programs move and compare it
 * in two words of eight bytes. */
struct sluice_address6 {
  __be32 words[4];
} __attribute__((aligned(8)));
SLUICE_ASSERT_SIZE(struct sluice_address6, 16);

/* The router's link-local address: fe80::/64 with the modified EUI-64 of its MAC (RFC 4291 appendix A). */
#define SLUICE_ROUTER_LINK_LOCAL {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x00, 0x73, 0x6c, 0xff, 0xfe, 0x63, 0x00, 0x01}

/* ---- entry points and counters ---------------------------------------------------------------------------- */

enum sluice_entry {
  SLUICE_ENTRY_FROM_POD = 0,     /* tc ingress on the host side of a pod's veth */
  SLUICE_ENTRY_FROM_UPLINK = 1,  /* tc ingress on an uplink */
  SLUICE_ENTRY_UPLINK_XDP = 2,   /* XDP on an uplink */
  SLUICE_ENTRY_FROM_HOST = 3,    /* reserved: the host's own port */
  SLUICE_ENTRY_FROM_OVERLAY = 4, /* reserved: the tunnel device */
  SLUICE_ENTRY_COUNT = 5,
};

/* counters: per-CPU array, index = entry * SLUICE_COUNTER_STRIDE + reason (reasons.h). */
#define SLUICE_COUNTER_STRIDE 128
struct sluice_counter {
  __u64 packets;
  __u64 bytes; /* frame bytes from the Ethernet header on; GSO packets count their full size */
};
SLUICE_ASSERT_SIZE(struct sluice_counter, 16);

/* ---- meta and settings (arrays with one element) ------------------------------------------------------------ */

/* meta: who owns these pins, and what the other maps were made from. Written by the daemon. */
struct sluice_meta {
  __u32 abi_version;    /* SLUICE_ABI_VERSION */
  __u32 features;       /* reserved feature bits, 0 */
  __u8 owner_uuid[16];  /* of the daemon's state folder; written once, when the maps are made */
  __u8 store_uuid[16];  /* of the store whose state the maps hold; all zero: none yet */
  __u64 store_epoch;    /* of that store */
  __u64 store_revision; /* of that store, when the maps held all of it last */
  __u64 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_meta, 64);

/* settings: written by the daemon, read by the programs. Durations are nanoseconds. */
struct sluice_settings {
  __u64 secret[2];       /* key of the flow hash (SipHash); made once, kept in the store */
  __u64 tcp_half_open;   /* SYN seen, handshake not finished */
  __u64 tcp_established; /* RFC 5382: not below 2 h 4 min by default */
  __u64 tcp_closing;     /* one side has sent FIN */
  __u64 tcp_closed;      /* both sides have sent FIN; RFC 5382: not below 4 min by default */
  __u64 tcp_reset;       /* one side has sent RST; also both FIN while flows are short, see SLUICE_SHORT_LIMIT */
  __u64 udp_new;         /* UDP and SCTP: no reply seen yet */
  __u64 udp_stream;      /* reply seen; RFC 4787: not below 2 min by default */
  __u64 icmp;
  __u64 sweep_interval;      /* between two slices of the sweep */
  __u64 delete_grace;        /* a pair marked for deletion is deleted no earlier than this after the mark */
  __u32 sweep_pairs;         /* pairs visited in one slice; sized for <= 1 ms */
  __u32 max_pairs;           /* flow pairs of both families; pairs has this many elements, flows4 and flows6 twice */
  __u32 shared_pairs;        /* max_pairs minus the sum of all guarantees: what bursts share */
  __u32 refusals_per_second; /* RST, ICMP errors and echo replies per network and second */
  __u32 smallest_mtu;        /* of all pods' devices and uplinks: what is no longer fits everywhere; 0: not known */
  /* The node's own addresses, if flows leave by them: they have the ports from shared_first to shared_last, host
   * order, the node's sockets have the others. 0: none. */
  __be32 shared4;
  struct sluice_address6 shared6;
  __u16 shared_first;
  __u16 shared_last;
  __u32 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_settings, 144);

/* Nanoseconds that a pair which counts in half_open may stay idle while its network has more than half of
 * max_half_open_pairs: a client that means it repeats its SYN after 1 and 3 seconds. */
#define SLUICE_SHORT_LIMIT 4000000000ULL

/* ---- networks (arrays by network slot; slot 0 is the public side) ----------------------------------------------- */

/* network_limits: owned by the daemon. */
struct sluice_network_limits {
  __u32 network;             /* id of the network that has this slot; 0: free (or slot 0) */
  __u32 guaranteed_pairs;    /* always available to this network */
  __u32 max_pairs;           /* guaranteed plus burst */
  __u32 max_half_open_pairs; /* from the public side: TCP without a finished handshake, others without a reply */
};
SLUICE_ASSERT_SIZE(struct sluice_network_limits, 16);

/* Answers (resets, unreachables, pings) given in the current second. */
struct sluice_refusal_window {
  __u64 began; /* coarse ns */
  __u32 answers;
  __u32 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_refusal_window, 16);

/* refusal_windows: array, owned by the programs: for floating IPs' ports that nobody has bound, and their pings, the
 * window of floating IP a is element sluice_refusal_index(a). */
#define SLUICE_REFUSAL_WINDOWS 1024

/* network_usage: owned by the programs. One cache line each. */
struct sluice_network_usage {
  __u32 pairs;         /* flow pairs charged to this network */
  __u32 half_open;     /* of these, those without an answer yet that came from the public side */
  __u32 recount_pairs; /* the sweep's running recount, becomes `pairs` at the end of a round */
  __u32 recount_half_open;
  __u32 changes;         /* grows with every change of `pairs` or `half_open`; a recount holds only if it stood still */
  __u32 recount_changes; /* `changes` when the sweep's round began */
  __u32 shared;          /* of `pairs`, those taken from the pool that all networks share */
  __u32 pad;
  struct sluice_refusal_window inside;  /* answers to the network's own pods */
  struct sluice_refusal_window outside; /* answers for its services to the public side */
};
SLUICE_ASSERT_SIZE(struct sluice_network_usage, 64);

/* ---- ports (hash by ifindex): who sends through this device ------------------------------------------------------ */

enum sluice_port_kind {
  SLUICE_PORT_POD = 1,
  SLUICE_PORT_UPLINK = 2,
};

struct sluice_ref {
  __u32 slot;
  __u32 generation;
};
SLUICE_ASSERT_SIZE(struct sluice_ref, 8);

struct sluice_port {
  __u32 self;                 /* the key: ifindex */
  __u32 network;              /* 24-bit id; 0 for an uplink */
  struct sluice_ref endpoint; /* the pod; {0, 0} for an uplink */
  __be32 address4;            /* the pod's; 0: it has none, or an uplink */
  __be32 cidr4;               /* the network's prefix; 0 for an uplink */
  __be32 mask4;
  __be32 router4;
  __u16 network_slot;
  __u8 kind;     /* enum sluice_port_kind */
  __u8 delivery; /* enum sluice_delivery: how replies reach the sender through this device */
  __u8 mac[6];   /* the pod's, or the uplink's own */
  __u8 cidr6_length;
  __u8 pad[5];
  struct sluice_address6 address6; /* the pod's; zero: it has none, or an uplink */
  struct sluice_address6 cidr6;    /* the network's prefix */
  struct sluice_address6 router6;
  __u32 pad2;
  __u32 self_end;
};
SLUICE_ASSERT_SIZE(struct sluice_port, 104);

/* port_slots: the same records once more, in an array by ifindex % SLUICE_PORT_SLOTS, because an array costs a
 * packet nothing and a hash does. Of two ports with one slot the other is found in the hash alone.
 * Written through shared memory as a seqlock, because bpf(2) copies an element in no particular order: `sequence` is
 * odd while the record changes and another even number after. A reader takes `sequence`, the record, and `sequence`
 * again; if it was odd or differs, or `port.self` is not its ifindex, it asks the hash. Relies on stores and loads
 * keeping their order (x86-64); elsewhere the daemon leaves the slots empty. */
#define SLUICE_PORT_SLOTS 4096
struct sluice_port_slot {
  __u32 sequence;
  __u32 pad;
  struct sluice_port port; /* what IPv4 needs lies in the first cache line */
  __u64 pad2[2];           /* to two cache lines */
};
SLUICE_ASSERT_SIZE(struct sluice_port_slot, 128);

/* ---- endpoints (hash): every address that somebody has -------------------------------------------------------------
 */

enum sluice_endpoint_kind {
  SLUICE_ENDPOINT_POD_PEER = 1,   /* deliver with bpf_redirect_peer to ifindex (a veth into a namespace) */
  SLUICE_ENDPOINT_POD_DEVICE = 2, /* deliver with bpf_redirect to ifindex (a VM's tap) */
  SLUICE_ENDPOINT_ROUTER = 3,
  SLUICE_ENDPOINT_SERVICE = 4,    /* a service address, inside or outside the CIDR; mac is the router's */
  SLUICE_ENDPOINT_FLOATING = 5,   /* a floating IP, network 0; ARP and ND are answered with the uplink's MAC */
  SLUICE_ENDPOINT_POD_REMOTE = 6, /* reserved: a pod on another node */
  SLUICE_ENDPOINT_EGRESS = 7,     /* an egress address of its own, network 0: as a floating IP without services */
  SLUICE_ENDPOINT_SHARED = 8,     /* an egress address that is the node's own: all but its ports is the host's */
};

struct sluice_endpoint4_key {
  __u32 network;
  __be32 address;
};
SLUICE_ASSERT_SIZE(struct sluice_endpoint4_key, 8);

struct sluice_endpoint4 {
  struct sluice_endpoint4_key self;
  struct sluice_ref ref; /* pods only, else {0, 0} */
  __u32 ifindex;         /* pods: the device to deliver to; 0: not attached */
  __u8 mac[6];           /* pods: own MAC; router and services: the router's */
  __u8 kind;             /* enum sluice_endpoint_kind */
  __u8 pad;
  __be32 node4; /* reserved: underlay address of the pod's node */
  struct sluice_endpoint4_key self_end;
};
SLUICE_ASSERT_SIZE(struct sluice_endpoint4, 40);

struct sluice_endpoint6_key {
  struct sluice_address6 address;
  __u32 network;
  __u32 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_endpoint6_key, 24);

/* As struct sluice_endpoint4. A pod with both families has one slot and generation. */
struct sluice_endpoint6 {
  struct sluice_endpoint6_key self;
  struct sluice_ref ref;
  __u32 ifindex;
  __u8 mac[6];
  __u8 kind;
  __u8 pad[5];
  struct sluice_address6 node6; /* reserved */
  struct sluice_endpoint6_key self_end;
};
SLUICE_ASSERT_SIZE(struct sluice_endpoint6, 88);

/* ---- frontends (hash) and backends, rings (arenas) ------------------------------------------------------------------
 */

/* A service port in network N, or a floating IP's port in network 0. ICMP echo to a service address is a frontend
 * with protocol 1 (IPPROTO_ICMP; 58, IPPROTO_ICMPV6, in IPv6) and port 0 over the backends of the service's first
 * port. */
struct sluice_frontend4_key {
  __u32 network;
  __be32 address;
  __be16 port;
  __u8 protocol;
  __u8 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_frontend4_key, 12);

enum sluice_algorithm {
  SLUICE_ALGORITHM_HASH = 0,   /* over network, both addresses, both ports and protocol */
  SLUICE_ALGORITHM_SOURCE = 1, /* over network, source address and destination address */
  SLUICE_ALGORITHM_RANDOM = 2,
  SLUICE_ALGORITHM_ROUND_ROBIN = 3,          /* in the list's order: weights are equal */
  SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN = 4, /* in the ring's order, where each has slots by its weight */
  SLUICE_ALGORITHM_LEAST_CONNECTIONS = 5,    /* by endpoint_pairs and weight */
};

/* One map write of this record is the atomic switch from one set of backends to the next. */
struct sluice_frontend4 {
  struct sluice_frontend4_key self;
  __u32 backend_network; /* the tenant's network id (equals self.network, or the tenant behind a floating IP) */
  struct sluice_ref ref; /* own slot and generation; a floating IP's port has its own */
  __u32 backend_base;    /* first element in `backends` */
  __u32 backend_count;   /* configured backends, ready or not */
  __u32 ready_count;     /* of these, ready; 0: refuse at once */
  __u32 ring_base;       /* first block in `rings` */
  __u32 ring_size;       /* slots, a prime; 0: no ring (backend_count <= SLUICE_RENDEZVOUS_MAX) */
  __be32 router4;        /* the tenant network's router, source of substituted tuples */
  __u16 network_slot;    /* the tenant's: flows are charged here */
  __u8 algorithm;        /* enum sluice_algorithm */
  __u8 cidr_length;      /* prefix length of the tenant network's CIDR, which has router4 in it */
  __u32 owner;           /* stable hash of (tenant network, service name): a key that changes owner ends its flows */
  __u64 fingerprint;     /* of what the ring was built from: backends in order, ring size, secret */
  __u32 affinity;        /* seconds for which a client keeps its backend after its last new flow; 0: it does not */
  struct sluice_frontend4_key self_end;
};
SLUICE_ASSERT_SIZE(struct sluice_frontend4, 80);

struct sluice_frontend6_key {
  struct sluice_address6 address;
  __u32 network;
  __be16 port;
  __u8 protocol;
  __u8 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_frontend6_key, 24);

/* As struct sluice_frontend4. A service with both families has a record in each, with a slot of its own and with those
 * backends that have the family. */
struct sluice_frontend6 {
  struct sluice_frontend6_key self;
  __u32 backend_network;
  struct sluice_ref ref;
  __u32 backend_base;
  __u32 backend_count;
  __u32 ready_count;
  __u32 ring_base;
  __u32 ring_size;
  struct sluice_address6 router6;
  __u16 network_slot;
  __u8 algorithm;
  __u8 cidr_length;
  __u32 owner;
  __u64 fingerprint;
  __u32 affinity;
  __u32 pad;
  struct sluice_frontend6_key self_end;
};
SLUICE_ASSERT_SIZE(struct sluice_frontend6, 120);

/* Up to this many backends are chosen by rendezvous hashing over the list; above it by a Maglev ring. */
#define SLUICE_RENDEZVOUS_MAX 8
/* Re-hash attempts past slots whose backend is down, before the list is searched in order. */
#define SLUICE_SELECT_ATTEMPTS 16

enum sluice_backend_state {
  SLUICE_BACKEND_DOWN = 0, /* configured, takes no new flows: not attached, draining or (later) unhealthy */
  SLUICE_BACKEND_READY = 1,
};

/* backends: one arena; a frontend has backend_count elements from backend_base on. An element that a live
 * frontend uses changes only in `state`, `weight` and `endpoint`. */
struct sluice_backend {
  __u32 network;              /* equals the frontend's backend_network, or the record was reused: treat as a miss */
  __be32 address4;            /* of an IPv4 frontend's backend; otherwise 0 */
  struct sluice_ref endpoint; /* the pod; must equal the endpoint record's */
  __be16 port;                /* target port; 0 for ICMP echo */
  __u8 state;                 /* enum sluice_backend_state */
  __u8 weight;                /* less one: 0 to 255 for weights 1 to 256; of weight 0 none is ready. Read by least
                                 connections alone; rings have it in their slots */
  __u32 identity;             /* stable hash of (network, pod name, target port): what rendezvous hashing keys on */
  struct sluice_address6 address6; /* of an IPv6 frontend's backend; otherwise zero */
};
SLUICE_ASSERT_SIZE(struct sluice_backend, 40);

/* rings: one arena of blocks; slot s of a ring is entries[s % 32] of block ring_base + s / 32, a local index
 * into the frontend's backends. */
#define SLUICE_RING_BLOCK 32
struct sluice_ring_block {
  __u16 entries[SLUICE_RING_BLOCK];
};
SLUICE_ASSERT_SIZE(struct sluice_ring_block, 64);

/* turns: array by frontend slot, owned by the programs: new flows that round robin has placed, and turns that it has
 * passed over because the backend was down. Wraps around. */

/* endpoint_pairs: array by endpoint slot, owned by the programs: live pairs that lead to a pod through a frontend, of
 * both families and of all its services; but TCP connections that both sides have closed. */

/* Least connections looks at so many backends from a random place in the list on; at all, if there are no more. */
#define SLUICE_LEAST_OF 64

/* affinities: array of buckets, owned by the programs: which pod a client of a service had last. A client's bucket
 * and digest are one keyed hash (sluice_affinity_hash4, sluice_affinity_hash6); an entry is nobody's once `until` is
 * past. Two CPUs may write one entry at once: what a program reads there it takes only if it names a ready backend of
 * the packet's own frontend. */
#define SLUICE_AFFINITY_BUCKETS 32768
#define SLUICE_AFFINITY_WAYS 8
struct sluice_affinity {
  __u64 digest;
  __u64 until;                /* coarse ns; moved on by every new flow of the client */
  struct sluice_ref endpoint; /* the pod */
  __u32 network;              /* the service's network id: who pays for the entry */
  __u32 local;                /* where the pod stood in the list of the frontend that was asked last */
};
SLUICE_ASSERT_SIZE(struct sluice_affinity, 32);
struct sluice_affinity_bucket {
  struct sluice_affinity ways[SLUICE_AFFINITY_WAYS];
};
SLUICE_ASSERT_SIZE(struct sluice_affinity_bucket, 256);

/* frontend_filter: a bitmap over the addresses that may have frontends, so that a packet to any other address costs
 * one load instead of a failed lookup. The bit is set for every floating IP (network 0) and every service address;
 * collisions only cost time. */
#define SLUICE_FILTER_WORDS 1024
#define SLUICE_FILTER_BITS (SLUICE_FILTER_WORDS * 64)
static inline __u32 sluice_filter_bit(__u32 network, __be32 address) {
  return (__u32)(((__u32)address * 0x9E3779B1u + network * 0x85EBCA6Bu) >> 16); /* multiplicative hash to 16 bits */
}

/* Two products at a time, of which the upper bits are taken: there an address's last octets differ. */
static inline __u32 sluice_filter_bit6(__u32 network, const struct sluice_address6* address) {
  const __u32* words = (const __u32*)address->words;
  __u64 first = words[0] | (__u64)words[1] << 32, last = words[2] | (__u64)words[3] << 32;
  return (__u32)((first * 0x9E3779B97F4A7C15ull + last * 0xC2B2AE3D27D4EB4Full + network * 0x85EBCA77C2B2AE63ull) >>
                 48);
}

static inline __u32 sluice_refusal_index(__be32 address) {
  /* the upper bits: the last octet of an address stands in its highest byte, which moves no lower ones */
  return sluice_filter_bit(0, address) / (SLUICE_FILTER_BITS / SLUICE_REFUSAL_WINDOWS);
}
static inline __u32 sluice_refusal_index6(const struct sluice_address6* address) {
  return sluice_filter_bit6(0, address) / (SLUICE_FILTER_BITS / SLUICE_REFUSAL_WINDOWS);
}

/* ---- egress (hash by network id): how a network's pods reach the public side ---------------------------------------
 */

struct sluice_egress {
  __u32 self;                      /* the key: the network's id */
  __be32 address4;                 /* the source that flows get; 0: no way out in this family */
  struct sluice_address6 address6; /* likewise */
  struct sluice_ref ref4;          /* a frontend slot and generation: what ends flows when the way changes */
  struct sluice_ref ref6;
  __u32 ifindex; /* of the uplink */
  __u32 quota;   /* live pairs of one pod */
  __u16 first4;  /* ports that flows get, both included, host order; ICMP echo ids likewise */
  __u16 last4;
  __u16 first6;
  __u16 last6;
  __u32 pad;
  __u32 self_end;
};
SLUICE_ASSERT_SIZE(struct sluice_egress, 64);

/* egress_denied4, egress_denied6: prefixes (LPM tries) that no pod reaches. The value says nothing. */
struct sluice_prefix4 {
  __u32 length;
  __be32 address;
};
SLUICE_ASSERT_SIZE(struct sluice_prefix4, 8);
struct sluice_prefix6 {
  __u32 length;
  __u8 address[16];
};
SLUICE_ASSERT_SIZE(struct sluice_prefix6, 20);
#define SLUICE_MAX_DENIED 4096

/* egress_pairs: array by endpoint slot, owned by the programs: live pairs of a pod that hold a port.
 * egress_shares: array, likewise: live pairs of one network to one remote address, port and protocol, by a keyed hash
 * of these. One network may hold so many of a remote's ports: */
#define SLUICE_EGRESS_SHARES 65536
#define SLUICE_EGRESS_SHARE(ports) ((ports) / 4)
/* Ports that are tried for a new flow, its own first. */
#define SLUICE_EGRESS_TRIES 64

/* ---- flows ---------------------------------------------------------------------------------------------------------
 */

/* The tuple as it stands in a packet of this direction. ICMP echo (also v6): requests have source_port = id,
 * destination_port = 0; replies the reverse. */
struct sluice_flow4_key {
  __u32 network_protocol; /* network id | protocol << 24 */
  __be32 source;
  __be32 destination;
  __be16 source_port;
  __be16 destination_port;
};
SLUICE_ASSERT_SIZE(struct sluice_flow4_key, 16);

struct sluice_flow6_key {
  struct sluice_address6 source;
  struct sluice_address6 destination;
  __u32 network_protocol;
  __be16 source_port;
  __be16 destination_port;
};
SLUICE_ASSERT_SIZE(struct sluice_flow6_key, 40);

/* What an IPv6 record stands under in flows6: a digest of the tuple (sluice_flow6_digest_of), because the kernel hashes
 * and compares 24 bytes in two thirds of the time that it takes for 40. Two tuples may have the same one, so a record
 * is another's unless its `self` is the tuple that was looked for. */
struct sluice_flow6_digest {
  __u64 addresses;   /* sluice_flow_digest6 */
  __u64 identifiers; /* the interface identifiers (the lower halves) of both addresses, one xor the other */
  __u64 rest;        /* network_protocol; in the upper half both ports, as they stand in memory */
};
SLUICE_ASSERT_SIZE(struct sluice_flow6_digest, 24);

/* digest_key: array with one element, for as long as the maps live: random, written once by the daemon that makes them.
 * Who knows it could make tuples that are in each other's way. */
struct sluice_digest_key {
  __u32 words[6];
};
SLUICE_ASSERT_SIZE(struct sluice_digest_key, 24);

enum sluice_delivery {
  SLUICE_DELIVER_PEER = 1,   /* bpf_redirect_peer(ifindex) */
  SLUICE_DELIVER_DEVICE = 2, /* bpf_redirect(ifindex, 0) */
  SLUICE_DELIVER_UPLINK = 3, /* bpf_redirect_neigh(ifindex) */
  SLUICE_DELIVER_NODE = 4,   /* reserved: tunnel to another node */
  SLUICE_DELIVER_HOST = 5,   /* reserved: the host's port */
};

enum sluice_flow_role {
  SLUICE_FLOW_FORWARD = 1, /* client to backend */
  SLUICE_FLOW_REVERSE = 2, /* backend to client */
};

/* Bits of sluice_flow4.state. Each direction's packets set bits of their own record; SYNACK alone is set on the
 * forward record by the reverse direction's SYN+ACK, together with `acknowledged`. */
enum sluice_flow_state {
  SLUICE_STATE_SYN = 1 << 0,
  SLUICE_STATE_SYNACK = 1 << 1,      /* the backend has answered; acknowledged holds the ACK that finishes it */
  SLUICE_STATE_ESTABLISHED = 1 << 2, /* TCP: handshake finished. Others (reverse record): a reply was seen */
  SLUICE_STATE_FIN = 1 << 3,
  SLUICE_STATE_RST = 1 << 4,
  SLUICE_STATE_HALF_OPEN_CHARGED = 1 << 5, /* forward record: counts in network_usage.half_open */
};

/* One direction of a flow pair: the whole action for its packets. With the head and the key that the kernel puts before
 * it, 48 and 16 bytes, a record fills three cache lines. */
struct sluice_flow4 {
  struct sluice_flow4_key self;
  __u32 stamp; /* equals stamp_end, unless the record is being written */
  __u32 pair;  /* index in pairs */
  __be32 new_source;
  __be32 new_destination;
  __be16 new_source_port;
  __be16 new_destination_port;
  __u16 address_delta;     /* one's complement difference of the addresses, for IP and L4 checksums */
  __u16 port_delta;        /* the same of the ports, for the L4 checksum; 0: they stay what they are */
  __u32 ifindex;           /* where delivery sends it */
  __u8 delivery;           /* enum sluice_delivery */
  __u8 role;               /* enum sluice_flow_role */
  __u8 destination_mac[6]; /* not for SLUICE_DELIVER_UPLINK */
  __u16 network_slot;      /* charged */
  __u8 pad[2];
  struct sluice_ref source;   /* the sending pod ({0, 0}: the public side): must equal the port's endpoint */
  struct sluice_ref endpoint; /* the receiving pod ({0, 0}: the public side) */
  struct sluice_ref frontend; /* the service port or floating IP port that made the flow */
  __u32 state;                /* bits of enum sluice_flow_state */
  __u32 acknowledged;         /* TCP, host order: forward record until ESTABLISHED: the ACK that finishes the handshake;
                               * otherwise the last acknowledgement number that this direction has sent */
  __u64 last_seen;            /* bpf_ktime_get_coarse_ns */
  __u64 packets;
  __u64 bytes;
  __be32 node4; /* reserved: tunnel remote */
  __u32 pad2;
  __u32 last_tick; /* low word of the jiffies at last_seen: the clock is read once a tick */
  __u32 stamp_end;
};
SLUICE_ASSERT_SIZE(struct sluice_flow4, 128);

/* The same for IPv6: with 48 and 24 bytes before it, four cache lines. */
struct sluice_flow6 {
  struct sluice_flow6_key self;
  __u32 stamp;
  __u32 pair;
  struct sluice_address6 new_source;
  struct sluice_address6 new_destination;
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
  struct sluice_ref source;
  struct sluice_ref endpoint;
  struct sluice_ref frontend;
  __u32 state;
  __u32 acknowledged;
  __u64 last_seen;
  __u64 packets;
  __u64 bytes;
  struct sluice_address6 node6; /* reserved: tunnel remote */
  __u32 last_tick;
  __u32 stamp_end;
};
SLUICE_ASSERT_SIZE(struct sluice_flow6, 184);

enum sluice_pair_state {
  SLUICE_PAIR_FREE = 0,
  SLUICE_PAIR_LIVE = 1,
  SLUICE_PAIR_DYING = 2, /* claimed by exactly one deleter */
  SLUICE_PAIR_KEPT = 3,  /* free, but its index could not be pushed to pairs_free: the sweep tries again */
};

/* An IPv4 pair's tuples. */
struct sluice_pair_keys4 {
  struct sluice_flow4_key forward;
  struct sluice_flow4_key reverse;
};
SLUICE_ASSERT_SIZE(struct sluice_pair_keys4, 32);

/* pairs: array; the sweep walks it by index, so that aging goes in slices. An index is of one family at a time; IPv6
 * tuples stand in pair_keys6. An array's elements begin 16 bytes into a cache line, so what is used of an element of 64
 * bytes stands in one line, which is all that a new IPv4 flow touches here. */
struct sluice_pair {
  __u64 mark;  /* coarse ns when first found expired; 0: not marked */
  __u32 state; /* enum sluice_pair_state, changed by compare-and-swap only */
  __u16 network_slot;
  __u8 family; /* 4 or 6 */
  __u8 protocol;
  struct sluice_pair_keys4 keys4; /* of an IPv4 pair; otherwise what was there before */
  __u32 egress_slot;              /* the endpoint slot whose element of egress_pairs counts this pair; 0: none does */
  __u32 egress_share;             /* 1 + the element of egress_shares that does; 0 likewise */
  __u32 backend_slot;             /* likewise, of endpoint_pairs */
  __u32 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_pair, 64);

/* pair_keys6: array by the same index; the same of IPv6. */
struct sluice_pair_keys6 {
  struct sluice_flow6_key forward;
  struct sluice_flow6_key reverse;
};
SLUICE_ASSERT_SIZE(struct sluice_pair_keys6, 80);

/* ---- fragments -----------------------------------------------------------------------------------------------------
 */

/* fragments: array of buckets, owned by the programs; what is known of datagrams whose first fragment has passed, so
 * that the later ones, which have no ports, go the same way. Nothing is held back or put together.
 *
 * Window w has the buckets from w * SLUICE_FRAGMENT_BUCKETS on: window n is that of network slot n for what its pods
 * send, and SLUICE_MAX_NETWORK_SLOTS + sluice_refusal_index(a) that of floating IP a for what the public side sends to
 * it. Nobody fills another's window. A datagram's bucket is the upper four bits of its digest; an entry is never
 * evicted before its time. */
#define SLUICE_FRAGMENT_BUCKETS 16
#define SLUICE_FRAGMENT_ENTRIES 4
#define SLUICE_FRAGMENT_WINDOWS (SLUICE_MAX_NETWORK_SLOTS + SLUICE_REFUSAL_WINDOWS)

/* Nanoseconds after its last fragment for which a datagram is remembered. A sender emits the fragments of a datagram
 * back to back, so what comes later than this was lost; the receiver gives up after 30 s and more (RFC 1122 3.3.2, RFC
 * 8200 4.5), but IPv4 has 65536 identifications only, which a fast sender uses again after seconds (RFC 4963), and a
 * flood of first fragments keeps its window full for this long after its end. */
#define SLUICE_FRAGMENT_LIFETIME 2000000000ULL

enum sluice_fragment_flags {
  SLUICE_FRAGMENT_TRACKED = 1 << 0, /* TCP, UDP, SCTP or ICMP echo: the tuple is one that a flow may own */
  SLUICE_FRAGMENT_GAP = 1 << 1,     /* a later one has left out some bytes: lost, or still to come and then too late */
  SLUICE_FRAGMENT_LAST = 1 << 2,    /* the last one has passed, behind a gap */
};

struct sluice_fragment {
  __u64 digest;       /* SipHash with settings.secret of network, addresses, identification and, in IPv4, protocol */
  __u64 last_seen;    /* coarse ns; 0: free */
  __be16 source_port; /* as in the flow key */
  __be16 destination_port;
  __u16 end; /* how far the datagram has come: nothing below is accepted any more */
  __u8 protocol;
  __u8 flags; /* bits of enum sluice_fragment_flags */
};
SLUICE_ASSERT_SIZE(struct sluice_fragment, 24);

/* As the kernel's struct bpf_spin_lock, which is not everywhere. */
struct sluice_fragment_bucket {
#ifdef __bpf__
  struct bpf_spin_lock lock;
#else
  __u32 lock;
#endif
  __u32 pad;
  struct sluice_fragment entries[SLUICE_FRAGMENT_ENTRIES];
};
SLUICE_ASSERT_SIZE(struct sluice_fragment_bucket, 104);

/* flow_totals: array with one element, owned by the programs. */
struct sluice_flow_totals {
  __u32 high_water;      /* pair indexes handed out so far; freed ones come back through pairs_free */
  __u32 shared_used;     /* sum of all networks' `shared` */
  __u32 cursor;          /* the sweep's next pair */
  __u32 recount_changes; /* sum of all networks' `changes` when the sweep's round began */
  __u64 rounds;          /* finished rounds of the sweep */
  __u64 expired;         /* pairs deleted because they were idle */
  __u64 ended;           /* pairs deleted because a generation ended them */
  __u64 orphans;         /* pairs found with a record missing, repaired */
  __u64 last_slice;      /* coarse ns of the last slice: the sweep is alive */
  __u64 pad;
};
SLUICE_ASSERT_SIZE(struct sluice_flow_totals, 64);

/* ---- map sizes that are fixed by the ABI; the others are chosen by the daemon when the maps are made
 * ------------------ */
#define SLUICE_MAX_NETWORK_SLOTS 4096
#define SLUICE_MAX_ENDPOINT_SLOTS 131072
#define SLUICE_MAX_FRONTEND_SLOTS 131072

#endif /* SLUICE_ABI_H */
