// SPDX-License-Identifier: Apache-2.0
// Which pods a service picks, and where on them its ports lead: what the tables are made of and what people are told.
#pragma once

#include <cstdint>
#include <optional>

#include "model/resources.hpp"

namespace sluice::model {

/// True if `labels` has all of `selector`.
bool matches(const Labels& labels, const Labels& selector);

/// The pod's port behind a service's, in host order; nothing if the pod has no port of that name with that protocol.
std::optional<std::uint16_t> target_port(const ServicePort& port, const Pod& pod);

}  // namespace sluice::model
