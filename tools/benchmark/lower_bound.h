/* SPDX-License-Identifier: GPL-2.0 */
/* A reference and no product: the least that a stateful translator does for a packet, to compare the programs with. One
 * lookup in an LRU hash with a key of 20 bytes; on a hit the whole rewrite with precomputed differences and a redirect;
 * on a miss two inserts before that. No checks, no state of connections, no shares, no choice of a backend, no
 * counters.
 */
#ifndef SLUICE_BENCHMARK_LOWER_BOUND_H
#define SLUICE_BENCHMARK_LOWER_BOUND_H

struct bound_key {
  __u32 network;
  __u32 source;
  __u32 destination;
  __u16 source_port;
  __u16 destination_port;
  __u32 protocol;
};

struct bound_flow {
  __u32 source;
  __u32 destination;
  __u16 source_port;
  __u16 destination_port;
  __u32 address_difference;
  __u32 all_difference;
  __u32 ifindex;
  __u8 macs[12];
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 2 * 262144); /* as many as flows4 has by default */
  __type(key, struct bound_key);
  __type(value, struct bound_flow);
} bound_flows SEC(".maps");

#define BOUND_BACKEND bpf_htonl(0xAC100014)
#define BOUND_LENGTH 54

/* Each service has its own, so that every flow has its own reverse key. */
static __always_inline __u16 bound_port(__u32 destination) {
  return bpf_htons((__u16)(0x2000 + (bpf_ntohl(destination) & 0xFF)));
}

static __always_inline void bound_read(const char* data, struct bound_key* key) {
  key->network = 1;
  key->source = *(__u32*)(data + 26);
  key->destination = *(__u32*)(data + 30);
  key->source_port = *(__u16*)(data + 34);
  key->destination_port = *(__u16*)(data + 36);
  key->protocol = *(__u8*)(data + 23);
}

static __always_inline void bound_reverse(struct bound_key* key, const struct bound_key* of) {
  key->network = of->network;
  key->source = BOUND_BACKEND;
  key->destination = of->source;
  key->source_port = bound_port(of->destination);
  key->destination_port = of->source_port;
  key->protocol = of->protocol;
}

static __always_inline __u16 bound_fold(__u64 sum) {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return (__u16)((sum & 0xFFFF) + (sum >> 16));
}

static __always_inline void bound_make(struct bound_flow* flow, __u32 source, __u32 destination, __u16 source_port,
                                       __u16 destination_port, const struct bound_key* key, __u32 ifindex) {
  __u64 addresses = (__u64)(__u32)~key->source + (__u32)~key->destination + source + destination;
  __u64 ports = (__u64)(__u16)~key->source_port + (__u16)~key->destination_port + source_port + destination_port;
  flow->source = source;
  flow->destination = destination;
  flow->source_port = source_port;
  flow->destination_port = destination_port;
  flow->address_difference = bound_fold(addresses);
  flow->all_difference = bound_fold(addresses + ports);
  flow->ifindex = ifindex;
  __builtin_memset(flow->macs, 2, sizeof(flow->macs));
}

static __always_inline int bound_rewrite(struct __sk_buff* skb, const struct bound_flow* flow) {
  char* data = (void*)(long)skb->data;
  if (data + BOUND_LENGTH > (char*)(long)skb->data_end) return TC_ACT_SHOT;
  __u16 *header = (__u16*)(data + 24), *transport = (__u16*)(data + 50);
  *header = (__u16)~bound_fold((__u64)(__u16) ~*header + flow->address_difference);
  *transport = (__u16)~bound_fold((__u64)(__u16) ~*transport + flow->all_difference);
  *(__u32*)(data + 26) = flow->source;
  *(__u32*)(data + 30) = flow->destination;
  *(__u16*)(data + 34) = flow->source_port;
  *(__u16*)(data + 36) = flow->destination_port;
  *(__u32*)data = *(__u32*)flow->macs;
  *(__u32*)(data + 4) = *(__u32*)(flow->macs + 4);
  *(__u32*)(data + 8) = *(__u32*)(flow->macs + 8);
  return (int)bpf_redirect_peer(flow->ifindex, 0);
}

SEC("tc")
int lower_bound(struct __sk_buff* skb) {
  struct bound_key key = {}, back = {};
  char* data = (void*)(long)skb->data;
  if (data + BOUND_LENGTH > (char*)(long)skb->data_end) return TC_ACT_SHOT;
  bound_read(data, &key);
  struct bound_flow* found = bpf_map_lookup_elem(&bound_flows, &key);
  if (found) return bound_rewrite(skb, found);
  struct bound_flow made = {};
  bound_reverse(&back, &key);
  bound_make(&made, key.destination, key.source, key.destination_port, key.source_port, &back, skb->ifindex);
  if (bpf_map_update_elem(&bound_flows, &back, &made, BPF_NOEXIST)) return TC_ACT_SHOT;
  bound_make(&made, key.source, BOUND_BACKEND, key.source_port, back.source_port, &key, skb->ifindex);
  if (bpf_map_update_elem(&bound_flows, &key, &made, BPF_NOEXIST)) return TC_ACT_SHOT;
  return bound_rewrite(skb, &made);
}

/* Takes back what lower_bound has made of the same packet. */
SEC("tc")
int lower_bound_close(struct __sk_buff* skb) {
  struct bound_key key = {}, back = {};
  char* data = (void*)(long)skb->data;
  if (data + BOUND_LENGTH > (char*)(long)skb->data_end) return TC_ACT_SHOT;
  bound_read(data, &key);
  bound_reverse(&back, &key);
  if (bpf_map_delete_elem(&bound_flows, &back) || bpf_map_delete_elem(&bound_flows, &key)) return TC_ACT_SHOT;
  return TC_ACT_REDIRECT;
}

#endif
