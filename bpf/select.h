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

LIST_SEARCH {
  const CHOICE* choice;
  __u32 from;
  __u32 found;
};

static long TRY_IN_ORDER(__u32 step, LIST_SEARCH* search) {
  __u32 local = search->from + step;
  if (local >= search->choice->backend_count) local -= search->choice->backend_count;
  if (!is_ready(search->choice, local)) return 0;
  search->found = local;
  return 1;
}

/* The first ready one after `local` in the list, around its end. */
OUTLINE __u32 next_ready(const CHOICE* choice, __u32 local) {
  LIST_SEARCH search = {.choice = choice, .from = local + 1, .found = NO_LOCAL};
  if (search.from >= choice->backend_count) search.from = 0;
  bpf_loop(choice->backend_count & 0xFFFF, TRY_IN_ORDER, &search, 0);
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

OUTLINE __u64 hash_for(const PACKET* p, const CHOICE* choice) {
  const struct sluice_settings* set = get_settings();
  if (!set || choice->algorithm == SLUICE_ALGORITHM_RANDOM)
    return (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
  if (choice->algorithm == SLUICE_ALGORITHM_SOURCE) return source_hash(set->secret, p->network, &p->key);
  return flow_hash(set->secret, p->network, &p->key, p->protocol);
}

GLOBAL __u32 select_local(const PACKET* p, const CHOICE* choice) {
  if (!p || !choice) return NO_LOCAL; /* cannot be */
  if (choice->backend_count == 1) return 0;
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
  return reason ? drop(p, reason) : CONTINUE;
}
