/* SPDX-License-Identifier: GPL-2.0 */
/* IPv6: see family4.h. */
#define FAMILY 6
#define ADDRESS struct sluice_address6
#define IP_HEADER struct ipv6hdr
#define IP_LENGTH 40
#define ICMP_PROTOCOL IPPROTO_ICMPV6
#define ECHO_REQUEST 128
#define ECHO_REPLY 129
/* destination unreachable, port unreachable (RFC 4443) */
#define UNREACHABLE_TYPE 1
#define UNREACHABLE_CODE 4
/* parameter problem, unrecognized next header, which stands at byte 6 (RFC 4443) */
#define UNKNOWN_PROTOCOL_TYPE 4
#define UNKNOWN_PROTOCOL_CODE 1
#define UNKNOWN_PROTOCOL_POINTER 6
#define TIME_EXCEEDED_TYPE 3
/* packet too big (RFC 4443) */
#define TOO_BIG_TYPE 2
#define TOO_BIG_CODE 0

#define PACKET struct packet6
#define ACTION struct action6
#define CHOICE struct choice6
#define QUOTE struct quote6
#define MAKING struct making6
#define FLOW struct sluice_flow6
#define FLOW_KEY struct sluice_flow6_key
#define FRONTEND struct sluice_frontend6
#define FRONTEND_KEY struct sluice_frontend6_key
#define ENDPOINT struct sluice_endpoint6
#define ENDPOINT_KEY struct sluice_endpoint6_key
#define PAIR_KEYS struct sluice_pair_keys6
#define FRONTENDS frontends6
#define ENDPOINTS endpoints6
#define KEYS_AT keys6_at
#define WORKSPACE struct workspace6
#define SCRATCH scratch6
#define LIST_SEARCH struct list_search6
#define TRY_IN_ORDER try_in_order6
#define TRY_LEAST try_least6
#define PORT_SEARCH struct port_search6
#define TRY_PORT try_port6
#define ROUTER_OF(record) ((record)->router6)
#define ADDRESS_OF(record) ((record)->address6)

struct packet6;

/* Between a packet and the program, in words of eight bytes: the header does not align its addresses, and a machine
 * that cannot have that has a verifier that says so. */
INLINE void copy_address(void* to, const void* from) {
  __u64* x = to;
  const __u64* y = from;
  x[0] = y[0];
  x[1] = y[1];
}

