/* SPDX-License-Identifier: GPL-2.0 */
/* remember: makes the flow pair of a new flow. Two inserts are not atomic: the reverse record goes in first, then
 * the forward one, both only if absent; whatever fails takes back what was done. */
#ifndef SLUICE_BPF_REMEMBER_H
#define SLUICE_BPF_REMEMBER_H

#define SUBSTITUTE_FIRST_PORT 61000
#define SUBSTITUTE_PORTS (65536 - SUBSTITUTE_FIRST_PORT)
#define SUBSTITUTE_TRIES 8

/* What the two inserts and their undoing share. */
struct making {
  struct sluice_flow4_key reverse;
  const struct choice* choice;
  struct sluice_pair4* pair;
  __u64 now;
  __u32 index;
  bool kept; /* the pair could not be undone and stands */
};

enum insert_result {
  INSERTED = 0,
  TAKEN,   /* another flow owns the reverse tuple */
  ADOPTED, /* this very flow was made by another CPU meanwhile */
  FULL,
};

static __always_inline void make_forward_action(struct packet* p, const struct choice* choice) {
  struct action* action = &p->action;
  /* A pod's own stack drops packets from its own address, so it sees the service's instead. */
  bool hairpin = p->source.slot && choice->backend_network == p->network && choice->address == p->key.source;
  action->new_source = hairpin ? p->key.destination : p->key.source;
  action->new_source_port = p->key.source_port;
  action->new_destination = choice->address;
  action->new_destination_port = choice->port;
  action->ifindex = choice->ifindex;
  action->delivery = choice->kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER;
  action->role = SLUICE_FLOW_FORWARD;
  copy_mac(action->destination_mac, choice->mac);
}

static __always_inline void make_reverse_key(struct sluice_flow4_key* key, const struct packet* p,
                                             const struct choice* choice) {
  key->network_protocol = choice->backend_network | (__u32)p->protocol << 24;
  key->source = p->action.new_destination;
  key->destination = p->action.new_source;
  key->source_port = p->action.new_destination_port;
  key->destination_port = p->action.new_source_port;
}

static __always_inline void copy_to_record(struct sluice_flow4* flow, const struct action* action) {
  __u64* to = (__u64*)&flow->new_source;
  const __u64* from = (const __u64*)action;
  to[0] = from[0];
  to[1] = from[1];
  to[2] = from[2];
  to[3] = from[3];
}

/* A zeroed record to fill. Not on the stack: the chain of calls has 512 bytes in all, and kernel 6.1 counts the
 * frames of all callers. Programs run with bottom halves off, so that nobody else on this CPU is at it. */
static __always_inline struct sluice_flow4* blank_record(void) {
  __u32 zero = 0;
  struct sluice_flow4* flow = bpf_map_lookup_elem(&scratch, &zero);
  if (flow) __builtin_memset(flow, 0, sizeof(*flow));
  return flow;
}

/* What both records of a pair have alike. */
static __always_inline void fill_record(struct sluice_flow4* flow, const struct making* making) {
  flow->frontend = making->choice->frontend;
  flow->last_seen = making->now;
  flow->last_tick = (__u32)bpf_jiffies64();
  flow->pair = making->index;
  flow->stamp = flow->stamp_end = bpf_get_prandom_u32();
  flow->network_slot = making->choice->network_slot;
}

static __noinline int insert_reverse(const struct packet* p, const struct making* making) {
  struct sluice_flow4* flow = blank_record();
  if (!flow) return -ENOMEM;
  struct action* back = (struct action*)&flow->new_source;
  back->new_source = p->key.destination;
  back->new_destination = p->key.source;
  back->new_source_port = p->key.destination_port;
  back->new_destination_port = p->key.source_port;
  back->ifindex = p->ifindex;
  back->delivery = p->own_delivery;
  back->role = SLUICE_FLOW_REVERSE;
  copy_mac(back->destination_mac, p->own_mac);
  set_action_deltas(back, &making->reverse);
  flow->self = making->reverse;
  flow->source = making->choice->backend;
  flow->endpoint = p->source;
  fill_record(flow, making);
  return (int)bpf_map_update_elem(&flows4, &making->reverse, flow, BPF_NOEXIST);
}

