// SPDX-License-Identifier: Apache-2.0
#include "datapath/attachments.hpp"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

#include "datapath/hooks.hpp"
#include "datapath/multicast.hpp"
#include "datapath/namespaces.hpp"

namespace sluice::datapath {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kClsact = "clsact-";

/// A name under links/, taken apart.
struct Record {
  bool clsact = false;
  std::string role;  ///< "pod", "uplink" or "xdp"
  std::uint32_t ifindex = 0;
};

std::optional<Record> parse_record(std::string_view name) {
  Record record;
  record.clsact = name.starts_with(kClsact);
  if (record.clsact) name.remove_prefix(kClsact.size());
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  record.role = name.substr(0, dash);
  if (record.role != "pod" && record.role != "uplink" && (record.role != "xdp" || record.clsact)) return std::nullopt;
  const std::string_view number = name.substr(dash + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), record.ifindex);
  // What is left after the number is an unfinished pin, which the next pin of that name removes.
  if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
  return record;
}

std::string link_name(std::string_view role, std::uint32_t ifindex) {
  return fmt::format("{}-{}", role, ifindex);
}
std::string clsact_name(std::string_view role, std::uint32_t ifindex) {
  return fmt::format("{}{}-{}", kClsact, role, ifindex);
}

bool has_pin(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Status remove_filter(const Record& record) {
  if (!device_exists(record.ifindex)) return {};
  return record.role == "pod" ? remove_clsact(record.ifindex) : remove_clsact_filter(record.ifindex);
}

/// Whether the devices that the pins name by number are those of this network namespace; see check_namespace().
bool of_this_namespace(const PinFolders& pins) {
  const auto cookie = own_netns_cookie();
  const auto names = pins.names("netns");
  return cookie && names && (names->empty() || std::ranges::find(*names, std::to_string(*cookie)) != names->end());
}

/// Detaches what `name` records and forgets it; fine if it is gone.
Status remove_record(const PinFolders& pins, const std::string& name) {
  const fs::path path = pins.link(name);
  if (!has_pin(path)) return {};
  const auto record = parse_record(name);
  if (record && record->clsact) {
    // Somewhere else the number is another device's; what is left there ends with its namespace.
    if (!of_this_namespace(pins)) return remove_pin(path);
    if (auto removed = remove_filter(*record); !removed) return removed;
  } else if (record) {
    auto link = open_pin(path);
    if (!link) return std::unexpected(link.error());
    if (auto detached = detach_link(link->get()); !detached) return fail_in(name, detached);
  }
  return remove_pin(path);
}

/// Of addresses that nobody answers for any more.
Status leave_groups(const PinFolders& pins, std::uint32_t ifindex) {
  return of_this_namespace(pins) ? follow_groups(ifindex, {}) : Status{};
}

}  // namespace

int Attachments::program_of(const std::string& role) const {
  if (role == "xdp") return programs_.uplink_xdp;
  return role == "pod" ? programs_.from_pod : programs_.from_uplink;
}

Status Attachments::remove(const std::string& name) const {
  return remove_record(pins_, name);
}

Status Attachments::take_over() {
  auto names = pins_.names("links");
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const auto record = parse_record(name);
    const Status taken = record ? take_over_one(name) : remove_pin(pins_.link(name));
    if (taken) continue;
    // Somebody else's filter may hold our place by now. The device keeps its record, so that it can still be detached;
    // attach_pod() or attach_uplink() says what is wrong with it, and all others must not wait for that.
    spdlog::error("event=take_over_failed link={} error=\"{}\"", name, taken.error().message);
  }
  return {};
}

Status Attachments::take_over_one(const std::string& name) {
  const Record record = parse_record(name).value();
  const int program = program_of(record.role);
  if (record.clsact) {
    return device_exists(record.ifindex) ? put_clsact_filter(program, record.ifindex) : remove_pin(pins_.link(name));
  }
  auto live = has_live_link(name, record.ifindex);
  if (!live) return std::unexpected(live.error());
  if (!*live) return {};
  auto link = open_pin(pins_.link(name));
  if (!link) return std::unexpected(link.error());
  if (bpf_link_update(link->get(), program, nullptr) == 0 || errno == ENOLINK || errno == ENODEV) return {};
  return fail_errno("replace the program");
}

Result<bool> Attachments::has_live_link(const std::string& name, std::uint32_t ifindex) const {
  const fs::path path = pins_.link(name);
  if (!has_pin(path)) return false;
  auto link = open_pin(path);
  if (!link) return std::unexpected(link.error());
  auto device = link_device(link->get());
  if (!device) return fail_in(name, device);
  if (*device == ifindex) return true;
  // The device has gone (its number may be taken by another one since).
  if (auto removed = remove_pin(path); !removed) return std::unexpected(removed.error());
  return false;
}

Status Attachments::put_filter(const std::string& role, int program, std::uint32_t ifindex) {
  const fs::path record = pins_.link(clsact_name(role, ifindex));
  std::error_code error;
  const bool made = fs::create_directory(record, error);
  if (error) return fail_errno("record the clsact filter of " + describe_device(ifindex), error.value());
  Status put = put_clsact_filter(program, ifindex);
  if (!put && made) static_cast<void>(remove_pin(record));
  return put;
}

Status Attachments::attach_pod(std::uint32_t ifindex) {
  auto live = has_live_link(link_name("pod", ifindex), ifindex);
  if (!live) return std::unexpected(live.error());
  if (*live) return {};
  return put_filter("pod", programs_.from_pod, ifindex);
}