INLINE bool same_address(struct sluice_address6 a, struct sluice_address6 b) {
  const __u64 *x = (const __u64*)&a, *y = (const __u64*)&b;
  return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

INLINE bool is_unspecified(struct sluice_address6 address) {
  const __u64* x = (const __u64*)&address;
  return !(x[0] | x[1]);
}

INLINE bool same_key(const struct sluice_flow6_key* a, const struct sluice_flow6_key* b) {
  const __u64 *x = (const __u64*)a, *y = (const __u64*)b;
  __u64 difference = 0;
  barrier(); /* or the compiler holds a key's words for the next comparison: on the stack, of which there is little */
  for (int i = 0; i < (int)(sizeof(*a) / sizeof(*x)); i++) difference |= x[i] ^ y[i];
  return !difference;
}

INLINE bool digest_of(const struct sluice_flow6_key* key, struct sluice_flow6_digest* digest) {
  const struct sluice_digest_key* secret = get_digest_key();
  if (!secret) return false; /* cannot be */
  *digest = sluice_flow6_digest_of(secret, key);
  return true;
}

/* The record under a tuple, unless it is another's with the same digest: whoever finds one looks at its `self`, or at
 * the pair that it names. */
INLINE struct sluice_flow6* find_flow(const struct sluice_flow6_key* key) {
  struct sluice_flow6_digest digest;
  return digest_of(key, &digest) ? bpf_map_lookup_elem(&flows6, &digest) : 0;
}

INLINE int insert_flow(const struct sluice_flow6_key* key, const struct sluice_flow6* flow) {
  struct sluice_flow6_digest digest;
  return digest_of(key, &digest) ? (int)bpf_map_update_elem(&flows6, &digest, flow, BPF_NOEXIST) : -ENOENT;
}

INLINE long delete_flow(const struct sluice_flow6_key* key) {
  struct sluice_flow6_digest digest;
  return digest_of(key, &digest) ? bpf_map_delete_elem(&flows6, &digest) : -ENOENT;
}

INLINE bool within_prefix(struct sluice_address6 address, struct sluice_address6 prefix, __u8 length) {
  __u32 difference = 0;
  for (int i = 0; i < 4; i++) {
    int bits = (int)length - 32 * i;
    __u32 mask = bits <= 0 ? 0 : bits >= 32 ? 0xFFFFFFFFU : 0xFFFFFFFFU << (32 - (bits & 31));
    difference |= (__u32)(address.words[i] ^ prefix.words[i]) & bpf_htonl(mask);
  }
  return !difference;
}

INLINE __u32 filter_bit(__u32 network, struct sluice_address6 address) {
  return sluice_filter_bit6(network, &address);
}

INLINE __u32 refusal_index(struct sluice_address6 address) {
  return sluice_refusal_index6(&address);
}

INLINE __u64 flow_hash(const __u64* secret, __u32 network, const struct sluice_flow6_key* key, __u8 protocol) {
  return sluice_flow_hash6(secret, network, &key->source, &key->destination,
                           sluice_ports_word(key->source_port, key->destination_port), protocol);
}

INLINE __u64 source_hash(const __u64* secret, __u32 network, const struct sluice_flow6_key* key) {
  return sluice_source_hash6(secret, network, &key->source, &key->destination);
}

INLINE __u64 client_hash(const __u64* secret, __u32 network, const struct sluice_flow6_key* key, __u32 service_network,
                         __u32 owner) {
  return sluice_affinity_hash6(secret, network, &key->source, service_network, owner);
}

INLINE __u64 remote_hash(const __u64* secret, __u32 network, const struct sluice_flow6_key* key) {
  return sluice_flow_hash6(secret, network, &key->destination, &key->destination,
                           sluice_ports_word(0, key->destination_port), key->network_protocol >> 24);
}

INLINE bool is_shared_address(const struct sluice_settings* set, struct sluice_address6 address) {
  return same_address(address, set->shared6);
}

INLINE bool is_link_local(struct sluice_address6 address) {
  return (address.words[0] & bpf_htonl(0xFFC00000)) == bpf_htonl(0xFE800000);
}

INLINE bool is_multicast6(struct sluice_address6 address) {
  return (address.words[0] & bpf_htonl(0xFF000000)) == bpf_htonl(0xFF000000);
}

/* Nobody's address on the public side: ::/96 with the unspecified address, the loopback and what RFC 4291 2.5.5 gave
 * up, ::ffff:0:0/96 (an IPv4 address in disguise), link-local and multicast. */
INLINE bool is_martian_class(struct sluice_address6 address) {
  bool embedded =
      !(address.words[0] | address.words[1]) && (address.words[2] == 0 || address.words[2] == bpf_htonl(0x0000FFFF));
  return embedded || is_link_local(address) || is_multicast6(address);
}

INLINE __u64 address_sum(struct sluice_address6 address) {
  __u64 sum = 0;
  for (int i = 0; i < 4; i++) sum += (__u32)address.words[i];
  return sum;
}

INLINE __u32 addresses_difference(struct sluice_address6 old1, struct sluice_address6 old2, struct sluice_address6 new1,
                                  struct sluice_address6 new2) {
  __u64 sum = address_sum(new1) + address_sum(new2);
  for (int i = 0; i < 4; i++) sum += (__u64)(__u32)~old1.words[i] + (__u32)~old2.words[i];
  return checksum_fold32(sum);
}

/* RFC 4443 2.1: errors have types below 128; those that it defines. */
INLINE bool is_icmp_error(const struct packet6* p, __u8 type) {
  return type >= 1 && type <= 4;
}