static __always_inline bool counts_half_open(const struct packet* p) {
  return p->entry == SLUICE_ENTRY_FROM_UPLINK;
}

static __noinline int insert_forward(const struct packet* p, const struct making* making) {
  struct sluice_flow4* flow = blank_record();
  if (!flow) return -ENOMEM;
  copy_to_record(flow, &p->action);
  flow->self = p->key;
  flow->source = p->source;
  flow->endpoint = making->choice->backend;
  fill_record(flow, making);
  flow->packets = 1;
  flow->bytes = p->length;
  flow->state =
      (p->protocol == IPPROTO_TCP ? SLUICE_STATE_SYN : 0) | (counts_half_open(p) ? SLUICE_STATE_HALF_OPEN_CHARGED : 0);
  return (int)bpf_map_update_elem(&flows4, &p->key, flow, BPF_NOEXIST);
}

/* Is this flow being made by another CPU, or made already? A live pair without its forward record is neither. */
static __always_inline bool is_being_made(const struct sluice_pair4* pair, const struct packet* p) {
  if (!same_key(&pair->forward, &p->key)) return false;
  return *(volatile const __u32*)&pair->state != SLUICE_PAIR_LIVE || bpf_map_lookup_elem(&flows4, &p->key);
}

/* Who holds the reverse tuple? An ended flow is removed, as is what a failed deletion has left, and the insert tried
 * once more. */
static __noinline int reverse_or_owner(const struct packet* p, const struct making* making) {
  for (int attempt = 0; attempt < 2; attempt++) {
    int error = insert_reverse(p, making);
    if (!error) return INSERTED;
    if (error != -EEXIST) return FULL;
    const struct sluice_flow4* owner = bpf_map_lookup_elem(&flows4, &making->reverse);
    if (!owner) continue;
    __u32 index = owner->pair;
    bool ended = is_ended(owner);
    if (!still_self(owner, &making->reverse)) continue;
    const struct sluice_pair4* pair = bpf_map_lookup_elem(&pairs4, &index);
    if (!pair) return TAKEN;
    if (!ended && is_being_made(pair, p)) return ADOPTED;
    if (!ended && names_key(pair, &making->reverse) && !same_key(&pair->forward, &p->key)) return TAKEN;
    delete_pair(p, index, &making->reverse, END_STALE);
  }
  return TAKEN;
}

static __always_inline __be16 substitute_port(void) {
  return bpf_htons((__u16)(SUBSTITUTE_FIRST_PORT + bpf_get_prandom_u32() % SUBSTITUTE_PORTS));
}

/* Does a packet from outside claim an address of the backend's network as its source? With it as it is, the reverse
 * tuple could be that of a connection between two pods, whose packets would then leave by the uplink. */
static __noinline bool claims_inside(const struct packet* p, const struct choice* choice) {
  if (p->entry != SLUICE_ENTRY_FROM_UPLINK) return false;
  if (((p->key.source ^ choice->router4) & choice->mask4) == 0) return true;
  struct sluice_endpoint4_key key = {.network = choice->backend_network, .address = p->key.source};
  return bpf_map_lookup_elem(&endpoints4, &key); /* a service address outside the CIDR */
}

