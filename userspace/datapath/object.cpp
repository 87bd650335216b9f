// SPDX-License-Identifier: Apache-2.0
#include "datapath/object.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "datapath/object_bytes.hpp"

namespace sluice::datapath {
namespace {

constexpr std::array kPrograms{"from_pod", "from_uplink", "uplink_xdp", "sweep_start"};
constexpr std::size_t kVerifierLogBytes = 256 * 1024;
constexpr std::size_t kShownLogBytes = 2048;

/// .rodata, and room for a packet's values: no state, and of a layout that is no part of the ABI.
bool belongs_to_one_load(const bpf_map* map) {
  return bpf_map__is_internal(map) || std::string_view(bpf_map__name(map)).starts_with("scratch");
}

const char* setting_of(const std::string& map) {
  if (map == "backends") return "the size of the backend arena";
  if (map == "rings") return "the size of the ring arena";
  return "the number of flow pairs";
}

/// Arrays that are read back as a whole at every start: through memory that takes milliseconds, by calls a second.
bool is_mapped(const std::string& map) {
  return map == "backends" || map == "rings" || map == "endpoint_generations" || map == "frontend_generations" ||
         map == "network_limits";
}

MapShape declared_shape(const bpf_map* map) {
  return {.type = static_cast<std::uint32_t>(bpf_map__type(map)),
          .key_size = bpf_map__key_size(map),
          .value_size = bpf_map__value_size(map),
          .max_entries = bpf_map__max_entries(map),
          .flags = bpf_map__map_flags(map)};
}

Status set_sizes(bpf_object* object, const Options& options) {
  if (options.max_pairs == 0 || options.max_pairs > 0x40000000 || options.backend_arena == 0 ||
      options.ring_arena == 0) {
    return fail(ErrorCode::kInvalid, fmt::format("the sizes of the maps must not be 0, and flow pairs at most 2^30: "
                                                 "pairs {}, backend arena {}, ring arena {}",
                                                 options.max_pairs, options.backend_arena, options.ring_arena));
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    const std::string name = bpf_map__name(map);
    const std::uint32_t entries = configured_entries(name, options);
    if (entries != 0 && bpf_map__set_max_entries(map, entries) != 0) return fail_errno("size map " + name);
    if (is_mapped(name) && bpf_map__set_map_flags(map, bpf_map__map_flags(map) | BPF_F_MMAPABLE) != 0) {
      return fail_errno("set the flags of map " + name);
    }
  }
  return {};
}

Status check_shape(const std::string& name, const MapShape& pinned, const MapShape& wanted) {
  if (pinned == wanted) return {};
  MapShape resized = pinned;
  resized.max_entries = wanted.max_entries;
  if (resized == wanted) {
    return fail(ErrorCode::kPrecondition,
                fmt::format("map {} is pinned with {} entries, the configuration asks for {}; set {} back, or stop "
                            "sluiced and remove the pins (this ends every connection through them)",
                            name, pinned.max_entries, wanted.max_entries, setting_of(name)));
  }
  return fail(ErrorCode::kPrecondition,
              fmt::format("map {} is pinned as [{}], this build needs [{}]; run the build that made it, or remove the "
                          "pins (this ends every connection through them)",
                          name, pinned.text(), wanted.text()));
}

Status reuse_maps(bpf_object* object, const PinFolders& pins) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (belongs_to_one_load(map)) continue;
    const std::string name = bpf_map__name(map);
    auto pin = open_pin(pins.map(name));
    if (!pin && pin.error().code == ErrorCode::kNotFound) {
      return fail(ErrorCode::kPrecondition, "the pin of map " + name + " is missing from " + pins.root().string() +
                                                "; stop sluiced and remove the other pins too (this ends every "
                                                "connection through them)");
    }
    if (!pin) return std::unexpected(pin.error());
    auto shape = map_shape(pin->get());
    if (!shape) return fail_in("map " + name, shape);
    if (auto same = check_shape(name, *shape, declared_shape(map)); !same) return same;
    if (bpf_map__reuse_fd(map, pin->get()) != 0) return fail_errno("take map " + name + " over");
  }
  return {};
}

