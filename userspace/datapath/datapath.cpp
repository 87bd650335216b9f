// SPDX-License-Identifier: Apache-2.0
#include "datapath/datapath.hpp"

#include <sluice/abi.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "datapath/attachments.hpp"
#include "datapath/flow_counts.hpp"
#include "datapath/hooks.hpp"
#include "datapath/maps.hpp"
#include "datapath/namespaces.hpp"
#include "datapath/object.hpp"
#include "datapath/pins.hpp"

namespace sluice::datapath {
namespace {

namespace fs = std::filesystem;

/// Holds the maps and programs of one load. The pins keep them alive after it.
class KernelDatapath final : public Datapath {
 public:
  KernelDatapath(PinFolders pins, Object object, Maps maps, const Options& options)
      : pins_(std::move(pins)),
        object_(std::move(object)),
        maps_(std::move(maps)),
        inject_fault_(options.inject_fault),
        tcx_(!options.force_clsact && kernel_has_tcx()),
        attachments_(pins_, object_.programs(), tcx_) {}

  Status take_over() {
    if (auto agreed = maps_.read(); !agreed) return std::unexpected(agreed.error());
    if (auto pinned = object_.pin_programs(pins_); !pinned) return pinned;
    return attachments_.take_over();
  }

  Result<compile::Tables> read_tables() override { return maps_.read(); }
  Status apply(const compile::Plan& plan) override { return maps_.apply(plan, inject_fault_); }
  Status attach_pod(std::uint32_t ifindex) override { return attachments_.attach_pod(ifindex); }
  Result<bool> settle() override { return attachments_.settle(); }
  Status detach_pod(std::uint32_t ifindex) override { return attachments_.detach_pod(ifindex); }
  Status attach_uplink(std::uint32_t ifindex, XdpMode mode) override {
    return attachments_.attach_uplink(ifindex, mode);
  }
  Status detach_uplink(std::uint32_t ifindex) override { return attachments_.detach_uplink(ifindex); }
  Result<std::vector<std::uint32_t>> attached() override { return attachments_.attached(); }
  [[nodiscard]] bool uses_tcx() const override { return tcx_; }
  Result<StoreMark> mark() override;
  Status set_mark(const StoreMark& mark) override;
  Result<std::uint64_t> flows_of(std::uint32_t network_slot) override { return maps_.pairs_of(network_slot); }
  Result<std::vector<std::uint64_t>> flows_to(const std::vector<sluice_ref>& pods) override {
    return count_flows_to(maps_, pods);
  }

 private:
  PinFolders pins_;
  Object object_;
  Maps maps_;
  std::function<Status(const compile::Write&)> inject_fault_;
  bool tcx_;
  Attachments attachments_;
};

Result<StoreMark> KernelDatapath::mark() {
  auto meta = maps_.meta();
  if (!meta) return std::unexpected(meta.error());
  StoreMark mark{.uuid = {}, .epoch = meta->store_epoch, .revision = meta->store_revision};
  std::ranges::copy(meta->store_uuid, mark.uuid.begin());
  return mark;
}

Status KernelDatapath::set_mark(const StoreMark& mark) {
  auto meta = maps_.meta();
  if (!meta) return std::unexpected(meta.error());
  std::ranges::copy(mark.uuid, meta->store_uuid);
  meta->store_epoch = mark.epoch;
  meta->store_revision = mark.revision;
  return maps_.put_meta(*meta);
}

/// The pinned meta record; all zero if there is none yet. `meta` is the last thing that the first load writes and
/// the first that purge() removes, so without it the other pins are unfinished and hold nothing of worth.
Result<sluice_meta> pinned_meta(const PinFolders& pins) {
  auto pin = open_pin(pins.map("meta"));
  if (!pin && pin.error().code == ErrorCode::kNotFound) return sluice_meta{};
  if (!pin) return std::unexpected(pin.error());
  Maps maps;
  if (auto added = maps.add("meta", std::move(*pin)); !added) return std::unexpected(added.error());
  return maps.meta();
}

Status check_owner(const sluice_meta& meta, const Options& options) {
  if (meta.abi_version != SLUICE_ABI_VERSION) {
    return fail(ErrorCode::kPrecondition, "the maps pinned in " + options.pin_root.string() + " have ABI " +
                                              std::to_string(meta.abi_version) + ", this build has " +
                                              std::to_string(SLUICE_ABI_VERSION) + "; run the build that made them");
  }
  if (std::memcmp(meta.owner_uuid, options.owner_uuid.data(), sizeof(meta.owner_uuid)) == 0) return {};
  return fail(
      ErrorCode::kPrecondition,
      "the maps pinned in " + options.pin_root.string() +
          " belong to another state folder; use the state folder that made them, give this daemon another pin folder, "
          "or remove the pins (this ends every connection through them)");
}

/// bpffs is the same in every network namespace, but ifindexes are each namespace's own: what is recorded by number
/// must not be looked for elsewhere. So the pins name their namespace, by an empty folder netns/COOKIE.
Status check_namespace(const PinFolders& pins, bool finished) {
  auto cookie = own_netns_cookie();
  if (!cookie) return std::unexpected(cookie.error());
  const std::string own = std::to_string(*cookie);
  auto names = pins.names("netns");
  if (!names) return std::unexpected(names.error());
  if (std::ranges::find(*names, own) != names->end()) return {};
  if (finished && !names->empty()) {
    return fail(ErrorCode::kPrecondition,
                "the pins in " + pins.root().string() + " belong to another network namespace (cookie " +
                    names->front() + ", this one is " + own +
                    "); start sluiced there, give this one another pin folder, or remove the " +
                    "pins if that namespace has gone: sluiced --purge (this ends every connection through them)");
  }
  std::error_code error;
  fs::create_directory(pins.root() / "netns" / own, error);
  if (error) return fail_errno("record the network namespace of " + pins.root().string(), error.value());
  return {};
}

Status remove_folder(const PinFolders& pins, const std::string& folder) {
  auto names = pins.names(folder);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (auto removed = remove_pin(pins.root() / folder / name); !removed) return removed;
  }
  return {};
}

/// Detaches and unpins everything in this order: links, then `meta`, then the rest.
Status clear(const PinFolders& pins) {
  if (auto removed = Attachments::remove_all(pins); !removed) return removed;
  if (auto removed = remove_pin(pins.map("meta")); !removed) return removed;
  for (const char* folder : {"links", "programs", "maps", "netns"}) {
    if (auto removed = remove_folder(pins, folder); !removed) return removed;
  }
  return {};
}

sluice_meta new_meta(const Options& options) {
  sluice_meta meta{};
  meta.abi_version = SLUICE_ABI_VERSION;
  std::memcpy(meta.owner_uuid, options.owner_uuid.data(), sizeof(meta.owner_uuid));
  return meta;
}

}  // namespace

