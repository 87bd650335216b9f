// SPDX-License-Identifier: Apache-2.0
// Finds and reads the manifest files below a path.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/manifest.hpp"

namespace sluice::store {

/// "*.yaml" and "*.yml"; hidden files (editors' temporary ones among them) are no manifests.
bool is_manifest_name(std::string_view name);

/// The file at `path`, or all manifests directly in the folder at `path`, sorted by name. Fails if the path is
/// missing, a folder has no manifest, or any file cannot be read, is no regular file, is too large, or is being
/// written just now (kPrecondition): half a file is valid YAML often enough, and would remove what it does not name.
Result<std::vector<ManifestFile>> read_manifest_files(const std::filesystem::path& path);

}  // namespace sluice::store
