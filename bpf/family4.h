/* SPDX-License-Identifier: GPL-2.0 */
/* IPv4, as the stages see a family: names for its types and maps, and what differs by family in a few lines each. No
 * include guard: stages.h includes this once, and takes the names back at its end. */
#define FAMILY 4
#define ADDRESS __be32
#define IP_HEADER struct iphdr
#define IP_LENGTH 20
#define ICMP_PROTOCOL IPPROTO_ICMP
#define ECHO_REQUEST 8
#define ECHO_REPLY 0
/* destination unreachable, port unreachable (RFC 792) */
#define UNREACHABLE_TYPE 3
#define UNREACHABLE_CODE 3
/* the protocol that nobody speaks (RFC 792) */
#define UNKNOWN_PROTOCOL_TYPE 3
#define UNKNOWN_PROTOCOL_CODE 2
#define UNKNOWN_PROTOCOL_POINTER 0
#define TIME_EXCEEDED_TYPE 11
/* fragmentation needed and DF set (RFC 792, RFC 1191) */
#define TOO_BIG_TYPE 3
#define TOO_BIG_CODE 4

#define PACKET struct packet4
#define ACTION struct action4
#define CHOICE struct choice4
#define QUOTE struct quote4
#define MAKING struct making4
#define FLOW struct sluice_flow4
#define FLOW_KEY struct sluice_flow4_key
#define FRONTEND struct sluice_frontend4
#define FRONTEND_KEY struct sluice_frontend4_key
#define ENDPOINT struct sluice_endpoint4
#define ENDPOINT_KEY struct sluice_endpoint4_key
#define PAIR_KEYS struct sluice_pair_keys4
#define FRONTENDS frontends4
#define ENDPOINTS endpoints4
#define KEYS_AT keys4_at
#define WORKSPACE struct workspace4
#define SCRATCH scratch4
#define LIST_SEARCH struct list_search4
#define TRY_IN_ORDER try_in_order4
#define TRY_LEAST try_least4
#define PORT_SEARCH struct port_search4
#define TRY_PORT try_port4
#define ROUTER_OF(record) ((record)->router4)
#define ADDRESS_OF(record) ((record)->address4)

struct packet4;

INLINE bool same_address(__be32 a, __be32 b) {
  return a == b;
}

INLINE bool is_unspecified(__be32 address) {
  return address == 0;
}

INLINE bool same_key(const struct sluice_flow4_key* a, const struct sluice_flow4_key* b) {
  const __u64 *x = (const __u64*)a, *y = (const __u64*)b;
  return x[0] == y[0] && x[1] == y[1];
}

/* The record under a tuple, and its insertion and deletion: 0, or the map's error. */
INLINE struct sluice_flow4* find_flow(const struct sluice_flow4_key* key) {
  return bpf_map_lookup_elem(&flows4, key);
}

INLINE int insert_flow(const struct sluice_flow4_key* key, const struct sluice_flow4* flow) {
  return (int)bpf_map_update_elem(&flows4, key, flow, BPF_NOEXIST);
}

INLINE long delete_flow(const struct sluice_flow4_key* key) {
  return bpf_map_delete_elem(&flows4, key);
}

INLINE bool within_prefix(__be32 address, __be32 prefix, __u8 length) {
  return length == 0 || ((address ^ prefix) & bpf_htonl(0xFFFFFFFFU << (32 - (length & 31)))) == 0 ||
         (length == 32 && address == prefix);
}

INLINE __u32 filter_bit(__u32 network, __be32 address) {
  return sluice_filter_bit(network, address);
}

INLINE __u32 refusal_index(__be32 address) {
  return sluice_refusal_index(address);
}

INLINE __u64 flow_hash(const __u64* secret, __u32 network, const struct sluice_flow4_key* key, __u8 protocol) {
  return sluice_flow_hash(secret, network, key->source, key->destination, key->source_port, key->destination_port,
                          protocol);
}

INLINE __u64 source_hash(const __u64* secret, __u32 network, const struct sluice_flow4_key* key) {
  return sluice_source_hash(secret, network, key->source, key->destination);
}

INLINE __u64 client_hash(const __u64* secret, __u32 network, const struct sluice_flow4_key* key, __u32 service_network,
                         __u32 owner) {
  return sluice_affinity_hash4(secret, network, key->source, service_network, owner);
}

/* 0/8, 127/8 and 224/4 upwards are nobody's address (RFC 1122 3.2.1.3). */
INLINE bool is_martian_class(__be32 address) {
  __u8 first = *(const __u8*)&address;
  return first == 0 || first == 127 || first >= 224;
}

/* Of whom a network may not hold all ports. */
INLINE __u64 remote_hash(const __u64* secret, __u32 network, const struct sluice_flow4_key* key) {
  return sluice_flow_hash(secret, network, 0, key->destination, 0, key->destination_port, key->network_protocol >> 24);
}

/* RFC 3927 2.1; where clouds keep what their machines may know (169.254.169.254). */
INLINE bool is_link_local(__be32 address) {
  return (address & bpf_htonl(0xFFFF0000)) == bpf_htonl(0xA9FE0000);
}

INLINE bool is_shared_address(const struct sluice_settings* set, __be32 address) {
  return address == set->shared4;
}

/* Sum of an address for a checksum. */
INLINE __u64 address_sum(__be32 address) {
  return (__u32)address;
}

/* One's complement difference of two pairs of addresses, in the form that bpf_csum_diff gives. */
INLINE __u32 addresses_difference(__be32 old1, __be32 old2, __be32 new1, __be32 new2) {
  return checksum_difference(old1, old2, new1, new2);
}

/* Does the type tell of a packet that its receiver could not use (RFC 1122 3.2.2)? Those that tell hosts how to route
 * or how fast to send (redirect, source quench) are nobody's to send here. */
INLINE bool is_icmp_error(const struct packet4* p, __u8 type) {
  return type == 3 || type == 11 || type == 12;
}
