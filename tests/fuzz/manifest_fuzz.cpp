// SPDX-License-Identifier: Apache-2.0
// Anything may stand in a manifest: reading it ends, and ends in a valid state or in problems with a place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/validate.hpp"
#include "store/manifest.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A NUL byte parts two files; a single file may not hold one anyway.
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::size_t part = input.find('\0');
  std::vector<sluice::store::ManifestFile> files = {{"a.yaml", input.substr(0, part)}};
  if (part != std::string::npos) files.push_back({"b.yaml", input.substr(part + 1)});

  const auto manifest = sluice::store::parse_manifests(files);
  if (manifest) {
    require(sluice::model::validate(manifest->state).empty());
    return 0;
  }
  require(!manifest.error().empty());
  for (const sluice::Error& error : manifest.error()) {
    require(!error.message.empty());
    for (char c : error.message) require(c >= 0x20 && c <= 0x7e);  // fit for a terminal
  }
  require(!sluice::store::summarize(manifest.error()).message.empty());
  return 0;
}
