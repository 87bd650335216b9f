// SPDX-License-Identifier: Apache-2.0
#include "store/manifest_store.hpp"

#include <utility>

#include "store/manifest.hpp"
#include "store/manifest_files.hpp"

namespace sluice::store {

Result<std::unique_ptr<ManifestStore>> ManifestStore::open(const std::filesystem::path& path,
                                                           model::Capacity capacity) {
  Result<std::unique_ptr<PathWatch>> watch = PathWatch::open(path);
  if (!watch) return fail_in("manifests " + path.string(), watch);
  return std::unique_ptr<ManifestStore>(new ManifestStore(path, std::move(*watch), std::move(capacity)));
}

Result<Snapshot> ManifestStore::read() {
  Result<std::vector<ManifestFile>> files = read_manifest_files(path_);
  if (!files) return std::unexpected(files.error());
  auto manifest = parse_manifests(*files, capacity_);
  if (!manifest) return std::unexpected(summarize(manifest.error()));
  if (!last_.state || *last_.state != manifest->state) {
    last_ = Snapshot{last_.revision + 1, std::make_shared<const model::State>(std::move(manifest->state))};
  }
  return last_;
}

}  // namespace sluice::store
