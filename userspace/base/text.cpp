// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

namespace sluice {

std::string uuid_text(const std::array<std::uint8_t, 16>& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[bytes.at(i) >> 4];
    text += kDigits[bytes.at(i) & 0xF];
  }
  return text;
}

}  // namespace sluice