Result<bool> Attachments::settle() {
  if (!tcx_) return false;
  auto names = pins_.names("links");
  if (!names) return std::unexpected(names.error());
  Status first_failure;
  for (const std::string& name : *names) {
    const auto record = parse_record(name);
    if (!record || !record->clsact || record->role != "pod") continue;
    auto settled = settle_one(name, record->ifindex);
    if (settled && *settled) return true;
    // One device that fails must not keep the others waiting; it is told once nothing else is left.
    if (!settled && first_failure) first_failure = fail_in("settle " + name, settled);
  }
  if (!first_failure) return std::unexpected(first_failure.error());
  return false;
}

Result<bool> Attachments::settle_one(const std::string& name, std::uint32_t ifindex) {
  const auto forget = [&](bool settled) -> Result<bool> {
    if (auto removed = remove(name); !removed) return std::unexpected(removed.error());
    return settled;
  };
  if (!device_exists(ifindex)) return forget(false);
  const std::string pinned = link_name("pod", ifindex);
  auto live = has_live_link(pinned, ifindex);
  if (!live) return std::unexpected(live.error());
  if (*live) return forget(true);
  auto link = attach_tcx(programs_.from_pod, ifindex);
  if (!link && !device_exists(ifindex)) return false;  // it went meanwhile; the next call forgets it
  if (!link) return std::unexpected(link.error());
  if (auto stored = pin_over(link->get(), pins_.link(pinned)); !stored) return std::unexpected(stored.error());
  return forget(true);
}

Status Attachments::detach_pod(std::uint32_t ifindex) {
  if (auto removed = remove(clsact_name("pod", ifindex)); !removed) return removed;
  return remove(link_name("pod", ifindex));
}

Status Attachments::attach_tc_uplink(std::uint32_t ifindex) {
  const std::string name = link_name("uplink", ifindex);
  auto live = has_live_link(name, ifindex);
  if (!live) return std::unexpected(live.error());
  if (*live) return {};
  if (!tcx_ || has_pin(pins_.link(clsact_name("uplink", ifindex)))) {
    return put_filter("uplink", programs_.from_uplink, ifindex);
  }
  auto link = attach_tcx(programs_.from_uplink, ifindex);
  if (!link) return std::unexpected(link.error());
  return pin_over(link->get(), pins_.link(name));
}

Status Attachments::attach_uplink_xdp(std::uint32_t ifindex, XdpMode mode) {
  const std::string name = link_name("xdp", ifindex);
  auto live = has_live_link(name, ifindex);
  if (!live) return std::unexpected(live.error());
  if (*live && mode != XdpMode::kOff) {
    auto generic = xdp_is_generic(ifindex);
    if (!generic) return std::unexpected(generic.error());
    if (mode == XdpMode::kAuto || *generic == (mode == XdpMode::kGeneric)) return {};
  }
  // Another mode is another hook of the driver: this change alone cannot be atomic.
  if (auto removed = remove(name); !removed) return removed;
  if (mode == XdpMode::kOff) return {};
  auto link = attach_xdp(programs_.uplink_xdp, ifindex, mode);
  if (!link) return std::unexpected(link.error());
  return pin_over(link->get(), pins_.link(name));
}

Status Attachments::attach_uplink(std::uint32_t ifindex, XdpMode mode) {
  if (!device_exists(ifindex)) return fail(ErrorCode::kNotFound, fmt::format("there is no device {}", ifindex));
  const bool had_xdp = has_pin(pins_.link(link_name("xdp", ifindex)));
  // XDP first: it is what a foreign program refuses, and then nothing of ours is on the device.
  if (auto attached = attach_uplink_xdp(ifindex, mode); !attached) return attached;
  Status attached = attach_tc_uplink(ifindex);
  if (!attached && !had_xdp) static_cast<void>(remove(link_name("xdp", ifindex)));
  return attached;
}

Status Attachments::detach_uplink(std::uint32_t ifindex) {
  const std::array names = {link_name("xdp", ifindex), link_name("uplink", ifindex), clsact_name("uplink", ifindex)};
  // Before the records go, so that a kill in between leaves none behind; a device without a record has no groups.
  if (std::ranges::any_of(names, [this](const std::string& name) { return has_pin(pins_.link(name)); })) {
    if (auto left = leave_groups(pins_, ifindex); !left) return left;
  }
  for (const std::string& name : names) {
    if (auto removed = remove(name); !removed) return removed;
  }
  return {};
}

Result<std::vector<std::uint32_t>> Attachments::attached() const {
  auto names = pins_.names("links");
  if (!names) return std::unexpected(names.error());
  std::vector<std::uint32_t> found;
  for (const std::string& name : *names) {
    if (const auto record = parse_record(name)) found.push_back(record->ifindex);
  }
  std::ranges::sort(found);
  const auto repeated = std::ranges::unique(found);
  found.erase(repeated.begin(), repeated.end());
  return found;
}

Status Attachments::remove_all(const PinFolders& pins) {
  auto names = pins.names("links");
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (const auto record = parse_record(name); record && record->role == "uplink") {
      if (auto left = leave_groups(pins, record->ifindex); !left) return left;
    }
    if (auto removed = remove_record(pins, name); !removed) return removed;
  }
  return {};
}

}  // namespace sluice::datapath
