/* SPDX-License-Identifier: GPL-2.0 */
/* frontend and select: does the tuple name a service port, and which backend gets the new flow. The hash
 * functions and the order of attempts are in sluice/select.h. */

INLINE bool is_frontend(const volatile FRONTEND_KEY* found, const FRONTEND_KEY* key) {
  return found->network == key->network && same_address(found->address, key->address) && found->port == key->port &&
         found->protocol == key->protocol;
}

/* Fills `choice` if the packet's destination is a frontend of that network: its own, or 0 for floating IPs. */
OUTLINE int find_frontend(const PACKET* p, __u32 network, CHOICE* choice) {
  FRONTEND_KEY key = {
      .network = network,
      .address = p->key.destination,
      .port = p->key.destination_port,
      .protocol = p->protocol,
  };
  const FRONTEND* record = bpf_map_lookup_elem(&FRONTENDS, &key);
  if (!record) return MISSING;
  choice->frontend = record->ref;
  choice->backend_network = record->backend_network;
  choice->backend_base = record->backend_base;
  choice->backend_count = record->backend_count;
  choice->ready_count = record->ready_count;
  choice->ring_base = record->ring_base;
  choice->ring_size = record->ring_size;
  choice->router = ROUTER_OF(record);
  choice->cidr_length = record->cidr_length;
  choice->network_slot = record->network_slot;
  choice->algorithm = record->algorithm;
  choice->affinity = record->affinity;
  choice->owner = record->owner;
  choice->ports = 0;
  barrier();
  return is_frontend(&record->self, &key) && is_frontend(&record->self_end, &key) ? FOUND : CHANGED;
}

INLINE const struct sluice_backend* backend_at(const CHOICE* choice, __u32 local) {
  __u32 index = choice->backend_base + local;
  return local < choice->backend_count ? bpf_map_lookup_elem(&backends, &index) : 0;
}

INLINE bool is_ready(const CHOICE* choice, __u32 local) {
  const struct sluice_backend* backend = backend_at(choice, local);
  return backend && backend->state == SLUICE_BACKEND_READY;
}

OUTLINE __u32 select_rendezvous(const CHOICE* choice, __u64 hash) {
  __u32 best = NO_LOCAL;
  __u64 best_score = 0;
  for (__u32 local = 0; local < SLUICE_RENDEZVOUS_MAX; local++) {
    const struct sluice_backend* backend = backend_at(choice, local);
    if (!backend || backend->state != SLUICE_BACKEND_READY) continue;
    __u64 score = sluice_rendezvous_score(hash, backend->identity);
    if (best == NO_LOCAL || score > best_score) {
      best = local;
      best_score = score;
    }
  }
  return best;
}

/* A walk over the list, around its end. */
LIST_SEARCH {
  const CHOICE* choice;
  __u32 from;
  __u32 found;
  struct sluice_ref wanted; /* only this pod; slot 0: any */
  /* Of the best so far, for least connections. */
  __u64 load;
  __u32 weight;
};

/* The verifiers of kernels before 6.7 walk through a callback once, with what the caller has put on the stack. Of two
 * words in eight bytes they know no value; a `found` that they knew would make the branch dead that asks for it. */
_Static_assert(__builtin_offsetof(LIST_SEARCH, found) % 8 == 4, "not a word that the verifier takes for a constant");

INLINE __u32 place_in_list(const LIST_SEARCH* search, __u32 step) {
  __u32 local = search->from + step;
  return local >= search->choice->backend_count ? local - search->choice->backend_count : local;
}

static long TRY_IN_ORDER(__u32 step, LIST_SEARCH* search) {
  __u32 local = place_in_list(search, step);
  const struct sluice_backend* backend = backend_at(search->choice, local);
  if (!backend || backend->state != SLUICE_BACKEND_READY) return 0;
  if (search->wanted.slot && !same_ref(search->wanted, backend->endpoint)) return 0;
  search->found = local;
  return 1;
}

/* The first ready one after `local` in the list. */
OUTLINE __u32 next_ready(const CHOICE* choice, __u32 local) {
  LIST_SEARCH search = {.choice = choice, .from = local + 1, .found = NO_LOCAL};
  if (search.from >= choice->backend_count) search.from = 0;
  bpf_loop(choice->backend_count & 0xFFFF, TRY_IN_ORDER, &search, 0);
  return search.found;
}

/* Where a pod stands in the list, if it is ready; `local`: where it may. One that is looked for in vain costs a walk
 * over the list, which is bounded. */
OUTLINE __u32 find_backend(const CHOICE* choice, struct sluice_ref pod, __u32 local) {
  LIST_SEARCH search = {.choice = choice, .from = local, .found = NO_LOCAL, .wanted = pod};
  __u32 count = choice->backend_count;
  if (search.from >= count) search.from = 0;
  bpf_loop(count < LIST_WALK ? count : LIST_WALK, TRY_IN_ORDER, &search, 0);
  return search.found;
}

