/* SPDX-License-Identifier: GPL-2.0 */
/* remember: makes the flow pair of a new flow. Two inserts are not atomic: the reverse record goes in first, then
 * the forward one, both only if absent; whatever fails takes back what was done. */

/* What the two inserts and their undoing share. */
MAKING {
  FLOW_KEY* reverse; /* in the workspace */
  const CHOICE* choice;
  struct sluice_pair* pair;
  PAIR_KEYS* keys;
  __u64 now;
  __u32 index;
  bool kept;   /* the pair could not be undone and stands */
  bool leaves; /* by an egress address */
};

INLINE void make_forward_action(PACKET* p, const CHOICE* choice) {
  ACTION* action = &p->action;
  /* A pod's own stack drops packets from its own address, so it sees the service's instead. */
  bool hairpin =
      p->source.slot && choice->backend_network == p->network && same_address(choice->address, p->key.source);
  action->new_source = choice->ports ? choice->egress : hairpin ? p->key.destination : p->key.source;
  action->new_source_port = p->key.source_port;
  action->new_destination = choice->address;
  action->new_destination_port = choice->port;
  action->ifindex = choice->ifindex;
  action->delivery = !choice->kind                                ? SLUICE_DELIVER_UPLINK
                     : choice->kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE
                                                                  : SLUICE_DELIVER_PEER;
  action->role = SLUICE_FLOW_FORWARD;
  copy_mac(action->destination_mac, choice->mac);
}

INLINE void make_reverse_key(FLOW_KEY* key, const PACKET* p, const CHOICE* choice) {
  key->network_protocol = choice->backend_network | (__u32)p->protocol << 24;
  key->source = p->action.new_destination;
  key->destination = p->action.new_source;
  key->source_port = p->action.new_destination_port;
  key->destination_port = p->action.new_source_port;
}

INLINE void copy_to_record(FLOW* flow, const ACTION* action) {
  __u64* to = (__u64*)&flow->new_source;
  const __u64* from = (const __u64*)action;
  for (int i = 0; i < (int)(sizeof(ACTION) / sizeof(*to)); i++) to[i] = from[i];
}

/* A zeroed record to fill. */
INLINE FLOW* blank_record(const PACKET* p) {
  WORKSPACE* workspace = workspace_of(p);
  if (!workspace) return 0;
  __builtin_memset(&workspace->record, 0, sizeof(workspace->record));
  return &workspace->record;
}

/* What both records of a pair have alike. */
INLINE void fill_record(FLOW* flow, const MAKING* making) {
  flow->frontend = making->choice->frontend;
  flow->last_seen = making->now;
  flow->last_tick = (__u32)bpf_jiffies64();
  flow->pair = making->index;
  flow->stamp = flow->stamp_end = bpf_get_prandom_u32();
  flow->network_slot = making->choice->network_slot;
}

OUTLINE int insert_reverse(const PACKET* p, const MAKING* making) {
  FLOW* flow = blank_record(p);
  if (!flow) return -ENOMEM;
  ACTION* back = (ACTION*)&flow->new_source;
  back->new_source = p->key.destination;
  back->new_destination = p->key.source;
  back->new_source_port = p->key.destination_port;
  back->new_destination_port = p->key.source_port;
  back->ifindex = p->ifindex;
  back->delivery = p->own_delivery;
  back->role = SLUICE_FLOW_REVERSE;
  copy_mac(back->destination_mac, p->own_mac);
  set_action_deltas(back, making->reverse);
  flow->self = *making->reverse;
  flow->source = making->choice->backend;
  flow->endpoint = p->source;
  fill_record(flow, making);
  return insert_flow(making->reverse, flow);
}

/* From outside the backend's network: from the uplink, or through a floating IP from another network. */
INLINE bool counts_half_open(const PACKET* p, const CHOICE* choice) {
  return choice->backend_network && choice->backend_network != p->network;
}

OUTLINE int insert_forward(const PACKET* p, const MAKING* making) {
  FLOW* flow = blank_record(p);
  if (!flow) return -ENOMEM;
  copy_to_record(flow, &p->action);
  flow->self = p->key;
  flow->source = p->source;
  flow->endpoint = making->choice->backend;
  fill_record(flow, making);
  flow->packets = 1;
  flow->bytes = p->length;
  flow->state = (p->protocol == IPPROTO_TCP ? SLUICE_STATE_SYN : 0) |
                (counts_half_open(p, making->choice) ? SLUICE_STATE_HALF_OPEN_CHARGED : 0);
  return insert_flow(&p->key, flow);
}

/* Is this flow being made by another CPU, or made already? A live pair without its forward record is neither. */
INLINE bool is_being_made(const struct sluice_pair* pair, const PAIR_KEYS* keys, const PACKET* p) {
  if (*(volatile const __u8*)&pair->family != FAMILY || !same_key(&keys->forward, &p->key)) return false;
  return *(volatile const __u32*)&pair->state != SLUICE_PAIR_LIVE || find_flow(&p->key);
}

