/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* How a new flow's backend is chosen: the hash functions that BPF programs and userspace share.
 *
 * The whole choice, in order; `ready` means backend.state == SLUICE_BACKEND_READY:
 *   ready_count == 0      refuse.
 *   affinity              the pod that the client had last, if that was no longer ago than the frontend's time and
 *                         the pod is ready in the frontend's list. Otherwise as below, and the client keeps that pod.
 *   backend_count == 1    that backend.
 *   round robin           turn = the frontend's turn, which moves on by one; the backend at turn % backend_count
 *                         in the list, or, with weights, in slot turn % ring_size of the ring. If it is not ready, the
 *                         next turn, for SLUICE_SELECT_ATTEMPTS more turns; then the first ready one behind the last.
 *   least connections     of the SLUICE_LEAST_OF backends in the list's order from a random place on, the ready one
 *                         with the smallest (live pairs + 1) / weight, of equals the first; then the first ready one
 *                         behind that place.
 *   ring_size == 0        rendezvous: the ready backend with the highest sluice_rendezvous_score; of equal scores
 *                         the lower index wins.
 *   otherwise             the ring. Attempt 0 looks at the hash's own slot, attempts 1 to SLUICE_SELECT_ATTEMPTS
 *                         (inclusive) at re-hashed slots; the first slot whose backend is ready decides. If none
 *                         was, the list is searched in order, from (index that the last attempt found) + 1 and
 *                         around its end, for the first ready one.
 * The sequence of backends that one key tries depends on the configured set alone. So a backend that goes down
 * moves its own keys only, and gets exactly them back when it returns.
 *
 * Algorithm hash uses sluice_flow_hash, source sluice_source_hash, random any 64 random bits in place of a hash.
 * userspace/compile/hashing.hpp has the same choice in C++ as a reference.
 */
#ifndef SLUICE_SELECT_H
#define SLUICE_SELECT_H

#include <linux/types.h>
#include <sluice/abi.h>

/* Forced: a BPF call passes five arguments at most, and sluice_flow_hash has seven. */
#define SLUICE_SELECT_INLINE static inline __attribute__((always_inline))

SLUICE_SELECT_INLINE __u64 sluice_rotate_left(__u64 value, unsigned int bits) {
  return (value << bits) | (value >> (64 - bits));
}

/* One SipRound over v0..v3. A macro, because a pointer to the four words would put them on the BPF stack. */
#define SLUICE_SIPROUND(v0, v1, v2, v3) \
  do {                                  \
    (v0) += (v1);                       \
    (v2) += (v3);                       \
    (v1) = sluice_rotate_left(v1, 13);  \
    (v3) = sluice_rotate_left(v3, 16);  \
    (v1) ^= (v0);                       \
    (v3) ^= (v2);                       \
    (v0) = sluice_rotate_left(v0, 32);  \
    (v2) += (v1);                       \
    (v0) += (v3);                       \
    (v1) = sluice_rotate_left(v1, 17);  \
    (v3) = sluice_rotate_left(v3, 21);  \
    (v1) ^= (v2);                       \
    (v3) ^= (v0);                       \
    (v2) = sluice_rotate_left(v2, 32);  \
  } while (0)

/* SipHash-1-3 (Aumasson and Bernstein: one round a word, three at the end) of exactly 8 * count bytes, given as the
 * 64-bit words that a little-endian machine loads from them. The key is two such words as well. `count` is a constant,
 * so that the loop is unrolled. A tenant who does not know the key cannot aim keys at one backend. */