std::unexpected<Error> load_failure(int error_number, const std::string& log) {
  if (error_number == EPERM || error_number == EACCES) {
    if (log.c_str()[0] == '\0') {
      return fail(ErrorCode::kPermission,
                  "load the BPF programs: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are needed; run as root");
    }
  }
  // The verifier's last lines say what it refused.
  const std::string text = log.c_str();
  const std::string end = text.size() > kShownLogBytes ? "..." + text.substr(text.size() - kShownLogBytes) : text;
  Error error = fail_errno("load the BPF programs", error_number).error();
  if (!end.empty()) error = {ErrorCode::kUnsupported, error.message + "; the verifier says:\n" + end};
  return std::unexpected(std::move(error));
}

}  // namespace

std::uint32_t configured_entries(std::string_view map, const Options& options) {
  // Exact: a record is made only by who holds a pair index, and any mix of the families must have room.
  if (map == "flows4" || map == "flows6") return 2 * options.max_pairs;
  if (map == "pairs" || map == "pair_keys6" || map == "pairs_free") return options.max_pairs;
  if (map == "backends") return options.backend_arena;
  if (map == "rings") return options.ring_arena;
  return 0;
}

void Object::Close::operator()(bpf_object* object) const {
  bpf_object__close(object);
}

Result<Object> Object::load(const PinFolders& pins, const Options& options, bool reuse) {
  // libbpf writes to stderr even about what we expect (a clsact qdisc that is there); errors carry what matters.
  libbpf_set_print(nullptr);
  std::size_t size = 0;
  const void* bytes = sluice_object_bytes(&size);
  std::string log(kVerifierLogBytes, '\0');
  // Level 0 with a buffer: the kernel writes only about a program that it refuses.
  LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = "sluice", .kernel_log_buf = log.data(),
              .kernel_log_size = log.size(), .kernel_log_level = 0);
  Object object(Handle(bpf_object__open_mem(bytes, size, &open_options)));
  if (!object.object_) return fail_errno("read the BPF object");
  if (auto sized = set_sizes(object.object_.get(), options); !sized) return std::unexpected(sized.error());
  if (reuse) {
    if (auto reused = reuse_maps(object.object_.get(), pins); !reused) return std::unexpected(reused.error());
  }
  if (const int status = bpf_object__load(object.object_.get()); status != 0) return load_failure(-status, log);
  for (const char* name : kPrograms) {
    if (object.program(name) < 0) return fail(ErrorCode::kSystem, std::string("the BPF object has no program ") + name);
  }
  return object;
}

int Object::program(const char* name) const {
  const bpf_program* program = bpf_object__find_program_by_name(object_.get(), name);
  return program == nullptr ? -1 : bpf_program__fd(program);
}

Programs Object::programs() const {
  return {.from_pod = program("from_pod"), .from_uplink = program("from_uplink"), .uplink_xdp = program("uplink_xdp")};
}

Result<Maps> Object::maps() const {
  Maps maps;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    if (belongs_to_one_load(map)) continue;
    UniqueFd fd(fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0));
    if (!fd.valid()) return fail_errno("copy a map's descriptor");
    if (auto added = maps.add(bpf_map__name(map), std::move(fd)); !added) return std::unexpected(added.error());
  }
  return maps;
}

Status Object::pin_maps(const PinFolders& pins) const {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    if (belongs_to_one_load(map)) continue;
    if (auto pinned = pin_over(bpf_map__fd(map), pins.map(bpf_map__name(map))); !pinned) return pinned;
  }
  return {};
}

Status Object::pin_programs(const PinFolders& pins) const {
  for (const char* name : kPrograms) {
    if (auto pinned = pin_over(program(name), pins.program(name)); !pinned) return pinned;
  }
  return {};
}

Status Object::start_sweep() const {
  std::array<unsigned char, 64> frame{};
  LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(), .data_size_in = frame.size(), .repeat = 1);
  if (bpf_prog_test_run_opts(program("sweep_start"), &run) != 0) return fail_errno("start the sweep of the flows");
  if (run.retval == 0) return {};
  return fail(ErrorCode::kSystem, fmt::format("start the sweep of the flows: the program answered {}",
                                              static_cast<std::int32_t>(run.retval)));
}

}  // namespace sluice::datapath
