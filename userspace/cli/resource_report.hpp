// SPDX-License-Identifier: Apache-2.0
// Resources in every output format, and one resource with all that the node knows of it.
#pragma once

#include <chrono>
#include <iosfwd>
#include <vector>

#include "api/sluice.pb.h"
#include "cli/report.hpp"
#include "model/resource.hpp"

namespace sluice::cli {

/// A table of resources of one kind.
Report resource_table(model::Kind kind, const std::vector<v1::Resource>& resources,
                      std::chrono::system_clock::time_point now);
/// "80/TCP,443/TCP->https"
std::string ports_text(const v1::Service& service);
/// "app=web,tier=1", sorted.
std::string labels_text(const std::map<std::string, std::string>& labels);

void print_description(const v1::DescribeResponse& description, Format format, std::ostream& out);

}  // namespace sluice::cli