SLUICE_SELECT_INLINE __u64 sluice_siphash13(const __u64 secret[2], const __u64* words, int count) {
  const __u64 length = (__u64)(8 * count) << 56; /* last block: no bytes left, total length on top */
  __u64 v0 = secret[0] ^ 0x736f6d6570736575ull;
  __u64 v1 = secret[1] ^ 0x646f72616e646f6dull;
  __u64 v2 = secret[0] ^ 0x6c7967656e657261ull;
  __u64 v3 = secret[1] ^ 0x7465646279746573ull;
  int i;

  for (i = 0; i < count; i++) {
    v3 ^= words[i];
    SLUICE_SIPROUND(v0, v1, v2, v3);
    v0 ^= words[i];
  }
  v3 ^= length;
  SLUICE_SIPROUND(v0, v1, v2, v3);
  v0 ^= length;
  v2 ^= 0xff;
  SLUICE_SIPROUND(v0, v1, v2, v3);
  SLUICE_SIPROUND(v0, v1, v2, v3);
  SLUICE_SIPROUND(v0, v1, v2, v3);
  return v0 ^ v1 ^ v2 ^ v3;
}

/* Hash of a flow's tuple as it stands in the client's packet. `network` is the frontend's (0 for a floating IP).
 * The hashed 16 bytes are those of struct sluice_flow4_key on a little-endian machine:
 *   bytes 0-3 network | protocol << 24, little endian    bytes 4-7 source    bytes 8-11 destination
 *   bytes 12-13 source port    bytes 14-15 destination port    (addresses and ports in network byte order)
 * ICMP echo: source_port is the id, destination_port 0. */
SLUICE_SELECT_INLINE __u64 sluice_flow_hash(const __u64 secret[2], __u32 network, __be32 source, __be32 destination,
                                            __be16 source_port, __be16 destination_port, __u8 protocol) {
  const __u64 words[2] = {
      (__u64)(network | (__u32)protocol << 24) | (__u64)(__u32)source << 32,
      (__u64)(__u32)destination | (__u64)(__u16)source_port << 32 | (__u64)(__u16)destination_port << 48,
  };
  return sluice_siphash13(secret, words, 2);
}

/* For algorithm source: the same bytes with ports and protocol 0, so that all flows of one client to one address hash
 * alike. */
SLUICE_SELECT_INLINE __u64 sluice_source_hash(const __u64 secret[2], __u32 network, __be32 source, __be32 destination) {
  return sluice_flow_hash(secret, network, source, destination, 0, 0, 0);
}

/* The same for IPv6, of 40 bytes: network | protocol << 24, source, destination, source port, destination port. */
SLUICE_SELECT_INLINE __u64 sluice_flow_hash6(const __u64 secret[2], __u32 network, const struct sluice_address6* source,
                                             const struct sluice_address6* destination, __u32 ports, __u8 protocol) {
  const __u32 *s = (const __u32*)source->words, *d = (const __u32*)destination->words;
  const __u64 words[5] = {
      (__u64)(network | (__u32)protocol << 24) | (__u64)s[0] << 32,
      (__u64)s[1] | (__u64)s[2] << 32,
      (__u64)s[3] | (__u64)d[0] << 32,
      (__u64)d[1] | (__u64)d[2] << 32,
      (__u64)d[3] | (__u64)ports << 32,
  };
  return sluice_siphash13(secret, words, 5);
}

/* NH, the hash of UMAC (RFC 4418 5.2.1), of two addresses whose interface identifiers have a known xor, so that six of
 * their eight words say them: whatever two such pairs of addresses differ in, one key in 2^32 at most gives them the
 * same digest. Three products, which do not wait for each other. */
SLUICE_SELECT_INLINE __u64 sluice_flow_digest6(const struct sluice_digest_key* key,
                                               const struct sluice_address6* source,
                                               const struct sluice_address6* destination) {
  const __u32 *s = (const __u32*)source->words, *d = (const __u32*)destination->words, *k = key->words;
  return (__u64)(__u32)(s[0] + k[0]) * (__u32)(d[0] + k[1]) + (__u64)(__u32)(s[1] + k[2]) * (__u32)(d[1] + k[3]) +
         (__u64)(__u32)(s[2] + k[4]) * (__u32)(s[3] + k[5]);
}

/* The key of a record in flows6. The identifiers stand in it beside the digest, so that who has one /64 to send from,
 * and sends to one address, has no two tuples with the same key, and so nothing to learn the secret from; xor, because
 * the flow's other direction has them the other way round. */