Result<std::unique_ptr<Datapath>> Datapath::load(const Options& options) {
  auto pins = PinFolders::make(options.pin_root);
  if (!pins) return std::unexpected(pins.error());
  auto meta = pinned_meta(*pins);
  if (!meta) return std::unexpected(meta.error());
  const bool finished = meta->abi_version != 0;
  if (finished) {
    if (auto owned = check_owner(*meta, options); !owned) return std::unexpected(owned.error());
  } else if (auto cleared = clear(*pins); !cleared) {
    return fail_in("remove the pins of an unfinished first start", cleared);
  }

  if (auto own = check_namespace(*pins, finished); !own) return std::unexpected(own.error());

  auto object = Object::load(*pins, options, finished);
  if (!object) return std::unexpected(object.error());
  auto maps = object->maps();
  if (!maps) return std::unexpected(maps.error());
  // Pinned before the sweep starts: a timer lives only as long as its map is held by a pin or a process.
  if (!finished) {
    if (auto pinned = object->pin_maps(*pins); !pinned) return std::unexpected(pinned.error());
  }
  if (auto started = object->start_sweep(); !started) return std::unexpected(started.error());
  if (!finished) {
    if (auto keyed = maps->make_digest_key(); !keyed) return std::unexpected(keyed.error());
    if (auto written = maps->put_meta(new_meta(options)); !written) return std::unexpected(written.error());
  }
  auto datapath = std::make_unique<KernelDatapath>(std::move(*pins), std::move(*object), std::move(*maps), options);
  if (auto taken = datapath->take_over(); !taken) return std::unexpected(taken.error());
  return datapath;
}

Status Datapath::purge(const fs::path& pin_root) {
  if (auto mounted = check_bpffs(pin_root); !mounted) return mounted;
  auto folders = abi_folders(pin_root);
  if (!folders) return std::unexpected(folders.error());
  for (const fs::path& folder : *folders) {
    auto pins = PinFolders::open(folder);
    if (!pins) return std::unexpected(pins.error());
    if (auto cleared = clear(*pins); !cleared) return cleared;
    for (const char* name : {"links", "programs", "maps", "netns"}) {
      if (auto removed = remove_pin(folder / name); !removed) return removed;
    }
    if (auto removed = remove_pin(folder); !removed) return removed;
  }
  // The root is shared with nobody, but somebody may have put a file there: then it stays.
  std::error_code ignored;
  fs::remove(pin_root, ignored);
  return {};
}

std::optional<std::array<std::uint8_t, 16>> Datapath::pinned_owner(const fs::path& pin_root) {
  auto folders = abi_folders(pin_root);
  if (!folders) return std::nullopt;
  for (const fs::path& folder : *folders) {
    auto pins = PinFolders::open(folder);
    if (!pins) continue;
    const auto meta = pinned_meta(*pins);  // of another ABI: it may not be readable
    if (!meta || meta->abi_version == 0) continue;
    std::array<std::uint8_t, 16> uuid{};
    std::memcpy(uuid.data(), meta->owner_uuid, uuid.size());
    return uuid;
  }
  return std::nullopt;
}

}  // namespace sluice::datapath
