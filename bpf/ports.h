/* SPDX-License-Identifier: GPL-2.0 */
/* What both families need to know of frames and port records. */
#ifndef SLUICE_BPF_PORTS_H
#define SLUICE_BPF_PORTS_H

/* Makes the headers linear; a device may leave them in pages. */
static __always_inline void pull_headers(struct __sk_buff* skb, __u32 length) {
  if ((__u32)((long)skb->data_end - (long)skb->data) < length)
    bpf_skb_pull_data(skb, skb->len < length ? skb->len : length);
}

static __always_inline bool is_port(const struct sluice_port* port, __u32 ifindex) {
  barrier();
  return *(volatile const __u32*)&port->self == ifindex && *(volatile const __u32*)&port->self_end == ifindex;
}

/* Why a frame of a pod is not even looked at. */
static __always_inline int ethertype_reason(__be16 ethertype) {
  if (ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD)) return SLUICE_REASON_VLAN;
  return SLUICE_REASON_ETHERTYPE;
}

/* Is all that is sent to an address of this kind (public_kind) ours? */
static __always_inline bool is_ours_alone(__u8 kind) {
  return kind == SLUICE_ENDPOINT_FLOATING || kind == SLUICE_ENDPOINT_EGRESS;
}

static __always_inline bool is_way_out(const struct sluice_egress* record, __u32 network) {
  barrier();
  return *(const volatile __u32*)&record->self == network && *(const volatile __u32*)&record->self_end == network;
}

#endif
