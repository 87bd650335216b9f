// SPDX-License-Identifier: Apache-2.0
#include "cli/report.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>

namespace sluice::cli {
namespace {

std::string line_of(const std::vector<const std::string*>& cells, const std::vector<std::size_t>& widths,
                    const std::vector<Column::Align>& aligns) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); i++) {
    const std::string padding(widths[i] - cells[i]->size(), ' ');
    if (i > 0) line += "  ";
    line += aligns[i] == Column::Align::kRight ? padding + *cells[i] : *cells[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

void print_table(const Report& report, bool wide, std::ostream& out) {
  std::vector<std::size_t> shown;
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  std::vector<Column::Align> aligns;
  for (std::size_t i = 0; i < report.columns.size(); i++) {
    const Column& column = report.columns[i];
    if (column.wide && !wide) continue;
    shown.push_back(i);
    titles.push_back(column.title);
    widths.push_back(column.title.size());
    aligns.push_back(column.align);
  }
  std::vector<std::vector<std::string>> lines;
  lines.reserve(report.rows.size() + 1);
  lines.push_back(titles);
  for (const auto& row : report.rows) {
    auto& line = lines.emplace_back();
    for (std::size_t i = 0; i < shown.size(); i++) {
      line.push_back(printable(row.at(shown[i])));
      widths[i] = std::max(widths[i], line.back().size());
    }
  }
  for (const auto& line : lines) {
    std::vector<const std::string*> cells;
    for (const std::string& cell : line) cells.push_back(&cell);
    out << line_of(cells, widths, aligns) << '\n';
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte != 0x7f) {
      shown += character;
      continue;
    }
    std::array<char, 5> escape{};
    std::snprintf(escape.data(), escape.size(), "\\x%02x", byte);
    shown += escape.data();
  }
  return shown;
}

void print(const Report& report, Format format, std::ostream& out) {
  if (format == Format::kJson) {
    out << report.document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  } else {  // whoever has more formats prints them itself
    print_table(report, format == Format::kWide, out);
  }
}

std::string addresses_cell(const std::string& four, const std::string& six) {
  if (four.empty() && six.empty()) return "-";
  return four + (four.empty() || six.empty() ? "" : ",") + six;
}

}  // namespace sluice::cli
