/* Programs of a cgroup: packets, sockets, connections and device accesses of those below it, and
 * the states of their sockets. Attached once to the group above all trials, by links that many may
 * have (as with BPF_F_ALLOW_MULTI), so that they replace nobody's; a group of somebody else never
 * gets one. They only look: the answer is always 1, allow. Included by witness.bpf.c alone.
 *
 * What a program of this kind may call differs from kernel to kernel, so that all that is known of
 * the current task is read from its task_struct (bpf_get_current_task() is for all, Linux 5.8).
 *
 * Sources: include/uapi/linux/bpf.h (the contexts, by offset), security/device_cgroup.c,
 * kernel/bpf/cgroup.c, include/trace/events/sock.h.
 */
#ifndef RINGFENCE_PROBES_BPF_WITNESS_GROUP_H
#define RINGFENCE_PROBES_BPF_WITNESS_GROUP_H

#include "probes/bpf/witness_state.h"
#include "probes/bpf/witness_story.h"

/* Contexts: the kernel's interface to user space, so their offsets are fixed. Up to what is read.
 */
struct __sk_buff {
  __u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority,
      ingress_ifindex, ifindex;
};
struct bpf_sock {
  __u32 bound_dev_if, family, type, protocol;
};
struct bpf_sock_addr {
  __u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol;
};
struct bpf_cgroup_dev_ctx {
  __u32 access_type; /* access << 16 | type */
  __u32 major, minor;
};

struct net {
  struct ns_common ns;
} RF_CORE;
typedef struct {
  struct net* net;
} possible_net_t;
struct sock_common {
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  possible_net_t skc_net;
} RF_CORE;
struct sock_cgroup_data {
  struct cgroup* cgroup;
} RF_CORE;
struct sock {
  struct sock_common __sk_common;
  __u16 sk_protocol;
  struct sock_cgroup_data sk_cgrp_data;
} RF_CORE;

#define LOOPBACK_IFINDEX 1 /* in every network namespace, include/net/flow.h */

static __always_inline struct rf_trial* trial_of_group(__u64 group, __u64* id) {
  __u64* found = bpf_map_lookup_elem(&scopes, &group);
  if (!found) return 0;
  *id = *found;
  return bpf_map_lookup_elem(&trials, found);
}

/* The current task's state, when it is in a syscall of this trial. */
static __always_inline struct task_state* calling(__u64 id) {
  struct task_state* state = state_of((struct task_struct*)bpf_get_current_task());
  return state && state->trial == id && state->nr >= 0 ? state : 0;
}

static __always_inline void tell_of(void* ctx, struct rf_trial* trial, __u64 id, bool current,
                                    __u32 kind, __s64 number, __s64 a, __s64 b, __s64 c) {
  struct rf_event_number staged;
  struct rf_event_number* e = room(trial, &staged, sizeof *e);
  if (!e) return;
  barrier_var(e);
  __builtin_memset(e, 0, sizeof *e);
  e->head.at = bpf_ktime_get_ns();
  e->head.trial = id;
  e->head.kind = kind;
  if (current) {
    struct task_struct* task = (struct task_struct*)bpf_get_current_task();
    e->head.tgid = BPF_CORE_READ(task, tgid);
    e->head.tid = BPF_CORE_READ(task, pid);
    e->head.uid = BPF_CORE_READ(task, cred, uid.val);
    bpf_core_read(e->head.comm, sizeof e->head.comm, &task->comm);
  }
  e->number = number;
  e->more[0] = a;
  e->more[1] = b;
  e->more[2] = c;
  give(ctx, trial, e, sizeof *e);
}

/* --- Packets: of the socket's group, whatever task is current ------------------------------- */

SEC("cgroup_skb/ingress")
int ingress__cgroup_skb(struct __sk_buff* skb) {
  __u64 id;
  struct rf_trial* trial = trial_of_group(bpf_skb_cgroup_id(skb), &id);
  if (!trial) return 1;
  __sync_fetch_and_add(&trial->net.packets_in, 1);
  __sync_fetch_and_add(&trial->net.bytes_in, skb->len);
  return 1;
}

