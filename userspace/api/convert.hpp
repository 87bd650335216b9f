// SPDX-License-Identifier: Apache-2.0
// Messages of sluice.v1 against the node's values; requests are validated here.
#pragma once

#include <string>

#include "api/sluice.pb.h"
#include "base/result.hpp"
#include "node/types.hpp"
#include "store/key_values.hpp"

namespace sluice::api {

/// kInvalid names the field, its value and what would be right.
Result<model::Name> pod_name(const std::string& network, const std::string& name);
Result<node::AttachRequest> from_message(const v1::AttachPodRequest& message);
Result<node::DetachRequest> from_message(const v1::DetachPodRequest& message);

v1::StoreIdentity to_message(const store::Identity& identity);
/// kOutOfRange if a revision of `expected` is none of the present store's. What is empty or 0 is not compared.
Status check_store(const v1::StoreIdentity& expected, const store::Identity& present);

v1::AttachPodResponse to_message(const node::AttachReply& reply);
v1::DescribeResponse to_message(const node::Description& description);
v1::GetStatusResponse to_message(const node::NodeStatus& status, const std::string& version);

}  // namespace sluice::api
