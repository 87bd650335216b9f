// SPDX-License-Identifier: Apache-2.0
// The model's values as messages of sluice.v1 and back.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.hpp"
#include "model/resource.hpp"
#include "wire/resources.pb.h"

namespace sluice::wire {

/// What Sluice has set for a resource: the fields from 100 on of the messages, and the metadata.
struct Assigned {
  model::Addresses addresses;        ///< of pods and services
  std::uint32_t network_id = 0;      ///< of networks
  std::uint32_t network_slot = 0;    ///< of networks
  std::uint64_t created = 0;         ///< revision
  std::uint64_t modified = 0;        ///< revision
  std::int64_t created_seconds = 0;  ///< Unix time
  bool operator==(const Assigned&) const = default;
};

/// Fields at their defaults are written out only where absence would mean something else, so that a message that is
/// shown to a user holds what the user declared.
v1::Resource to_message(const model::Resource& resource, const Assigned& assigned = {});

/// The specification alone; what Sluice sets is ignored. Checks what the model cannot hold (addresses and prefixes that
/// do not parse, numbers that do not fit, unknown enumerators, a missing kind); what the model can hold is judged by
/// model::check(). kInvalid with a Detail for each problem. Text is taken as it is, whatever bytes it has.
Result<model::Resource> to_model(const v1::Resource& message);

/// What Sluice has set, from a message that the store has kept. kInvalid if it is not whole.
Result<Assigned> assigned_of(const v1::Resource& message);

v1::ResourceKey to_message(const model::Key& key);
/// kInvalid for an unknown kind, a name that is missing, or a network where there must be none. A missing network of a
/// pod or service is "default".
Result<model::Key> to_model(const v1::ResourceKey& message);

v1::Kind to_message(model::Kind kind);
Result<model::Kind> to_model(v1::Kind kind);

/// The problems of a refused request.
v1::Problems to_message(const Error& error);

}  // namespace sluice::wire
