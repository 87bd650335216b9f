// SPDX-License-Identifier: Apache-2.0
// The BPF object of one load: its programs, over pinned or new maps.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "datapath/attachments.hpp"
#include "datapath/datapath.hpp"
#include "datapath/maps.hpp"
#include "datapath/pins.hpp"

struct bpf_object;

namespace sluice::datapath {

/// The number of entries that the configuration gives the map of that name; 0: the object's own.
std::uint32_t configured_entries(std::string_view map, const Options& options);

class Object {
 public:
  /// Loads the programs. `reuse`: over the maps that are pinned, all of which must be there and have the shape
  /// that this build and the configuration ask for (else kPrecondition, naming map and remedy); otherwise over new
  /// maps.
  static Result<Object> load(const PinFolders& pins, const Options& options, bool reuse);

  [[nodiscard]] Programs programs() const;
  /// Own descriptors of all the maps.
  [[nodiscard]] Result<Maps> maps() const;
  [[nodiscard]] Status pin_maps(const PinFolders& pins) const;
  [[nodiscard]] Status pin_programs(const PinFolders& pins) const;
  /// Runs sweep_start: the timer of the sweep fires this object's callback from now on.
  [[nodiscard]] Status start_sweep() const;

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };
  using Handle = std::unique_ptr<bpf_object, Close>;
  explicit Object(Handle object) : object_(std::move(object)) {}
  [[nodiscard]] int program(const char* name) const;

  Handle object_;
};

}  // namespace sluice::datapath
