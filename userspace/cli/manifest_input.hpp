// SPDX-License-Identifier: Apache-2.0
// What -f names: files, folders and the standard input, read as one set.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/invocation.hpp"
#include "store/manifest.hpp"

namespace sluice::cli {

/// Adds -f; each value is a file, a folder, or "-".
CLI::Option* add_files_option(CLI::App& command, std::vector<std::string>& files, const std::string& help);

/// Reads everything before anything is done. All problems are in the one error, a line each.
Result<std::vector<store::Declared>> read_input(const std::vector<std::string>& files);

/// Where each resource stands, by the name that messages give it.
std::map<std::string, store::Place> places_of(const std::vector<store::Declared>& declared);

}  // namespace sluice::cli