SLUICE_SELECT_INLINE struct sluice_flow6_digest sluice_flow6_digest_of(const struct sluice_digest_key* key,
                                                                       const struct sluice_flow6_key* tuple) {
  struct sluice_flow6_digest digest;
  __u64 source, destination;
  __u32 ports;
  __builtin_memcpy(&source, &tuple->source.words[2], sizeof(source));
  __builtin_memcpy(&destination, &tuple->destination.words[2], sizeof(destination));
  __builtin_memcpy(&ports, &tuple->source_port, sizeof(ports));
  digest.addresses = sluice_flow_digest6(key, &tuple->source, &tuple->destination);
  digest.identifiers = source ^ destination;
  digest.rest = tuple->network_protocol | (__u64)ports << 32;
  return digest;
}

/* `ports` of sluice_flow_hash6: as the two ports stand in memory on a little-endian machine. */
SLUICE_SELECT_INLINE __u32 sluice_ports_word(__be16 source_port, __be16 destination_port) {
  return (__u32)(__u16)source_port | (__u32)(__u16)destination_port << 16;
}

SLUICE_SELECT_INLINE __u64 sluice_source_hash6(const __u64 secret[2], __u32 network,
                                               const struct sluice_address6* source,
                                               const struct sluice_address6* destination) {
  return sluice_flow_hash6(secret, network, source, destination, 0, 0);
}

/* Who asks, for affinity: a client's address in a network (0: the public side), and a service by its network and its
 * frontends' `owner`. The upper bits name the bucket. */
SLUICE_SELECT_INLINE __u64 sluice_affinity_hash4(const __u64 secret[2], __u32 network, __be32 client,
                                                 __u32 service_network, __u32 owner) {
  const __u64 words[2] = {network | (__u64)(__u32)client << 32, service_network | (__u64)owner << 32};
  return sluice_siphash13(secret, words, 2);
}

SLUICE_SELECT_INLINE __u64 sluice_affinity_hash6(const __u64 secret[2], __u32 network,
                                                 const struct sluice_address6* client, __u32 service_network,
                                                 __u32 owner) {
  const __u32* c = (const __u32*)client->words;
  const __u64 words[4] = {network, c[0] | (__u64)c[1] << 32, c[2] | (__u64)c[3] << 32,
                          service_network | (__u64)owner << 32};
  return sluice_siphash13(secret, words, 4);
}

SLUICE_SELECT_INLINE __u32 sluice_affinity_bucket_of(__u64 hash) {
  return (__u32)(hash >> 32) / (0x100000000ull / SLUICE_AFFINITY_BUCKETS);
}

/* Every input bit changes every output bit with probability near 1/2; a bijection. */
SLUICE_SELECT_INLINE __u64 sluice_mix64(__u64 value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdull;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ull;
  value ^= value >> 33;
  return value;
}

/* Maps 32 uniform bits to 0..size-1 by multiply and shift: no division, and always below `size`. */
SLUICE_SELECT_INLINE __u32 sluice_reduce(__u32 bits, __u32 size) {
  return (__u32)(((__u64)bits * size) >> 32);
}

/* The slot that attempt `attempt` looks at in a ring of `ring_size` slots. Attempt 0 is the hash's own slot; a
 * later one is a function of that slot and the attempt's number alone, so that all keys of a slot move together. */
SLUICE_SELECT_INLINE __u32 sluice_ring_slot(__u64 hash, __u32 attempt, __u32 ring_size) {
  const __u32 first = sluice_reduce((__u32)(hash >> 32), ring_size);
  if (attempt == 0) return first;
  return sluice_reduce((__u32)(sluice_mix64((__u64)attempt << 32 | first) >> 32), ring_size);
}

/* The weight of a backend for a key: the ready backend with the highest score has the key. */
SLUICE_SELECT_INLINE __u64 sluice_rendezvous_score(__u64 hash, __u32 backend_identity) {
  return sluice_mix64(hash ^ (__u64)backend_identity * 0x9e3779b97f4a7c15ull);
}

#endif /* SLUICE_SELECT_H */