INLINE __u32 ring_entry(const CHOICE* choice, __u32 slot) {
  __u32 index = choice->ring_base + slot / SLUICE_RING_BLOCK;
  const struct sluice_ring_block* block = bpf_map_lookup_elem(&rings, &index);
  return block ? block->entries[slot % SLUICE_RING_BLOCK] : 0;
}

OUTLINE __u32 select_ring(const CHOICE* choice, __u64 hash) {
  __u32 local = 0;
  for (__u32 attempt = 0; attempt <= SLUICE_SELECT_ATTEMPTS; attempt++) {
    local = ring_entry(choice, sluice_ring_slot(hash, attempt, choice->ring_size));
    if (is_ready(choice, local)) return local;
  }
  return next_ready(choice, local);
}

/* The backend whose turn it is. One that is down passes its turn on, so that those behind it get no more than others.
 */
OUTLINE __u32 select_turn(const CHOICE* choice) {
  __u32 slot = choice->frontend.slot, local = 0;
  __u32* turns_taken = bpf_map_lookup_elem(&turns, &slot);
  if (!turns_taken) return NO_LOCAL; /* cannot be */
  for (__u32 attempt = 0; attempt <= SLUICE_SELECT_ATTEMPTS; attempt++) {
    __u32 turn = __sync_fetch_and_add(turns_taken, 1);
    local = choice->algorithm == SLUICE_ALGORITHM_ROUND_ROBIN ? turn % choice->backend_count
                                                              : ring_entry(choice, turn % choice->ring_size);
    if (is_ready(choice, local)) return local;
  }
  return next_ready(choice, local);
}

static long TRY_LEAST(__u32 step, LIST_SEARCH* search) {
  __u32 local = place_in_list(search, step);
  const struct sluice_backend* backend = backend_at(search->choice, local);
  if (!backend || backend->state != SLUICE_BACKEND_READY) return 0;
  __u32 slot = backend->endpoint.slot, weight = backend->weight + 1U;
  const __u32* live = bpf_map_lookup_elem(&endpoint_pairs, &slot);
  if (!live) return 0; /* cannot be */
  __u64 load = *live + 1ULL;
  if (search->found != NO_LOCAL && load * search->weight >= search->load * weight) return 0;
  search->found = local;
  search->load = load;
  search->weight = weight;
  return 0;
}

/* The one with the fewest live pairs for its weight. From a random place on, so that of equals not always the same one
 * is taken, and in a long list each stands in the part that is looked at as often as another. */
OUTLINE __u32 select_least(const CHOICE* choice) {
  LIST_SEARCH search = {.choice = choice, .found = NO_LOCAL};
  __u32 count = choice->backend_count;
  search.from = sluice_reduce(bpf_get_prandom_u32(), count);
  bpf_loop(count < SLUICE_LEAST_OF ? count : SLUICE_LEAST_OF, TRY_LEAST, &search, 0);
  if (search.found != NO_LOCAL) return search.found;
  return next_ready(choice, search.from);
}

OUTLINE __u64 client_digest(const PACKET* p, const CHOICE* choice) {
  const struct sluice_settings* set = get_settings();
  return set ? client_hash(set->secret, p->network, &p->key, choice->backend_network, choice->owner) : 0;
}

/* The pod that the client had last, as long as that counts. */
OUTLINE __u32 recall_backend(const PACKET* p, const CHOICE* choice) {
  __u64 digest = client_digest(p, choice), now = bpf_ktime_get_coarse_ns();
  const struct sluice_affinity_bucket* bucket = affinity_bucket(digest);
  if (!bucket) return NO_LOCAL; /* cannot be */
  for (__u32 way = 0; way < SLUICE_AFFINITY_WAYS; way++) {
    const struct sluice_affinity* entry = &bucket->ways[way];
    if (entry->digest != digest || is_past(entry, now)) continue;
    if (!endpoint_current(entry->endpoint)) return NO_LOCAL;
    return find_backend(choice, entry->endpoint, entry->local);
  }
  return NO_LOCAL;
}

INLINE void write_affinity(struct sluice_affinity* entry, const CHOICE* choice, __u64 digest, __u64 now) {
  entry->digest = digest;
  entry->endpoint = choice->backend;
  entry->network = choice->backend_network;
  entry->local = choice->local;
  entry->until = now + choice->affinity * 1000000000ULL;
}

/* Notes which pod the client has got, once its flow is made: what caps keep out displaces nobody's entry. */
OUTLINE int keep_affinity(const PACKET* p, const CHOICE* choice) {
  __u64 digest = client_digest(p, choice), now = bpf_ktime_get_coarse_ns();
  struct sluice_affinity_bucket* bucket = affinity_bucket(digest);
  if (!bucket) return 0; /* cannot be */
  for (__u32 way = 0; way < SLUICE_AFFINITY_WAYS; way++) {
    struct sluice_affinity* entry = &bucket->ways[way];
    if (entry->digest != digest || is_past(entry, now)) continue;
    write_affinity(entry, choice, digest, now);
    return 0;
  }
  __u32 way = expendable_entry(bucket, choice->backend_network, now);
  if (way < SLUICE_AFFINITY_WAYS) write_affinity(&bucket->ways[way], choice, digest, now);
  return 0;
}