/* Who holds the reverse tuple? An ended flow is removed, as is what a failed deletion has left, and the insert tried
 * once more. */
OUTLINE int reverse_or_owner(const PACKET* p, const MAKING* making) {
  for (int attempt = 0; attempt < 2; attempt++) {
    int error = insert_reverse(p, making);
    if (!error) return INSERTED;
    if (error != -EEXIST) return FULL;
    const FLOW* owner = find_flow(making->reverse);
    if (!owner) continue;
    __u32 index = owner->pair;
    bool ended = is_ended(owner);
    if (!still_self(owner, making->reverse)) continue;
    const struct sluice_pair* pair = bpf_map_lookup_elem(&pairs, &index);
    const PAIR_KEYS* keys = KEYS_AT(index);
    if (!pair || !keys) return TAKEN;
    if (!ended && is_being_made(pair, keys, p)) return ADOPTED;
    if (!ended && names_key(pair, keys, making->reverse) && !same_key(&keys->forward, &p->key)) return TAKEN;
    delete_pair(p, index, making->reverse, END_STALE);
  }
  return TAKEN;
}

/* Is it an address of the backend's network? Who comes from outside must not have one as source there: the reverse
 * tuple could be that of a connection between two pods, whose packets would then leave the network. */
OUTLINE bool lies_inside(const CHOICE* choice, const ADDRESS* address) {
  if (within_prefix(*address, choice->router, choice->cidr_length)) return true;
  ENDPOINT_KEY key = {.network = choice->backend_network, .address = *address};
  return bpf_map_lookup_elem(&ENDPOINTS, &key); /* a service address outside the CIDR */
}

/* Does a packet from outside claim an address of the backend's network as its source? */
INLINE bool claims_inside(const PACKET* p, const CHOICE* choice) {
  return p->entry == SLUICE_ENTRY_FROM_UPLINK && lies_inside(choice, &p->key.source);
}

/* The walk over the ports of an egress address. */
PORT_SEARCH {
  PACKET* p;
  MAKING* making;
  __u64 hash;
  int result; /* enum insert_result */
};

/* Its own port first, so that what looks at ports sees what it would see without us (RFC 4787 4.2.1). A record in the
 * way is left alone, whatever its state: until the sweep takes it, its port is not free (TIME-WAIT). */
static long TRY_PORT(__u32 attempt, PORT_SEARCH* search) {
  PACKET* p = search->p;
  MAKING* making = search->making;
  const CHOICE* choice = making->choice;
  __u16 port =
      attempt ? egress_port(search->hash, attempt, choice->first_port, choice->ports) : bpf_ntohs(p->key.source_port);
  if ((__u16)(port - choice->first_port) >= choice->ports) return 0;
  p->action.new_source_port = bpf_htons(port);
  make_reverse_key(making->reverse, p, choice);
  if (find_flow(making->reverse)) return 0;
  making->keys->reverse = *making->reverse;
  int error = insert_reverse(p, making);
  if (error == -EEXIST) return 0;
  search->result = error ? FULL : INSERTED;
  return 1;
}

OUTLINE int place_at_egress(PACKET* p, MAKING* making) {
  const struct sluice_settings* set = get_settings();
  PORT_SEARCH search = {.p = p, .making = making, .result = TAKEN};
  if (set) search.hash = flow_hash(set->secret, p->network, &p->key, p->protocol);
  bpf_loop(SLUICE_EGRESS_TRIES, TRY_PORT, &search, 0);
  return search.result;
}

/* Gives the flow the router's address and a free port as source, when its own would collide at the backend. */
INLINE int place_reverse(PACKET* p, MAKING* making) {
  if (making->leaves) return place_at_egress(p, making);
  /* A pod that is its own backend on its own source port: the two directions would be one tuple. */
  bool barred = same_key(making->reverse, &p->key) || claims_inside(p, making->choice);
  int result = barred ? TAKEN : reverse_or_owner(p, making);
  if (result != TAKEN || p->protocol == ICMP_PROTOCOL) return result;
  p->action.new_source = making->choice->router;
  for (int attempt = 0; attempt < SUBSTITUTE_TRIES; attempt++) {
    p->action.new_source_port = substitute_port();
    make_reverse_key(making->reverse, p, making->choice);
    making->keys->reverse = *making->reverse;
    int error = insert_reverse(p, making);
    if (!error) return INSERTED;
    if (error != -EEXIST) return FULL;
  }
  return TAKEN;
}

/* Another CPU has made this flow with the same tuple: go by its record. */
OUTLINE int adopt(PACKET* p) {
  FLOW* winner = find_flow(&p->key);
  if (!winner) return SLUICE_REASON_FLOW_CONTENDED;
  struct sluice_ref source = winner->source;
  copy_action(p, winner);
  if (!still_self(winner, &p->key) || !same_ref(source, p->source) || is_ended(winner))
    return SLUICE_REASON_FLOW_CONTENDED;
  track(winner, p);
  return 0;
}

/* Inserts both records. 0: done and the pair is live. Otherwise nothing of it is left; a negative value is the
 * reason of a failure, a positive one says that another CPU's record was adopted. */
