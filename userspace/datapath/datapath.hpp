// SPDX-License-Identifier: Apache-2.0
// The kernel side as one object: loads the BPF object, owns the pins under <bpffs>/abi-N/, attaches programs,
// reads the tables back and applies plans.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "compile/tables.hpp"

namespace sluice::datapath {

struct Options {
  /// Folder on a bpffs; maps, programs and links are pinned in `pin_root`/abi-N/.
  std::filesystem::path pin_root = "/sys/fs/bpf/sluice";
  std::uint32_t max_pairs = 262144;
  std::uint32_t backend_arena = 1048576;
  std::uint32_t ring_arena = 262144;
  std::array<std::uint8_t, 16> owner_uuid{};  ///< of the daemon's state folder
  /// Attach by clsact filters also where the kernel has TCX links.
  bool force_clsact = false;
  /// Tests: called before each map write; an error is taken as that write's failure.
  std::function<Status(const compile::Write&)> inject_fault;
};

/// What the maps were made from. A uuid of zeros: nothing yet.
struct StoreMark {
  std::array<std::uint8_t, 16> uuid{};
  std::uint64_t epoch = 0;
  std::uint64_t revision = 0;
  bool operator==(const StoreMark&) const = default;
};

enum class XdpMode { kOff, kAuto, kGeneric, kNative };

class Datapath {
 public:
  /// Finds what a kernel must have (BTF, program types, helpers, timers, redirect_peer); kUnsupported
  /// names the first missing feature, the running kernel and the minimum (6.1), kPermission the missing capability.
  static Status check_kernel();

  /// Loads the programs over the pinned maps, making what is missing, and takes over the links that are pinned:
  /// each is updated to the new program atomically. Starts the sweep. kPrecondition with a remedy if pin_root is
  /// not on a bpffs or the pins belong to another state folder or another network namespace.
  static Result<std::unique_ptr<Datapath>> load(const Options& options);

  virtual ~Datapath() = default;

  /// What the maps hold now. Free slots and zero elements are left out, as Tables says.
  virtual Result<compile::Tables> read_tables() = 0;

  /// Applies the plan step by step, in batches where the kernel can. On the first failure it stops and says which
  /// write failed; the caller reads back and diffs again.
  virtual Status apply(const compile::Plan& plan) = 0;

  /// Attaches from_pod to the ingress of a host-side veth, at once: as a clsact filter, which waits for nothing.
  /// Idempotent; a device that has its TCX link keeps it.
  virtual Status attach_pod(std::uint32_t ifindex) = 0;
  /// Trades one pod's clsact filter for a TCX link, pinned as links/pod-<ifindex>: cheaper for every packet, but
  /// attaching it waits for RCU (11 to 23 ms). False when there is none left, and on kernels without TCX. An error
  /// when all that are left fail.
  virtual Result<bool> settle() = 0;
  /// Removes the pinned link of a device that has gone (or goes).
  virtual Status detach_pod(std::uint32_t ifindex) = 0;
  /// Attaches from_uplink (and uplink_xdp unless the mode is off). A foreign XDP program on the device is
  /// kPrecondition and names it; foreign tc programs keep running after ours.
  virtual Status attach_uplink(std::uint32_t ifindex, XdpMode mode) = 0;
  virtual Status detach_uplink(std::uint32_t ifindex) = 0;
  /// The ifindexes that have a program of ours on record, for finding leftovers.
  virtual Result<std::vector<std::uint32_t>> attached() = 0;

  [[nodiscard]] virtual bool uses_tcx() const = 0;

  virtual Result<StoreMark> mark() = 0;
  virtual Status set_mark(const StoreMark& mark) = 0;
  /// Flow pairs that a network has now, by its slot.
  virtual Result<std::uint64_t> flows_of(std::uint32_t network_slot) = 0;
  /// Flow pairs that lead to each of these pods through a service or a floating IP and are not over: neither reset nor
  /// closed by both sides. Reads every flow: a million take a second.
  virtual Result<std::vector<std::uint64_t>> flows_to(const std::vector<sluice_ref>& pods) = 0;

  /// Removes every pin and every program attachment of pin_root, maps included. Works without a running daemon, and
  /// refuses with kPrecondition while one runs.
  static Status purge(const std::filesystem::path& pin_root);

  /// The state folder (its uuid) to which the pins of pin_root belong; nothing if there are none that say so.
  static std::optional<std::array<std::uint8_t, 16>> pinned_owner(const std::filesystem::path& pin_root);
};

}  // namespace sluice::datapath
