/* SPDX-License-Identifier: GPL-2.0 */
/* Flow pairs: the records of a family, and their deletion by exactly one owner. */

/* A record of which the kernel may have reused the memory: read what identifies it again, after everything else. */
INLINE bool still_self(const FLOW* flow, const FLOW_KEY* key) {
  barrier();
  return same_key((const FLOW_KEY*)&flow->self, key) && flow->stamp == flow->stamp_end;
}

/* Has a generation ended this record, whoever asks? */
INLINE bool is_ended(const FLOW* flow) {
  return !endpoint_current(flow->source) || !endpoint_current(flow->endpoint) || !frontend_current(flow->frontend);
}

/* Ends the half-open charge of a forward record; the bit makes sure that it happens once. */
INLINE void discharge_half_open(FLOW* flow) {
  if (!(flow->state & SLUICE_STATE_HALF_OPEN_CHARGED)) return;
  if (!(__sync_fetch_and_and(&flow->state, ~SLUICE_STATE_HALF_OPEN_CHARGED) & SLUICE_STATE_HALF_OPEN_CHARGED)) return;
  struct sluice_network_usage* usage = get_usage(flow->network_slot);
  if (!usage) return;
  usage->changes++;
  decrement(&usage->half_open);
}

/* Deletes one record of a pair, if it is the pair's own. False: it is still there, since a delete can fail for the same
 * reasons as a push. */
INLINE bool delete_record(const FLOW_KEY* key, __u32 index) {
  FLOW* flow = find_flow(key);
  if (!flow || flow->pair != index) return true;
  discharge_half_open(flow);
  long error = delete_flow(key);
  return !error || error == -ENOENT;
}

/* Deletes both records of a pair that the caller has claimed (state DYING), and gives everything back. Forward
 * first: while the reverse record stands, a new flow of the same tuple cannot be half made. If a record cannot be
 * deleted the pair lives again as it was, with its mark, and the sweep returns to it. */
INLINE bool release_pair(struct sluice_pair* pair, const PAIR_KEYS* keys, __u32 index) {
  if (!delete_record(&keys->forward, index) || !delete_record(&keys->reverse, index)) {
    *(volatile __u32*)&pair->state = SLUICE_PAIR_LIVE;
    return false;
  }
  pair->mark = 0;
  return_share(pair->network_slot);
  return_egress(pair);
  return_backend(pair);
  give_pair_index(pair, index);
  return true;
}

/* Is the index this family's, and for that tuple? Its keys of the other family may be anybody's of long ago. */
INLINE bool names_key(const struct sluice_pair* pair, const PAIR_KEYS* keys, const FLOW_KEY* key) {
  return *(volatile const __u8*)&pair->family == FAMILY &&
         (same_key(&keys->forward, key) || same_key(&keys->reverse, key));
}

/* Does the cause hold for the pair as it is now? Asked under the claim: since the packet looked, the index may have
 * been given to another flow, even to one of the same tuple. */
INLINE bool may_delete(const PAIR_KEYS* keys, __u32 index, const PACKET* p, const FLOW_KEY* key, enum end_cause cause) {
  const FLOW* ahead = find_flow(&keys->forward);
  const FLOW* back = find_flow(&keys->reverse);
  if (!ahead || !back || ahead->pair != index || back->pair != index) return true; /* an orphan, for the sweep too */
  if (is_ended(ahead) || is_ended(back)) return true;
  if (cause == END_CLOSING) return (ahead->state | back->state) & (SLUICE_STATE_FIN | SLUICE_STATE_RST);
  const FLOW* own = same_key(&keys->forward, key) ? ahead : back;
  return same_key(key, &p->key) && !same_ref(own->source, p->source);
}

/* Deletes a record that names a pair which does not name it: no other way leads to it. */
INLINE bool delete_leftover(__u32 index, const FLOW_KEY* key) {
  FLOW* flow = find_flow(key);
  return flow && flow->pair == index && still_self(flow, key) && delete_record(key, index);
}

/* Deletes the pair that owns `key`, if `cause` holds for it. False: somebody else is at it, or it has changed. */
OUTLINE bool delete_pair(const PACKET* p, __u32 index, const FLOW_KEY* key, enum end_cause cause) {
  struct sluice_pair* pair = bpf_map_lookup_elem(&pairs, &index);
  const PAIR_KEYS* keys = KEYS_AT(index);
  if (!pair || !keys) return false;
  /* A pair in the making has its keys before it has records, so this is never said of one. */
  if (!names_key(pair, keys, key)) return delete_leftover(index, key);
  if (!claim_pair(pair)) return false;
  if (names_key(pair, keys, key) && may_delete(keys, index, p, key, cause)) return release_pair(pair, keys, index);
  *(volatile __u32*)&pair->state = SLUICE_PAIR_LIVE;
  return false;
}
