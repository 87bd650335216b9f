/* SPDX-License-Identifier: GPL-2.0 */
/* flow: an established packet's whole way. One hash lookup, two array loads for the generations. */

/* The other record of the pair. */
INLINE FLOW* partner_of(const FLOW* flow) {
  __u32 index = flow->pair;
  const PAIR_KEYS* keys = KEYS_AT(index);
  if (!keys) return 0;
  FLOW* other = find_flow(flow->role == SLUICE_FLOW_FORWARD ? &keys->reverse : &keys->forward);
  return other && other->pair == index ? other : 0;
}

/* SYN+ACK of the backend: from now on the ACK that answers it proves that the client is where it says. */
OUTLINE int note_synack(const FLOW* flow, const PACKET* p) {
  FLOW* other = partner_of(flow);
  if (!other || (other->state & SLUICE_STATE_ESTABLISHED)) return 0;
  other->acknowledged = p->sequence + 1;
  __sync_fetch_and_or(&other->state, SLUICE_STATE_SYNACK);
  return 0;
}

/* The first answer of UDP or ICMP. */
OUTLINE int note_reply(FLOW* flow) {
  __sync_fetch_and_or(&flow->state, SLUICE_STATE_ESTABLISHED);
  FLOW* other = partner_of(flow);
  if (other) discharge_half_open(other);
  return 0;
}

OUTLINE int finish_handshake(FLOW* flow, const PACKET* p) {
  if (!(flow->state & SLUICE_STATE_SYNACK) || (p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK) return 0;
  if (p->acknowledgement - flow->acknowledged > HANDSHAKE_WINDOW) return 0;
  __sync_fetch_and_or(&flow->state, SLUICE_STATE_ESTABLISHED);
  discharge_half_open(flow);
  return 0;
}

/* May this FIN or RST end the connection? Of an established one only if its sequence number fits what the other side
 * has acknowledged: anybody can send such a segment from outside, hardly anybody knows the numbers. */
OUTLINE bool may_end(const FLOW* flow, const PACKET* p) {
  const FLOW* other = partner_of(flow);
  if (!other) return true;
  const FLOW* ahead = flow->role == SLUICE_FLOW_FORWARD ? flow : other;
  if (!(ahead->state & SLUICE_STATE_ESTABLISHED)) return true;
  return p->sequence + 1 - other->acknowledged <= ENDING_WINDOW;
}

/* A connection that both sides have closed is none that its backend has to serve. A reset may not be the end, and a pod
 * that resets whatever it is sent had better not seem idle: such a connection counts until the sweep takes its pair. */
OUTLINE int note_end(const FLOW* flow) {
  __u32 index = flow->pair;
  struct sluice_pair* pair = bpf_map_lookup_elem(&pairs, &index);
  const FLOW* other = partner_of(flow);
  if (!pair || !other) return 0;
  if (flow->state & other->state & SLUICE_STATE_FIN) return_backend(pair);
  return 0;
}

/* TCP state of this direction. A reset that is followed by ordinary traffic of the same direction was not the end of
 * the connection, so its mark goes again. */
INLINE void track_tcp(FLOW* flow, const PACKET* p) {
  __u32 state = flow->state;
  __u32 seen = (p->tcp_flags & TCP_FIN ? SLUICE_STATE_FIN : 0) | (p->tcp_flags & TCP_RST ? SLUICE_STATE_RST : 0);
  if ((seen & ~state) && may_end(flow, p)) {
    __sync_fetch_and_or(&flow->state, seen);
    note_end(flow);
  }
  if ((state & SLUICE_STATE_RST) && !(p->tcp_flags & TCP_RST)) __sync_fetch_and_and(&flow->state, ~SLUICE_STATE_RST);
  if (flow->role == SLUICE_FLOW_REVERSE) {
    if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) note_synack(flow, p);
  } else if (!(state & SLUICE_STATE_ESTABLISHED)) {
    finish_handshake(flow, p);
    return; /* until then `acknowledged` is what is waited for */
  }
  if ((p->tcp_flags & (TCP_ACK | TCP_RST)) == TCP_ACK) flow->acknowledged = p->acknowledgement;
}

/* Has either side ended the connection? Then it makes room for a SYN. */
OUTLINE bool is_closing(const FLOW* flow) {
  const FLOW* other = partner_of(flow);
  return (flow->state | (other ? other->state : 0)) & (SLUICE_STATE_FIN | SLUICE_STATE_RST);
}

INLINE void track(FLOW* flow, const PACKET* p) {
  __u32 tick = (__u32)bpf_jiffies64(); /* inlined by the verifier; the clock is a call */
  if (flow->last_tick != tick) {
    flow->last_tick = tick;
    flow->last_seen = bpf_ktime_get_coarse_ns();
  }
  flow->packets++;
  flow->bytes += p->length;
  if (is_later_fragment(p)) return; /* has no flags, and is no answer: its first one was */
  if (p->protocol == IPPROTO_TCP)
    track_tcp(flow, p);
  else if (flow->role == SLUICE_FLOW_REVERSE && !(flow->state & SLUICE_STATE_ESTABLISHED))
    note_reply(flow);
}

INLINE void copy_action(PACKET* p, const FLOW* flow) {
  _Static_assert(sizeof(ACTION) == __builtin_offsetof(FLOW, source) - __builtin_offsetof(FLOW, new_source),
                 "an action is a part of a flow record");
  __u64* to = (__u64*)&p->action;
  const __u64* from = (const __u64*)&flow->new_source;
  for (int i = 0; i < (int)(sizeof(ACTION) / sizeof(*to)); i++) to[i] = from[i];
}

/* Looks the packet's tuple up and carries the record's action out. A miss continues; so does a record that a
 * generation has ended, which is noted so that a new flow can take its place. */
INLINE int flow(struct __sk_buff* skb, PACKET* p) {
  if (!p->tracked) return CONTINUE;
  FLOW* found = find_flow(&p->key);
  if (!found) return CONTINUE;
  struct sluice_ref source = found->source, endpoint = found->endpoint, frontend = found->frontend;
  __u32 index = found->pair;
  copy_action(p, found);
  if (!still_self(found, &p->key)) return CONTINUE;
  if (!same_ref(source, p->source) || !endpoint_current(endpoint) || !frontend_current(frontend)) {
    p->stale_pair = index + 1;
    return CONTINUE;
  }
  if (is_tcp_syn(p) && p->action.role == SLUICE_FLOW_FORWARD && is_closing(found))
    return delete_pair(p, index, &p->key, END_CLOSING) ? CONTINUE : drop(p, SLUICE_REASON_FLOW_CONTENDED);
  if (is_expired(p)) return is_later_fragment(p) ? drop(p, SLUICE_REASON_FRAGMENT) : EXPIRED;
  if (is_too_long(skb, p, p->action.ifindex)) return is_later_fragment(p) ? drop(p, SLUICE_REASON_FRAGMENT) : TOO_LONG;
  track(found, p);
  return carry_out(skb, p);
}
