// SPDX-License-Identifier: Apache-2.0
// Manifests: the user's YAML files into one validated state (docs/manifests.md).
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/resources.hpp"
#include "store/fields.hpp"

namespace sluice::store {

struct ManifestFile {
  std::string path;  ///< for messages
  std::string text;
};

struct Manifest {
  model::State state;                   ///< valid, with the network `default` added if it is used
  std::map<std::string, Place> places;  ///< "pod shop/web-1" -> where it is declared
};

/// Reads all files as one state. Either everything is right or all problems come back, each with file and line.
/// Problems of single resources (unknown fields, wrong types) hide those of the whole (model::validate), because the
/// latter would name resources that only seem to be missing. Files that declare nothing are an error unless a
/// document `kind: Empty` says so.
std::expected<Manifest, std::vector<Error>> parse_manifests(const std::vector<ManifestFile>& files);

/// One error for many: the first 20 messages a line each, then how many more. Its code is the errors' own if they
/// agree, else kInvalid.
Error summarize(const std::vector<Error>& errors);

}  // namespace sluice::store
