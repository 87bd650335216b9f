/* SPDX-License-Identifier: GPL-2.0 */
/* flow: an established packet's whole way. One hash lookup, two array loads for the generations. */
#ifndef SLUICE_BPF_FLOW_H
#define SLUICE_BPF_FLOW_H

/* How far above the expected acknowledgement the first ACK of a client may be: the server may have sent data. */
#define HANDSHAKE_WINDOW (1U << 20)

/* The forward record behind a reverse one. */
static __always_inline struct sluice_flow4* forward_of(const struct sluice_flow4* flow) {
  __u32 index = flow->pair;
  const struct sluice_pair4* pair = bpf_map_lookup_elem(&pairs4, &index);
  return pair ? bpf_map_lookup_elem(&flows4, &pair->forward) : 0;
}

/* SYN+ACK of the backend: from now on the ACK that answers it proves that the client is where it says. */
static __noinline int note_synack(const struct sluice_flow4* flow, const struct packet* p) {
  struct sluice_flow4* other = forward_of(flow);
  if (!other || other->pair != flow->pair) return 0;
  other->handshake = p->sequence + 1;
  __sync_fetch_and_or(&other->state, SLUICE_STATE_SYNACK);
  return 0;
}

static __noinline int finish_handshake(struct sluice_flow4* flow, const struct packet* p) {
  if (!(flow->state & SLUICE_STATE_SYNACK) || (p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK) return 0;
  if (p->acknowledgement - flow->handshake > HANDSHAKE_WINDOW) return 0;
  __sync_fetch_and_or(&flow->state, SLUICE_STATE_ESTABLISHED);
  discharge_half_open(flow);
  return 0;
}

/* TCP state of this direction. A reset that is followed by ordinary traffic of the same direction was not the end
 * of the connection (a blind one, see RFC 5961), so its mark goes again. */
static __always_inline void track_tcp(struct sluice_flow4* flow, const struct packet* p) {
  __u32 state = flow->state;
  __u32 seen = (p->tcp_flags & TCP_FIN ? SLUICE_STATE_FIN : 0) | (p->tcp_flags & TCP_RST ? SLUICE_STATE_RST : 0);
  if (seen & ~state) __sync_fetch_and_or(&flow->state, seen);
  if ((state & SLUICE_STATE_RST) && !(p->tcp_flags & TCP_RST)) __sync_fetch_and_and(&flow->state, ~SLUICE_STATE_RST);
  if (flow->role == SLUICE_FLOW_FORWARD) {
    if (!(state & SLUICE_STATE_ESTABLISHED)) finish_handshake(flow, p);
  } else if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
    note_synack(flow, p);
  }
}

/* A SYN on a forward record: is the old connection ending? Then it makes room for the new one. */
static __noinline bool is_closing(const struct sluice_flow4* flow) {
  if (flow->state & (SLUICE_STATE_FIN | SLUICE_STATE_RST)) return true;
  __u32 index = flow->pair;
  const struct sluice_pair4* pair = bpf_map_lookup_elem(&pairs4, &index);
  if (!pair) return false;
  const struct sluice_flow4* other = bpf_map_lookup_elem(&flows4, &pair->reverse);
  return other && (other->state & (SLUICE_STATE_FIN | SLUICE_STATE_RST));
}

static __always_inline void track(struct sluice_flow4* flow, const struct packet* p) {
  __u32 tick = (__u32)bpf_jiffies64(); /* inlined by the verifier; the clock is a call */
  if (flow->last_tick != tick) {
    flow->last_tick = tick;
    flow->last_seen = bpf_ktime_get_coarse_ns();
  }
  flow->packets++;
  flow->bytes += p->length;
  if (p->protocol == IPPROTO_TCP)
    track_tcp(flow, p);
  else if (flow->role == SLUICE_FLOW_REVERSE && !(flow->state & SLUICE_STATE_ESTABLISHED))
    __sync_fetch_and_or(&flow->state, SLUICE_STATE_ESTABLISHED);
}

static __always_inline void copy_action(struct packet* p, const struct sluice_flow4* flow) {
  _Static_assert(sizeof(struct action) == 32, "action is a part of struct sluice_flow4");
  __u64* to = (__u64*)&p->action;
  const __u64* from = (const __u64*)&flow->new_source;
  to[0] = from[0];
  to[1] = from[1];
  to[2] = from[2];
  to[3] = from[3];
}

/* Looks the packet's tuple up and carries the record's action out. A miss continues; so does a record that a
 * generation has ended, which is noted so that a new flow can take its place. */
static __always_inline int flow(struct __sk_buff* skb, struct packet* p) {
  if (!p->tracked) return CONTINUE;
  struct sluice_flow4* found = bpf_map_lookup_elem(&flows4, &p->key);
  if (!found) return CONTINUE;
  struct sluice_ref source = found->source, endpoint = found->endpoint, frontend = found->frontend;
  __u32 index = found->pair;
  copy_action(p, found);
  if (!still_self(found, &p->key)) return CONTINUE;
  if (!same_ref(source, p->source) || !endpoint_current(endpoint) || !frontend_current(frontend)) {
    p->stale_pair = index + 1;
    return CONTINUE;
  }
  if (p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
      p->action.role == SLUICE_FLOW_FORWARD && is_closing(found))
    return delete_pair(index, &p->key) ? CONTINUE : drop(p, SLUICE_REASON_FLOW_CONTENDED);
  track(found, p);
  return carry_out(skb, p);
}

#endif
