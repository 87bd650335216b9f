/* SPDX-License-Identifier: GPL-2.0 */
/* egress: new flows from a pod to the public side, or to a floating IP of another network, with an egress address as
 * their source. The flow's reverse record holds the port: who inserts it has it. */

INLINE void copy_way(CHOICE* choice, const struct sluice_egress* record) {
#if FAMILY == 4
  choice->egress = record->address4;
  choice->way = record->ref4;
  __u16 first = record->first4, last = record->last4;
#else
  choice->egress = record->address6;
  choice->way = record->ref6;
  __u16 first = record->first6, last = record->last6;
#endif
  choice->first_port = first;
  choice->ports = last - first + 1;
  choice->quota = record->quota;
  choice->way_ifindex = record->ifindex;
}

/* The way out of the sender's network, into `choice`. */
OUTLINE int find_way(const PACKET* p, CHOICE* choice) {
  __u32 network = p->network;
  for (int attempt = 0; attempt < 2; attempt++) { /* again if the record was replaced under our eyes */
    const struct sluice_egress* record = bpf_map_lookup_elem(&egress, &network);
    if (!record) return MISSING;
    copy_way(choice, record);
    if (is_way_out(record, network)) return is_unspecified(choice->egress) || !choice->ports ? MISSING : FOUND;
  }
  return CHANGED;
}

/* The same, as a stage. */
INLINE int need_way(const PACKET* p, CHOICE* choice) {
  int result = find_way(p, choice);
  if (result == MISSING) return drop(p, SLUICE_REASON_NO_EGRESS);
  if (result == CHANGED) return drop(p, SLUICE_REASON_TABLE_CHANGED);
  return CONTINUE;
}

/* Nobody's address out there, or one that no pod may reach. The node's own is among the prefixes as well, but what it
 * is known by here does not depend on that. */
INLINE bool is_denied(ADDRESS address) {
  if (is_martian_class(address) || is_link_local(address) || is_shared(address)) return true;
#if FAMILY == 4
  struct sluice_prefix4 prefix = {.length = 32, .address = address};
  return bpf_map_lookup_elem(&egress_denied4, &prefix);
#else
  struct sluice_prefix6 prefix = {.length = 128};
  __builtin_memcpy(prefix.address, &address, sizeof(prefix.address));
  return bpf_map_lookup_elem(&egress_denied6, &prefix);
#endif
}

/* What select does for a service: where the flow goes. The public side is a backend without a slot. */
INLINE void choose_public(const PACKET* p, CHOICE* choice) {
  choice->frontend = choice->way;
  choice->backend = (struct sluice_ref){};
  choice->backend_network = 0;
  choice->affinity = 0;
  choice->address = p->key.destination;
  choice->port = p->key.destination_port;
  choice->network_slot = p->network_slot;
  choice->kind = 0;
  choice->ifindex = choice->way_ifindex;
}

/* What cannot be the first packet of a flow to the outside. */
INLINE int refuse_outside(const PACKET* p) {
  if (is_later_fragment(p)) return drop(p, SLUICE_REASON_FRAGMENT);
  if (p->protocol == ICMP_PROTOCOL) return drop(p, p->tracked ? SLUICE_REASON_NO_CONNECTION : SLUICE_REASON_ICMP_ERROR);
  if (!p->tracked) return REFUSED_PROTOCOL;
  if (p->protocol == IPPROTO_TCP) return REFUSED;
  return drop(p, p->fragment ? SLUICE_REASON_FRAGMENT : SLUICE_REASON_NO_CONNECTION); /* SCTP */
}

INLINE bool opens_flow(const PACKET* p) {
  if (!is_request(p)) return false;
  if (p->protocol == IPPROTO_TCP) return is_tcp_syn(p);
  /* A fragment of SCTP whose flow changes a port is not carried (is_uncountable), so its flow had better not be made.
   */
  return p->protocol != IPPROTO_SCTP || (p->sctp_init && !p->fragment);
}

/* A floating IP's port that no service has bound, from a pod: as from the public side, for who has a way out. */
INLINE int to_floating_outside(const PACKET* p, CHOICE* choice) {
  if (is_echo_request(p)) return ECHO;
  STAGE(need_way(p, choice));
  return to_floating(p);
}

/* A destination that is neither in the sender's network nor a service of it: CHOSEN, or a verdict.
 *
 * No decision may be kept in a variable over a call of find_way: the verifier of kernel 6.1 forgets there that a
 * caller's register decides a branch, takes two states for one and cuts the branch out that it has not seen. */
OUTLINE int to_outside(struct __sk_buff* skb, PACKET* p) {
  if (is_of_ended_connection(p)) return REFUSED;
  if (is_own_network(p, p->key.destination)) return drop(p, SLUICE_REASON_NO_SUCH_ADDRESS);
  WORKSPACE* workspace = workspace_of(p);
  if (!workspace) return drop(p, SLUICE_REASON_TABLE_CHANGED); /* cannot be */
  CHOICE* choice = &workspace->choice;
  if (asks_floating(p) && is_floating(p->key.destination)) return to_floating_outside(p, choice);
  STAGE(need_way(p, choice));
  if (is_denied(p->key.destination)) return drop(p, SLUICE_REASON_EGRESS_DENIED);
  if (!opens_flow(p)) return refuse_outside(p);
  if (is_expired(p)) return EXPIRED;
  if (is_too_long(skb, p, choice->way_ifindex)) return TOO_LONG;
  choose_public(p, choice);
  return CHOSEN;
}