/* Gives the flow the router's address and a free port as source, when its own would collide at the backend. */
static __noinline int place_reverse(struct packet* p, struct making* making) {
  /* A pod that is its own backend on its own source port: the two directions would be one tuple. */
  bool barred = same_key(&making->reverse, &p->key) || claims_inside(p, making->choice);
  int result = barred ? TAKEN : reverse_or_owner(p, making);
  if (result != TAKEN || p->protocol == IPPROTO_ICMP) return result;
  p->action.new_source = making->choice->router4;
  for (int attempt = 0; attempt < SUBSTITUTE_TRIES; attempt++) {
    p->action.new_source_port = substitute_port();
    make_reverse_key(&making->reverse, p, making->choice);
    making->pair->reverse = making->reverse;
    int error = insert_reverse(p, making);
    if (!error) return INSERTED;
    if (error != -EEXIST) return FULL;
  }
  return TAKEN;
}

/* Another CPU has made this flow with the same tuple: go by its record. */
static __noinline int adopt(struct packet* p) {
  struct sluice_flow4* winner = bpf_map_lookup_elem(&flows4, &p->key);
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
static __noinline int insert_pair(struct packet* p, struct making* making) {
  make_reverse_key(&making->reverse, p, making->choice);
  making->pair->forward = p->key;
  making->pair->reverse = making->reverse;
  making->pair->mark = 0;
  making->pair->network_slot = making->choice->network_slot;
  int result = place_reverse(p, making);
  if (result == ADOPTED) {
    int reason = adopt(p);
    return reason ? -reason : 1;
  }
  if (result != INSERTED) return result == TAKEN ? -SLUICE_REASON_FLOW_COLLISION : -SLUICE_REASON_FLOW_TABLE_FULL;
  set_action_deltas(&p->action, &p->key);
  int error = insert_forward(p, making);
  if (!error) {
    *(volatile __u32*)&making->pair->state = SLUICE_PAIR_LIVE;
    return 0;
  }
  if (!delete_record(&making->reverse, making->index)) {
    /* The record stays, so the pair does too, with its charge: an orphan that the sweep will find. */
    making->kept = true;
    *(volatile __u32*)&making->pair->state = SLUICE_PAIR_LIVE;
  }
  if (error != -EEXIST) return -SLUICE_REASON_FLOW_TABLE_FULL;
  int reason = adopt(p);
  return reason ? -reason : 1;
}

static __always_inline void uncharge_half_open(const struct packet* p, const struct choice* choice) {
  struct sluice_network_usage* usage = get_usage(choice->network_slot);
  if (!usage || !counts_half_open(p)) return;
  usage->changes++;
  decrement(&usage->half_open);
}

static __always_inline void uncharge(const struct packet* p, const struct choice* choice) {
  discharge_share(choice->network_slot);
  uncharge_half_open(p, choice);
}

static __always_inline int charge(const struct packet* p, const struct choice* choice) {
  int reason = counts_half_open(p) ? charge_half_open(choice->network_slot) : 0;
  if (reason) return reason;
  reason = charge_share(choice->network_slot);
  if (reason) uncharge_half_open(p, choice);
  return reason;
}

static __noinline int remember(struct packet* p, const struct choice* choice) {
  if (p->stale_pair && !delete_pair(p, p->stale_pair - 1, &p->key, END_STALE))
    return drop(p, SLUICE_REASON_FLOW_CONTENDED);
  int reason = charge(p, choice);
  if (reason) return drop(p, reason);
  struct making making = {.choice = choice, .now = bpf_ktime_get_coarse_ns()};
  if (take_pair_index(&making.index)) {
    uncharge(p, choice);
    return drop(p, SLUICE_REASON_FLOW_TABLE_FULL);
  }
  making.pair = bpf_map_lookup_elem(&pairs4, &making.index);
  if (!making.pair) return drop(p, SLUICE_REASON_FLOW_TABLE_FULL); /* cannot be: indexes stay below max_pairs */
  make_forward_action(p, choice);
  int result = insert_pair(p, &making);
  if (!result) return CONTINUE;
  uncharge_half_open(p, choice);
  if (!making.kept) {
    discharge_share(choice->network_slot);
    give_pair_index(making.pair, making.index);
  }
  return result > 0 ? CONTINUE : drop(p, -result);
}

#endif