SEC("cgroup_skb/egress")
int egress__cgroup_skb(struct __sk_buff* skb) {
  __u64 id;
  struct rf_trial* trial = trial_of_group(bpf_skb_cgroup_id(skb), &id);
  if (!trial) return 1;
  __u32 flags = RF_SENT;
  __sync_fetch_and_add(&trial->net.packets_out, 1);
  __sync_fetch_and_add(&trial->net.bytes_out, skb->len);
  if (skb->ifindex != LOOPBACK_IFINDEX) {
    __sync_fetch_and_add(&trial->net.left, 1);
    flags |= RF_LEFT;
  }
  struct task_state* state = calling(id);
  if (state) state->flags |= flags;
  return 1;
}

/* --- Sockets -------------------------------------------------------------------------------- */

SEC("cgroup/sock_create")
int socket__cgroup(struct bpf_sock* sock) {
  __u64 id;
  struct rf_trial* trial = trial_of_group(bpf_get_current_cgroup_id(), &id);
  if (!trial) return 1;
  __sync_fetch_and_add(&trial->net.sockets, 1);
  tell_of(sock, trial, id, true, RF_EV_SOCKET, sock->family, sock->type, sock->protocol, 0);
  return 1;
}

static __always_inline int on_connect(void* ctx, __u32 family, __u32 port, __u64 high, __u64 low) {
  __u64 id;
  struct rf_trial* trial = trial_of_group(bpf_get_current_cgroup_id(), &id);
  if (!trial) return 1;
  __sync_fetch_and_add(&trial->net.connects, 1);
  tell_of(ctx, trial, id, true, RF_EV_CONNECT, family, port, high, low);
  return 1;
}
SEC("cgroup/connect4")
int connect4__cgroup(struct bpf_sock_addr* to) {
  return on_connect(to, to->user_family, to->user_port, to->user_ip4, 0);
}
SEC("cgroup/connect6")
int connect6__cgroup(struct bpf_sock_addr* to) {
  const __u32 a = to->user_ip6[0], b = to->user_ip6[1], c = to->user_ip6[2], d = to->user_ip6[3];
  return on_connect(to, to->user_family, to->user_port, a | (__u64)b << 32, c | (__u64)d << 32);
}

static __always_inline int on_state(void* ctx, struct sock* sk, int from, int to) {
  __u64 id;
  struct rf_trial* trial = trial_of_group(BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id), &id);
  if (!trial) return 0;
  __u16 dport = BPF_CORE_READ(sk, __sk_common.skc_dport);
  /* Of no task: it may be the softirq of a packet, with anybody's current. */
  tell_of(ctx, trial, id, false, RF_EV_SOCK_STATE, BPF_CORE_READ(sk, sk_protocol), from << 8 | to,
          (__u64)BPF_CORE_READ(sk, __sk_common.skc_num) << 16 | __builtin_bswap16(dport),
          BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum));
  return 0;
}
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(state__tp_btf, struct sock* sk, int from, int to) {
  return on_state(ctx, sk, from, to);
}
SEC("raw_tp/inet_sock_set_state")
int state__raw_tp(struct bpf_raw_tracepoint_args* ctx) {
  return on_state(ctx, (struct sock*)ctx->args[0], (int)ctx->args[1], (int)ctx->args[2]);
}

/* --- Devices -------------------------------------------------------------------------------- */

/* The check of a device by its numbers: asked for after permission and CAP_MKNOD, before LSMs. All
 * programs of a group and those above are run, whatever one of them says. */
SEC("cgroup/dev")
int device__cgroup(struct bpf_cgroup_dev_ctx* ctx) {
  __u64 id;
  struct rf_trial* trial = trial_of_group(bpf_get_current_cgroup_id(), &id);
  if (!trial) return 1;
  __sync_fetch_and_add(&trial->devices, 1);
  struct task_state* state = calling(id);
  if (state) state->flags |= RF_DEVICE;
  tell_of(ctx, trial, id, true, RF_EV_DEVICE, ctx->access_type & 0xffff, ctx->access_type >> 16,
          ctx->major, ctx->minor);
  return 1;
}

#endif
