// SPDX-License-Identifier: Apache-2.0
// What a command shows: one JSON document and the same facts as an aligned table.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::cli {

/// Members keep the order in which they were written, so that the output is stable.
using Json = nlohmann::ordered_json;

enum class Format { kTable, kWide, kJson, kYaml, kName };

struct Column {
  enum class Align { kLeft, kRight };
  std::string title;
  Align align = Align::kLeft;
  bool wide = false;  ///< shown by -o wide only
};

struct Report {
  Json document = Json::object();
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  ///< one cell for each column, wide ones included
  std::size_t matched = 0;                     ///< records that passed the filters
  std::vector<std::string> problems{};         ///< what a comparison found; makes the exit status 1
  std::vector<std::string> doubts{};           ///< what could not be compared; makes it 6, without a problem
};

/// Prints the report. Control characters in a cell are printed as \xNN, so that no text can steer a terminal.
void print(const Report& report, Format format, std::ostream& out);

/// Text without control characters.
std::string printable(std::string_view text);

/// Both addresses of something with commas, "-" for none.
std::string addresses_cell(const std::string& four, const std::string& six);

}  // namespace sluice::cli
