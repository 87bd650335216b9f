// SPDX-License-Identifier: GPL-2.0
/* Puts the packet back and tail-calls the program under test. BPF_PROG_TEST_RUN does not restore the packet between
 * repeats, so a program that rewrites would otherwise see its own output from the second run on. The same restoring
 * in front of a program that only returns is the floor that is subtracted. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "restore.h"

struct restore_config config SEC(".data") = {.packet_length = RESTORE_LENGTH};

#define TARGET(name)                       \
  struct {                                 \
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
    __type(key, __u32);                    \
    __type(value, __u32);                  \
    __uint(max_entries, 1);                \
  } name SEC(".maps")

TARGET(tc_target);
TARGET(xdp_target);

static __always_inline __u32 next_flow(void) {
  __u32 now = config.next, next = now + config.stride;
  config.next = next >= config.flows ? next - config.flows : next;
  return (config.first + now) & config.index_mask;
}

#define PUT(type, offset) *(type*)(data + (offset)) = *(type*)((char*)config.header + (offset))

/* The stores follow the boundaries of the header fields, or hold whole fields. Else a load of the program under test
 * could straddle two of them, which costs a failed store forwarding (about 5 ns) that no received packet has. */
static __always_inline void restore_transport(void* data, int offset, __u32 low, __u32 high) {
  __u64 ports = *(__u64*)((char*)config.header + offset);
  ports |= (__u64)(bpf_htons((__u16)high) & config.high_port_mask) << (config.high_port_shift & 63);
  ports |= (__u64)bpf_htons((__u16)low) << (config.low_port_shift & 63);
  *(__u64*)(data + offset) = ports; /* and the sequence number */
  PUT(__u32, offset + 8);
  PUT(__u16, offset + 12);
  PUT(__u16, offset + 14);
  PUT(__u16, offset + 16);
  PUT(__u16, offset + 18);
}

static __always_inline void restore4(void* data, __u32 low, __u32 high) {
  __u64 addresses = *(__u64*)((char*)config.header + 26);
  addresses |= bpf_htonl(high) & config.high_source_mask;
  addresses |= (__u64)(bpf_htonl(high) & config.high_destination_mask) << 32;
  PUT(__u64, 14);
  PUT(__u32, 22);
  *(__u64*)(data + 26) = addresses;
  restore_transport(data, 34, low, high);
  PUT(__u64, 54);
  PUT(__u64, 62);
  PUT(__u64, 70);
  PUT(__u64, 78);
  PUT(__u64, 86);
  PUT(__u16, 94);
}

static __always_inline void restore6(void* data, __u32 low, __u32 high) {
  __u64 source = *(__u64*)((char*)config.header + 30), destination = *(__u64*)((char*)config.header + 46);
  source |= (__u64)(bpf_htonl(high) & config.high_source_mask) << 32;
  destination |= (__u64)(bpf_htonl(high) & config.high_destination_mask) << 32;
  PUT(__u32, 14);
  PUT(__u32, 18);
  PUT(__u64, 22);
  *(__u64*)(data + 30) = source;
  PUT(__u64, 38);
  *(__u64*)(data + 46) = destination;
  restore_transport(data, 54, low, high);
  PUT(__u64, 74);
  PUT(__u64, 82);
  PUT(__u32, 90);
  PUT(__u16, 94);
}

static __always_inline void restore(void* data) {
  __u32 flow = next_flow();
  __u32 low = flow & ((1 << RESTORE_LOW_BITS) - 1), high = flow >> RESTORE_LOW_BITS;

  PUT(__u32, 0);
  PUT(__u16, 4);
  PUT(__u32, 6);
  PUT(__u16, 10);
  PUT(__u16, 12);
  if (config.ipv6)
    restore6(data, low, high);
  else
    restore4(data, low, high);
}

/* The packet keeps its length in every program that is measured here. */
SEC("tc")
int restore_tc(struct __sk_buff* skb) {
  bpf_skb_change_type(skb, config.packet_type);
  void* data = (void*)(long)skb->data;
  if (data + RESTORE_LENGTH > (void*)(long)skb->data_end) return TC_ACT_SHOT;
  restore(data);
  bpf_tail_call_static(skb, &tc_target, 0);
  return TC_ACT_SHOT;
}

SEC("xdp")
int restore_xdp(struct xdp_md* xdp) {
  void* data = (void*)(long)xdp->data;
  if (data + RESTORE_LENGTH > (void*)(long)xdp->data_end) return XDP_ABORTED;
  restore(data);
  bpf_tail_call_static(xdp, &xdp_target, 0);
  return XDP_ABORTED;
}

SEC("tc")
int trivial_tc(struct __sk_buff* skb) {
  return TC_ACT_REDIRECT;
}

SEC("xdp")
int trivial_xdp(struct xdp_md* xdp) {
  return XDP_PASS;
}

#include "lower_bound.h"

char LICENSE[] SEC("license") = "GPL";
