// SPDX-License-Identifier: Apache-2.0
#include "cli/manifest_input.hpp"

#include <algorithm>
#include <array>
#include <iostream>

#include "store/manifest_files.hpp"
#include "store/yaml.hpp"

namespace sluice::cli {
namespace {

/// One byte more than a file may have, so that read_manifests() can say that it is too large.
Result<store::ManifestFile> read_standard_input() {
  store::ManifestFile file{"standard input", ""};
  std::array<char, 65536> part{};
  while (file.text.size() <= store::kMaxYamlBytes && std::cin) {
    std::cin.read(part.data(), part.size());
    file.text.append(part.data(), static_cast<std::size_t>(std::cin.gcount()));
  }
  if (std::cin.bad()) return fail(ErrorCode::kSystem, "cannot read the standard input");
  return file;
}

}  // namespace

CLI::Option* add_files_option(CLI::App& command, std::vector<std::string>& files, const std::string& help) {
  return command.add_option("-f,--filename", files, help)->type_name("FILE|FOLDER|-");
}

Result<std::vector<store::Declared>> read_input(const std::vector<std::string>& files) {
  if (std::ranges::count(files, "-") > 1) return fail(ErrorCode::kInvalid, "the standard input (-f -) stands twice");
  std::vector<store::ManifestFile> texts;
  for (const std::string& file : files) {
    if (file == "-") {
      auto text = read_standard_input();
      if (!text) return std::unexpected(text.error());
      texts.push_back(std::move(*text));
      continue;
    }
    auto read = store::read_manifest_files(file);
    if (!read) return std::unexpected(read.error());
    std::ranges::move(*read, std::back_inserter(texts));
  }
  auto declared = store::read_manifests(texts);
  if (!declared) return std::unexpected(store::summarize(declared.error()));
  if (declared->empty) {
    return fail(ErrorCode::kInvalid, declared->empty->text() +
                                         ": kind Empty stands for a whole folder that sluiced reads; name what is to "
                                         "go: sluicectl delete KIND NAME...");
  }
  if (declared->resources.empty()) {
    return fail(ErrorCode::kInvalid, "the manifests declare nothing; write a document that begins with 'kind: ...'");
  }
  return std::move(declared->resources);
}

std::map<std::string, store::Place> places_of(const std::vector<store::Declared>& declared) {
  std::map<std::string, store::Place> places;
  for (const store::Declared& one : declared) {
    places.emplace(model::describe(model::key_of(one.resource)), one.place);
  }
  return places;
}

}  // namespace sluice::cli