INLINE int insert_pair(PACKET* p, MAKING* making) {
  make_reverse_key(making->reverse, p, making->choice);
  making->keys->forward = p->key;
  making->keys->reverse = *making->reverse;
  making->pair->mark = 0;
  making->pair->network_slot = making->choice->network_slot;
  making->pair->protocol = p->protocol;
  making->pair->family = FAMILY;
  int result = place_reverse(p, making);
  if (result == ADOPTED) {
    int reason = adopt(p);
    return reason ? -reason : 1;
  }
  if (result == TAKEN) return making->leaves ? -SLUICE_REASON_EGRESS_PORTS : -SLUICE_REASON_FLOW_COLLISION;
  if (result != INSERTED) return -SLUICE_REASON_FLOW_TABLE_FULL;
  set_action_deltas(&p->action, &p->key);
  charge_backend(making->pair, making->choice->backend.slot);
  int error = insert_forward(p, making);
  if (!error) {
    *(volatile __u32*)&making->pair->state = SLUICE_PAIR_LIVE;
    return 0;
  }
  if (!delete_record(making->reverse, making->index)) {
    /* The record stays, so the pair does too, with its charge: an orphan that the sweep will find. */
    making->kept = true;
    *(volatile __u32*)&making->pair->state = SLUICE_PAIR_LIVE;
  }
  if (error != -EEXIST) return -SLUICE_REASON_FLOW_TABLE_FULL;
  int reason = adopt(p);
  return reason ? -reason : 1;
}

INLINE void uncharge_half_open(const PACKET* p, const CHOICE* choice) {
  struct sluice_network_usage* usage = get_usage(choice->network_slot);
  if (!usage || !counts_half_open(p, choice)) return;
  usage->changes++;
  decrement(&usage->half_open);
}

INLINE void uncharge(const PACKET* p, const CHOICE* choice) {
  discharge_share(choice->network_slot);
  uncharge_half_open(p, choice);
}

INLINE int charge(const PACKET* p, const CHOICE* choice) {
  int reason = counts_half_open(p, choice) ? charge_half_open(choice->network_slot) : 0;
  if (reason) return reason;
  reason = charge_share(choice->network_slot);
  if (reason) uncharge_half_open(p, choice);
  return reason;
}

/* 0 or a reason. */
OUTLINE int hold_port(const PACKET* p, const CHOICE* choice, struct sluice_pair* pair) {
  const struct sluice_settings* set = get_settings();
  if (!set) return SLUICE_REASON_EGRESS_QUOTA; /* cannot be */
  __u32 share = remote_hash(set->secret, p->network, &p->key) % SLUICE_EGRESS_SHARES;
  int reason = charge_egress(p->source.slot, share, choice->quota, SLUICE_EGRESS_SHARE(choice->ports));
  if (reason) return reason;
  pair->egress_slot = p->source.slot;
  pair->egress_share = share + 1;
  return 0;
}

/* Gives back what a flow that was not made has been charged; what stands of it goes with the sweep. */
INLINE void take_back(const PACKET* p, const CHOICE* choice, MAKING* making) {
  uncharge_half_open(p, choice);
  if (making->kept) return;
  discharge_share(choice->network_slot);
  if (making->leaves) return_egress(making->pair);
  return_backend(making->pair);
  give_pair_index(making->pair, making->index);
}

/* `leaves`: the flow may get an egress address as its source; false is said by those whose flows never do, and spares
 * the verifier that way. */
OUTLINE int remember(PACKET* p, WORKSPACE* workspace, bool leaves) {
  const CHOICE* choice = &workspace->choice;
  if (p->stale_pair && !delete_pair(p, p->stale_pair - 1, &p->key, END_STALE))
    return drop(p, SLUICE_REASON_FLOW_CONTENDED);
  int reason = charge(p, choice);
  if (reason) return drop(p, reason);
  MAKING making = {.reverse = &workspace->reverse,
                   .choice = choice,
                   .now = bpf_ktime_get_coarse_ns(),
                   .leaves = leaves && choice->ports};
  if (take_pair_index(&making.index)) {
    uncharge(p, choice);
    return drop(p, SLUICE_REASON_FLOW_TABLE_FULL);
  }
  making.pair = bpf_map_lookup_elem(&pairs, &making.index);
  making.keys = KEYS_AT(making.index);
  if (!making.pair || !making.keys)
    return drop(p, SLUICE_REASON_FLOW_TABLE_FULL); /* cannot be: indexes stay below max_pairs */
  make_forward_action(p, choice);
  int result = making.leaves ? -hold_port(p, choice, making.pair) : 0;
  if (!result) result = insert_pair(p, &making);
  if (!result) return CONTINUE;
  /* Told apart before the calls: see to_outside for what kernel 6.1 forgets over one. */
  if (result < 0) {
    take_back(p, choice, &making);
    return drop(p, -result);
  }
  take_back(p, choice, &making);
  workspace->choice.affinity = 0; /* the flow may have another backend */
  return CONTINUE;
}
