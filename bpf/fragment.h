/* SPDX-License-Identifier: GPL-2.0 */
/* fragment: gives later fragments the ports that only the first one has, so that all of a datagram go one way; and lets
 * nothing pass that two receivers could put together differently. Nothing is held back: a later fragment has to come
 * behind its first one, and each has to begin where those before it have ended, or beyond. */

INLINE __u64 datagram_digest(const PACKET* p, const struct sluice_settings* set) {
#if FAMILY == 4 /* RFC 791, RFC 8200 4.5 */
  return sluice_flow_hash(set->secret, p->network, p->key.source, p->key.destination, (__u16)p->fragment_id, 0,
                          p->protocol);
#else
  return sluice_flow_hash6(set->secret, p->network, &p->key.source, &p->key.destination, p->fragment_id,
                           IPPROTO_FRAGMENT);
#endif
}

INLINE struct sluice_fragment_bucket* bucket_of(const PACKET* p, __u64 digest) {
  __u32 window = p->entry == SLUICE_ENTRY_FROM_UPLINK ? SLUICE_MAX_NETWORK_SLOTS + refusal_index(p->key.destination)
                                                      : p->network_slot;
  __u32 index = window * SLUICE_FRAGMENT_BUCKETS + (__u32)(digest >> 60);
  return bpf_map_lookup_elem(&fragments, &index);
}

/* The next two run under the bucket's lock, where the verifier allows no call. 0 or a reason. */

/* A first fragment makes the entry; it has been parsed. */
INLINE int begin_datagram(struct sluice_fragment_bucket* bucket, const PACKET* p, __u64 digest, __u64 now) {
  struct sluice_fragment* room = 0;
  for (int i = 0; i < SLUICE_FRAGMENT_ENTRIES; i++) {
    struct sluice_fragment* entry = &bucket->entries[i];
    if (!is_remembered(entry, now))
      room = entry;
    else if (entry->digest == digest)
      return SLUICE_REASON_FRAGMENT_OVERLAP;
  }
  if (!room) return SLUICE_REASON_FRAGMENT_TABLE_FULL;
  room->digest = digest;
  room->last_seen = now;
  room->source_port = p->key.source_port;
  room->destination_port = p->key.destination_port;
  room->end = p->fragment_end;
  room->protocol = p->protocol;
  room->flags = p->tracked ? SLUICE_FRAGMENT_TRACKED : 0;
  return 0;
}

/* A later one takes from it what it lacks. */
INLINE int continue_datagram(struct sluice_fragment_bucket* bucket, PACKET* p, __u64 digest, __u64 now) {
  for (int i = 0; i < SLUICE_FRAGMENT_ENTRIES; i++) {
    struct sluice_fragment* entry = &bucket->entries[i];
    if (entry->digest != digest || !is_remembered(entry, now)) continue;
    if (p->fragment_begin < entry->end || (entry->flags & SLUICE_FRAGMENT_LAST)) return SLUICE_REASON_FRAGMENT_OVERLAP;
    if (p->fragment_begin > entry->end) entry->flags |= SLUICE_FRAGMENT_GAP;
    if (p->fragment == LAST_FRAGMENT) entry->flags |= SLUICE_FRAGMENT_LAST;
    entry->end = p->fragment_end;
    /* What is complete makes room; of what is not, bytes may still come that have passed already. */
    entry->last_seen = (entry->flags & (SLUICE_FRAGMENT_LAST | SLUICE_FRAGMENT_GAP)) == SLUICE_FRAGMENT_LAST ? 0 : now;
    p->key.source_port = entry->source_port;
    p->key.destination_port = entry->destination_port;
    p->protocol = entry->protocol;
    p->tracked = entry->flags & SLUICE_FRAGMENT_TRACKED;
    return 0;
  }
  return SLUICE_REASON_FRAGMENT_UNKNOWN;
}

OUTLINE int follow_fragment(PACKET* p) {
  bool later = is_later_fragment(p), leaves = p->shared;
  if (p->entry == SLUICE_ENTRY_FROM_UPLINK && !p->shared) {
    __u8 kind = public_kind(p->key.destination);
    /* What has a filter bit by chance only is none of ours and takes no room. */
    if (!is_ours_alone(kind)) return pass(p, SLUICE_REASON_FOREIGN);
    leaves = kind == SLUICE_ENDPOINT_EGRESS;
  }
  /* An error is translated by what it quotes, which the first fragment need not hold, and no error needs so much. */
  if (!later && p->protocol == ICMP_PROTOCOL && is_icmp_error(p, p->icmp_type)) return drop(p, SLUICE_REASON_FRAGMENT);
  /* Anybody can send to an egress address, and all networks have one window there: what nobody waits for takes no room.
   */
  if (!later && leaves && !find_flow(&p->key)) return CONTINUE;
  const struct sluice_settings* set = get_settings();
  if (!set) return drop(p, SLUICE_REASON_FRAGMENT_TABLE_FULL); /* cannot be */
  __u64 digest = datagram_digest(p, set), now = bpf_ktime_get_coarse_ns();
  struct sluice_fragment_bucket* bucket = bucket_of(p, digest);
  if (!bucket) return drop(p, SLUICE_REASON_FRAGMENT_TABLE_FULL); /* cannot be */
  int reason;
  bpf_spin_lock(&bucket->lock);
  if (later)
    reason = continue_datagram(bucket, p, digest, now);
  else
    reason = begin_datagram(bucket, p, digest, now);
  bpf_spin_unlock(&bucket->lock);
  if (reason == SLUICE_REASON_FRAGMENT_UNKNOWN && p->shared) return pass(p, SLUICE_REASON_FOREIGN); /* the host's */
  if (reason) return drop(p, reason);
  p->key.network_protocol = p->network | (__u32)p->protocol << 24;
  return CONTINUE;
}

INLINE int fragment(PACKET* p) {
  return p->fragment ? follow_fragment(p) : CONTINUE;
}
