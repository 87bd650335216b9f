// SPDX-License-Identifier: Apache-2.0
// Resources as text: a JSON document, a manifest that apply takes again, and the difference of two of them.
#pragma once

#include <string>

#include "cli/report.hpp"
#include "wire/resources.pb.h"

namespace sluice::cli {

/// What the user declared, in the words of a manifest (docs/manifests.md); defaults are left out.
Json specification(const v1::Resource& resource);
/// "hash", "source", "random", "round_robin", "least_connections".
std::string algorithm_text(v1::Algorithm algorithm);
/// The specification with "status" (what Sluice has set) and "metadata".
Json document(const v1::Resource& resource);
/// The specification as one YAML document, without "---".
std::string manifest(const v1::Resource& resource);

/// The lines that differ, each after '-', '+' or ' ', with three lines around them, under a head
/// "--- before", "+++ after"; empty if the texts are the same.
std::string unified_diff(const std::string& before, const std::string& after, const std::string& name);
/// The same diff with colours around its lines.
std::string coloured_diff(const std::string& diff);

}  // namespace sluice::cli