OUTLINE __u64 hash_for(const PACKET* p, const CHOICE* choice) {
  const struct sluice_settings* set = get_settings();
  if (!set || choice->algorithm == SLUICE_ALGORITHM_RANDOM)
    return (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
  if (choice->algorithm == SLUICE_ALGORITHM_SOURCE) return source_hash(set->secret, p->network, &p->key);
  return flow_hash(set->secret, p->network, &p->key, p->protocol);
}

GLOBAL __u32 select_local(const PACKET* p, const CHOICE* choice) {
  if (!p || !choice) return NO_LOCAL; /* cannot be */
  if (choice->affinity) {
    __u32 local = recall_backend(p, choice);
    if (local != NO_LOCAL) return local;
  }
  if (choice->backend_count == 1) return 0;
  if (choice->algorithm == SLUICE_ALGORITHM_LEAST_CONNECTIONS) return select_least(choice);
  if (choice->algorithm == SLUICE_ALGORITHM_ROUND_ROBIN || choice->algorithm == SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN)
    return select_turn(choice);
  __u64 hash = hash_for(p, choice);
  return choice->ring_size ? select_ring(choice, hash) : select_rendezvous(choice, hash);
}

/* Where the chosen backend is now; 0 or a reason. */
OUTLINE int locate_backend(CHOICE* choice, __u32 local) {
  const struct sluice_backend* backend = backend_at(choice, local);
  if (!backend || backend->network != choice->backend_network) return SLUICE_REASON_TABLE_CHANGED;
  choice->address = ADDRESS_OF(backend);
  choice->port = backend->port;
  choice->backend = backend->endpoint;
  ENDPOINT_KEY key = {.network = choice->backend_network, .address = choice->address};
  const ENDPOINT* endpoint = bpf_map_lookup_elem(&ENDPOINTS, &key);
  if (!endpoint) return SLUICE_REASON_STALE_ENDPOINT;
  struct sluice_ref ref = endpoint->ref;
  choice->kind = endpoint->kind;
  choice->ifindex = endpoint->ifindex;
  copy_mac(choice->mac, endpoint->mac);
  if (!is_endpoint(endpoint, &key)) return SLUICE_REASON_TABLE_CHANGED;
  if (!same_ref(ref, choice->backend) || !choice->ifindex || !endpoint_current(ref) ||
      (choice->kind != SLUICE_ENDPOINT_POD_PEER && choice->kind != SLUICE_ENDPOINT_POD_DEVICE))
    return SLUICE_REASON_STALE_ENDPOINT;
  return 0;
}

/* Writes what no stage has written yet: kernels before 6.3 want every byte behind a global function's pointer to be. */
INLINE void fill_packet(PACKET* p) {
  __builtin_memset(&p->action, 0, sizeof(p->action));
  if (p->entry == SLUICE_ENTRY_FROM_UPLINK)
    __builtin_memset(&p->cidr, 0, __builtin_offsetof(PACKET, router) - __builtin_offsetof(PACKET, cidr));
}

/* Picks a backend for a new flow: CONTINUE. */
OUTLINE int select_backend(PACKET* p, CHOICE* choice) {
  /* From outside refusals are the tenant's behind the floating IP. A pod of another network has its own. */
  if (p->entry == SLUICE_ENTRY_FROM_UPLINK) p->network_slot = choice->network_slot;
  if (is_of_ended_connection(p)) return REFUSED;
  if (p->protocol == IPPROTO_TCP && !is_tcp_syn(p))
    return p->entry == SLUICE_ENTRY_FROM_POD ? REFUSED : drop(p, SLUICE_REASON_NO_CONNECTION);
  if (p->protocol == IPPROTO_SCTP && !p->sctp_init) return drop(p, SLUICE_REASON_NO_CONNECTION);
  /* Its flow might change a port, which no fragment survives (is_uncountable), so it had better not be made. */
  if (p->protocol == IPPROTO_SCTP && p->fragment) return drop(p, SLUICE_REASON_FRAGMENT);
  if (!choice->ready_count) return REFUSED;
  fill_packet(p);
  __u32 local = select_local(p, choice);
  if (local == NO_LOCAL) return REFUSED;
  int reason = locate_backend(choice, local);
  if (reason == SLUICE_REASON_STALE_ENDPOINT) {
    /* A pod that is being attached anew. Another backend is better than a lost SYN. */
    local = next_ready(choice, local);
    if (local != NO_LOCAL) reason = locate_backend(choice, local);
  }
  choice->local = local;
  return reason ? drop(p, reason) : CONTINUE;
}
