// SPDX-License-Identifier: Apache-2.0
// Manifests: the user's YAML files into one validated state (docs/manifests.md).
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/resource.hpp"
#include "model/world.hpp"
#include "store/fields.hpp"

namespace sluice::store {

struct ManifestFile {
  std::string path;  ///< for messages
  std::string text;
};

struct Declared {
  model::Resource resource;
  Place place;
};

/// What documents say, each by itself.
struct Declarations {
  std::vector<Declared> resources;  ///< in the order of the files; no key twice
  std::optional<Place> empty;       ///< of a document `kind: Empty`
};

/// Reads all files without judging what they declare as a whole, nor what fields may hold beyond their type: whoever
/// applies the resources judges them. All problems of the documents (YAML, unknown fields, wrong types, a resource
/// that is declared twice) come back, each with file and line.
std::expected<Declarations, std::vector<Error>> read_manifests(const std::vector<ManifestFile>& files);

struct Manifest {
  model::State state;                   ///< valid, with the network `default` added if it is used
  std::map<std::string, Place> places;  ///< "pod shop/web-1" -> where it is declared
};

/// Reads all files as one state. Either everything is right or all problems come back, each with file and line.
/// Problems of single resources (unknown fields, wrong types) hide those of the whole (model::validate), because the
/// latter would name resources that only seem to be missing. Files that declare nothing are an error unless a
/// document `kind: Empty` says so.
std::expected<Manifest, std::vector<Error>> parse_manifests(const std::vector<ManifestFile>& files,
                                                            const model::Capacity& capacity = {});

/// One error for many: the first 20 messages a line each, then how many more. Its code is the errors' own if they
/// agree, else kInvalid.
Error summarize(const std::vector<Error>& errors);

}  // namespace sluice::store
